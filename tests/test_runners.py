"""One contract for every runner: the same stages give the same bytes, failures are told, all trials end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from autodistill.reporting.summary import counts
from autodistill.runners import Runner, joining, runner_of
from autodistill.spec import Spec, StoreError, StudyError, UsageError
from autodistill.study.schedule.scheduler import Study

from .searching import search

RUNNERS = ["serial", pytest.param("ray", marks=pytest.mark.ray)]
RARELY = ["serial", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow])]


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> Runner:
    if request.param == "ray":
        request.getfixturevalue("local_ray")
    return runner_of(request.param)


def weights(study: Study) -> dict[str, bytes]:
    store = study.store
    return {key: store.file("stages", key, "model.safetensors").read_bytes() for key in store.keys("stages")}


@pytest.mark.parametrize("runner", RUNNERS, indirect=True)
class TestContract:
    def test_all_trials_end_and_the_report_is_there(self, runner: Runner, tiny: Callable[..., Spec], tmp_path: Path) -> None:
        study = search(tiny(), out=tmp_path / "out", runner=runner)
        found = counts(study.rows())
        assert study.finished() and found.complete + found.stopped == 6 and not found.failed
        names = {"spec.yaml", "study.db", "trials.csv", "frontier.csv", "frontier.json", "frontier.png", "frontier.svg"}
        assert names <= {path.name for path in (tmp_path / "out").iterdir()}
        assert list(study.frontier()["role"]).count("teacher") == 0 < len(study.frontier())

    @pytest.mark.slow
    def test_a_stage_that_explodes_is_a_failed_trial(self, runner: Runner, tiny: Callable[..., Spec], tmp_path: Path) -> None:
        recipe = {"epochs": 3, "batch_size": 16, "optimizer": "sgd", "weight_decay": 1.0}
        recipe |= {"learning_rate": {"choice": [0.01, 1000]}}
        spec = tiny(student__recipe=recipe, search__trials=10, search__tolerate_failures=1.0)
        study = search(spec, out=tmp_path / "out", runner=runner)
        found = counts(study.rows())
        assert found.failed > 0 < found.complete and sum(found) == 10
        reasons = {row.reason for row in study.rows() if row.state == "failed"}
        assert all("lower the learning rate" in reason for reason in reasons)


@pytest.mark.parametrize("runner", RARELY, indirect=True)
class TestContractAtLength:
    @pytest.mark.slow
    def test_the_same_stages_have_the_bytes_of_the_serial_runner(
        self, runner: Runner, tiny: Callable[..., Spec], tmp_path: Path
    ) -> None:
        """Without halving: who is stopped depends on who has reached a rung by then."""
        spec = tiny(search={"trials": 8, "sampler": "random", "halving": False}, assistants__at_most=2)
        expected = weights(search(spec, out=tmp_path / "serial", runner="serial"))
        found = weights(search(spec, out=tmp_path / "other", runner=runner))
        both = expected.keys() & found.keys()
        # A proposal that equals an assistant uses up a trial or not, depending on which of the two came first.
        assert len(both) >= len(expected) - 3
        assert all(found[key] == expected[key] for key in both)

    def test_students_stop_at_rungs_and_what_they_learned_is_kept(
        self, runner: Runner, tiny: Callable[..., Spec], tmp_path: Path
    ) -> None:
        halving = {"first": 0.3, "factor": 2, "share": 0.3}
        recipe = {"epochs": 6, "batch_size": 32, "learning_rate": 0.01}
        search_ = {"trials": 12, "sampler": "random", "label_baselines": False, "halving": halving}
        study = search(tiny(search=search_, student__recipe=recipe), out=tmp_path / "out", runner=runner)
        stopped = [row for row in study.rows() if row.state == "stopped"]
        assert stopped and counts(study.rows()).failed == 0
        assert {row.origin.rungs[-1][0] for row in stopped} <= {2, 4}
        assert all((study.store.root / "partial" / row.stage).is_file() for row in stopped)
        assert not {row.stage for row in stopped} & set(study.store.keys("stages"))

    def test_twelve_trials_on_one_assistant_train_it_once(
        self, runner: Runner, tiny: Callable[..., Spec], tmp_path: Path
    ) -> None:
        changes: dict[str, Any] = {
            "assistants__at_least": 1,
            "assistants__ladder": [{"family": "mlp", "depth": 1, "width": 32}],
            "student__loss": {"kd": {"weight": 1.0, "temperature": {"log": [1, 16]}}},
            "search__trials": 12,
        }
        study = search(tiny(**changes), out=tmp_path / "out", runner=runner)
        assert len(study.trained) == len(set(study.trained)) == len(study.store.keys("stages")) == 1 + 1 + 12

    def test_a_damaged_store_ends_the_search_with_the_way_out(
        self, runner: Runner, tiny: Callable[..., Spec], tmp_path: Path
    ) -> None:
        study = search(tiny(), out=tmp_path / "out", runner=runner)
        for key in study.store.keys("outputs"):
            path = study.store.file("outputs", key, "logits.npy")
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
        from autodistill.study.driver import Options

        with pytest.raises((StoreError, StudyError), match="damaged.*remove the folder"):
            search(tiny(search__trials=30), out=tmp_path / "out", runner=runner, options=Options(extend=True))


def training() -> list[psutil.Process]:
    """Our own Ray's workers that are at work; a process may end while it is looked at."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found += [process] if "Trainable.train" in " ".join(process.cmdline()) else []
    return found


