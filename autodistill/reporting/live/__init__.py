"""The live page: the report of a study, served read-only on loopback, while a search may be running."""

from __future__ import annotations

from .server import Server, serve

__all__ = ["Server", "serve"]
