"""Fault injection: a killed search, a full disk, and a study with a damaged file.

    python benchmarks/faults.py --out SCRATCH                                     # everything; an hour or two on 2 cores
    python benchmarks/faults.py --out SCRATCH --only kills --kills 50 --runner both --seed 0
    python benchmarks/faults.py --out SCRATCH --only disk --disks 6
    python benchmarks/faults.py --out SCRATCH --only bytes --bytes 100 --cuts 20

kills   Kills one process at a random time: in turn the driver, a worker, the raylet, or Ray's head (the serial runner has
        only a driver). Then runs the same command until it succeeds.
disk    The disk of the study is too small (a tmpfs or, without the right to mount one, a file size limit). Once there is
        room, runs the same command again.
bytes   Changes one byte of one file of a confirmed study, or truncates the file. Runs every command that reads a study, in
        this process, on a copy.

Checks after `kills` and `disk`: all stages stored before are unchanged, all trials have ended, none failed, and (with the
serial runner) the frontier equals that of a search without faults. After `bytes`, the worst result of any command counts:
believed (it succeeded with another answer), unnamed (it failed and did not name the file), named (it failed and named the
file), made again (the file was restored), harmless. Values that vary between two runs, such as seconds, are not compared.

Prints a line for each fault, and a Markdown table. The exit code is 1 if there is a finding.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from autodistill.cli import main as autodistill

TRIALS, RESTARTS = 10, 4
LATE: list[int] = []
"""Whether the command that was given last took too long."""
VICTIMS = (("serial", "driver"), ("ray", "driver"), ("ray", "worker"), ("ray", "raylet"), ("ray", "head"))
GOOD = ("as it was", "named", "made again", "harmless")
UNTRIED = "none was there to kill"
"""Neither good nor a finding: nothing was tried. So often another instant is drawn instead."""
DRAWS = 3
SPEC = """\
study: faults
task: {{dataset: {data}, split: {{validation: 0.25, test: 0.25, seed: 0}}}}
teacher:
  architecture: {{family: mlp, depth: 2, width: 64}}
  recipe: {{epochs: 20, batch_size: 64, learning_rate: 0.005}}
student:
  architecture: {{family: mlp, depth: {{int: [1, 2]}}, width: {{int: [2, 24]}}}}
  loss: {{ce: {{weight: rest}}, kd: {{weight: {{uniform: [0, 1]}}, temperature: {{log: [1, 16]}}}}}}
  recipe: {{epochs: {epochs}, batch_size: 64, learning_rate: 0.005}}
assistants:
  at_most: 1
  ladder: [{{family: mlp, depth: 1, width: 32}}]
  loss: {{ce: {{weight: 0.1}}, kd: {{weight: 0.9, temperature: 4}}}}
  recipe: {{epochs: {epochs}, batch_size: 64, learning_rate: 0.005}}
