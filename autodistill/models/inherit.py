"""Initializes a network with the weights of a larger one of the same family.

A shallower student takes every k-th layer (Sanh et al., DistilBERT, 2019), a narrower one takes the leading slice of each
tensor: leading channels, leading heads. A network of your own takes over what its `inherit(self, teacher)` does or, if its
class has none, the leading slice of each tensor of the same name. Transformers are in `encoder_weights`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ..spec import UsageError
from .encoder_weights import copies as of_an_encoder
from .encoders import Encoder
from .features import Stack, is_attention, taken
from .imported import can_inherit, inherit_own_way
from .tables import Embedded, Embedding

if TYPE_CHECKING:
    from . import Network

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
WAY_OUT = "inherit from a network of the same family and proportions that is at least as deep and as wide"


class Pair(NamedTuple):
    """A module of the student, the source's module that it takes its weights from, and their names."""

    student: nn.Module
    source: nn.Module
    name: str
    source_name: str


def inherit(student: Network, source: Network, layers: Sequence[int] | None = None) -> None:
    """Copies the weights of `source` into `student`, in place, all or nothing.

    `layers` lists those that a transformer takes instead of every k-th.

    If the student has m blocks and the source n, block i takes `taken(m, n)[i]`; norm statistics, mean and std, and those of
    the values of a regression are copied, too. Only a convnet's first linear layer keeps its own initialization if the two pool
    to maps of different sizes. Raises UsageError if the student is larger in some dimension or the two differ in structure.
    """
    if can_inherit(student.body):
        inherit_own_way(student.body, source.body)
        return
    if isinstance(student.body, Encoder):
        _copy(student, source, _of_encoders(student.body, source.body, layers))
        return
    if layers is not None:
        raise UsageError("a list of layers applies only to transformers; use init: from_teacher")
    if student.mean is None and not isinstance(student.body, Embedded):  # a network of your own
        pairs = list(_by_name(student.body, source.body))
    else:
        pairs = list(_pairs(student.body, source.body))
    _copy(student, source, [copy for take in (_whole, _by_heads) for pair in pairs for copy in take(pair)])


def _copy(student: Network, source: Network, copies: Sequence[tuple[Tensor, Tensor]]) -> None:
    """The copies, and the numbers by which both standardize."""
    known = dict(source.named_buffers(recurse=False))
    copies = [*copies, *((mine, known[name]) for name, mine in student.named_buffers(recurse=False) if name in known)]
    with torch.no_grad():
        for target, part in copies:
            target.copy_(part)


def _of_encoders(student: Encoder, source: nn.Module, layers: Sequence[int] | None) -> Sequence[tuple[Tensor, Tensor]]:
    """Raises UsageError if the source is not a transformer."""
    if not isinstance(source, Encoder):
        raise UsageError("the source is not of family transformers, so it has no weights for a transformer; use init: random")
    with torch.no_grad():
        return of_an_encoder(student, source, layers)


def _by_name(student: nn.Module, source: nn.Module) -> Iterator[Pair]:
    """The modules that hold tensors, each with its namesake. Raises UsageError if one has none."""
    others = dict(source.named_modules())
    for name, module in student.named_modules():
        if _tensors(module) and name not in others:
            way = f"give the class of {type(student).__name__} a method inherit(self, teacher)"
            raise UsageError(f"the source has no module {name!r} from which the student could take weights; {way}")
        if _tensors(module):
            yield Pair(module, others[name], name, name)


def _pairs(student: nn.Module, source: nn.Module, name: str = "", source_name: str = "") -> Iterator[Pair]:
    """All modules of the student with their source modules, from the outside in."""
    pair = Pair(student, source, name, source_name)
    if type(student) is not type(source):
        raise _differ(pair, type(student).__name__, type(source).__name__)
    yield pair
    if isinstance(student, Stack) and isinstance(source, Stack):
        children = _in_flat(student, source, pair)
    elif _is_blocks(student) and _is_blocks(source):
        children = _every_kth(_names(student), _names(source), pair, "blocks")
    elif _names(student) == _names(source):
        children = [(child, child) for child in _names(student)]
    else:
        raise _differ(pair, f"made of {', '.join(_names(student))}", f"made of {', '.join(_names(source))}")
    for one, other in children:
        below, source_below = f"{name}.{one}".lstrip("."), f"{source_name}.{other}".lstrip(".")
        yield from _pairs(student.get_submodule(one), source.get_submodule(other), below, source_below)


def _is_blocks(module: nn.Module) -> bool:
    """Whether a module is a list of blocks of one class, each with submodules that contain no such list."""
    children = list(module.children())
    if not isinstance(module, nn.Sequential | nn.ModuleList) or not children:
        return False
    alike = len({type(child) for child in children}) == 1 and all(_names(child) for child in children)
    return alike and not any(_is_blocks(inner) for child in children for inner in child.modules())


def _every_kth(names: Sequence[str], sources: Sequence[str], pair: Pair, what: str) -> list[tuple[str, str]]:
    if len(names) > len(sources):
        raise _differ(pair, f"{len(names)} {what} deep", f"only {len(sources)}")
    return [(name, sources[index]) for name, index in zip(names, taken(len(names), len(sources)), strict=True)]


