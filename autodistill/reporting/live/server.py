"""The server: only on loopback, only GET and HEAD, only a few fixed addresses, and only for pages of its own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from ...spec import AutodistillError, UsageError, digest
from ...study.record.directory import StudyDirectory
from ..page.printing import render
from .state import Report, state

LOOPBACK = "127.0.0.1"
HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Reply(NamedTuple):
    status: HTTPStatus
    kind: str
    body: bytes
    tag: str = ""


class Server:
    """Serves the report of a study at `url` until it is closed."""

    def __init__(self, directory: StudyDirectory, port: int) -> None:
        self.directory, self.report = directory, Report(directory)
        self.pages: dict[str, Callable[[], Reply]] = {"/": self._page, "/state.json": self._state, "/content": self._content}
        own = self

        class Handler(_Handler):
            server_of = own

        try:
            self._http = _Http((LOOPBACK, port), Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(f"--port {port} cannot be used: {error}; give another one, or 0 for any free port") from error
        self.port: int = self._http.server_address[1]
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.hosts = {f"{name}:{self.port}" for name in (LOOPBACK, "localhost")}

    def run(self) -> None:
        """Serves until `close` or Ctrl-C."""
        self._http.serve_forever(poll_interval=0.1)

    def __enter__(self) -> Self:
        """Serves in a thread."""
        threading.Thread(target=self.run, name="watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self.close()

    def close(self) -> None:
        self._http.server_close()

    def reply(self, host: str | None, target: str) -> Reply:
        """Only to those who name this server: a page of a stranger whose name leads here names that instead."""
        if host not in self.hosts:
            return _text(HTTPStatus.FORBIDDEN, f"open {self.url} instead\n")
        try:
            page = self.pages.get(urlsplit(target).path)
        except ValueError:  # such as //[
            page = None
        if page is None:
            return _text(HTTPStatus.NOT_FOUND, f"there is no such page; open {self.url}\n")
        try:
            return page()
        except AutodistillError as error:
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n")

    def _page(self) -> Reply:
        page = render("live.html", title=self.directory.path.name)
        return Reply(HTTPStatus.OK, "text/html; charset=utf-8", page.encode())

    def _state(self) -> Reply:
        body = state(self.directory).model_dump_json().encode()
        return Reply(HTTPStatus.OK, "application/json", body, f'"{digest(body.decode())[:16]}"')

    def _content(self) -> Reply:
        found = self.report.content()
        if found is None:
            return Reply(HTTPStatus.NO_CONTENT, "text/html; charset=utf-8", b"")
        return Reply(HTTPStatus.OK, "text/html; charset=utf-8", found.html.encode(), f'"{found.version}"')


def _text(status: HTTPStatus, text: str) -> Reply:
    return Reply(status, "text/plain; charset=utf-8", text.encode())


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves early is not an error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server_of: Server
    server_version, sys_version = "autodistill", ""
    timeout = 30

    def do_GET(self) -> None:
        reply = self.server_of.reply(self.headers.get("Host"), self.path)
        known = reply.tag and self.headers.get("If-None-Match") == reply.tag
        self._send(reply._replace(status=HTTPStatus.NOT_MODIFIED, body=b"") if known else reply)

    do_HEAD = do_GET

    def _refuse(self) -> None:
        self._send(_text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD: this page changes nothing\n"))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        if reply.tag:
            self.send_header("ETag", reply.tag)
        if reply.status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: it asks every two seconds."""


def serve(directory: Path | str, port: int) -> Server:
    """A server for the study in `directory`, which need not exist yet. Raises UsageError for a port that cannot be used."""
    return Server(StudyDirectory(directory), port)
