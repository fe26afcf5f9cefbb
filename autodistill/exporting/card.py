"""The model card: one Markdown page for the users of the network.

After Mitchell et al., "Model cards for model reporting", FAT* 2019: what it is, what it was measured on, and what not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..answers import later
from .formats import FORMATS

Facts = Mapping[str, Any]


def card(found: Facts) -> str:
    """The page; every number in it comes from the facts."""
    parts = [_what, _use, _files, _accuracy, _classes, _speed, _chain, _training, _data, _limits, _license, _made]
    return "\n\n".join("\n".join(part(found)) for part in parts) + "\n"


def plain(text: object) -> str:
    """A name from a spec, escaped for Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&$@])", r"\\\1", " ".join(str(text).split()))


def _what(found: Facts) -> list[str]:
    origin = {
        "teachers": f"distilled along the chain {plain(found['line'])}",
        "labels": "trained from labels, without a teacher",
        "outside": "imported as it was, not trained here",
    }
    data, shape = found["data"], "x".join(map(str, found["data"]["shape"]))
    lines = [
        f"# {plain(found['study'])}: {plain(found['architecture'])}",
        "",
        f"A classifier of {data['classes']:,} classes for samples of shape {shape}, {origin[found['from']]}. Its stage in the "
        f"study {plain(found['study'])} is `{found['stage']}`.",
    ]
    if found["claim"]:
        lines += ["", f"It is the answer of `autodistill smallest`. {plain(found['claim'])}."]
    sizes = [("parameters", "params"), ("multiply-adds for one sample", "macs"), ("bytes in float32", "bytes")]
    rows = [(name, f"{found[key]:,}") for name, key in [*sizes, ("bytes in float16", "bytes_float16")]]
    return [*lines, "", *_table(("size", ""), rows, right=1)]


def _use(found: Facts) -> list[str]:
    data, shape = found["data"], ", ".join(map(str, found["data"]["shape"]))
    whole = "; bytes are numbers from 0 to 255" if data["dtype"] == "uint8" else ""
    numbered = "in the order of the folders' names" if data["kind"] == "folder" else "as in the data"
    normal = "standardizes them itself, so do not scale them" if found["normalizes"] else "uses them as they are"
    return [
        "## Input and output",
        "",
        f"- `x`: float32, shape (batch, {shape}), channels first, any batch size. Pass the raw numbers of the data "
        f"({data['dtype']} there){whole}. The network {normal}.",
        f"- `logits`: float32, shape (batch, {data['classes']}). The largest one gives the predicted class; "
        f"classes are numbered from 0, {numbered}. Apply softmax to get probabilities.",
        "",
        "`example.py` shows how to run each file.",
    ]


def _files(found: Facts) -> list[str]:
    counted = ("bytes", "correct", "flipped")
    rows = [
        (f"`{name}`", FORMATS[name].loaded_by, *(f"{one[key]:,}" for key in counted), f"{one['largest']:.2g}")
        for name, one in found["formats"].items()
    ]
    n = found["data"]["validation"]
    heads = ("file", "loaded by", "bytes", f"correct of {n:,}", "different predictions", "largest difference")
    lines = [
        "## Files",
        "",
        f"Each file was loaded and run on all {n:,} validation samples. Correct predictions are those of the file; "
        "predictions and logits are compared with those of the study's PyTorch network on the CPU.",
        "",
        *_table(heads, rows, right=2),
    ]
    lines += ["", *_flips(found)] if any(one["flipped"] for one in found["formats"].values()) else []
    left = [f"- `{name}` is left out: {plain(why)}" for name, why in found["left_out"].items()]
    return lines + ([""] if left else []) + left


def _flips(found: Facts) -> list[str]:
    return [
        f"- `{name}` predicts another class for {one['flipped']:,} of {one['n']:,} samples: their two largest logits "
        "differ by less than rounding."
        for name, one in found["formats"].items()
        if one["flipped"]
    ]


