"""The live page: what its server answers, and to whom; that it changes nothing; and how it looks in a real Chromium."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from autodistill.reporting.live import Server, serve
from autodistill.reporting.live.state import Report, state
from autodistill.reporting.standing import Standing
from autodistill.spec import Spec, UsageError
from autodistill.study.driver import Options
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.opened import open_study, untouched

from . import pages
from .searching import search

pytestmark = pytest.mark.xdist_group("page")


@pytest.fixture
def study(raw: Path, tmp_path: Path) -> Path:
    """A copy of a finished study."""
    return Path(shutil.copytree(raw, tmp_path / "study"))


@pytest.fixture
def server(study: Path) -> Iterator[Server]:
    with serve(study, 0) as found:
        yield found


def asked(
    server: Server, target: str, method: str = "GET", host: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.putrequest(method, target, skip_host=True)
        connection.putheader("Host", f"127.0.0.1:{server.port}" if host is None else host)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def test_it_serves_a_shell_its_state_and_the_report(server: Server) -> None:
    status, headers, page = asked(server, "/")
    assert status == 200 and b"Plotly" in page and b"connect-src 'self'" in page
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    known = json.loads(asked(server, "/state.json")[2])
    assert known["phase"] == "ended" and known["sentence"] == "The search has ended: 8 of 8 trials." and known["trials"] == 8
    status, headers, content = asked(server, "/content")
    assert status == 200 and headers["ETag"] == f'"{known["report"]}"'
    assert b'id="frontier-plot"' in content and b"<html" not in content and b"Plotly.react" not in content


def test_what_is_known_is_not_sent_again(server: Server) -> None:
    for target in ("/state.json", "/content"):
        tag = asked(server, target)[1]["ETag"]
        status, headers, body = asked(server, target, If_None_Match=tag)
        assert status == 304 and headers["ETag"] == tag and not body


def test_head_has_the_headers_of_get_without_its_body(server: Server) -> None:
    for target in ("/", "/state.json", "/content", "/nothing"):
        status, headers, body = asked(server, target)
        again, same, nothing = asked(server, target, "HEAD")
        assert (again, same["Content-Length"]) == (status, headers["Content-Length"]) and body and not nothing


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_else_is_allowed(server: Server, method: str) -> None:
    status, headers, _ = asked(server, "/", method)
    assert status == 405 and headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "target",
    [
        "/study.db",
        "/../study.db",
        "/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/content/../study.db",
        "/spec.yaml",
        "/a\\b",
        "x",
        "//[",
    ],
)
def test_no_file_can_be_reached(server: Server, target: str) -> None:
    status, _, body = asked(server, target)
    assert status == 404 and body == f"there is no such page; open {server.url}\n".encode()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "localhost.evil:{port}"]
)
def test_a_stranger_whose_name_leads_here_gets_nothing(server: Server, host: str) -> None:
    """DNS rebinding: the browser believes that the page of a stranger and this server are one."""
    for target in ("/", "/state.json", "/content"):
        status, _, body = asked(server, target, host=host.format(port=server.port))
        assert status == 403 and body == f"open {server.url} instead\n".encode()
    assert asked(server, "/state.json", host=f"localhost:{server.port}")[0] == 200


def test_other_machines_do_not_reach_it(server: Server) -> None:
    assert server._http.server_address[0] == "127.0.0.1"
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in own:
        with closing(socket.socket()) as client:
            client.settimeout(2)
            assert client.connect_ex((str(address), server.port)) != 0


def test_a_port_in_use_is_refused(server: Server, study: Path) -> None:
    for port in (server.port, 70_000):
        with pytest.raises(UsageError, match=f"--port {port} cannot be used: .*; give another one, or 0"):
            serve(study, port)


def test_before_there_is_a_study_it_waits(tmp_path: Path, raw: Path) -> None:
    with serve(tmp_path / "later", 0) as server:
        known = json.loads(asked(server, "/state.json")[2])
        assert known["phase"] == "waiting" and known["sentence"] == f"Waiting for a study in {tmp_path / 'later'}."
        assert asked(server, "/content")[0] == 204 and not (tmp_path / "later").exists()
        shutil.copytree(raw, tmp_path / "later")
        assert asked(server, "/content")[0] == 200


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_writes_nothing_even_if_a_killed_search_left_a_log(study: Path) -> None:
    """SQLite itself would write the log back into the database, and leave files beside it."""
    with closing(sqlite3.connect(study / "study.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE study_user_attributes SET value_json = value_json")
        connection.commit()
        for name in ("study.db", "study.db-wal"):
            shutil.copy(study / name, study.with_name(name))
    for name in ("study.db", "study.db-wal"):
        shutil.move(study.with_name(name), study / name)
    before = contents(study)
    assert "study.db-wal" in before
    with serve(study, 0) as server:
        assert [asked(server, target)[0] for target in ("/", "/state.json", "/content")] == [200, 200, 200]
    assert contents(study) == before


@pytest.mark.slow
def test_a_search_that_writes_at_the_same_time_is_read_as_of_some_moment(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    directory, counts = StudyDirectory(tmp_path / "out"), list[int]()
    search(tiny(search__trials=1), out=directory.path, runner="serial")
    more = threading.Thread(
        target=lambda: search(tiny(search__trials=12), out=directory.path, runner="serial", options=Options(extend=True))
    )
    more.start()
    while more.is_alive():
        with untouched(directory) as copied, open_study(copied) as study:
            counts.append(len(study.trials))
    assert counts == sorted(counts) and counts[-1] > 1


def standing(**changes: object) -> Standing:
    import psutil

    own = psutil.Process()
    known = {"at": time.time(), "host": platform.node(), "process": own.pid, "started": own.create_time()}
    rest = {"done": 3, "trials": 24, "trained": 5, "reused": 1, "workers": 2, "left": 80.0, "baselines": False, "ended": False}
    return Standing(**{**known, **rest, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "phase", "sentence"),
    [
        ({}, "searching", "Searching: 3 of 24 trials have ended, about 1:20 left."),
        ({"left": None}, "searching", "Searching: 3 of 24 trials have ended."),
        ({"trials": None, "left": None}, "searching", "Searching: 3 trials have ended."),
        (
            {"baselines": True, "left": None},
            "searching",
            "3 of 24 trials have ended; training the label-only baselines of the frontier.",
        ),
        ({"ended": True}, "ended", "The search has ended: 3 of 24 trials."),
        ({"process": 2**22 + 1}, "stopped", "The search stopped after 3 of 24 trials; run the same command again to resume."),
        ({"started": 1.0}, "stopped", "The search stopped after 3 of 24 trials; run the same command again to resume."),
        ({"host": "elsewhere"}, "elsewhere", "A search on elsewhere: 3 of 24 trials have ended."),
    ],
)
def test_it_says_how_far_the_search_is(study: Path, changes: dict[str, object], phase: str, sentence: str) -> None:
    standing(**changes).write(study)
    found = state(StudyDirectory(study))
    assert (found.phase, found.sentence) == (phase, sentence)


def test_before_the_teacher_is_trained_it_says_so(study: Path) -> None:
    (study / "frontier.json").unlink()
    standing(done=0).write(study)
    found = state(StudyDirectory(study))
    assert (found.phase, found.sentence, found.report) == ("training", "The teacher is being trained.", "")


@pytest.mark.slow
def test_a_search_says_that_it_runs_and_then_that_it_has_ended(tiny: Callable[..., Spec], tmp_path: Path) -> None:
    out = tmp_path / "out"
    search(tiny(search__trials=2), out=out, runner="serial")
    found = Standing.read(out)
    assert found is not None and found.ended and found.done == 2 and found.process == os.getpid()
    (out / "progress.json").write_text("{")
    assert Standing.read(out) is None and state(StudyDirectory(out)).phase == "quiet"


def test_a_report_is_not_made_more_often_than_it_is_worth(study: Path) -> None:
    report = Report(StudyDirectory(study))
    first = report.content()
    os.utime(study / "frontier.json")
    second = report.content()
    assert first is not None and second is first, "the next one is made after a while"
    report._due = 0.0
    third = report.content()
    assert third is not None and third.version != first.version


def test_a_damaged_study_is_said(server: Server, study: Path) -> None:
    (study / "study.db").write_bytes(b"nothing")
    status, _, body = asked(server, "/content")
    assert status == 503 and b"is not a readable study" in body
    assert asked(server, "/state.json")[0] == 200


@pytest.mark.slow
def test_ctrl_c_ends_it_well(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "autodistill", "watch", str(tmp_path / "study"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith(f"watching {tmp_path / 'study'} at http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0 and process.stderr.read() == ""


# In a real Chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pages.started() as found:
        yield found


def watched(browser: Browser, server: Server) -> pages.Seen:
    page = browser.new_page(viewport={"width": 1280, "height": 700})
    page.set_default_timeout(60_000)
    seen = pages.Seen(page)
    page.on("console", lambda message: seen.said.append(message.text))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("framenavigated", lambda frame: seen.requests.append(frame.url))
    page.goto(server.url)
    return seen


TEXT = "document.getElementById('live-text').textContent"
POINTS = "document.getElementById('frontier-plot').data.reduce((sum, one) => sum + one.x.length, 0)"


@pytest.mark.slow
def test_results_arrive_without_a_reload_and_the_reader_stays_where_they_are(
    browser: Browser, tiny: Callable[..., Spec], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with serve(out, 0) as server:
        seen = watched(browser, server)
        seen.until(f"{TEXT} === {json.dumps(f'Waiting for a study in {out}.')}")
        search(tiny(search__trials=2), out=out, runner="serial")
        seen.until("document.querySelector('#frontier-plot .main-svg') !== null")
        points = seen.page.evaluate(POINTS)
        seen.page.locator('[data-sets="axis"] button[value="bytes"]').click()
        seen.page.locator("#table thead th button").nth(2).click()
        seen.page.evaluate("document.getElementById('health').scrollIntoView()")
        seen.page.evaluate("scrollBy(0, 40)")
        top = "document.getElementById('health').getBoundingClientRect().top"
        before = seen.page.evaluate(top)
        search(tiny(search__trials=10), out=out, runner="serial", options=Options(extend=True))
        server.report._due = 0.0
        seen.until(f"{TEXT} === 'The search has ended: 10 of 10 trials.' && {POINTS} > {points}")
        assert abs(seen.page.evaluate(top) - before) < 2, "the scroll position is kept"
        pressed = seen.page.locator('[data-sets="axis"] button[aria-pressed="true"]')
        assert pressed.get_attribute("value") == "bytes"
        assert seen.page.evaluate("document.querySelector('#frontier-plot .xtitle').textContent").startswith("bytes")
        assert seen.page.locator("#table thead th").nth(2).get_attribute("aria-sort") == "ascending"
        assert seen.said == [] and seen.requests == [f"{server.url}/"], "there was one navigation"
        seen.page.close()


@pytest.mark.slow
def test_a_server_that_ends_is_said_and_what_was_shown_stays(browser: Browser, study: Path) -> None:
    with serve(study, 0) as server:
        seen = watched(browser, server)
        seen.until("document.querySelector('#frontier-plot .main-svg') !== null")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 1280
    seen.until(f"{TEXT}.startsWith('autodistill watch has ended')")
    assert seen.page.locator("#frontier-plot .main-svg").count()
    seen.page.close()
