"""The job of `test_collect_crashes.py`, for `crashing.py`: two WARC files, one picture, no models to load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sites import HOST, content, drawn
from warcs import Warc

from mella_retrieval.artifacts import sha256_bytes
from mella_retrieval.data.collect.collect import collect
from mella_retrieval.data.collect.recipe import load_know
from mella_retrieval.data.extra import data_package
from mella_retrieval.data.records import Records
from mella_retrieval.errors import MellaError

# Every step is a process of its own, forked from one that has these.
LOADED = [data_package(name) for name in ("imagehash", "datasketch", "selectolax.lexbor", "warcio.archiveiterator", "w3lib.url")]
LEFT_OUT = ("boilerplate", "encoding", "language", "personal", "words")
RECIPE = load_know("know", (*(f"filters.{name}=null" for name in LEFT_OUT), "samples=2"))


def prepare(folder: Path) -> None:
    for number, text in enumerate(("Két ember áll a hídon", "Kalács a piaci pulton")):
        warc = Warc()
        warc.response(f"{HOST}/{number}.html", f'<html lang="hu"><img src="/{number}.jpg" alt="{text}"></html>'.encode())
        if number:
            warc.response(f"{HOST}/{number}.jpg", drawn(number, 120), "image/jpeg")
        warc.save(folder / "crawl" / f"{number}.warc")


def run(folder: Path) -> None:
    collect([folder / "crawl"], folder / "out", RECIPE, overwrite=True)


def state(folder: Path) -> dict[str, Any]:
    out = folder / "out"
    if not out.exists():
        return {"out": None}
    try:
        Records.load(out).verify()
    except MellaError as error:
        return {"out": str(error)}
    return {"out": {name: sha256_bytes(data) for name, data in content(out).items()}}


jobs = {"collect": (prepare, run, state)}
