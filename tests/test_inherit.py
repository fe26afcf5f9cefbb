"""A smaller network starts from the weights of a larger one. Shape suffixes: B batch, K classes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autodistill.data import InputSpec
from autodistill.models import Network, build, inherit
from autodistill.models import sizes as measure
from autodistill.models.features import taken
from autodistill.spec import MLP, ConvNet, ConvNeXt, Imported, MobileNet, ResNet, TimmResNet, UsageError, Value, ViT

torch.set_num_threads(1)

Shape = tuple[int, ...]
IMAGE = (2, 16, 16)
FAMILIES: dict[str, Callable[[int, int], Value]] = {
    "mlp": lambda depth, width: MLP(depth=depth, width=width),
    "convnet": lambda depth, width: ConvNet(depth=depth, width=width),
    "convnet with a hidden layer": lambda depth, width: ConvNet(depth=2 * depth, width=width, hidden=2 * width),
    "resnet": lambda depth, width: ResNet(depth=depth, width=width),
    "timm_resnet": lambda depth, width: TimmResNet(depth=depth, width=width),
    "vit": lambda depth, width: ViT(depth=depth, heads=width, head_width=3),
    "convnext": lambda depth, width: ConvNeXt(depth=depth, width=width),
    "mobilenet": lambda depth, width: MobileNet(depth=depth, width=width),
}
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def seeded(architecture: Value, seed: int, shape: Shape = IMAGE, **numbers: Any) -> Network:
    """With statistics of norms that are not those of the start."""
    torch.manual_seed(seed)
    network = build(architecture, inputs=InputSpec.x(shape), classes=3, **numbers)
    for name, tensor in network.state_dict().items():
        if "running" in name:
            tensor.uniform_(0.5, 2)
    return network.eval()


def inherited(student: Value, source: Value, shape: Shape = IMAGE) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of both, by name within the body, after the student has inherited."""
    one, other = seeded(student, 0, shape), seeded(source, 1, shape)
    inherit(one, other)
    return one.body.state_dict(), other.body.state_dict()


@pytest.mark.parametrize(
    ("count", "of", "blocks"),
    [
        (6, 12, [0, 2, 4, 7, 9, 11]),
        (1, 12, [0]),
        (2, 5, [0, 4]),
        (3, 4, [0, 2, 3]),
        (4, 4, [0, 1, 2, 3]),
        (3, 12, [0, 6, 11]),
    ],
)
def test_every_kth_block(count: int, of: int, blocks: list[int]) -> None:
    assert taken(count, of) == blocks


def test_blocks_are_taken_once_and_in_order() -> None:
    for count, of in itertools.combinations_with_replacement(range(1, 30), 2):
        blocks = taken(count, of)
        assert blocks[0] == 0 and blocks == sorted(set(blocks)) and (count == 1 or blocks[-1] == of - 1)


@every_family
def test_the_same_architecture_becomes_the_same_network(family: Callable[[int, int], Value]) -> None:
    student = seeded(family(2, 3), 0)
    source = seeded(family(2, 3), 1, mean=[1.0, 2.0], std=[3.0, 4.0])
    inherit(student, source)
    x = {"x": torch.randn(4, *IMAGE)}
    assert torch.equal(student(x).logits, source(x).logits)
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in student.state_dict().items())
    assert all(one.data_ptr() != two.data_ptr() for one, two in zip(student.parameters(), source.parameters(), strict=True))


@every_family
def test_every_smaller_student_inherits(family: Callable[[int, int], Value]) -> None:
    sizes = list(itertools.product((1, 2, 3), (1, 2, 4)))
    for (depth, width), (deeper, wider) in itertools.product(sizes, sizes):
        if depth <= deeper and width <= wider:
            measure.check_inherit(family(depth, width), family(deeper, wider), InputSpec.x(IMAGE), 3)


@every_family
def test_what_was_inherited_gives_finite_logits_and_comes_from_the_source(family: Callable[[int, int], Value]) -> None:
    student, source = seeded(family(1, 2), 0), seeded(family(3, 4), 1)
    fresh = {name: tensor.clone() for name, tensor in student.named_parameters()}
    inherit(student, source)
    assert student({"x": torch.randn(4, *IMAGE)}).logits.isfinite().all()
    unlike = [name for name, tensor in student.named_parameters() if not torch.equal(tensor, fresh[name])]
    drawn = [name for name, tensor in fresh.items() if tensor.dim() > 1]
    assert set(drawn) - set(unlike) <= {"body.5.weight", "body.9.weight"} and len(unlike) > 0


@every_family
def test_a_larger_student_is_refused_and_left_as_it_was(family: Callable[[int, int], Value]) -> None:
    for larger in (family(3, 3), family(2, 4)):
        student, source = seeded(larger, 0), seeded(family(2, 3), 1)
        before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
        with pytest.raises(UsageError, match="at least as deep and as wide"):
            inherit(student, source)
        assert all(torch.equal(tensor, before[name]) for name, tensor in student.state_dict().items())
        with pytest.raises(UsageError, match=r"\w+ depth=.* cannot inherit from \w+ depth=.*: the student's "):
            measure.check_inherit(larger, family(2, 3), InputSpec.x(IMAGE), 3)


def test_a_shallower_resnet_takes_the_right_blocks() -> None:
    student, source = inherited(ResNet(depth=2, width=3), ResNet(depth=4, width=3))
    for stage, (block, theirs) in itertools.product(range(3), ((0, 0), (1, 3))):
        for name in ("conv1.weight", "norm2.running_var"):
            assert torch.equal(student[f"stages.{stage}.{block}.{name}"], source[f"stages.{stage}.{theirs}.{name}"])
    assert torch.equal(student["stages.1.0.shortcut.0.weight"], source["stages.1.0.shortcut.0.weight"])


