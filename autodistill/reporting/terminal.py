"""Facts as text and tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ..metrics.intervals import Interval
from ..metrics.metric import ACCURACY, Metric, TopK, named
from ..metrics.words import at_best, bound, share_kept, signed, stated
from ..spec.kinds import ABOUT, TaskKind
from ..spec.measurement import Sizes

if TYPE_CHECKING:  # `check` prints without Optuna
    from ..answers.confirm.confirmation import Baseline, Confirmation, FrozenNetwork, FrozenReference, Spread
    from ..data import EncodedColumn, Encoding, InputField
    from ..data.encoding import TextEncoding
    from ..spec.measurement import Score
    from ..study.preflight.values import (
        Architectures,
        CodeFacts,
        DataFacts,
        NetworkFacts,
        Preflight,
        RegionFacts,
        Seconds,
        Span,
        StageCounts,
        Taught,
        TextFacts,
    )
    from ..study.record.references import Beside
    from ..study.record.region import Region
    from ..study.record.rows import TrialRow
    from ..study.schedule.spent import Spent
    from .explain import Explained
    from .summary import StudySummary

NAMED = 5
"""How many classes or words of a column are named."""


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def frontier_table(found: StudySummary) -> Table:
    """The frontier of a study in its region of interest, smallest student first, then reference models, teacher last.

    `!` marks what is worse than its label-only baseline, `?` what may ignore its input. If the region is empty, the members
    outside it are in gray.
    """
    metric = found.metric
    title = f"{found.study}: frontier of validation {metric.label} and size {_within(found.region)}; the teacher is last"
    table = Table(title=title, title_justify="left")
    others = (other.label for other in found.also)
    share = "% of teacher" if metric.higher else "times teacher"
    beside = ("expected", "label-only", share, "compression", "seconds")
    counts = _counts(any(row.sizes.embeddings for row in found.rows))
    for name in (counts, metric.label, "95 % interval", *others, *beside):
        table.add_column(name, justify="right")
    for name in ("role", "chain below the teacher", "stage"):
        table.add_column(name, overflow="fold")
    for row in [row for row in found.frontier if row.inside] or found.frontier:
        below = row.chain.split(" > ", 1)[-1]
        table.add_row(*_numbers(row), row.role, below, row.stage[:8], style=None if row.inside else "dim")
    if found.incumbent is not None:
        row = found.incumbent.row
        table.add_row(*_numbers(row), "incumbent", "", row.stage[:8], style="bold")
    for one in found.references:
        about = f"{one.reference.label}, {one.reference.bytes:,} bytes"
        table.add_row(*_referred(one, found), "reference model", about, "", style="dim")
    table.add_row(*_numbers(found.teacher), "teacher", "", found.teacher.stage[:8], style="dim")
    return table


def _referred(one: Beside, found: StudySummary) -> list[str]:
    """The numbers of a reference model, which has no params."""
    metric, score, scores = one.metric, one.score, one.reference.scores
    others = (other.text(scores[other.name].value) for other in found.also)
    kept = share_kept(metric, metric.kept(score.value, found.teacher.value))
    interval = f"{metric.text(score.low)} - {metric.text(score.high)}"
    return ["", metric.text(score.value), interval, *others, "", "", kept, "", f"{one.reference.seconds:.1f}"]


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
    for name in (counts, "validation", "test", "95 % interval", *others, *gains):
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


def _within(region: Region) -> str:
    if region.everything:
        return "of all students"
    below = f" and fewer than {region.below['params']:,} params" if "params" in region.below else ""
    return f"with {at_best(region.metric, region.metric.text(region.floor))}{below}"


FEW_FILES = 5
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
    text, expected = row.metric.text, None if row.role == "teacher" else row.expected
    low, high = row.interval
    assert row.measured is not None, "only complete rows are shown"
    return [
        _counted(row.sizes),
        f"{text(row.value)}{' !' if row.worse_than_label_only else ''}{' ?' if row.ignorant else ''}",
        f"{text(low)} - {text(high)}",
        *(named(name).text(row.measured.scores[name].value) for name in row.also),
        "" if expected is None else f"{text(expected.mean)} \u00b1 {text(expected.deviation)}",
        "" if row.label_only is None else text(row.label_only),
        share_kept(row.metric, row.of_teacher or 0.0),
        f"{row.compression:.1f}x",
        f"{row.seconds:.1f}",
    ]


def checked(found: Preflight, workers: int) -> str:
    """What `check` prints."""
    count, data = found.architectures, found.data
    lines = [
        f"study        {found.study}",
        f"students     {count.count:,} architectures{'' if count.all else ' in a sample of the space'}"
        f"{_too_large(count)}, {_span(found.params)} params{_core(found)}, {_span(found.macs)} MACs{_longest(found)}, "
        f"{_span(found.bytes)} bytes",
        *([] if found.region is None else [_region(found.region)]),
        _first(found.first),
        _stages(found.stages),
        *(f"teacher      {one.architecture}: {one.params:,} params, {one.source}{_seen(found, one)}" for one in found.teachers),
        *(f"assistant    {one.architecture}: {one.params:,} params" for one in found.assistants),
        *map(_code, found.code),
        *_samples(data),
        _held(data),
        f"splits       {data.train:,} train{_unlabeled(data)}, {data.validation:,} validation, {data.test:,} test"
        f"{' (the data set has a test split of its own)' if data.own_test else ''}, sealed",
        *([] if data.kind != "classification" else [f"precision    {_precision(data.test_interval_at_90)}"]),
        f"caches       at most {found.cache_bytes:,} bytes of cached teacher logits",
        f"runs on      {'CUDA' if found.gpus else 'CPU'} in {found.precision}",
    ]
    has_classes = data.kind == "classification"
    messages = [line for taught in found.soft_targets for line in knowledge(taught)] if has_classes else []
    messages += [f"warning      {text}" for text in found.cautions]
    return "\n".join([*lines, *messages, *_times(found.seconds, workers)])


def _precision(interval: Interval) -> str:
    return f"an accuracy of 90 % on this test split has a 95 % interval of {interval.low:.1%} to {interval.high:.1%}"


def _code(found: CodeFacts) -> str:
    """Which files count, and beyond a few how many."""
    more = len(found.files) - FEW_FILES
    files = ", ".join(found.files[:FEW_FILES]) + (f", and {more} more" if more > 0 else "")
    return f"code         {found.name}: {files} in {found.folder}; changed code makes another network"


def _seen(found: Preflight, teacher: NetworkFacts) -> str:
    """How good a teacher is that is known already."""
    if teacher.score is None or found.region is None:
        return ""
    metric, score = named(found.region.metric), teacher.score
    return (
        f"; validation {metric.label} {metric.text(score.value)} (95 %: {metric.text(score.low)} to {metric.text(score.high)})"
    )


def _stages(found: StageCounts) -> str:
    most = "as many as search.time or search.stop allow" if found.most is None else f"at most {found.most} trained"
    baselines = ", plus a label-only baseline for each member of the frontier in the region" if found.baselines else ""
    return f"stages       {most}, {found.shared} of them shared (teacher and assistants){baselines}"


def knowledge(taught: Taught | None) -> list[str]:
    """What a teacher says beyond the labels, and warnings about it."""
    if taught is None:
        return ["soft targets not known yet: their entropy is shown here once a search has trained the teacher"]
    warnings = [f"warning      {text}" for text in taught.warnings(taught.accuracy)]
    return [f"soft targets {taught.sentence()}", *warnings]


def _held(data: DataFacts) -> str:
    size = f"{data.bytes / 1e6:,.1f} MB"
    if data.memory == "stream":
        return f"held         streamed from files by workers; {size} when decoded"
    if data.text is not None:
        return f"held         as token ids in files that workers share, {size}"
    dtypes = dict.fromkeys(field.dtype for field in data.inputs.fields)
    return f"held         in memory as {' and '.join(dtypes)}, {size}"


def _samples(data: DataFacts) -> list[str]:
    """What a sample is, field by field unless it is the usual one."""
    classes = f"{data.classes} {ABOUT[data.kind].many}"
    if data.kind != "classification":
        many = data.classes > 1
        classes = f"{data.kind}: {data.classes} {ABOUT[data.kind].many if many else ABOUT[data.kind].one} for each sample"
    elif data.majority is not None:
        classes += f", majority class {data.majority:.1%}"
    if data.table is not None:
        return [
            f"samples      {classes}",
            _label(data.table, data.kind),
            *map(_column, data.table.columns),
            *map(_field, data.inputs.fields),
        ]
    if data.text is not None:
        return [f"samples      {classes}", *_texts(data.text, data.kind), *map(_field, data.inputs.fields)]
    if data.inputs.only is not None:
        return [f"samples      {data.inputs.fields[0].sides()} ({data.layout}), {classes}"]
    return [f"samples      {classes}", *map(_field, data.inputs.fields)]


def _texts(text: TextFacts, kind: TaskKind) -> list[str]:
    """What is read of the texts, and with which tokenizer."""
    found, columns = text.lengths, " and ".join(text.columns)
    long = f"{found.median:,.0f} tokens (median), 95 % have at most {found.p95:,.0f}, the longest {found.longest:,}"
    return [
        _label(text, kind),
        f"text         {columns}: {long}; cut to {text.max_length:,} tokens, which cuts {found.cut:.1%} of the texts",
        f"tokenizer    {text.vocabulary:,} tokens, {text.used:,} of them special or in the training texts; "
        f"{found.unknown:.2%} of their tokens are unknown",
    ]


def _label(table: Encoding | TextEncoding, kind: TaskKind) -> str:
    return f"label        {table.label}{f': {_words(table)}' * (kind != 'regression')}"


def _words(table: Encoding | TextEncoding) -> str:
    more = f", and {len(table.classes) - NAMED} more" if len(table.classes) > NAMED else ""
    return f"{', '.join(table.classes[:NAMED])}{more}"


def _column(column: EncodedColumn) -> str:
    """What a column is taken for, and what becomes of missing values."""
    kind = column.kind if column.format is None else f"{column.kind} {column.format}"
    if column.words is not None:
        more = ", ..." if len(column.words) > NAMED else ""
        few = f"{', '.join(column.words[:NAMED])}{more}"
        words = f"{len(column.words):,} value{'s' * (len(column.words) != 1)} ({few})" if column.words else "no repeated value"
        kind = f"category with {words}"
    missing = f"; {column.missing:.1%} missing, which an extra input marks" if column.mask else ""
    return f"column       {column.name}: {kind}{missing}"


def _field(field: InputField) -> str:
    text = f"input        {field.name}: {field.sides()}, {field.dtype}"
    if field.longest is None:
        return text
    which = "the longest sample" if field.typical is None else f"the median length, {field.typical:,}"
    return f"{text}, at most {field.longest:,} long, padded with {field.padding:g}; sizes and times are for {which}"


def _first(first: Sequence[NetworkFacts]) -> str:
    names = ", ".join(f"{one.architecture} ({one.params:,})" for one in first[:5])
    more = f" and {len(first) - 5} more" if len(first) > 5 else ""
    names += f"{more}, then " if first else ""
    return f"first        {names}students predicted to reach the region of interest"


def _region(found: RegionFacts) -> str:
    """Where the search looks for students."""
    metric = named(found.metric)
    if found.region == "all":
        return "region       everywhere (search.region: all)"
    below = f"fewer than {found.below['params']:,} params" if "params" in found.below else "any size"
    top = "the teacher" if found.target is None else f"the target ({metric.text(found.target)})"
    way = f"{100 * found.region:g} % of the way from a network that ignores its input ({metric.text(found.ignorant)}) to {top}"
    if found.target is not None:
        way = f"halfway between {way} and the target"
    known = "" if found.floor is None else f"{metric.text(found.floor)}, "
    return f"region       {bound(metric, known)}{way}; {below}"


def _unlabeled(data: DataFacts) -> str:
    return f" and {data.unlabeled:,} without labels" if data.unlabeled else ""


def _too_large(count: Architectures) -> str:
    return f" ({count.too_large:,} more are above the limits)" if count.too_large else ""


def _span(ends: Span) -> str:
    return f"{ends.low:,}" if ends.low == ends.high else f"{ends.low:,} to {ends.high:,}"


def _core(found: Preflight) -> str:
    return "" if found.core_params == found.params else f" ({_span(found.core_params)} without embeddings)"


def _longest(found: Preflight) -> str:
    return "" if found.longest_macs == found.macs else f" ({_span(found.longest_macs)} for the longest sample)"


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
    measured, metric = found.measurement, found.metric
    lines = [f"stage        {found.stage}", f"trials       {', '.join(map(str, found.trials)) or 'none'}"]
    for depth, link in enumerate(found.chain):
        lines.append(
            f"{'chain' if depth == 0 else '':12} {'  ' * depth}{link.architecture}: {stated(metric, link.value)}, "
            f"{link.params:,} params, {link.seconds:.1f} s, {link.stage[:8]}"
        )
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