def _accuracy(found: Facts) -> list[str]:
    own, test = found["validation"], found["test"]
    rows = [("validation", *_share(own)), *([("test", *_share(test))] if test else [])]
    heads = ("samples", "correct", "of", "accuracy", "95 % interval", "calibration error")
    lines = ["## Accuracy", "", *_table(heads, rows)]
    good = "Networks of a study are chosen by their validation accuracy, which is therefore slightly optimistic."
    lines += ["", f"{good} {_tested(test)}"]
    if own["recorded"] != own["correct"]:
        lines += ["", f"Where it was trained, {own['recorded']:,} of {own['n']:,} validation predictions were correct."]
    if test and "agreement" in test and found["stage"] != found["teacher"]["chosen"]:
        lines += ["", f"On the test samples, it agrees with the teacher in {test['agreement']:.1%} of the cases."]
    return lines


def _tested(test: Facts | None) -> str:
    if test is None:
        return "This network was not tested on the test samples."
    return "The test accuracy was measured for this frozen file."


def _share(one: Facts) -> tuple[str, ...]:
    error = f"{one['calibration_error']:.3f}" if "calibration_error" in one else ""
    return f"{one['correct']:,}", f"{one['n']:,}", f"{one['accuracy']:.1%}", f"{one['low']:.1%} to {one['high']:.1%}", error


def _classes(found: Facts) -> list[str]:
    test = found["test"]
    if not test or "by_class" not in test:
        classes = found["validation"]["by_class"]
        rows = [(_called(part), f"{part['n']:,}", f"{part['accuracy']:.1%}") for part in classes]
        return ["## Accuracy by class", "", "On the validation samples:", "", *_table(("class", "samples", "accuracy"), rows)]
    worst = test["worst_drop"]
    lines = ["## Accuracy by class", "", "On the test samples:", "", *_beside(test["by_class"], "class")]
    if worst["drop"] > 0:
        lines += ["", f"The largest drop below the teacher is {worst['drop']:.1%} in class {_called(worst)}."]
    elif found["stage"] != found["teacher"]["chosen"]:
        lines += ["", "It is below the teacher in no class."]
    return lines + (["", "By group:", "", *_beside(test["by_group"], "group")] if test["by_group"] else [])


def _called(part: Facts) -> str:
    """A class by its number and, where it has one, its name."""
    named = part["name"] != str(part["class"])
    return plain(f"{part['class']}: {part['name']}" if named else part["class"])


def _beside(parts: Sequence[Facts], name: str) -> list[str]:
    called = [_called(one) if name == "class" else plain(one[name]) for one in parts]
    shares = [(f"{one['n']:,}", f"{one['accuracy']:.1%}", f"{one['teacher']:.1%}") for one in parts]
    rows = [(first, *rest) for first, rest in zip(called, shares, strict=True)]
    return _table((name, "samples", "accuracy", "teacher"), rows)


def _speed(found: Facts) -> list[str]:
    rows = [
        (one["runs"], plain(one["device"]), one["threads"], times["batch"], f"{times['p50_ms']:.3f}", f"{times['p95_ms']:.3f}")
        for one in found["latency"]
        for times in (one["one"], one["batched"])
    ]
    heads = ("run by", "on", "threads", "samples", "median ms", "95th percentile ms")
    return ["## Latency", "", "Time of one call, measured when the files were written:", "", *_table(heads, rows, right=2)]


def _chain(found: Facts) -> list[str]:
    rows = [
        (plain(one["architecture"]), f"`{one['stage'][:12]}`", f"{one['params']:,}", *_shares(one)) for one in found["chain"]
    ]
    heads = ("network", "stage", "parameters", "validation accuracy", "test accuracy")
    return ["## Chain", "", "From the first teacher to this network:", "", *_table(heads, rows, right=2)]


def _shares(link: Facts) -> tuple[str, str]:
    return f"{link['accuracy']:.1%}", f"{link['test']['accuracy']:.1%}" if link["test"] else "not known"


