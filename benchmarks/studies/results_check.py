"""List the results that are older than their inputs, code or recipes: `make results-check`. A listing, not a failing test."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from common import RESULTS, SHARED, hashes

from mella_retrieval.artifacts import sha256_file


def main() -> None:
    """Print one line per result."""
    for path in sorted(RESULTS.rglob("*.json")):
        value = json.loads(path.read_text(encoding="utf-8"))
        recorded = value.get("hashes") or value.get("provenance", {}).get("hashes")
        if recorded:
            reasons = list(_differences(recorded))
            print(f"{path.relative_to(RESULTS.parent)}: {'older than ' + ', '.join(reasons) if reasons else 'up to date'}")


def _differences(recorded: Mapping[str, str]) -> Iterator[str]:
    script = RESULTS.parents[1] / recorded["script"]
    if not script.is_file():
        yield f"its script {recorded['script']}, which is gone"
    elif hashes(script, [], recorded["recipes"].split())["code"] != recorded["code"]:
        yield "the code or its recipes"
    for name, digest in recorded.items():
        path = SHARED.parent / name if name.startswith("shared/") else Path()
        if name.startswith("shared/") and path.is_file() and sha256_file(path) != digest:
            yield name


if __name__ == "__main__":
    main()
