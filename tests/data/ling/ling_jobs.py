"""A job for `crashing`: four pictures in shards of two, into one language."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ling_material import Describing, Translating, parallel, picture_records, recipe

from mella_retrieval.data.ling.contracts import Ask, Failed, Picture
from mella_retrieval.data.ling.job import Models
from mella_retrieval.data.ling.making import make_ling
from mella_retrieval.data.records import Records
from mella_retrieval.languages import Language

ROWS = parallel(12)
IDS = list(ROWS)[:4]


def prepare(folder: Path) -> None:
    picture_records(folder / "records", IDS)


def run(folder: Path) -> None:
    class Noted(Describing):
        def describe(self, pictures: Sequence[Picture], ask: Ask) -> Sequence[Sequence[str] | Failed]:
            _note(folder, [picture.image_id for picture in pictures])
            return super().describe(pictures, ask)

    class AlsoNoted(Translating):
        def translate(self, texts: Sequence[str], source: Language, target: Language) -> Sequence[str | Failed]:
            _note(folder, texts)
            return super().translate(texts, source, target)

    captioner = Noted({image_id: [views[0]["en"]] for image_id, views in ROWS.items()})
    models = Models(captioner, AlsoNoted.right(ROWS))
    make_ling(Records.load(folder / "records"), folder / "ling", recipe(shard=2), models, overwrite=True)


def _note(folder: Path, asked: Sequence[str]) -> None:
    with (folder / "asked.log").open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in asked)


def state(folder: Path) -> dict[str, Any]:
    """Hash of every file of the records, and all that was asked, in order."""
    out, log = folder / "ling", folder / "asked.log"
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*")) if path.is_file()}
    asked = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    stray = [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]
    return {"files": files, "asked": asked, "stray": stray}


jobs: dict[str, tuple[Callable[[Path], None], Callable[[Path], None], Callable[[Path], Any]]] = {"ling": (prepare, run, state)}
