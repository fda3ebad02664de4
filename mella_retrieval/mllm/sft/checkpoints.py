"""States that a killed run continues from: folders of the Trainer's, each marked when it is whole."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from mella_retrieval.artifacts import write_json

_MARK = "whole.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def mark_whole(folder: Path, step: int) -> None:
    """Say that the state of a step is written from end to end; a state without its mark was cut short."""
    write_json(folder / f"checkpoint-{step}" / _MARK, {"step": step})


def last_whole(folder: Path) -> tuple[Path, int] | None:
    """The newest whole state and its step."""
    whole = [(path, step) for step, path in _states(folder) if (path / _MARK).is_file()]
    return max(whole, key=lambda one: one[1], default=None)


def remove_broken(folder: Path) -> None:
    """Remove the states that were cut short."""
    for _, path in _states(folder):
        if not (path / _MARK).is_file():
            shutil.rmtree(path)


def _states(folder: Path) -> list[tuple[int, Path]]:
    named = [(_NAME.fullmatch(path.name), path) for path in folder.glob("checkpoint-*")]
    return [(int(match[1]), path) for match, path in named if match]
