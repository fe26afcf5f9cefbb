"""The JSON schema of a spec: every key is described, and it agrees with the door, which knows more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import autodistill
from autodistill.cli import main
from autodistill.spec import SpecError, parse
from autodistill.spec.document import Student
from autodistill.spec.json_schema import FILE, SEARCHED, as_text, json_schema
from autodistill.spec.losses import SCHEMAS
from autodistill.spec.reading import from_text, read_yaml

from .test_wrong_specs import BASE, CHANGES, DATASET, RECIPE, STUDENT, TEACHER, TEMPERATURE, TRAINED, WHOLE, WIDTH, changed

ROOT = Path(autodistill.__file__).parent.parent
SHIPPED = sorted([*ROOT.glob("search_spaces/*.yaml"), *ROOT.glob("examples/*/*.yaml")])
SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def read(text: str) -> Any:
    return from_text(text, str)[0]


def why(raw: Any) -> list[str]:
    return [f"{error.json_path}: {error.message:.200}" for error in VALIDATOR.iter_errors(raw)]


def test_it_is_a_schema_of_draft_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMA)


def test_the_command_the_function_and_the_file_give_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    said = capsys.readouterr().out
    assert json.loads(said) == autodistill.schema() == SCHEMA
    assert FILE.read_text() == said == as_text(SCHEMA), f"run: autodistill schema > {FILE}"
    assert main(["schema", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


def keys(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Each key of a mapping that the schema describes, by its place; conditions only say that a key is there."""
    if isinstance(node, list):
        for item in node:
            yield from keys(item, place)
    elif isinstance(node, dict):
        if "properties" in node and node.get("additionalProperties") is False and "minProperties" not in node:
            yield from ((f"{place}.{name}", one) for name, one in node["properties"].items())
        for name, item in node.items():
            yield from keys(item, f"{place}.{name}")


def test_every_key_is_described_with_its_default() -> None:
    found = dict(keys(SCHEMA))
    assert len(found) > 300
    for place, key in found.items():
        text = key.get("description", "")
        assert text.endswith(".") and "\n" not in text, f"{place}: {text!r}"
        default = key.get("default")
        if default not in (None, []) and not isinstance(default, dict):
            assert f"Default: {default if isinstance(default, str) else json.dumps(default)}." in text, place


def test_every_definition_is_used_and_described() -> None:
    text = json.dumps(SCHEMA)
    for name, one in SCHEMA["$defs"].items():
        assert f'"#/$defs/{name}"' in text, name
        assert name.startswith("Domain") or name == "JsonValue" or one["description"]


