"""Exports a network of a study as files that run without the study, each first compared with PyTorch."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ..answers import Wanted, smallest
from ..answers.confirm import confirmed
from ..answers.confirm.judge import latency_of
from ..data import encode
from ..data.tokens import FILE as TOKENIZER
from ..metrics import latency
from ..spec import StudyError, UsageError, is_full
from ..spec.imports import reason
from ..study.record.directory import StudyDirectory
from .card import Card, Exported, TimedFile, WrittenFile
from .facts import Chosen, architecture_of, card_of
from .folder import FOLDER, HF, is_loadable
from .formats import (
    ARCHITECTURE,
    COLUMNS,
    ENCODE,
    FORMATS,
    INSTALL,
    ONNX,
    SAFETENSORS,
    TEXTS,
    Called,
    Format,
    Run,
    Source,
    compared,
    outputs,
    quiet,
    refusal,
)
from .predict import Predictions, predict

__all__ = ["Card", "Exported", "Predictions", "export", "predict"]
EXAMPLE, CARD, DRAFT = "example.py", "card.md", ".autodistill-export"


def export(folder: StudyDirectory, *, to: Path | str, stage: str | None = None, wanted: Wanted | None = None) -> Exported:
    """Writes the network whose key begins with `stage`, or the answer of `smallest` to what is `wanted`, into `to`.

    If no student meets what is wanted, nothing is written. The folder `to` is written with all its files or not at all.
    Raises UsageError for a key that matches no stored network or several, a study that is not confirmed, and a folder that
    contains files; StoreError for damaged files; StudyError if the disk is full or the weights do not reproduce the network's
    outputs.
    """
    target = _checked(Path(to))
    claim = None
    if stage is None:
        claim = smallest(confirmed(folder), wanted or Wanted())
        if claim.answer is None:
            return Exported(to=None, claim=claim, card=None)
        stage = claim.answer.chosen
    one = Chosen(folder, stage)
    with drafted(target) as draft:
        card = _fill(draft, one, claim.sentence() if claim else None, target)
    return Exported(to=str(target), claim=claim, card=card)


def _checked(path: Path) -> Path:
    """The folder to write, as a full path. Raises UsageError if it contains anything, is a file, or cannot be created."""
    target = Path(os.path.realpath(path))
    if os.path.exists(target) and not os.path.isdir(target):
        raise UsageError(f"--to {path} is a file; give a new directory")
    with _explained(path), contextlib.suppress(FileNotFoundError):
        if os.listdir(target):
            raise UsageError(f"--to {path} is not empty; give a new or empty directory")
    return target


@contextlib.contextmanager
def drafted(target: Path) -> Iterator[Path]:
    """A folder beside `target` that is renamed to `target` once it is complete. First removes one that a kill left behind.

    Raises StudyError if another process is writing to `target`.
    """
    draft = target.with_name(f".{target.name}{DRAFT}")
    with _alone(draft.with_name(f"{draft.name}.lock"), target):
        _checked(target)  # another process may have written it since
        shutil.rmtree(draft, ignore_errors=True)
        try:
            with _explained(target):
                draft.mkdir()
            yield draft
            with _explained(target):
                os.rename(draft, target)  # replaces an empty folder
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            if is_full(error):
                raise StudyError(f"no space left for {target}; free some space, then run the same command again") from error
            raise


@contextlib.contextmanager
def _alone(path: Path, target: Path) -> Iterator[None]:
    """Holds the lock file `path` and removes it at the end, so checks that the locked file is still the one at `path`."""
    with _explained(target):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(lock.fileno()), path.stat())
        except OSError:
            held = False
        if not held:
            raise StudyError(f"--to {target}: another export is writing to it; wait for it, or give another directory")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise
        raise UsageError(f"--to {target} cannot be written to: {error.strerror}; give another directory") from error


def _fill(draft: Path, one: Chosen, claim: str | None, target: Path) -> Card:
    """Writes all files; returns what the card says."""
    (draft / ARCHITECTURE).write_bytes(json.dumps(architecture_of(one), indent=1).encode() + b"\n")
    if one.data.text is not None:
        (draft / TOKENIZER).write_bytes(one.data.text.content)
        (draft / TEXTS).write_bytes(one.data.text.encoding.model_dump_json(indent=1).encode() + b"\n")
    source = Source(one.built, one.data.inputs, one.data)
    wanted_NK = outputs(source.run, one.data)
    formats, runs, left_out = _formats(draft, source, one, wanted_NK)
    cpu, has_cuda = torch.device("cpu"), one.spec.resources.gpus and torch.cuda.is_available()
    timed = [_timed("PyTorch", source.network, one, cpu)]
    timed += [_timed("onnxruntime", Called(runs[ONNX]), one, cpu)] if ONNX in runs else []
    timed += [_timed("PyTorch", source.network, one, torch.device("cuda"))] if has_cuda else []  # the network stays there
    card = card_of(one, wanted_NK, to=target, claim=claim, formats=formats, left_out=left_out, latency=timed)
    (draft / EXAMPLE).write_bytes(Path(__file__).with_name(EXAMPLE).read_bytes())
    if one.data.encoding is not None:
        (draft / COLUMNS).write_bytes(json.dumps(one.data.encoding.plain(), indent=1).encode() + b"\n")
        (draft / ENCODE).write_bytes(Path(encode.__file__).read_bytes())
    (draft / CARD).write_bytes(card.markdown().encode())
    return card


def _formats(
    draft: Path, source: Source, one: Chosen, wanted_NK: Tensor
) -> tuple[dict[str, WrittenFile], dict[str, Run], dict[str, str]]:
    """Each file that was written, how to run it, and why others were left out.

    Raises StudyError if not even the weights reproduce the network's outputs.
    """
    formats: dict[str, WrittenFile] = {}
    runs: dict[str, Run] = {}
    left_out: dict[str, str] = {}
    for name, form in (FORMATS | ({HF: FOLDER} if is_loadable(one.data, one.built) else {})).items():
        try:
            formats[name], runs[name] = _write(draft / name, form, source, one, wanted_NK)
        except _LeftOut as why:
            shutil.rmtree(draft / name) if (draft / name).is_dir() else (draft / name).unlink(missing_ok=True)
            left_out[name] = str(why)
    if SAFETENSORS in left_out:
        raise StudyError(
            f"{SAFETENSORS} of stage {one.stage[:12]} cannot be exported, so nothing was written: {left_out[SAFETENSORS]}; "
            "make sure that the module gives the same outputs each time it is called"
        )
    return formats, runs, left_out


class _LeftOut(Exception):
    """Why a format is left out."""


def _write(path: Path, form: Format, source: Source, one: Chosen, wanted_NK: Tensor) -> tuple[WrittenFile, Run]:
    """Raises _LeftOut if the network cannot be exported, the file cannot be run, or its outputs differ."""
    with _left_out(), quiet():
        content = form.content(source)
    if isinstance(content, dict):
        path.mkdir()
    files = {path / name: file for name, file in content.items()} if isinstance(content, dict) else {path: content}
    for file, written in files.items():
        file.write_bytes(written)
    with _left_out(), quiet():
        run = form.run(path, one.spec.resources.threads)
        found = compared(outputs(run, one.data), wanted_NK, one.data)
    why = refusal(found, wanted_NK)
    if why is not None:
        raise _LeftOut(why)
    return WrittenFile(**dict(found), bytes=sum(map(len, files.values()))), run


@contextlib.contextmanager
def _left_out() -> Iterator[None]:
    """Exporters can fail in any way, and so can a user's module."""
    try:
        yield
    except ImportError as error:
        raise _LeftOut(f"{reason(error)}; {INSTALL}") from error
    except (Exception, SystemExit) as error:
        if is_full(error):
            raise
        raise _LeftOut(reason(error)) from error


def _timed(name: str, network: nn.Module, one: Chosen, device: torch.device) -> TimedFile:
    threads = one.spec.resources.threads
    found = latency_of(network, one.data.inputs, device, threads)
    return TimedFile(**dict(found), runs=name, device=latency.name_of(device), threads=threads)
