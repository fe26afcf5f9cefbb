"""Answers in words, computed from facts."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

Facts = Mapping[str, Any]
OTHERS = (
    ("runner_up", "runner-up", ""),
    ("knee", "knee point", " (farthest above the line between the ends of the frontier)"),
    ("one_standard_error", "simplest", " (within one standard error of the best)"),
)


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
        f"{_ship(found)}: {row['architecture']} with {row['params']:,} params {_claim(found)}. It has "
        f"{test['accuracy']:.1%} accuracy on {test['n']:,} test samples, is {times:.1f} times smaller and {fast:.1f} times as "
        f"fast as the teacher, and keeps {kept:.1%} of its accuracy"
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
    limits += [f"at most {wanted['latency_ms']:g} ms per sample"] if wanted["latency_ms"] is not None else []
    return what + (f" with {' and '.join(limits)}" if limits else "")


def _claim(found: Facts) -> str:
    return f"is shown to have at least {target(found['wanted'])} (with {percent(found['wanted']['confidence'])} confidence)"


def _nothing(found: Facts) -> str:
    if not found["tested"]:
        return f"no member of the frontier is within the limits of {target(found['wanted'])}"
    row = found["nearest"]
    return (
        f"no student is proven to meet the target of {target(found['wanted'])} (with "
        f"{percent(found['wanted']['confidence'])} confidence); the "
        f"nearest is {row['architecture']} with {row['params']:,} params and {row['test']['accuracy']:.1%} accuracy on "
        f"{row['test']['n']:,} test samples"
    )


def lines(found: Facts) -> list[str]:
    """The answer and related facts, one per line."""
    messages = [sentence(found)]
    if found["answer"]:
        messages.append(
            f"file         {found['answer']['chosen'][:12]}, chosen on the validation samples; export writes this one"
        )
    for name, title, why in OTHERS:
        if found[name]:
            messages.append(f"{title:12} {_row(found[name])}{why}")
    if found["next_smaller"]:
        messages.append(f"next smaller {_row(found['next_smaller'])}; {_more_needed(found)}")
    elif found["tested"] and not found["meets"]:
        messages.append(f"first tested {_row(found['tested'][0])}; {_more_needed(found)}")
    if found["would_pass"] is not None:
        messages.append(
            f"would pass   at {100 * found['would_pass']:.2f} %, for the first one tested{_or_limits(found['wanted'])}"
        )
    return [*messages, *_needs(found), *_forced(found)]


def _or_limits(wanted: Facts) -> str:
    limited = [name for name in ("params", "bytes", "latency_ms") if wanted[name] is not None]
    return f"; or relax the limit on {' or '.join(limited).replace('_ms', '')}" if limited else ""


def _row(row: Facts) -> str:
    shares = f"{row['validation']['accuracy']:.1%} validation, {row['test']['accuracy']:.1%} test"
    return f"{row['architecture']}, {row['params']:,} params: {shares}"


def _more_needed(found: Facts) -> str:
    if found["more_correct"] is None:
        return "with so few test samples, even perfect predictions would not be enough"
    return f"it needs {found['more_correct']} more correct prediction{'s' * (found['more_correct'] != 1)} on these test samples"


def _needs(found: Facts) -> list[str]:
    needed = found["needed"]
    if needed is None:
        return []
    if needed["correct"] is None:
        return [
            f"needed       at least {needed['least_n']:,} test samples (there are {needed['n']:,}), all predicted correctly"
        ]
    return [
        f"needed       {needed['correct']:,} correct predictions on {needed['n']:,} test samples ({needed['accuracy']:.2%})"
    ]


def later(students: int) -> str:
    """A message that `students` were tried after the study was confirmed; empty if there were none."""
    if not students:
        return ""
    were = "student that was" if students == 1 else "students that were"
    return f"{students:,} {were} tried after the confirmation {'is' if students == 1 else 'are'} not covered by this answer"


def _forced(found: Facts) -> list[str]:
    if not found["forced"]:
        return []
    times = f"{found['forced']} time{'s' * (found['forced'] > 1)}"
    return [
        f"warning      the test split was opened again {times} after the search continued: the confidence above does not "
        "cover choices that were made in between"
    ]