search: {{trials: {trials}, seed: 0}}
resources: {{gpus: 0}}
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one fault: `became` is one of GOOD, or a finding that `detail` explains."""

    part: str
    fault: str
    became: str
    detail: str = ""

    def line(self) -> str:
        return f"{self.part}: {self.fault}: {self.became}{f': {self.detail}' if self.detail else ''}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="scratch folder")
    parser.add_argument("--only", choices=("kills", "disk", "bytes"))
    parser.add_argument("--runner", choices=("serial", "ray", "both"), default="both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--disks", type=int, default=6)
    parser.add_argument("--bytes", type=int, default=100)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=30, help="training epochs of each student (default: 30)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that nothing is left running, and nothing mounted
    print(f"seed {arguments.seed}", flush=True)
    scratch = Scratch(arguments.out.absolute(), arguments.seed, arguments.epochs)
    runners = [name for name in ("serial", "ray") if arguments.runner in (name, "both")]
    found: list[Outcome] = []
    parts = {
        "kills": lambda: kills(scratch, arguments.kills, runners),
        "disk": lambda: disks(scratch, arguments.disks, runners),
        "bytes": lambda: damages(scratch, arguments.bytes, arguments.cuts),
    }
    for name, part in parts.items():
        for outcome in part() if arguments.only in (None, name) else ():
            print(outcome.line(), flush=True)
            found.append(outcome)
    print(table(found, arguments.seed))
    return int(bool(findings_of(found)))


def table(found: Sequence[Outcome], seed: int) -> str:
    """Faults by what became of them, then each finding."""
    counts = Counter((one.part, kind(one.fault), one.became) for one in found)
    lines = ["", f"Seed {seed}, {len(found)} faults.", "", "| part | fault | became | n |", "|---|---|---|---|"]
    lines += [f"| {part} | {what} | {became} | {n} |" for (part, what, became), n in sorted(counts.items())]
    findings = findings_of(found)
    return "\n".join([*lines, "", f"Findings: {len(findings)}", *(f"- {one.line()}" for one in findings)])


def findings_of(found: Sequence[Outcome]) -> list[Outcome]:
    return [one for one in found if one.became not in (*GOOD, UNTRIED)]


def kind(fault: str) -> str:
    """A fault without its place and time."""
    return fault.partition(" at ")[0]


class Scratch:
    """Data, spec and random numbers of all parts, and a study without faults of each runner."""

    def __init__(self, root: Path, seed: int, epochs: int) -> None:
        self.root, self.random = root, random.Random(seed)
        self.root.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        y = np.arange(1200) % 8
        centers = rng.normal(size=(8, 20))
        np.savez(root / "data.npz", x=(centers[y] + rng.normal(size=(1200, 20))).astype(np.float32), y=y)
        self.spec = root / "spec.yaml"
        self.spec.write_text(SPEC.format(data=root / "data.npz", trials=TRIALS, epochs=epochs))
        self._whole: dict[str, tuple[Path, float]] = {}
        self._copies = 0

    def whole(self, runner: str) -> tuple[Path, float]:
        """A finished study, made without faults once, and the seconds that it took."""
        if runner not in self._whole:
            out, started = self.fresh(f"whole-{runner}"), time.monotonic()
            with Search(self, out, runner) as search:
                search.process.wait(600)
            assert search.process.returncode == 0, search.said()
            self._whole[runner] = out, time.monotonic() - started
            print(f"{runner}: a search without faults takes {self._whole[runner][1]:.1f} s", flush=True)
        return self._whole[runner]

    def copy(self, study: Path) -> Path:
        """A copy with a new name each time, so that no cache of this process hides a change to a file."""
        self._copies += 1
        return shutil.copytree(study, self.fresh(f"copy-{self._copies:04}"))

    def fresh(self, name: str) -> Path:
        shutil.rmtree(self.root / name, ignore_errors=True)
        return self.root / name


class Search:
    """`autodistill search` in a separate process; on exit, all its processes are killed.

    Ray's processes outlive a killed driver. They are recorded while it lives, because they have no parent afterwards.
    """

    def __init__(self, scratch: Scratch, out: Path, runner: str, before: Callable[[], None] | None = None) -> None:
        self.log = scratch.root / f"{out.name}.log"
        command = [sys.executable, "-m", "autodistill", "search", str(scratch.spec), "--out", str(out), "--runner", runner]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, preexec_fn=before)
        self.driver = psutil.Process(self.process.pid)
        self.family: dict[int, psutil.Process] = {}

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_: object) -> None:
        self.look()
        for one in [self.driver, *self.family.values()]:
            with contextlib.suppress(psutil.Error):  # compares times of creation too: never another's process
                one.kill()
        psutil.wait_procs(list(self.family.values()), timeout=10)
        self.process.wait(10)

    def look(self) -> list[psutil.Process]:
        """Its descendants, and theirs that lost their parent."""
        for root in [self.driver, *list(self.family.values())]:
            with contextlib.suppress(psutil.Error):
                self.family |= {one.pid: one for one in root.children(recursive=True)}
        return [one for one in self.family.values() if one.is_running()]

    def victim(self, who: str) -> psutil.Process | None:
        """The process to kill, or None where there is none now."""
        if who == "driver":
            return self.driver if self.process.poll() is None else None
        found = [one for one in self.look() if is_a(one, who)]
        return found[0] if found else None

    def wait(self, seconds: float) -> bool:
        """Whether it ended in time."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.look()
            time.sleep(0.2)
        return self.process.poll() is not None

    def said(self) -> str:
        """The last line of its output that is not part of a table."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line and line[0] not in "┏┃┡│└"]
        return lines[-1][:300] if lines else ""


def is_a(process: psutil.Process, who: str) -> bool:
    try:
        words = process.cmdline() or [""]
    except psutil.Error:
        return False
    if who == "worker":
        return words[0].startswith("ray::") and "Train" in " ".join(words)
    return Path(words[0]).name == {"raylet": "raylet", "head": "gcs_server"}[who]


# Kills


def kills(scratch: Scratch, number: int, runners: Sequence[str]) -> Iterator[Outcome]:
    turns = [turn for turn in VICTIMS if turn[0] in runners]
    for index in range(number):
        for _ in range(1 + DRAWS):
            outcome = killed(scratch, *turns[index % len(turns)])
            yield outcome
            if outcome.became != UNTRIED:
                break


def killed(scratch: Scratch, runner: str, who: str) -> Outcome:
    whole, seconds = scratch.whole(runner)
    out, after = scratch.fresh("killed"), scratch.random.uniform(0.1, 0.9) * seconds
    fault, limit = f"{runner}, {who} at {after:.1f} s", 4 * seconds + 60
    with Search(scratch, out, runner) as search:
        search.wait(after)
        victim = wait_for(lambda: search.victim(who), search)
        before = stored(out)
        if victim is None:
            return Outcome(part="kills", fault=fault, became=UNTRIED)
        victim.kill()
        if not search.wait(limit):
            return Outcome(
                part="kills", fault=fault, became="hang", detail=f"still running {limit:.0f} s later: {search.said()}"
            )
        fault += f" ({len(before)} stages stored)"
        said = search.said() if search.process.returncode not in (0, -signal.SIGKILL) else ""
    return ended(scratch, "kills", fault, out, runner, whole, before, said)


def wait_for(find: Callable[[], psutil.Process | None], search: Search) -> psutil.Process | None:
    while (found := find()) is None and search.process.poll() is None:
        time.sleep(0.05)
    return found


def ended(
    scratch: Scratch, part: str, fault: str, out: Path, runner: str, whole: Path, before: dict[str, str], said: str
) -> Outcome:
    """Runs the same command until it succeeds, then checks the result."""
    limit = 4 * scratch.whole(runner)[1] + 60
    for _ in range(RESTARTS):
        with Search(scratch, out, runner) as search:
            if not search.wait(limit):
                return Outcome(part=part, fault=fault, became="hang", detail=f"restarted, still running after {limit:.0f} s")
            if search.process.returncode == 0:
                break
            said = search.said()
    else:
        return Outcome(part=part, fault=fault, became="fails every restart", detail=said)
    wrong = differences(out, whole, before, same_frontier=runner == "serial")
    became = "; ".join(wrong) or "as it was"
    if not wrong:
        shutil.rmtree(out, ignore_errors=True)
    return Outcome(part=part, fault=fault, became=became, detail=said)


def stored(out: Path) -> dict[str, str]:
    """sha256 of every file of the complete stages, by name; only of files that the manifest names."""
    found = {}
    for manifest in (out / "store" / "stages").glob("*/stage.json"):
        attempt = manifest.parent / json.loads(manifest.read_bytes())["attempt"]
        for path in (manifest, *attempt.iterdir()):
            found[str(path.relative_to(out))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def differences(out: Path, whole: Path, before: dict[str, str], *, same_frontier: bool) -> list[str]:
    after, found = stored(out), json.loads((out / "frontier.json").read_bytes())
    wrong = []
    if changed := [name for name, content in before.items() if after.get(name) != content]:
        wrong.append(f"{len(changed)} stored files changed, such as {changed[0]}")
    trials = found["trials"]
    if trials["failed"]:
        wrong.append(f"{trials['failed']} failed trials ({reasons(out)})")
    if sum(trials.values()) != TRIALS:
        wrong.append(f"{sum(trials.values())} trials instead of {TRIALS}")
    if same_frontier and frontier(out) != frontier(whole):
        wrong.append("the frontier differs")
    return wrong


def frontier(out: Path) -> list[Any]:
    members = json.loads((out / "frontier.json").read_bytes())["frontier"]
    return [[row[name] for name in ("stage", "role", "params", "accuracy", "label_only")] for row in members]


def reasons(out: Path) -> str:
    import csv

    with (out / "trials.csv").open() as file:
        return "; ".join(sorted({row["reason"][:120] for row in csv.DictReader(file) if row["state"] == "failed"}))


# A full disk


def disks(scratch: Scratch, number: int, runners: Sequence[str]) -> Iterator[Outcome]:
    for index in range(number):
        yield filled(scratch, runners[index % len(runners)])


def filled(scratch: Scratch, runner: str) -> Outcome:
    whole, _ = scratch.whole(runner)
    out, size = scratch.fresh("filled"), sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    kib = int(scratch.random.uniform(0.1, 0.9) * size / 1024)
    with small(out, kib) as (room, before):
        fault = f"{runner}, {'file size' if before else 'tmpfs'} at {kib} of {size // 1024} KiB"
        limit = 4 * scratch.whole(runner)[1] + 60
        with Search(scratch, out, runner, before) as search:
            if not search.wait(limit):
                return Outcome(part="disk", fault=fault, became="hang", detail=search.said())
            code, said = search.process.returncode, search.said()
        if code and "no space left" not in said:
            return Outcome(part="disk", fault=fault, became="does not report the full disk", detail=said)
        kept = stored(out)
        room()
        return ended(scratch, "disk", fault, out, runner, whole, kept, said)


@contextlib.contextmanager
def small(out: Path, kib: int) -> Iterator[tuple[Callable[[], None], Callable[[], None] | None]]:
    """A folder with little space. Yields a function that adds space and, if mounting is denied, a `preexec_fn`."""
    out.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", out], capture_output=True).returncode:
        largest = max(4, kib // 4) * 1024
        yield lambda: None, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        return
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", out], check=True) and None, None
    finally:
        subprocess.run(["umount", "-l", out], check=True)


# Damaged files


def damages(scratch: Scratch, flips: int, cuts: int) -> Iterator[Outcome]:
    study = confirmed(scratch)
    commands = Commands(scratch, study)
    names = sorted(str(path.relative_to(study)) for path in study.rglob("*") if path.is_file() and path.stat().st_size)
    for index in range(flips + cuts):
        name = spread(names, scratch.random)
        yield damaged(scratch, study, commands, name, flip if index < flips else cut)


def spread(names: Sequence[str], drawn: random.Random) -> str:
    """A random file: first draws the kind, because most files belong to networks and other kinds exist only once."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(kind_of(name), []).append(name)
    return drawn.choice(kinds[drawn.choice(sorted(kinds))])


