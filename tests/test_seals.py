"""What a claim rests on is sealed: no edited or damaged file of a confirmed study is believed, and each is named."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodistill import exporting, spec
from autodistill.answers import confirm as confirming
from autodistill.answers.confirm import confirm
from autodistill.cli import main
from autodistill.exporting import formats
from autodistill.metrics import latency
from autodistill.reporting.page import printing
from autodistill.spec import Spec, StudyError, digest
from autodistill.store import Store, sha256
from autodistill.study.driver import Options
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.ledger import inherit
from autodistill.study.record.notes import Notes
from autodistill.study.record.record import Record

from .conftest import DOCUMENT, blobs
from .searching import search


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.01)
    monkeypatch.setattr(printing, "chromium", lambda: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study, searched and confirmed with one fresh seed, once for all tests: each changes a copy."""
    root = tmp_path_factory.mktemp("made")
    np.savez(root / "data.npz", **blobs())
    document: dict[str, Any] = {**DOCUMENT, "task": {**DOCUMENT["task"], "dataset": str(root / "data.npz")}}
    search(spec.parse(document), out=root / "out", runner="serial")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(latency, "SECONDS", 0.01)
        confirm(StudyDirectory(root / "out"), seeds=1, runner="serial")
    return root / "out"


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "study"))


def ask(command: str, study: Path, *options: str) -> int:
    """The exit code of a command that is asked something of a confirmed study."""
    known = {
        "smallest": ["--accuracy", "0.3", "--seeds", "1", "--runner", "serial"],
        "report": ["--accuracy", "0.3"],
        "export": ["--accuracy", "0.3", "--to", str(study.parent / "model")],
        "confirm": ["--seeds", "1", "--runner", "serial"],
        "explain": [teacher_of(study)],
        "compare": [str(study.parent / "other"), "--to", str(study.parent / "page")],
    }
    return main([command, str(study), *known[command], *options])


CLAIMS = ("smallest", "report", "export", "compare")


def teacher_of(study: Path) -> str:
    """From the whole study beside it where there is one: this one's files may be damaged."""
    whole = study.parent / "other"
    return str(json.loads(((whole if whole.exists() else study) / "frontier.json").read_text())["teacher"]["stage"])


def chosen_of(study: Path) -> str:
    return str(json.loads((study / "confirm.json").read_text())["members"][-1]["chosen"])


def weights_of(study: Path, key: str) -> Path:
    [path] = (study / "store" / "stages" / key).glob("*/model.safetensors")
    return path


