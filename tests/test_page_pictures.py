"""Pictures of bars and lines, and the table of mistakes: their numbers are those of the study."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodistill.answers.confirm.confirmation import ClassPart, Latency, OnTest
from autodistill.metrics.latency import Timing
from autodistill.reporting.page.bars import MOST, assisted, before_after, by_class, distilled
from autodistill.reporting.page.confusion import confused, counted
from autodistill.reporting.page.finalists import Finalist, Gain, Gains
from autodistill.reporting.page.lines import LEFT, RIGHT, WIDTH, Series, chart, ticks
from autodistill.reporting.page.plots import _ticks
from autodistill.spec.document import Prices

from .rows import finalist
from .test_answers import confirmed, rights


def timed(params: int, ms: float, **fields: Any) -> Finalist:
    timing = Timing(batch=1, p50_ms=ms, p95_ms=ms)
    return finalist(params=params, bytes=4 * params, latency=Latency(one=timing, batched=timing), **fields)


def test_before_and_after_are_drawn_to_scale() -> None:
    found = before_after(timed(1_000_000, 8.0, smaller=1.0), timed(100_000, 2.0), Prices(per_hour=3.6, watts=36))
    size, time, accuracy, cost, energy = found
    assert [bar.width for bar in size.bars] == [100, pytest.approx(10)]
    assert size.bars[0].text == "1M parameters, 4 MB" and size.note == "10.0 times smaller"
    assert time.note == "4.0 times as fast (median)" and time.bars[1].width == pytest.approx(25)
    assert accuracy.title == "Accuracy on 9 validation samples" and accuracy.bars[1].width == pytest.approx(75)
    assert (accuracy.bars[1].low, accuracy.bars[1].high) == (50, 100)
    assert [bar.text for bar in cost.bars] == ["8 EUR", "2 EUR"], "a million times 8 ms at 3.6 an hour"
    assert [bar.text for bar in energy.bars] == ["0.08 kWh", "0.02 kWh"]


def test_nothing_is_said_of_time_and_cost_before_they_are_measured() -> None:
    found = before_after(finalist(), finalist(), Prices(per_hour=1))
    assert [one.title for one in found] == ["Size", "Accuracy on 9 validation samples"]


def gain(mean: float, low: float | None = None, high: float | None = None, verdict: Any = "gain") -> Gain:
    return Gain(3, mean, low, high, "seeds", 0.5, verdict)


def test_gains_have_a_common_zero() -> None:
    rows = [finalist(gains=Gains(label_only=one)) for one in (gain(0.3, 0.2, 0.4), gain(-0.1, verdict="loss"))]
    up, down = distilled([*rows, finalist()])
    assert up.mark == down.mark == pytest.approx(20), "from -0.1 to 0.4"
    assert (up.start, up.width, up.low, up.high) == pytest.approx((20, 60, 60, 100))
    assert (down.start, down.width) == pytest.approx((0, 20)) and down.color == "--bad"
    assert [one.gain for one in (up, down)] == [one.gains.label_only for one in rows], "which the slides draw"
    assert up.text == "+30.0 points (50.0% to 80.0%)" and distilled([finalist()]) == []


def test_only_chains_with_assistants_show_what_assistants_bought() -> None:
    gains = Gains(direct=gain(0.1), direct_long=gain(0.05, -0.1, 0.2, "not_significant"))
    assert assisted([finalist(chain="a > b", gains=gains)]) == []
    [direct, long] = assisted([finalist(chain="a > b > c", gains=gains)])
    assert direct.name == "1k parameters, against direct"
    assert long.name == "1k parameters, against direct at equal cost" and long.text.endswith(", not significant")


def test_classes_are_drawn_from_the_largest_drop_down() -> None:
    parts = [
        ClassPart(label=one, name=str(one), n=9, accuracy=one / 100, teacher=0.5, drop=0.5 - one / 100) for one in range(40)
    ]
    known = {"scores": {}, "worst_drop": parts[0], "by_group": None, "worst_group": None, "calibration_error": 0.0}
    found = by_class(finalist(test=OnTest(by_class=tuple(parts), agreement=1.0, **known)))
    assert [bar.name for bar in found] == [str(one) for one in range(MOST)] and found[3].width == 3 and found[3].mark == 50
    assert by_class(finalist()) == []


def test_confusions_count_every_test_sample() -> None:
    known = confirmed(rights(6, n=10), rights(9, n=10)[0])
    counts = counted(known, "student0")
    assert counts.tolist() == [[6, 4], [0, 0]] and counts.sum() == 10
    found = confused(known, "student0")
    assert found is not None and found.names == ("0", "1")
    assert [pair[:] for pair in found.pairs] == [("0", "1", 4, 1)]
    assert found.rows[0][0].shade == pytest.approx(0.24) and found.rows[1][0].samples == 0


def test_ticks_are_round_and_few() -> None:
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10] and ticks(0.71, 0.73) == pytest.approx([0.71, 0.715, 0.72, 0.725, 0.73])
    for low, high in np.random.default_rng(0).uniform(0, 100, size=(50, 2)):
        found = ticks(min(low, high), max(low, high) + 1e-3)
        assert len(found) <= 6 and all(min(low, high) <= one <= max(low, high) + 1e-3 for one in found)
    assert ticks(2, 3, least=1.0) == [2, 3] and ticks(0, 500, least=1.0) == [0, 100, 200, 300, 400, 500]
    assert "10k" in _ticks([1200, 900_000]).texts and "1M" in _ticks([1200, 900_000]).texts


def test_a_line_spans_its_picture() -> None:
    found = chart([Series([(1, 5), (3, 7)], "--student"), Series([(2, 6)], "--muted")], label="", note="", x="", y="")
    assert found is not None and len(found.lines) == 1
    first, last = (float(point.split(",")[0]) for point in found.lines[0].points.split())
    assert (first, last) == (LEFT, WIDTH - RIGHT)
    assert chart([Series([(2, 6)], "--muted")], label="", note="", x="", y="") is None
