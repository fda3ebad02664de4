"""The command line: one small file per command. A command is a documented function that calls the library."""

from __future__ import annotations

from mella_retrieval.cli.app import main

__all__ = ["main"]