def flip(path: Path, position: int = -1, bit: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= bit
    path.write_bytes(content)


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Changes what a JSON file says as a person would, with an editor."""
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found, indent=1) + "\n")


def refused(
    command: str, study: Path, capsys: pytest.CaptureFixture[str], *said: str, code: int = 1, options: tuple[str, ...] = ()
) -> None:
    """The command ends with this exit code, says all of this and shows no error of Python's own."""
    if command == "compare" and not (study.parent / "other").exists():
        shutil.copytree(study, study.parent / "other")
    capsys.readouterr()
    assert ask(command, study, *options) == code, command
    error = capsys.readouterr().err
    assert all(word in error for word in said), (command, error)
    assert "--debug" not in error and "Error(" not in error, (command, error)


# confirm.json


def accuracy(found: Any) -> None:
    found["members"][-1]["test"]["scores"]["accuracy"]["value"] = 0.99


def correct(found: Any) -> None:
    found["members"][-1]["test"]["scores"]["accuracy"]["n"] += 1


def params(found: Any) -> None:
    found["members"][-1]["params"] -= 1


def key(found: Any) -> None:
    found["members"][-1]["chosen"] = "0" * 64


def forced(found: Any) -> None:
    found["opened"][0]["forced"] = True


@pytest.mark.slow
@pytest.mark.parametrize("change", [accuracy, correct, params, key, forced])
def test_an_edited_confirmation_is_refused(
    change: Callable[[Any], None], study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(study / "confirm.json", change)
    for command in CLAIMS:
        refused(command, study, capsys, "confirm.json is damaged", f"autodistill confirm {study} --seeds 1")
    assert ask("confirm", study) == 0, "what was said is the way out"
    assert ask("smallest", study) == 0
    assert len(openings(study)) == 1 and not openings(study)[0]["forced"]


def openings(study: Path) -> list[Any]:
    return list(json.loads((study / "opened.json").read_text()))


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b'{"checksum": 1}'])
def test_a_confirmation_that_is_none_is_refused(content: bytes, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "confirm.json").write_bytes(content)
    refused("smallest", study, capsys, "confirm.json is damaged", "autodistill confirm")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (
            lambda found: found["members"][0]["test"]["scores"]["accuracy"].pop("n"),
            "members[0].test.scores.accuracy.n: Field required",
        ),
        (lambda found: found["teacher"].update(params="many"), "teacher.params: Input should be a valid integer"),
    ],
)
def test_a_confirmation_of_another_form_says_where(
    change: Callable[[Any], None], place: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its checksum may be right, as that of another version is."""

    def changed(found: Any) -> None:
        change(found)
        found.pop("checksum")
        found["checksum"] = digest(found)

    edit(study / "confirm.json", changed)
    refused("smallest", study, capsys, f"confirm.json is damaged ({place})", f"autodistill confirm {study} --seeds 1")


# confirm.npz


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_damaged_answers_are_named_and_a_plain_confirm_heals_them(
    damage: Callable[[Path], None], study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = json.loads((study / "confirm.json").read_text())
    damage(study / "confirm.npz")
    for command in CLAIMS:
        refused(command, study, capsys, "confirm.npz", f"autodistill confirm {study} --seeds 1")
    assert ask("confirm", study) == 0
    after = json.loads((study / "confirm.json").read_text())
    assert [one["test"] for one in after["members"]] == [one["test"] for one in before["members"]]
    assert ask("smallest", study) == 0 and len(openings(study)) == 1


@pytest.mark.slow
def test_where_the_search_went_on_damaged_answers_are_named_before_force_is_offered(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grown = StudyDirectory(study).read()
    grown = grown.model_copy(update={"search": grown.search.model_copy(update={"trials": 12})})
    search(grown, out=study, runner="serial", options=Options(extend=True))
    (study / "confirm.npz").unlink()
    refused("confirm", study, capsys, "confirm.npz", "copy", "--force")
    assert ask("confirm", study, "--force") == 0
    assert [one["forced"] for one in openings(study)] == [False, True]


def test_a_confirmation_of_an_earlier_opening_is_refused(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill leaves it, between a forced opening and its result."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    again = ["confirm", str(study), "--seeds", "2", "--runner", "serial"]
    with monkeypatch.context() as patched:
        patched.setattr(confirming, "judge", killed)
        main([*again, "--force"])
    assert [one["forced"] for one in openings(study)] == [False, True]
    for command in CLAIMS:
        refused(command, study, capsys, "confirm.json belongs to an earlier opening", f"autodistill confirm {study} --seeds 2")
    assert main(again) == 0, "what was said is the way out"
    assert [one["forced"] for one in openings(study)] == [False, True] and ask("smallest", study) == 0


# opened.json


def test_a_ledger_that_is_gone_is_missed(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "opened.json").unlink()
    for command in (*CLAIMS, "confirm"):
        refused(command, study, capsys, "opened.json", "copy", "--force")
    assert ask("confirm", study, "--force") == 0, "it begins anew, and says so"
    assert [one["forced"] for one in openings(study)] == [True]
    assert ask("smallest", study) == 0 and "was opened again 1 time" in capsys.readouterr().out


def test_a_ledger_that_is_gone_with_all_that_was_confirmed_is_missed(
    study: Path, tiny: Callable[..., Spec], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("opened.json", "confirm.json", "confirm.npz"):
        (study / name).unlink()
    for command in (*CLAIMS, "confirm"):
        refused(command, study, capsys, "opened.json lists 0 of the 1 openings", "copy", "--force")
    refused("smallest", study, capsys, "opened.json lists 0 of the 1 openings", options=("--within", "1m"))
    with pytest.raises(StudyError, match="opened.json lists 0 of the 1 openings"):
        search(StudyDirectory(study).read(), out=study.parent / "next", runner="serial", options=Options(older=str(study)))
    assert ask("confirm", study, "--force") == 0, "it begins anew, and says so"
    assert [one["forced"] for one in openings(study)] == [True] and ask("smallest", study) == 0


def unforced(found: Any) -> None:
    found[-1]["forced"] = False


def fewer(found: Any) -> None:
    found[-1]["trials"] -= 1


@pytest.mark.parametrize("change", [unforced, fewer, list.pop, lambda found: found.pop(0), list.reverse])
def test_an_edited_ledger_is_refused_by_all_who_read_it(
    change: Callable[[Any], None], study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["confirm", str(study), "--seeds", "2", "--runner", "serial", "--force"]) == 0
    edit(study / "opened.json", change)
    for command in (*CLAIMS, "confirm"):
        refused(command, study, capsys, "opened.json", "copy", "--force")


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"[]", b"[1]", b"{}", b"\xff"])
def test_a_ledger_that_is_none_is_refused(content: bytes, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "opened.json").write_bytes(content)
    refused("confirm", study, capsys, "opened.json", "copy", "--force")
    with pytest.raises(StudyError, match="opened.json"):
        next_study = StudyDirectory(study).read().model_copy(update={"seed": 0})
        search(next_study, out=study.parent / "next", runner="serial", options=Options(older=str(study)))


@pytest.mark.slow
def test_a_study_that_begins_with_another_keeps_the_ledgers_of_both(
    study: Path, tiny: Callable[..., Spec], tmp_path: Path
) -> None:
    search(tiny(search__trials=2), out=tmp_path / "own", runner="serial")
    confirm(StudyDirectory(tmp_path / "own"), seeds=0, runner="serial")
    options = Options(older=str(study), fresh=True)
    search(StudyDirectory(study).read(), out=tmp_path / "own", runner="serial", options=options)
    assert not (tmp_path / "own" / "confirm.json").exists(), "it was of the study before"
    assert [one["trials"] for one in openings(tmp_path / "own")] == [2, 6]
    with pytest.raises(StudyError, match="was opened on"):
        confirm(StudyDirectory(tmp_path / "own"), seeds=0, runner="serial")
    inherit(tmp_path / "own", study, 1)
    assert len(openings(tmp_path / "own")) == 2, "nothing twice, where the same command is given again after a kill"


# spec.yaml and study.db


def ask_all(study: Path, capsys: pytest.CaptureFixture[str], *said: str, code: int = 1) -> None:
    for command in (*CLAIMS, "confirm", "explain"):
        refused(command, study, capsys, *said, code=code)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("objectives: [accuracy, params]", "objectives: [accuracy, macs]", "search.objectives was ['accuracy', 'params']"),
        ("study: tiny", "study: tinz", "contains the study 'tiny'"),
        ("trials: 6", "trials: 7", "search.trials was 6, is 7"),
    ],
)
def test_a_changed_spec_is_refused_by_all(
    old: str, new: str, said: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study / "spec.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    ask_all(study, capsys, "spec", said, "Restore")
    before = (study / "study.db").read_bytes()
    assert main(["search", str(path), "--out", str(study), "--runner", "serial"]) == 1, "nor does search believe it"
    assert main(["search", str(path), "--out", str(study), "--runner", "serial", "--extend"]) == 1
    assert (study / "study.db").read_bytes() == before


def test_how_and_where_may_change(study: Path) -> None:
    path = study / "spec.yaml"
    path.write_text(path.read_text().replace("threads: 1", "threads: 2"))
    assert ask("report", study) == 0


def test_a_record_from_before_a_key_was_known_is_of_the_same_spec(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a key that a later version brings, with a default."""
    folder = StudyDirectory(study)
    with contextlib.closing(Record(folder.database, folder.read())) as record:
        [known] = record.notes.specs
        assert known["search"].pop("seed") == 0 and known["student"].pop("init") == "random"
        record.note(replace(record.notes, specs=(known,)))
    assert ask("report", study) == 0
    (study / "spec.yaml").write_text((study / "spec.yaml").read_text().replace("width: 64", "width: 63"))
    refused("report", study, capsys, "(teacher.architecture.width was 64, is 63)")


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["specs", "spec.yaml", "specs again"])
def test_a_search_killed_while_it_takes_on_more_trials_is_asked_all_the_same(
    cut: str, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is told of the new spec before spec.yaml is, and of it alone after that."""

    class Killed(BaseException):
        pass

    noted = [0]
    note, write = Record.note, StudyDirectory.write

    def noting(self: Record, notes: Notes) -> None:
        before = self.notes.specs
        note(self, notes)
        if notes.specs != before:
            noted[0] += 1
            if (cut == "specs" and noted[0] == 1) or (cut == "specs again" and noted[0] == 2):
                raise Killed

    def writing(self: StudyDirectory, given: Spec) -> None:
        write(self, given)
        if cut == "spec.yaml":
            raise Killed

    grown = StudyDirectory(study).read()
    grown = grown.model_copy(update={"search": grown.search.model_copy(update={"trials": 7})})
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Record, "note", noting)
        patched.setattr(StudyDirectory, "write", writing)
        search(grown, out=study, runner="serial", options=Options(extend=True))
    assert ask("smallest", study) == 0
    search(grown, out=study, runner="serial", options=Options(extend=True))
    assert ask("smallest", study) == 0 and StudyDirectory(study).read().search.trials == 7


def test_a_changed_record_is_refused_by_all(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SQLite itself has no checksums: what a flipped byte makes of a number would be believed."""
    path = study / "study.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE study_user_attributes SET value_json = '0.125' WHERE key = 'chance'")
    connection.close()
    ask_all(study, capsys, "study.db", "damaged", "--fresh")
    assert main(["search", str(study / "spec.yaml"), "--out", str(study), "--runner", "serial"]) == 1