def test_everything_of_a_student_is_searched() -> None:
    assert {name for model, name in SEARCHED if model == "Student"} == set(Student.model_fields)
    assert {f"{kind.__name__}Searched" for kind in SCHEMAS.values()} <= SCHEMA["$defs"].keys()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_spec_that_is_shipped_is_valid_and_names_the_schema(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    begin, _, place = first.partition("$schema=")
    assert begin == "# yaml-language-server: " and (path.parent / place).resolve() == FILE
    assert why(read_yaml(path)[0]) == []


def test_a_draft_names_the_schema_that_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    rows = "".join(f"{number},{number % 7},{'yes' if number % 2 else 'no'}\n" for number in range(60))
    (tmp_path / "t.csv").write_text(f"a,b,label\n{rows}")
    for to in ("t.yaml", "deep/t.yaml"):
        spec = autodistill.init(tmp_path / "t.csv", to=to).path
        first = spec.read_text().partition("\n")[0]
        assert (spec.parent / first.partition("$schema=")[2]).resolve() == FILE
        assert why(read_yaml(spec)[0]) == []


TOGETHER = "only the door compares values with each other"
SAME = "JSON does not tell 2 from 2.0"
FREE = "the arguments of other people's functions may be anything"
OF_DOMAINS = "which end is larger, and by how much, is a comparison"
OPTIONS = "only the door tries all options of what may be left out"
ONLY_THE_DOOR: dict[tuple[str, str], str] = {
    ("search.trials", "trials: 2.0"): SAME,
    ("teacher.recipe.learning_rate", ".nan"): "JSON has no NaN",
    ("task.split", "validation: 0.5, test: 0.5"): TOGETHER,
    ("search.objectives", "[f1, params]"): TOGETHER,
    ("student.loss.kd.temperature.log", "{log: [1, 1.0000000000001]}"): OF_DOMAINS,
    ("student.loss.kd.temperature.log", "{log: [16, 1]}"): OF_DOMAINS,
    ("student.architecture.width.int", "{int: [4, 1]}"): OF_DOMAINS,
    (
        "student.loss.kd.temperature.log",
        "loss: {ce: {weight: rest}, kd: {optional: true, temperature: {log: [4, 1]}}}\n",
    ): OF_DOMAINS,
    (
        "student.architecture.arguments",
        f"{{family: timm, name: resnet18, arguments: {{width: {10**401}}}}}",
    ): FREE,
    (
        "student.architecture.arguments",
        "{family: timm, name: vit_tiny_patch16_224, arguments: {depth: 1000000000}}",
    ): FREE,
    ("resources.cache_limit", f"{'9' * 400} GB"): "a pattern does not multiply",
    ("student.loss", "1.5"): TOGETHER,
    ("student.loss", "{uniform: [0, 1.5]}"): TOGETHER,
    ("student.loss", "rest"): TOGETHER,
    ("student.loss", "loss: {ce: {weight: 0}}\n"): TOGETHER,
    ("student.loss", "loss: {ce: {weight: rest}, kd: {optional: true, weight: 1.5}}\n"): TOGETHER,
    ("student.loss", "loss: {kd: {optional: true}}\n"): OPTIONS,
    ("student.loss.attention", "loss: {attention: {relation_heads: 2}}\n"): TOGETHER,
    ("student.loss.attention", "loss: {attention: {kind: maps, between: [keys]}}\n"): TOGETHER,
    ("assistants.at_most", "at_most: 3"): TOGETHER,
    ("assistants.at_least", "at_most: 1\n  at_least: 2"): TOGETHER,
}
"""The wrong values that a schema cannot know about, by the path of the error and what is written, with the reason."""


def test_the_wrong_values_of_the_tests_are_refused_by_the_schema_or_listed() -> None:
    accepted = {(path, new) for old, new, path, _ in CHANGES if VALIDATOR.is_valid(read(changed(old, new)[0]))}
    assert accepted == ONLY_THE_DOOR.keys()


RIGHT: list[tuple[str, str]] = [
    # domains, wherever the door takes them
    (STUDENT, "{family: {choice: [resnet, convnet]}, depth: 1, width: 4}"),
    (STUDENT, "{choice: [{family: mlp, depth: 1, width: {int: [1, 4]}}, {family: resnet, depth: 1, width: 2}]}"),
    (STUDENT, "{family: {choice: [{choice: [resnet, mlp]}, convnet]}, depth: 1, width: {choice: [2, {int: [3, 5]}]}}"),
    (
        STUDENT,
        "{import: a.b:c, hidden: {int: [1, 4]}, more: {deep: [{choice: [a, {b: {log: [1, 2]}}]}]}, version: {choice: [1, a]}}",
    ),
    (STUDENT, "{family: timm, name: {choice: [resnet18, resnet34]}, arguments: {drop_rate: {uniform: [0, 0.5]}}}"),
    (STUDENT, "{family: mlp, depth: {choice: [1, {choice: [2, 3]}]}, width: 4, embedding: {choice: [null, 4]}}"),
    (
        STUDENT,
        "{family: transformers, layers: {int: [1, 2]}, heads: 2, head_width: 8, vocabulary: {choice: [used, {int: [2, 9]}]}}",
    ),
    (STUDENT, "{family: vit, depth: 1, heads: {int: [1, 3]}, mlp_ratio: {int: [2, 4]}}"),
    (STUDENT, "{like: teacher}"),
    (STUDENT, "{like: teacher, depth: [0.5, 1], width: [0.1, 0.5]}"),
    (WIDTH, "{int: [4, 4]}"),
    (WIDTH, "{choice: [1, 2, 8]}"),
    (TEMPERATURE, "{uniform: [1, 4]}"),
    (TEMPERATURE, "{choice: [1, {log: [2, 4]}]}"),
    (WHOLE, "loss: {choice: [{ce: {}}, {kd: {weight: 0.5}, ce: {weight: rest}}]}\n"),
    (WHOLE, "loss: {ce: {}, kd: {optional: true, weight: {log: [0.1, 10]}}, hint: {choice: [null, {layers: [0.5]}]}}\n"),
    (WHOLE, "loss: {ce: {}, kd: {choice: [{optional: true}, {temperature: 4}]}, mlm: null}\n"),
    (WHOLE, "loss: {kd: {weight: {choice: [rest, 0.5]}}, balance: {choice: [null, initial]}}\n"),
    (WHOLE, "loss: {hint: {layers: {choice: [[0.5], [{uniform: [0.1, 1]}, {student: a, teacher: b}]]}}}\n"),
    (WHOLE, "loss: {ce: {class_weights: {choice: [balanced, [1, 2.5]]}}}\n"),
    (WHOLE, "loss: {attention: {kind: relations, between: [keys, {choice: [queries, values]}]}}\n"),
    (WHOLE, f"{WHOLE}  init: {{choice: [random, from_teacher, {{layers: [0, 1]}}]}}\n"),
    (WHOLE, f"{WHOLE}  pretrain: {{optional: true, loss: {{mlm: {{}}, hint: {{optional: true}}}}, recipe: {{epochs: 1}}}}\n"),
    ("epochs: 2, batch_size: 16", "epochs: {int: [1, 2]}, augmentation: {choice: [null, {flip: true, crop: {int: [0, 2]}}]}"),
    ("epochs: 2,", "epochs: 2, augmentation: {mixup: 0.2}, views: {choice: [fresh, 3]},"),
    ("at_most: 1", "at_most: 1\n  guidance: {choice: [serial, dense]}"),
    # teachers
    (TRAINED, "  import: a.b:c\n"),
    (TRAINED, "  import: a.b:c\n  arguments: {a: [1, {b: null}]}\n  recipe: null\n"),
    (TRAINED, f"  checkpoint: a.pth\n  architecture: {TEACHER}\n  normalize: {{mean: [0.5], std: [1], scale: 255}}\n"),
    (TRAINED, "  checkpoint: a/stages/b\n"),
    (TRAINED, f"{TRAINED}  checkpoint: a.pth\n  loss: {{ce: {{label_smoothing: 0.1}}, kd: null}}\n"),
    (TRAINED, "  architecture: {family: timm, name: resnet18}\n  pretrained: true\n"),
    (TRAINED, f"  architecture: {{family: timm, name: resnet18}}\n  pretrained: true\n{RECIPE}"),
    (TRAINED, f"  ensemble: [{{import: a:b}}, {{architecture: {TEACHER}, recipe: {{epochs: 1}}, pretrained: false}}]\n"),
    # forms of other keys
    (DATASET, "dataset: {import: a:b, arguments: {n: 3}}"),
    (DATASET, "dataset: A.CSV.GZ\n  text: [a, b]\n  tokenizer: {train: bpe}"),
    (DATASET, "dataset: ../images\n  image_size: [8, 9]\n  channels: 3"),
    (DATASET, "dataset: torch/mnist"),
    (
        DATASET,
        "dataset: t.csv\n  label: y\n  features: {except: [id]}\n  columns: {a: 'date %d/%m/%Y', b: calendar}\n  separator: ;",
    ),
    (
        DATASET,
        f"{DATASET}\n  inputs: {{x: {{dtype: int64, padding: -1}}}}\n  also: [f1_macro, {{import: a:b, bounded: [0, 1]}}]",
    ),
    ("trials: 2\n  objectives: [accuracy, params]", "time: 1.5h"),
    ("trials: 2", "trials: null\n  stop: {gain: 0.01}\n  halving: false\n  region: all\n  target: 0.9"),
    ("trials: 2", "trials: 3\n  enqueue: [{architecture.width: 2}]\n  incumbent: {checkpoint: a.pth, architecture: null}"),
    ("at_most: 1", "at_most: 0"),
    ("1 MB", "10GiB"),
    ("1 MB", "5000"),
    ("gpus: 0", "gpus: 0.25"),
    ("gpus: 0", "gpus: 2.0"),
    ("study: tiny", "study: tiny\nlog: mlflow\nbaselines: [tf_idf_linear]\nmodules: [src]"),
    ("study: tiny", "study: tiny\nlog: [tensorboard, wandb]"),
    ("study: tiny", "study: tiny\nlog: {wandb: {mode: offline}, mlflow: null}"),
]


@pytest.mark.parametrize(("old", "new"), RIGHT, ids=[new[:50] for _, new in RIGHT])
def test_what_the_door_takes_is_valid(old: str, new: str) -> None:
    raw = read(changed(old, new)[0])
    parse(raw)
    assert why(raw) == []


WRONG: list[tuple[str, str]] = [
    (STUDENT, "{choice: [{like: teacher}]}"),
    (STUDENT, "{like: student}"),
    (STUDENT, "{like: teacher, depth: [0, 1]}"),
    (STUDENT, "{import: a.b:c, hidden: {int: [1, two]}}"),
    (STUDENT, "{import: a.b, hidden: 3}"),
    (TEACHER, "{import: a.b:c, hidden: {choice: [1, 2]}}"),
    (STUDENT, "{family: {choice: [resnet, convnet]}, depht: 1, width: 4}"),
    (WHOLE, "loss: {ce: {}, mlm: {}}\n"),
    (WHOLE, "loss: {balance: initial}\n"),
    (WHOLE, "loss: {attention: {kind: relations, between: []}}\n"),
    (WHOLE, f"{WHOLE}  pretrain: {{loss: {{hint: {{}}}}, recipe: {{epochs: 1}}}}\n"),
    (WHOLE, f"{WHOLE}  pretrain: {{loss: {{mlm: {{}}, kd: {{}}}}, recipe: {{epochs: 1}}}}\n"),
    ("epochs: 2,", "epochs: 2, augmentation: {},"),
    (TRAINED, "  ensemble: [{import: a:b}]\n"),
    (TRAINED, f"{TRAINED}  pretrained: yes\n"),
    (TRAINED, "  checkpoint: ''\n"),
    ("trials: 2", "time: 0s"),
    ("trials: 2", "time: 90"),
    ("study: tiny", "study: tiny\nlog: comet"),
    ("study: tiny", "study: tiny\nbaselines: [tf_idf_linear, tf_idf_linear]"),
    ("at_most: 1", "at_most: 1\n  guidance: {choice: [serial, deep]}"),
    (DATASET, f"{DATASET}\n  columns: {{a: money}}"),
    (DATASET, f"{DATASET}\n  text: [a, b, c]"),
    (DATASET, f"{DATASET}\n  kind: detection"),
]


@pytest.mark.parametrize(("old", "new"), WRONG, ids=[new[:50] for _, new in WRONG])
def test_what_a_schema_can_know_it_refuses_as_the_door_does(old: str, new: str) -> None:
    raw = read(changed(old, new)[0])
    with pytest.raises(SpecError):
        parse(raw)
    assert why(raw)


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70000)
    | st.floats(-2, 2)
    | st.sampled_from(["rest", "auto", "fresh", "mlp", "1h"])
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["int", "uniform", "log", "choice", "weight", "family", "import"]), inner, max_size=2)
    ),
    max_leaves=4,
)
KNOWN = sorted({place.rpartition(".")[2] for place, _ in keys(SCHEMA)})
DOCUMENTS = [read(BASE), *(read_yaml(path)[0] for path in SHIPPED if path.stem != "wordnet_text")]
"""Without the one whose teacher is a folder."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(item, (*path, key))


def mutated(data: st.DataObject) -> Any:
    """A document with one value replaced, removed or added."""
    raw = json.loads(json.dumps(data.draw(st.sampled_from(DOCUMENTS))))
    *above, last = data.draw(st.sampled_from(list(places(raw))))
    inside = raw
    for part in above:
        inside = inside[part]
    if isinstance(inside, dict) and data.draw(st.booleans()):
        del inside[last]
        last = data.draw(st.sampled_from(KNOWN))
    inside[last] = data.draw(VALUES)
    return raw


@settings(max_examples=100)
@given(st.data())
def test_whatever_the_schema_refuses_the_door_refuses_too(data: st.DataObject) -> None:
    raw = mutated(data)
    found = why(raw)
    if found:
        with pytest.raises(SpecError):
            parse(raw)
            pytest.fail(f"the door takes what the schema refuses: {found}\n{json.dumps(raw)}")
