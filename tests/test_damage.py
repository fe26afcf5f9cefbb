"""What others do to the files of a study: at rest, and while a search runs. It is named, or made good; never a quiet loss."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from autodistill.cli import main
from autodistill.reporting.write import redraw
from autodistill.spec import Spec, StoreError, StudyError, UsageError
from autodistill.spec.measurement import Sizes
from autodistill.study.driver import Options
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.notes import Notes, TrialFacts
from autodistill.study.record.record import Record
from autodistill.study.schedule.scheduler import Study

from .searching import search
from .test_search import trials, written


def empty(path: Path) -> None:
    os.truncate(path, 0)


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scramble(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"garbage " * (path.stat().st_size // 8))


DAMAGES = pytest.mark.parametrize("damage", [empty, halve, scramble])


# The record


@pytest.mark.slow
@DAMAGES
def test_a_damaged_record_is_named_by_every_command(
    tiny: Callable[..., Spec], tmp_path: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = written(tiny(), tmp_path), tmp_path / "out"
    first = search(tiny(), out=out, runner="serial")
    damage(out / "study.db")
    before = (out / "study.db").read_bytes()
    again = ["search", str(path), "--out", str(out), "--runner", "serial"]
    for words in (["report", str(out)], ["explain", str(out), first.trained[0]], again, [*again, "--extend"]):
        assert main(words) == 1, words
        assert f"{out / 'study.db'} is not a readable study" in capsys.readouterr().err
    assert (out / "study.db").read_bytes() == before
    fresh = search(tiny(), out=out, runner="serial", options=Options(fresh=True))
    assert fresh.finished() and fresh.trained == []


@pytest.mark.slow
def test_a_record_of_something_else_is_named(
    tiny: Callable[..., Spec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As another user of Optuna makes it, or an older version."""
    path, out = written(tiny(), tmp_path), tmp_path / "out"
    out.mkdir()
    shutil.copy(path, out / "spec.yaml")
    optuna.create_study(study_name=tiny().study, storage=f"sqlite:///{out / 'study.db'}", directions=["maximize", "minimize"])
    for words in (["report", str(out)], ["search", str(path), "--out", str(out), "--runner", "serial"]):
        assert main(words) == 1, words
        said = capsys.readouterr().err
        assert f"{out / 'study.db'} was not written by this version" in said and "--fresh" in said, said
    assert search(tiny(), out=out, runner="serial", options=Options(fresh=True)).finished()


