"""The version: a module of its own, because files and pages that are written name it."""

__version__ = "0.1.0"
