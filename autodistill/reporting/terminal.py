"""Facts as text and tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..metrics.metric import ACCURACY, Metric, TopK, named
from ..metrics.words import at_best, signed, stated
from ..spec.measurement import Sizes

if TYPE_CHECKING:
    from ..answers.confirm.confirmation import Baseline, Confirmation, FrozenNetwork, FrozenReference, Spread
    from ..spec.measurement import Score
    from ..study.record.references import Beside
    from ..study.record.rows import TrialRow
    from ..study.schedule.spent import Spent
    from .explain import Explained
    from .summary import StudySummary


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def frontier_table(found: StudySummary, most: int | None = None) -> Table:
    """The frontier of a study in its region of interest, smallest student first, then reference models, teacher last.

    `!` marks what is worse than its label-only baseline, `?` what may ignore its input. If the region is empty, the members
    outside it are in gray. At most `most` members, evenly spaced, are shown. What all networks have in common is in the header.
    """
    metric = found.metric
    title = f"{found.study}: frontier of validation {metric.label} and size{_within(found)}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name in (
        _counts(any(row.sizes.embeddings for row in found.rows)),
        metric.label,
        "95% interval",
        *(other.label for other in found.also),
        "label-only",
        "compression",
    ):
        table.add_column(name, justify="right")
    members = [row for row in found.frontier if row.inside] or found.frontier
    shown = members if most is None or len(members) <= most else [members[place] for place in spaced(len(members), most)]
    chains = [row.chain.split(" > ", 1)[-1] for row in shown]
    shared = _shared(chains)
    header = "assistants > student" if any(" > " in chain for chain in chains) else "student"
    table.add_column(": ".join([header, *([" ".join(shared)] if shared else [])]), overflow="fold")
    table.add_column("stage")
    for row, chain in zip(shown, chains, strict=True):
        table.add_row(*_numbers(row), _without(chain, shared), row.stage[:8], style=None if row.inside else "dim")
    if found.incumbent is not None:
        row = found.incumbent.row
        table.add_row(*_numbers(row), "your incumbent", row.stage[:8], style="bold")
    for one in found.references:
        about = f"reference model {one.reference.label}, {one.reference.bytes:,} bytes"
        table.add_row(*_referred(one, found), about, "", style="dim")
    table.add_row(*_numbers(found.teacher), "teacher", found.teacher.stage[:8], style="dim")
    if len(shown) < len(members):
        table.caption, table.caption_justify = f"{len(members) - len(shown)} more members are in frontier.csv", "left"
    return table


def spaced(count: int, most: int) -> list[int]:
    """Positions of `most` of so many rows, evenly spaced, with the first and the last."""
    return [round(step * (count - 1) / (most - 1)) for step in range(most)]


def _shared(chains: Sequence[str]) -> list[str]:
    """The words that all networks of these chains have; none for a single network."""
    networks = [one.split() for chain in chains for one in chain.split(" > ")]
    return [word for word in networks[0] if all(word in one for one in networks)] if len(networks) > 1 else []


def _without(chain: str, words: Sequence[str]) -> str:
    """A chain without these words."""
    return " > ".join(" ".join(word for word in one.split() if word not in words) or one for one in chain.split(" > "))


def _referred(one: Beside, found: StudySummary) -> list[str]:
    """The numbers of a reference model, which has no params."""
    metric, score, scores = one.metric, one.score, one.reference.scores
    others = (other.text(scores[other.name].value) for other in found.also)
    return ["", metric.text(score.value), f"{metric.text(score.low)} - {metric.text(score.high)}", *others, "", ""]


def confirmed_table(found: Confirmation) -> Table:
    """What `confirm` found on the test split, smallest student first, teacher last."""
    metric, also = found.measure, [named(name) for name in found.also]
    measured = "" if metric == ACCURACY else f"{metric.label} on "
    seeds = f"{found.seeds} fresh seed{'s' * (found.seeds != 1)}"
    title = f"{found.study}: {measured}{found.test.n:,} test samples, {seeds}; gains are paired by seed"
    table = Table(title=title, title_justify="left")
    others = (other.label for other in also)
    gains = ("over seeds", "over label-only", "over direct", "largest drop")
    counts = _counts(any(one.core_params != one.params for one in (*found.members, found.teacher)))
    for name in (counts, "validation", "test", "95% interval", *others, *gains):
        table.add_column(name, justify="right")
    for name in ("p50 ms", "chain below the teacher", "file"):
        table.add_column(name, overflow="fold")
    for row in found.members:
        over = [_gain(one, metric) for one in (row.baselines.label_only, row.baselines.direct)]
        cells = [*_on_test(row, metric, also), _over_seeds(row.seeds, metric), *over, *_ends(row, row.chain)]
        table.add_row(_counted(Sizes.of(row)), *cells, row.chosen[:8], style=None if row.on_frontier else "dim")
    for one in found.references:
        name = f"reference model: {one.label}, {one.bytes:,} bytes"
        table.add_row("", *_on_test(one, metric, also), "", "", "", *_ends(one, name), "", style="dim")
    teacher = found.teacher
    cells = [*_on_test(teacher, metric, also), "", "", "", *_ends(teacher, teacher.architecture)]
    table.add_row(_counted(Sizes.of(teacher)), *cells, teacher.chosen[:8], style="dim")
    return table


def _counts(embeddings: bool) -> str:
    """The name of the column of params, which says how many are no embeddings where networks have any."""
    return "params (core)" if embeddings else "params"


def _counted(sizes: Sizes) -> str:
    return f"{sizes.params:,} ({sizes.core_params:,})" if sizes.embeddings else f"{sizes.params:,}"


def _on_test(row: FrozenNetwork | FrozenReference, metric: Metric, also: Sequence[Metric]) -> list[str]:
    validation, test = row.on_validation, row.on_test
    numbers = [metric.text(validation.value), metric.text(test.value), f"{metric.text(test.low)} - {metric.text(test.high)}"]
    return [*numbers, *(other.text(row.test.scores[other.name].value) for other in also)]


def _ends(row: FrozenNetwork | FrozenReference, chain: str) -> list[str | Text]:
    worst = row.test.worst_drop
    fall = Text("" if worst is None else f"{worst.name}: {-worst.drop:+.1%}" if worst.drop > 0 else "none")
    return [fall, f"{row.latency.one.p50_ms:.2f}", chain.split(" > ", 1)[-1]]


def _over_seeds(seeds: Spread | None, metric: Metric) -> str:
    if seeds is None:
        return ""
    return metric.text(seeds.mean) + ("" if seeds.deviation is None else f" \u00b1 {metric.text(seeds.deviation)}")


def _gain(one: Baseline | None, metric: Metric) -> str:
    """A gain over a baseline; in parentheses unless it is significant."""
    if one is None:
        return ""
    is_significant = one.gain.effect in ("gain", "loss")
    gain = f"{one.gain.mean:+.1%}" if metric.percent else signed(metric, one.gain.mean)
    return gain if is_significant else f"({gain})"


def _within(found: StudySummary) -> str:
    """The accuracies of the members that are shown; if they are outside the region, which none of them reaches."""
    region = found.region
    if region.everything:
        return ""
    none = "none " * (bool(found.frontier) and not any(row.inside for row in found.frontier))
    return f", {none}with {at_best(region.metric, region.metric.text(region.floor))}"


BEGUN_AGAIN = {
    "crash": "in safe mode (no oneDNN, no cuDNN) after a crash",
    "memory": "with no other job after running out of memory",
    "gone": "after a worker or its node died",
}


def _again(spent: Spent) -> list[str]:
    """How many training runs were restarted, by cause. Restarts do not count as failures."""
    parts = [f"{count} {BEGUN_AGAIN[cause]}" for cause, count in spent.again.items()]
    return [f"restarted training runs: {', '.join(parts)}"] if parts else []


def remarks(found: StudySummary) -> list[str]:
    """What the user should not overlook in a study, and where the time of its search went."""
    lines = found.remarks()
    if found.spent is not None:
        lines += _again(found.spent) + ([_spent(found.spent)] if found.spent.seconds else [])
    return lines


def _spent(spent: Spent) -> str:
    """Where the workers' time went, in one line."""
    kinds = ("students", "assistants", "teachers", "outputs", "baselines", "idle", "controller")
    parts = ", ".join(f"{name} {seconds:.1f} s" for name in kinds if (seconds := getattr(spent, name)) >= 0.05)
    useful = "" if spent.useful is None else f"; busy {spent.useful:.0%} of the time from the teacher to the last job"
    return f"{spent.workers} worker{'s' * (spent.workers > 1)} for {spent.seconds:.1f} s: {parts}{useful}"


