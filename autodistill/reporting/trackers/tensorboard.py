"""TensorBoard: one folder of event files for each run, through torch.utils.tensorboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...spec.log import TensorBoardLog
from .values import Run


class TensorBoard:
    name = "tensorboard"
    way = "free some space, or give another log.tensorboard.directory"

    def __init__(self, options: TensorBoardLog, study: str, out: Path) -> None:
        given = options.directory
        self.root = out / "tensorboard" if given is None else Path(given).expanduser().absolute() / study
        self.place = str(self.root)

    def log(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = self.root / run.name
        for before in folder.glob("events.out.tfevents.*"):  # of the same run
            before.unlink()
        with SummaryWriter(str(folder)) as writer:
            _write(writer, run)


def _write(writer: Any, run: Run) -> None:
    from torch.utils.tensorboard.summary import hparams

    for step in run.steps:
        for name, value in step.values.items():
            writer.add_scalar(name, value, step.epochs)
    for name, value in run.finals.items():
        writer.add_scalar(f"final/{name}", value, 0)
    for name, text in {"state": run.state, **run.facts}.items():
        writer.add_text(name, text, 0)
    if run.kind == "trial":
        for summary in hparams(dict(run.settings), {f"final/{name}": value for name, value in run.finals.items()}):
            writer.file_writer.add_summary(summary)
    for path in run.files:
        if path.suffix == ".png":
            writer.add_image(path.stem, _pixels(path), 0, dataformats="HWC")
        else:
            writer.add_text(path.name, str(path), 0)
    writer.flush()


def _pixels(path: Path) -> Any:
    """(H, W, 3) bytes."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
