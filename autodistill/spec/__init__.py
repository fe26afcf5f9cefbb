"""Floor 0: frozen values, their schemas and keys, and the strict YAML door."""

from .architectures import MLP, ConvNet, Imported, ResNet, Timm, describe
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
from .objectives import (
    Attention,
    Cosine,
    CrossEntropy,
    Decoupled,
    Dist,
    FeatureTerm,
    Hint,
    Objective,
    Pair,
    Relational,
    Similarity,
    SoftTargets,
    Term,
)
from .recipe import Recipe
from .stage import NETWORK, Checkpoint, Network, Split, Stage, Task, chain
from .task import TaskSpec
from .value import Value, digest

__all__ = [
    "MLP",
    "NETWORK",
    "Attention",
    "AutodistillError",
    "Checkpoint",
    "ConvNet",
    "Cosine",
    "CrossEntropy",
    "DataError",
    "Decoupled",
    "Dist",
    "FeatureTerm",
    "Hint",
    "Imported",
    "Network",
    "Objective",
    "Pair",
    "Problem",
    "Recipe",
    "Relational",
    "ResNet",
    "Similarity",
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
    "UsageError",
    "Value",
    "chain",
    "describe",
    "digest",
    "load",
    "located",
    "parse",
]