@pytest.fixture
def midway(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Has something done after the fifth job of a search, once."""

    def plan(do: Callable[[], Any]) -> None:
        done, seen = Study.done, list[int]()

        def then(study: Study, *words: Any) -> None:
            done(study, *words)
            seen.append(1)
            if len(seen) == 5:
                do()

        monkeypatch.setattr(Study, "done", then)

    return plan


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [empty, *(pytest.param(one, marks=pytest.mark.slow) for one in (halve, scramble, Path.unlink))]
)
def test_a_record_that_is_damaged_while_a_search_runs_is_said(
    tiny: Callable[..., Spec], tmp_path: Path, midway: Any, damage: Callable[[Path], None]
) -> None:
    """The driver has it open, and may notice nothing before its end."""
    out = tmp_path / "out"
    midway(lambda: damage(out / "study.db"))
    with pytest.raises(StudyError, match="study.db (was damaged while the search ran|cannot be written to)"):
        search(tiny(), out=out, runner="serial")
    again = search(tiny(), out=out, runner="serial", options=Options(fresh=True))
    assert again.finished() and not redraw(StudyDirectory(out)).rows[-1].reason


@pytest.mark.slow
def test_a_spec_that_is_removed_while_a_search_runs_is_put_back(tiny: Callable[..., Spec], tmp_path: Path, midway: Any) -> None:
    out = tmp_path / "out"
    midway((out / "spec.yaml").unlink)
    search(tiny(), out=out, runner="serial")
    assert len(redraw(StudyDirectory(out)).rows) > 6


@pytest.mark.slow
def test_and_of_a_search_that_is_stopped_too(tiny: Callable[..., Spec], tmp_path: Path, midway: Any) -> None:
    def stop() -> None:
        (tmp_path / "out" / "spec.yaml").unlink()
        raise KeyboardInterrupt

    midway(stop)
    with pytest.raises(KeyboardInterrupt):
        search(tiny(), out=tmp_path / "out", runner="serial")
    assert search(tiny(), out=tmp_path / "out", runner="serial").finished()


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0, 2])
def test_stages_that_are_removed_while_a_search_runs_are_said_and_made_again(
    tiny: Callable[..., Spec], tmp_path: Path, midway: Any, kept: int
) -> None:
    out, spec = tmp_path / "out", tiny()

    def remove() -> None:
        stages = sorted((out / "store" / "stages").iterdir(), key=lambda path: path.stat().st_ctime_ns)
        for path in stages[kept:]:
            shutil.rmtree(path)

    midway(remove)
    with pytest.raises(StoreError, match="lacks .* finished stages.*Run the same command again"):
        search(spec, out=out, runner="serial")
    if not kept:
        with pytest.raises(UsageError, match="has no trained teacher.*autodistill search"):
            redraw(StudyDirectory(out))
    assert search(spec, out=out, runner="serial").finished()
    whole = search(spec, out=tmp_path / "whole", runner="serial")
    assert trials(out, spec) == trials(tmp_path / "whole", spec)
    assert [row.values(["accuracy"]) for row in redraw(StudyDirectory(out)).rows] == [
        row.values(["accuracy"]) for row in whole.rows()
    ]


def test_the_beginning_of_a_record_is_there_whole_or_not_at_all(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that an empty one is always a damaged one. A kill between the two renames is made good by the next search."""
    out, replaced = tmp_path / "out", list[str]()
    replace = os.replace

    def killed(source: Any, target: Any) -> None:
        if Path(target).name == "spec.yaml":
            raise KeyboardInterrupt
        replaced.append(Path(target).name)
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", killed)
        search(tiny(), out=out, runner="serial")
    assert "study.db" in replaced and not (out / "spec.yaml").exists()
    path = written(tiny(), tmp_path)
    assert main(["search", str(path), "--out", str(out), "--runner", "serial"]) == 0


# A full disk


def limited(record: Record, pages: int) -> None:
    """SQLite says of a database that may not grow what it says of a full disk."""
    record.close()
    with record._whole():
        assert record._connection is not None
        record._connection.execute(f"PRAGMA max_page_count={pages}")


def test_a_full_disk_is_said_whatever_is_written(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    record = Record(tmp_path / "study.db", tiny())
    facts = TrialFacts(stage="x" * 100_000, role="student", architecture="", chain="", above=(), **Sizes(1, 1, 1).facts())
    limited(record, 1)
    with pytest.raises(StudyError, match="no space left for .*study.db; free some space, then run the same command again"):
        record.note(replace(record.notes, store="x" * 100_000))
    assert record.notes.store is None
    with pytest.raises(StudyError, match="no space left"):
        record.add({}, facts)
    assert not record.trials


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A folder on a disk of so many kB."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(size: int) -> Path:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", place], capture_output=True)
        if done.returncode:
            pytest.skip("nobody may mount a file system here")
        return place

    yield mounted
    subprocess.run(["umount", "-l", place], capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("size", [160, *(pytest.param(size, marks=pytest.mark.slow) for size in (40, 120, 220, 280))])
def test_on_a_disk_that_fills_up_the_same_command_goes_on(
    tiny: Callable[..., Spec], tmp_path: Path, small_disk: Callable[[int], Path], size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = small_disk(size)
    words = ["search", str(written(tiny(), tmp_path)), "--out", str(out), "--runner", "serial"]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "no space left" in said and "the same command again" in said, said
    subprocess.run(["mount", "-o", "remount,size=20m", out], check=True)
    assert main(words) == 0
    whole = search(tiny(), out=tmp_path / "whole", runner="serial")
    assert trials(out, tiny()) == trials(tmp_path / "whole", tiny()) and whole.finished()


def sealed(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT value_json FROM study_user_attributes WHERE key = 'checksum'"
        return connection.execute(query).fetchone() not in (None, ("null",))


def test_a_disk_that_fills_up_before_a_record_is_sealed_is_said_and_the_next_search_seals_it(
    tiny: Callable[..., Spec], tmp_path: Path, small_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, close = small_disk(20_000), Record.close

    def closed(record: Record) -> None:
        if record.trials:
            os.truncate(out / "ballast", 0)
            with suppress(OSError), (out / "ballast").open("wb", buffering=0) as file:
                while file.write(b"x" * 4096):
                    pass
        close(record)

    (out / "ballast").touch()
    with monkeypatch.context() as patched, pytest.raises(StudyError, match="no space left"):
        patched.setattr(Record, "close", closed)
        search(tiny(), out=out, runner="serial")
    (out / "ballast").unlink()
    assert not sealed(out / "study.db")
    study = search(tiny(), out=out, runner="serial")
    assert study.finished() and study.trained == [] and sealed(out / "study.db")


@pytest.mark.parametrize("kind", ["locked", "a folder"])
def test_a_record_that_cannot_be_opened_is_not_called_damaged(
    kind: str, tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, connect = tmp_path / "study.db", sqlite3.connect
    if kind == "locked":
        Record(path, tiny()).close()
        monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options | {"timeout": 0}))
    else:
        path.mkdir()
    with closing(connect(path if kind == "locked" else ":memory:")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StudyError, match=f"{path} cannot be opened .*(locked|unable).*then run the same command again"):
            Record(path, tiny())


def test_a_write_that_fails_leaves_the_seal_where_it_was(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """Else what is written next, and not closed before a kill, would be taken for damage."""
    path = tmp_path / "study.db"
    record = Record(path, tiny())
    record.note(replace(record.notes, looks=1))
    record.close()
    again = Record(path, tiny())
    with pytest.raises(TypeError):
        again.note(replace(again.notes, drawn=object()))  # type: ignore[arg-type]
    assert sealed(path)
    again.note(replace(again.notes, drawn=2))
    assert not sealed(path)
    assert Record(path, tiny()).notes == Notes(looks=1, drawn=2)


def test_a_transaction_that_an_interruption_left_open_is_undone(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """An interruption may come at any place, also between two calls of Optuna within a transaction."""
    path = tmp_path / "study.db"
    record = Record(path, tiny())
    record.note(Notes(looks=1))
    assert record._connection is not None
    record._connection._held = True
    record._connection.execute("UPDATE study_user_attributes SET value_json = '7' WHERE key = 'looks'")
    assert record._connection.in_transaction
    record.close()
    assert sealed(path) and not path.with_name("study.db-wal").exists()
    assert Record(path, tiny()).notes == Notes(looks=1)


def test_what_is_written_after_a_record_was_sealed_breaks_the_seal(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    """Of a record that had none when it was opened: else a kill then would leave a seal of what was before."""
    path = tmp_path / "study.db"
    Record(path, tiny()).note(Notes(looks=1))  # and is killed
    record = Record(path, tiny())
    record.seal_at_close()
    record.close()
    assert sealed(path)
    record.seal_at_close()
    record.note(replace(record.notes, drawn=2))
    assert not sealed(path)
    assert Record(path, tiny()).notes == Notes(looks=1, drawn=2)
