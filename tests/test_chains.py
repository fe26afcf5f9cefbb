"""Which chain for one student: who goes on, what may be said, and a plan that is really trained."""

from __future__ import annotations

import copy
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from autodistill import api
from autodistill.answers.chains import ChainPlan, Home
from autodistill.answers.chains.asked import geometric, with_student
from autodistill.answers.chains.compare import DIRECT, Candidate, going_on, is_clearly_worse, ranked, verdict
from autodistill.answers.chains.planner import Ladder, Planner
from autodistill.answers.chains.rules import RULES, Line
from autodistill.answers.chains.trainings import Trainings
from autodistill.cli import main
from autodistill.data import Sealed
from autodistill.distill import load_network
from autodistill.distill.loop import load_state, train, training
from autodistill.metrics.intervals import mean_interval
from autodistill.metrics.metric import named
from autodistill.reporting.chain_graph import _legend, draw
from autodistill.reporting.explain import Link
from autodistill.reporting.page.chains import picture
from autodistill.reporting.page.finalists import Gain, Gains
from autodistill.spec import MLP, Checkpoint, ResNet, Spec, Stage, UsageError, parse
from autodistill.store import Store
from autodistill.study.driver import Options
from autodistill.study.record.directory import StudyDirectory, dump
from autodistill.study.record.rows import Stages, network_of
from autodistill.study.sampling.first import completed
from autodistill.study.space import Space

from .conftest import DOCUMENT, blobs
from .rows import finalist
from .searching import search

CPU = torch.device("cpu")
STUDENT = "depth=1,width=4"


def chain(*path: int, guidance: Any = "serial") -> Candidate:
    return Candidate(kind="chain", path=path, guidance=guidance)


# Who goes on


@st.composite
def comparisons(draw: Any) -> dict[Candidate, list[float]]:
    seeds, count = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    values = st.lists(st.integers(0, 1000).map(lambda number: number / 1000), min_size=seeds, max_size=seeds)
    return {one: draw(values) for one in (DIRECT, *(chain(rung) for rung in range(count)))}


def each_second(ones: Any) -> list[float]:
    return [float(len(ones))] * 2


@given(comparisons(), st.floats(0, 20))
def test_the_reference_and_the_best_go_on_as_long_as_anybody_does(found: dict[Candidate, list[float]], left: float) -> None:
    staying = going_on(found, each_second, left)
    assert len(set(staying)) == len(staying) and set(staying) <= set(found)
    if staying:
        assert DIRECT in staying and ranked(found)[0] in staying
    if len(staying) > 1:
        assert each_second(staying)[0] <= left
    if left >= 2 * len(found):
        assert set(staying) == {one for one in found if one == DIRECT or not is_clearly_worse(found[one], found[staying[0]])}


@given(comparisons())
def test_what_all_seeds_have_in_common_does_not_matter(found: dict[Candidate, list[float]]) -> None:
    harder = {one: [value - 0.5 * seed for seed, value in enumerate(values)] for one, values in found.items()}
    pairs = [(one, other) for one in found for other in found]
    for one, other in pairs:
        mean, again = (fmean(table[one]) - fmean(table[other]) for table in (found, harder))
        assert mean == pytest.approx(again)
        interval = mean_interval([a - b for a, b in zip(found[one], found[other], strict=True)])
        if interval is not None and abs(interval.high) > 1e-9:
            assert is_clearly_worse(found[one], found[other]) == is_clearly_worse(harder[one], harder[other])


def test_with_one_seed_nobody_is_clearly_worse_and_time_halves() -> None:
    found = {DIRECT: [0.1], **{chain(rung): [0.9 - rung / 10] for rung in range(4)}}
    assert going_on(found, each_second, math.inf) == [*(chain(rung) for rung in range(4)), DIRECT]
    assert going_on(found, each_second, 9.0) == [chain(0), chain(1), DIRECT], "two rounds of five take ten seconds"
    assert going_on(found, each_second, 2.5) == [chain(0), DIRECT]
    assert going_on(found, each_second, 1.0) == []


