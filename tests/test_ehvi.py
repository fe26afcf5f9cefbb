"""The sampler that knows sizes: its closed forms, its model, its proposals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.distill import Job
from autodistill.metrics.intervals import sampling_error
from autodistill.metrics.metric import ACCURACY
from autodistill.spec import Spec, UsageError
from autodistill.study import pareto
from autodistill.study.record.notes import Trial, TrialFacts
from autodistill.study.record.record import Record
from autodistill.study.record.region import Region
from autodistill.study.sampling import ehvi
from autodistill.study.sampling.candidates import Candidates
from autodistill.study.sampling.ehvi import Goal, Hyper, Model, Prior, Steps, Students
from autodistill.study.sampling.ehvi_sampler import EhviSampler, informed
from autodistill.study.sampling.proposals import MOST, Optunas, sampler_of
from autodistill.study.schedule.scheduler import Study
from autodistill.study.space import Space
from benchmarks.replay import Asked, Table, bench
from benchmarks.replay.memory import Memory
from benchmarks.replay.replay import Answer, Replay

from .scored import score
from .test_bench import DIGITS
from .test_replay import formula, open_study

POINTS = st.lists(st.tuples(st.floats(2, 6), st.floats(0, 1)), min_size=0, max_size=12)
REFERENCE, CHANCE, SAMPLES = 5.0, 0.1, 2000
GOAL = Goal(ACCURACY, CHANCE, REFERENCE)


def flat(slopes: Any, samples: int = SAMPLES) -> Prior:
    """Nothing is expected to rise."""
    return Prior(
        noise=partial(sampling_error, samples=samples), rise=np.zeros(len(slopes)), slopes=slopes, scales=np.ones(len(slopes))
    )


def steps_of(points: list[tuple[float, float]]) -> Steps:
    table = np.array(points, dtype=np.float64).reshape(-1, 2)
    return Steps.of(table[:, 0], table[:, 1], CHANCE)


def volume(points: list[tuple[float, float]]) -> float:
    table = np.array(points, dtype=np.float64).reshape(-1, 2)
    return pareto.hypervolume(np.stack([-table[:, 1], table[:, 0]], axis=1), [-CHANCE, REFERENCE])


@given(st.floats(0, 1))
def test_the_warp_is_undone(accuracy: float) -> None:
    assert ACCURACY.unwarp(ACCURACY.warp(accuracy)) == pytest.approx(accuracy, abs=1e-9)


@given(POINTS)
def test_the_staircase_has_the_hypervolume_of_the_points(points: list[tuple[float, float]]) -> None:
    assert steps_of(points).volume(REFERENCE) == pytest.approx(volume(points), abs=1e-9)


@given(POINTS, st.floats(2, 6), st.floats(0.01, 0.99))
def test_a_sure_accuracy_gains_what_the_hypervolume_grows(
    points: list[tuple[float, float]], size: float, accuracy: float
) -> None:
    found = ehvi.expected_improvement(np.array([size]), ACCURACY.warp([accuracy]), np.array([1e-9]), steps_of(points), GOAL)
    assert found[0] == pytest.approx(volume([*points, (size, accuracy)]) - volume(points), abs=1e-6)


def test_the_expected_gain_is_the_mean_over_draws() -> None:
    points = [(2.5, 0.4), (3.0, 0.7), (4.0, 0.9)]
    mean, deviation = 0.6, 0.8
    draws = ACCURACY.unwarp(mean + deviation * np.random.default_rng(0).normal(size=20_000))
    wanted = np.mean([steps_of(points).joined(2.8, accuracy).volume(REFERENCE) for accuracy in draws]) - volume(points)
    found = ehvi.expected_improvement(np.array([2.8]), np.array([mean]), np.array([deviation]), steps_of(points), GOAL)
    assert found[0] == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize("z", [-6, -2, 0, 2, 3, 5])
@pytest.mark.parametrize("deviation", [0.05, 0.3, 1.0])
def test_the_expected_gain_is_right_far_below_a_frontier(z: float, deviation: float) -> None:
    """Its highest step lies z deviations above the mean: against a fine sum over the normal density."""
    for height in (0.5, 0.9, 0.98):
        steps, mean = steps_of([(2.5, height / 2), (3.0, height)]), float(ACCURACY.warp(height)) - z * deviation
        for size in (2.0, 2.8, 3.5):
            found = ehvi.expected_improvement(np.array([size]), np.array([mean]), np.array([deviation]), steps, GOAL)
            draws, step = np.linspace(-10, 20, 200_001, retstep=True)
            low, high = max(0.0, 3.0 - max(size, 2.5)), REFERENCE - max(size, 3.0)
            above = np.maximum(ACCURACY.unwarp(mean + draws * deviation)[:, None] - np.array([CHANCE, height / 2, height]), 0)
            wanted = above @ np.array([max(0.0, 2.5 - size), low, high]) @ np.exp(-0.5 * draws**2) * step / np.sqrt(2 * np.pi)
            assert found[0] == pytest.approx(wanted, rel=0.005)


def test_where_nothing_can_move_nothing_is_gained() -> None:
    """Above a student that is always right, and at the reference's size."""
    sizes, mean, deviation = np.array([3.5, 4.0, 5.0]), np.full(3, 3.0), np.full(3, 2.0)
    assert ehvi.expected_improvement(sizes, mean, deviation, steps_of([(3.0, 1.0)]), GOAL) == pytest.approx(np.zeros(3))


