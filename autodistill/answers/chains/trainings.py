"""From candidates to stages, and their results in a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...data import Splits
from ...metrics.metric import metric_of
from ...spec import Checkpoint, CrossEntropy, Dist, LossSpec, Spec, Stage, UsageError, label_only
from ...spec.domains import Params, domains
from ...spec.stage import canonical
from ...store import Store
from ...study.preflight.prepare import check_edges, space_of
from ...study.record.rows import Stages
from ...study.sampling.first import completed
from ...study.schedule.jobs import chain_of
from ...study.schedule.plan import FRESH, direct_of, longer, whole_time, with_seed
from ...study.space import COUNT, GUIDANCE, Space
from .asked import assistants_of, layers_of
from .compare import Candidate
from .planner import Ladder
from .rules import Line

EARLY = 0.5
"""The share of its epochs after which an earlier checkpoint of the teacher is taken."""
DIST = LossSpec(ce=CrossEntropy(weight=1.0), dist=Dist(weight=2.0))
"""Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022, with the weights of their table."""
Network = Stage | Checkpoint


def trainings_of(spec: Spec, splits: Splits, store: Store) -> Trainings:
    """Those of the student of a spec that fixes its architecture, and of the ladder of its assistants.

    Everything else is as the spec fixes it, or the default. Raises UsageError if there are no assistants.
    """
    given = spec.assistants
    space = space_of(spec.model_copy(update={"assistants": type(given)(at_most=0)}), splits, store)
    params = completed(space, {})
    direct = space.decode(params)
    student, teacher = space.architecture(params), space.teachers[0].architecture
    assistants = assistants_of(given, student, teacher, direct.loss, direct.recipe, lambda one: space.sizes(one).params)
    spec = spec.model_copy(update={"assistants": assistants})
    space = Space(spec, task=space.task, teachers=space.teachers, inputs=splits.inputs, classes=splits.classes)
    check_edges(space)
    return Trainings(space, {name: params[name] for name in domains(space.tree)})


class Trainings:
    """The stages of every candidate in a space whose ladder has the largest size first.

    The first seed is the spec's, so that stages of a search are reused; the others are not used by confirmations.
    """

    def __init__(self, space: Space, params: Params) -> None:
        self.space, self.params = space, dict(params)
        self.metric = metric_of(space.spec.search)
        self.early = _early(space.teachers)
        given = (*space.teachers, *(self.early or ()))
        self.fixed = {network.key() for one in given for network in chain_of(one)}
        """The teachers and what they are made of, such as pretrained weights."""
        self._stages: dict[tuple[Candidate, int], Stage] = {}
        self.direct = self._chain(())
        if not self.direct.loss.needs_teachers():
            raise UsageError("student.loss has no term that learns from a teacher; add kd: {weight: 0.5}")

    def seeds(self, count: int) -> list[int]:
        seed = self.space.spec.seed
        return [seed, *(seed + 2 * FRESH + index for index in range(count - 1))]

    def rivals(self) -> list[Candidate]:
        """The candidates without assistants, except direct distillation itself."""
        found = [Candidate(kind="labels")]
        found += [] if self.direct.loss.dist or self.space.task.kind != "classification" else [Candidate(kind="loss")]
        return found + ([Candidate(kind="early")] if self.early else [])

    def stage(self, one: Candidate, seed: int) -> Stage:
        if (one, seed) not in self._stages:
            self._stages[one, seed] = with_seed(self._stage(one), seed, self.fixed)
        return self._stages[one, seed]

    def below(self, one: Candidate, seed: int) -> list[Stage]:
        """All stages of a candidate below the teacher, its own last. A checkpoint from the teacher's training is free."""
        stage = self.stage(one, seed)
        return [*(above for above in stage.ancestors() if above.key() not in self.fixed), stage]  # type: ignore[list-item]

    def _stage(self, one: Candidate) -> Stage:
        match one.kind:
            case "labels":
                return label_only(self.direct)
            case "loss":
                return canonical(self.direct.model_copy(update={"loss": DIST.resolved()}))
            case "early":
                assert self.early is not None
                return direct_of(self.direct, self.early)
            case "long":
                assert one.epochs is not None
                return longer(self.direct, one.epochs)
            case "assistant":
                return self.space.chain(list(one.path))[-1]  # type: ignore[return-value]
        return self._chain(one.path, one.guidance)

    def _chain(self, path: Sequence[int], guidance: str = "serial") -> Stage:
        places = {f"assistants.{position}": index for position, index in enumerate(path, 1)}
        return self.space.decode(self.params | places | {COUNT: len(path), GUIDANCE: guidance})


def _early(teachers: Sequence[Network]) -> tuple[Stage, ...] | None:
    """Checkpoints from the teachers' own trainings; None if a teacher comes from outside or has only one epoch."""
    found = [one for one in teachers if isinstance(one, Stage) and one.recipe.epochs > 1]
    if len(found) < len(teachers):
        return None
    return tuple(one.model_copy(update={"until": max(1, round(EARLY * one.recipe.epochs))}) for one in found)


class Measured:
    """Results of the candidates' trainings in the store; `left` gives the seconds that are left, on all workers."""

    def __init__(self, trainings: Trainings, stages: Stages, first: int, left: Callable[[], float]) -> None:
        self.trainings, self.stages, self.first, self.left = trainings, stages, first, left

    def height(self, one: Candidate, seed: int) -> float | None:
        key = self.trainings.stage(one, seed).key()
        return self._height(key) if self.stages.has(key) else None

    def cost(self, ones: Sequence[Candidate], seed: int) -> float:
        """Predicted from the same trainings with the first seed."""
        found: dict[str, float] = {}
        for one in ones:
            pairs = zip(self.trainings.below(one, seed), self.trainings.below(one, self.first), strict=True)
            found |= {own.key(): self._seconds(like) for own, like in pairs if not self.stages.has(own.key())}
        return sum(found.values())

    def seconds(self, one: Candidate, seed: int) -> dict[str, float]:
        """Seconds of each training below the teacher, by key."""
        return {stage.key(): self._seconds(stage) for stage in self.trainings.below(one, seed)}

    def marginal(self, one: Candidate, others: Iterable[Candidate], seed: int) -> float:
        """Seconds of what no other candidate trains with this seed."""
        shared = {stage.key() for other in others if other != one for stage in self.trainings.below(other, seed)}
        return sum(seconds for key, seconds in self.seconds(one, seed).items() if key not in shared)

    def long(self, chain: Candidate) -> Candidate | None:
        """Direct distillation for as many epochs as fit into this chain's time; None if these are no more than direct's."""
        stage = self.trainings.stage(chain, self.first)
        epochs = whole_time(stage, self.stages, self.trainings.fixed)
        return Candidate(kind="long", epochs=epochs) if epochs > stage.recipe.epochs else None

    def ladder(self) -> Ladder:
        """The ladder of these trainings."""
        space = self.trainings.space
        networks = (space.teachers[0].architecture, *space.ladder, self.trainings.direct.architecture)
        params, layers = [space.sizes(one).params for one in networks], layers_of(networks)
        return Ladder(Line.of(params), self.teacher, None if layers is None else Line.of(layers))

    def teacher(self) -> float:
        """The teacher's height; with several teachers, the first one's."""
        return self._height(self.trainings.space.teachers[0].key())

    def _height(self, key: str) -> float:
        metric = self.trainings.metric
        return float(metric.height(self.stages.measured(key).scores[metric.name].value))

    def _seconds(self, stage: Stage) -> float:
        return self.stages.measured(stage.key()).seconds if self.stages.has(stage.key()) else 0.0