def test_differences_that_are_all_alike_say_nothing_of_the_noise_and_drop_nobody() -> None:
    found = {DIRECT: [0.5, 0.6], chain(0): [0.7, 0.8], chain(1): [0.69, 0.79]}
    assert going_on(found, each_second, math.inf) == [chain(0), chain(1), DIRECT]
    assert verdict({DIRECT: [0.9] * 3, chain(0): [0.9, 0.95, 0.95]}).why == "unknown"


# What may be said


def test_the_verdict_says_no_assistant_if_the_gain_is_not_significant() -> None:
    direct = [0.9, 0.9, 0.9, 0.9, 0.9]
    noisy, sure = [0.99, 0.95, 0.85, 0.95, 0.9], [0.5, 0.95, 0.951, 0.949, 0.95]
    found = verdict({DIRECT: direct, chain(0): noisy})
    assert (found.why, found.answer) == ("not_significant", DIRECT) and found.gain == pytest.approx(0.0125)
    better = [0.99, 0.95, 0.951, 0.949, 0.95]
    found = verdict({DIRECT: direct, chain(0): better})
    assert (found.why, found.answer) == ("helps", chain(0))
    assert found.interval == pytest.approx(mean_interval([0.05, 0.051, 0.049, 0.05])), "the first seed chose the path"
    assert verdict({DIRECT: direct, chain(0): sure}).why == "matched", "on average direct is as accurate"
    long = Candidate(kind="long", epochs=30)
    found = verdict({DIRECT: direct, chain(0): better, long: [1.0] * 5})
    assert (found.why, found.answer) == ("matched", long)
    assert verdict({DIRECT: [0.9], chain(0): [1.0]}).why == "unknown"
    assert verdict({DIRECT: direct}).why == "none"
    found = verdict({DIRECT: direct, chain(0): [0.9, 0.8, 0.81, 0.805], chain(1): [1.0]})
    assert (found.why, found.chain, found.answer) == ("worse", chain(0), DIRECT), "of most seeds, though it was dropped"


def test_under_pressure_the_best_chain_stays_beside_direct() -> None:
    rivals = [Candidate(kind=kind) for kind in ("labels", "loss", "early")]
    found = {chain(0): [0.1], DIRECT: [0.2], **{one: [0.9 - place / 10] for place, one in enumerate(rivals)}}
    assert going_on(found, each_second, 9.0) == [*rivals[:2], DIRECT, chain(0)]
    assert going_on(found, each_second, 3.0) == [DIRECT, chain(0)]


# Which trainings are asked for


class Table:
    """Trainings that need no time; the height of each network is a function of its chain."""

    def __init__(self, height: Callable[[tuple[int, ...], bool], float], left: float = math.inf) -> None:
        self.of, self._left = height, left
        self.asked: list[tuple[Candidate, int]] = []

    def height(self, one: Candidate, seed: int) -> float | None:
        return self.of(one.path, one.kind == "assistant") if (one, seed) in self.asked else None

    def cost(self, ones: Any, seed: int) -> float:
        return float(len(ones))

    def left(self) -> float:
        return self._left


def planned(table: Table, rungs: int, seeds: int = 1, ladder: Ladder | None = None) -> Planner:
    tenths = Ladder(Line(10**6, tuple(10 ** (5 - rung) for rung in range(rungs)), 1), lambda: 1.0)
    planner = Planner(ladder or tenths, range(seeds), table, dense=False)
    for batch in planner.rounds():
        table.asked += batch.wanted
    return planner


@pytest.mark.parametrize("rungs", [1, 2, 4])
def test_the_sweep_trains_n_times_n_plus_1_halves_assistants(rungs: int) -> None:
    table = Table(lambda path, is_assistant: 0.5)
    planned(table, rungs)
    assistants = [one for one, _ in table.asked if one.kind == "assistant"]
    assert len(set(assistants)) == len(assistants) == rungs * (rungs + 1) // 2
    assert all(tuple(sorted(one.path)) == one.path for one in assistants)


