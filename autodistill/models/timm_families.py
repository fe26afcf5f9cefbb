"""Networks from elsewhere: families built from timm's blocks with free depth and width, and timm's own models.

timm's own constructors fix what a search has to vary: 64 channels after ResNet's stem, four stages of a ConvNeXt, a stem
of stride 2. Modules keep timm's names, so that published weights fit networks of the published sizes.
Shape suffixes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import difflib
import warnings
from typing import Any

from torch import Tensor, nn

from ..spec import ConvNeXt, MobileNet, Timm, TimmResNet, UsageError, ViT
from .families import check_image

TIMES = (1, 2, 4, 8)
CONVNEXT_DEPTHS = (1, 1, 3, 1)
"""Liu et al., CVPR 2022, section 2.2: the stage compute ratio."""
MOBILE_STRIDES = (1, 2, 2, 2, 1)


class Stages(nn.Module):
    """timm's ResNet with any number of stages: stem, layer1, layer2, ..., a mean over the sides, a classifier."""

    def __init__(self, stem: dict[str, nn.Module], stages: list[tuple[str, nn.Module]], width: int, classes: int) -> None:
        super().__init__()
        self.trunk = [*stem, *(name for name, _ in stages)]
        self.feature_info = [{"module": name} for name, _ in stages]
        for name, module in [*stem.items(), *stages]:
            self.add_module(name, module)
        self.fc = nn.Linear(width, classes)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        for name in self.trunk:
            x_BCHW = self.get_submodule(name)(x_BCHW)
        return self.fc(x_BCHW.mean((2, 3)))  # type: ignore[no-any-return]


class PatchStages(nn.Module):
    """timm's ConvNeXt with any number of stages: a patch stem, stages, and a head that normalizes the mean."""

    def __init__(self, stem: nn.Module, stages: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stem, self.stages, self.head = stem, nn.Sequential(*stages), head
        self.feature_info = [{"module": f"stages.{index}"} for index in range(len(stages))]

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x_BCHW)))  # type: ignore[no-any-return]


def build_timm_resnet(architecture: TimmResNet, shape: tuple[int, ...], classes: int) -> Stages:
    """x_BCHW -> logits_BK; initialized as timm does: He normal by fan_out, the last norm of each block at 0."""
    from timm.models.resnet import BasicBlock, make_blocks

    check_image(shape, "timm_resnet")
    channels = tuple(architecture.width * times for times in TIMES[: architecture.stages])
    blocks, repeats = (BasicBlock,) * len(channels), (architecture.depth,) * len(channels)
    stages, _ = make_blocks(blocks, channels, repeats, inplanes=channels[0])
    body = Stages(_stem(architecture.stem, shape[0], architecture.width), stages, channels[-1], classes)
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, BasicBlock):
            module.zero_init_last()
    return body


def _stem(kind: str, channels: int, width: int) -> dict[str, nn.Module]:
    rest: dict[str, nn.Module] = {"bn1": nn.BatchNorm2d(width), "act1": nn.ReLU(inplace=True)}
    if kind == "small":
        return {"conv1": nn.Conv2d(channels, width, 3, padding=1, bias=False), **rest}
    conv = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
    return {"conv1": conv, **rest, "maxpool": nn.MaxPool2d(3, stride=2, padding=1)}


def build_vit(architecture: ViT, shape: tuple[int, ...], classes: int) -> nn.Module:
    """x_BCHW -> logits_BK with timm's own initialization. Raises UsageError if patches do not tile the image."""
    from timm.models.vision_transformer import VisionTransformer

    check_image(shape, "vit")
    patch, (channels, height, width) = architecture.patch_size, shape
    if height % patch or width % patch:
        ways = [side for side in range(1, min(height, width) + 1) if not height % side and not width % side]
        raise UsageError(
            f"vit: patch_size {patch} does not divide images of {height}x{width}; use one of {', '.join(map(str, ways))}"
        )
    body: nn.Module = VisionTransformer(
        img_size=(height, width),
        patch_size=patch,
        in_chans=channels,
        num_classes=classes,
        embed_dim=architecture.heads * architecture.head_width,
        depth=architecture.depth,
        num_heads=architecture.heads,
        mlp_ratio=architecture.mlp_ratio,
    )
    return body


