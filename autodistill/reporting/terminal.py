"""Facts as text and tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ..spec.measurement import SoftTargetEntropy

if TYPE_CHECKING:  # `check` prints without Optuna
    from ..answers.confirm.confirmation import Baseline, Confirmation, FrozenNetwork, OverSeeds
    from ..study.record.incumbent import Incumbent
    from ..study.record.region import Region
    from ..study.record.rows import Concordance, Improvement, TrialRow
    from .explain import Explained
    from .summary import Reached, StudySummary

Facts = Mapping[str, Any]
WORSE = "!"
"""Marks a distilled student that is worse than the same student trained from labels."""


SATURATED = 0.02
"""Share of the largest entropy below which outputs at T 4 say little more than the label."""
GAP = 0.1
SOFT_TARGETS = tuple(SoftTargetEntropy.model_fields)
ENOUGH, DISCORDANT = 8, 0.5
"""With at least this many complete trials, a lower Kendall's tau between a rung and full length triggers a warning."""


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def frontier_table(found: StudySummary) -> Table:
    """The frontier of a study in its region of interest, smallest student first, teacher last.

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


def headline(found: StudySummary) -> list[str]:
    """The smallest student at some shares of the teacher's accuracy."""
    lines = []
    for share, row in found.headline:
        start = f"{share:.0%} of the teacher's accuracy"
        if row is None:
            lines.append(f"{start}: no student")
            continue
        how = f"{row.params:,} params, {row.compression:.1f} times smaller ({row.accuracy:.1%}, {row.architecture})"
        lines.append(f"{start}: {how}")
    return lines


def outside(found: StudySummary) -> list[str]:
    """The members of the frontier that the table leaves out."""
    rows = [row for row in found.frontier if not row.inside]
    if not rows or found.region.everything:
        return []
    if len(rows) == len(found.frontier):
        return ["no student is in the region of interest; those above are outside it and have no label-only baselines"]
    low, high = min(row.accuracy for row in rows), max(row.accuracy for row in rows)
    what = "1 member of the frontier is" if len(rows) == 1 else f"{len(rows)} members of the frontier are"
    many = f"{low:.1%}" if low == high else f"{low:.1%} to {high:.1%}"
    return [f"{what} outside the region of interest ({many}), not shown and without label-only baselines: see frontier.csv"]


def failures(found: StudySummary) -> list[str]:
    """How many trials failed and why; printed first."""
    if not found.trials.failed:
        return []
    failed, ended = found.trials.failed, sum(found.trials)
    lines = [f"{failed} of {ended} trials failed (trials.csv lists all reasons; --retry-failed trains them again):"]
    return lines + [f"  {one.count}: {one.reason}" for one in found.failures]


BEGUN_AGAIN = {
    "crash": "in safe mode (no oneDNN, no cuDNN) after a crash",
    "memory": "with no other job after running out of memory",
    "gone": "after a worker or its node died",
}


def _again(spent: Facts) -> list[str]:
    """How many trainings were restarted, by cause. Restarts do not count as failures."""
    parts = [f"{count} {BEGUN_AGAIN[cause]}" for cause, count in spent.get("again", {}).items()]
    return [f"restarted trainings: {', '.join(parts)}"] if parts else []


def remarks(found: StudySummary) -> list[str]:
    """What the user should not overlook in a study."""
    lines = []
    worse = [f"{row.params:,}" for row in found.frontier if row.worse_than_label_only]
    if worse:
        lines.append(
            f"{WORSE} is worse on the validation samples than the label-only baseline with the same seed "
            f"(params {', '.join(worse)}): distillation may not pay there"
        )
    lines += outside(found)
    lines += [f"{row.params:,} params: {row.reason}" for row in found.frontier if row.reason]
    if not any(row.params < found.teacher.params for row in found.frontier):
        lines.append("no network on the frontier is smaller than the teacher")
    if found.incumbent is not None:
        lines.append(_incumbent(found.incumbent))
    if found.target is not None:
        lines.append(_target(found.target))
    lines += [more_trials(found.improvement)] if found.improvement is not None else []
    for one in found.teachers:
        lines += [] if one.soft_targets is None else warned(one.soft_targets, one.accuracy)
    spent = found.spent or {}
    return lines + _predicted(found.rungs) + _again(spent) + ([_spent(spent)] if spent.get("seconds") else [])


