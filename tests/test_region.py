"""The region of interest: where it lies, what is tried in it, who is stopped and compared, and when a search ends."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodistill.metrics.intervals import sampling_error
from autodistill.metrics.metric import ACCURACY
from autodistill.reporting.summary import summary
from autodistill.reporting.terminal import frontier_table
from autodistill.spec import Spec, SpecError, UsageError
from autodistill.spec.measurement import Measurement, Sizes
from autodistill.spec.search import Search
from autodistill.study.driver import Options
from autodistill.study.record.record import Record
from autodistill.study.record.region import REDUCIBLE, Region, edges, region_of
from autodistill.study.sampling import ehvi
from autodistill.study.sampling.ehvi import Goal, Model, Prior
from autodistill.study.schedule.halving import FEWEST, Rungs, is_hopeless
from autodistill.study.schedule.policy import FIRST, next_round
from autodistill.study.schedule.scheduler import Study
from benchmarks.replay import Asked, Table
from benchmarks.replay.compare import run
from benchmarks.replay.memory import Memory
from benchmarks.replay.replay import Replay

from .scored import measured
from .searching import search
from .test_bench import DIGITS
from .test_ehvi import flat
from .test_replay import formula, open_study

TEACHER = measured(0.95, 1000, Sizes(10_000, 50_000, 40_000))


def region(teacher: Measurement = TEACHER, incumbent: Sizes | None = None, **asked: Any) -> Region:
    return region_of(Search.model_validate({"trials": 4, **asked}), chance=0.15, teacher=teacher, incumbent=incumbent)


# Where it lies


def test_it_begins_at_a_share_of_the_way_from_the_majority_class_to_the_teacher() -> None:
    assert region().floor == pytest.approx(0.15 + 0.9 * 0.8) and region(region=0.5).floor == pytest.approx(0.55)
    assert region().below == {"params": 10_000, "core_params": 10_000, "macs": 50_000, "bytes": 40_000}


def test_a_target_narrows_it() -> None:
    """Halfway between 90% of the way to the target, 0.8, and the target itself."""
    assert region(target=0.8).floor == pytest.approx((0.15 + 0.9 * 0.65 + 0.8) / 2)
    assert region(target=0.99).floor > region().floor


def test_it_ends_below_the_smallest_of_teacher_incumbent_and_limits() -> None:
    incumbent = Sizes(params=6000, macs=90_000, bytes=24_000)
    found = region(incumbent=incumbent, limits={"bytes": 20_000})
    assert found.below == {"params": 6000, "core_params": 6000, "macs": 50_000, "bytes": 20_001}
    assert found.reference("params") == pytest.approx(math.log10(6000))


def test_its_lower_edge_is_inside_and_its_upper_edge_outside() -> None:
    found, sizes = region(), Sizes(params=9999, macs=49_999, bytes=39_999)
    assert found.holds(found.floor, sizes) and not found.holds(found.floor - 1e-9, sizes)
    for name in ("params", "macs", "bytes"):
        assert not found.holds(found.floor, sizes._replace(**{name: found.below[name]}))


def test_everything_is_inside_where_it_is_all() -> None:
    found = region(region="all")
    assert found.holds(0.0, Sizes(params=10**9, macs=0, bytes=0)) and found.floor == 0.15


@pytest.mark.parametrize("share", REDUCIBLE)
def test_the_edge_is_where_the_power_law_has_the_errors_of_the_floor(share: float) -> None:
    teacher = measured(0.95, 10**6, Sizes(10_000, 50_000, 40_000))
    found, size = region(teacher), edges(region(teacher), teacher.params)[REDUCIBLE.index(share)]
    rest = 0.05 * (1 - share)
    error = rest + 0.05 * share * (size / 10_000) ** -0.5
    assert error == pytest.approx(1 - found.floor, rel=1e-3)


def test_a_teacher_without_errors_on_few_samples_predicts_no_tiny_students() -> None:
    teacher = measured(1.0, 50, Sizes(10_000, 50_000, 40_000))
    assert min(edges(region(teacher), teacher.params)) > 10_000 / 200


def test_beyond_the_teacher_the_edge_is_the_teacher() -> None:
    assert edges(region(target=0.999), TEACHER.params) == [10_000, 10_000]


# Who is stopped


def test_a_training_is_hopeless_where_its_predicted_end_is_below_the_floor() -> None:
    """Changes that are all alike: the deviation is the least that is believed. t(0.95, 3) = 2.353."""
    ended = [(0.6, float(ACCURACY.unwarp(ACCURACY.warp(0.6) + 0.5)))] * FEWEST
    reach = 2.3534 * ehvi.LEAST * math.sqrt(1 + 1 / FEWEST)
    edge = float(ACCURACY.unwarp(ACCURACY.warp(0.9) - 0.5 - reach))
    assert is_hopeless(ACCURACY, edge - 1e-3, ended, 0.9) and not is_hopeless(ACCURACY, edge + 1e-3, ended, 0.9)
    assert not is_hopeless(ACCURACY, 0.01, ended[1:], 0.9)


def test_only_the_nearest_at_the_rung_predict_an_end() -> None:
    near = [(0.5, 0.7), (0.52, 0.7), (0.48, 0.71), (0.5, 0.72), (0.51, 0.69)]
    far = [(0.95, 0.96), (0.1, 0.1), (0.99, 0.99)]
    z = float(ACCURACY.warp(0.5))
    mean, deviation, n = ehvi.predict_end(ACCURACY, z, near)
    assert ehvi.predict_end(ACCURACY, z, [*far, *near]) == (mean, deviation, n) and n == ehvi.NEAREST
    assert float(ACCURACY.unwarp(mean)) == pytest.approx(0.7, abs=0.01) and deviation >= ehvi.LEAST


def test_far_from_what_was_measured_accuracies_rise_as_expected() -> None:
    prior = Prior(
        noise=partial(sampling_error, samples=1000), rise=np.array([3.0, 0.0]), slopes=np.array([0.0, 0.0]), scales=np.ones(2)
    )
    x = np.array([[0.4, 0.0], [0.5, 0.0], [0.6, 0.0]])
    model = Model.fit(x, prior.mean(x) + 0.5, prior)
    found = model.at(np.array([[0.0, 0.0], [1.0, 0.0]])).mean
    assert found == pytest.approx([0.5, 3.5], abs=0.05)


def rungs_after(ended: int) -> Rungs:
    """Rungs at half of the epochs, where so many students had 0.6, and at the end 0.8."""
    found = Rungs(Search.model_validate({"trials": 20, "halving": {"first": 0.5, "share": 0.5}}), lambda: region())
    for number in range(ended):
        sizes = Sizes(5000 + number, 0, 0)
        found.enter(str(number), sizes, 10, [(5, 0.6)])
        found.completed(str(number), 10, 0.88)
    return found


def test_who_will_not_reach_the_region_stops_however_small() -> None:
    assert not rungs_after(FEWEST).continues("tiny", Sizes(10, 0, 0), 10, 5, 0.3)
    assert rungs_after(FEWEST - 1).continues("tiny", Sizes(10, 0, 0), 10, 5, 0.3)


def test_who_is_in_the_region_is_not_stopped_because_larger_ones_are_better() -> None:
    found = rungs_after(12)
    assert found.continues("small", Sizes(4000, 0, 0), 10, 5, 0.58)
    assert not found.continues("large", Sizes(9000, 0, 0), 10, 5, 0.58)


def test_who_is_beaten_by_less_than_a_standard_error_goes_on() -> None:
    """On 1,000 samples, 0.6 has one of 0.0155."""
    for accuracy, wanted in ((0.59, True), (0.58, False)):
        assert rungs_after(12).continues("larger", Sizes(9000, 0, 0), 10, 5, accuracy) == wanted


# What is tried


@pytest.mark.slow
def test_few_trials_look_outside(tmp_path: Path) -> None:
    """Over ten searches of a real table: once three students are inside, at most a sixth of the later ones is not."""
    later = outside_of = 0
    for seed in range(10):
        drawn = Table.read(DIGITS).draw(seed)
        trials = [trial for trial in _bench(drawn, seed).record.trials if not trial.facts.repeats]
        found = region_of(Search.model_validate({"trials": 1}), chance=0.1, teacher=drawn.teacher())
        inside = [number for number, trial in enumerate(trials) if found.holds(trial.value, trial.sizes)]
        after = trials[inside[2] + 1 :]
        later += len(after)
        outside_of += sum(not found.holds(trial.value, trial.sizes) for trial in after)
    assert later > 150 and outside_of <= later / 6


def _bench(drawn: Any, seed: int) -> Study:
    spec = drawn.spec({"trials": 24, "sampler": "ehvi", "seed": seed, "halving": False})
    space = drawn.space(spec)
    study = Study(spec, space, Memory(), Record(None, spec, space.domains), floors={"accuracy": 0.1})
    Replay(drawn.answer).run(study, lambda: None)
    return study


@pytest.mark.slow
def test_a_search_in_the_region_finds_more_there_than_one_everywhere() -> None:
    """Medians of seven seeds after twelve trials."""
    asked = Asked(strategies=(), trials=12, chance=0.1)
    found = {}
    for strategy in ("ehvi", "ehvi+all"):
        ends = [run(Table.read(DIGITS).draw(seed), strategy, seed, asked)[-1].hypervolume for seed in range(7)]
        found[strategy] = float(np.median(ends))
    assert found["ehvi"] > found["ehvi+all"] + 0.02


# What a model says of what was measured


def test_the_sampling_error_is_the_binomial_one() -> None:
    for accuracy in (0.1, 0.5, 0.9):
        step = 1e-5
        slope = (ACCURACY.warp(accuracy + step) - ACCURACY.warp(accuracy - step)) / (2 * step)
        wanted = slope * math.sqrt(accuracy * (1 - accuracy) / 400)
        assert sampling_error(ACCURACY.warp([accuracy]), 400)[0] == pytest.approx(wanted, rel=0.03)


def test_more_samples_leave_less_doubt() -> None:
    x = np.linspace(0, 1, 12)[:, None]
    z = ACCURACY.warp(np.linspace(0.6, 0.9, 12) + 0.01 * np.random.default_rng(0).normal(size=12))
    few, many = (Model.fit(x, z, flat(np.ones(1), samples)).at(x).deviation().mean() for samples in (100, 100_000))
    assert many < few / 2


def test_who_is_clearly_dominated_is_not_on_the_true_frontier() -> None:
    x, sizes = np.linspace(0, 1, 4)[:, None], np.array([2.0, 3.0, 4.0, 6.0])
    model = Model.fit(x, ACCURACY.warp([0.6, 0.9, 0.5, 0.99]), flat(np.zeros(1), 100_000))
    found = ehvi.posterior(model.at(x), sizes, Goal(ACCURACY, 0.3, 5.0))
    shares = [one.on_frontier for one in found]
    assert shares[0] > 0.95 and shares[1] > 0.95 and shares[2] < 0.05 and shares[3] == 0  # beyond the reference
    assert [one.mean for one in found] == pytest.approx([0.6, 0.9, 0.5, 0.99], abs=0.05)


# A real search


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    from autodistill.spec import parse

    from .conftest import DOCUMENT, blobs

    folder = tmp_path_factory.mktemp("region")
    np.savez(folder / "data.npz", **blobs())
    document = json.loads(json.dumps(DOCUMENT))
    document["task"]["dataset"] = str(folder / "data.npz")
    recipe = {"epochs": 4, "batch_size": 32, "learning_rate": 0.03}
    document["student"] |= {"recipe": recipe, "architecture": {"family": "mlp", "depth": 1, "width": {"int": [1, 24]}}}
    document["search"] = {"trials": 12, "region": 0.9, "enqueue": [{"architecture.width": 1}]}
    study = search(parse(document), out=folder / "out", runner="serial")
    return study, folder / "out"


def test_only_members_inside_are_compared_with_labels(searched: tuple[Study, Path]) -> None:
    study, _ = searched
    members = [row for row in study.rows() if row.frontier]
    inside, others = ([row for row in members if row.inside == wanted] for wanted in (True, False))
    assert inside and others
    assert all(row.label_only is not None for row in inside if row.role != "label-only")
    assert all(row.label_only is None for row in others)


def test_the_region_comes_first_in_tables_and_the_rest_is_folded(searched: tuple[Study, Path]) -> None:
    study, out = searched
    found = json.loads((out / "frontier.json").read_text())
    flags = [row["inside"] for row in found["frontier"]]
    assert flags == sorted(flags, reverse=True) and False in flags
    with (out / "frontier.csv").open() as file:
        assert [row["inside"] == "True" for row in csv.DictReader(file)] == flags
    seen = summary(study.spec, study.rows(), study.chance)
    assert frontier_table(seen).row_count == sum(flags) + 1 and ", with at least" in str(frontier_table(seen).title)
    outside = [row for row in study.rows() if not (row.frontier and row.inside)]
    assert ", none with at least" in str(frontier_table(summary(study.spec, outside, study.chance)).title)
    assert f"{len(flags) - sum(flags)} member" in seen.outside()[0]
    assert found["hypervolume"]["reference"] == {"accuracy": study.region.floor, "params": study.region.below["params"]}


def test_the_headline_is_the_smallest_student_at_shares_of_the_teacher(searched: tuple[Study, Path]) -> None:
    found = json.loads((searched[1] / "frontier.json").read_text())
    for one in found["headline"]:
        able = [row["params"] for row in found["frontier"] if row["of_teacher"] >= one["of_teacher"]]
        assert one["params"] == min(able, default=None)
    study = searched[0]
    assert [one["of_teacher"] for one in found["headline"]] == [0.9, 0.95, 0.97, 0.99]
    assert len(summary(study.spec, study.rows(), study.chance).headline) == 4


def test_measured_students_have_an_expected_accuracy(searched: tuple[Study, Path]) -> None:
    rows = [row for row in searched[0].rows() if row.origin is not None and row.state == "complete"]
    assert rows and all(0 < row.expected.mean < 1 and row.expected.deviation > 0 for row in rows)
    assert all(0 <= row.expected.on_frontier <= 1 for row in rows)


# When a search ends


def test_a_search_needs_an_end(tiny: Callable[..., Spec]) -> None:
    with pytest.raises(SpecError, match=r"search.trials: null: nothing ends the search; set search.trials"):
        tiny(search={"seed": 0})


@pytest.mark.parametrize("text", ["2", "2 h", "-1m", "0s", "1w", "h", 2, 2.5, True, ["2h"]])
def test_a_time_that_is_none_is_refused(tiny: Callable[..., Spec], text: object) -> None:
    with pytest.raises(SpecError, match=r"search.time.*give one such as 90s, 30m, 1.5h, or 2d"):
        tiny(search={"time": text})


def test_no_trial_begins_after_the_time_and_a_resumed_search_knows_it(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    spec = tiny(search={"time": "10s", "label_baselines": False, "halving": False, "region": "all"}, assistants__at_most=0)
    study = open_study(spec, tmp_path)
    Replay(formula(study)).run(study, lambda: None)
    assert study.finished() and study.policy.ended == "search.time (10s) is up"
    done = study.trials.counted_done
    assert 6 <= done <= 10  # a second each, after a teacher and its outputs
    again = Study(study.spec, study.space, study.store, study.record, floors=study.floors)
    assert again.next() is None and again.finished() and again.trials.counted_done == done
    longer = study.spec.model_copy(update={"search": study.spec.search.model_copy(update={"time": "20s"})})
    extended = Study(longer, study.space, study.store, study.record, floors=study.floors)
    Replay(formula(extended)).run(extended, lambda: None)
    assert done + 6 <= extended.trials.counted_done <= done + 12


def test_a_search_ends_where_little_is_left_to_gain(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    search = {"stop": {"gain": 0.02}, "label_baselines": False, "halving": False, "region": 0.5}
    study = open_study(tiny(search=search, assistants__at_most=0), tmp_path)
    Replay(formula(study)).run(study, lambda: None)
    assert study.finished() and study.policy.ended is not None and "less than search.stop.gain" in study.policy.ended
    assert FIRST <= study.trials.counted_done < 60
    again = Study(study.spec, study.space, study.store, study.record, floors=study.floors)
    assert again.next() is None and again.finished()


def test_the_first_of_several_ends_counts(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    spec = tiny(search={"time": "1h", "trials": 5, "label_baselines": False, "halving": False})
    study = open_study(spec, tmp_path)
    Replay(formula(study)).run(study, lambda: None)
    assert study.finished() and study.trials.counted_done == 5


def test_a_round_is_half_as_many_again_and_one_for_each_worker() -> None:
    assert [next_round(done, workers) for done, workers in ((9, 1), (10, 2), (8, 20))] == [5, 5, 20]


@pytest.mark.slow
def test_more_time_extends_a_study(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    spec = tiny(search={"time": "0.1s", "trials": 12, "label_baselines": False, "halving": False})
    first = search(spec, out=tmp_path / "out", runner="serial").trials.counted_done
    more = tiny(search={"time": "1h", "trials": 12, "label_baselines": False, "halving": False})
    with pytest.raises(UsageError, match="--extend to continue"):
        search(more, out=tmp_path / "out", runner="serial")
    wanted = replace(Options(), extend=True)
    assert search(more, out=tmp_path / "out", runner="serial", options=wanted).trials.counted_done == 12 > first
