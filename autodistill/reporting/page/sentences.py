"""What the page and the slides say in the same words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ...answers.confirm.confirmation import Confirmation
from ...metrics.words import gains_in
from ...spec.task import kind_of
from ...version import __version__
from .answer import Answer
from .finalists import Finalist
from .method import cost, environments, seconds_of
from .printing import capital, hours
from .study import Study

TEACHER = "The teacher is the network that they learned from."
FRONTIER = f"The frontier is made of the students for which no smaller one is as good. {TEACHER}"
UNCONFIRMED = "Nothing is confirmed yet, so this is not a claim."
OPTIMISTIC = "are for the validation samples that students were chosen on, so they are slightly optimistic."
"""All numbers of a study that is not confirmed."""
UNRECOGNIZED = {
    (True, True): "neither the teacher nor any confirmed student predicts a test sample of {} correctly",
    (True, False): "the teacher predicts no test sample of {} correctly",
    (False, True): "no confirmed student predicts a test sample of {} correctly",
}
"""By whether the teacher and all students fail to recognize classes."""
CLASSES = 5
"""Classes that a sentence names."""


def split(study: Study) -> str:
    """The samples that the numbers are for."""
    return "validation" if study.confirmed is None else "test"


def distillation(study: Study, *, measured: bool) -> str:
    """What the picture of the gains over labels alone shows, or that there is none."""
    if not measured:
        return "No student of this study was compared with a label-only baseline."
    seeds = "" if study.confirmed is None else f", means over {_many(study.confirmed.seeds, 'fresh seed')}"
    return (
        "How much better each student is than its label-only baseline: the same student trained from the labels, without a "
        f"teacher. Gains are {gains_in(study.metric, split(study))}{seeds}; the thin line is the 95% interval, and a gain is "
        "significant if it does not cross zero (the black line)."
    )


def assistants(study: Study, found: Sequence[Finalist], *, measured: bool) -> str:
    """What the picture of the gains from assistants shows, or why there is none."""
    if measured:
        return (
            "An assistant is a network between the teacher and a student. Students with assistants are compared with the same "
            "students that learn from the teacher directly: in as many epochs (direct), and for as long as the whole chain "
            f"took (direct at equal cost). Gains are {gains_in(study.metric, split(study))}."
        )
    if study.spec.assistants.at_most == 0:
        return "This search tried no assistants (networks between the teacher and a student)."
    if any(one.chain.count(" > ") > 1 for one in found):
        return (
            "Not known before confirm trains the same students without assistants (networks between the teacher and a student)."
        )
    return "No student on the frontier has an assistant (a network between the teacher and a student)."


def compared(study: Study, shown: Finalist | None) -> str:
    """Which student is compared with the teacher."""
    if shown is None:
        return "There is no student to look at."
    later = "" if study.confirmed is not None else ". Which classes it loses is known after confirm"
    return f"The student of the answer, with {shown.params:,} parameters ({shown.architecture}), against its teacher{later}."


def unrecognized(study: Study) -> str:
    """The classes of which the teacher, all students, or both predict no test sample correctly; empty if there are none."""
    confirmed = study.confirmed
    if confirmed is None or confirmed.test.kind != "classification" or not confirmed.members:
        return ""
    students = set.intersection(*({part.label for part in one.test.by_class if not part.accuracy} for one in confirmed.members))
    names: dict[tuple[bool, bool], list[str]] = defaultdict(list)
    for part in confirmed.teacher.test.by_class:
        names[not part.accuracy, part.label in students].append(part.name)
    said = [text.format(_classes(names[who])) for who, text in UNRECOGNIZED.items() if names[who]]
    return capital(f"{'; '.join(said)}.") if said else ""


def _classes(names: Sequence[str]) -> str:
    """Such as `the classes a, b, and 3 more`."""
    if len(names) == 1:
        return f"the class {names[0]}"
    more = len(names) - CLASSES
    first, last = (names[:CLASSES], f"{more} more") if more > 0 else (names[:-1], names[-1])
    return f"the classes {', '.join(first)}{',' * (len(first) > 1)} and {last}"


def warnings(answered: Answer) -> Iterator[tuple[str, str]]:
    """The beginning of each warning about the answer, and the rest of it."""
    if answered.forced:
        between = "The confidence of the answer does not cover choices that were made in between."
        opened = f"The test split was opened again {_many(answered.forced, 'time')}"
        yield opened, f", by force, after the search continued. {between}"
    if answered.later:
        yield "The search continued:", f" {answered.later}."


def searched(study: Study) -> str:
    """Why a student of a confirmed study has two values on the validation samples."""
    label = study.metric.label
    return f"This is the {label} of the seed that the search trained; the table shows that of the weights that confirm chose."


def trials(study: Study) -> str:
    """How many trials ended, and how."""
    found = study.summary.trials
    return f"{found.complete} finished, {found.stopped} stopped early, {found.failed} failed"


def method(study: Study) -> Iterator[tuple[str, str]]:
    """How the study was made: facts with their names."""
    spec, confirmed = study.spec, study.confirmed
    mark = f", fingerprint {spec.task.fingerprint[:16]}" if spec.task.fingerprint else ""
    yield "data", f"{kind_of(spec.task.dataset)[1]}{mark}"
    own = " (the data set's own)" if confirmed is not None and confirmed.own_test else ""
    tested = "test split sealed" if confirmed is None else f"{confirmed.test.n:,} test samples{own}"
    yield "splits", f"{study.n:,} validation samples, {tested}"
    fresh = "" if confirmed is None or not confirmed.seeds else f"; {_many(confirmed.seeds, 'fresh seed')} for each finalist"
    yield "seeds", f"trainings {spec.seed}, split {spec.task.split.seed}, search {spec.search.seed}{fresh}"
    yield "test split", "never opened" if confirmed is None else _opened(confirmed)
    networks = len({row.stage for row in study.rows if row.is_complete})
    yield "compared", f"{networks} networks on the validation samples{_finalists(confirmed)}"
    if confirmed is not None and confirmed.failures:
        why = "; ".join(dict.fromkeys(confirmed.failures.values()))
        yield "not confirmed", f"{_many(len(confirmed.failures), 'training run')} failed: {why}"
    yield (
        "trained with",
        "; ".join(
            f"torch {one['torch']}, Python {one['python']} on {one['device']}, {_threads(one['threads'])} ({stages} stages)"
            for one, stages in environments(study)
        ),
    )
    if confirmed is not None:
        device = confirmed.device
        where = f"{device.name} ({device.kind}), {_threads(device.threads)}"
        yield "latency on", f"{where}, with no other training by this tool at the same time"
    yield from _hours(study)
    yield "made by", f"autodistill {__version__}"


def _opened(confirmed: Confirmation) -> str:
    looks = "; ".join(
        f"{one.when} after {one.trials} trials for {one.networks} networks{', forced' if one.forced else ''}"
        for one in confirmed.opened
    )
    return f"opened {_many(len(confirmed.opened), 'time')}: {looks}"


def _finalists(confirmed: Confirmation | None) -> str:
    if confirmed is None:
        return ""
    every = f"{len(confirmed.outcomes)} networks in all, on the test samples"
    return f"; {len(confirmed.members)} finalists and their fresh seeds and baselines, as far as these were trained, {every}"


def _hours(study: Study) -> Iterator[tuple[str, str]]:
    seconds = seconds_of(study)
    confirm = f", {hours(seconds.confirm)} in confirm" if seconds.confirm else ""
    what = "all stored stages, and stopped stages up to the rung where they stopped"
    left = "waiting and failed training runs are not counted"
    yield "time", f"{hours(seconds.search)} of training in the search{confirm}, summed over workers: {what}; {left}"
    found = cost(study.spec, sum(seconds))
    if found is not None:
        prices, parts = found.prices, list[str]()
        if found.money is not None:
            parts.append(f"{found.money:.2f} {prices.currency} at {prices.per_hour:g} an hour")
        if found.kwh is not None:
            parts.append(f"{found.kwh:.3g} kWh at {prices.watts:g} W")
        yield "cost", f"{', '.join(parts)}, for these {hours(3600 * found.hours)}"


def _threads(count: object) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"
