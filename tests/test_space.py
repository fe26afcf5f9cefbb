"""The search space: decoding, equivalence, limits before training, and the way back."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodistill.spec import Stage, parse
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.space import Space, draw

PARAMS = {
    "architecture.depth": 1,
    "architecture.width": 3,
    "loss.kd.weight": 0.7,
    "loss.kd.temperature": 3.0,
    "assistants.count": 1,
    "assistants.1": 0,
}


def test_a_decoded_stage_holds_what_was_proposed(space: Callable[..., Space]) -> None:
    stage = space().decode(PARAMS)
    assert stage.architecture.width == 3
    assert stage.loss.kd is not None and stage.loss.kd.temperature == 3.0
    assert stage.loss.ce is not None and stage.loss.ce.weight == 0.3
    assert [network.architecture.width for network in stage.ancestors()] == [64, 16]


@pytest.mark.parametrize(
    "changes",
    [
        {"assistants.count": 0, "assistants.1": 0},
        {"assistants.count": 0, "assistants.1": 1},
    ],
)
def test_parameters_that_do_not_matter_do_not_reach_the_stage(space: Callable[..., Space], changes: dict[str, Any]) -> None:
    made = space()
    direct = made.decode(PARAMS | {"assistants.count": 0})
    assert made.decode(PARAMS | changes).key() == direct.key()


def test_at_weight_zero_neither_temperature_nor_chain_matters(space: Callable[..., Space]) -> None:
    made = space()
    labels = made.decode(PARAMS | {"loss.kd.weight": 0.0})
    assert labels.teachers == () and labels.loss.kd is None
    other = PARAMS | {"loss.kd.weight": 0.0, "loss.kd.temperature": 9.0, "assistants.count": 0}
    assert made.decode(other).key() == labels.key()


def test_chains_are_ordered_by_size_and_repeats_are_one(space: Callable[..., Space]) -> None:
    made = space(assistants__at_most=2)
    two = PARAMS | {"assistants.count": 2}
    down = made.decode(two | {"assistants.1": 0, "assistants.2": 1})
    up = made.decode(two | {"assistants.1": 1, "assistants.2": 0})
    assert down.key() == up.key()
    assert [network.architecture.width for network in down.ancestors()] == [64, 32, 16]
    same = made.decode(two | {"assistants.1": 0, "assistants.2": 0})
    assert same.key() == made.decode(PARAMS | {"assistants.2": 1}).key()


def test_an_assistant_no_larger_than_its_student_is_dropped(space: Callable[..., Space]) -> None:
    made = space(student__architecture={"family": "mlp", "depth": 1, "width": {"int": [1, 40]}})
    params = {key: value for key, value in PARAMS.items() if key != "architecture.depth"} | {"architecture.width": 16}
    assert made.decode(params).key() == made.decode(params | {"assistants.count": 0}).key()


def test_limits_are_known_before_training(space: Callable[..., Space]) -> None:
    made = space(search={"trials": 6, "limits": {"params": 100}})
    assert made.feasible(PARAMS)  # 12 * 3 + 3 + 3 * 4 + 4 = 55
    assert made.sizes(made.architecture(PARAMS)).params == 55
    assert not made.feasible(PARAMS | {"architecture.width": 12})


def test_a_closed_ladder_size_is_not_feasible(space: Callable[..., Space]) -> None:
    made = space()
    made.closed.add(0)
    assert not made.feasible(PARAMS)
    assert made.feasible(PARAMS | {"assistants.1": 1}) and made.feasible(PARAMS | {"assistants.count": 0})


def test_at_least_makes_chains_of_that_length(space: Callable[..., Space]) -> None:
    made = space(assistants__at_least=1)
    assert made.feasible(PARAMS)
    assert not made.feasible(PARAMS | {"assistants.count": 0})


def test_every_drawn_student_is_found_again(space: Callable[..., Space]) -> None:
    """encode is the way back from decode: other parameters perhaps, the same stage always."""
    made, rng = space(assistants__at_most=2), random.Random(0)
    for _ in range(100):
        params = {path: draw(domain, rng) for path, domain in made.domains.items()}
        stage = made.decode(params)
        found = made.encode(stage)
        assert found is not None and made.decode(found).key() == stage.key()


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_term_that_is_absent_is_found_again(space: Callable[..., Space], wrapped: bool) -> None:
    loss: Any = {"ce": {"weight": "rest"}, "kd": {"optional": True, "weight": 0.5, "temperature": {"log": [1, 16]}}}
    loss = {"choice": [{"ce": {"label_smoothing": 0.1}}, loss]} if wrapped else loss
    made, rng = space(student__loss=loss), random.Random(0)
    seen = set()
    for _ in range(20):
        stage = made.decode({path: draw(domain, rng) for path, domain in made.domains.items()})
        found = made.encode(stage)
        assert found is not None and made.decode(found).key() == stage.key()
        assert stage.loss.ce is not None and stage.loss.ce.weight == (0.5 if stage.loss.kd else 1.0)
        seen.add((bool(stage.teachers), stage.loss.ce.label_smoothing))
    assert seen == {(True, 0.0), (False, 0.0)} | ({(False, 0.1)} if wrapped else set())


def test_an_assistant_that_is_a_student_too_is_found(space: Callable[..., Space]) -> None:
    made = space(student__architecture={"family": "mlp", "depth": 1, "width": {"int": [1, 16]}})
    (assistant,) = made.chain([0])
    assert isinstance(assistant, Stage)
    params = made.encode(assistant)
    assert params is not None and params["architecture.width"] == 16 and params["loss.kd.weight"] == 0.9
    assert space().encode(assistant) is None  # there the width ends at 12


def test_choices_of_families_hold_domains_of_their_own(space: Callable[..., Space]) -> None:
    options = [
        {"family": "mlp", "depth": 1, "width": {"int": [2, 4]}},
        {"family": "convnet", "depth": {"int": [1, 2]}, "width": 2},
    ]
    made = space(student__architecture={"choice": options})
    assert set(made.domains) >= {"architecture", "architecture{0}.width", "architecture{1}.depth"}
    architectures, everything = made.architectures()
    assert everything and len(architectures) == 3 + 2
    params = {path: domain.ends()[0] for path, domain in made.domains.items()} | {"architecture": 0}
    assert made.decode(params).key() == made.decode(params | {"architecture{1}.depth": 2}).key()


def test_shared_stages_are_counted(space: Callable[..., Space]) -> None:
    assert space().assistant_stages() == 2
    assert space(assistants__at_most=2).assistant_stages() == 2 + 1


def test_a_space_of_timm_models_is_searched_like_any_other(tmp_path: Path) -> None:
    document = {
        "study": "timm",
        "task": {"dataset": "sklearn/digits"},
        "teacher": {"architecture": {"family": "resnet", "depth": 1, "width": 8}, "recipe": {"epochs": 1}},
        "student": {
            "architecture": {
                "family": "timm",
                "name": "resnet18",
                "arguments": {"layers": [{"int": [1, 2]}, 1, 1, 1], "channels": {"choice": [[4, 4, 8, 8], [8, 8, 8, 16]]}},
            },
            "loss": {"ce": {"weight": 1.0}},
            "recipe": {"epochs": 1},
        },
        "search": {"trials": 2},
        "resources": {"gpus": 0},
    }
    spec, splits = load_data(parse(document), cuda=False)
    made = space_of(spec, splits, Store(tmp_path))
    architectures, everything = made.architectures()
    assert everything and len(architectures) == 4
    assert len({made.sizes(one).params for one in architectures}) == 4