def kind_of(name: str) -> str:
    return re.sub(r"[0-9a-f]{32,64}/", "", name)


def confirmed(scratch: Scratch) -> Path:
    whole, _ = scratch.whole("serial")
    study = shutil.copytree(whole, scratch.fresh("confirmed"))
    for words in (["confirm", str(study), "--seeds", "2", "--runner", "serial"], ["report", str(study)]):
        code, _, said = give(words)
        assert code == 0, said
    return study


def flip(path: Path, drawn: random.Random) -> str:
    content = bytearray(path.read_bytes())
    place = drawn.randrange(len(content))
    content[place] ^= drawn.randrange(1, 256)
    path.write_bytes(content)
    return f"byte {place}"


def cut(path: Path, drawn: random.Random) -> str:
    size = drawn.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"to {size} bytes"


class Commands:
    """The commands to run on each copy, and the answers that two undamaged copies agree on."""

    def __init__(self, scratch: Scratch, study: Path) -> None:
        self.scratch, self.key = scratch, json.loads((study / "frontier.json").read_bytes())["frontier"][0]["stage"]
        one, two = (self.all_of(scratch.copy(study), None) for _ in range(2))
        self.expected = {
            name: {place: value for place, value in one[name][1].items() if two[name][1].get(place) == value and stays(place)}
            for name in one
        }
        assert all(code in (0, 3) for code, _, _ in one.values()), {name: said for name, (code, _, said) in one.items() if code}

    def all_of(self, out: Path, stage: str | None) -> dict[str, tuple[int, dict[str, str], str]]:
        """Exit code, facts and last line of output by command. `stage` is the stage of the damaged file, if it has one."""
        spec, place = str(self.scratch.spec), str(out)
        more = ["--out", place, "--runner", "serial", "--extend", "--set", f"search.trials={TRIALS + 1}"]
        given = {
            "explain": ["explain", place, self.key],
            "report": ["report", place],
            "smallest": ["smallest", place, "--retain", "0.5", "--runner", "serial"],
            "export": ["export", place, "--to", f"{place}-export", "--retain", "0.5"],
            "confirm": ["confirm", place, "--seeds", "2", "--runner", "serial"],
            "search": ["search", spec, *more],
        } | ({} if stage is None else {"explain it": ["explain", place, stage]})
        try:
            return {name: give(words, out) for name, words in given.items()}
        finally:
            shutil.rmtree(f"{place}-export", ignore_errors=True)


