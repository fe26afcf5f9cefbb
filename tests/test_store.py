"""The store: complete when the record is there, made once, damage is found."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.spec import Spec, Stage, StoreError, StudyError, UsageError
from autodistill.spec.measurement import StageFacts
from autodistill.store import MANIFESTS, Store, parsed
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.schedule import jobs
from autodistill.study.schedule.plan import Plan

KEY, OTHER = "0" * 64, "f" * 64


def fill(content: bytes = b"weights") -> Any:
    def write(folder: Path) -> dict[str, Any]:
        (folder / "a.bin").write_bytes(content)
        return {"measurement": {"accuracy": 0.1 + 0.2}}

    return write


def test_a_folder_is_there_once_its_record_is(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not store.has("stages", KEY)
    record = store.make("stages", KEY, fill())
    assert store.has("stages", KEY) and store.keys("stages") == [KEY]
    assert record["measurement"] == {"accuracy": 0.1 + 0.2}
    assert store.file("stages", KEY, "a.bin").read_bytes() == b"weights"


def test_what_another_store_holds_is_taken_over_once_and_undamaged(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    one.make("stages", "k", fill())
    for _ in range(2):
        two.take(one, "stages", "k")
    assert two.manifest("stages", "k")["measurement"] == {"accuracy": 0.1 + 0.2}
    assert two.file("stages", "k", "a.bin").read_bytes() == b"weights"
    assert len(list((tmp_path / "two" / "stages" / "k").glob("*/a.bin"))) == 1
    one.make("stages", "damaged", fill())
    next((tmp_path / "one" / "stages" / "damaged").glob("*/a.bin")).write_bytes(b"weighty")
    with pytest.raises(StoreError, match="damaged"):
        two.take(one, "stages", "damaged")
    assert not two.has("stages", "damaged")


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.make("stages", "k", fill())
    path = store.file("stages", "k", "a.bin")
    before = path.stat().st_mtime_ns

    def never(folder: Path) -> dict[str, Any]:
        raise AssertionError("made twice")

    assert store.make("stages", "k", never) == first
    assert path.stat().st_mtime_ns == before


def test_an_attempt_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def broken(folder: Path) -> dict[str, Any]:
        (folder / "half").write_bytes(b"x")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        store.make("stages", "k", broken)
    assert not store.has("stages", "k") and not list((tmp_path / "stages" / "k").iterdir())
    store.make("stages", "k", fill())
    assert store.has("stages", "k")


def test_an_attempt_cut_off_does_not_count_and_is_swept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    orphan = tmp_path / "stages" / KEY / "orphan"
    orphan.mkdir(parents=True)
    (orphan / "a.bin").write_bytes(b"half")
    assert not store.has("stages", KEY)
    store.make("stages", OTHER, fill())
    store.sweep()
    assert not orphan.exists() and store.file("stages", OTHER, "a.bin").exists()


@settings(max_examples=30)
@given(position=st.integers(0, 6), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_file_is_found(tmp_path_factory: pytest.TempPathFactory, position: int, bit: int) -> None:
    root = tmp_path_factory.mktemp("store")
    path = next(iter(_made(root).glob("stages/k/*/a.bin")))
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged.*remove the folder.*created again"):
        Store(root).file("stages", "k", "a.bin")


def _made(root: Path) -> Path:
    Store(root).make("stages", "k", fill())
    return root


def test_a_changed_measurement_is_found(tmp_path: Path) -> None:
    path = _made(tmp_path) / "stages" / "k" / "stage.json"
    path.write_text(path.read_text().replace("0.30000000000000004", "0.90000000000000004"))
    with pytest.raises(StoreError, match="checksum"):
        Store(tmp_path).manifest("stages", "k")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"a": 1}', b"\xff\xfe", b'{"\xd4"'])
def test_a_record_that_is_none_is_said(tmp_path: Path, content: bytes) -> None:
    path = _made(tmp_path) / "stages" / "k" / "stage.json"
    path.write_bytes(content + b" " * 5000)
    with pytest.raises(StoreError, match="remove the folder") as found:
        Store(tmp_path).manifest("stages", "k")
    assert len(str(found.value)) < 1000, "not the whole file is said"


def test_a_record_of_another_version_is_said(tmp_path: Path) -> None:
    """It is whole, but has other facts than this version reads."""
    what = r"k/stage.json was written by another version of autodistill, .*; use that version, or remove the store .*"
    with pytest.raises(StoreError, match=what):
        parsed(Store(_made(tmp_path)), "stages", "k", StageFacts.of)


def test_a_lost_file_is_said(tmp_path: Path) -> None:
    store = Store(_made(tmp_path))
    store.file("stages", "k", "a.bin").unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        store.verify("stages", "k")


def test_records_are_json_with_the_hash_of_each_file(tmp_path: Path) -> None:
    record = json.loads((_made(tmp_path) / "stages" / "k" / "stage.json").read_text())
    assert set(record) == {"key", "attempt", "files", "measurement", "checksum"}
    assert set(record["files"]) == {"a.bin"} and len(record["files"]["a.bin"]) == 64


def test_without_hard_links_the_first_still_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    store = Store(tmp_path)
    assert store.make("stages", "k", _racing(store)) == store.manifest("stages", "k")
    assert store.file("stages", "k", "a.bin").read_bytes() == b"first"


def test_without_hard_links_a_kill_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    def killed(source: Path, target: Path) -> None:
        assert not target.exists() and json.loads(source.read_bytes())["key"] == KEY
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", refuse)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "replace", killed)
        Store(tmp_path).make("stages", KEY, fill(b"first"))
    Store(tmp_path).sweep()
    Store(tmp_path).make("stages", KEY, fill(b"second"))
    assert Store(tmp_path).file("stages", KEY, "a.bin").read_bytes() == b"second"


def _racing(store: Store, key: str = "k") -> Any:
    """An attempt during which another one completes."""

    def slow(folder: Path) -> dict[str, Any]:
        Store(store.root).make("stages", key, fill(b"first"))
        return fill(b"second")(folder)  # type: ignore[no-any-return]

    return slow


def _race(root: Path, barrier: Any, content: bytes) -> None:
    def together(folder: Path) -> dict[str, Any]:
        (folder / "a.bin").write_bytes(content)
        barrier.wait()
        return {}

    Store(root).make("stages", "k", together)


@pytest.mark.slow
def test_of_two_processes_racing_one_record_stands(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    racers = [context.Process(target=_race, args=(tmp_path, barrier, content)) for content in (b"one", b"two")]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0]
    attempts = [path for path in (tmp_path / "stages" / "k").iterdir() if path.is_dir()]
    assert [path.name for path in attempts] == [Store(tmp_path).manifest("stages", "k")["attempt"]]
    assert Store(tmp_path).file("stages", "k", "a.bin").read_bytes() in (b"one", b"two")


# What another node stored, and a network file system does not show yet


def test_a_plan_waits_for_what_is_not_to_be_seen_yet(
    tiny: Callable[..., Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, splits = load_data(tiny(), cuda=False)
    store = Store(tmp_path / "store")
    [teacher] = space_of(spec, splits, store).teachers
    assert isinstance(teacher, Stage)
    other = teacher.model_copy(update={"seed": 7})
    plan = Plan(spec, store, splits, [teacher, other])
    job, second = plan.next(), plan.next()
    assert job is not None and second is not None
    plan.done(job)
    assert plan.next() is None and plan.awaits() and not plan.finished() and plan.trained == []
    store.make("stages", job.network.key(), fill())
    assert plan.next() is None and not plan.awaits() and plan.trained == [job.network.key()]
    monkeypatch.setattr(jobs, "VISIBLE_AFTER", -1)
    plan.done(second)
    with pytest.raises(StudyError, match=f"is not in {store.root}; give a --store that every node sees"):
        plan.next()


# What else may be in the place of a store, or in it


@pytest.mark.parametrize("place", ["file", "file/below", "loop", "loop/below", "n" * 300, "/proc/none", "/proc/self"])
def test_a_place_that_can_hold_no_store_is_a_wrong_argument(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UsageError, match="cannot be written to.*give another --store"):
        Store(tmp_path / place).open()


def test_a_store_of_which_all_is_there_needs_no_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that was mounted read-only refuses to make even a folder that is there."""
    store = Store(tmp_path).open()
    store.make("stages", KEY, fill())

    def refuse(path: Any, *_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    store = Store(tmp_path).open()
    assert store.make("stages", KEY, fill(b"others")) == store.manifest("stages", KEY)
    with pytest.raises(StoreError, match=r"cannot be written.*Read-only file system"):
        store.make("stages", OTHER, fill())


@pytest.mark.parametrize("kind", [*MANIFESTS, "partial"])
def test_a_file_in_place_of_a_folder_of_the_store_is_named(tmp_path: Path, kind: Any) -> None:
    (tmp_path / kind).touch()
    with pytest.raises(UsageError, match=f"{tmp_path / kind}"):
        Store(tmp_path).open()
    with pytest.raises(StoreError, match=f"{tmp_path / kind}"):
        Store(tmp_path).save_partial(KEY, b"x") if kind == "partial" else Store(tmp_path).make(kind, KEY, fill())


def test_what_is_no_work_of_a_store_is_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    store.make("stages", KEY, fill())
    store.save_partial(OTHER, b"goes on")
    copied = shutil.copytree(tmp_path / "stages" / KEY, tmp_path / "stages" / f"{KEY} (copy)")
    (tmp_path / "stages" / "notes" / "of mine").mkdir(parents=True)
    (tmp_path / "partial" / "notes").mkdir()
    for kind in (*MANIFESTS, "partial"):
        for name in ("DS_Store", "a plain file", OTHER[:63] + "e"):
            (tmp_path / kind / name).touch()
    (tmp_path / "stages" / KEY / ".nfs0001").touch()
    before = {path for path in tmp_path.rglob("*")}
    store.sweep()
    assert {path for path in tmp_path.rglob("*")} == before and copied.exists()
    assert store.keys("stages") == [KEY] and store.load_partial(OTHER) == b"goes on"


def test_what_cannot_be_removed_is_swept_another_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network file system, where a file that somebody has open stays."""
    store = Store(tmp_path).open()
    cut, orphan = tmp_path / "partial" / ".cut", tmp_path / "stages" / KEY / "orphan"
    cut.touch()
    orphan.mkdir(parents=True)

    def refuse(path: Any, *_: Any, **__: Any) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        patch.setattr(os, "rmdir", refuse)
        store.sweep()
    assert cut.exists() and orphan.exists()
    store.sweep()
    assert not cut.exists() and not orphan.exists()


def test_a_damaged_reference_is_swept_and_discarded(tmp_path: Path) -> None:
    """Whatever reads it can make it again, so it must not keep a search from beginning."""
    store = Store(tmp_path).open()
    for key in (KEY, OTHER):
        store.make("references", key, fill())
    damaged = store.folder("references", KEY)
    (damaged / "reference.json").write_text("{}")
    store.discard_damaged("references", OTHER)
    assert store.has("references", OTHER) and store.has("references", KEY)
    store.sweep()
    assert not damaged.exists() and store.keys("references") == [OTHER]
    store.file("references", OTHER, "a.bin").write_bytes(b"other")
    store.discard_damaged("references", OTHER)
    assert not store.folder("references", OTHER).exists()


def test_a_folder_of_another_key_is_not_believed(tmp_path: Path) -> None:
    shutil.copytree(_made(tmp_path) / "stages" / "k", tmp_path / "stages" / KEY)
    with pytest.raises(StoreError, match="has the key 'k'.*remove the folder"):
        Store(tmp_path).file("stages", KEY, "a.bin")


def test_an_attempt_whose_folder_is_removed_is_the_stores_fault(tmp_path: Path) -> None:
    """Not that of the stage, which would be held against it."""

    def robbed(folder: Path) -> dict[str, Any]:
        shutil.rmtree(tmp_path / "stages")
        return fill()(folder)  # type: ignore[no-any-return]

    with pytest.raises(StoreError, match=r"a.bin: No such file.*run the same command again"):
        Store(tmp_path).make("stages", KEY, robbed)


def test_what_the_system_says_of_other_files_and_of_a_full_disk_passes(tmp_path: Path) -> None:
    def elsewhere(folder: Path) -> dict[str, Any]:
        raise FileNotFoundError(errno.ENOENT, "No such file", "/data/of/mine")

    def full(folder: Path) -> dict[str, Any]:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "a.bin"))

    for broken, kind in ((elsewhere, FileNotFoundError), (full, OSError)):
        with pytest.raises(kind):
            Store(tmp_path).make("stages", KEY, broken)


@pytest.mark.parametrize("first", [True, False])
def test_a_link_that_was_made_and_called_a_failure_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool) -> None:
    """On a network file system the answer may be lost; asked again, the server says that the name is taken."""
    link = os.link

    def lost(source: Any, target: Any) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "File exists", target)

    store = Store(tmp_path)
    monkeypatch.setattr(os, "link", lost)
    found = store.make("stages", KEY, fill(b"first") if first else _racing(store, KEY))
    assert found == store.manifest("stages", KEY)
    assert store.file("stages", KEY, "a.bin").read_bytes() == b"first"
    assert len([path for path in (tmp_path / "stages" / KEY).iterdir() if path.is_dir()]) == 1


def test_ctrl_c_just_after_the_record_was_written_leaves_what_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link, store = os.link, Store(tmp_path)

    def interrupted(source: Any, target: Any) -> None:
        link(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "link", interrupted)
        store.make("stages", KEY, fill())
    assert store.file("stages", KEY, "a.bin").read_bytes() == b"weights"


# Partials


@settings(max_examples=40)
@given(content=st.binary(max_size=40), position=st.integers(0, 71), bit=st.integers(0, 7), cut=st.booleans())
def test_a_partial_is_as_it_was_written_or_not_there(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, position: int, bit: int, cut: bool
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    assert store.load_partial("k") is None
    store.save_partial("k", b"earlier")
    store.save_partial("k", content)
    assert store.load_partial("k") == content
    (path,) = (store.root / "partial").iterdir()
    whole = bytearray(path.read_bytes())
    position %= len(whole)
    whole[position] ^= 1 << bit
    path.write_bytes(whole[:position] if cut else whole)
    assert store.load_partial("k") is None
    store.remove_partial("k")
    store.remove_partial("k")
    assert not path.exists()


def test_a_partial_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    store = Store(tmp_path)
    store.save_partial("k", b"earlier")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "replace", refuse)
        store.save_partial("k", b"later")
    assert store.load_partial("k") == b"earlier"
    assert [path.name for path in (tmp_path / "partial").iterdir()] == ["k"]
