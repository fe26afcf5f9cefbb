"""Facts of folders of images: what is a class, what is the test split, what pixels come out, what the fingerprint knows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autodistill.data import Images, Splits, folders, read, split
from autodistill.data.images import read_image
from autodistill.reporting.checked import checked
from autodistill.spec import DataError, SpecError, Split, TaskSpec, load, parse
from autodistill.study.preflight.check import check
from autodistill.study.record.directory import dump

from .conftest import DOCUMENT
from .pictures import fill, pixels, write


def task(root: Path | str, **changes: Any) -> TaskSpec:
    return TaskSpec(**{"dataset": f"folder/{root}", "split": Split(validation=0.25, test=0.25)} | changes)


def splits_of(root: Path | str, **changes: Any) -> Splits:
    one = task(root, **changes)
    return split(read(one), one)


def names(x: Any) -> list[str]:
    assert isinstance(x, Images)
    return list(x.names)


def test_each_subfolder_is_a_class(tmp_path: Path) -> None:
    splits = splits_of(fill(tmp_path, classes=("10", "2", "a")))
    assert splits.inputs.only == (3, 8, 8) and splits.layout == "CHW" and not splits.own_test
    parts = (splits.train, splits.validation, splits.test.unseal())
    assert parts[-1].names == ("2", "10", "a")
    assert [len(part) for part in parts] == [18, 9, 9]
    for part in parts:
        assert [("2", "10", "a")[number] for number in part.y] == [name.split("/")[0] for name in names(part.x["x"])]
    for row, path in enumerate(splits.train.x["x"].paths):  # type: ignore[union-attr]
        assert (splits.train.x["x"][[row]][0] == np.asarray(Image.open(path)).transpose(2, 0, 1)).all()


def test_a_test_folder_is_the_test_split_and_val_joins_the_rest(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "val", "test")):
        fill(tmp_path / part, each=4 if part == "train" else 2, seed=100 * number)
    splits = splits_of(tmp_path)
    assert splits.own_test and len(splits.test) == 6
    assert {name.split("/")[0] for name in names(splits.test.unseal().x["x"])} == {"test"}
    pool = names(splits.train.x["x"]) + names(splits.validation.x["x"])
    assert len(pool) == 18 and {name.split("/")[0] for name in pool} == {"train", "val"}


@pytest.mark.parametrize("name", ["val", "validation"])
def test_without_test_val_is_the_test_split(tmp_path: Path, name: str) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / name, each=2)
    splits = splits_of(tmp_path)
    assert splits.own_test and {path.split("/")[0] for path in names(splits.test.unseal().x["x"])} == {name}


def test_a_path_alone_is_a_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    for name in (str(tmp_path / "images"), "./images", "images/", "folder/images"):
        assert len(read(TaskSpec(dataset=name)).y) == 36


def test_a_folder_is_looked_up_beside_the_spec(tmp_path: Path) -> None:
    fill(tmp_path / "images")
    spec = tmp_path / "spec.yaml"
    spec.write_text(dump(DOCUMENT | {"task": {"dataset": "folder/images", "unlabeled": "more"}}))
    write(tmp_path / "more" / "a.png", pixels(9))
    found = load(spec).task
    assert found.dataset == f"folder/{tmp_path / 'images'}" and found.unlabeled == str(tmp_path / "more")


SIZES = [(8, 8), (5, 9), (16, 4), (8, 20), (3, 3)]


@pytest.mark.parametrize("size", SIZES)
def test_images_are_resized_by_the_shorter_side_and_cut_to_the_center(tmp_path: Path, size: tuple[int, int]) -> None:
    path = str(write(tmp_path / "a.png", pixels(0, *size)))
    for target in ((8, 8), (4, 10)):
        found = read_image(path, target, 3)
        assert found.shape == (3, *target) and found.dtype == np.uint8
        if size == target:
            assert (found == pixels(0, *size).transpose(2, 0, 1)).all()
    middle = np.zeros((8, 20, 3), np.uint8)
    middle[:, 6:14] = 255
    assert (read_image(str(write(tmp_path / "b.png", middle)), (8, 8), 1) == 255).all(), "the center"


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "RGB"])
def test_every_mode_becomes_rgb_or_gray(tmp_path: Path, mode: str) -> None:
    path = str(write(tmp_path / "a.png", pixels(0), mode))
    expected = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
    assert (read_image(path, (8, 8), 3) == expected).all()
    assert read_image(path, (8, 8), 1).shape == (1, 8, 8)


def test_transparency_in_a_palette_is_no_warning(tmp_path: Path) -> None:
    image = Image.fromarray(pixels(0)).convert("P")
    image.save(tmp_path / "a.png", transparency=bytes(range(256)))
    assert read_image(str(tmp_path / "a.png"), (8, 8), 3).shape == (3, 8, 8)


def test_images_of_one_size_need_no_image_size(tmp_path: Path) -> None:
    fill(tmp_path)
    assert splits_of(tmp_path).inputs.only == (3, 8, 8)
    assert splits_of(tmp_path, image_size=4, channels=1).inputs.only == (1, 4, 4)
    assert splits_of(tmp_path, image_size=[4, 6]).inputs.only == (3, 4, 6)
    write(tmp_path / "cat" / "000.png", pixels(0, 9, 7))
    write(tmp_path / "dog" / "000.png", pixels(0, 9, 7))
    write(tmp_path / "eel" / "001.png", pixels(0, 9, 7))
    with pytest.raises(DataError, match=r"task.image_size is missing.*8 x 8.*9 x 7|task.image_size is missing.*9 x 7.*8 x 8"):
        splits_of(tmp_path)


def test_the_fingerprint_is_of_files_wherever_they_lie(tmp_path: Path) -> None:
    one = splits_of(fill(tmp_path / "one")).fingerprint
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert splits_of(tmp_path / "two").fingerprint == one
    others = [splits_of(tmp_path / "one", **changes).fingerprint for changes in OTHERS]
    assert len({one, *others}) == 1 + len(OTHERS)


OTHERS: list[dict[str, Any]] = [
    {"image_size": 4},
    {"channels": 1},
    {"samples": 20},
    {"labeled": 0.5},
    {"split": Split(validation=0.25, test=0.25, seed=1)},
]


@pytest.mark.parametrize("part", ["train", "validation"])
def test_one_changed_file_changes_the_fingerprint(tmp_path: Path, part: str) -> None:
    before = splits_of(fill(tmp_path))
    fingerprint = before.fingerprint  # made now
    path = Path(getattr(before, part).x["x"].paths[3])
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    assert splits_of(tmp_path).fingerprint != fingerprint


def test_exact_reads_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "EXAMINED", 3)
    before = {exact: splits_of(fill(tmp_path), exact=exact) for exact in (False, True)}
    prints = {exact: splits.fingerprint for exact, splits in before.items()}
    path = Path(before[True].train.x["x"].paths[1])  # type: ignore[union-attr]
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    assert splits_of(tmp_path).fingerprint == prints[False], "not among the three, and as long as it was"
    assert splits_of(tmp_path, exact=True).fingerprint != prints[True]
    path.write_bytes(bytes(data) + b"!")
    assert splits_of(tmp_path).fingerprint != prints[False], "another length"


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("exact", [False, True])
def test_scrambled_test_files_change_nothing_else(tmp_path: Path, own: bool, exact: bool) -> None:
    fill(tmp_path / "train" if own else tmp_path)
    if own:
        fill(tmp_path / "test", each=2, seed=50)
    before = splits_of(tmp_path, exact=exact)
    fingerprint, scale = before.fingerprint, before.scale()
    for path in before.test.unseal().x["x"].paths:  # type: ignore[union-attr]
        Path(path).write_bytes(b"scrambled")
    after = splits_of(tmp_path, exact=exact)
    assert (after.fingerprint, after.scale(), after.inputs) == (fingerprint, scale, before.inputs)
    with pytest.raises(DataError, match="is not a readable image"):
        after.test.unseal().x["x"][:]


def test_scale_is_over_some_training_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = splits_of(fill(tmp_path))
    x = splits.train.x["x"][:]
    assert splits.scale()[0] == pytest.approx(x.mean((0, 2, 3)))
    monkeypatch.setattr("autodistill.data.splits.SCALED", 2)
    assert splits.scale()[0] == pytest.approx(x[[0, -1]].mean((0, 2, 3)))


def broken(root: Path) -> None:
    fill(root)
    (root / "cat" / "001.png").write_bytes((root / "cat" / "001.png").read_bytes()[:70])


def stray(root: Path) -> None:
    write(fill(root) / "stray.png", pixels(0))


def unseen(root: Path) -> None:
    fill(root / "train")
    fill(root / "test", each=1, classes=("cat", "fox"))


def no_train(root: Path) -> None:
    fill(root / "test")
    fill(root / "cat", classes=("a",))


def other_files(root: Path) -> None:
    (root / "cat").mkdir()
    (root / "cat" / "a.txt").write_text("no image")


def pipe(root: Path) -> None:
    os.mkfifo(fill(root) / "cat" / "pipe.png")


def dangling(root: Path) -> None:
    (fill(root) / "cat" / "link.png").symlink_to(root / "none.png")


def itself(root: Path) -> None:
    (fill(root) / "cat" / "link.png").symlink_to("link.png")


def loop(root: Path) -> None:
    (fill(root) / "cat" / "again").symlink_to(root)


WRONG: dict[str, tuple[Any, tuple[str, ...]]] = {
    "a file outside of classes": (stray, ("stray.png is not in a class folder", "move it into one", "task.unlabeled")),
    "a class of the test alone": (unseen, ("fox", "has no training sample", "known classes: cat, dog, eel")),
    "no train": (no_train, ("has test but no train", "rename the folder of the other images to train")),
    "no image": (other_files, ("contains no images", ".png, .jpg, or .jpeg")),
    "a link to itself": (itself, ("cat/link.png is not a regular file", "remove it")),
    "a pipe": (pipe, ("cat/pipe.png is not a regular file", "remove it")),
    "a dangling link": (dangling, ("cat/link.png is not a regular file", "remove it")),
    "a link to a folder above": (loop, ("cat/again leads back to one of its parent folders", "remove the link")),
    "one class": (lambda root: fill(root, classes=("cat",)), ("has only one class",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_folders(name: str, tmp_path: Path) -> None:
    make, words = WRONG[name]
    make(tmp_path)
    with pytest.raises(DataError) as caught:
        splits_of(tmp_path)
    for word in ("task.dataset: ", str(tmp_path), *words):
        assert word in str(caught.value)


def test_a_link_to_itself_that_is_named_like_no_image_is_nothing(tmp_path: Path) -> None:
    for place in ("train/cat", "train", "."):
        fill(tmp_path / "train")
        (tmp_path / place / "x").symlink_to("x")
    splits_of(tmp_path)


def test_a_link_to_another_folder_is_followed(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", classes=("eel",))
    (fill(tmp_path / "images", classes=("cat", "dog")) / "fox").symlink_to(tmp_path / "elsewhere" / "eel")
    assert splits_of(tmp_path / "images").test.unseal().names == ("cat", "dog", "fox")


@pytest.mark.parametrize("root", ["/proc/self/", "/"])
def test_a_folder_of_the_system_is_refused_soon(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "FOLDERS_MOST", 20_000)  # what else a machine holds may take long
    with pytest.raises(DataError, match=f"task.dataset: {root.rstrip('/')}/?.* (leads back to|has more than|cannot be)"):
        read(task(root))


@pytest.mark.parametrize(("name", "what"), [("FOLDERS_MOST", "folders"), ("FILES_MOST", "files")])
def test_what_is_walked_has_a_limit(name: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, name, 2)
    with pytest.raises(DataError, match=f"task.dataset: {tmp_path} has more than 2 {what}; give the folder that contains only"):
        read(task(fill(tmp_path, each=1)))


def test_a_folder_that_cannot_be_read_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a patch, as root reads all."""
    real = os.scandir

    def denied(path: str) -> Any:
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError, match="task.dataset: .*dog cannot be read .Permission denied.; restore it, make it readable"):
        read(task(fill(tmp_path)))


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="task.dataset: '.*none' is not a folder; give a path"):
        read(task(tmp_path / "none"))