def test_the_saving_is_chance_times_log_size() -> None:
    found = ehvi.expected_saving(
        np.array([3.0, 5.0]), ACCURACY.warp([0.7, 0.9]), np.ones(2), smallest=4.0, target=float(ACCURACY.warp(0.7))
    )
    assert found == pytest.approx([0.5 * 1.0, 0.0])


def test_a_target_is_sought_below_the_smallest_that_reached_it() -> None:
    rng = np.random.default_rng(0)
    x, sizes = rng.random((20, 2)), np.linspace(2, 4, 20)
    belief = Model.fit(x[:8], ACCURACY.warp(0.5 + 0.4 * x[:8, 0]), flat(np.zeros(2), SAMPLES)).at(x)
    found = ehvi.worth(sizes, belief, steps_of([(3.0, 0.8)]), Goal(ACCURACY, CHANCE, REFERENCE, target=0.75))
    assert (found[sizes < 3.0] > 0).any() and (found[sizes >= 3.0] == 0).all()


def test_a_model_of_few_points_neither_forgets_nor_believes_all(n: int = 4) -> None:
    """The trap of Gaussian processes on few points: all is noise, or there is none and no doubt between points."""
    x = np.linspace(0, 1, n)[:, None]
    accuracies = np.array([0.4, 0.8, 0.9, 0.95])
    model = Model.fit(x, ACCURACY.warp(accuracies), flat(np.ones(1), SAMPLES))
    belief = model.at(np.vstack([x, [[0.5]]]))
    assert ACCURACY.unwarp(belief.mean[:n]) == pytest.approx(accuracies, abs=0.08)
    assert belief.deviation()[n] > belief.deviation()[:n].max()


def test_the_gradient_of_the_fit_is_the_slope_of_its_value() -> None:
    from scipy.optimize import approx_fprime

    rng = np.random.default_rng(1)
    x, y, slopes = rng.random((9, 3)), rng.normal(size=9), np.array([0.0, 0.0, 1.0])
    at = np.array([0.1, -0.2, 0.3, 0.2, -1.0])
    errors, prior = rng.uniform(0.05, 0.5, 9), flat(slopes)._replace(scales=np.array([1.0, 3.0, 1.0]))
    slope = approx_fprime(at, lambda one: ehvi._objective(one, x, y, errors, prior)[0], 1e-6)
    assert ehvi._objective(at, x, y, errors, prior)[1] == pytest.approx(slope, abs=1e-3)