# Weights


def test_damaged_weights_of_what_is_claimed_are_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for key in (chosen_of(study), teacher_of(study)):
        path = weights_of(study, key)
        flip(path)
        for command in (*CLAIMS, "confirm"):
            refused(command, study, capsys, f"{path} is damaged")
        flip(path)
    assert ask("smallest", study) == 0


def test_weights_that_were_trained_again_otherwise_are_not_those_of_the_claim(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on another device, where the same stage need not become the same bytes."""
    store, key = Store(study / "store"), chosen_of(study)
    record, path = store.manifest("stages", key), weights_of(study, key)
    flip(path)
    record["files"]["model.safetensors"] = sha256(path)
    path.parents[1].joinpath("stage.json").write_text(json.dumps(record | {"checksum": digest(record)}))
    for command in CLAIMS:
        refused(command, study, capsys, key, "are not the confirmed ones", "--force")
    refused("confirm", study, capsys, "was opened on", "--force")
    assert ask("confirm", study, "--force") == 0
    assert [one["forced"] for one in openings(study)] == [False, True] and ask("smallest", study) == 0


def test_another_test_split_is_another_opening(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(study / "opened.json", other_samples)
    for name in ("confirm.json", "confirm.npz"):
        (study / name).unlink()
    refused("confirm", study, capsys, "another test split", "--force")


def other_samples(found: Any) -> None:
    """As if other samples had been seen."""
    entry = {name: value for name, value in found[0].items() if name != "checksum"} | {"test": "0" * 64}
    found[0] = entry | {"checksum": digest(entry)}


# One flipped byte anywhere


def asked(study: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What each command says of a study: its facts, or its error; without times, which pass, and versions."""
    found = {}
    for command in (*CLAIMS, "explain", "search", "confirm"):
        shutil.rmtree(study.parent / "model", ignore_errors=True)
        capsys.readouterr()
        if command == "search":
            spec_file = str(study.parent / "other" / "spec.yaml")
            code = main(["search", spec_file, "--out", str(study), "--runner", "serial", "--json"])
        else:
            code = ask(command, study, "--json")
        found[command] = (code, without_times(json.loads(capsys.readouterr().out)))
    return found


UNSTABLE = ("seconds", "latency", "versions")


def without_times(found: Any) -> Any:
    if isinstance(found, dict):
        moved = ("name",) if "fingerprint" in found else ()  # data: spec.yaml may say that they are at another place
        return {name: without_times(value) for name, value in found.items() if name not in (*UNSTABLE, *moved)}
    return [without_times(one) for one in found] if isinstance(found, list) else found


def groups(made: Path) -> dict[str, list[Path]]:
    """The files of a study that are flipped: each of the claim, some of the store, several places of spec.yaml and study.db."""
    paths = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file() and path.stat().st_size)
    stages = [path for path in paths if path.parts[:2] == ("store", "stages")]
    claimed = [path for path in stages if path.parts[2] in (chosen_of(made), teacher_of(made))]
    return {
        "top": [path for path in paths if path.parts[0] != "store" and path.suffix in (".json", ".npz", ".csv")],
        "stages": claimed + [path for path in stages if path not in claimed][:2],
        "data and outputs": [path for path in paths if path.parts[0] == "store" and path not in stages],
        "spec.yaml": [Path("spec.yaml")] * 4,
        "study.db": [Path("study.db")] * 6,
    }


@pytest.mark.slow
@pytest.mark.parametrize("group", ["top", "stages", "data and outputs", "spec.yaml", "study.db"])
def test_a_flipped_byte_of_any_file_is_named_or_changes_nothing(
    group: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "FORMATS", {"model.safetensors": formats.FORMATS["model.safetensors"]})
    generator, study = np.random.default_rng(0), tmp_path / "study"
    shutil.copytree(made, tmp_path / "other")
    shutil.copytree(made, study)
    whole = asked(study, capsys)
    assert {code for code, _ in whole.values()} == {0}
    for path in groups(made)[group]:
        shutil.rmtree(study)
        shutil.copytree(made, study)
        full = np.flatnonzero(np.frombuffer((study / path).read_bytes(), dtype=np.uint8))  # study.db is zeros for the most part
        place = int(generator.choice(full))
        flip(study / path, place, 1 << int(generator.integers(8)))
        for command, (code, found) in asked(study, capsys).items():
            where = f"{path} at {place}, asked by {command}: {found}"
            if code == 0:
                assert found == whole[command][1], where
            else:
                assert str(Path(*path.parts[:3])) in found["error"], where  # of a file in the store, its folder
                assert "--debug" not in found["error"], where
