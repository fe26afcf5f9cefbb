"""The model card: one Markdown page for the users of the network, and the values that it shows.

After Mitchell et al., "Model cards for model reporting", FAT* 2019: what it is, and what it was and was not measured on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import Field, JsonValue

from ..answers import Claim, later
from ..answers.confirm.confirmation import ClassPart, FrozenNetwork, Latency, Look, OnTest
from ..data import Encoding, InputSpec
from ..data.encoding import TextEncoding
from ..metrics.metric import ACCURACY, Metric, named
from ..spec import ABOUT, TaskKind, Value
from ..spec.measurement import Score
from .folder import FOLDER, HF
from .formats import FORMATS, Compared

Settings = dict[str, JsonValue]


class ClassShare(Value):
    label: int = Field(alias="class")
    name: str
    n: int
    accuracy: float


class Scored(Value):
    """The scores on some samples, by metric."""

    scores: dict[str, Score]


class OnValidation(Scored):
    """`recorded` is the score of the study's metric where the network was trained."""

    by_class: tuple[ClassShare, ...]
    calibration_error: float | None
    recorded: Score


class CardLink(Value):
    """A network of the chain, with its `value` of the study's metric on the validation samples.

    `test` has everything for a file that was chosen for its student; None if it is untested.
    """

    stage: str
    architecture: str
    params: int
    value: float
    seconds: float
    test: OnTest | Scored | None


class CardData(Value):
    """`test` is None while the test split is sealed; `inputs` says what a sample is, `table` how a row becomes
    one, `text` how a text does.

    `own` are the parts that came with the data set, and `split` the settings that made the others.
    """

    name: str
    kind: str
    fingerprint: str
    train: int
    unlabeled: int
    validation: int
    test: int | None
    own: tuple[str, ...] = ()
    split: Settings
    groups: str | None = None
    inputs: InputSpec
    table: Encoding | None = None
    text: TextEncoding | None = None
    classes: int
    task: TaskKind

    @property
    def divided(self) -> str:
        """How the parts were made, such as `validation 0.2, seed 0, stratified by class`."""
        made = [listed(self.split)] if self.split else []
        if len(self.own) < 2:
            made += [f"in whole groups of {self.groups}"] if self.groups else []
            chance = self.task == "classification" and not self.groups and "by" not in self.split
            made += ["stratified by class"] if chance else []
        own = f"the {' and '.join(self.own)} samples are the data set's own" if self.own else ""
        return "; ".join(filter(None, [", ".join(made), own]))


class WrittenFile(Compared):
    bytes: int


class TimedFile(Latency):
    """The latency of the network in what `runs` it."""

    runs: str
    device: str
    threads: int


