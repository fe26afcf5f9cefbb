"""MLflow: one run for each trial, below the run of its search, through MLflow's own client."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...spec.log import MLflowLog
from .values import SEARCH, Run

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

KEY = "autodistill.run"
"""The tag by which a run is found again."""
LONGEST = 250
"""The most characters of a name: MLflow refuses longer ones."""
STATES = {"failed": "FAILED", "stopped": "KILLED"}
"""MLflow's words for how a trial ended; the others are FINISHED."""


class MLflow:
    name = "mlflow"
    way = "start its server, or give another log.mlflow.uri"

    def __init__(self, options: MLflowLog, study: str, out: Path) -> None:
        self.place = options.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{out / 'mlflow.db'}"
        self.experiment = options.experiment or study
        self._client: MlflowClient | None = None
        self._id = ""
        self._parent: str | None = None

    def log(self, run: Run) -> None:
        client = self._connected()
        if run.kind == SEARCH:
            found = self._search(client, run)
        else:
            found = self._known(client, run.key) or self._created(
                client, run, {"mlflow.parentRunId": self._search(client, run)}
            )
        self._write(client, found, run)

    def _connected(self) -> MlflowClient:
        if self._client is None:
            from mlflow.tracking import MlflowClient

            for name in ("mlflow", "alembic"):  # they say which tables they create
                logging.getLogger(name).setLevel(logging.ERROR)
            client = MlflowClient(tracking_uri=self.place)
            found = client.get_experiment_by_name(self.experiment)
            self._id = client.create_experiment(self.experiment, self._artifacts()) if found is None else found.experiment_id
            self._client = client
        return self._client

    def _artifacts(self) -> str | None:
        """Beside a database in a file, not in the working directory; otherwise where the server keeps them."""
        kind, _, path = self.place.partition(":///")
        return (Path(path).absolute().parent / "mlflow-artifacts").as_uri() if kind == "sqlite" else None

    def _known(self, client: MlflowClient, key: str) -> str | None:
        """The id of a run that was logged before, perhaps in part."""
        found = client.search_runs([self._id], filter_string=f"tags.`{KEY}` = '{key}'", max_results=1)
        return found[0].info.run_id if found else None

    def _created(self, client: MlflowClient, run: Run, tags: dict[str, str]) -> str:
        tags = {KEY: run.key, "autodistill.kind": run.kind, "autodistill.study": run.study} | tags
        return str(client.create_run(self._id, run_name=run.name, tags=tags).info.run_id)

    def _search(self, client: MlflowClient, run: Run) -> str:
        """The id of the run of the search, which is above all others."""
        if self._parent is None:
            tags = {KEY: run.search_key, "autodistill.kind": SEARCH, "autodistill.study": run.study}
            known = self._known(client, run.search_key)
            self._parent = known or str(client.create_run(self._id, run_name=run.study, tags=tags).info.run_id)
        return self._parent

    def _write(self, client: MlflowClient, found: str, run: Run) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        last = run.steps[-1].epochs if run.steps else 0
        values = [(name, value, step.epochs) for step in run.steps for name, value in step.values.items()]
        values += [(name, value, last) for name, value in run.finals.items() if (name, value, last) not in values]
        _in_batches(
            client,
            found,
            metrics=[Metric(plain(name), value, now, step) for name, value, step in values],
            params=[Param(plain(name), str(value)[:500]) for name, value in run.settings.items()],
            tags=[RunTag(plain(name), text[:5000]) for name, text in {"state": run.state, **run.facts}.items()],
        )
        for path in run.files:
            client.log_artifact(found, str(path))
        client.set_terminated(found, STATES.get(run.state, "FINISHED"))


def _in_batches(client: MlflowClient, run: str, **parts: list[Any]) -> None:
    """At most 100 of each at a time, as MLflow wants it."""
    for start in range(0, max(map(len, parts.values())), 100):
        client.log_batch(run, **{name: found[start : start + 100] for name, found in parts.items()})


def plain(name: str) -> str:
    """A name of only letters, digits, and what else MLflow allows: `architecture{1}.width` is `architecture_1_.width`."""
    return re.sub(r"[^\w./ :-]", "_", name)[:LONGEST]