def _training(found: Facts) -> list[str]:
    if found["loss"] is None:
        return ["## Training", "", "It was imported; how it was trained is unknown."]
    terms = [f"- {name}: {plain(_words(term))}" for name, term in found["loss"].items() if isinstance(term, dict)]
    others = {name: value for name, value in found["loss"].items() if not isinstance(value, dict) and name != "version"}
    terms += [f"- {plain(_words(others))}"] if others else []
    terms += ["", f"Initial weights: copied from {plain(found['init'])}."] if found["init"] else []
    trained = plain(_words(found["environment"])) if found["environment"] else "unknown"
    recipe = plain(_words(found["recipe"]))
    return ["## Training", "", "Loss, a weighted sum of:", "", *terms, "", f"Recipe: {recipe}; seed {found['seed']}.", ""] + [
        f"Trained with: {trained}."
    ]


def _words(values: Facts) -> str:
    """Such as `weight 0.9, temperature 4`; versions of our own code are omitted."""
    shown = {name: f"({_words(value)})" if isinstance(value, dict) else value for name, value in values.items()}
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in shown.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items() if name != "version")


def _data(found: Facts) -> list[str]:
    data = found["data"]
    unlabeled = f" and {data['unlabeled']:,} without labels" if data["unlabeled"] else ""
    test = "sealed, size not read" if data["test"] is None else f"{data['test']:,} samples"
    own = ", the data set's own" if data["own_test"] else ""
    return [
        "## Data",
        "",
        f"- data set: {plain(data['name'])}, {data['classes']:,} classes",
        f"- fingerprint of training and validation samples: `{data['fingerprint']}`",
        f"- training: {data['train']:,} samples{unlabeled}; validation: {data['validation']:,} samples; test: {test}{own}",
        f"- split: {plain(_words(data['split']))}, stratified by class",
    ]


def _limits(found: Facts) -> list[str]:
    opened, classes = found["opened"], found["data"]["classes"]
    forced = sum(one["forced"] for one in opened)
    times = f"{len(opened)} time{'s' * (len(opened) != 1)}"
    too_good = "accuracies on it are optimistic, and no confidence holds"
    again = f", {forced} of them by force for other networks than before: {too_good}" if forced else ""
    lines = [
        "## Limits",
        "",
        "- It was measured only on samples of this data set, not on data of another source, time, or device.",
        f"- It always predicts one of its {classes:,} classes, even for a sample of none of them.",
        "- It was run in float32 only; the size in float16 is computed, not tested.",
        f"- The test split was opened {times} in this study{again}.",
    ]
    if found["later"]:
        lines.append(f"- {later(found['later'])}.")
    if found["test"] is None:
        lines.append("- It was not tested on the test samples: all accuracies here are validation accuracies.")
    if not (found["test"] or {}).get("by_group"):
        lines.append("- Accuracies by group of samples were not measured.")
    if "model.pt2" in found["formats"]:
        lines.append(f"- `model.pt2` is guaranteed to load only in torch {plain(found['versions']['torch'])}.")
    return lines


def _license(found: Facts) -> list[str]:
    return ["## License", "", "To be filled in by you: the licenses of the data and of the teacher's weights may apply."]


def _made(found: Facts) -> list[str]:
    versions = ", ".join(f"{name} {plain(version)}" for name, version in found["versions"].items())
    return [
        "## How it was made",
        "",
        f"These commands create the weights, then the files ({versions}):",
        "",
        *_fenced(found["again"]),
    ]


def _fenced(lines: Iterable[str]) -> list[str]:
    """Code, within a fence that is longer than any in it."""
    code = "\n".join(lines)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))
    return [fence, code, fence]


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], right: int = 1) -> list[str]:
    """Columns from `right` on are aligned to the right."""
    rule = [":---" if place < right else "---:" for place in range(len(heads))]
    return [f"| {' | '.join(map(str, row))} |" for row in (heads, rule, *rows)]