def _numbers(row: TrialRow) -> list[str]:
    text = row.metric.text
    low, high = row.interval
    assert row.measured is not None, "only complete rows are shown"
    return [
        _counted(row.sizes),
        f"{text(row.value)}{' !' if row.worse_than_label_only else ''}{' ?' if row.ignorant else ''}",
        f"{text(low)} - {text(high)}",
        *(named(name).text(row.measured.scores[name].value) for name in row.also),
        row.no_baseline if row.label_only is None else text(row.label_only),
        f"{row.compression:.1f}x",
    ]


def explained(found: Explained) -> str:
    """What `explain` prints."""
    measured, metric = found.measurement, found.metric
    lines = [f"stage        {found.stage}", f"trials       {', '.join(map(str, found.trials)) or 'none'}"]
    for depth, link in enumerate(found.chain):
        lines.append(
            f"{'chain' if depth == 0 else '':12} {'  ' * depth}{link.architecture}: {stated(metric, link.value)}, "
            f"{link.params:,} params, {link.seconds:.1f} s, {link.stage[:8]}"
        )
    if found.pretrained is not None:
        lines.append(f"pretrained   on texts alone, as {found.pretrained[:8]}")
    score, sizes = measured.scores[metric.name], Sizes.of(measured)
    lines.append(f"{metric.label:12} {_measured(metric, score)}, {sizes.text()}")
    lines += [f"{other.label:12} {_measured(other, measured.scores[other.name])}" for other in found.also]
    for name, value in (("loss", found.loss), ("recipe", found.recipe), ("environment", found.environment)):
        if value:
            lines.append(f"{name:12} {value}")
    return "\n".join([*lines, f"files        {found.files}", f"command      {found.command}"])


def _measured(metric: Metric, score: Score) -> str:
    """A score on the validation samples: as a count where it is one."""
    if isinstance(metric, TopK):
        return f"{round(score.value * score.n)} of {score.n} validation samples"
    return f"{metric.text(score.value)} ({metric.text(score.low)} to {metric.text(score.high)}) on {score.n} validation samples"
