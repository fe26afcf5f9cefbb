"""`like: teacher` in a spec: what it becomes, and what it refuses."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.spec import ResNet, SpecError, load, parse
from autodistill.spec.architectures import ARCHITECTURE
from autodistill.spec.shorthand import expanded

TEACHER = {"family": "resnet", "depth": 3, "width": 32}
TRANSFORMER = {
    "family": "transformers",
    "layers": 6,
    "hidden": 384,
    "heads": 12,
    "positions": 512,
    "settings": {"hidden_dropout_prob": 0.1, "hidden_act": "relu", "vocab_size": 30522},
}
TEXT = """\
study: digits
task: {dataset: sklearn/digits}
teacher:
  architecture: {family: resnet, depth: 3, width: 32}
  recipe: {epochs: 1}
student:
  architecture:
    like: teacher
    width: [0.5, 1]
  loss: {ce: {weight: 1}, kd: {weight: 1, temperature: 2}}
  recipe: {epochs: 1}
search: {trials: 2}
"""


def document(student: Any, teacher: Any = TEACHER) -> dict[str, Any]:
    recipe = {"epochs": 1}
    given = {"import": "package.module:net"} if teacher is None else {"architecture": teacher, "recipe": recipe}
    loss = {"ce": {"weight": 1}, "kd": {"weight": 1, "temperature": 2}}
    return {
        "study": "digits",
        "task": {"dataset": "sklearn/digits"},
        "teacher": given,
        "student": {"architecture": student, "loss": loss, "recipe": recipe},
        "search": {"trials": 2},
    }


def tree(student: dict[str, Any], teacher: dict[str, Any]) -> Any:
    return expanded(document({"like": "teacher", **student}, teacher))["student"]["architecture"]


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        ({}, TEACHER, {"family": "resnet", "depth": {"int": [1, 3]}, "width": {"int": [8, 32]}}),
        ({"depth": [1, 1]}, TEACHER, {"family": "resnet", "depth": {"int": [3, 3]}, "width": {"int": [8, 32]}}),
        (
            {"depth": [0.3, 0.9], "width": [0.1, 0.11]},
            {"family": "convnext", "depth": 10, "width": 30, "stages": 4},
            {"family": "convnext", "depth": {"int": [3, 9]}, "width": {"int": [3, 3]}, "stages": 4},
        ),
        (
            {"width": [0.5, 0.5]},
            {"family": "vit", "depth": 6, "heads": 4, "head_width": 8},
            {"family": "vit", "depth": {"int": [2, 6]}, "heads": {"int": [2, 2]}, "head_width": 8},
        ),
        (
            {},
            {"family": "mobilenet", "depth": 1, "width": 1},
            {"family": "mobilenet", "depth": {"int": [1, 1]}, "width": {"int": [1, 1]}},
        ),
        (
            {"depth": [0.4, 0.6]},
            {"family": "mlp", "depth": 1, "width": 4},
            {"family": "mlp", "depth": {"int": [1, 1]}, "width": {"int": [1, 4]}},
        ),
        (
            {"hidden": [0.5, 1]},
            TRANSFORMER,
            {
                "family": "transformers",
                "model": "bert",
                "layers": {"int": [2, 6]},
                "heads": {"int": [6, 12]},
                "head_width": 32,
                "settings": {"hidden_act": "relu"},
            },
        ),
        (
            {"layers": [0.5, 0.5], "intermediate": [0.5, 1], "vocabulary": {"choice": ["used", 8000]}, "embedding": 64},
            TRANSFORMER | {"intermediate": 600, "model": "electra", "settings": {}},
            {
                "family": "transformers",
                "model": "electra",
                "layers": {"int": [3, 3]},
                "heads": {"int": [3, 12]},
                "head_width": 32,
                "intermediate": {"int": [300, 600]},
                "vocabulary": {"choice": ["used", 8000]},
                "embedding": 64,
            },
        ),
        (
            {},
            TRANSFORMER | {"intermediate": 600, "embedding": 96, "settings": {}},
            {
                "family": "transformers",
                "model": "bert",
                "layers": {"int": [2, 6]},
                "heads": {"int": [3, 12]},
                "head_width": 32,
                "intermediate": 600,
                "embedding": 96,
            },
        ),
    ],
)
def test_only_the_amount_is_searched(student: dict[str, Any], teacher: dict[str, Any], expected: dict[str, Any]) -> None:
    assert tree(student, teacher) == expected


@given(depth=st.integers(1, 50), shares=st.tuples(st.integers(1, 100), st.integers(1, 100)))
def test_every_candidate_is_within_the_shares_and_no_larger_than_the_teacher(depth: int, shares: tuple[int, int]) -> None:
    low, high = sorted(shares)
    first, last = tree({"depth": [low / 100, high / 100]}, TEACHER | {"depth": depth})["depth"]["int"]
    assert 1 <= first <= last <= depth
    assert first == max(1, math.ceil(low * depth / 100)) and last == max(first, high * depth // 100)
    for number in (first, last):
        assert ARCHITECTURE.validate_python(TEACHER | {"depth": number}) == ResNet(depth=number, width=32)


def test_a_document_without_it_is_left_alone_and_one_with_it_unchanged() -> None:
    for raw in (document(TEACHER), {}, {"student": None}, {"student": {"architecture": "mlp"}}):
        assert expanded(raw) is raw
    raw = document({"like": "teacher"})
    before = copy.deepcopy(raw)
    expanded(raw)
    assert raw == before


def test_the_spec_shows_what_is_searched(tmp_path: Path) -> None:
    path = tmp_path / "like.yaml"
    path.write_text(TEXT)
    spec = load(path, ["student.architecture.depth=[0.5, 1]"])
    searched = {"family": "resnet", "depth": {"int": [2, 3]}, "width": {"int": [16, 32]}}
    assert spec.document()["student"]["architecture"] == searched
    assert parse(spec.document()) == spec


@pytest.mark.parametrize(
    ("student", "teacher", "path", "words"),
    [
        ({"like": "teacher"}, None, "like", ("has no architecture in the spec", "give the student a family")),
        ({"like": "teacher"}, {"family": "timm", "name": "resnet18"}, "like", ("family timm has no depth and width",)),
        ({"like": "student"}, TEACHER, "like", ('"student" is invalid: use teacher', "a family")),
        (
            {"like": "teacher", "stages": 2},
            TEACHER,
            "stages",
            ("'stages' cannot be set with like", "use only like, depth, width"),
        ),
        ({"like": "teacher", "depth": [0, 1]}, TEACHER, "depth", ("[0, 1] is invalid: use two fractions", "such as [0.25, 1]")),
        ({"like": "teacher", "depth": [0.5, 1.5]}, TEACHER, "depth", ("[0.5, 1.5] is invalid",)),
        ({"like": "teacher", "depth": [0.75, 0.5]}, TEACHER, "depth", ("[0.75, 0.5] is invalid",)),
        (
            {"like": "teacher", "width": {"int": [1, 3]}},
            TEACHER,
            "width",
            ('{"int": [1, 3]} is invalid', "the teacher's width"),
        ),
        ({"like": "teacher", "width": 0.5}, TEACHER, "width", ("0.5 is invalid",)),
        ({"like": "teacher", "width": [True, True]}, TEACHER, "width", ("[true, true] is invalid",)),
    ],
)
def test_refusals_name_the_value_the_path_and_the_way_out(
    student: dict[str, Any], teacher: Any, path: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(SpecError) as raised:
        parse(document(student, teacher))
    (problem,) = raised.value.problems
    assert problem.path == f"student.architecture.{path}" and all(word in problem.message for word in words)


def test_all_that_is_wrong_is_said_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "like.yaml"
    path.write_text(TEXT.replace("[0.5, 1]", "[2, 1]"))
    with pytest.raises(SpecError) as raised:
        load(path, ["student.architecture.stem=small"])
    assert [problem.place for problem in raised.value.problems] == ["--set student.architecture.stem=small", f"{path}:9"]


def test_of_a_wrong_teacher_only_the_teacher_is_reported() -> None:
    with pytest.raises(SpecError) as raised:
        parse(document({"like": "teacher"}, TEACHER | {"depth": 0}))
    assert [problem.path for problem in raised.value.problems] == ["teacher.architecture.depth"]


def test_a_transformer_has_its_own_shares() -> None:
    with pytest.raises(SpecError) as caught:
        parse(document({"like": "teacher", "depth": [0.5, 1], "hidden": [0, 1]}, TRANSFORMER))
    said = str(caught.value)
    assert "use only like, layers, hidden, intermediate, vocabulary, embedding, dropout" in said
    assert "two fractions of the teacher's hidden" in said
    parse(document({"like": "teacher", "vocabulary": {"choice": ["full", "used", 8000]}}, TRANSFORMER))
