"""Floor 0: frozen values, their schemas and keys, and the strict YAML door."""

from .architectures import MLP, ConvNet, ConvNeXt, Imported, MobileNet, ResNet, Timm, TimmResNet, ViT, describe
from .augmentation import Augmentation, RandAugment
from .document import Spec, Teacher
from .door import load, parse
from .errors import (
    AutodistillError,
    DataError,
    Problem,
    SpecError,
    StageFailed,
    StoreError,
    StudyError,
    UsageError,
    located,
)
from .objectives import CrossEntropy, Objective, SoftTargets, Term
from .recipe import Recipe
from .stage import NETWORK, Asked, Checkpoint, Network, Split, Stage, Task, chain, twin
from .task import TaskSpec
from .value import Value, digest

__all__ = [
    "MLP",
    "NETWORK",
    "Asked",
    "Augmentation",
    "AutodistillError",
    "Checkpoint",
    "ConvNeXt",
    "ConvNet",
    "CrossEntropy",
    "DataError",
    "Imported",
    "MobileNet",
    "Network",
    "Objective",
    "Problem",
    "RandAugment",
    "Recipe",
    "ResNet",
    "SoftTargets",
    "Spec",
    "SpecError",
    "Split",
    "Stage",
    "StageFailed",
    "StoreError",
    "StudyError",
    "Task",
    "TaskSpec",
    "Teacher",
    "Term",
    "Timm",
    "TimmResNet",
    "UsageError",
    "Value",
    "ViT",
    "chain",
    "describe",
    "digest",
    "load",
    "located",
    "parse",
    "twin",
]