@settings(max_examples=60)
@given(st.integers(1, 4), st.randoms(use_true_random=False))
def test_where_a_better_teacher_teaches_better_the_sweep_finds_the_best_of_all_chains(rungs: int, rng: Any) -> None:
    gain = {pair: rng.random() for pair in itertools.combinations(range(-1, rungs + 1), 2)}

    def height(path: tuple[int, ...], is_assistant: bool) -> float:
        line = [-1, *path, *([] if is_assistant else [rungs])]
        return sum(gain[pair] for pair in itertools.pairwise(line)) / 10 - 1

    planner = planned(Table(height), rungs)
    ways = [way for length in range(rungs + 1) for way in itertools.combinations(range(rungs), length)]
    [best, *_] = ranked(planner.found())
    assert height(best.path, False) == pytest.approx(max(height(way, False) for way in ways))


def test_without_time_nothing_goes_on_after_what_stands_first() -> None:
    table = Table(lambda path, is_assistant: 0.5, left=0.0)
    planner = planned(table, 3, seeds=4)
    assert planner.is_cut and all(len(one.path) < 2 and one.kind != "chain" for one, _ in table.asked)
    assert verdict(planner.found()).why == "none"


def test_direct_has_every_seed_and_every_seed_is_paired() -> None:
    table = Table(lambda path, is_assistant: 0.5 + len(path) / 10)
    planner = planned(table, 2, seeds=3)
    assert [planner.seen(one) for one in (DIRECT, ranked(planner.found())[0])] == [3, 3]
    assert verdict(planner.found()).gain == pytest.approx(0.2)


def test_the_chains_of_published_rules_are_candidates_and_direct_has_the_names_of_those_without_one() -> None:
    table = Table(lambda path, is_assistant: 0.5)
    ladder = Ladder(Line(1000, (700, 500, 350), 200), lambda: 1.0, layers=Line(4, (4, 2, 4), 1))
    planner = planned(table, 3, ladder=ladder)
    found = {name: one.path for one, names in planner.rules.items() for name in names if name in RULES}
    assert found == {
        "geometric mean of sizes": (1,),
        "middle accuracy": (0,),
        "lambda trade-off": (2,),
        "half of the layers each time": (1,),
        "capacity gap of 2.5": (1,),
        "one fifth above a ratio of 10": (),
        "30% smaller each time": (0, 1, 2),
    }
    assert planner.rules[DIRECT] == ["one fifth above a ratio of 10"] and planner.candidates.count(DIRECT) == 1
    assert all(planner.seen(one) for one in planner.rules)


def test_the_best_of_many_chains_is_judged_more_strictly() -> None:
    direct, gained = [0.9] * 5, [0.9, 0.91, 0.925, 0.92, 0.912]
    alone = verdict({DIRECT: direct, chain(0): gained})
    among = verdict({DIRECT: direct, chain(0): gained, **{chain(place): direct for place in range(1, 8)}})
    assert (alone.why, among.why) == ("helps", "not_significant")
    assert among.interval == pytest.approx(mean_interval([0.01, 0.025, 0.02, 0.012], 1 - 0.05 / 8))


# A checkpoint on the teacher's way


def test_a_stage_that_ends_early_is_a_checkpoint_on_the_way(space: Callable[..., Space]) -> None:
    whole = space().teachers[0]
    assert isinstance(whole, Stage)
    early = whole.model_copy(update={"until": 2})
    shorter = whole.model_copy(update={"recipe": whole.recipe.model_copy(update={"epochs": 2})})
    assert len({whole.key(), early.key(), shorter.key()}) == 3
    store = space_store(space)
    train(store, early, CPU)
    rungs = training(store, whole, CPU, (2,))
    values = next(rungs).values
    rungs.close()
    state = load_state(store, whole.key(), CPU)
    assert state is not None
    found = load_network(store, early, CPU).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state["network"].items())
    assert {name: score.value for name, score in Stages(store).measured(early.key()).scores.items()} == values
    assert network_of(store, early.key()) == early


def space_store(space: Callable[..., Space]) -> Store:
    """The store that the fixture's space put its data into."""
    [cell] = [cell.cell_contents for cell in space.__closure__ or () if isinstance(cell.cell_contents, Path)]
    return Store(cell / "store")


