"""Keep the result of photos.sh and renew its table in benchmarks/README.md."""

from __future__ import annotations

import sys
from pathlib import Path

from common import DATA, MODELS, REPOSITORY, RESULTS, hashes, markdown, percent, save_result, write_table

from mella_retrieval.benchmarks.metrics import DIRECTIONS
from mella_retrieval.benchmarks.results import Result

INPUTS = (DATA / "flickr8k-photos" / "captions.parquet", MODELS / "squeezenet1_0" / "model.safetensors")
RECIPES = (
    "adapters/ridge.yaml",
    "benchmarks/studies/photos.yaml",
    "benchmarks/studies/photos.sh",
    "benchmarks/studies/squeezenet.py",
    "mella_retrieval/cli/data_import.py",
    "mella_retrieval/cli/embed.py",
    "mella_retrieval/cli/train.py",
    "mella_retrieval/benchmarks/run.py",
)


def main(folder: Path) -> None:
    """Copy the headline and `first` results with the hashes of what made them."""
    for protocol, source in (("all-hit", folder), ("first", folder / "first")):
        result = Result.load(source)
        made_of = hashes(Path(__file__), INPUTS, RECIPES)
        save_result(result, RESULTS / "photos" / protocol, made_of, ["bash benchmarks/studies/photos.sh"])
        languages = result.record.data.languages
        head = ["system", "T->I mean [95 %]", "I->T mean [95 %]", *(f"{code} T->I / I->T" for code in languages)]
        rows = [
            [
                system,
                *(percent(result, system, "mean", way, interval=True) for way in DIRECTIONS),
                *(" / ".join(percent(result, system, code, way) for way in DIRECTIONS) for code in languages),
            ]
            for system in ("ridge", "ridge on shuffled pairs", "shuffled pairs", "chance")
        ]
        write_table(REPOSITORY / "benchmarks" / "README.md", f"photos {protocol}", markdown(head, rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
