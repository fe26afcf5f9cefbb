"""How claims, tables, figures, and sentences speak of a metric.

A percentage without a name is an accuracy: the values of other metrics are named wherever nothing else on the line names them.
"""

from __future__ import annotations

import math

from .base import significant
from .metric import ACCURACY, Metric


def scaled(metric: Metric, value: float) -> float:
    """A value in the units of an axis: percent, or those of the metric."""
    return 100 * value if metric.percent else value


def on_axis(metric: Metric, value: float) -> str:
    """A value in the units of an axis, such as `97.5` or `0.912`."""
    return f"{value:.1f}" if metric.percent else metric.text(value)


def axis_title(metric: Metric) -> str:
    """Such as `accuracy in %`, or `log loss, smaller is better`."""
    return f"{metric.label}{' in %' if metric.percent else ''}{'' if metric.higher else ', smaller is better'}"


def stated(metric: Metric, value: float) -> str:
    """Such as `97.5%` for an accuracy, `97.5% balanced accuracy`, or `macro F1 0.912`."""
    if metric == ACCURACY:
        return metric.text(value)
    return f"{metric.text(value)} {metric.label}" if metric.percent else f"{metric.label} {metric.text(value)}"


def phrase(metric: Metric, value: float) -> str:
    """Such as `95.0% accuracy`, or `a log loss of 0.310`."""
    text = metric.text(value)
    return f"{text} {metric.label}" if metric.percent else f"{with_article(metric.label)} of {text}"


def with_article(name: str) -> str:
    """Such as `an accuracy`."""
    vowels = "AEFHILMNORSX" if name[:2].isupper() or name[1:2] == " " else "aeiou"  # letters that are spelled: an RMSE
    return f"{'an' if name[0] in vowels else 'a'} {name}"


def bound(metric: Metric, value: str) -> str:
    """Such as `accuracy of at least 90.0%`."""
    return f"{metric.label} of at {'least' if metric.higher else 'most'} {value}"


def asked(metric: Metric, value: float, where: str = "") -> str:
    """A target, such as `90.0% validation accuracy`, or `a validation log loss of at most 0.310`."""
    name = f"{where} {metric.label}".strip()
    if metric.percent:
        return f"{metric.text(value)} {name}"
    return f"{with_article(name)} of at {'least' if metric.higher else 'most'} {metric.text(value)}"


def at_best(metric: Metric, value: str) -> str:
    """A limit, such as `at least 90.0% accuracy`, or `a log loss of at most 0.310`."""
    if not metric.percent:
        return f"{with_article(metric.label)} of at {'least' if metric.higher else 'most'} {value}"
    return f"at {'least' if metric.higher else 'most'} {value} {metric.label}"


def plural(metric: Metric) -> str:
    """Such as `balanced accuracies`, or `values of macro F1`."""
    return f"{metric.label[:-1]}ies" if metric.label.endswith("accuracy") else f"values of {metric.label}"


def of_teacher(metric: Metric, share: float) -> str:
    """A share of the teacher's metric that is kept; a loss may be 1 / share times as large."""
    if metric.higher:
        return f"{share:.0%} of the teacher's {metric.label}"
    return f"at most {metric.keeping(1.0, share):.2f} times the teacher's {metric.label}"


def share_kept(metric: Metric, kept: float) -> str:
    """A share of the teacher's metric that is kept, such as `97.1%`; for a loss, `1.03x` the teacher's."""
    return f"{kept:.1%}" if metric.higher else f"{metric.keeping(1.0, max(kept, 1e-12)):.2f}x"


def keeps(metric: Metric, kept: float) -> str:
    """Such as `keeps 97.1% of the teacher's accuracy`, or `has 1.03 times the teacher's log loss`."""
    if metric.higher:
        return f"keeps {kept:.1%} of the teacher's {metric.label}"
    return f"has {metric.keeping(1.0, max(kept, 1e-12)):.2f} times the teacher's {metric.label}"


def signed(metric: Metric, difference: float) -> str:
    """A difference of two values, with its sign: in points with two digits, or in the units of the metric."""
    if metric.natural:
        return with_sign(difference)
    return f"{100 * difference:+.2f} points" if metric.percent else f"{difference:+.4f}"


def with_sign(value: float) -> str:
    """With four significant digits."""
    return f"{'+' if value >= 0 else ''}{significant(value)}"


def gained(metric: Metric, gain: float) -> str:
    """A gain, which is positive if the metric is better, with its sign: in points with one digit, or in units of the metric.

    Never a negative zero.
    """
    if metric.natural:
        text = with_sign(gain + 0.0)
    else:
        text = f"{round(100 * gain, 1) + 0.0:+.1f}" if metric.percent else f"{round(gain, 4) + 0.0:+.4f}"
    return text.replace("-", "\u2212")


def gain_unit(metric: Metric) -> str:
    """What gains are counted in: `points`, or the metric itself."""
    return "points" if metric.percent else metric.label if metric.higher else f"less {metric.label}"


def gains_in(metric: Metric, where: str) -> str:
    """What gains are: such as `in points of test accuracy`, `in test macro F1`, or `how much smaller the test log loss is`."""
    if not metric.higher:
        return f"how much smaller the {where} {metric.label} is"
    return f"in {'points of ' * metric.percent}{where} {metric.label}"


def gain_over(metric: Metric, gain: float) -> str:
    """Such as `+1.2 points`, or `+0.0120`."""
    return gained(metric, gain) + " points" * metric.percent


def safe(metric: Metric, bound: float) -> str:
    """A bound, rounded so that it does not promise more: down, or up for a loss."""
    if metric.natural:
        return significant(bound, up=not metric.higher)
    digits = 1000 * bound
    whole = (math.floor(digits) if metric.higher else math.ceil(digits)) / 1000
    return f"{100 * whole:.1f}%" if metric.percent else f"{whole:.3f}"