class Card(Value):
    """Everything that the card says; the fields are keys of `export --json`.

    `metric` names that of the study, `also` those that are shown beside it. `line` is the chain as one line, `init` the network
    whose weights it began with, `claim` the sentence of `smallest`, `later` counts students that were tried after the
    confirmation, `added_rows` the rows of tokens that the model in `hf` has beside those of the network, and `again` has the
    commands that make it again.
    """

    study: str
    metric: str
    also: tuple[str, ...]
    stage: str
    architecture: str
    origin: Literal["teachers", "labels", "outside"] = Field(alias="from")
    line: str
    init: str | None
    params: int
    core_params: int
    macs: int
    longest_macs: int
    bytes: int
    bytes_float16: int
    chain: tuple[CardLink, ...]
    loss: Settings | None
    recipe: Settings | None
    environment: Settings | None
    seed: int | None
    data: CardData
    normalizes: bool
    validation: OnValidation
    test: OnTest | Scored | None
    teacher: FrozenNetwork | None
    later: int | None
    opened: tuple[Look, ...]
    versions: dict[str, str]
    claim: str | None
    formats: dict[str, WrittenFile]
    left_out: dict[str, str]
    added_rows: int
    latency: tuple[TimedFile, ...]
    again: tuple[str, ...]

    @property
    def forced(self) -> int:
        """How often the test split was opened by force."""
        return sum(one.forced for one in self.opened)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """That of the study first, then those that are shown beside it, each once."""
        return tuple(named(name) for name in dict.fromkeys((self.metric, *self.also)))

    def markdown(self) -> str:
        """The page: every number in it comes from here."""
        room = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=False,  # Markdown: `plain` escapes names
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        room.filters |= {"plain": plain, "listed": listed, "called": called, "num": "{:,}".format, "pc": "{:.1%}".format}
        room.filters["correct"] = correct
        rest = {name: one for name, one in (self.loss or {}).items() if not isinstance(one, dict) and name != "version"}
        return room.get_template("card.md").render(
            card=self,
            metric=self.metrics[0],
            accuracy=ACCURACY,
            formats=FORMATS | {HF: FOLDER},
            about=ABOUT[self.data.task],
            later=later,
            others=rest,
            fence=_fence("\n".join(self.again)),
        )

    def lines(self) -> list[str]:
        """Each file with its largest difference, what was left out and why, and how fast it is."""
        messages = [f"network      {self.architecture}, {self.params:,} params, stage {self.stage[:12]}"]
        messages += [self._scores(metric) for metric in self.metrics]
        messages += [_file(name, one) for name, one in self.formats.items()]
        messages += [f"{name:17}  left out: {why}" for name, why in self.left_out.items()]
        messages += [
            f"latency      {one.runs} on {one.device}, {one.threads} thread{'s' * (one.threads != 1)}: {one.one.p50_ms:.3f} ms "
            f"for one sample, {one.batched.p50_ms:.3f} ms for {one.batched.batch} (medians)"
            for one in self.latency
        ]
        if self.forced:
            messages.append(f"warning      the test split was opened {self.forced} more time{'s' * (self.forced > 1)} by force")
        return messages + ([f"warning      {later(self.later)}"] if self.later else [])

    def _scores(self, metric: Metric) -> str:
        parts = [
            (name, part.scores[metric.name]) for name, part in (("validation", self.validation), ("test", self.test)) if part
        ]
        scores = [f"{metric.text(one.value)} {name} ({metric.text(one.low)} to {metric.text(one.high)})" for name, one in parts]
        return f"{metric.label:12} {', '.join(scores)}" + ("" if self.test else "; it was not tested on the test samples")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What `export` did. `claim` is the answer of `smallest`; it is None if a stage was named.

    If no student meets what is wanted, nothing was written, and `to` and `card` are None.
    """

    to: str | None
    claim: Claim | None
    card: Card | None

    def lines(self) -> list[str]:
        if self.card is None:
            return [*(self.claim.lines() if self.claim else []), "nothing was written"]
        return [*self.card.lines(), f"written: {self.to} (card.md describes it, example.py runs it)"]

    def as_json(self) -> Settings:
        found: Settings = {"to": self.to, "smallest": None if self.claim is None else self.claim.as_json()}
        return found | ({"exit_code": 3} if self.card is None else self.card.model_dump(mode="json", by_alias=True))


def plain(text: object) -> str:
    """A name from a spec, escaped for Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&$@])", r"\\\1", " ".join(str(text).split()))


def listed(values: Mapping[str, JsonValue]) -> str:
    """Such as `weight 0.9, temperature 4`; versions of our own code are omitted."""
    return ", ".join(f"{name} {_one(value)}" for name, value in values.items() if name != "version")


def _one(value: JsonValue) -> str:
    return f"({listed(value)})" if isinstance(value, dict) else f"{value:.4g}" if isinstance(value, float) else str(value)


def correct(part: OnTest | Scored) -> int:
    """How many predictions of classes are correct: known for every metric, because the accuracy is."""
    accuracy = part.scores[ACCURACY.name]
    return round(accuracy.value * accuracy.n)


def called(part: ClassPart | ClassShare) -> str:
    """A class by its number and, where it has one, its name."""
    return plain(part.label if part.name == str(part.label) else f"{part.label}: {part.name}")


def _fence(code: str) -> str:
    """Longer than any in the code."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))


def _file(name: str, one: WrittenFile) -> str:
    if one.flipped is None:
        return f"{name:17}  {one.bytes:,} bytes; on {one.n:,} validation samples, the largest difference is {one.largest:.2g}"
    same = "the same predictions" if not one.flipped else f"{one.flipped:,} different predictions, where logits tie"
    return f"{name:17}  {one.bytes:,} bytes; {same} on {one.n:,} validation samples, largest difference {one.largest:.2g}"
