"""Our numbers beside the recorded ones of the peers, on the same vectors: `.venv/bin/python benchmarks/parity/check.py`.

Prints a table and keeps it in benchmarks/README.md; ends with 1 where a difference is larger than allowed or the vectors are
not those that a peer was asked about. The same is a test: tests/benchmarks/test_parity.py.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from recorded import WORK, load, outdated
from vectors import BED, REPOSITORY, VectorSet, real, synthetic

from mella_retrieval.benchmarks.evaluation import rank_system
from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT, MAP, MRR, NDCG, TEXT_TO_IMAGE, summarise
from mella_retrieval.benchmarks.protocols import get_protocol

sys.path.append(str(Path(__file__).resolve().parents[1] / "studies"))

ALLOWED = {"clip-benchmark": 1e-6, "mteb": 1e-5, "sentence-transformers": 1e-5}  # mteb rounds to five decimals
_METRICS = {"hit_rate": "hit rate@{}", "accuracy": "hit rate@{}", "recall": "recall@{}", "ndcg": NDCG, "mrr": MRR, "map": MAP}
_NAME = re.compile(r"(?P<way>t2i|i2t)_(cosine_)?(?P<metric>\w+?)(@|_at_)(?P<k>\d+)")
_CLIP = re.compile(r"(?P<gallery>image|text)_retrieval_recall@(?P<k>\d+)")


@dataclass(frozen=True)
class Compared:
    """One number, ours and a peer's."""

    peer: str
    protocol: str
    language: str
    direction: str
    metric: str
    ours: float
    theirs: float

    @property
    def difference(self) -> float:
        """Without sign."""
        return abs(self.ours - self.theirs)

    @property
    def equal(self) -> bool:
        """Whether it is within what is allowed for the peer."""
        return self.difference <= ALLOWED[self.peer]

    @property
    def line(self) -> tuple[str, str, str, str]:
        """Where it stands in the table."""
        return self.peer, self.protocol, self.direction, self.metric if self.metric == NDCG else re.sub(r"\d+$", "k", self.metric)


def our_name(peer: str, theirs: str) -> tuple[str, str]:
    """Direction and metric, as we call them, of a peer's own name of a number."""
    if peer == "clip-benchmark":
        found = _CLIP.fullmatch(theirs)
        assert found, theirs
        return TEXT_TO_IMAGE if found["gallery"] == "image" else IMAGE_TO_TEXT, f"R@{found['k']}"
    found = _NAME.fullmatch(theirs)
    assert found, theirs
    return found["way"], _METRICS[found["metric"]].format(found["k"])


def our_numbers(vectors: VectorSet, protocol: str) -> dict[tuple[str, str, str], float]:
    """(language, direction, metric) -> value."""
    chosen = get_protocol(protocol)
    cells = rank_system("shared vectors", vectors.texts, vectors.images, vectors.evaluation, chosen)
    return {
        (cell.language, cell.direction, metric): value
        for cell in cells
        for metric, value in summarise(cell.positions, chosen.metrics).items()
    }


def compare(recorded: Mapping[str, Any], name: str, vectors: VectorSet) -> Iterator[Compared]:
    """Every number that a peer recorded for these vectors, beside ours."""
    peer = recorded["peer"]
    for protocol, languages in recorded["scores"][name].items():
        ours = our_numbers(vectors, protocol)
        for language, numbers in languages.items():
            for theirs, value in numbers.items():
                direction, metric = our_name(peer, theirs)
                own = ours[language, direction, metric] * _share(peer, direction, language, vectors)
                yield Compared(peer, protocol, language, direction, metric, own, value)


def _share(peer: str, direction: str, language: str, vectors: VectorSet) -> float:
    """clip-benchmark counts a picture without a caption as a query that fails; we do not ask it."""
    if peer != "clip-benchmark" or direction == TEXT_TO_IMAGE:
        return 1.0
    return len(np.unique(vectors.evaluation.captions[language].image)) / len(vectors.evaluation.image_ids)


def table(compared: Mapping[str, Sequence[Compared]]) -> list[str]:
    """Markdown: a line per peer, protocol, direction and metric; means over languages and cut-offs."""
    sets = list(compared)
    head = ["peer", "protocol", "direction", "metric", *(f"{name}: ours / theirs, largest difference" for name in sets)]
    lines = dict.fromkeys(one.line for values in compared.values() for one in values)
    rows = [[*line, *(_cell([one for one in compared[name] if one.line == line]) for name in sets)] for line in sorted(lines)]
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]


def _cell(values: Sequence[Compared]) -> str:
    ours, theirs = (100 * np.mean([getattr(one, side) for one in values]) for side in ("ours", "theirs"))
    return f"{ours:.3f} / {theirs:.3f}, {max(one.difference for one in values):.1e} ({len(values)} numbers)"


def problems(recorded: Mapping[str, Any], name: str, vectors: VectorSet, compared: Iterable[Compared]) -> list[str]:
    """What is not as it should be, as sentences."""
    peer = recorded["peer"]
    found = [
        f"{peer}: {one.metric} {one.direction} {one.language} ({one.protocol}, {name}) is {one.ours!r} here, {one.theirs!r} there"
        for one in compared
        if not one.equal
    ]
    if recorded["vectors"][name] != vectors.hashes():
        found.append(f"{peer}: was asked about other {name} vectors; renew it by `make parity`")
    return found


def main() -> None:
    """Compare, print, keep the table, and say what is wrong."""
    from common import write_table

    sets = {"synthetic": synthetic()}
    if BED.is_dir():
        sets["real"] = real(WORK)
    peers = load()
    wrong = [f"{peer}: no recorded output; make it by `make parity`" for peer in ALLOWED if peer not in peers]
    compared: dict[str, list[Compared]] = {name: [] for name in sets}
    for peer, recorded in peers.items():
        for name in sets.keys() & recorded["scores"].keys():
            values = list(compare(recorded, name, sets[name]))
            compared[name] += values
            wrong += problems(recorded, name, sets[name], values)
        if old := outdated(recorded):
            print(f"{peer}: recorded before a change of {', '.join(old)}")
    lines = table(compared)
    if "real" in sets:
        write_table(REPOSITORY / "benchmarks" / "README.md", "parity", lines)
    else:
        print("\n".join(lines))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
