"""Weights & Biases: one run for each trial, in the group of its study, through its own client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...spec import UsageError
from ...spec.log import WandbLog
from .values import Run

SECONDS = 30
"""How long its server may take to accept a run."""


class Wandb:
    name = "wandb"
    way = "check the network connection, or set log.wandb.mode: offline and upload later with wandb sync"

    def __init__(self, options: WandbLog, study: str, out: Path) -> None:
        self.options, self.project = options, options.project or study
        self.directory = out if options.directory is None else Path(options.directory).expanduser().absolute()
        self.place = "the project " + "/".join(filter(None, [options.entity, self.project]))
        self.place += f" (offline, in {self.directory / 'wandb'})" if options.mode == "offline" else ""

    def log(self, run: Run) -> None:
        import wandb

        self.directory.mkdir(parents=True, exist_ok=True)
        quiet = {"silent": True, "console": "off", "disable_git": True, "disable_code": True, "x_disable_stats": True}
        with wandb.init(
            project=self.project,
            entity=self.options.entity,
            mode=self.options.mode,
            dir=str(self.directory),
            id=run.key,
            name=run.name,
            group=f"{run.study}-{run.identity[:4]}",
            job_type=run.kind,
            config=dict(run.settings),
            notes=run.facts.get("chain"),
            resume=None if self.options.mode == "offline" else "allow",
            reinit="create_new",  # leaves a run of the user's own alone
            settings=wandb.Settings(**quiet, init_timeout=SECONDS),
        ) as found:
            _write(found, run)


def _write(found: Any, run: Run) -> None:
    import wandb

    for step in run.steps:
        found.log(dict(step.values), step=step.epochs)
    found.summary.update({"state": run.state, **run.facts, **run.finals})
    if not run.files:
        return
    report = wandb.Artifact(f"{run.study}-report", type="report")
    for path in run.files:
        report.add_file(str(path))
        if path.suffix == ".png":
            found.log({path.stem: wandb.Image(str(path))})
    found.log_artifact(report)


def refuse_unknown_user(options: WandbLog) -> None:
    """Raises UsageError if runs would be uploaded, but nobody is logged in: W&B would ask for a key while the search runs."""
    import wandb

    mode = options.mode or wandb.setup().settings.mode
    if mode == "online" and not wandb.login(prompt=False, verify=False):
        raise UsageError(
            "log.wandb: nobody is logged in to Weights & Biases; run: wandb login, or set log.wandb.mode: offline and upload "
            "later with wandb sync"
        )
