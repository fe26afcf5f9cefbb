"""Answers in words, for people: computed, never written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

Facts = Mapping[str, Any]


def sentence(found: Facts) -> str:
    """The answer of `smallest` in one sentence."""
    if not found["meets"]:
        return f"{_no(found)}: {_nothing(found)}"
    row, teacher = found["answer"], found["teacher"]
    times = teacher["params"] / max(1, row["params"])
    kept = row["test"]["accuracy"] / max(teacher["test"]["accuracy"], 1e-12)
    fast = teacher["latency"]["one"]["p50_ms"] / max(row["latency"]["one"]["p50_ms"], 1e-9)
    test = row["test"]
    return (
        f"{_ship(found)}: {row['architecture']} with {row['params']:,} params {_claim(found)}: it is right on "
        f"{test['accuracy']:.1%} of {test['n']:,} test samples, {times:.1f} times smaller and {fast:.1f} times as fast as the "
        f"teacher, and keeps {kept:.1%} of its accuracy"
    )


def _ship(found: Facts) -> str:
    return "Ship" if found["default"] else "Yes"


def _no(found: Facts) -> str:
    return "Do not ship" if found["default"] else "No"


def percent(share: float) -> str:
    """A requested fraction as a percentage with all its digits: 99.99999 % is not rounded to 100 %."""
    return f"{(Decimal(str(share)) * 100).normalize():f} %"


def target(wanted: Facts) -> str:
    """What was asked for, such as `95 % of the teacher's accuracy with at most 1,000 params`."""
    if wanted["accuracy"] is not None:
        what = f"an accuracy of {percent(wanted['accuracy'])}"
    else:
        what = f"{percent(wanted['retain'])} of the teacher's accuracy"
    limits = [f"at most {wanted[name]:,} {name}" for name in ("params", "bytes") if wanted[name] is not None]
    limits += [f"at most {wanted['latency_ms']:g} ms a sample"] if wanted["latency_ms"] is not None else []
    return what + (f" with {' and '.join(limits)}" if limits else "")


def _claim(found: Facts) -> str:
    return f"has at least {target(found['wanted'])}, with {found['wanted']['confidence']} confidence"


def _nothing(found: Facts) -> str:
    if not found["tested"]:
        return f"no member of the frontier is within the limits of {target(found['wanted'])}"
    row = found["nearest"]
    return (
        f"no student is shown to have {target(found['wanted'])} with {found['wanted']['confidence']} confidence; the "
        f"nearest is {row['architecture']} with {row['params']:,} params and {row['test']['accuracy']:.1%} of "
        f"{row['test']['n']:,} test samples right"
    )


def lines(found: Facts) -> list[str]:
    """The answer and what stands around it, a line each."""
    said = [sentence(found)]
    if found["answer"]:
        said.append(f"file         {found['answer']['chosen'][:12]}, chosen on the validation samples; export writes this one")
    for name, title in (("runner_up", "runner-up"), ("knee", "knee"), ("one_standard_error", "one s.e.")):
        if found[name]:
            said.append(f"{title:12} {_row(found[name])}")
    if found["next_smaller"]:
        said.append(f"next smaller {_row(found['next_smaller'])}; {_lacking(found)}")
    elif found["tested"] and not found["meets"]:
        said.append(f"first tested {_row(found['tested'][0])}; {_lacking(found)}")
    if found["would_hold"] is not None:
        said.append(
            f"would hold   {100 * found['would_hold']:.2f} % instead, for the first tested{_or_limits(found['wanted'])}"
        )
    return [*said, *_needs(found), *_forced(found)]


def _or_limits(wanted: Facts) -> str:
    limited = [name for name in ("params", "bytes", "latency_ms") if wanted[name] is not None]
    return f"; or give way on the limit of {' or '.join(limited).replace('_ms', '')}" if limited else ""


def _row(row: Facts) -> str:
    shares = f"{row['validation']['accuracy']:.1%} validation, {row['test']['accuracy']:.1%} test"
    return f"{row['architecture']}, {row['params']:,} params: {shares}"


def _lacking(found: Facts) -> str:
    if found["lacks"] is None:
        return "on so few test samples even all right answers would not be enough"
    return f"it lacks {found['lacks']} more right answer{'s' * (found['lacks'] != 1)} on these test samples"


def _needs(found: Facts) -> list[str]:
    needed = found["needed"]
    if needed is None:
        return []
    if needed["correct"] is None:
        return [
            f"needed       more than these {needed['n']:,} test samples: all right answers of {needed['least_n']:,} would do"
        ]
    return [f"needed       {needed['correct']:,} of {needed['n']:,} test samples right ({needed['accuracy']:.2%})"]


def later(students: int) -> str:
    """What is said where so many `students` were tried since the study was confirmed; nothing where none was."""
    if not students:
        return ""
    were = "student that was" if students == 1 else "students that were"
    return f"{students:,} {were} tried since this was confirmed {'is' if students == 1 else 'are'} not in this answer"


def _forced(found: Facts) -> list[str]:
    if not found["forced"]:
        return []
    times = f"{found['forced']} time{'s' * (found['forced'] > 1)}"
    return [
        f"warning      the test split was opened again {times} after the search had gone on: the confidence above does not "
        "hold for choices that were made in between"
    ]