@pytest.mark.slow
@pytest.mark.ray
def test_a_killed_worker_is_a_failed_trial_and_the_search_goes_on(
    local_ray: None, tiny: Callable[..., Spec], tmp_path: Path
) -> None:
    killed: list[int] = []
    recipe = {"epochs": 80, "batch_size": 8, "learning_rate": 0.01}
    spec = tiny(student__recipe=recipe, search__trials=6, student__architecture__depth=2)
    runner = runner_of("ray")
    original = Study.next

    def kill_once(self: Study) -> Any:
        job = original(self)
        busy = training()
        students_only = all(kind == "stages" for kind, _ in self.jobs.running)
        if len(self.record.trials) >= 2 and students_only and busy and not killed:
            killed.append(busy[0].pid)
            os.kill(busy[0].pid, signal.SIGKILL)
        return job

    Study.next = kill_once  # type: ignore[method-assign]
    try:
        study = search(spec, out=tmp_path / "out", runner=runner)
    finally:
        Study.next = original  # type: ignore[method-assign]
    found = counts(study.rows())
    assert killed and sum(found) == 6 and found.failed <= 2
    assert {row.reason for row in study.rows() if row.state == "failed"} <= {
        "the worker process died: killed, out of memory, or a crash in native code"
    }


def test_a_ray_client_address_is_refused_with_the_line_to_use() -> None:
    with pytest.raises(UsageError, match=r"ray job submit --address http://head:8265 -- autodistill search"):
        runner_of("ray", "ray://head:10001")


def test_an_address_is_for_ray_and_runners_have_names() -> None:
    with pytest.raises(UsageError, match="--address auto applies only to --runner ray"):
        runner_of("serial", "auto")
    with pytest.raises(UsageError, match="use 'ray' or 'serial'"):
        runner_of("dask")


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test may have started Ray in this process."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)


@pytest.mark.usefixtures("no_ray")
def test_where_no_cluster_answers_is_said_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "PATIENCE", 0.0)
    with socket.socket() as taken:  # its port does not listen
        taken.bind(("", 0))
        port = taken.getsockname()[1]
        said: list[str] = []
        runner = runner_of("ray", f"localhost:{port}", said.append)
        with pytest.raises(StudyError, match=rf"no Ray cluster answers at localhost:{port} \(.+\); check the address"):
            runner.sees_cuda()
    assert said == [f"connecting to the Ray cluster at localhost:{port} (for at most 0 s)"]


def test_a_cluster_that_is_still_starting_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
    listens = threading.Timer(0.1, lambda: started.append(socket.create_server(place)))
    started: list[socket.socket] = []
    listens.start()
    joining.await_answer("head:6379", place, [].append)
    started[0].close()


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("address", ["head", "", "local", "head:port"])
def test_an_address_that_names_no_cluster_is_refused_with_the_form_to_use(address: str) -> None:
    with pytest.raises(UsageError, match=f"--address {address}: .*use HOST:PORT"):
        runner_of("ray", address).sees_cuda()


@pytest.mark.usefixtures("no_ray")
def test_auto_without_a_cluster_on_this_machine_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_cluster(_: str) -> str:
        raise ConnectionError

    monkeypatch.setattr(joining, "canonicalize_bootstrap_address", no_cluster)
    with pytest.raises(StudyError, match="--address auto: no Ray cluster runs on this machine; .*ray start --head"):
        runner_of("ray", "auto").sees_cuda()


@pytest.mark.usefixtures("no_ray")
def test_a_cluster_that_refuses_to_talk_may_want_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an explicit address, Ray sends no token unless RAY_AUTH_MODE says so."""
    import ray

    def refused(**_: Any) -> None:
        raise ConnectionError("Failed to connect")

    monkeypatch.setattr(ray, "init", refused)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(joining, "canonicalize_bootstrap_address", lambda _: f"127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(StudyError, match="cannot connect to Ray at head:6379 .*set RAY_AUTH_MODE=token.*--address auto"):
            runner_of("ray", "head:6379", [].append).sees_cuda()


@pytest.mark.usefixtures("no_ray")
def test_sigterm_ends_a_search_that_connects_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ray.init` replaces the handler of SIGTERM."""
    import ray

    def terminated(*_: Any, **__: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(ray, "init", terminated)
    before = signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(joining, "canonicalize_bootstrap_address", lambda _: f"127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(KeyboardInterrupt):
            runner_of("ray", "head:6379").sees_cuda()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
@pytest.mark.ray
def test_jobs_shorter_than_the_start_of_a_worker_are_shared_by_all_workers(
    local_ray: None, tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autodistill.runners.assignment import Assignment
    from autodistill.runners.worker import Report

    did: set[str] = set()
    original = Assignment.reported

    def noting(self: Assignment, worker: str, report: Report, give: Any) -> bool:
        did.update([worker] if worker in self.running else [])
        return original(self, worker, report, give)

    monkeypatch.setattr(Assignment, "reported", noting)
    search(tiny(search__trials=12, search__sampler="random"), out=tmp_path / "out", runner=runner_of("ray"))
    assert len(did) == 2


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("error", [PermissionError("/tmp/ray"), ConnectionError("no"), ValueError("a path too long")])
def test_a_ray_that_cannot_start_is_said_at_once(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is started beside other work, in a thread: nobody may wait there for ever."""
    import ray

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises((StudyError, type(error)), match=str(error)):
        search(tiny(), out=tmp_path / "out", runner=runner_of("ray"))


def test_tune_asks_for_no_environment_of_its_own_so_that_actors_get_processes_that_were_started_in_advance() -> None:
    from ray.tune.execution.class_cache import _ActorClassCache

    from autodistill.runners.worker import Worker

    assert not _ActorClassCache().get(Worker)._default_options["runtime_env"]
