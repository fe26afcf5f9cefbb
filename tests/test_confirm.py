"""Fresh seeds and baselines for the frontier, and the sealed test split opened once."""

from __future__ import annotations

import html
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from autodistill.answers import Wanted
from autodistill.answers.confirm import confirm, read
from autodistill.answers.confirm.candidates import candidates
from autodistill.answers.confirm.confirmation import Baselines, Member
from autodistill.answers.towards import claimable, towards
from autodistill.cli import main
from autodistill.data import Sealed
from autodistill.distill import perform
from autodistill.metrics import latency
from autodistill.metrics.intervals import exceeds
from autodistill.metrics.metric import ACCURACY, METRICS
from autodistill.reporting.page import printing
from autodistill.reporting.page.study import read_study
from autodistill.reporting.progress import Progress
from autodistill.reporting.terminal import confirmed_table
from autodistill.spec import Spec, Stage, StoreError, StudyError, UsageError, chain, label_only
from autodistill.spec.measurement import Score, Sizes
from autodistill.store import Store
from autodistill.study.driver import Options
from autodistill.study.preflight.prepare import load_data
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.notes import Posterior
from autodistill.study.record.opened import open_study
from autodistill.study.record.record import Record
from autodistill.study.record.rows import Stages, TrialRow, frontier, network_of
from autodistill.study.schedule.jobs import chain_of, outputs_of
from autodistill.study.schedule.plan import FRESH, Plan, direct_of, wanted_bytes, with_seed

from .conftest import blobs
from .rows import trial_row
from .scored import score
from .searching import search


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.01)


@pytest.fixture
def searched(tiny: Callable[..., Spec], tmp_path: Path) -> StudyDirectory:
    search(tiny(), out=tmp_path / "out", runner="serial")
    return StudyDirectory(tmp_path / "out")


def confirmed(folder: StudyDirectory, **options: Any) -> Any:
    return confirm(folder, runner="serial", **{"seeds": 2, **options})


def test_each_member_has_fresh_seeds_and_baselines_beside_it(searched: StudyDirectory) -> None:
    found = confirmed(searched)
    store = Store(searched.path / "store")
    spec, splits = load_data(searched.read(), cuda=False)
    assert [one.params for one in found.members] == sorted(one.params for one in found.members)
    for one in found.members:
        fresh = [file for file in one.networks if file.kind == "fresh"]
        assert [file.seed for file in fresh] == [spec.seed + FRESH, spec.seed + FRESH + 1]
        assert all(network_of(store, file.key).task == splits.task(spec.task) for file in fresh), "the split stays"
        best = max(file.validation for file in one.networks)
        assert one.on_validation.value == best
        assert one.seeds.n == 2
        if one.role == "student":
            assert one.baselines.label_only.n == one.baselines.label_only.gain.n == 2


def test_only_students_that_are_named_are_retrained_and_baselines_only_if_wanted(searched: StudyDirectory) -> None:
    with open_study(searched) as study:
        members = frontier(study.rows())
    named = next(row for row in members if row.role == "student")
    found = confirmed(searched, only=[named.stage[:10]], baselines=False)
    assert [one.stage for one in found.members] == [row.stage for row in members]
    assert {one.stage: one.seeds is not None for one in found.members} == {row.stage: row is named for row in members}
    assert all(one.baselines == Baselines(label_only=None, direct=None, direct_long=None) for one in found.members)
    read_study(searched)
    again = confirmed(searched, only=[named.stage[:10]], baselines=False)
    assert again.as_json() == found.as_json()
    with pytest.raises(StudyError, match="was opened"):
        confirmed(searched)