def stays(place: str) -> bool:
    """Whether a fact is the same after a second confirmation: latencies are measured again."""
    return ".latency." not in place


def damaged(
    scratch: Scratch, study: Path, commands: Commands, name: str, damage: Callable[[Path, random.Random], str]
) -> Outcome:
    out = scratch.copy(study)
    whole = (out / name).read_bytes()
    fault = f"{damage.__name__} {kind_of(name)} at {damage(out / name, scratch.random)}"
    broken = (out / name).read_bytes()
    stage = next(iter(re.findall(r"store/stages/([0-9a-f]{64})/", name)), None)
    became, detail = verdict(commands, commands.all_of(out, stage), out, name)
    if became == "harmless" and (not (out / name).exists() or (out / name).read_bytes() != broken):
        became = "made again"
    if became != "believed" and (lost := overwritten(out, study, name)):
        became, detail = "believed", f"{lost} changed"
    if became in GOOD:
        shutil.rmtree(out)
    assert whole != broken
    return Outcome(part="bytes", fault=fault, became=became, detail=detail)


def verdict(commands: Commands, seen: dict[str, tuple[int, dict[str, str], str]], out: Path, name: str) -> tuple[str, str]:
    """The worst result of the commands, and its details."""
    found = {"believed": "", "unnamed": "", "named": ""}
    for command, (code, facts, said) in seen.items():
        expected = commands.expected.get(command, {})
        wrong = [place for place, value in expected.items() if facts.get(place) != value]
        if code in (0, 3) and wrong:
            found["believed"] += f"{command} says {wrong[0]} = {facts.get(wrong[0])}, was {expected[wrong[0]]}; "
        elif code not in (0, 3):
            found["named" if names_it(said, name) else "unnamed"] += f"{command} ({code}): {said}; "
    worst = next((became for became, what in found.items() if what), "harmless")
    return worst, found.get(worst, "")[:600]