def test_along_a_feature_of_a_larger_scale_accuracies_are_expected_to_change_less() -> None:
    x, z = np.array([[0.2, 0.2], [0.5, 0.5], [0.8, 0.8]]), ACCURACY.warp([0.6, 0.7, 0.8])
    model = Model.fit(x, z, flat(np.zeros(2))._replace(scales=np.array([1.0, 3.0])))
    sideways, along = model.at(np.array([[1.0, 0.5], [0.5, 1.0]])).deviation()
    assert along < 0.7 * sideways


def test_everything_but_the_architecture_is_expected_to_matter_less(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    candidates = Candidates(space_of(tiny(), tmp_path), 0)
    names = [path for path, _ in candidates.columns]
    found = dict(zip(names, candidates.scales(3.0), strict=False))
    assert found["architecture.width"] == 1.0 and found["loss.kd.temperature"] == found["assistants.count"] == 3.0
    assert len(candidates.scales(3.0)) == len(names) + 2


def test_believing_a_candidate_is_knowing_it_at_its_mean() -> None:
    rng = np.random.default_rng(2)
    x, others = rng.random((6, 2)), rng.random((5, 2))
    z = ACCURACY.warp(rng.uniform(0.3, 0.9, 6))
    model = Model.fit(x, z, flat(np.ones(2), SAMPLES))
    belief = model.at(others)
    mean = belief.mean.copy()
    belief.believe(1)
    again = model.knowing(np.vstack([x, others[1:2]]), np.append(z, mean[1]), np.zeros(7)).at(others)
    assert again.mean == pytest.approx(mean, abs=1e-6)
    assert again.deviation() == pytest.approx(belief.deviation(), abs=1e-6)


def test_the_deviation_of_a_model_is_that_of_its_draws() -> None:
    x = np.random.default_rng(3).random((6, 2))
    belief = Model.fit(x[:3], ACCURACY.warp([0.3, 0.6, 0.8]), flat(np.ones(2), SAMPLES)).at(x)
    assert np.sqrt(np.diag(belief.covariance(range(6)))) == pytest.approx(belief.deviation(), abs=1e-5)


def test_the_improvement_of_more_trials_is_small_where_all_is_known_and_large_where_nothing_is() -> None:
    x, sizes = np.linspace(0, 1, 12)[:, None], np.linspace(2, 4, 12)
    accuracy = 0.2 + 0.7 * x[:, 0]
    goal = Goal(ACCURACY, CHANCE, REFERENCE)
    some, most = [0, 1, 2], [*range(12)]
    found = []
    for known in (some, most):
        model = Model.fit(x[known], ACCURACY.warp(accuracy[known]), flat(np.ones(1), SAMPLES))
        found.append(ehvi.improvement(model, Students(x[known], sizes[known]), Students(x, sizes), goal, 6))
    few, many = found
    assert few is not None and many is not None
    assert few.mean > 0.2 > 0.1 > many.mean >= 0 and few.low <= few.mean <= few.high


@pytest.mark.parametrize(("asked", "candidates", "looked"), [(6, 12, 6), (60, 12, 12), (500, 300, ehvi.MOST_TRIALS)])
def test_the_improvement_says_how_many_trials_it_looked_at(asked: int, candidates: int, looked: int) -> None:
    x, sizes = np.linspace(0, 1, candidates)[:, None], np.linspace(2, 4, candidates)
    model = Model.fit(x[:3], ACCURACY.warp([0.4, 0.5, 0.6]), flat(np.ones(1), SAMPLES))
    found = ehvi.improvement(
        model, Students(x[:3], np.array([2.0, 2.1, 2.2])), Students(x, sizes), Goal(ACCURACY, CHANCE, REFERENCE), asked
    )
    assert found is not None and found.trials == looked


def test_without_anything_below_the_reference_there_is_no_improvement() -> None:
    x = np.linspace(0, 1, 5)[:, None]
    model = Model.fit(x[:3], ACCURACY.warp([0.5, 0.6, 0.7]), flat(np.ones(1), SAMPLES))
    known = Students(x[:3], np.full(3, REFERENCE + 1))
    assert ehvi.improvement(model, known, Students(x, np.linspace(2, 4, 5)), Goal(ACCURACY, CHANCE, REFERENCE), 3) is None


# Spaces


def space_of(spec: Spec, tmp_path: Path) -> Space:
    return open_study(spec, tmp_path).space


def test_candidates_are_within_the_limits_and_the_same_for_the_same_seed(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    spec = tiny(search={"trials": 4, "limits": {"params": 150}})
    space = space_of(spec, tmp_path)
    one, other = (Candidates(space, 3).draw(5, []) for _ in range(2))
    assert one == other and all(space.sizes(space.architecture(each.params)).params <= 150 for each in one)
    assert {each.params["architecture.width"] for each in one} == set(
        range(1, max(e.params["architecture.width"] for e in one) + 1)
    )


def test_equal_stages_are_equal_rows(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """What does not reach the stage does not reach the model: rungs beyond the count, and rungs no larger than the student."""
    space = space_of(tiny(assistants__at_most=2), tmp_path)
    candidates = Candidates(space, 0)
    rows: dict[str, tuple[float, ...]] = {}
    for one in candidates.draw(0, []):
        kept = one.params | {"loss.kd.weight": 0.5, "loss.kd.temperature": 2.0}
        row = tuple(candidates.encode(kept, one.sizes))
        assert rows.setdefault(space.decode(kept).key(), row) == row
    assert len(set(rows.values())) == len(rows)


def test_a_term_without_weight_hides_its_parameters(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    loss = {"ce": {"weight": "rest"}, "kd": {"weight": {"choice": [0.0, 0.9]}, "temperature": {"log": [1, 16]}}}
    space = space_of(tiny(student__loss=loss), tmp_path)
    candidates = Candidates(space, 0)
    one = candidates.draw(0, [])[0]
    rows = [
        candidates.encode(one.params | {"loss.kd.weight": weight, "loss.kd.temperature": temperature}, one.sizes)
        for weight in (0.0, 0.9)
        for temperature in (1.0, 16.0)
    ]
    assert (rows[0] == rows[1]).all() and (rows[2] != rows[3]).any()


def test_everything_is_tried_once_before_anything_is_tried_twice(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    loss = {"ce": {"weight": "rest"}, "kd": {"weight": {"choice": [0.0, 0.9]}}}
    spec = tiny(search={"trials": 24, "halving": False, "label_baselines": False}, student__loss=loss, assistants__at_most=0)
    study = open_study(spec, tmp_path)
    Replay(formula(study)).run(study, lambda: None)
    keys = [trial.facts.stage for trial in study.record.trials]
    assert len(set(keys)) == len(keys) == 24


@pytest.mark.slow
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_a_finite_space_is_finished(tiny: Callable[..., Spec], tmp_path: Path, workers: int) -> None:
    """Once all was tried, those that were stopped go on, each to its end, but for the last ones of several workers."""
    halving = {"first": 0.3, "factor": 2, "share": 0.3}
    loss = {"ce": {"weight": "rest"}, "kd": {"weight": {"choice": [0.0, 0.9]}}}
    changes = {"student__loss": loss, "assistants__at_most": 0, "student__recipe": {"epochs": 4}}
    study = open_study(tiny(search={"trials": 200, "halving": halving, "label_baselines": False}, **changes), tmp_path)
    Replay(formula(study, scatter=0.3), workers=workers).run(study, lambda: None)
    trials = [trial for trial in study.record.trials if not trial.facts.repeats]
    everything = {study.space.decode(one.params).key() for one in Candidates(study.space, 0).draw(0, [])}
    complete = {trial.facts.stage for trial in trials if trial.state == "complete"}
    assert complete <= everything and len(everything - complete) < workers
    first = [trial.facts.stage for trial in trials[: len(everything)]]
    assert set(first) == everything and sum(trial.state == "stopped" for trial in trials) >= 5


def test_a_student_that_nearly_reached_the_frontier_goes_on_first(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    changes = {"student__recipe": {"epochs": 4}, "assistants__at_most": 0, "student__loss": {"ce": {"weight": 1.0}}}
    search = {"trials": 40, "halving": {"first": 0.5}, "label_baselines": False, "region": "all"}
    study = open_study(tiny(search=search, **changes), tmp_path)
    study.region = Region(
        metric=ACCURACY, floor=0.25, teacher=score(0.9, 100), rise=1.0, below={"params": 10**6}, everything=True
    )
    sampler = study.trials.sampler
    assert isinstance(sampler, EhviSampler)
    told = {}
    for number, one in enumerate(sampler.candidates.draw(0, [])):
        params = one.sizes.params
        good = {2: 0.55, 3: 0.55}.get(number, 0.3)
        facts = TrialFacts.of(study.space.decode(one.params), one.sizes)
        done = number < 2
        told[number] = Trial(
            number=number,
            params=one.params,
            state="complete" if done else "stopped",
            values=[0.6, params] if done else None,
            facts=replace(facts, rungs=((2, good),)),
        )
        sampler.added(told[number])
    again = [sampler.propose(study.space.feasible)[0] for _ in range(2)]
    assert again == [told[2].params] * 2
    for expected in (2, 3):
        params = sampler.propose(study.space.feasible)[0]
        assert params == told[expected].params
        sampler.added(replace(told[expected], number=100 + expected, state="running"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 8])
def test_a_search_by_ehvi_finds_more_than_random(workers: int) -> None:
    """The median of seven seeds lacks less than three quarters of what the median of random searches lacks."""
    asked = Asked(strategies=("ehvi", "random"), seeds=7, trials=20, chance=0.1, workers=workers)
    found = bench(Table.read(DIGITS), asked)["strategies"]
    lacks = {name: 1 - each["hypervolume"]["median"] for name, each in found.items()}
    assert lacks["ehvi"] < 0.75 * lacks["random"]


def test_a_resumed_study_proposes_what_the_uninterrupted_would_have(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    study = open_study(tiny(search={"trials": 12, "sampler": "ehvi", "label_baselines": False}), tmp_path)
    original, compared = study.trials.sampler.propose, []

    def propose(feasible: Any) -> Any:
        resumed = sampler_of(study.spec.search, study.space, lambda: study.region)
        for trial in study.record.trials:
            resumed.added(trial)
        compared.append((resumed.propose(feasible), original(feasible)))
        return compared[-1][1]

    study.trials.sampler.propose = propose  # type: ignore[method-assign]
    Replay(formula(study)).run(study, lambda: None)
    assert len(compared) >= 9 and all(one == other for one, other in compared)


def test_a_target_is_reached_by_a_smaller_student(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    spec = tiny(search={"trials": 8, "sampler": "ehvi", "target": 0.6, "label_baselines": False, "halving": False})
    study = open_study(spec, tmp_path)
    Replay(formula(study)).run(study, lambda: None)
    reached = [trial.facts.params for trial in study.record.trials if trial.values and trial.values[0] >= 0.6]
    sizes = {one.sizes.params for one in Candidates(study.space, 0).draw(0, [])}
    smallest = min(size for size in sizes if 0.9 * (0.5 + 0.4 * size / (200 + size)) >= 0.6)
    assert min(reached) <= 1.3 * smallest


def test_several_sizes_take_turns(tmp_path: Path) -> None:
    """Each proposal is that of a search which knows the same trials and looks at one size. Here MACs fall as params rise."""
    rows = [f"{width},{10 * width**2},{10**6 // width},{1 - 0.9 / width**0.3:.3f}" for width in range(1, 31)]
    (tmp_path / "table.csv").write_text("\n".join(["width,params,macs,raw_1", *rows]))
    drawn, names = Table.read(tmp_path / "table.csv").draw(0), ("params", "macs")
    spec = drawn.spec({"trials": 12, "sampler": "ehvi", "objectives": ["accuracy", *names]})
    space = drawn.space(spec)
    study = Study(spec, space, Memory(), Record(None, spec, space.domains), floors={"accuracy": 0.05})
    original, compared = study.trials.sampler.propose, []

    def propose(feasible: Any) -> Any:
        alone = []
        for name in names:
            one = EhviSampler(spec.search.model_copy(update={"objectives": ("accuracy", name)}), space, lambda: study.region)
            for trial in study.record.trials:
                one.added(trial)
            alone.append(one.propose(feasible))
        compared.append((original(feasible), alone))
        return compared[-1][0]

    study.trials.sampler.propose = propose  # type: ignore[method-assign]
    Replay(drawn.answer).run(study, lambda: None)
    assert all(found == alone[number % 2] for number, (found, alone) in enumerate(compared))
    assert sum(alone[0] != alone[1] for _, alone in compared) > len(compared) / 2 > 5


def test_without_a_feasible_student_there_is_a_way_out(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    study = open_study(tiny(), tmp_path)
    Replay(formula(study)).run(study, lambda: None)
    with pytest.raises(UsageError, match="raise the limits"):
        study.trials.sampler.propose(lambda params: False)


def test_what_more_trials_would_add_is_said_for_every_sampler(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    for sampler in ("ehvi", "random"):
        spec = tiny(search={"trials": 10, "sampler": sampler, "label_baselines": False, "region": "all"})
        study = open_study(spec, tmp_path / sampler)
        Replay(formula(study)).run(study, lambda: None)
        known = informed(spec.search, study.space, [], study.region)
        assert known.improvement(5, study.space.feasible) is None and known.posterior() == {}
        found = informed(spec.search, study.space, study.record.trials, study.region).improvement(5, study.space.feasible)
        assert found is not None and found.trials == 5 and 0 <= found.low <= found.mean <= found.high < math.inf


def test_optunas_samplers_know_the_frontier_and_the_latest(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MOST, "tpe", 10)
    study = open_study(tiny(search={"trials": 40, "sampler": "tpe", "label_baselines": False, "halving": False}), tmp_path)
    alike = formula(study)

    def half_right(job: Job) -> Answer:
        found = alike(job)
        return replace(
            found,
            measurement=found.measurement and found.measurement.model_copy(update={"scores": {"accuracy": score(0.5, 100)}}),
        )

    Replay(half_right).run(study, lambda: None)
    sampler = study.trials.sampler
    assert isinstance(sampler, Optunas)
    sampler.propose(study.space.feasible)
    trials = {trial.number: trial for trial in study.record.trials if trial.values}
    table = np.array([[-trial.values[0], trial.values[1]] for trial in trials.values() if trial.values])
    members = {list(trials)[place] for place in pareto.frontier(table)}
    known = set(sampler._places)
    assert members <= known and len(known) < 30 and max(trials) in known


def test_hyperparameters_stay_where_numbers_are_finite() -> None:
    """Equal rows of unlike accuracies, and equal accuracies."""
    for accuracies in ([0.2, 0.9, 0.5], [0.5, 0.5, 0.5]):
        model = Model.fit(np.zeros((3, 2)), ACCURACY.warp(accuracies), flat(np.ones(2), SAMPLES))
        assert np.isfinite(model.hyper.vector()).all() and np.isfinite(model.at(np.ones((1, 2))).mean).all()
    assert Hyper.of(np.arange(4.0)).vector() == pytest.approx(np.arange(4.0))


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_larger_students_are_expected_to_be_better_before_anything_is_known(seed: int) -> None:
    """The trend in log params: from one student."""
    x = np.array([[0.5], [0.0], [1.0]])
    belief = Model.fit(x[:1], ACCURACY.warp([0.5]), flat(np.ones(1), SAMPLES)).at(x)
    assert belief.mean[1] == pytest.approx(belief.mean[2]) and belief.deviation()[1] > belief.deviation()[0]
