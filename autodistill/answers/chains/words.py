"""A plan for a chain as a table and sentences."""

from __future__ import annotations

from typing import Any

from rich.table import Table

Facts = dict[str, Any]


def table(found: Facts) -> Table:
    """All candidates: first those compared to the end, best first."""
    title = (
        f"{found['study']}: {found['architecture']} ({found['params']:,} params) from {found['teacher']['architecture']}; "
        "validation accuracy; gains over direct are paired by seed"
    )
    made = Table(title=title, title_justify="left")
    made.add_column("candidate", overflow="fold")
    for name in ("accuracy", "gain over direct", "95 % interval", "seconds", "marginal", "stages", "seeds"):
        made.add_column(name, justify="right")
    made.add_column("reason", overflow="fold")
    for row in found["candidates"]:
        style = "bold" if row["name"] == found["answer"] else "dim" if row["state"] != "compared" else None
        made.add_row(*_cells(row), style=style)
    return made


def _cells(row: Facts) -> list[str]:
    accuracy, gain = row["accuracy"], row["gain"]
    name = f"{row['name']}, {row['epochs']} epochs" if row["kind"] == "long" else row["name"]
    why = ", ".join(row["why"]) + (f" ({row['state']})" if row["state"] != "compared" else "")
    if accuracy["mean"] is None:
        return [name, "", "", "", "", "", str(row["stages"]), "0", why.strip()]
    mean = f"{accuracy['mean']:.1%}" + ("" if accuracy["deviation"] is None else f" ± {accuracy['deviation']:.1%}")
    is_reference = row["kind"] == "direct"
    gained = "" if is_reference or gain is None else points(gain["mean"])
    sure = "" if is_reference or gain is None or gain["low"] is None else span(gain["low"], gain["high"])
    numbers = [f"{row['seconds']:.1f}", f"{row['marginal']:.1f}", str(row["stages"]), str(accuracy["n"])]
    return [name, mean, gained, sure, *numbers, why.strip()]


def points(share: float) -> str:
    return f"{100 * share:+.2f}"


def span(low: float, high: float) -> str:
    return f"{points(low)} to {points(high)}"


def lines(found: Facts) -> list[str]:
    """The answer first."""
    messages = [sentence(found)]
    row = _row(found, found["chain"])
    if row is not None:
        stages = row["stages"] - 1
        messages.append(f"extra cost   {row['extra']:+.1f} s per seed and {stages} more stage{'s' * (stages != 1)} than direct")
    answer = _row(found, found["answer"])
    if answer is not None and found["why"] != "helps":
        messages.append(f"no assistant {_without(answer)}")
    messages.append(f"teacher      {found['teacher']['accuracy']:.1%} with {found['teacher']['params']:,} params")
    if found["settings"]:
        messages.append("settings     " + ", ".join(f"{name} {_short(value)}" for name, value in found["settings"].items()))
    if any(row["kind"] == "early" for row in found["candidates"]):
        messages.append("earlier      checkpoints of the teacher's training count as free, although they were retrained here")
    if found["cut"]:
        seeds = f"{found['seeds']} seed{'s' * (found['seeds'] > 1)}"
        messages.append(f"time         is up after {seeds}; the same command resumes")
    messages += [f"failed       {key[:8]}: {reason}" for key, reason in found["failures"].items()]
    return messages


def sentence(found: Facts) -> str:
    """The answer in one sentence."""
    if found["chain"] is None:
        return "No assistant: no chain was trained"
    gained = f"{points(found['gain'])} points over direct distillation"
    if found["why"] == "unknown":
        return f"No assistant: the best chain, through {found['chain']}, has {gained}, with too few seeds to test it"
    gained += f" (95 %: {span(found['low'], found['high'])})"
    if found["why"] == "helps":
        return f"Through {found['chain']}: {gained}"
    if found["why"] == "not_significant":
        return f"No assistant: the best chain, through {found['chain']}, has {gained}, which is not significant"
    if found["why"] == "worse":
        return f"No assistant: even the best chain, through {found['chain']}, is worse: {gained}"
    return f"No assistant: the best chain, through {found['chain']}, has {gained}, but {found['answer']} is as accurate"


def _row(found: Facts, name: str | None) -> Facts | None:
    return next((row for row in found["candidates"] if row["name"] == name), None)


def _without(row: Facts) -> str:
    accuracy = f"{row['name']} has {row['accuracy']['mean']:.1%} in {row['seconds']:.1f} s per seed"
    gain = row["gain"]
    if row["kind"] == "direct" or gain is None:
        return accuracy
    if gain["low"] is None:
        return f"{accuracy}, {points(gain['mean'])} points over direct, with one seed"
    includes_zero = gain["low"] <= 0 <= gain["high"]
    note = ", not significant" if includes_zero else ""
    return f"{accuracy}, {points(gain['mean'])} points over direct (95 %: {span(gain['low'], gain['high'])}){note}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
