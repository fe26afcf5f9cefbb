"""What `check` prints, without Optuna and without tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..metrics.intervals import Interval
from ..metrics.metric import named
from ..metrics.words import bound
from ..spec.kinds import ABOUT, TaskKind
from .terminal import clock

if TYPE_CHECKING:
    from ..data import EncodedColumn, Encoding, InputField
    from ..data.encoding import TextEncoding
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

NAMED = 5
"""How many classes or words of a column are named."""
FEW_FILES = 5


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
        *([] if not data.unlabeled else [_epochs(data)]),
        *([] if data.kind != "classification" else [f"precision    {_precision(data.test_interval_at_90)}"]),
        f"caches       at most {found.cache_bytes:,} bytes of cached teacher logits",
        f"runs on      {'CUDA' if found.gpus else 'CPU'} in {found.precision}",
    ]
    has_classes = data.kind == "classification"
    messages = [line for taught in found.soft_targets for line in knowledge(taught)] if has_classes else []
    messages += [f"warning      {text}" for text in found.cautions]
    return "\n".join([*lines, *messages, *_times(found.seconds, workers)])


def _precision(interval: Interval) -> str:
    return f"an accuracy of 90% on this test split has a 95% interval of {interval.low:.1%} to {interval.high:.1%}"


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
        f"; validation {metric.label} {metric.text(score.value)} (95%: {metric.text(score.low)} to {metric.text(score.high)})"
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
    long = f"{found.median:,.0f} tokens (median), 95% have at most {found.p95:,.0f}, the longest {found.longest:,}"
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
    return f"column       {column.name}: {kind}{_missing(column) if column.mask else ''}"


def _missing(column: EncodedColumn) -> str:
    what = f"; {column.missing:.1%} of its values are missing"
    if column.words is not None:
        return f"{what}, which counts as one more category"
    return f"{what}: each is replaced by the median, and an extra input tells the networks that it was missing"


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
    way = f"{100 * found.region:g}% of the way from a network that ignores its input ({metric.text(found.ignorant)}) to {top}"
    if found.target is not None:
        way = f"halfway between {way} and the target"
    known = "" if found.floor is None else f"{metric.text(found.floor)}, "
    return f"region       {bound(metric, known)}{way}; {below}"


def _epochs(data: DataFacts) -> str:
    """Otherwise people would expect a teacher to see each label once in an epoch."""
    times = (data.train + data.unlabeled) / data.train
    seen = f"one that learns from labels alone sees each labeled sample {times:,.1f} times"
    return f"epochs       equally long for all networks: {seen}"


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
    each = (
        ("teacher", seconds.teacher),
        ("each assistant", seconds.assistant_each),
        ("pretraining of each student", seconds.pretraining_each),
        ("each student", seconds.student_each),
    )
    parts = ", ".join(f"{name} {clock(duration)}" for name, duration in each if duration)
    if seconds.total is None:
        return [f"time         until search.time or search.stop: {parts}"]
    total = f"about {clock(seconds.total)} of training on {workers} worker{'s' * (workers > 1)} of this machine"
    return [f"time         {total}, plus about 20 s to start: {parts}"]
