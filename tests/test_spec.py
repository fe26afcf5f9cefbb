"""Facts of the frozen values, their keys, the trees of domains, and the door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from autodistill.spec import (
    MLP,
    Attention,
    Checkpoint,
    CrossEntropy,
    DataError,
    Decoupled,
    Dist,
    Hint,
    LossSpec,
    Network,
    Pair,
    Recipe,
    ResNet,
    SoftTargets,
    Spec,
    SpecError,
    Split,
    Stage,
    Task,
    Timm,
    chain,
    load,
    parse,
    resolve,
)
from autodistill.spec.architectures import ARCHITECTURE
from autodistill.spec.domains import Choice, Int, Log, Uniform, domains, fill, match, plain, probes
from autodistill.spec.losses import LOSS
from autodistill.spec.recipe import RECIPE as RECIPES
from autodistill.spec.shorthand import with_optionals
from autodistill.spec.trees import searchable

DIGITS = Path(__file__).parent.parent / "search_spaces" / "digits.yaml"
NETWORK: TypeAdapter[Any] = TypeAdapter(Network)
TASK = Task(data="0" * 64, split=Split())
RECIPE = Recipe(epochs=2, precision="float32")
KD = LossSpec(ce=CrossEntropy(weight=0.1), kd=SoftTargets(weight=0.9))


TERM_NAMES = [name for name in LossSpec.model_fields if name not in ("balance", "drop_teachers")]


def stage(width: int = 8, teachers: tuple[Any, ...] = (), **changes: Any) -> Stage:
    loss = KD if teachers else LossSpec(ce=CrossEntropy())
    fields = {"task": TASK, "architecture": MLP(depth=1, width=width), "loss": loss, "recipe": RECIPE, "seed": 0}
    return Stage(**(fields | {"teachers": teachers} | changes))


def long_chain(**changes: Any) -> Stage:
    """A student two stages below a teacher that takes `changes`."""
    return stage(2, (stage(4, (stage(8, **changes),)),))


def checkpoint(**changes: Any) -> Checkpoint:
    return Checkpoint(**({"task": TASK, "architecture": MLP(depth=1, width=8), "weights": "a"} | changes))


CHANGES: dict[str, dict[str, Any]] = {
    "data": {"task": Task(data="1" * 64, split=Split())},
    "the split's seed": {"task": Task(data="0" * 64, split=Split(seed=1))},
    "the split's shares": {"task": Task(data="0" * 64, split=Split(test=0.2))},
    "samples": {"task": Task(data="0" * 64, split=Split(), samples=100)},
    "width": {"architecture": MLP(depth=1, width=9)},
    "family": {"architecture": ResNet(depth=1, width=8)},
    "weight": {"loss": LossSpec(ce=CrossEntropy(weight=0.5))},
    "epochs": {"recipe": RECIPE.model_copy(update={"epochs": 3})},
    "precision": {"recipe": RECIPE.model_copy(update={"precision": "bfloat16"})},
    "schedule": {"recipe": RECIPE.model_copy(update={"schedule": "cosine"})},
    "seed": {"seed": 1},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_teachers_change_reaches_the_students_key(name: str) -> None:
    assert long_chain(**CHANGES[name]).key() != long_chain().key()


def test_all_changes_give_different_keys() -> None:
    keys = [long_chain(**changes).key() for changes in CHANGES.values()]
    assert len({*keys, long_chain().key(), stage().key(), stage(4, (stage(),)).key()}) == len(CHANGES) + 3


def test_equal_stages_have_equal_keys() -> None:
    assert long_chain() == long_chain() and long_chain().key() == long_chain().key()
    assert stage(2, (checkpoint(),)).key() == stage(2, (checkpoint(),)).key()
    assert stage(2, (checkpoint(),)).key() != stage(2, (checkpoint(weights="b"),)).key()


def test_the_order_of_teachers_counts() -> None:
    first, second = stage(8), stage(16)
    assert stage(2, (first, second)).key() != stage(2, (second, first)).key()


def test_numbers_are_normalized_by_declared_type() -> None:
    assert Recipe(epochs=2, learning_rate=1, precision="float32") == Recipe(epochs=2, learning_rate=1.0, precision="float32")
    whole, real = (LossSpec(ce=CrossEntropy(), kd=SoftTargets(temperature=t)) for t in (4, 4.0))
    assert stage(2, (stage(),), loss=whole).key() == stage(2, (stage(),), loss=real).key()


def test_unset_optional_fields_are_left_out() -> None:
    identity = json.dumps(stage().identity())
    assert "samples" not in identity and "momentum" not in identity and '"kd"' not in identity
    assert '"weight_decay": 0.01' in identity, "a default is written out"


def test_defaults_equal_what_is_written() -> None:
    written = Recipe(epochs=2, batch_size=64, learning_rate=0.003, optimizer="adamw", weight_decay=0.01, precision="float32")
    assert stage(recipe=written).key() == stage().key()
    assert Recipe(epochs=1, optimizer="sgd") == Recipe(epochs=1, optimizer="sgd", momentum=0.9)


@given(st.floats(0, 1))
def test_rest_equals_the_number(weight: float) -> None:
    rest = LossSpec(ce=CrossEntropy(weight="rest"), kd=SoftTargets(weight=weight)).resolved()
    assert all(isinstance(term.weight, float) and term.weight > 0 for term in rest.terms().values())
    assert sum(float(term.weight) for term in rest.terms().values()) == pytest.approx(1)


def test_rest_resolved_gives_the_key_of_the_written_number() -> None:
    rest = LossSpec(ce=CrossEntropy(weight="rest"), kd=SoftTargets(weight=0.9)).resolved()
    assert rest == KD and stage(2, (stage(),), loss=rest).key() == stage(2, (stage(),)).key()


@pytest.mark.parametrize(
    "others", [{}, {"hint": Hint(weight=1000.0)}, {"dkd": Decoupled(weight=2.0), "dist": Dist(weight=2.0)}]
)
def test_rest_is_one_minus_the_weight_of_kd_alone(others: dict[str, Any]) -> None:
    """Weights of the other terms are on scales of their own."""
    assert LossSpec(ce=CrossEntropy(weight="rest"), kd=SoftTargets(weight=0.9), **others).resolved().ce == CrossEntropy(
        weight=0.1
    )
    assert LossSpec(ce=CrossEntropy(weight="rest"), **others).resolved().ce == CrossEntropy(weight=1.0)
    rest = LossSpec(ce=CrossEntropy(weight=0.25), kd=SoftTargets(weight="rest"), **others).resolved()
    assert rest.kd == SoftTargets(weight=0.75)


def test_what_is_no_term_is_kept_beside_them() -> None:
    loss = LossSpec(ce=CrossEntropy(weight=0), kd=SoftTargets(), balance="initial", drop_teachers=0.5)
    assert loss.terms().keys() == {"ce", "kd"}
    assert loss.resolved() == LossSpec(kd=SoftTargets(), balance="initial", drop_teachers=0.5)


def test_which_terms_need_teachers_and_features() -> None:
    needs = {name: LossSpec(**{name: {}}).needs_features() for name in TERM_NAMES}
    assert {name for name, needed in needs.items() if needed} == {"hint", "attention", "relational", "similarity", "cosine"}
    assert [name for name in TERM_NAMES if not LossSpec(**{name: {}}).needs_teachers()] == ["ce", "mse", "mlm"]


def test_terms_of_weight_zero_are_left_out() -> None:
    resolved = LossSpec(ce=CrossEntropy(weight="rest"), kd=SoftTargets(weight=0)).resolved()
    assert resolved == LossSpec(ce=CrossEntropy(weight=1.0)) and not resolved.needs_teachers()


def test_values_are_frozen_and_strict() -> None:
    with pytest.raises(ValidationError):
        stage().seed = 1  # type: ignore[misc]
    for wrong in ({"depth": 1.0, "width": 2}, {"depth": "1", "width": 2}, {"depth": True, "width": 2}, {"depth": 1}):
        with pytest.raises(ValidationError):
            MLP(**wrong)


def test_a_stage_with_a_term_on_teachers_has_one() -> None:
    for wrong in ({"loss": KD}, {"teachers": (stage(),), "loss": LossSpec(ce=CrossEntropy())}):
        with pytest.raises(ValidationError, match="needs a teacher"):
            stage(**wrong)


HINTED = LossSpec(
    kd=SoftTargets(warm_up=0.1),
    hint=Hint(layers=(0.5, Pair(student="a", teacher="b"))),
    attention=Attention(kind="relations", relation_heads=4),
    drop_teachers=0.5,
)


def test_whatever_a_loss_says_is_in_the_key() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"balance": "initial"},
        {"drop_teachers": 0.25},
        {"kd": SoftTargets(warm_up=0.2)},
        {"hint": Hint(layers=(0.5, Pair(student="a", teacher="c")))},
        {"hint": Hint()},
        {"attention": Attention(kind="relations")},
    ]
    keys = [stage(2, (stage(),), loss=HINTED.model_copy(update=change)).key() for change in changes]
    assert len(set(keys)) == len(changes)


@pytest.mark.parametrize(
    "network",
    [stage(), long_chain(), stage(2, (checkpoint(),)), checkpoint(), stage(2, (stage(),), loss=HINTED)],
)
def test_json_round_trip(network: Any) -> None:
    again = NETWORK.validate_json(json.dumps(network.model_dump(mode="json")))
    assert again == network and again.key() == network.key()


def test_ancestors_stand_once_teachers_first() -> None:
    top = stage(16)
    left, right = stage(8, (top,)), stage(4, (top,))
    assert stage(2, (left, right)).ancestors() == [top, left, right]
    assert chain(stage(2, (left,))) == "mlp depth=1 width=16 > mlp depth=1 width=8 > mlp depth=1 width=2"


# Trees of domains.


def tree_of(raw: Any) -> Any:
    return searchable(raw, TypeAdapter(Any))


NAMES = st.sampled_from(["depth", "width", "weight", "layers", "a.b", "c[0]"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.sampled_from(["x", "rest", ""]))
FLOATS = st.floats(1e-3, 1e3)
INTS = st.tuples(st.integers(-9, 9), st.integers(0, 5)).map(lambda pair: Int(low=pair[0], high=sum(pair)))
ENDS = st.tuples(FLOATS, FLOATS).filter(lambda pair: not 0 < abs(pair[0] - pair[1]) < 1e-9 * max(pair))  # too narrow
UNIFORMS = ENDS.map(lambda pair: Uniform(low=min(pair), high=max(pair)))
LOGS = ENDS.map(lambda pair: Log(low=min(pair), high=max(pair)))


def distinct(options: list[Any]) -> tuple[Any, ...]:
    return tuple(option for index, option in enumerate(options) if option not in options[:index])


def branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=3).map(tuple)
    choices = st.lists(inner, min_size=1, max_size=3).map(lambda options: Choice(options=distinct(options)))
    return st.one_of(st.dictionaries(NAMES, inner, max_size=3), lists, choices)


TREES = st.recursive(st.one_of(SCALARS, INTS, UNIFORMS, LOGS), branches, max_leaves=12)


def assignments(tree: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({path: values(domain) for path, domain in domains(tree).items()})


def values(domain: Any) -> st.SearchStrategy[Any]:
    if isinstance(domain, Choice):
        return st.sampled_from(domain.values())
    between = st.integers if isinstance(domain, Int) else st.floats
    return between(domain.low, domain.high)


@given(TREES)
def test_plain_and_parse_are_inverse(tree: Any) -> None:
    assert tree_of(plain(tree)) == tree
    assert tree_of(json.loads(json.dumps(plain(tree)))) == tree


@settings(max_examples=300)
@given(st.data())
def test_match_finds_what_fill_used(data: st.DataObject) -> None:
    tree = data.draw(TREES)
    params = data.draw(assignments(tree))
    filled = fill(tree, params)
    found = match(tree, filled)
    assert found is not None and fill(tree, params | found) == filled


@given(TREES)
def test_probes_visit_every_end(tree: Any) -> None:
    seen = probes(tree)
    for path, domain in domains(tree).items():
        assert {repr(end) for end in domain.ends()} <= {repr(params[path]) for params in seen}
    for params in seen:
        fill(tree, params)


def test_paths_of_domains() -> None:
    raw = {"architecture": {"choice": [{"width": {"int": [1, 3]}}, {"layers": [{"choice": [1, 2]}]}]}, "t": {"log": [1, 4]}}
    found = domains(tree_of(raw))
    assert found.keys() == {"architecture", "architecture{0}.width", "architecture{1}.layers[0]", "t"}
    assert found["t"] == Log(low=1, high=4) and found["architecture{0}.width"] == Int(low=1, high=3)


def test_match_refuses_what_the_tree_cannot_give() -> None:
    tree = tree_of({"depth": {"int": [1, 3]}, "family": "mlp"})
    assert match(tree, {"depth": 2, "family": "mlp", "more": 1}) == {"depth": 2}
    for value in ({"depth": 4, "family": "mlp"}, {"depth": 2, "family": "resnet"}, {"depth": 2}, 3):
        assert match(tree, value) is None


def test_match_takes_the_option_that_says_most() -> None:
    """A field that an option leaves out has its default, which the other options may not mean."""
    tree = tree_of({"choice": [{"depth": 2}, {"depth": 2, "hidden": 8}]})
    assert match(tree, {"depth": 2, "hidden": 8}) == {"": 1}
    assert match(tree, {"depth": 2, "hidden": 0}) == {"": 0}


def test_equal_options_of_a_choice_are_refused() -> None:
    """True equals 1: which of them a parameter means could not be told."""
    for options in ([1, 1], [1, True], [1, 1.0], [{"int": [1, 2]}, {"int": [1, 2]}]):
        with pytest.raises(ValidationError, match="equals option 0"):
            tree_of({"choice": options})


# The door.

FIELDS = {
    "study": "digits",
    "task": {"dataset": "sklearn/digits", "split": {"validation": 0.25, "test": 0.15, "seed": 0}, "metric": "accuracy"},
    "teacher": {
        "architecture": {"family": "resnet", "depth": 2, "width": 32},
        "recipe": {"epochs": 15, "batch_size": 64, "learning_rate": 0.003},
    },
    "student": {
        "architecture": {"family": "resnet", "depth": {"int": [1, 3]}, "width": {"int": [1, 16]}},
        "loss": {
            "ce": {"weight": "rest"},
            "kd": {"weight": {"uniform": [0.0, 1.0]}, "temperature": {"log": [1.0, 16.0]}},
        },
        "recipe": {"epochs": 15, "batch_size": 64, "learning_rate": 0.003},
    },
    "assistants": {
        "at_most": 1,
        "ladder": [{"family": "resnet", "depth": 1, "width": width} for width in (8, 16, 24)],
        "loss": {"ce": {"weight": 0.1}, "kd": {"weight": 0.9, "temperature": 4.0}},
        "recipe": {"epochs": 15, "batch_size": 64, "learning_rate": 0.003},
    },
    "search": {
        "trials": 24,
        "objectives": ["accuracy", "params"],
        "sampler": "auto",
        "seed": 0,
        "limits": {"params": 1_000_000},
    },
    "resources": {"cpus": 1.0, "gpus": 0.0, "threads": 1},
}


def holds(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and holds(whole[key], item) for key, item in part.items())
    return type(whole) is type(part) and bool(whole == part)


def test_digits_is_the_spec_of_the_design() -> None:
    document = load(DIGITS).document()
    assert holds(document, FIELDS)
    assert document["student"] == FIELDS["student"] | {"init": "random"}, "what is searched is kept as it was written"


def test_a_document_is_parsed_into_the_same_spec() -> None:
    for spec in (load(DIGITS), resolve(load(DIGITS), fingerprint="ab", cuda=False)):
        assert parse(spec.document()) == spec
        assert parse(json.loads(json.dumps(spec.document()))) == spec


def minimal(**changes: Any) -> Spec:
    document: dict[str, Any] = {
        "study": "tiny",
        "task": {"dataset": "sklearn/digits"},
        "teacher": {"architecture": {"family": "mlp", "depth": 1, "width": 8}, "recipe": {"epochs": 1}},
        "student": {
            "architecture": {"family": "mlp", "depth": 1, "width": {"int": [1, 4]}},
            "loss": {"kd": {}},
            "recipe": {"epochs": 1},
        },
        "search": {"trials": 2},
    }
    return parse(document | changes)


def test_imports_keep_their_name_in_documents() -> None:
    spec = minimal(teacher={"import": "a.b:c"}, task={"dataset": {"import": "a:b", "arguments": {"n": 3}}})
    assert spec.document()["teacher"]["import"] == "a.b:c" and spec.document()["task"]["dataset"]["import"] == "a:b"
    assert parse(spec.document()) == spec


def test_the_names_of_fields_are_no_second_spelling() -> None:
    with pytest.raises(SpecError, match="'factory' is not a key here"):
        minimal(teacher={"factory": "a.b:c"})


def written(folder: Path, text: str) -> Path:
    path = folder / "spec.yaml"
    path.write_text(text)
    return path


def test_numbers_of_yaml_1_2(tmp_path: Path) -> None:
    text = DIGITS.read_text().replace("3e-3", "1e-3")
    spec = load(written(tmp_path, text))
    assert spec.teacher.recipe is not None and spec.teacher.recipe.learning_rate == 0.001
    assert load(written(tmp_path, text.replace("study: digits", "study: yes"))).study == "yes"


def test_aliases_are_copies(tmp_path: Path) -> None:
    """An override at one place leaves the other as it is."""
    text = DIGITS.read_text().replace("  recipe: {epochs: 15, b", "  recipe: &r {epochs: 15, b", 1)
    spec = load(
        written(
            tmp_path, text.replace("16]}}\n  recipe: {epochs: 15, batch_size: 64, learning_rate: 3e-3}", "16]}}\n  recipe: *r")
        ),
        ["student.recipe.epochs=3"],
    )
    assert spec.student.recipe["epochs"] == 3 and spec.teacher.recipe is not None and spec.teacher.recipe.epochs == 15


def test_five_mistakes_are_five_problems(tmp_path: Path) -> None:
    text = DIGITS.read_text().replace("trials: 24", "trials: 0").replace("threads", "treads")
    text = text.replace("depth: 2, width: 32", "deph: 2, width: 32").replace("{int: [1, 3]}", "{int: [3, 1]}")
    text = text.replace("test: 0.15", "test: 2")
    path = written(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        load(path)
    lines = text.splitlines()
    found = {problem.path: lines[int(problem.place.removeprefix(f"{path}:")) - 1] for problem in caught.value.problems}
    marks = {
        "task.split.test": "test: 2",
        "teacher.architecture.deph": "deph: 2",
        "student.architecture.depth.int": "[3, 1]",
        "search.trials": "trials: 0",
        "resources.treads": "treads",
    }
    assert found.keys() == marks.keys() and len(caught.value.problems) == 5
    assert all(mark in found[path] for path, mark in marks.items())


def test_lines_of_nested_lists(tmp_path: Path) -> None:
    ladder = (
        "  ladder:\n    - {family: resnet, depth: 1, width: 8}\n    -\n      family: resnet\n      depth: 1\n      width: 0\n"
    )
    text = "".join(ladder if "ladder:" in line else line for line in DIGITS.read_text().splitlines(keepends=True))
    with pytest.raises(SpecError) as caught:
        load(written(tmp_path, text))
    (problem,) = caught.value.problems
    assert problem.path == "assistants.ladder[1].width"
    assert text.splitlines()[int(problem.place.rpartition(":")[2]) - 1] == "      width: 0"


def test_overrides() -> None:
    overrides = [
        "search.trials=8",
        "assistants.ladder[0].width=4",
        "student.architecture.width={int: [2, 3]}",
        "teacher.recipe.learning_rate=1e-3",
        "task.split={seed: 7}",
        "search.objectives=[accuracy, macs]",
        "search.trials=9",
    ]
    spec = load(DIGITS, overrides)
    assert spec.search.trials == 9 and spec.search.objectives == ("accuracy", "macs")
    assert spec.assistants.ladder[0] == ResNet(depth=1, width=4) and spec.assistants.ladder[1] == ResNet(depth=1, width=16)
    assert spec.student.architecture["width"] == Int(low=2, high=3)
    assert spec.teacher.recipe is not None and spec.teacher.recipe.learning_rate == 0.001
    assert spec.task.split == Split(seed=7)


def test_an_override_makes_the_mappings_above_it(tmp_path: Path) -> None:
    text = "".join(line for line in DIGITS.read_text().splitlines(keepends=True) if not line.startswith("resources"))
    for tail in ("", "\nresources:\n"):
        assert load(written(tmp_path, text + tail), ["resources.threads=2"]).resources.threads == 2


def test_problems_name_the_override_that_made_them() -> None:
    with pytest.raises(SpecError) as caught:
        load(DIGITS, ["search.trials=0", "student.loss.kd.weight=2", "teacher.recipe={epochs: 1, lr: 3}"])
    places = {problem.path: problem.place for problem in caught.value.problems}
    assert places["search.trials"] == "--set search.trials=0"
    assert places["teacher.recipe.lr"] == "--set teacher.recipe={epochs: 1, lr: 3}"
    assert places["student.loss"].endswith(" with --set student.loss.kd.weight=2")


# resolve()


def test_resolve_writes_all_down() -> None:
    spec = resolve(minimal(), fingerprint="ab", cuda=False)
    assert spec.task.fingerprint == "ab" and spec.resources.gpus == 0
    assert spec.student.recipe == RECIPE.model_copy(update={"epochs": 1}).model_dump(exclude_none=True)
    assert spec.student.loss == {"kd": {"weight": 1.0, "temperature": 2.0, "standardized": False}}
    assert spec.teacher.recipe is not None and spec.teacher.recipe.precision == "float32"
    assert resolve(spec, fingerprint="ab", cuda=True) == spec, "what is resolved stays"


def test_resolve_with_cuda() -> None:
    spec = resolve(load(DIGITS, ["resources.gpus=auto"]), fingerprint="ab", cuda=True)
    assert spec.resources.gpus == 1 and spec.student.recipe["precision"] == "bfloat16"
    assert spec.assistants.recipe is not None and spec.assistants.recipe.precision == "bfloat16"
    assert resolve(load(DIGITS), fingerprint="ab", cuda=True).student.recipe["precision"] == "float32", "gpus: 0 stays"


def test_resolve_keeps_a_precision_that_was_given() -> None:
    spec = load(DIGITS, ["teacher.recipe.precision=bfloat16"])
    assert resolve(spec, fingerprint="ab", cuda=False).document()["teacher"]["recipe"]["precision"] == "bfloat16"


def test_resolve_reaches_into_choices() -> None:
    recipe = {"choice": [{"epochs": 1}, {"epochs": 2, "precision": {"choice": ["auto", "float32", "bfloat16"]}}]}
    loss = {"choice": [{"ce": {}}, {"kd": {"weight": 0.5}}]}
    spec = resolve(
        minimal(student=minimal().document()["student"] | {"recipe": recipe, "loss": loss}),
        fingerprint="ab",
        cuda=False,
    )
    first, second = spec.document()["student"]["recipe"]["choice"]
    assert first["precision"] == "float32" and first["weight_decay"] == 0.01
    assert second["precision"] == {"choice": ["float32", "bfloat16"]} and second["batch_size"] == 64
    written = {"weight": 0.5, "temperature": 2.0, "standardized": False}
    assert spec.document()["student"]["loss"]["choice"][1] == {"kd": written}


def searched(loss: dict[str, Any]) -> Spec:
    return minimal(student=minimal().document()["student"] | {"loss": loss})


def test_an_optional_term_is_a_choice_of_nothing_or_the_term() -> None:
    hint = {"weight": {"log": [10.0, 1000.0]}, "layers": [0.5, {"student": "a", "teacher": "b"}]}
    sugar = searched({"ce": {}, "hint": {"optional": True} | hint})
    assert sugar == searched({"ce": {}, "hint": {"choice": [None, hint]}})
    assert searched({"ce": {}, "hint": {"optional": False} | hint}) == searched({"ce": {}, "hint": hint})
    within = searched({"choice": [{"ce": {}}, {"ce": {}, "kd": {"optional": True}}]})
    assert within == searched({"choice": [{"ce": {}}, {"ce": {}, "kd": {"choice": [None, {}]}}]})


def test_optional_terms_are_resolved_and_written_down() -> None:
    spec = resolve(searched({"ce": {"weight": "rest"}, "kd": {"optional": True, "weight": 0.5}}), fingerprint="ab", cuda=False)
    written = spec.document()["student"]["loss"]["kd"]
    assert written == {"choice": [None, {"weight": 0.5, "temperature": 2.0, "standardized": False}]}
    assert parse(json.loads(json.dumps(spec.document()))) == spec
    assert resolve(spec, fingerprint="ab", cuda=False) == spec


@given(TREES)
def test_a_loss_without_optionals_stays(tree: Any) -> None:
    raw = plain(tree)
    assert with_optionals(raw) == raw


def test_resolve_refuses_other_data() -> None:
    with pytest.raises(DataError, match="task.fingerprint: the spec pins data ab, but the data are cd"):
        resolve(load(DIGITS, ["task.fingerprint=ab"]), fingerprint="cd", cuda=False)


def test_arguments_of_others_are_kept_as_they_are() -> None:
    timm = Timm(name="resnet18", arguments={"layers": [1, 1], "zero_init": False, "rate": 0.1})
    assert Timm.model_validate(timm.model_dump(mode="json")) == timm
    with pytest.raises(ValidationError, match="finite"):
        Timm(name="resnet18", arguments={"rate": float("nan")})


class _Schema(GenerateJsonSchema):
    """Leaves out what only our own functions check: the student's trees, whose schemas are looked at beside it."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        return {}


SCHEMAS: list[TypeAdapter[Any]] = [TypeAdapter(Spec), ARCHITECTURE, LOSS, RECIPES]
LOWER, UPPER = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}


def numbers(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each number that a JSON schema takes, by its place."""
    if isinstance(schema, list):
        for item in schema:
            yield from numbers(item, place)
    elif isinstance(schema, dict):
        if schema.get("type") in ("integer", "number") and "enum" not in schema:
            yield place, schema
        for key, item in schema.items():
            yield from numbers(item, f"{place}.{key}")


@pytest.mark.parametrize("schema", SCHEMAS, ids=["spec", "architecture", "loss", "recipe"])
def test_every_number_has_a_least_and_a_largest(schema: TypeAdapter[Any]) -> None:
    found = dict(numbers(schema.json_schema(schema_generator=_Schema)))
    assert found and not {place for place, one in found.items() if not LOWER & one.keys() or not UPPER & one.keys()}
