"""From an assignment of parameters to a Stage, and back; sizes of candidates, memoized."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from ..data import InputSpec
from ..models.sizes import check_inherit, sizes
from ..spec import (
    BuildError,
    Checkpoint,
    Imported,
    LossSpec,
    Network,
    Pretraining,
    Recipe,
    Spec,
    Stage,
    Task,
    Teacher,
    Transformers,
    UsageError,
    Value,
    digest,
)
from ..spec.architectures import ARCHITECTURE, Architecture
from ..spec.document import INIT
from ..spec.domains import Choice, Domain, Int, Log, Params, domains, fill, match, probes
from ..spec.losses import LOSS
from ..spec.measurement import Sizes
from ..spec.pretraining import PRETRAINING
from ..spec.recipe import RECIPE
from ..spec.stage import begun, canonical, pretrained, taught

COUNT = "assistants.count"
GUIDANCE = "assistants.guidance"
PARTS: dict[str, TypeAdapter[Any]] = {
    "architecture": ARCHITECTURE,
    "loss": LOSS,
    "recipe": RECIPE,
    "init": INIT,
    "pretrain": PRETRAINING,
}
Setting = Any
"""The value of one parameter: a number, a text, a bool, or the position of an option."""
Settings = dict[str, Setting]
"""Parameters by path, as `Params`, that are still being put together."""
Feasible = Callable[[Params], bool]


class Proposal(NamedTuple):
    """The parameters of a student, and what the sampler stores with them; `enqueued` names a configuration to try first."""

    params: Params
    sampled: Mapping[str, object] = {}
    enqueued: str | None = None


def teacher_stage(teacher: Teacher, task: Task, seed: int, init: Checkpoint | None = None) -> Stage:
    """The stage of a teacher that is trained from labels, beginning with the weights of `init` where given."""
    assert teacher.recipe is not None and teacher.architecture is not None
    loss, architecture = teacher.loss.resolved(), teacher.architecture
    recipe = teacher.recipe
    return canonical(Stage(task=task, architecture=architecture, loss=loss, recipe=recipe, seed=seed, init=init))


def domains_of(spec: Spec) -> dict[str, Domain]:
    """Every parameter of a search, by path."""
    found = domains(spec.student.tree())
    if spec.assistants.at_most:
        index = Int(low=0, high=len(spec.assistants.ladder) - 1)
        found[COUNT] = Int(low=spec.assistants.at_least, high=spec.assistants.at_most)
        found |= {f"assistants.{position}": index for position in range(1, spec.assistants.at_most + 1)}
        found |= domains(spec.assistants.guidance, GUIDANCE)
    return found


class Space:
    """The students that a resolved spec allows.

    Every parameter is always proposed (a fixed length suits every sampler); those that do not matter in a branch do not
    reach the stage, so equivalent assignments are one stage. An assistant that is not larger than its student is dropped.
    `measure` returns the sizes of an architecture: by building it, unless a table contains them.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        task: Task,
        teachers: tuple[Network, ...],
        inputs: InputSpec,
        classes: int,
        measure: Callable[[Value], Sizes] | None = None,
    ) -> None:
        self.spec, self.task, self.teachers = spec, task, teachers
        self.inputs, self.classes = inputs, classes
        self._measure = measure or (lambda architecture: sizes(architecture, inputs, classes))
        self.tree = spec.student.tree()
        self.ladder = spec.assistants.ladder
        self.domains = domains_of(spec)
        self.closed: set[int] = set()
        """Ladder sizes that may not be proposed anymore."""
        self._refused: dict[str, BuildError | None] = {}

    def sizes(self, architecture: Value) -> Sizes:
        return self._measure(architecture)

    def within_limits(self, architecture: Value) -> bool:
        """Whether a network may be proposed; one of your own, or of transformers, may also refuse its arguments."""
        return self.refused(architecture) is None and not self.spec.search.limits.exceeded(self.sizes(architecture))

    def refused(self, architecture: Value) -> BuildError | None:
        """Why a network of your own, or a transformer, cannot be built with these arguments, or None."""
        name = digest(architecture) if isinstance(architecture, Imported | Transformers) else ""
        if name and name not in self._refused:
            self._refused[name] = None
            try:
                self.sizes(architecture)
            except BuildError as error:
                self._refused[name] = error
        return self._refused.get(name)

    def feasible(self, params: Params) -> bool:
        """Whether the student is within the limits and its chain long enough and open. Nothing is trained to know this."""
        if not self.within_limits(self.architecture(params)):
            return False
        indices = self.ladder_indices(params)
        return not self.closed & set(indices) and len(indices) >= self.spec.assistants.at_least and self._can_begin(params)

    def ends(self, part: str) -> list[Setting]:
        """The student's architectures, losses, recipes, inits or first phases at every end of every domain, each once.

        Without architectures that refuse their arguments, unless all do.
        """
        found = self.corners(part)
        return [one for one in found if part != "architecture" or self.refused(one) is None] or found

    def corners(self, part: str) -> list[Setting]:
        """The same, with those that refuse their arguments; builds none."""
        tree = self.tree[part]
        found = [PARTS[part].validate_python(fill(tree, params)) for params in probes(tree)]
        return [one for index, one in enumerate(found) if one not in found[:index]]

    def _can_begin(self, params: Params) -> bool:
        """Whether a teacher has suitable initial weights, if they are to come from a teacher."""
        if fill(self.tree["init"], params, "init") == "random":
            return True
        try:
            self.decode(params)
        except UsageError:
            return False
        return True

    def architecture(self, params: Params) -> Architecture:
        found: Architecture = ARCHITECTURE.validate_python(fill(self.tree["architecture"], params, "architecture"))
        return found

    def ladder_indices(self, params: Params) -> list[int]:
        """Positions in the ladder of a student's assistants, the largest first."""
        count = params.get(COUNT, 0)
        least = self.sizes(self.architecture(params)).params
        chosen = {params[f"assistants.{position}"] for position in range(1, count + 1)}
        larger = [index for index in chosen if self.sizes(self.ladder[index]).params > least]
        return sorted(larger, key=lambda index: (-self.sizes(self.ladder[index]).params, index))

    def decode(self, params: Params) -> Stage:
        """The student's stage, its chain of assistants included."""
        loss: LossSpec = LOSS.validate_python(fill(self.tree["loss"], params, "loss")).resolved()
        recipe: Recipe = RECIPE.validate_python(fill(self.tree["recipe"], params, "recipe"))
        if (recipe.outputs_top or 0) >= self.classes:  # all of them
            recipe = recipe.model_copy(update={"outputs_top": None})
        indices = self.ladder_indices(params) if loss.needs_teachers() else []
        above = self.chain(indices, fill(self.spec.assistants.guidance, params, GUIDANCE))
        teachers = above if loss.needs_teachers() else ()
        phase = PRETRAINING.validate_python(fill(self.tree["pretrain"], params, "pretrain"))
        return self._stage(self.architecture(params), loss, recipe, teachers, fill(self.tree["init"], params, "init"), phase)

    def chain(self, indices: list[int], guidance: str = "serial") -> tuple[Network, ...]:
        """The teachers of a student below a chain of assistants of these ladder indices.

        serial: the assistant above it. dense: all larger networks of the chain (Son et al., "Densely Guided Knowledge
        Distillation using Multiple Teacher Assistants", ICCV 2021); assistants are taught the same way.
        """
        assistants, teachers = self.spec.assistants, self.teachers
        for index in indices:
            assert assistants.loss is not None and assistants.recipe is not None
            loss, phase = assistants.loss.resolved(), assistants.pretrain
            assistant = self._stage(self.ladder[index], loss, assistants.recipe, teachers, assistants.init, phase)
            teachers = (*teachers, assistant) if guidance == "dense" else (assistant,)
        return teachers

    def _stage(
        self,
        architecture: Architecture,
        loss: LossSpec,
        recipe: Recipe,
        teachers: tuple[Network, ...],
        init: str | dict[str, list[int]],
        phase: Pretraining | None = None,
    ) -> Stage:
        layers = tuple(init["layers"]) if isinstance(init, dict) else None
        source: Network | None = None
        if phase is not None:
            source, layers = self._pretrained(architecture, phase, init), None
        elif init != "random":
            source = self.source(architecture, teachers, layers)
        return canonical(
            Stage(
                task=self.task,
                architecture=architecture,
                loss=loss,
                recipe=recipe,
                seed=self.spec.seed,
                teachers=teachers,
                init=source,
                init_layers=layers,
            )
        )

    def _pretrained(self, architecture: Architecture, phase: Pretraining, init: str | dict[str, list[int]]) -> Stage:
        """The first phase, which all networks of this architecture share, whatever assistants are above them."""
        loss = phase.loss.resolved()
        return self._stage(architecture, loss, phase.recipe, self.teachers if loss.needs_teachers() else (), init)

    def source(self, architecture: Value, teachers: tuple[Network, ...], layers: tuple[int, ...] | None = None) -> Network:
        """Where a student's initial weights come from: the last of its teachers that is large enough, else the first.

        `layers` are those to take, if they are listed.

        Raises UsageError when none is.
        """
        for network in reversed(teachers):
            with contextlib.suppress(UsageError):
                check_inherit(architecture, network.architecture, self.inputs, self.classes, layers)
                return network
        check_inherit(architecture, self.teachers[0].architecture, self.inputs, self.classes, layers)
        return self.teachers[0]

    def encode(self, stage: Stage) -> Settings | None:
        """Parameters that decode to `stage`, or None if this space could not have proposed it."""
        plain = stage.model_dump(mode="json") | {"init": begun(stage), "pretrain": None}
        tree = self.tree | {"loss": _without_lacking(self.tree["loss"], plain["loss"])}
        if (first := pretrained(stage)) is not None:
            plain["pretrain"] = {"loss": first.loss.model_dump(mode="json"), "recipe": first.recipe.model_dump(mode="json")}
            tree["pretrain"] = _without_lacking_terms(tree["pretrain"], plain["pretrain"]["loss"])
        found = match(_without_rest(tree), plain)
        others = [one for one in stage.ancestors() if not isinstance(one, Stage) or not one.pretrains]
        own = {teacher.key() for teacher in self.teachers} | {one.key() for one in others if not taught(one)}
        assistants = [network.architecture for network in others if network.key() not in own]
        if found is None or len(assistants) > self.spec.assistants.at_most or any(one not in self.ladder for one in assistants):
            return None
        indices = [self.ladder.index(one) for one in assistants]
        places = {f"assistants.{position}": 0 for position in range(1, self.spec.assistants.at_most + 1)}
        places |= {f"assistants.{position}": index for position, index in enumerate(indices, 1)}
        low = {path: domain.ends()[0] for path, domain in self.domains.items()}
        params = low | found | places | ({COUNT: len(indices)} if COUNT in self.domains else {})
        guidances = self.domains[GUIDANCE].ends() if GUIDANCE in self.domains else (None,)
        tried = [params | ({GUIDANCE: guidance} if guidance else {}) for guidance in guidances]
        return next((one for one in tried if self.feasible(one) and self.decode(one).key() == stage.key()), None)

    def architectures(self, most: int = 2000) -> tuple[list[Architecture], bool]:
        """Distinct architectures of students, and whether these are all; a sample if there are more than `most`."""
        found, everything = self.candidates(most)
        return [self.architecture(params) for params in found], everything

    def candidates(self, most: int = 2000) -> tuple[list[Settings], bool]:
        """The parameters of each of these architectures, and whether these are all."""
        inner = domains(self.tree["architecture"], "architecture")
        everything = math.prod(domain.count() for domain in inner.values()) <= most
        draws = product(inner) if everything else _draws(inner, most // 10)
        found: dict[str, Settings] = {}
        for params in draws:
            found.setdefault(repr(self.architecture(params)), params)
        return list(found.values()), everything

    def assistant_stages(self) -> int:
        """How many different assistants can be trained: one for each chain down to it, and each guidance of longer ones."""
        ways = len(self.domains[GUIDANCE].ends()) if GUIDANCE in self.domains else 1
        chains = [math.comb(len(self.ladder), length) for length in range(1, self.spec.assistants.at_most + 1)]
        return sum(count * (ways if length > 1 else 1) for length, count in enumerate(chains, 1))


def _without_lacking(tree: object, loss: Mapping[str, object]) -> object:
    """The tree without the terms that a loss lacks: their weight is 0, or the other weights leave no rest."""
    if not isinstance(tree, dict):
        return tree
    return {name: term for name, term in tree.items() if not isinstance(term, dict) or loss.get(name) is not None}


def _without_lacking_terms(tree: object, loss: Mapping[str, object]) -> object:
    """The tree of a first phase without the terms that its loss lacks, in each option."""
    if isinstance(tree, Choice):
        return Choice(options=tuple(_without_lacking_terms(option, loss) for option in tree.options))
    return tree | {"loss": _without_lacking(tree["loss"], loss)} if isinstance(tree, dict) else tree


def _without_rest(tree: object) -> object:
    """The tree without the weights that are computed from others: `match` does not compare missing keys."""
    if isinstance(tree, Choice):
        return Choice(options=tuple(_without_rest(option) for option in tree.options))
    if isinstance(tree, dict):
        return {key: _without_rest(item) for key, item in tree.items() if item != "rest"}
    return tree


def _values(domain: Domain) -> list[Setting]:
    return list(range(domain.low, domain.high + 1)) if isinstance(domain, Int) else list(dict.fromkeys(domain.ends()))


def product(inner: Mapping[str, Domain]) -> Iterator[Settings]:
    """Every assignment of finite domains."""
    for values in itertools.product(*map(_values, inner.values())):
        yield dict(zip(inner, values, strict=True))


def _draws(inner: Mapping[str, Domain], count: int) -> Iterator[Settings]:
    """The corners first, then random assignments."""
    rng = random.Random(0)
    for end in (0, -1):
        yield {path: domain.ends()[end] for path, domain in inner.items()}
    for _ in range(count):
        yield {path: draw(domain, rng) for path, domain in inner.items()}


def draw(domain: Domain, rng: random.Random) -> Setting:
    """A random value of a domain."""
    if isinstance(domain, Int):
        return rng.randint(domain.low, domain.high)
    ends = domain.ends()
    if isinstance(domain, Choice):
        return rng.choice(ends)
    if isinstance(domain, Log):
        return min(max(math.exp(rng.uniform(math.log(ends[0]), math.log(ends[1]))), ends[0]), ends[1])
    return rng.uniform(*ends)