def _predicted(rungs: Sequence[Concordance]) -> list[str]:
    """How well rungs predict full length, and a warning if they do not."""
    known = [(rung, rung.tau) for rung in rungs if rung.tau is not None]
    taus = ", ".join(f"{tau:.2f} after {_over(rung)} (n {rung.n})" for rung, tau in known)
    lines = [f"Kendall's tau between the accuracies at rungs and at full length: {taus}"] if known else []
    low = [(rung, tau) for rung, tau in known if rung.n >= ENOUGH and tau < DISCORDANT]
    return lines + [
        f"rungs predict the final accuracy poorly (tau {tau:.2f} after {_over(rung)}): raise search.halving.first or "
        "share, or set search.halving to false"
        for rung, tau in low[:1]
    ]


def _over(rung: Concordance) -> str:
    return f"{100 * rung.share_of_epochs:.3g} % of the epochs"


def _spent(spent: Facts) -> str:
    """Where the workers' time went, in one line."""
    kinds = ("students", "assistants", "teachers", "outputs", "baselines", "idle", "controller")
    parts = ", ".join(f"{name} {spent[name]:.1f} s" for name in kinds if spent[name] >= 0.05)
    useful = "" if spent["useful"] is None else f"; busy {spent['useful']:.0%} of the time from the teacher to the last job"
    return f"{spent['workers']} worker{'s' * (spent['workers'] > 1)} for {spent['seconds']:.1f} s: {parts}{useful}"


def _target(found: Reached) -> str:
    """Says which student is the smallest that meets the target."""
    row, (low, high) = found.row, found.row.interval
    what = f"{row.params:,} params with {row.accuracy:.1%} (95 %: {low:.1%} to {high:.1%})"
    if found.reached:
        return f"the smallest student with {found.wanted:.1%} validation accuracy has {what}"
    return f"no student has {found.wanted:.1%} validation accuracy; the nearest has {what}"


def _incumbent(found: Incumbent) -> str:
    """Says whether the incumbent is dominated."""
    row, by = found.row, found.dominated_by
    name = f"your {row.architecture} ({row.params:,} params, {row.accuracy:.1%})"
    if not by:
        return f"nothing on the frontier dominates {name}"
    shown = ", ".join(f"{one.params:,} params with {one.accuracy:.1%}" for one in by[:3])
    more = f" and {len(by) - 3} more" if len(by) > 3 else ""
    sure = "" if any(map(found.is_apart, by)) else "; their 95 % intervals overlap with its own, so confirm it"
    return f"{name} is dominated by {shown}{more}: at most its size, at least its accuracy{sure}"


def more_trials(improvement: Improvement) -> str:
    """What more trials would add."""
    band = f"{improvement.low:.1%} to {improvement.high:.1%}"
    what = "of hypervolume in the region of interest"
    return f"{improvement.trials} more trials would add an expected {improvement.mean:.1%} {what} (80 % band: {band})"


def _numbers(row: TrialRow) -> list[str]:
    low, high = row.interval
    return [
        f"{row.params:,}",
        f"{row.accuracy:.1%}{f' {WORSE}' if row.worse_than_label_only else ''}",
        f"{low:.1%} - {high:.1%}",
        "" if row.expected is None or row.role == "teacher" else f"{row.expected.mean:.1%} \u00b1 {row.expected.deviation:.1%}",
        "" if row.label_only is None else f"{row.label_only:.1%}",
        f"{row.of_teacher:.1%}",
        f"{row.compression:.1f}x",
        f"{row.seconds:.1f}",
    ]


def checked(found: Facts, workers: int) -> str:
    """What `check` prints."""
    count, data = found["architectures"], found["data"]
    low, high = data["test_interval_at_90"]
    shape = "x".join(map(str, data["shape"]))
    lines = [
        f"study        {found['study']}",
        f"students     {count['count']:,} architectures{'' if count['all'] else ' in a sample of the space'}"
        f"{_too_large(count)}, {_span(found['params'])} params, {_span(found['macs'])} MACs, {_span(found['bytes'])} bytes",
        *(_region(found["region"], data["chance"]) if "region" in found else ()),
        _first(found["first"]),
        _stages(found["stages"]),
        *(f"teacher      {one['architecture']}: {one['params']:,} params, {one['source']}" for one in found["teachers"]),
        *(f"assistant    {one['architecture']}: {one['params']:,} params" for one in found["assistants"]),
        f"samples      {shape} ({data['layout']}), {data['classes']} classes, majority class {data['chance']:.1%}",
        _held(data),
        f"splits       {data['train']:,} train{_unlabeled(data)}, {data['validation']:,} validation, {data['test']:,} test"
        f"{' (the data set has a test split of its own)' if data['own_test'] else ''}, sealed",
        f"precision    an accuracy of 90 % on this test split has a 95 % interval of {low:.1%} to {high:.1%}",
        f"caches       at most {found['cache_bytes']:,} bytes of cached teacher logits",
        f"runs on      {'CUDA' if found['gpus'] else 'CPU'} in {found['precision']}",
    ]
    messages = [line for soft_targets in found["soft_targets"] for line in knowledge(soft_targets)]
    messages += [f"warning      {text}" for text in found["cautions"]]
    return "\n".join([*lines, *messages, *_times(found.get("seconds"), workers)])


