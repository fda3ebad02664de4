"""Downloads that die at every step (see `crashing`); the server stands in the process that downloads."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bad_server import Web, answer, png, serving

from mella_retrieval.artifacts import sha256_file
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.web import addresses, connecting
from mella_retrieval.data.web.fetching import FetchOptions
from mella_retrieval.data.web.pictures import download_pictures
from mella_retrieval.data.writing import write_records

OPTIONS = FetchOptions(per_host=0, threads=1, allow_private=True, robots=False, attempts=1)
PAGES: Any = {f"/{colour}": answer(png(colour), content_type="image/png") for colour in ("red", "blue")}
NAMES = (("a", "red"), ("b", "blue"), ("c", "red"), ("d", "gone"))


def prepare(folder: Path, names: Sequence[tuple[str, str]] = NAMES) -> None:
    rows = [RawRecord(name, f"http://web.example/{colour}", f"text of {name}", "en") for name, colour in names]
    write_records(folder / "records", rows, overwrite=True)


def prepare_older(folder: Path) -> None:
    """An older download, of other records, stands where the new one is to stand."""
    prepare(folder, NAMES[1:2])
    run(folder)
    prepare(folder)


def run(folder: Path) -> None:
    addresses.ask_dns = lambda host: ["127.0.0.1"]
    with serving(Web(dict(PAGES))) as web:
        connecting.create_connection = lambda address, timeout: socket.create_connection((address[0], web.port), timeout)
        download_pictures(Records.load(folder / "records"), folder / "out", OPTIONS, overwrite=True)


def state(folder: Path) -> dict[str, Any]:
    out = folder / "out"
    files = {str(path.relative_to(out)): sha256_file(path) for path in out.rglob("*") if path.is_file()}
    if files:
        Records.load(out).verify(deep=True)
    return {"out": files, "work": (folder / "out.work").exists()}


jobs = {"replace": (prepare_older, run, state)}