def names_it(said: str, name: str) -> bool:
    """Whether the message names the file by its path in the study or by its key, and is not that of an unexpected exception."""
    key = re.findall(r"[0-9a-f]{64}", name)
    return "--debug shows where" not in said and (name in said or any(one in said for one in key))


def overwritten(out: Path, study: Path, damaged: str) -> str | None:
    """A stored file, other than the damaged one, that is no longer what it was."""
    for name, content in stored(study).items():
        path = out / name
        if name != damaged and path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() != content:
            return name
    return None


def give(words: Sequence[str], out: Path | None = None) -> tuple[int, dict[str, str], str]:
    """Exit code, flat facts and last line of output of a command that runs in this process; 124 on a timeout."""
    stdout, stderr = io.StringIO(), io.StringIO()
    LATE.clear()
    signal.signal(signal.SIGALRM, late)
    signal.alarm(300)
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            code = autodistill([*words, "--json"])
    except KeyboardInterrupt:
        if not LATE:
            raise
    except Exception as error:  # the command line lets none pass
        return 1, {}, f"{type(error).__name__}: {error} (--debug shows where)"
    finally:
        signal.alarm(0)
    if LATE:
        return 124, {}, "it takes longer than 300 s"
    text = stdout.getvalue() if out is None else stdout.getvalue().replace(str(out), "OUT")
    last = (stderr.getvalue().strip().splitlines() or [""])[-1]
    return code, dict(flat(json.loads(text))) if text else {}, last[:400]


def late(*_: object) -> None:
    """The command line takes this for Ctrl-C: it lets no error pass."""
    LATE.append(1)
    raise KeyboardInterrupt


def flat(found: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every number and text of a JSON object by its path."""
    parts = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else None
    if parts is None:
        yield path, repr(found)
        return
    for name, value in parts:
        yield from flat(value, f"{path}.{name}" if path else str(name))


if __name__ == "__main__":
    sys.exit(main())
