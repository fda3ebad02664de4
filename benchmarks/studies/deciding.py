"""Which files decide the numbers of a study: its script and the package code that it imports, directly or through others."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STUDIES = Path(__file__).resolve().parent

CODE = ("encoders", "data", "embeddings", "adapters", "indexes", "benchmarks", "mllm")
"""Packages whose code decides a number; how it is shown and kept, where files come from and where an adapter goes, does not."""
NOT_DECIDING = (
    "reporting", "examples", "card", "hub", "naming", "obtain", "listing", "own_task", "mteb", "downloads", "hub_downloads",
    "archives", "common", "deciding",
)  # fmt: skip


def deciding_files(scripts: Iterable[Path]) -> list[Path]:
    """The scripts and what they import of `CODE`, imports inside functions included and those for type checkers left out."""
    found: set[Path] = set()
    waiting = list(scripts)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [file for module in _imported(ast.parse(path.read_bytes())) if (file := _file(module))]
    return sorted(path for path in found if _decides(path.relative_to(REPOSITORY)))


def _decides(path: Path) -> bool:
    own = path.parts[0] == "benchmarks" or path.parts[1] in CODE
    return own and path.stem not in NOT_DECIDING and not {"export", "report"} & set(path.parts)


def _imported(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)  # a module may be imported from its package
        yield from _imported(child)


def _file(module: str) -> Path | None:
    """The file of a module of ours, None for others."""
    base = REPOSITORY if module.partition(".")[0] == "mella_retrieval" else STUDIES
    path = base.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