def _in_flat(student: Stack, source: Stack, pair: Pair) -> list[tuple[str, str]]:
    """mlp: the k-th hidden layer. convnet: the k-th convolution and its norm, then each linear layer."""
    (convs, norms, linears), (source_convs, source_norms, source_linears) = _kinds(student), _kinds(source)
    if bool(convs) != bool(source_convs) or (convs and len(linears) != len(source_linears)):
        kinds, source_kinds = f"{len(convs)} convolutions and {len(linears)}", f"{len(source_convs)} and {len(source_linears)}"
        raise _differ(pair, f"made of {kinds} linear layers", f"made of {source_kinds}")
    if not convs:
        hidden = _every_kth(linears[:-1], source_linears[:-1], pair, "layers")
        return [*hidden, (linears[-1], source_linears[-1])]
    layers = _every_kth(convs, source_convs, pair, "convolutions") + _every_kth(norms, source_norms, pair, "norms")
    fresh = _sides(student, convs, linears) != _sides(source, source_convs, source_linears)
    return layers + list(zip(linears, source_linears, strict=True))[int(fresh) :]


def _kinds(stack: Stack) -> tuple[list[str], list[str], list[str]]:
    """The names of convolutions, of norms and of linear layers."""
    layers = [(name, layer) for name, layer in stack.named_children() if next(layer.parameters(), None) is not None]
    convs = [name for name, layer in layers if isinstance(layer, CONVOLUTIONS)]
    linears = [name for name, layer in layers if isinstance(layer, nn.Linear)]
    return convs, [name for name, _ in layers if name not in (*convs, *linears)], linears


def _sides(stack: Stack, convs: list[str], linears: list[str]) -> int:
    """How many inputs per channel the first linear layer has; if they agree, a slice of columns is a slice of channels."""
    convolution: Any = stack.get_submodule(convs[-1])
    linear: Any = stack.get_submodule(linears[0])
    return int(linear.in_features // convolution.out_channels)


def _names(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_children()]


def _whole(pair: Pair) -> Iterator[tuple[Tensor, Tensor]]:
    """The tensors of the module itself, not of its submodules, each with the source's slice."""
    tensors, sources = _tensors(pair.student), _tensors(pair.source)
    if tensors.keys() != sources.keys():
        raise _differ(pair, f"made of {', '.join(tensors) or 'nothing'}", f"made of {', '.join(sources) or 'nothing'}")
    for name, tensor in tensors.items():
        yield _sliced(tensor, sources[name], pair, name)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))


def _by_heads(pair: Pair) -> Iterator[tuple[Tensor, Tensor]]:
    """The fused layers of an attention again, by heads: after `_whole`, whose slices mix queries, keys, and values."""
    if is_attention(pair.student):
        tensors, sources = _heads(pair.student), _heads(pair.source)
        for name in tensors.keys() & sources.keys():
            yield _sliced(tensors[name], sources[name], pair, name)


def _heads(attention: Any) -> dict[str, Tensor]:
    """Views of qkv (3, heads, D, width), its bias (3, heads, D) and proj (width, heads, D)."""
    heads, known = (attention.num_heads, attention.head_dim), dict(attention.named_parameters())
    apart = {"qkv.weight": (0, (3, *heads)), "qkv.bias": (0, (3, *heads)), "proj.weight": (1, heads)}
    return {name: known[name].unflatten(axis, sizes) for name, (axis, sizes) in apart.items() if name in known}


def _fixed(module: nn.Module, tensor: Tensor) -> range:
    """The axes that are not widths: the sides of kernels, the number of tokens, embeddings that follow one another."""
    if isinstance(module, Embedding):
        return range(tensor.dim())
    if isinstance(module, CONVOLUTIONS):
        return range(2, tensor.dim())
    return range(0 if isinstance(module, nn.Linear) or is_attention(module) else tensor.dim() - 1)


def _sliced(tensor: Tensor, source: Tensor, pair: Pair, name: str) -> tuple[Tensor, Tensor]:
    """The student's tensor and the leading slice for it."""
    sizes = list(zip(tensor.shape, source.shape, strict=False))
    fits = tensor.dim() == source.dim() and all(mine <= theirs for mine, theirs in sizes)
    if not fits or any(sizes[axis][0] != sizes[axis][1] for axis in _fixed(pair.student, tensor)):
        one, other = f"{pair.name}.{name}".lstrip("."), f"{pair.source_name}.{name}".lstrip(".")
        how = "differs from" if fits else "is larger than"
        raise UsageError(
            f"the student's {one} {tuple(tensor.shape)} {how} the source's {other} {tuple(source.shape)}; {WAY_OUT}"
        )
    return tensor, source[tuple(slice(size) for size in tensor.shape)]


def _differ(pair: Pair, student: str, source: str) -> UsageError:
    one, other = pair.name or "body", pair.source_name or "body"
    return UsageError(f"the student's {one} is {student}, but the source's {other} is {source}; {WAY_OUT}")
