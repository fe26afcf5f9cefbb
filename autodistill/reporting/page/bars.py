"""Pictures made of bars. The template draws them with widths in percent: they need no script, and their numbers are text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...metrics.metric import ACCURACY, Metric
from ...metrics.words import gain_over, keeps, scaled
from ...spec.document import Prices
from ...spec.measurement import Score
from ..picture import short
from .finalists import Finalist, Gain

MOST = 30
"""Classes that are drawn: those with the largest drops."""
MILLION = "a million samples"


class Bar(NamedTuple):
    """A bar from `start`, `width` wide, with its interval from `low` to `high` and a `mark` to compare it with, all in percent
    of the picture's width. `color` is the name of a CSS variable; `gain` is what a bar of a gain shows.
    """

    name: str
    text: str
    color: str
    start: float
    width: float
    low: float | None = None
    high: float | None = None
    mark: float | None = None
    gain: Gain | None = None


class Bars(NamedTuple):
    """Bars on one scale, with what they show in a few words."""

    title: str
    note: str
    bars: Sequence[Bar]


def before_after(teacher: Finalist, student: Finalist, prices: Prices | None) -> list[Bars]:
    """The teacher and a student: size, speed, the metric and, if there are prices, cost and energy.

    Latency is known only after `confirm`. Cost and energy are those of a million samples, one at a time: hours at the price and
    the watts of one trial's resources.
    """
    both = {"teacher": teacher, "student": student}
    sizes = {name: (float(one.params), f"{short(one.params)} parameters, {_bytes(one.bytes)}") for name, one in both.items()}
    found = [_pair("Size", f"{student.smaller:.1f} times smaller", sizes)]
    if teacher.latency is not None and student.latency is not None:
        times = {"teacher": teacher.latency.one.p50_ms, "student": student.latency.one.p50_ms}
        faster = times["teacher"] / max(times["student"], 1e-9)
        spoken = {name: (ms, f"{ms:.3g} ms for one sample") for name, ms in times.items()}
        found.append(_pair("Time", f"{faster:.1f} times as fast (median)", spoken))
    found.append(_scores(teacher, student))
    if len(found) == 3 and prices is not None:
        found += _costs(times, prices)
    return found


def _bytes(amount: int) -> str:
    """Such as 31.2 MB, or 364 bytes."""
    text = short(amount)
    return f"{text[:-1]} {text[-1]}B" if text[-1].isalpha() else f"{text} bytes"


def _pair(title: str, note: str, values: dict[str, tuple[float, str]]) -> Bars:
    most = max(value for value, _ in values.values()) or 1.0
    return Bars(title, note, [Bar(name, text, f"--{name}", 0.0, 100 * one / most) for name, (one, text) in values.items()])


def _scores(teacher: Finalist, student: Finalist) -> Bars:
    metric, scores = student.metric, {"teacher": teacher.score, "student": student.score}
    most = scaled(metric, metric.high) if metric.percent else max(abs(one.high) for one in scores.values()) or 1.0
    split = "test" if student.test is not None else "validation"
    bars = [_scored(metric, name, score, most) for name, score in scores.items()]
    note = keeps(metric, metric.kept(student.score.value, teacher.score.value))
    title = f"{metric.label[:1].upper()}{metric.label[1:]} on {student.score.n:,} {split} samples"
    return Bars(title, note.replace(" its ", " the teacher's "), bars)


def _scored(metric: Metric, name: str, score: Score, most: float) -> Bar:
    value, low, high = (100 * max(0.0, scaled(metric, one)) / most for one in (score.value, score.low, score.high))
    text = f"{metric.text(score.value)} ({metric.text(score.low)} to {metric.text(score.high)})"
    return Bar(name, text, f"--{name}", 0.0, min(100.0, value), low, min(100.0, high))


def _costs(times: dict[str, float], prices: Prices) -> Iterator[Bars]:
    if prices.per_hour is not None:
        money = {name: prices.per_hour * ms / 3.6 for name, ms in times.items()}
        texts = {name: (one, f"{one:.3g} {prices.currency}") for name, one in money.items()}
        yield _pair(f"Cost of {MILLION}", f"at {prices.per_hour:g} {prices.currency} an hour", texts)
    if prices.watts is not None:
        energy = {name: prices.watts * ms / 3600 for name, ms in times.items()}
        yield _pair(
            f"Energy for {MILLION}", f"at {prices.watts:g} W", {name: (one, f"{one:.3g} kWh") for name, one in energy.items()}
        )


def distilled(found: Sequence[Finalist]) -> list[Bar]:
    """What the teacher bought over labels alone, a bar for each student with a label-only baseline."""
    return _gains([(one, "", one.gains.label_only) for one in found if one.gains.label_only is not None], "--student")


def assisted(found: Sequence[Finalist]) -> list[Bar]:
    """What assistants bought over learning from the teacher directly, in as many epochs and in as much time."""
    chains = [one for one in found if one.chain.count(" > ") >= 2]
    ways = (("direct", "direct"), ("direct_long", "direct at equal cost"))
    pairs = [(one, name, gain) for one in chains for way, name in ways if (gain := getattr(one.gains, way)) is not None]
    return _gains(pairs, "--assistant")


def _gains(known: Sequence[tuple[Finalist, str, Gain]], color: str) -> list[Bar]:
    """Bars on both sides of a common zero, whose mark is at that zero; `name` is that of the baseline, if there are several."""
    ends = [end for _, _, gain in known for end in (0.0, gain.mean, gain.low, gain.high) if end is not None]
    if not known:
        return []
    low, span = min(ends), max(max(ends) - min(ends), 1e-12)

    def at(value: float) -> float:
        return 100 * (value - low) / span

    return [
        Bar(
            name=f"{short(one.params)} parameters" + (f", against {name}" if name else ""),
            text=_gain_text(one, gain),
            color=color if gain.mean >= 0 else "--bad",
            start=at(min(0.0, gain.mean)),
            width=at(max(0.0, gain.mean)) - at(min(0.0, gain.mean)),
            low=None if gain.low is None else at(gain.low),
            high=None if gain.high is None else at(gain.high),
            mark=at(0.0),
            gain=gain,
        )
        for one, name, gain in known
    ]


def _gain_text(one: Finalist, gain: Gain) -> str:
    """Such as `+12.8 points (56.7% to 69.5%)`."""
    metric = one.metric
    with_it = gain.baseline + (gain.mean if metric.higher else -gain.mean)
    note = {"not_significant": ", not significant", "unknown": ", too few seeds to say"}.get(gain.verdict, "")
    return f"{gain_over(metric, gain.mean)} ({metric.text(gain.baseline)} to {metric.text(with_it)}){note}"


def by_class(student: Finalist) -> list[Bar]:
    """The accuracy of a confirmed student on each class or label, the largest drop first, marked with the teacher's."""
    parts = () if student.test is None else student.test.by_class
    worst = sorted(parts, key=lambda part: -part.drop)[:MOST]
    return [
        Bar(
            name=part.name,
            text=f"{ACCURACY.text(part.accuracy)}, teacher {ACCURACY.text(part.teacher)} ({part.n:,})",
            color="--student",
            start=0.0,
            width=100 * part.accuracy,
            mark=100 * part.teacher,
        )
        for part in worst
    ]
