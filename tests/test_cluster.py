"""Nodes come and go while a search runs: real raylets on this machine, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(600)]


def result(scenario: str, root: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.cluster", scenario, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=560)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert not found["failures"] and not found["marks"]
    return found


@pytest.mark.parametrize("how", ["ungraceful", "graceful"])
def test_a_node_goes_and_another_joins(tmp_path: Path, how: str) -> None:
    """What ran there is begun again and no failure; both remaining nodes are busy."""
    found = result(how, tmp_path)
    assert found["stored"] == 40 and found["again"] in ({"gone": 1}, {} if how == "graceful" else None)
    assert found["busy"] >= 0.8


def test_a_node_that_joins_gets_work(tmp_path: Path) -> None:
    found = result("joined", tmp_path)
    assert found["stored"] == 30 and not found["again"] and found["busy"] >= 0.7


def test_a_node_that_is_told_to_go_loses_no_student(tmp_path: Path) -> None:
    found = result("drained", tmp_path)
    assert found["stored"] == 16 and set(found["again"]) <= {"gone"}


def test_a_cluster_without_a_node_that_fits_is_waited_for(tmp_path: Path) -> None:
    found = result("waited", tmp_path)
    assert found["stored"] == 6 and not found["again"]
    assert found["lines"] == ["no node has 1 CPU and 0 GPUs yet; waiting for one to join the cluster"]


def test_an_autoscaler_at_zero_starts_nodes_while_work_waits_and_ends_those_that_idle(tmp_path: Path) -> None:
    found = result("autoscaled", tmp_path)
    assert found["stored"] == 10 and not found["again"] and len(found["lines"]) == 1
    assert max(found["nodes"]) == 2 and found["nodes"][-1] == 1
