"""Predicted seconds, the order of jobs, and where time goes: closed forms on a simulated clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.distill import Job
from autodistill.spec import Spec, Stage
from autodistill.study.schedule.jobs import Jobs
from autodistill.study.schedule.times import Times, Work
from benchmarks.replay.replay import Replay

from .test_replay import formula, open_study

SEEN = st.tuples(st.integers(1, 30), st.floats(1, 1e6))


@given(st.floats(0, 10), st.floats(1e-9, 1e-3), SEEN, st.floats(2, 10), st.lists(SEEN))
def test_a_law_of_steps_and_macs_is_found(
    a: float, b: float, first: tuple[int, float], factor: float, more: list[tuple[int, float]]
) -> None:
    """Where trainings follow the law, and two of them differ in batch and macs, others are predicted."""
    times, law = Times(), lambda work: work.epochs * (a / work.batch + b * work.macs)
    for number, (epochs, macs) in enumerate([first, (3, factor * first[1]), *more]):
        work = Work(f"{number}", epochs, (16, 256)[number % 2], macs)
        times.saw(work, law(work))
    other = Work("other", 7, 64, 5e4)
    assert times.seconds(other) == pytest.approx(law(other), rel=1e-3)


@pytest.mark.parametrize("seconds", [(3.0, 1.0), (1.0, 300.0), (0.0, 0.0)])
def test_no_prediction_is_below_zero(seconds: tuple[float, float]) -> None:
    """Where trainings follow no law: the larger one was faster, or far slower than its macs say."""
    times = Times()
    for number, each in enumerate(seconds):
        times.saw(Work(f"{number}", 1, 64, 1e4 * (1 + number)), each)
    for macs in (1.0, 1e8):
        found = times.seconds(Work("other", 7, 64, macs))
        assert found is not None and found >= 0


def test_the_same_kind_is_predicted_by_what_it_took() -> None:
    times = Times()
    assert times.seconds(Work("a", 10, 64, 1e6)) is None
    times.saw(Work("a", 10, 64, 1e6), 20.0)
    times.saw(Work("b", 10, 64, 2e6), 1.0)
    assert times.seconds(Work("a", 5, 64, 1e6)) == 10.0


def stage_of(study: object, width: int) -> Stage:
    space = study.space  # type: ignore[attr-defined]
    params = {path: domain.ends()[0] for path, domain in space.domains.items()} | {"architecture.width": width}
    found = space.decode(params)
    assert isinstance(found, Stage)
    return found


def makespan(jobs: Jobs, seconds: Callable[[Job], float], workers: int, done: set[str]) -> float:
    free, end = [0.0] * workers, 0.0
    while (job := jobs.pop()) is not None:
        at = free.index(min(free))
        free[at] += seconds(job)
        end = max(end, free[at])
        done.add(str(job.address()))
        jobs.ended(job, done=True)
    return end


def test_longest_first_ends_earlier(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """Of 1, 1, 1 and 3 s two workers need 3 s, but 4 s where the long one comes last (Graham, SIAM 1969)."""
    study = open_study(tiny(), tmp_path)
    lengths = {1: 1.0, 2: 1.0, 3: 1.0, 4: 3.0}
    done: set[str] = set()

    def is_done(job: Job) -> bool:
        return not job.trains or job.network.key() in study.teachers or str(job.address()) in done

    def seconds(job: Job) -> float:
        return lengths[job.network.architecture.width]  # type: ignore[union-attr]

    ends = []
    for longest in (False, True):
        done.clear()
        jobs = Jobs(is_done, seconds)
        for width in lengths:
            jobs.want(stage_of(study, width))
        if longest:
            jobs.longest_first()
        ends.append(makespan(jobs, seconds, 2, done))
    assert ends == [4.0, 3.0]


def test_what_unblocks_most_comes_first(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    study = open_study(tiny(assistants__at_least=1), tmp_path)
    done = {*study.teachers}
    jobs = Jobs(lambda job: not job.trains or job.network.key() in done, lambda job: 0.0)

    def student(width: int, rung: int) -> Stage:
        params = {path: domain.ends()[-1] for path, domain in study.space.domains.items()}
        return study.space.decode(params | {"architecture.width": width, "assistants.1": rung})

    for width, rung in ((1, 0), (2, 1), (3, 1)):
        jobs.want(student(width, rung))
    first, second = jobs.pop(), jobs.pop()
    assert first and second and jobs.pop() is None
    assert [job.network.architecture.width for job in (first, second)] == [32, 16]  # type: ignore[union-attr]
    assert jobs.unblocks(first) and not jobs.is_student(first)
    jobs.drop(student(1, 0))
    assert not jobs.unblocks(second)
    jobs.ended(first, done=False)
    assert jobs.pop() is first


@pytest.mark.parametrize("workers", [2, 5])
def test_no_worker_idles_while_a_job_is_ready(tiny: Callable[..., Spec], tmp_path: Path, workers: int) -> None:
    spec = tiny(search={"trials": 25, "sampler": "random"}, assistants__at_most=2)
    study = open_study(spec, tmp_path)
    replay = Replay(formula(study, lambda job: 1.0 + len(job.network.key()) % 3), workers=workers)

    original = study.done

    def done(job: Job, failure: str | None = None) -> None:
        """While a job ran, time went by: either all workers had one, or there was none."""
        ready = [node for node in study.jobs._nodes.values() if node.is_ready()]
        assert len(study.jobs.running) == workers or not ready or study._absent
        original(job, failure)

    study.done = done  # type: ignore[method-assign]
    replay.run(study, lambda: None)
    assert study.finished()


def test_time_is_told_by_kind_and_adds_up(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """Two workers, a teacher of 4 s, its outputs 1 s, students 2 s each."""
    spec = tiny(
        search={"trials": 4, "sampler": "random", "halving": False, "label_baselines": False},
        assistants={"at_most": 0},
        student__loss={"kd": {"weight": 1.0, "temperature": 2.0}},
        student__architecture={"family": "mlp", "depth": 1, "width": {"int": [1, 1000]}},
    )
    study = open_study(spec, tmp_path)

    def seconds(job: Job) -> float:
        return 1.0 if not job.trains else 4.0 if job.network.key() in study.teachers else 2.0

    replay = Replay(formula(study, seconds), workers=2)
    lefts: list[float | None] = []
    replay.run(study, lambda: lefts.append(study.seconds_left()))
    spent = study.meter.spent(study.workers)
    assert (spent.teachers, spent.outputs, spent.students) == (4.0, 1.0, 8.0)
    assert spent.seconds == replay.clock == 9.0 and spent.idle == 18.0 - 13.0
    assert spent.useful == pytest.approx((1.0 + 2 * 2.0) / (2 * 3.0))  # the last two began 3 s after the teacher
    assert lefts[-1] == 0.0 and lefts[-3] is not None and lefts[-3] <= 4.0
