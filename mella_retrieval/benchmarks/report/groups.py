"""Languages in blocks: by resource level and by script.

The resource level is the class of Joshi et al. 2020 in `languages.csv`: 4 and 5 high, 3 middle, 0 to 2 low.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mella_retrieval import languages
from mella_retrieval.benchmarks.report.naming import row_name, script_name

_LEVELS = ("high-resource", "middle-resource", "low-resource", "resource level unknown")


@dataclass(frozen=True)
class Block:
    """Some rows under a heading.

    Attributes:
        title: the heading.
        rows: languages or groups.
        labels: their names, in the same order.
        whole: all rows of the block where this is its first part; none where it goes on.
    """

    title: str
    rows: tuple[str, ...]
    labels: tuple[str, ...]
    whole: tuple[str, ...] = ()

    def ordered(self, key: Callable[[str], float]) -> Block:
        """The same block, its rows by falling `key`, then by name."""
        pairs = sorted(zip(self.rows, self.labels, strict=True), key=lambda pair: (-key(pair[0]), pair[1]))
        return replace(self, rows=tuple(row for row, _ in pairs), labels=tuple(label for _, label in pairs))


def block(title: str, rows: Iterable[str]) -> Block:
    """A block whose rows carry their usual names."""
    found = tuple(rows)
    return Block(title, found, tuple(row_name(row) for row in found))


def by_resource(codes: Sequence[str]) -> list[Block]:
    """Blocks of high, middle, low and unknown resource level."""
    found: dict[str, list[str]] = {level: [] for level in _LEVELS}
    for code in codes:
        found[level(code)].append(code)
    return [block(f"{name[0].upper()}{name[1:]}", rows) for name, rows in found.items() if rows]


def by_script(codes: Sequence[str]) -> list[Block]:
    """A block for each script that several languages share, largest first; the others stand together, each with its script."""
    found: dict[str, list[str]] = {}
    for code in codes:
        found.setdefault(script_name(languages.get(code).script), []).append(code)
    shared = sorted((name for name in found if len(found[name]) > 1), key=lambda name: (-len(found[name]), name))
    blocks = [block(f"{name} script", found[name]) for name in shared]
    alone = {rows[0]: name for name, rows in found.items() if len(rows) == 1}
    if alone:
        labels = [row_name(code) if name in row_name(code) else f"{row_name(code)} ({name})" for code, name in alone.items()]
        blocks.append(Block("Other scripts", tuple(alone), tuple(labels)))
    return blocks


def level(code: str) -> str:
    """The resource level of a language in words."""
    found = languages.get(code).resource_class
    return _LEVELS[3] if found is None else _LEVELS[0] if found >= 4 else _LEVELS[1] if found == 3 else _LEVELS[2]


GROUPINGS: dict[str, tuple[str, Callable[[Sequence[str]], list[Block]]]] = {
    "resource": ("Resource level", by_resource),
    "script": ("Script", by_script),
}


def fold(blocks: Sequence[Block], limit: int) -> list[list[Block]]:
    """Blocks in as few parts of about equal height as keep each below `limit` rows; a heading counts as a row.

    A block that goes on in the next part has its heading repeated there.
    """
    rest = [(found, 0) for found in blocks]
    parts: list[list[Block]] = []
    for left in range(math.ceil(_height(rest) / limit), 0, -1):
        room: float = math.ceil(_height(rest) / left) if left > 1 else math.inf
        part: list[Block] = []
        while rest and (room >= 3 or not part):
            found, start = rest.pop(0)
            stop = int(min(len(found.rows), start + max(room - 1, 1)))
            if len(found.rows) - stop == 1:  # no single row goes over
                stop += 1
            title, whole = (f"{found.title} (continued)", ()) if start else (found.title, found.rows)
            part.append(Block(title, found.rows[start:stop], found.labels[start:stop], whole))
            room -= stop - start + 1
            if stop < len(found.rows):
                rest.insert(0, (found, stop))
        if part:
            parts.append(part)
    return parts


def _height(rest: Sequence[tuple[Block, int]]) -> int:
    return sum(len(found.rows) - start + 1 for found, start in rest)