def document(root: Path, **changes: Any) -> dict[str, Any]:
    return DOCUMENT | {"task": {"dataset": f"folder/{root}", "split": {"validation": 0.25, "test": 0.25}} | changes}


@pytest.mark.parametrize("memory", ["auto", "resident"])
def test_check_names_a_damaged_image(memory: str, tmp_path: Path) -> None:
    broken(tmp_path)
    for name in ("000.png", "002.png", "003.png"):  # whichever split they are in, 001 may be in the test split
        (tmp_path / "cat" / name).write_bytes((tmp_path / "cat" / "001.png").read_bytes())
    with pytest.raises(DataError, match=r"cat/00.\.png is not a readable image \(.*\); replace the file, or remove it"):
        check(parse(document(tmp_path, memory=memory)), timed=False)


def test_check_says_how_images_are_held(tmp_path: Path) -> None:
    fill(tmp_path / "images")
    found = check(parse(document(tmp_path / "images")), timed=False)
    assert found.data.model_copy(update={"memory": "resident", "bytes": 27 * 192, "unlabeled": 0}) == found.data
    assert "held         in memory as uint8, 0.0 MB" in checked(found, 1)
    found = check(parse(document(tmp_path / "images", memory="stream", labeled=0.5)), timed=False)
    assert "held         streamed from files by workers; 0.0 MB when decoded" in checked(found, 1)
    assert "9 train and 9 without labels" in checked(found, 1)
    assert "one that learns from labels alone sees each labeled sample 2.0 times" in checked(found, 1)


