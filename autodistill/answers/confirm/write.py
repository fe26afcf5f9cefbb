"""From results on the test split to plain facts (results.py lists them)."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...data.splits import Samples
from ...distill import load_network
from ...metrics import latency
from ...metrics.intervals import mean_interval, wilson
from ...models.sizes import bytes_float16
from ...spec import Checkpoint, Spec, Stage, describe
from ...study.record.region import SIZES
from ...study.record.rows import Stages
from .candidates import Candidate
from .judge import Verdict, accuracy_of, beside, digest_of, spread
from .results import WEIGHTS

BATCH = 64


class Writer:
    def __init__(
        self,
        spec: Spec,
        stages: Stages,
        teachers: Sequence[Stage | Checkpoint],
        verdicts: Mapping[str, Verdict],
        test: Samples,
        device: torch.device,
    ) -> None:
        self.spec, self.stages, self.verdicts, self.test, self.device = spec, stages, verdicts, test, device
        self.teacher = teachers[0]

    def facts(self, wanted: Sequence[Candidate], failures: Mapping[str, str]) -> dict[str, Any]:
        return {
            "study": self.spec.study,
            "seeds": max(len(one.fresh) for one in wanted),
            "test": {"n": len(self.test), "digest": digest_of(self.test), "class_names": self.test.names},
            "device": {"name": latency.name_of(self.device), "kind": self.device.type, "threads": self.spec.resources.threads},
            "environment": {"torch": torch.__version__, "python": platform.python_version()},
            "failures": {key: reason for key, reason in failures.items()},
            "teacher": self._described(self.teacher) | {"stage": self.teacher.key()},
            "members": [self._member(one) for one in wanted],
        }

    def _member(self, one: Candidate) -> dict[str, Any]:
        files = [(one.searched, "searched"), *((stage, "fresh") for stage in one.fresh if stage.key() in self.verdicts)]
        chosen = max((network for network, _ in files), key=lambda network: self._on_validation(network)["correct"])
        fresh = [network for network, kind in files if kind == "fresh"]
        return {
            "stage": one.searched.key(),
            "role": one.row.role,
            "on_frontier": one.row.frontier,
            "chain": one.row.chain,
            "seconds_chain": one.row.seconds_chain,
            **self._described(chosen),
            "networks": [
                {"key": network.key(), "kind": kind, "seed": getattr(network, "seed", None), **self._accuracies(network)}
                for network, kind in files
            ],
            "seeds": self._over_seeds(fresh),
            "baselines": {name: self._against(one, baselines) for name, baselines in one.baselines().items()},
        }

    def _described(self, network: Stage | Checkpoint) -> dict[str, Any]:
        key = network.key()
        measured = self.stages.measured(key)
        return {
            "architecture": describe(network.architecture),
            **{name: getattr(measured, name) for name in SIZES},
            "bytes_float16": bytes_float16(load_network(self.stages.store, network, torch.device("cpu"))),
            "seconds": measured.seconds,
            "chosen": key,
            "weights": self.stages.store.manifest("stages", key)["files"][WEIGHTS],
            "validation": self._on_validation(network),
            "test": beside(self.verdicts[key], self.verdicts[self.teacher.key()], self.test),
            "latency": self._latency(network),
        }

    def _on_validation(self, network: Stage | Checkpoint) -> dict[str, Any]:
        measured = self.stages.measured(network.key())
        interval = wilson(measured.correct, measured.n)
        return {name: getattr(measured, name) for name in ("accuracy", "correct", "n")} | {
            "low": interval.low,
            "high": interval.high,
        }

    def _accuracies(self, network: Stage | Checkpoint) -> dict[str, float]:
        validation = self.stages.measured(network.key()).accuracy
        return {"validation": validation, "test": accuracy_of(self.verdicts[network.key()].right)["accuracy"]}

    def _over_seeds(self, networks: Sequence[Stage | Checkpoint]) -> dict[str, Any] | None:
        found = [float(self.verdicts[network.key()].right.mean()) for network in networks]
        return spread(found, mean_interval(found)) if found else None

    def _against(self, one: Candidate, baselines: Sequence[Stage]) -> dict[str, Any] | None:
        """A baseline's accuracies over seeds, and the student's minus its own, paired by seed."""
        pairs = [
            (self.verdicts[own.key()].right.mean(), self.verdicts[other.key()].right.mean())
            for own, other in zip(one.fresh, baselines, strict=False)
            if own.key() in self.verdicts and other.key() in self.verdicts
        ]
        if not pairs:
            return None
        gains = [float(own - other) for own, other in pairs]
        gain = spread(gains, mean_interval(gains)) | {"values": gains}
        gain.pop("accuracies")
        others = [float(other) for _, other in pairs]
        return spread(others, mean_interval(others)) | {"epochs": baselines[0].recipe.epochs, "gain": gain}

    def _latency(self, network: Stage | Checkpoint) -> dict[str, Any]:
        built = load_network(self.stages.store, network, self.device)
        shape = self.test.x.shape[1:]
        options: dict[str, Any] = {"device": self.device, "threads": self.spec.resources.threads, "seconds": latency.SECONDS}
        return {name: latency.latency(built, shape, batch=batch, **options) for name, batch in (("one", 1), ("batched", BATCH))}