def build_convnext(architecture: ConvNeXt, shape: tuple[int, ...], classes: int) -> PatchStages:
    """x_BCHW -> logits_BK; initialized as published: normal with standard deviation 0.02, biases 0, layer scale 1e-6."""
    from timm.layers import LayerNorm2d, NormMlpClassifierHead

    check_image(shape, "convnext")
    dims = [architecture.width * times for times in TIMES[: architecture.stages]]
    patch = nn.Conv2d(shape[0], dims[0], architecture.patch_size, stride=architecture.patch_size)
    stages = [_patch_stage(architecture.depth, dims, index) for index in range(len(dims))]
    head = NormMlpClassifierHead(dims[-1], classes, norm_layer=LayerNorm2d)
    body = PatchStages(nn.Sequential(patch, LayerNorm2d(dims[0])), stages, head)
    for module in body.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return body


def _patch_stage(depth: int, dims: list[int], index: int) -> nn.Module:
    from timm.layers import LayerNorm, LayerNorm2d
    from timm.models.convnext import ConvNeXtStage

    stage: nn.Module = ConvNeXtStage(
        dims[max(0, index - 1)],
        dims[index],
        stride=2 if index else 1,
        depth=depth * CONVNEXT_DEPTHS[index],
        ls_init_value=1e-6,
        norm_layer=LayerNorm2d,
        norm_layer_cl=LayerNorm,
    )
    return stage


def build_mobilenet(architecture: MobileNet, shape: tuple[int, ...], classes: int) -> nn.Module:
    """x_BCHW -> logits_BK with timm's own initialization; timm rounds the expanded channels to multiples of 8."""
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.efficientnet import EfficientNet

    check_image(shape, "mobilenet")
    width, repeats, expansion = architecture.width, architecture.depth, architecture.expansion
    channels = [width, -(-3 * width // 2), 2 * width, 4 * width, 6 * width]
    kinds = ["ds", *["ir"] * 4]
    stages = [
        [f"{kind}_r{repeats}_k3_s{stride}_e{expansion}_c{after}"]
        for kind, stride, after in zip(kinds, MOBILE_STRIDES, channels, strict=True)
    ]
    body: Any = EfficientNet(
        decode_arch_def(stages),
        num_classes=classes,
        num_features=4 * channels[-1],
        in_chans=shape[0],
        stem_size=2 * width,
        round_chs_fn=int,
        act_layer=nn.ReLU6,
    )
    body.conv_stem.stride = (1, 1)
    return body  # type: ignore[no-any-return]


def build_timm(architecture: Timm, shape: tuple[int, ...], classes: int) -> nn.Module:
    """x_BCHW -> logits_BK, with timm's own initialization.

    Raises UsageError for samples that are not images, a name that timm does not know and arguments that it rejects.
    """
    name, arguments = architecture.name, architecture.arguments
    check_image(shape, f"timm's {name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm

        if not timm.is_model(name):
            near = difflib.get_close_matches(name.partition(".")[0], timm.list_models(), n=3, cutoff=0.4)
            others = f"the nearest are {', '.join(near)}" if near else "timm.list_models() lists all"
            raise UsageError(f"timm {timm.__version__} has no model {name!r}; {others}")
        ours = {"pretrained": False, "checkpoint_path": None, "num_classes": classes, "in_chans": shape[0]}
        if taken := sorted(ours.keys() & arguments.keys()):
            raise UsageError(f"timm {name}: arguments contain {', '.join(taken)}, which autodistill sets itself; remove it")
        try:
            return timm.create_model(name, **ours, **arguments)  # type: ignore[no-any-return]
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            raise UsageError(f"timm {name} rejected {_call(arguments)}: {cause}") from error


def _call(arguments: object) -> str:
    return f"arguments {arguments}" if arguments else "no arguments"
