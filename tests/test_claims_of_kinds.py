"""Claims about metrics of several labels, of values, and of ranks are seldom false."""

from __future__ import annotations

import pytest

from autodistill.metrics.metric import METRICS

from .simulated import cases_of, false_claims

NEW = ("f1_micro", "average_precision", "auroc", "rmse", "mae", "r2")


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_few_claims_are_false(name: str) -> None:
    """The rate is 5% at most; of 60 studies, 8 would be a rate of 13%."""
    target, paired = false_claims(METRICS[name], cases_of(name)[1], 200, 60)
    assert target <= 0.13 and paired <= 0.13