SPECS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "image_size of arrays": ({"dataset": "data.npz", "image_size": 8}, ("image_size applies to image files", "data.npz")),
    "channels of arrays": ({"dataset": "sklearn/digits", "channels": 1}, ("channels applies to image files",)),
    "two channels": ({"dataset": "./images", "channels": 2}, ("2 is invalid", "1 or 3")),
    "stream of digits": (
        {"dataset": "sklearn/digits", "memory": "stream"},
        ("memory: stream applies to image files, .npz files", "sklearn/digits", "remove it"),
    ),
    "unlabeled of arrays": (
        {"dataset": "data.npz", "unlabeled": "more"},
        ("unlabeled applies to a folder", "x_unlabeled to the data"),
    ),
    "exact of arrays": ({"dataset": "torch/cifar10", "exact": True}, ("exact applies to a folder", "remove it")),
    "a layout of images": ({"dataset": "./images", "layout": "HWC"}, ("layout HWC applies to arrays",)),
    "no pixels": ({"dataset": "./images", "image_size": 0}, ("0 is invalid", "1 or more")),
    "no labels": ({"dataset": "data.npz", "labeled": 0}, ("0 is invalid", "above 0")),
    "more labels than all": ({"dataset": "data.npz", "labeled": 1.5}, ("1.5 is invalid", "1 or less")),
    "a name of torchvision's": ({"dataset": "torch/cifar11"}, ("did you mean 'torch/cifar10", "folder/PATH, hfds/NAME")),
    "another memory": ({"dataset": "./images", "memory": "disk"}, ('"disk" is invalid', "resident")),
}


@pytest.mark.parametrize("name", SPECS)
def test_wrong_keys(name: str) -> None:
    given, words = SPECS[name]
    with pytest.raises(SpecError) as caught:
        parse(DOCUMENT | {"task": given})
    for word in ("task", *words):
        assert word in str(caught.value), str(caught.value)


def test_sixteen_bits_a_pixel_are_scaled_not_cut_off(tmp_path: Path) -> None:
    gray = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    found = read_image(str(tmp_path / "gray.png"), (8, 8), 1)
    assert found.min() == 0 and found.max() == 255 and len(np.unique(found)) == 64
