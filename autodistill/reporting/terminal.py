"""Facts as text and tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # `check` prints without Optuna
    from ..answers.confirm.confirmation import Baseline, Confirmation, FrozenNetwork, OverSeeds
    from ..data import InputField
    from ..study.preflight.values import (
        Architectures,
        DataFacts,
        NetworkFacts,
        Preflight,
        RegionFacts,
        Seconds,
        Span,
        StageCounts,
        Taught,
    )
    from ..study.record.region import Region
    from ..study.record.rows import TrialRow
    from ..study.schedule.spent import Spent
    from .explain import Explained
    from .summary import StudySummary


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def frontier_table(found: StudySummary) -> Table:
    """The frontier of a study in its region of interest, smallest student first, teacher last. `!` marks what is worse than its
    label-only baseline.

    If the region is empty, the members outside it are in gray.
    """
    title = f"{found.study}: frontier of validation accuracy and size {_within(found.region)}; the teacher is last"
    table = Table(title=title, title_justify="left")
    for name in ("params", "accuracy", "95 % interval", "expected", "label-only", "% of teacher", "compression", "seconds"):
        table.add_column(name, justify="right")
    for name in ("role", "chain below the teacher", "stage"):
        table.add_column(name, overflow="fold")
    for row in [row for row in found.frontier if row.inside] or found.frontier:
        below = row.chain.split(" > ", 1)[-1]
        table.add_row(*_numbers(row), row.role, below, row.stage[:8], style=None if row.inside else "dim")
    if found.incumbent is not None:
        row = found.incumbent.row
        table.add_row(*_numbers(row), "incumbent", "", row.stage[:8], style="bold")
    table.add_row(*_numbers(found.teacher), "teacher", "", found.teacher.stage[:8], style="dim")
    return table


def confirmed_table(found: Confirmation) -> Table:
    """What `confirm` found on the test split, smallest student first, teacher last."""
    title = f"{found.study}: {found.test.n:,} test samples, {found.seeds} fresh seeds; gains are paired by seed"
    table = Table(title=title, title_justify="left")
    numbers = ("params", "validation", "test", "95 % interval", "over seeds", "over label-only", "over direct", "largest drop")
    for name in numbers:
        table.add_column(name, justify="right")
    for name in ("p50 ms", "chain below the teacher", "file"):
        table.add_column(name, overflow="fold")
    for row in found.members:
        gains = [_gain(row.baselines.label_only), _gain(row.baselines.direct)]
        cells = [*_on_test(row), _over_seeds(row.seeds), *gains, *_ends(row, row.chain)]
        table.add_row(*cells, style=None if row.on_frontier else "dim")
    teacher = found.teacher
    table.add_row(*_on_test(teacher), "", "", "", *_ends(teacher, teacher.architecture), style="dim")
    return table


def _on_test(row: FrozenNetwork) -> list[str]:
    test = row.test
    return [f"{row.params:,}", f"{row.validation.accuracy:.1%}", f"{test.accuracy:.1%}", f"{test.low:.1%} - {test.high:.1%}"]


def _ends(row: FrozenNetwork, chain: str) -> list[str | Text]:
    worst = row.test.worst_drop
    fall = Text(f"{worst.name}: {-worst.drop:+.1%}" if worst.drop > 0 else "none")
    return [fall, f"{row.latency.one.p50_ms:.2f}", chain.split(" > ", 1)[-1], row.chosen[:8]]


def _over_seeds(seeds: OverSeeds | None) -> str:
    if seeds is None:
        return ""
    return f"{seeds.mean:.1%}" + ("" if seeds.deviation is None else f" \u00b1 {seeds.deviation:.1%}")


def _gain(one: Baseline | None) -> str:
    """A gain over a baseline; in parentheses unless it is significant."""
    if one is None:
        return ""
    is_significant = one.gain.effect in ("gain", "loss")
    return f"{one.gain.mean:+.1%}" if is_significant else f"({one.gain.mean:+.1%})"


def _within(region: Region) -> str:
    if region.everything:
        return "of all students"
    below = f" and fewer than {region.below['params']:,} params" if "params" in region.below else ""
    return f"with at least {region.floor:.1%} accuracy{below}"


BEGUN_AGAIN = {
    "crash": "in safe mode (no oneDNN, no cuDNN) after a crash",
    "memory": "with no other job after running out of memory",
    "gone": "after a worker or its node died",
}


def _again(spent: Spent) -> list[str]:
    """How many trainings were restarted, by cause. Restarts do not count as failures."""
    parts = [f"{count} {BEGUN_AGAIN[cause]}" for cause, count in spent.again.items()]
    return [f"restarted trainings: {', '.join(parts)}"] if parts else []


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
    low, high = row.interval
    return [
        f"{row.params:,}",
        f"{row.accuracy:.1%}{' !' if row.worse_than_label_only else ''}",
        f"{low:.1%} - {high:.1%}",
        "" if row.expected is None or row.role == "teacher" else f"{row.expected.mean:.1%} \u00b1 {row.expected.deviation:.1%}",
        "" if row.label_only is None else f"{row.label_only:.1%}",
        f"{row.of_teacher:.1%}",
        f"{row.compression:.1f}x",
        f"{row.seconds:.1f}",
    ]


def checked(found: Preflight, workers: int) -> str:
    """What `check` prints."""
    count, data = found.architectures, found.data
    low, high = data.test_interval_at_90
    lines = [
        f"study        {found.study}",
        f"students     {count.count:,} architectures{'' if count.all else ' in a sample of the space'}"
        f"{_too_large(count)}, {_span(found.params)} params, {_span(found.macs)} MACs, {_span(found.bytes)} bytes",
        *([] if found.region is None else [_region(found.region, data.chance)]),
        _first(found.first),
        _stages(found.stages),
        *(f"teacher      {one.architecture}: {one.params:,} params, {one.source}" for one in found.teachers),
        *(f"assistant    {one.architecture}: {one.params:,} params" for one in found.assistants),
        *_samples(data),
        _held(data),
        f"splits       {data.train:,} train{_unlabeled(data)}, {data.validation:,} validation, {data.test:,} test"
        f"{' (the data set has a test split of its own)' if data.own_test else ''}, sealed",
        f"precision    an accuracy of 90 % on this test split has a 95 % interval of {low:.1%} to {high:.1%}",
        f"caches       at most {found.cache_bytes:,} bytes of cached teacher logits",
        f"runs on      {'CUDA' if found.gpus else 'CPU'} in {found.precision}",
    ]
    messages = [line for taught in found.soft_targets for line in knowledge(taught)]
    messages += [f"warning      {text}" for text in found.cautions]
    return "\n".join([*lines, *messages, *_times(found.seconds, workers)])


def _stages(found: StageCounts) -> str:
    most = "as many as search.time or search.stop allow" if found.most is None else f"at most {found.most} trained"
    baselines = ", plus a label-only baseline for each member of the frontier in the region" if found.baselines else ""
    return f"stages       {most}, {found.shared} of them shared (teacher and assistants){baselines}"


def knowledge(taught: Taught | None) -> list[str]:
    """What a teacher says beyond the labels, and warnings about it."""
    if taught is None:
        return ["soft targets the teacher is not trained yet; their entropy is shown here once a search has trained it"]
    warnings = [f"warning      {text}" for text in taught.warnings(taught.accuracy)]
    return [f"soft targets {taught.sentence()}", *warnings]


def _held(data: DataFacts) -> str:
    size = f"{data.bytes / 1e6:,.1f} MB"
    if data.memory == "stream":
        return f"held         streamed from files by workers; {size} when decoded"
    dtypes = dict.fromkeys(field.dtype for field in data.inputs.fields)
    return f"held         in memory as {' and '.join(dtypes)}, {size}"


def _samples(data: DataFacts) -> list[str]:
    """What a sample is, field by field unless it is the usual one."""
    classes = f"{data.classes} classes, majority class {data.chance:.1%}"
    if data.inputs.only is not None:
        return [f"samples      {data.inputs.fields[0].sides()} ({data.layout}), {classes}"]
    return [f"samples      {classes}", *map(_field, data.inputs.fields)]


def _field(field: InputField) -> str:
    text = f"input        {field.name}: {field.sides()}, {field.dtype}"
    if field.longest is None:
        return text
    return f"{text}, at most {field.longest:,} long, padded with {field.padding:g}; sizes and times are those of the longest"


def _first(first: Sequence[NetworkFacts]) -> str:
    names = ", ".join(f"{one.architecture} ({one.params:,})" for one in first[:5])
    more = f" and {len(first) - 5} more" if len(first) > 5 else ""
    names += f"{more}, then " if first else ""
    return f"first        {names}students predicted to reach the region of interest"


def _region(found: RegionFacts, chance: float) -> str:
    """Where the search looks for students."""
    if found.region == "all":
        return "region       everywhere (search.region: all)"
    below = f"fewer than {found.below['params']:,} params" if "params" in found.below else "any size"
    top = "the teacher" if found.target is None else f"the target ({found.target:.1%})"
    way = f"{100 * found.region:g} % of the way from the majority class ({chance:.1%}) to {top}"
    if found.target is not None:
        way = f"halfway between {way} and the target"
    known = "" if found.accuracy is None else f"{found.accuracy:.1%}, "
    return f"region       accuracy of at least {known}{way}; {below}"


def _unlabeled(data: DataFacts) -> str:
    return f" and {data.unlabeled:,} without labels" if data.unlabeled else ""


def _too_large(count: Architectures) -> str:
    return f" ({count.too_large:,} more are above the limits)" if count.too_large else ""


def _span(ends: Span) -> str:
    return f"{ends.low:,}" if ends.low == ends.high else f"{ends.low:,} to {ends.high:,}"


def _times(seconds: Seconds | None, workers: int) -> list[str]:
    if seconds is None:
        return ["time         not estimated: the spec needs CUDA, which this machine does not have"]
    each = (("teacher", seconds.teacher), ("each assistant", seconds.assistant_each), ("each student", seconds.student_each))
    parts = ", ".join(f"{name} {clock(duration)}" for name, duration in each if duration)
    if seconds.total is None:
        return [f"time         until search.time or search.stop: {parts}"]
    total = f"about {clock(seconds.total)} of training on {workers} worker{'s' * (workers > 1)} of this machine"
    return [f"time         {total}, plus about 20 s to start: {parts}"]


def explained(found: Explained) -> str:
    """What `explain` prints."""
    measured = found.measurement
    lines = [f"stage        {found.stage}", f"trials       {', '.join(map(str, found.trials)) or 'none'}"]
    for depth, link in enumerate(found.chain):
        lines.append(
            f"{'chain' if depth == 0 else '':12} {'  ' * depth}{link.architecture}: {link.accuracy:.1%}, "
            f"{link.params:,} params, {link.seconds:.1f} s, {link.stage[:8]}"
        )
    lines.append(
        f"accuracy     {measured.correct} of {measured.n} validation samples, {measured.params:,} params, "
        f"{measured.macs:,} MACs, {measured.bytes:,} bytes"
    )
    for name, value in (("loss", found.loss), ("recipe", found.recipe), ("environment", found.environment)):
        if value:
            lines.append(f"{name:12} {value}")
    return "\n".join([*lines, f"files        {found.files}", f"command      {found.command}"])