def test_a_shallower_mlp_takes_the_right_layers() -> None:
    student, source = inherited(MLP(depth=3, width=4), MLP(depth=5, width=4), (6,))
    for mine, theirs in ((1, 1), (3, 5), (5, 9), (7, 11)):
        assert torch.equal(student[f"{mine}.weight"], source[f"{theirs}.weight"])


def test_a_shallower_convnet_takes_the_right_layers() -> None:
    """Convolutions 0, 1 of two take 0 and 3 of four; both pool twice, so the classifier comes along."""
    student, source = inherited(ConvNet(depth=2, width=2), ConvNet(depth=4, width=2))
    assert torch.equal(student["0.weight"], source["0.weight"])
    assert torch.equal(student["4.weight"], source["10.weight"][:2, :2])
    assert torch.equal(student["5.running_mean"], source["11.running_mean"][:2])
    assert torch.equal(student["9.weight"], source["15.weight"][:, : 2 * 16])


def test_a_convnet_of_other_sides_keeps_its_own_classifier() -> None:
    fresh = seeded(ConvNet(depth=1, width=2), 0).body.state_dict()
    student, source = inherited(ConvNet(depth=1, width=2), ConvNet(depth=4, width=2))
    assert torch.equal(student["0.weight"], source["0.weight"])
    assert torch.equal(student["5.weight"], fresh["5.weight"])


def test_a_narrower_resnet_takes_the_leading_slices() -> None:
    student, source = inherited(TimmResNet(depth=1, width=3), TimmResNet(depth=1, width=5))
    assert torch.equal(student["layer2.0.conv1.weight"], source["layer2.0.conv1.weight"][:6, :3])
    assert torch.equal(student["layer2.0.bn1.running_mean"], source["layer2.0.bn1.running_mean"][:6])
    assert torch.equal(student["fc.weight"], source["fc.weight"][:, :24])


def test_a_narrower_vit_keeps_the_leading_heads() -> None:
    student, source = inherited(ViT(depth=2, heads=2, head_width=4), ViT(depth=5, heads=3, head_width=4))
    qkv, theirs = student["blocks.1.attn.qkv.weight"], source["blocks.4.attn.qkv.weight"]
    assert torch.equal(qkv.reshape(3, 8, 8), theirs.reshape(3, 12, 12)[:, :8, :8])
    bias, theirs = student["blocks.1.attn.qkv.bias"], source["blocks.4.attn.qkv.bias"]
    assert torch.equal(bias.reshape(3, 8), theirs.reshape(3, 12)[:, :8])
    assert torch.equal(student["blocks.1.attn.proj.weight"], source["blocks.4.attn.proj.weight"][:8, :8])
    assert torch.equal(student["pos_embed"], source["pos_embed"][..., :8])
    assert torch.equal(student["cls_token"], source["cls_token"][..., :8])


def test_a_narrower_head_keeps_its_leading_numbers() -> None:
    student, source = inherited(ViT(depth=1, heads=2, head_width=3), ViT(depth=1, heads=2, head_width=4))
    proj, theirs = student["blocks.0.attn.proj.weight"], source["blocks.0.attn.proj.weight"]
    assert torch.equal(proj.reshape(6, 2, 3), theirs.reshape(8, 2, 4)[:6, :, :3])


@pytest.mark.parametrize(
    ("student", "source", "message"),
    [
        (
            ResNet(depth=3, width=2),
            ResNet(depth=2, width=2),
            "student's stages.0 is 3 blocks deep, but the source's stages.0 is only 2",
        ),
        (
            ResNet(depth=1, width=3),
            ResNet(depth=2, width=2),
            r"the student's stem.weight \(3, 2, 3, 3\) is larger than the source's stem.weight \(2, 2, 3, 3\)",
        ),
        (MLP(depth=2, width=2), MLP(depth=1, width=2), "student's body is 2 layers deep, but the source's body is only 1"),
        (MLP(depth=1, width=2), ResNet(depth=1, width=2), "student's body is Stack, but the source's body is Residual"),
        (MLP(depth=1, width=2), ConvNet(depth=2, width=2), "made of 0 convolutions and 2 linear layers, .* 2 and 1;"),
        (ConvNet(depth=2, width=2, hidden=4), ConvNet(depth=2, width=2), "2 convolutions and 2 linear layers, .* 2 and 1;"),
        (ConvNeXt(depth=1, width=2), ConvNeXt(depth=1, width=2, stages=4), "student's stages is made of 0, 1, 2, "),
        (
            ConvNeXt(depth=1, width=2, patch_size=1),
            ConvNeXt(depth=1, width=2),
            r"stem.0.weight \(2, 2, 1, 1\) differs from the source's stem.0.weight \(2, 2, 2, 2\)",
        ),
        (
            ViT(depth=1, heads=1, patch_size=8),
            ViT(depth=1, heads=1),
            r"pos_embed \(1, 5, 16\) differs from the source's pos_embed \(1, 17, 16\)",
        ),
        (
            MobileNet(depth=1, width=8, expansion=6),
            MobileNet(depth=1, width=8),
            r"blocks.1.0.conv_pw.weight \(48, 8, 1, 1\) is larger than the source's blocks.1.0.conv_pw.weight \(32, 8, 1, 1\)",
        ),
        (
            TimmResNet(depth=1, width=2),
            TimmResNet(depth=1, width=2, stem="imagenet"),
            "made of conv1, .* conv1, bn1, act1, maxpool",
        ),
        (ResNet(depth=1, width=2), Imported(factory="torch.nn:Flatten"), "the source's body is Flatten; inherit from"),
    ],
)
def test_refusals_name_both_and_their_shapes(student: Value, source: Value, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        measure.check_inherit(student, source, InputSpec.x(IMAGE), 3)
