"""What a peer's script leaves behind: its numbers under its own names, with the hashes of what produced them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vectors import BED, REPOSITORY, SHARED, VectorSet, real, synthetic

from mella_retrieval.artifacts import sha256_file

RESULTS = REPOSITORY / "benchmarks" / "results" / "parity"
WORK = REPOSITORY / "runs" / "parity"

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""protocol -> language -> the peer's own name of a number -> its value."""


def record(
    script: str, peer: str, packages: tuple[str, ...], ask: Callable[[VectorSet], Scores], through: tuple[str, ...] = ()
) -> None:
    """Ask a peer about all vectors and write `benchmarks/results/parity/<peer>.json`.

    Args:
        script: `__file__` of the peer's script.
        peer: its name, that of the file.
        packages: whose versions decide the numbers.
        ask: runs the peer.
        through: files of the package that stand between the vectors and the peer.
    """
    sets = {"synthetic": synthetic()}
    if BED.is_dir():
        sets["real"] = real(WORK)
    else:
        print(f"{BED.relative_to(REPOSITORY.parent)} is not here: the real vectors are left out.")
    made_of = [Path(script).resolve(), Path(__file__).resolve(), Path(__file__).resolve().with_name("vectors.py")]
    made_of += [REPOSITORY / name for name in through]
    value = {
        "peer": peer,
        "versions": {name: version(name) for name in packages},
        "made_of": {str(path.relative_to(REPOSITORY)): sha256_file(path) for path in made_of},
        "inputs": {str(path.relative_to(SHARED.parent)): sha256_file(path) for path in sorted(BED.glob("*.*"))},
        "vectors": {name: vectors.hashes() for name, vectors in sets.items()},
        "scores": {name: ask(vectors) for name, vectors in sets.items()},
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{peer}.json"
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    print(f"{path.relative_to(REPOSITORY)}: written")


def load() -> dict[str, dict[str, Any]]:
    """Every recorded file, by peer."""
    values = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    return {value["peer"]: value for value in values}


def outdated(value: Mapping[str, Any]) -> list[str]:
    """The files that are no longer what a recorded output was made with."""
    made_of = {name: digest for name, digest in value["made_of"].items() if sha256_file(REPOSITORY / name) != digest}
    inputs = {name: SHARED.parent / name for name in value["inputs"]}
    changed = [name for name, path in inputs.items() if path.is_file() and sha256_file(path) != value["inputs"][name]]
    return [*made_of, *changed]