@pytest.mark.parametrize(("only", "what"), [("zz", "matches no student"), ("", r"matches \d+ students .* longer beginning")])
def test_a_key_that_does_not_name_one_student_is_refused(searched: StudyDirectory, only: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        confirmed(searched, only=[only])


@pytest.mark.slow
def test_what_is_said_of_the_test_samples_is_so(searched: StudyDirectory) -> None:
    found = confirmed(searched)
    _, splits = load_data(searched.read(), cuda=False)
    test = splits.test.unseal()
    for one in [*found.members, found.teacher]:
        right = found.outcomes[one.chosen].predicted == test.y
        assert len(right) == one.on_test.n == len(test)
        assert one.on_test.value == right.mean()
        by_class = {part.label: part for part in one.test.by_class}
        for label in np.unique(test.y):
            assert by_class[label].accuracy == pytest.approx(right[test.y == label].mean())
        drops = [part.drop for part in one.test.by_class]
        assert one.test.worst_drop.drop == max(drops)
        assert 0 <= one.test.calibration_error <= 1
        assert one.bytes_float16 < one.bytes
        assert 0 < one.latency.one.p50_ms <= one.latency.one.p95_ms
    assert found.teacher.test.agreement == 1


@pytest.mark.slow
def test_a_chain_is_trained_anew_and_compared_with_direct_baselines(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    search(
        tiny(assistants__at_least=1, student__loss={"kd": {"weight": 1, "temperature": 2}}),
        out=tmp_path / "out",
        runner="serial",
    )
    folder = StudyDirectory(tmp_path / "out")
    found, store = confirmed(folder), Store(folder.path / "store")
    chained = [one for one in found.members if one.chain.count(" > ") > 1]
    assert chained
    teacher = found.teacher.chosen
    for one in chained:
        stages = [network_of(store, file.key) for file in one.networks if file.kind == "fresh"]
        for stage in stages:
            assistant = stage.teachers[0]
            assert assistant.seed == stage.seed and assistant.teachers[0].key() == teacher
            assert store.has("stages", direct_of(stage, assistant.teachers).key())
        direct, long = one.baselines.direct, one.baselines.direct_long
        own, above = (store.manifest("stages", key)["measurement"]["seconds"] for key in (one.stage, _assistant(store, one)))
        assert direct.epochs == stages[0].recipe.epochs
        assert long.epochs == max(direct.epochs, round(direct.epochs * (own + above) / own))
        assert direct.gain.values == pytest.approx(
            [own.test - other for own, other in zip(one.networks[1:], direct.values, strict=True)]
        )


def _assistant(store: Store, member: Member) -> str:
    """The key of the assistant of a member as it was searched."""
    stage = network_of(store, member.stage)
    assert isinstance(stage, Stage)
    return stage.teachers[0].key()


def test_the_test_split_is_opened_once_and_a_second_confirm_reuses_everything(
    searched: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    unseal = Sealed.unseal
    monkeypatch.setattr(Sealed, "unseal", lambda self: opened.append(1) or unseal(self))
    first = confirmed(searched)
    before = {path: path.stat().st_mtime_ns for path in searched.path.rglob("*") if path.is_file()}
    again = confirmed(searched)
    assert len(opened) == 1
    assert again.as_json() == json.loads(json.dumps(first.as_json()))
    assert {path: path.stat().st_mtime_ns for path in searched.path.rglob("*") if path.is_file()} == before
    assert confirmed(searched, seeds=1).seeds == 2, "fewer seeds are among those"


@pytest.mark.slow
def test_after_the_search_went_on_it_is_opened_only_by_force(
    searched: StudyDirectory, tiny: Callable[..., Spec], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    confirmed(searched)
    search(tiny(search__trials=14), out=searched.path, runner="serial", options=Options(extend=True))
    stages = set(Store(searched.path / "store").keys("stages"))
    with pytest.raises(StudyError, match="Add --force to open it anyway; every report will say so"):
        confirmed(searched)
    assert len(json.loads((searched.path / "opened.json").read_text())) == 1
    assert set(Store(searched.path / "store").keys("stages")) == stages, "nothing is trained before it is refused"
    main(["smallest", str(searched.path), "--accuracy", "0.3"])
    before = json.loads((searched.path / "confirm.json").read_text())["ended"]
    record = Record(searched.path / "study.db", searched.read())
    tried = {trial.facts.stage[:16] for trial in record.trials} - set(before)
    record.close()
    said = f"{len(tried)} students that were tried after the confirmation are not covered by this answer"
    assert len(tried) > 1 and said in capsys.readouterr().out
    monkeypatch.setattr(printing, "chromium", lambda: None)
    main(["report", str(searched.path)])
    main(["export", str(searched.path), "--accuracy", "0.3", "--to", str(searched.path / "model")])
    for name in ("report.html", "model/card.md"):
        assert said in (searched.path / name).read_text(), name
    found = confirmed(searched, force=True)
    capsys.readouterr()
    assert [one.forced for one in found.opened] == [False, True]
    main(["smallest", str(searched.path), "--accuracy", "0.3"])
    now = capsys.readouterr().out
    assert "opened again 1 time" in now and "after the confirmation" not in now


@pytest.mark.slow
def test_students_of_a_changed_space_came_later_too(searched: StudyDirectory, tiny: Callable[..., Spec]) -> None:
    """A record that begins anew with what fits counts other trials: students are counted, by their stages."""
    found = confirmed(searched, seeds=0)
    largest = max(one.params for one in found.members)
    smaller = tiny(search__trials=2, search__limits={"params": largest - 1})
    study = search(smaller, out=searched.path, runner="serial", options=Options(extend=True))
    new = {trial.facts.stage for trial in study.record.trials if trial.facts.kept is None}
    with open_study(searched) as now:
        assert found.later(now.record) == read_study(searched.path).later == len(new) > 0
    assert not any(trial.facts.stage[:16] in found.ended for trial in study.record.trials if trial.facts.kept is None)


@pytest.mark.slow
def test_more_seeds_would_be_another_look(searched: StudyDirectory) -> None:
    confirmed(searched)
    with pytest.raises(StudyError, match="was opened on"):
        confirmed(searched, seeds=3)


@pytest.mark.slow
def test_what_was_opened_is_remembered_when_a_search_begins_anew(searched: StudyDirectory, tiny: Callable[..., Spec]) -> None:
    confirmed(searched)
    search(tiny(search__seed=1), out=searched.path, runner="serial", options=Options(fresh=True))
    with pytest.raises(StudyError, match="was opened on"):
        confirmed(searched)


@pytest.mark.slow
def test_a_kill_after_the_split_was_opened_is_the_same_opening(
    searched: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("autodistill.answers.confirm.judge", killed)
        confirmed(searched)
    assert read(searched) is None
    assert [one.forced for one in confirmed(searched).opened] == [False]


@pytest.mark.slow
def test_killed_in_mid_training_it_goes_on(searched: StudyDirectory) -> None:
    command = [sys.executable, "-m", "autodistill", "confirm", str(searched.path), "--seeds", "3", "--runner", "serial"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stages = searched.path / "store" / "stages"
    before = {path.parent.name: path.read_bytes() for path in stages.glob("*/stage.json")}
    deadline = time.monotonic() + 60
    while len(list(stages.glob("*/stage.json"))) < len(before) + 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.parent.name: path.read_bytes() for path in stages.glob("*/stage.json")}
    assert len(kept) > len(before)
    confirmed(searched, seeds=3)
    for key, content in kept.items():
        assert (stages / key / "stage.json").read_bytes() == content


def test_a_flipped_byte_in_a_chosen_network_is_found_before_the_split_is_opened(searched: StudyDirectory) -> None:
    study = searched.path / "frontier.json"
    key = json.loads(study.read_text())["frontier"][0]["stage"]
    [path] = (searched.path / "store" / "stages" / key).glob("*/model.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        confirmed(searched)
    assert not (searched.path / "opened.json").exists()


@pytest.mark.slow
def test_what_cannot_be_trained_is_said_and_the_rest_goes_on(searched: StudyDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    from autodistill.runners import attempts

    original = attempts.attempt

    def failing(job: Any, *rest: Any, **options: Any) -> Any:
        if getattr(job.network, "seed", None) == FRESH and job.trains:
            return (_ for _ in ()) if False else _fails()
        return original(job, *rest, **options)

    monkeypatch.setattr(attempts, "attempt", failing)
    found = confirmed(searched)
    assert set(found.failures.values()) == {"out of luck"}
    assert all(one.seeds.n == 1 for one in found.members)


def _fails() -> Any:
    yield from ()
    return "out of luck"


def test_candidates_are_the_frontier_and_what_may_be_on_the_true_one(searched: StudyDirectory) -> None:
    """Those outside the region of interest stand as they were searched."""
    store = Store(searched.path / "store")
    spec, _ = load_data(searched.read(), cuda=False)
    found = json.loads((searched.path / "frontier.json").read_text())
    teacher = network_of(store, found["teacher"]["stage"])
    key = found["frontier"][-1]["stage"]

    def row(params: int, stage: str, frontier: bool, inside: bool, likely: float | None) -> TrialRow:
        expected = None if likely is None else Posterior(0.9, 0.01, likely)
        sizes = Sizes(params, params, params)
        return trial_row(stage=stage, sizes=sizes, frontier=frontier, inside=inside, expected=expected)

    others = [(key, True, True, 1.0), ("a", False, True, 0.05), ("b", False, True, None), ("c", False, False, 0.9)]
    rows = [row(100 + place, *one) for place, one in enumerate(others)]
    assert [one.row.params for one in candidates(spec, rows, Stages(store), [teacher], seeds=1)] == [100]
    smallest = found["frontier"][0]["stage"]
    for extra, fresh in ((row(99, smallest, False, True, 0.11), 1), (row(50, smallest, True, False, None), 0)):
        wanted = candidates(spec, [*rows, extra], Stages(store), [teacher], seeds=1)
        assert [one.row.params for one in wanted] == [extra.params, 100]
        assert len(wanted[0].fresh) == fresh and len(wanted[1].fresh) == 1


def test_folders_without_a_study_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contains no study"):
        confirmed(StudyDirectory(tmp_path / "none"))


@pytest.mark.slow
def test_the_command_line_answers_and_its_exit_code_says_whether(
    searched: StudyDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["smallest", str(searched.path), "--seeds", "1", "--runner", "serial"]
    assert main([*arguments, "--accuracy", "0.3"]) == 0
    assert "Yes: mlp" in capsys.readouterr().out
    assert main([*arguments, "--accuracy", "0.999", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert not found["meets"] and found["exit_code"] == 3
    assert main([*arguments, "--accuracy", "95"]) == 2


@pytest.mark.slow
def test_a_plan_gives_up_what_learns_from_a_failure(
    searched: StudyDirectory, tiny: Callable[..., Spec], tmp_path: Path
) -> None:
    store = Store(searched.path / "store")
    spec, splits = load_data(searched.read(), cuda=False)
    found = json.loads((searched.path / "frontier.json").read_text())
    teacher = network_of(store, found["teacher"]["stage"])
    students = [network_of(store, row["stage"]) for row in found["frontier"]]
    assistant = next(one for one in students if isinstance(one, Stage) and one.teachers).model_copy(
        update={"seed": 77, "teachers": (teacher,)}
    )
    students = [assistant.model_copy(update={"seed": seed, "teachers": (assistant,)}) for seed in (78, 79)]
    assert chain(students[0]).count(" > ") == 2
    plan = Plan(spec, store, splits, [*students, assistant])
    while (job := plan.next()) is not None:
        plan.done(job, "it broke" if job.network.key() == assistant.key() and job.trains else None)
    assert plan.finished() and plan.has_failed(students[0]) and plan.has_failed(students[1])
    assert plan.left() == 0


@pytest.mark.slow
def test_frontier_members_stay_members(searched: StudyDirectory) -> None:
    found = confirmed(searched)
    rows = json.loads((searched.path / "frontier.json").read_text())["frontier"]
    assert {row["stage"] for row in rows} == {one.stage for one in found.members if one.on_frontier}
    assert frontier([]) == []


@pytest.mark.slow
@pytest.mark.parametrize("form", ["one array", "a test split of its own"])
def test_groups_of_test_samples_are_looked_at_one_by_one(tiny: Callable[..., Spec], tmp_path: Path, form: str) -> None:
    arrays = blobs()
    groups = np.where(arrays["x"][:, 0] > 0, "indoors", "outdoors")
    if form == "one array":
        found = {**arrays, "groups": groups}
    else:
        found = {"x_train": arrays["x"][:240], "y_train": arrays["y"][:240], "x_test": arrays["x"][240:]}
        found |= {"y_test": arrays["y"][240:], "groups_test": groups[240:]}
    np.savez(tmp_path / "grouped.npz", **found)
    search(tiny(task__dataset=str(tmp_path / "grouped.npz")), out=tmp_path / "out", runner="serial")
    [*_, member] = confirmed(StudyDirectory(tmp_path / "out"), seeds=0).members
    parts = {part.group: part for part in member.test.by_group}
    assert set(parts) == {"indoors", "outdoors"}
    assert sum(part.n * part.accuracy for part in parts.values()) == pytest.approx(member.on_test.value * member.on_test.n)
    assert member.test.worst_group.drop == max(part.drop for part in parts.values())


ODD = ["<b>one</b>", "[red]two", "three | 3", "vier"]


@pytest.mark.slow
def test_classes_are_called_by_their_names(
    tiny: Callable[..., Spec], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the terminal, on the page and on the card, whatever signs they are made of; and no key knows them."""
    monkeypatch.setenv("COLUMNS", "200")
    plain, named = tmp_path / "plain.npz", tmp_path / "named.npz"
    np.savez(plain, **blobs())
    np.savez(named, **blobs(), class_names=ODD)
    fingerprints = {load_data(tiny(task__dataset=str(one)), cuda=False)[1].fingerprint for one in (plain, named)}
    assert len(fingerprints) == 1
    search(tiny(task__dataset=str(named)), out=tmp_path / "out", runner="serial")
    assert main(["confirm", str(tmp_path / "out"), "--seeds", "0", "--runner", "serial"]) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "confirm.json").read_text())
    test = found["members"][0]["test"]
    assert [part["name"] for part in test["by_class"]] == [ODD[part["class"]] for part in test["by_class"]] == ODD
    assert test["worst_drop"]["drop"] > 0 and test["worst_drop"]["name"] in printed
    assert "none" in next(line for line in printed.splitlines()[::-1] if "│" in line), "no class lies below itself"
    monkeypatch.setattr(printing, "chromium", lambda: None)
    main(["report", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"class {html.escape(test['worst_drop']['name'])}<" in page and "<b>one" not in page
    main(["export", str(tmp_path / "out"), "--stage", found["members"][0]["chosen"], "--to", str(tmp_path / "model")])
    card = (tmp_path / "model" / "card.md").read_text()
    assert all(
        f"| {number}: {word}" in card for number, word in enumerate((r"\<b\>one", r"\[red\]two", r"three \| 3", "vier"))
    ), card
    assert json.loads((tmp_path / "model" / "architecture.json").read_text())["class_names"] == ODD
    whole = read(StudyDirectory(tmp_path / "out"))
    assert whole is not None
    for name in ODD:  # whichever is the worst
        on_test = whole.members[0].test
        on_test = on_test.model_copy(update={"worst_drop": on_test.worst_drop.model_copy(update={"name": name})})
        row = whole.members[0].model_copy(update={"test": on_test})
        console = Console(record=True, width=200, file=io.StringIO())
        console.print(confirmed_table(whole.model_copy(update={"members": (row,)})))
        assert name in console.export_text()


@pytest.mark.parametrize("names", [ODD[:3], [1, 2, 3, 4], [b"a", b"b", b"c", b"d"]])
def test_names_that_are_not_one_word_a_class_are_refused(tiny: Callable[..., Spec], tmp_path: Path, names: list[Any]) -> None:
    np.savez(tmp_path / "named.npz", **blobs(), class_names=names)
    with pytest.raises(UsageError, match="class_names has shape .* for 4 classes; give one string per class"):
        load_data(tiny(task__dataset=str(tmp_path / "named.npz")), cuda=False)


def test_groups_of_another_length_are_refused(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    np.savez(tmp_path / "grouped.npz", **blobs(), groups=np.zeros(3))
    with pytest.raises(UsageError, match=r"groups has shape \(3,\) and dtype float64 for 320 samples"):
        load_data(tiny(task__dataset=str(tmp_path / "grouped.npz")), cuda=False)


@pytest.mark.slow
def test_within_a_time_it_goes_on_towards_the_target_and_stops_when_that_is_certain(
    tiny: Callable[..., Spec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search(tiny(search__trials=3), out=tmp_path / "out", runner="serial")
    arguments = ["smallest", str(tmp_path / "out"), "--accuracy", "0.35", "--seeds", "0", "--runner", "serial"]
    assert main([*arguments, "--within", "5m"]) in (0, 3)
    said = capsys.readouterr().out
    assert "no smaller student that was considered is likely" in said or "this sampler finds nothing new in the space" in said
    folder = StudyDirectory(tmp_path / "out")
    assert folder.read().search.target is None and folder.read().search.trials < 1000, "the question is not the study's"
    assert main([*arguments, "--within", "5m"]) == 1, "the test split was opened by now"
    assert "--force to open it anyway" in capsys.readouterr().err


@pytest.mark.parametrize(("target", "n"), [(0.35, 80), (0.9, 270), (0.95, 10_000), (0.5, 2000)])
def test_what_is_aimed_at_is_the_least_that_may_be_claimed(target: float, n: int) -> None:
    correct = round(claimable(ACCURACY, target, 0.95, n, score(target, n)) * n)
    assert exceeds(correct, n, target) <= 0.05 < exceeds(correct - 1, n, target)
    assert claimable(ACCURACY, 0.99, 0.95, 20, score(0.99, 20)) == 0.99, "not even 20 of 20 would do"


def test_the_margin_of_other_metrics_is_a_normal_one() -> None:
    f1, loss = METRICS["f1_macro"], METRICS["log_loss"]
    like = Score(value=0.8, error=0.02, low=0.76, high=0.84, n=100)
    assert claimable(f1, 0.8, 0.95, 100, like) == pytest.approx(0.8 + 1.645 * 0.02, abs=2e-3)
    assert claimable(loss, 0.8, 0.95, 400, like) == pytest.approx(0.8 - 1.645 * 0.02 / 2, abs=1e-3)
    assert claimable(f1, 0.99, 0.95, 1, like) == 0.99, "no sample size would do"


@pytest.mark.slow
def test_a_search_within_a_time_aims_at_what_may_be_claimed(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    search(tiny(search__trials=3), out=tmp_path / "out", runner="serial")
    study = towards(
        StudyDirectory(tmp_path / "out"),
        Wanted(target=0.35),
        seconds=1,
        runner="serial",
        listener=Progress(Console(quiet=True)),
    )
    assert study.spec.search.target == claimable(ACCURACY, 0.35, 0.95, 80, score(0.35, 80))


@pytest.mark.slow
def test_when_its_time_is_over_it_ends(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    search(tiny(search__trials=3), out=tmp_path / "out", runner="serial")
    study = towards(
        StudyDirectory(tmp_path / "out"),
        Wanted(target=0.9999),
        seconds=1,
        runner="serial",
        listener=Progress(Console(quiet=True)),
    )
    assert study.policy.ended == "the time of --within is up"
    assert study.finished()


@pytest.mark.parametrize("given", ["30", "m", "5x", "", "0m", "-1m"])
def test_times_have_units(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["smallest", "somewhere", f"--within={given}"])
    assert "give one such as 90s, 30m, 1.5h, or 2d" in capsys.readouterr().err


@pytest.mark.slow
def test_after_a_kill_between_the_two_files_the_same_command_goes_on(searched: StudyDirectory) -> None:
    first = confirmed(searched, seeds=0)
    path = searched.path / "confirm.npz"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(StudyError, match="confirm.npz is damaged or missing"):
        read(searched)
    assert confirmed(searched, seeds=0).members[0].chosen == first.members[0].chosen
    assert len(json.loads((searched.path / "opened.json").read_text())) == 1


@pytest.mark.slow
def test_what_was_seen_is_known_to_a_study_that_begins_with_it(
    searched: StudyDirectory, tiny: Callable[..., Spec], tmp_path: Path
) -> None:
    confirmed(searched, seeds=0)
    options = Options(older=str(searched.path))
    search(tiny(search__trials=2, search__seed=3), out=tmp_path / "next", runner="serial", options=options)
    with pytest.raises(StudyError, match="was opened on"):
        confirmed(StudyDirectory(tmp_path / "next"), seeds=0)


@pytest.mark.slow
def test_a_study_that_begins_anew_has_nothing_confirmed(searched: StudyDirectory, tiny: Callable[..., Spec]) -> None:
    confirmed(searched, seeds=0)
    search(tiny(search__seed=1), out=searched.path, runner="serial", options=Options(fresh=True))
    assert read(searched) is None


def test_outputs_that_cannot_be_made_doom_only_what_reads_them(searched: StudyDirectory) -> None:
    store = Store(searched.path / "store")
    spec, splits = load_data(searched.read(), cuda=False)
    keys = [row["stage"] for row in json.loads((searched.path / "frontier.json").read_text())["frontier"]]
    student = next(one for key in keys if isinstance(one := network_of(store, key), Stage) and one.teachers)
    recipe = student.recipe.model_copy(update={"outputs_dtype": "float16"})
    wanted = [student.model_copy(update={"seed": 5, "recipe": recipe}), label_only(student).model_copy(update={"seed": 5})]
    plan = Plan(spec, store, splits, wanted)
    while (job := plan.next()) is not None:
        plan.done(job, None if job.trains else "out of memory")
    assert plan.has_failed(wanted[0]) and not plan.has_failed(wanted[1])
    assert student.teachers[0].key() not in plan.failures


@pytest.mark.slow
def test_outputs_above_the_limit_are_refused_before_anything_is_trained(searched: StudyDirectory) -> None:
    """A fresh assistant's outputs are files of their own."""
    spec, splits = load_data(searched.read(), cuda=False)
    store = Store(searched.path / "store")
    keys = [row["stage"] for row in json.loads((searched.path / "frontier.json").read_text())["frontier"]]
    student = next(one for key in keys if isinstance(one := network_of(store, key), Stage) and one.teachers)
    teacher = json.loads((searched.path / "frontier.json").read_text())["teacher"]["stage"]
    wanted = [with_seed(student, seed, [teacher]) for seed in (70, 71)]
    needed = wanted_bytes(wanted, store, splits.classes, splits.rows)
    small = spec.model_copy(update={"resources": spec.resources.model_copy(update={"cache_limit": needed - 1})})
    before = set((store.root / "stages").iterdir())
    message = f"cached teacher logits can take {needed:,} bytes, above the limit of {needed - 1:,}; raise it"
    with pytest.raises(UsageError, match=message):
        Plan(small, store, splits, wanted)
    assert set((store.root / "stages").iterdir()) == before
    enough = spec.model_copy(update={"resources": spec.resources.model_copy(update={"cache_limit": needed})})
    plan = Plan(enough, store, splits, [*wanted, *wanted])
    while (job := plan.next()) is not None:
        perform(job, store, cuda=False, threads=1)
        plan.done(job)
    asked = {job.address() for one in wanted for network in chain_of(one) for job in outputs_of(network)}
    assert sum(store.file(*address, "logits.npy").stat().st_size - 128 for address in asked) == needed, "less the header"
    least = spec.model_copy(update={"resources": spec.resources.model_copy(update={"cache_limit": 1})})
    assert Plan(least, store, splits, wanted).finished(), "what is stored needs no outputs"
