"""The answer to a question for the smallest student: claims with a known confidence, and their sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

from pydantic import JsonValue

from ..metrics.metric import Metric, TopK
from ..metrics.words import keeps, phrase, safe
from ..spec import UsageError
from ..spec.measurement import COUNTS, Score
from .confirm.confirmation import FrozenNetwork, Member
from .evidence import Tested
from .verdict import Kind, Verdict
from .wanted import Wanted, percent

if TYPE_CHECKING:
    from torch import nn

    from ..study.record.directory import StudyDirectory


class Needed(NamedTuple):
    """How many of the `n` test samples a student must predict correctly to pass; None if even all of them are too few.

    `least_n` is the smallest number of test samples with which a student could pass.
    """

    correct: int | None
    n: int
    accuracy: float | None
    least_n: int

    def __str__(self) -> str:
        if self.correct is None:
            return f"at least {self.least_n:,} test samples (there are {self.n:,}), all predicted correctly"
        return f"{self.correct:,} correct predictions on {self.n:,} test samples ({self.accuracy:.2%})"


class Savings(NamedTuple):
    """How many times smaller than the teacher, how many times as fast, and the share of its metric that is kept."""

    smaller: float
    faster: float
    kept: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Claim:
    """The answer of `smallest` to what is `wanted`; `is_default` if no target was given.

    `tested` has the members within the limits, largest first. `more_correct` is the number of additional correct predictions
    that the first member that failed needs on these test samples. It is None if even all predictions are too few, or if the
    metric does not count them. If no member passed, `would_pass` is the most demanding target at which that member passes.
    `knee` and `one_standard_error` are other choices, made on the validation samples. `forced` counts how often the test split
    was opened by force, and `later` counts the students that were tried after the confirmation. `directory` is the study
    directory, if the claim is about a study.
    """

    study: str
    wanted: Wanted
    is_default: bool
    tested: Sequence[Tested]
    verdict: Verdict
    more_correct: int | None
    would_pass: float | None
    needed: Needed | None
    knee: Member | None
    one_standard_error: Member | None
    teacher: FrozenNetwork
    forced: int
    later: int = 0
    directory: StudyDirectory | None = None

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def module(self) -> nn.Module:
        """The network of the answer, in eval mode on the CPU: raw numbers of the data in, logits out.

        Raises UsageError if no student is proven to meet the target, StoreError if its file is damaged.
        """
        from .network import module_of

        if self.answer is None or self.directory is None:
            raise UsageError(f"there is no network to load: {self.sentence()}")
        return module_of(self.directory, self.answer.chosen)

    @property
    def passed(self) -> list[Member]:
        return [one.member for one in self.tested if one.passed]

    @property
    def failed(self) -> Member | None:
        """The first member that failed."""
        return next((one.member for one in self.tested if one.passed is False), None)

    @property
    def meets(self) -> bool:
        return bool(self.passed)

    @property
    def answer(self) -> Member | None:
        """The smallest member that passed; None if no student is proven to meet the target."""
        return self.passed[-1] if self.passed else None

    @property
    def runner_up(self) -> Member | None:
        return self.passed[-2] if len(self.passed) > 1 else None

    @property
    def next_smaller(self) -> Member | None:
        """The member after the answer, which failed."""
        return self.failed if self.passed else None

    @property
    def nearest(self) -> Member | None:
        """If no member passed, the member that the verdict is about."""
        known = [] if self.passed else [one.member for one in self.tested]
        return next((one for one in known if one.chosen == self.verdict.chosen), None)

    @property
    def metric(self) -> Metric:
        """The metric that the claim is about."""
        return self.wanted.measure

    def on_test(self, one: FrozenNetwork) -> Score:
        return one.test.scores[self.metric.name]

    @property
    def savings(self) -> Savings | None:
        found, teacher = self.answer, self.teacher
        if found is None:
            return None
        return Savings(
            smaller=found.smaller_than(teacher),
            faster=found.faster_than(teacher),
            kept=self.metric.kept(self.on_test(found).value, self.on_test(teacher).value),
        )

    def as_json(self) -> dict[str, JsonValue]:
        """As `smallest --json` prints it."""
        rows = [_shown(one.member, self.metric) | {"p": one.p, "passed": one.passed} for one in self.tested]
        by_file = {row["chosen"]: row for row in rows}
        found = {name: getattr(self, name) for name in ("answer", "runner_up", "next_smaller", "nearest")}
        others = {name: getattr(self, name) for name in ("knee", "one_standard_error")}
        return {
            **{name: getattr(self, name) for name in ("study", "meets", "more_correct", "would_pass", "forced")},
            "verdict": self.verdict.as_json(),
            "wanted": asdict(self.wanted) | {"metric": self.metric.column},
            "default": self.is_default,
            **{name: one and by_file[one.chosen] for name, one in found.items()},
            "tested": rows,
            "needed": self.needed and self.needed._asdict(),
            **{name: one and _shown(one, self.metric) for name, one in others.items()},
            "teacher": self.teacher.as_json(),
        }

    def sentence(self) -> str:
        """The answer in one sentence."""
        found, savings = self.answer, self.savings
        if found is None or savings is None:
            return f"{self._head()}: {self._nothing()}"
        score = self.on_test(found)
        return (
            f"{self._head()}: {found.architecture} with {found.params:,} params is shown to have "
            f"{self.wanted.shown} {self._sure()}. It has {phrase(self.metric, score.value)} on {score.n:,} test samples, "
            f"is {savings.smaller:.1f} times smaller than the teacher and {savings.faster:.1f} times as fast, and "
            f"{keeps(self.metric, savings.kept)}"
        )

    def _head(self) -> str:
        """The verdict or, to a question, yes or no."""
        kind = self.verdict.kind
        if self.is_default or kind is Kind.UNPROVEN:
            return kind.value.capitalize()
        return "Yes" if self.verdict.ships else "No"

    def _nothing(self) -> str:
        row = self.nearest
        if row is None:
            return f"no member of the frontier is within the limits of {self.wanted}"
        score = self.on_test(row)
        return (
            f"no student is proven to meet the target of {self.wanted} {self._sure()}; the nearest is {row.architecture} with "
            f"{row.params:,} params and {phrase(self.metric, score.value)} on {score.n:,} test samples"
        )

    def _sure(self) -> str:
        return f"(with {percent(self.wanted.confidence)} confidence)"

    def lines(self) -> list[str]:
        """The answer, its verdict if there is more to say, and related facts, one per line; each name has 12 columns."""
        more = [("verdict", self.verdict.sentence)] if self.verdict.kind in (Kind.CAUTION, Kind.UNPROVEN) else []
        teacher = ("teacher", self._line(self.teacher))
        return [self.sentence(), *(f"{name:12} {text}" for name, text in (*more, *self.facts(), teacher))]

    def facts(self) -> Iterator[tuple[str, str]]:
        """Related facts, each with a name."""
        if self.answer:
            yield "file", f"{self.answer.chosen[:12]}, chosen on the validation samples; export writes this one"
        if self.runner_up:
            yield "runner-up", self._line(self.runner_up)
        if self.knee:
            yield "knee point", f"{self._line(self.knee)} (farthest above the line between the ends of the frontier)"
        if self.one_standard_error:
            yield "simplest", f"{self._line(self.one_standard_error)} (within one standard error of the best)"
        if self.failed:
            yield "next smaller" if self.meets else "first tested", f"{self._line(self.failed)}{self._more_needed()}"
        if self.would_pass is not None:
            limits = self.wanted.limits()
            way = f"; or relax the limit on {' or '.join(limits)}" if limits else ""
            is_share = self.metric.percent or self.wanted.retain is not None
            value = safe(self.metric, self.would_pass) if self.metric.natural else f"{self.would_pass:.4f}"
            at = f"{100 * self.would_pass:.2f}%" if is_share else value
            if not self.metric.higher and self.wanted.retain is not None:
                at = f"{1 / max(self.would_pass, 1e-4):.3g} times the teacher's"
            yield "would pass", f"at {at}, for the first one tested{way}"
        if self.needed is not None:
            yield "needed", str(self.needed)
        if self.forced:
            times = f"{self.forced} time{'s' * (self.forced > 1)}"
            yield (
                "warning",
                f"the test split was opened again {times} after the search continued: the confidence above does not cover "
                "choices that were made in between",
            )

    def _more_needed(self) -> str:
        if not isinstance(self.metric, TopK):
            return ""
        if self.more_correct is None:
            return "; with so few test samples, even perfect predictions would not be enough"
        return f"; it needs {self.more_correct} more correct prediction{'s' * (self.more_correct != 1)} on these test samples"

    def _line(self, one: FrozenNetwork) -> str:
        validation, test = one.validation[self.metric.name].value, self.on_test(one).value
        values = f"{self.metric.text(validation)} validation, {self.metric.text(test)} test"
        is_answer = self.answer is not None and one.chosen == self.answer.chosen
        return f"{'the same student' if is_answer else f'{one.architecture}, {one.params:,} params'}: {values}"


SHOWN = {"stage", "chosen", "role", "architecture", "chain", *COUNTS, "latency"}


def _shown(one: Member, metric: Metric) -> dict[str, JsonValue]:
    """What the JSON says of a member."""
    return {
        **one.model_dump(mode="json", include=SHOWN),
        "validation": _score(one.validation[metric.name], metric),
        "test": _score(one.test.scores[metric.name], metric),
    }


def _score(score: Score, metric: Metric) -> dict[str, JsonValue]:
    return {metric.column: score.value, "low": score.low, "high": score.high, "n": score.n}


def later(students: int) -> str:
    """A message that `students` were tried after the study was confirmed; empty if there were none."""
    if not students:
        return ""
    were = "student that was" if students == 1 else "students that were"
    return f"{students:,} {were} tried after the confirmation {'is' if students == 1 else 'are'} not covered by this answer"