def _stages(found: Facts) -> str:
    most = "as many as search.time or search.stop allow" if found["most"] is None else f"at most {found['most']} trained"
    baselines = ", plus a label-only baseline for each member of the frontier in the region" if found["baselines"] else ""
    return f"stages       {most}, {found['shared']} of them shared (teacher and assistants){baselines}"


def knowledge(soft_targets: Facts | None) -> list[str]:
    """What a teacher says beyond the labels, and warnings about it."""
    if soft_targets is None:
        return ["soft targets the teacher is not trained yet; their entropy is shown here once a search has trained it"]
    accuracy, known = soft_targets["accuracy"], SoftTargetEntropy(**{name: soft_targets[name] for name in SOFT_TARGETS})
    entropies = ", ".join(f"{value:.2f} at T {temperature}" for temperature, value in known.entropy.items())
    lines = [f"soft targets mean entropy of the teacher's outputs: {entropies} nats (uniform: {log(known.classes):.2f})"]
    return lines + [f"warning      {text}" for text in warned(known, accuracy)]


def warned(soft_targets: SoftTargetEntropy, accuracy: float) -> list[str]:
    """Warnings about a teacher with these outputs and this validation accuracy."""
    found = []
    if soft_targets.entropy["4"] < SATURATED * log(soft_targets.classes):
        found.append(
            "the teacher is saturated: even at T 4 its outputs say little more than the label; search temperatures up to 16"
        )
    if soft_targets.train_accuracy - accuracy > GAP:
        found.append(
            f"the teacher's accuracy is {soft_targets.train_accuracy:.1%} on training samples but {accuracy:.1%} on "
            "validation samples: it has memorized the training samples; augmentation or unlabeled samples help"
        )
    return found


def _held(data: Facts) -> str:
    size = f"{data['bytes'] / 1e6:,.1f} MB"
    if data["memory"] == "stream":
        return f"held         streamed from files by workers; {size} when decoded"
    return f"held         in memory as {data['dtype']}, {size}"


def _first(first: list[Facts]) -> str:
    names = ", ".join(f"{one['architecture']} ({one['params']:,})" for one in first[:5])
    more = f" and {len(first) - 5} more" if len(first) > 5 else ""
    names += f"{more}, then " if first else ""
    return f"first        {names}students predicted to reach the region of interest"


def _region(found: Facts, chance: float) -> list[str]:
    """Where the search looks for students."""
    if found["region"] == "all":
        return ["region       everywhere (search.region: all)"]
    below = f"fewer than {found['below']['params']:,} params" if "params" in found["below"] else "any size"
    top = "the teacher" if found["target"] is None else f"the target ({found['target']:.1%})"
    way = f"{100 * found['region']:g} % of the way from the majority class ({chance:.1%}) to {top}"
    if found["target"] is not None:
        way = f"halfway between {way} and the target"
    known = "" if found["accuracy"] is None else f"{found['accuracy']:.1%}, "
    return [f"region       accuracy of at least {known}{way}; {below}"]


def _unlabeled(data: Facts) -> str:
    return f" and {data['unlabeled']:,} without labels" if data["unlabeled"] else ""


def _too_large(count: Facts) -> str:
    return f" ({count['too_large']:,} more are above the limits)" if count["too_large"] else ""


def _span(ends: list[int]) -> str:
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"


def _times(seconds: Facts | None, workers: int) -> list[str]:
    if seconds is None:
        return ["time         not estimated: the spec needs CUDA, which this machine does not have"]
    parts = ", ".join(
        f"{name} {clock(seconds[key])}"
        for name, key in (("teacher", "teacher"), ("each assistant", "assistant_each"), ("each student", "student_each"))
        if seconds[key]
    )
    if "total" not in seconds:
        return [f"time         until search.time or search.stop: {parts}"]
    total = f"about {clock(seconds['total'])} of training on {workers} worker{'s' * (workers > 1)} of this machine"
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