# The student and the ladder that were asked for


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (
            "depth=1,width=99",
            r"--student width=99: the value is outside its domain; give a whole number from 1 to 12, or widen it",
        ),
        ("depth=1,width=x", "is outside its domain"),
        ("width=4", r"also give depth \(a whole number from 1 to 2\)"),
        ("depth=1,heads=2", "student.architecture has no field 'heads'; its fields are depth, width"),
        ("depth=3,family=mlp,width=4", "outside its domain; give a whole number from 1 to 2"),
        ("depth", "give each field once, such as depth=1,width=4"),
        ("depth=1,depth=2,width=4", "give each field once"),
        (
            "family=resnet,width=4",
            r"--student family=resnet,width=4: these fields do not fit student.architecture; give family=mlp, and its fields",
        ),
    ],
)
def test_students_outside_the_space_are_refused(tiny: Callable[..., Spec], student: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_student(tiny(), student)


def test_one_option_of_a_choice_is_found_by_its_fields(tiny: Callable[..., Spec]) -> None:
    options = [{"family": "mlp", "depth": 1, "width": {"int": [2, 8]}}, {"family": "convnet", "depth": 2, "width": 4}]
    spec = tiny(student__architecture={"choice": options})
    assert with_student(spec, "family=mlp,width=3").student.architecture == {"family": "mlp", "depth": 1, "width": 3}
    with pytest.raises(UsageError, match=r"give family=mlp or family=convnet, and its fields"):
        with_student(spec, "height=3")


def test_a_ladder_in_equal_ratios_lies_between_student_and_teacher() -> None:
    found = geometric(ResNet(depth=1, width=2), ResNet(depth=1, width=32), 3, lambda one: one.width)
    assert [one.width for one in found] == [16, 8, 4]
    assert geometric(MLP(depth=1, width=2), ResNet(depth=1, width=32), 3, lambda one: one.width) == ()
    assert geometric(MLP(depth=1, width=2), MLP(depth=1, width=3), 3, lambda one: one.width) == []


def test_what_a_teacher_was_made_of_is_not_trained_for_its_student(space: Callable[..., Space]) -> None:
    """A teacher that was fine-tuned begins with a checkpoint, which costs a chain nothing."""
    made = space(assistants__at_most=1, assistants__guidance="serial")
    teacher = made.teachers[0]
    pretrained = Checkpoint(task=teacher.task, architecture=teacher.architecture, weights="0" * 64)
    made.teachers = (teacher.model_copy(update={"init": pretrained}),)
    trainings = Trainings(made, completed(made, {}))
    for seed in trainings.seeds(2):
        assert len(trainings.below(DIRECT, seed)) == 1 and len(trainings.below(chain(0), seed)) == 2


# A plan that is really trained


def plan(spec: Spec, out: Path, **options: Any) -> ChainPlan:
    home = Home.of(spec, STUDENT, out=str(out))
    return api.chain(spec, student=STUDENT, home=home, runner="serial", **{"seeds": 3, **options})


def test_a_plan_compares_everything_with_the_same_seeds_and_never_opens_the_test_split(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sealed, "unseal", lambda self: pytest.fail("the test split was opened"))
    found, store = plan(tiny(), tmp_path / "out"), Store(tmp_path / "out" / "store")
    assert json.loads((tmp_path / "out" / "chain.json").read_text()) == json.loads(json.dumps(found.as_json()))
    kinds = {row.kind for row in found.candidates}
    assert kinds == {"labels", "direct", "long", "loss", "early", "chain"}
    assert {row.guidance for row in found.candidates} == {None, "serial", "dense"}
    why = {reason for row in found.candidates for reason in row.why}
    assert {*RULES, "all sizes, dense"} <= why
    [direct] = [row for row in found.candidates if row.kind == "direct"]
    assert direct.gain.mean == direct.extra == 0 and direct.stages == 1
    for row in found.candidates:
        paired = [own - other for own, other in zip(row.value.values, direct.value.values, strict=False)]
        assert row.gain.mean == pytest.approx(fmean(paired[1:] or paired))
        assert row.stages == (len(row.path) + 1) and 0 <= row.marginal <= row.seconds
    stages = [network_of(store, key) for key in store.keys("stages")]
    students = [one for one in stages if isinstance(one, Stage) and one.architecture == MLP(depth=1, width=4)]
    assert len({one.seed for one in students}) == 3
    assert all(above.seed == one.seed for one in students for above in one.teachers if above.teachers)
    assert found.trained == pytest.approx(seconds_below(store, stages), rel=1e-6)


@pytest.fixture(scope="module")
def by_loss(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ChainPlan]:
    """A plan for the smallest log loss, and where it was written."""
    folder = tmp_path_factory.mktemp("loss")
    np.savez(folder / "data.npz", **blobs())
    document = copy.deepcopy(DOCUMENT)
    document["task"] |= {"dataset": str(folder / "data.npz"), "metric": "log_loss"}
    return folder / "out", plan(parse(document), folder / "out", seeds=3)


def test_of_a_loss_the_smallest_is_the_best(by_loss: tuple[Path, ChainPlan]) -> None:
    out, found = by_loss
    stages = Stages(Store(out / "store"))
    keys = [key for key in stages.store.keys("stages") if stages.network(key).architecture == MLP(depth=1, width=4)]
    stored = {stages.measured(key).scores["log_loss"].value for key in keys}
    rows = [row for row in found.candidates if row.state == "compared"]
    means = [row.value.mean for row in rows]
    assert found.metric == json.loads((out / "chain.json").read_text())["metric"] == "log_loss"
    assert means == sorted(means) and len(means) > 1
    assert {value for row in found.candidates for value in row.value.values} == stored
    [direct] = [row for row in rows if row.kind == "direct"]
    for row in rows:
        paired = [other - own for own, other in zip(row.value.values, direct.value.values, strict=True)]
        assert row.gain is not None and row.gain.mean == pytest.approx(fmean(paired[1:]))


@pytest.mark.slow
def test_the_graph_of_a_loss_shows_losses_and_what_is_gained(by_loss: tuple[Path, ChainPlan]) -> None:
    """An assistant is shown as the best of all ways to train it, which come from each larger network."""
    out, found = by_loss
    stages = Stages(Store(out / "store"))
    [teacher, *assistants, student] = found.graph.nodes
    assert teacher.value == found.teacher.value and 0 < found.teacher.value < math.log(4)
    for place, node in enumerate(assistants, 1):
        losses = [
            stages.measured(one.key()).scores["log_loss"].value
            for one in (network_of(stages.store, key) for key in stages.store.keys("stages"))
            if isinstance(one, Stage) and one.seed == 0 and len(one.teachers) == 1
            if stages.measured(one.key()).params == node.params
        ]
        gains = [edge.gain or 0 for edge in found.graph.edges if edge.below == place]
        assert node.value == min(losses) and len(losses) == place
        assert sorted(max(gains) - gain for gain in gains) == pytest.approx(sorted(loss - node.value for loss in losses))
    [best] = [row for row in found.candidates if row.name == found.chain]
    assert student.value == best.value.mean


@pytest.mark.parametrize(
    ("metric", "gained", "span", "teacher", "legend"),
    [
        ("accuracy", "+1.25 points over direct", "+0.50 to +2.00", "95.0% with", "arcs: points gained over"),
        (
            "balanced_accuracy",
            "a gain of +1.25 points in balanced accuracy over direct",
            "+0.50 to +2.00",
            "95.0% balanced accuracy with",
            "arcs: gains in balanced accuracy (points) over",
        ),
        (
            "f1_macro",
            "a gain of +0.0125 in macro F1 over direct",
            "+0.0050 to +0.0200",
            "0.950 macro F1 with",
            "arcs: gains in macro F1 over",
        ),
        (
            "log_loss",
            "a gain of +0.0125 in log loss over direct",
            "+0.0050 to +0.0200",
            "0.950 log loss with",
            "arcs: gains in log loss over",
        ),
    ],
)
def test_a_plan_names_its_metric(
    by_loss: tuple[Path, ChainPlan], metric: str, gained: str, span: str, teacher: str, legend: str
) -> None:
    found = by_loss[1]
    known = {"metric": metric, "why": "matched", "chain": "mlp", "answer": "direct", "gain": 0.0125, "low": 0.005, "high": 0.02}
    changed = found.teacher.model_copy(update={"value": 0.95})
    [chained] = [row for row in found.candidates if row.name == found.chain]
    rows = (*(row for row in found.candidates if row != chained), chained.model_copy(update={"name": "mlp"}))
    found = found.model_copy(update={**known, "teacher": changed, "candidates": rows})
    as_good = "accurate" if metric == "accuracy" else "good"
    assert found.sentence() == (
        f"No assistant: the best chain, through mlp, has {gained} distillation (95%: {span}), but direct is as {as_good}"
    )
    assert any(line.startswith(f"teacher      {teacher}") for line in found.lines())
    table = found.table()
    assert found.measure.label == table.columns[1].header and f"validation {found.measure.label};" in str(table.title)
    assert _legend(found).startswith(legend)
    [cells] = [row.cells(found.measure) for row in rows if row.name == "mlp"]
    assert cells[1].startswith(found.measure.text(chained.value.mean or 0)) and "points" not in " ".join(cells)


@pytest.mark.parametrize(
    ("metric", "numbers", "stated", "gain"),
    [
        ("accuracy", "95.0% validation, 72 params", "(95.0%, 72 params)", "+1.2 points over direct"),
        ("balanced_accuracy", "95.0% validation balanced accuracy", "(95.0% balanced accuracy, 72", "+1.2 points over direct"),
        ("log_loss", "0.950 validation log loss, 72 params", "(log loss 0.950, 72 params)", "+0.0123 over direct"),
    ],
)
def test_the_page_draws_a_chain_with_its_metric(metric: str, numbers: str, stated: str, gain: str) -> None:
    links = [
        Link("t", "mlp depth=1 width=64", 1092, 0.95, 1.0, ()),
        Link("s", "mlp depth=1 width=4", 72, 0.95, 1.0, ("t",)),
    ]
    gains = Gains(direct=Gain(3, 0.0123, -0.01, 0.03, "seeds", 0.94, "not_significant"))
    drawn = picture(finalist(links=links, gains=gains), "t", named(metric))
    assert drawn.boxes[-1].numbers.startswith(numbers)
    assert stated in drawn.label and drawn.label.endswith(f"; {gain} (not significant)")
    assert drawn.arrows[-1].text == f"{gain} (not significant)"


def seconds_below(store: Store, stages: list[Any]) -> float:
    """Of all stages but the teacher and the checkpoint on its way."""
    below = [one for one in stages if one.architecture != MLP(depth=1, width=64)]
    return sum(Stages(store).measured(one.key()).seconds for one in below)


@pytest.mark.slow
def test_the_same_command_goes_on_and_a_second_trains_nothing(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    one = plan(tiny(), tmp_path / "out", seeds=2)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "store").rglob("*") if path.is_file()}
    again = plan(tiny(), tmp_path / "out", seeds=2)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "store").rglob("*") if path.is_file()} == before
    assert again.model_copy(update={"seconds": 0}) == one.model_copy(update={"seconds": 0})
    more = plan(tiny(), tmp_path / "out", seeds=3)
    rows = {row.name: row.value.values for row in more.candidates}
    for row in one.candidates:
        assert rows[row.name][:2] == row.value.values


