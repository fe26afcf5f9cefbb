"""The unit of work: one stage to train, or one teacher's logits to compute."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import psutil
import torch
from pydantic import TypeAdapter

from ..metrics.latency import limited_to
from ..spec import (
    AutodistillError,
    DataError,
    Imported,
    LogitsCacheSpec,
    OutOfMemory,
    Stage,
    StageFailed,
    StoreError,
    StudyError,
    is_full,
)
from ..spec.code import check_code
from ..spec.imports import reason
from ..spec.measurement import Rung
from ..spec.stage import Network
from ..store import Kind, Store
from .loop import training
from .outputs import make_outputs, outputs_key

NO_MEMORY = ("can't allocate memory", "not enough memory", "std::bad_alloc")
"""Texts of torch's errors when CPU memory runs out; they have no exception class of their own."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A stage to train or, if there is a `cache`, the logits of a network to compute.

    A training reports after the epochs in `rungs`, and may end there. `safe`: run without optimized kernels,
    because the job crashed its process before (see `layout.SAFE`). `alone`: run with no other job beside it, because the
    job ran out of memory before. `own` are the metrics of your own to measure.
    """

    network: Network
    cache: LogitsCacheSpec | None = None
    rungs: tuple[int, ...] = ()
    safe: bool = False
    alone: bool = False
    own: tuple[str, ...] = ()

    @property
    def trains(self) -> bool:
        return self.cache is None

    def address(self) -> tuple[Kind, str]:
        """Where its result is in the store."""
        if self.cache is None:
            return ("stages", self.network.key())
        return ("outputs", outputs_key(self.network, self.cache))

    def dump(self) -> str:
        """JSON for another process, which `load` reads."""
        return JOB.dump_json(self).decode()

    @classmethod
    def load(cls, text: str) -> Job:
        return JOB.validate_json(text)


JOB = TypeAdapter(Job)


def perform(job: Job, store: Store, *, cuda: bool, threads: int) -> None:
    """Runs a job to its end, so that its result is in the store. Raises what `performing` raises."""
    for _ in performing(job, store, cuda=cuda, threads=threads):
        pass


def attempt(job: Job, store: Store, *, cuda: bool, threads: int) -> Generator[Rung, None, StageFailed | None]:
    """Runs a job, reporting at its rungs; returns the failure if its stage caused one."""
    try:
        yield from performing(job, store, cuda=cuda, threads=threads)
    except StageFailed as failure:
        return failure
    finally:
        if cuda:  # frees cached memory: other jobs may share the GPU, and a worker lives long
            with contextlib.suppress(RuntimeError):  # after a CUDA error nothing works
                torch.cuda.empty_cache()
    return None


def performing(job: Job, store: Store, *, cuda: bool, threads: int) -> Generator[Rung]:
    """Runs a job, reporting at its rungs; closing the generator there ends the job.

    Raises StageFailed with the reason if the stage caused the error (OutOfMemory if it may succeed while it runs alone).
    Raises StudyError or StoreError if the machine or the store caused it: then every other stage would fail, too.
    """
    if cuda and not torch.cuda.is_available():
        raise StudyError("resources.gpus is above 0, but this worker has no CUDA; set gpus: 0, or give the worker a GPU")
    device = torch.device("cuda" if cuda else "cpu")
    with _blamed(store, device), limited_to(threads):
        _check_code(job.network)
        if job.cache is not None:
            make_outputs(store, job.network, job.cache, device, safe=job.safe)
            return
        assert isinstance(job.network, Stage), "a checkpoint is stored already"
        with contextlib.closing(training(store, job.network, device, job.rungs, safe=job.safe, own=job.own)) as rungs:
            for rung in rungs:
                try:
                    yield rung
                except GeneratorExit:  # it is closed; elsewhere, the user's own code raised it
                    return


def _check_code(network: Network) -> None:
    """Raises UsageError if a network of your own, or one that it learns from, has other code here than when the study began."""
    for one in (network, *(network.ancestors() if isinstance(network, Stage) else ())):
        if isinstance(one.architecture, Imported):
            check_code(one.architecture)


@contextlib.contextmanager
def _blamed(store: Store, device: torch.device) -> Iterator[None]:
    """Turns any exception into one that says whether the stage caused it (see `performing`); KeyboardInterrupt passes."""
    try:
        yield
    except (StageFailed, StoreError, KeyboardInterrupt):
        raise
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"out of memory on {device}: {_first_line(error)}", of="GPU memory") from error
    except OSError as error:
        if is_full(error):
            raise StudyError(f"no space left under {store.root}; free some space, then run the same command again") from error
        raise StageFailed(_reason(error)) from error
    except DataError as error:  # an image file is missing or damaged: every other stage would fail, too
        raise StudyError(f"{error}; then run the same command again") from error
    except AutodistillError as error:
        raise StageFailed(_first_line(error)) from error
    except BaseException as error:  # the user's own code may raise anything
        if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
            memory = psutil.virtual_memory()
            left = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB were available"
            raise OutOfMemory(f"out of memory: {_reason(error)}; {left}", of="memory") from error
        raise StageFailed(_reason(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:500]


def _reason(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{reason(error)} ({frame.filename}:{frame.lineno} in {frame.name})"