@pytest.mark.slow
def test_a_plan_from_a_finished_study_reuses_what_it_trained(
    tiny: Callable[..., Spec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = {"ce": {"weight": 0.5}, "kd": {"weight": 0.5, "temperature": 2.0}}
    study = search(
        tiny(student__architecture={"family": "mlp", "depth": 1, "width": 4}, student__loss=fixed, search__trials=3),
        out=tmp_path / "study",
        runner="serial",
    )
    stages = tmp_path / "study" / "store" / "stages"
    before = {path.parent.name: path.read_bytes() for path in stages.glob("*/stage.json")}
    arguments = ["chain", str(tmp_path / "study"), "--student", STUDENT, "--seeds", "1", "--runner", "serial", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["out"] == str(tmp_path / "study" / "chain-depth1-width4")
    for key, content in before.items():
        assert (stages / key / "stage.json").read_bytes() == content
    values = {row.value for row in study.rows() if row.chain.count(" > ") == 1 and row.role == "student"}
    [direct] = [row for row in found["candidates"] if row["kind"] == "direct"]
    assert set(direct["value"]["values"]) <= values
    assert found["why"] == "unknown" and "too few seeds" in found["sentence"]


def test_caches_above_the_limit_are_refused_at_once_or_end_it_later(
    tiny: Callable[..., Spec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first round learns from the teacher and an earlier checkpoint of it, the second from each of three assistants."""
    one = 160 * 4 * 4  # training samples, classes, bytes
    ladder = [{"family": "mlp", "depth": 1, "width": width} for width in (8, 16, 32)]

    def plan(limit: int) -> ChainPlan:
        spec = tiny(resources={"gpus": 0, "cache_limit": limit}, assistants__ladder=ladder)
        home = Home(directory=StudyDirectory(tmp_path / "out"), store=tmp_path / "store", out=tmp_path / "chain")
        return api.chain(spec, student=STUDENT, home=home, seeds=1, runner="serial")

    with pytest.raises(UsageError, match=f"cached teacher logits can take {2 * one:,} bytes, above the limit of {one:,}"):
        plan(one)
    assert not (tmp_path / "chain" / "chain.json").exists()
    found = plan(2 * one)
    assert "not started: resources.cache_limit" in capsys.readouterr().err
    assert {row.state for row in found.candidates if row.kind == "direct"} == {"compared"}
    assert "not trained" in {row.state for row in found.candidates}
    assert all(row.state != "not trained" for row in plan(10 * one).candidates)


@pytest.mark.slow
def test_killed_in_mid_training_it_goes_on(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(dump(tiny(assistants={"at_most": 0}).document()))
    command = [sys.executable, "-m", "autodistill", "chain", str(tmp_path / "spec.yaml"), "--student", STUDENT]
    command += ["--out", str(tmp_path / "out"), "--runner", "serial", "--seeds", "4"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stages = tmp_path / "out" / "store" / "stages"
    deadline = time.monotonic() + 60
    while len(list(stages.glob("*/stage.json"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.parent.name: path.read_bytes() for path in stages.glob("*/stage.json")}
    assert len(kept) >= 4 and not (tmp_path / "out" / "chain.json").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "gain over direct" in done.stdout
    for key, content in kept.items():
        assert (stages / key / "stage.json").read_bytes() == content
    nodes = json.loads((tmp_path / "out" / "chain.json").read_text())["graph"]["nodes"]
    assert [one["role"] for one in nodes] == ["teacher", "assistant", "assistant", "assistant", "student"]
    assert [one["params"] for one in nodes] == sorted((one["params"] for one in nodes), reverse=True)


def test_the_picture_is_the_same_again_and_shows_every_network(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    found = plan(tiny(), tmp_path / "out", seeds=2)
    before = [(tmp_path / "out" / f"chain.{kind}").read_bytes() for kind in ("png", "svg")]
    draw(found, tmp_path / "again")
    assert [(tmp_path / f"again.{kind}").read_bytes() for kind in ("png", "svg")] == before
    with Image.open(tmp_path / "again.png") as picture:
        assert picture.size == (1600, 900)
    edges = {(edge.above, edge.below) for edge in found.graph.edges}
    assert edges == set(itertools.combinations(range(4), 2)), "each network can teach each smaller one"
    chosen = [edge for edge in found.graph.edges if edge.chosen]
    assert chosen[0].above == 0 and max(edge.below for edge in chosen) == 3


def test_a_failed_candidate_is_said_and_the_rest_compared(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autodistill.runners import attempts

    original = attempts.attempt

    def failing(job: Any, *rest: Any, **options: Any) -> Any:
        return _fails() if job.trains and job.network.loss.dist else original(job, *rest, **options)

    monkeypatch.setattr(attempts, "attempt", failing)
    found = plan(tiny(), tmp_path / "out", seeds=2)
    [loss] = [row for row in found.candidates if row.kind == "loss"]
    assert loss.state == "not trained" and set(found.failures.values()) == {"out of luck"}
    assert any("out of luck" in line for line in found.lines())


def _fails() -> Any:
    yield from ()
    return "out of luck"


def test_a_student_from_labels_alone_and_ladders_that_are_too_small_are_refused(
    tiny: Callable[..., Spec], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="student.loss has no term that learns from a teacher"):
        plan(tiny(student__loss={"ce": {"weight": 1}}), tmp_path / "out")
    small = {"at_most": 0, "ladder": [{"family": "mlp", "depth": 1, "width": 2}]}
    with pytest.raises(UsageError, match="no size is larger than mlp depth=1 width=4"):
        plan(tiny(assistants=small), tmp_path / "out")
    with pytest.raises(UsageError, match="--seeds 0: give 1 or more"):
        plan(tiny(), tmp_path / "out", seeds=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study/store", "link", "link_to_study/store"])
def test_the_own_store_of_a_study_is_not_shared(name: str, tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """It is swept when that study goes on, which would take away what is being trained there."""
    spec = tiny(search__trials=1)
    search(spec, out=tmp_path / "study", runner="serial")
    (tmp_path / "link").symlink_to(tmp_path / "study" / "store")
    (tmp_path / "link_to_study").symlink_to(tmp_path / "study")
    home = Home.of(spec, STUDENT, out=str(tmp_path / "chain"), store=str(tmp_path / name))
    with pytest.raises(UsageError, match="is the private store of the study .*study, which cleans it up"):
        api.chain(spec, student=STUDENT, home=home, runner="serial")
    with pytest.raises(UsageError, match="is the private store of the study"):
        search(spec, out=tmp_path / "two", runner="serial", options=Options(store=str(tmp_path / name)))
    assert search(spec, out=tmp_path / "link_to_study", runner="serial").trained == [], "by a link it is the same study"


@pytest.mark.parametrize("place", ["file", "file/below", "loop", "n" * 300, "/proc/none"])
def test_a_place_that_can_hold_no_report_is_refused_at_once(place: str, tiny: Callable[..., Spec], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    home = Home.of(tiny(), STUDENT, study=tmp_path / "study", out=str(tmp_path / place))
    with pytest.raises(UsageError, match=f"--out {tmp_path / place} cannot be written to: .*; give another --out"):
        api.chain(tiny(), student=STUDENT, home=home, runner="serial")
    assert not (tmp_path / "study" / "store").exists()


def test_the_command_line_explains_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chain", str(tmp_path), "--student", STUDENT]) == 2
    assert "contains no study" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["chain", str(tmp_path / "none.yaml"), "--student", STUDENT, "--time", "soon"])
    assert "'soon' is not a duration" in capsys.readouterr().err


def test_the_time_ends_it_after_what_was_begun(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    found = plan(tiny(), tmp_path / "out", seconds=0.001, seeds=4)
    assert found.cut and found.seeds == 1
    assert found.is_open
    assert found.sentence() == "Not enough time: no chain was trained; run the same command with more --time to resume"
    assert any(line.startswith("time") for line in found.lines())
    assert not any(line.startswith("no assistant") for line in found.lines())


def test_too_little_time_is_no_answer_for_scripts_either(
    tiny: Callable[..., Spec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(tiny().document()))
    words = ["chain", str(path), "--student", STUDENT, "--out", str(tmp_path / "out"), "--runner", "serial", "--json"]
    assert main([*words, "--time", "0.001s"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == 3 and found["sentence"].startswith("Not enough time") and found["chain"] is None
    assert main([*words, "--seeds", "1"]) == 0
    assert not json.loads(capsys.readouterr().out)["sentence"].startswith("Not enough time")


@pytest.mark.slow
@pytest.mark.ray
def test_with_ray_it_is_the_same_plan(tiny: Callable[..., Spec], tmp_path: Path, local_ray: None) -> None:
    one = plan(tiny(), tmp_path / "one", seeds=1)
    other = api.chain(
        tiny(), student=STUDENT, home=Home.of(tiny(), STUDENT, out=str(tmp_path / "other")), seeds=1, runner="ray"
    )
    names = [{row.name: row.value.values for row in found.candidates if row.kind != "long"} for found in (one, other)]
    assert names[0] == names[1]
