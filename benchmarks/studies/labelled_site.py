"""The labelled pages of benchmarks/collecting/ as a web site: their pictures drawn, all of it as folders and as a WARC file."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from mella_retrieval.artifacts import new_folder
from mella_retrieval.pocket.pictures import draw_picture
from mella_retrieval.pocket.scenes import draw_scene

LANGUAGES = ("ar", "cs", "hu", "ko", "ru", "sr", "th", "vi")
_KINDS = {".gif": "GIF", ".png": "PNG", ".webp": "WEBP", ".ico": "ICO"}
_TYPES = {"GIF": "image/gif", "PNG": "image/png", "WEBP": "image/webp", "ICO": "image/x-icon", "JPEG": "image/jpeg"}
_ERROR = b"<!doctype html><html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>"
_DATE = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Label:
    """One labelled candidate."""

    page: str
    image: str
    text: str
    provenance: tuple[str, ...]
    lang: str
    reasons: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it this candidate."""
        return self.page, self.image, self.text


def read_labels(folder: Path) -> list[Label]:
    """All labels, language by language."""
    found = []
    for lang in LANGUAGES:
        for line in (folder / "labels" / f"{lang}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            row = {**row, "provenance": tuple(row["provenance"]), "reasons": tuple(row["reasons"])}
            found.append(Label(**row))
    return found


def read_pictures(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Address -> how to make the picture, and the blocked words of all languages."""
    pictures: dict[str, Any] = {}
    blocked: list[str] = []
    for lang in LANGUAGES:
        content = json.loads((folder / "pictures" / f"{lang}.json").read_text(encoding="utf-8"))
        pictures |= content["pictures"]
        blocked += content["blocked_words"]
    return pictures, blocked


def build(source: Path, site: Path, warc: Path) -> None:
    """Write the site: as folders of pages and pictures named after hosts, and as one WARC file with a gzip member each.

    Pages stand in the WARC in the order of their addresses, each before the pictures of its host.
    """
    pictures, _ = read_pictures(source)
    files = {url: made for url in pictures if (made := _Maker(pictures).file(url)) is not None}
    pages = sorted(path for path in (source / "pages").rglob("*.html"))
    with new_folder(site, overwrite=True) as aside:
        shutil.copytree(source / "pages", aside, dirs_exist_ok=True)
        for url, data in files.items():
            path = aside / file_of(url)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    warc.parent.mkdir(parents=True, exist_ok=True)
    with warc.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for page in pages:
            _add(
                writer, f"https://{page.relative_to(source / 'pages').as_posix()}", "text/html; charset=utf-8", page.read_bytes()
            )
        for url, data in sorted(files.items()):
            _add(writer, url, _TYPES[_format(url)] if data[:1] != b"<" else "text/html", data)


def file_of(url: str) -> str:
    """Where a picture lies below the folder of the site."""
    parts = urlsplit(url)
    return f"{parts.hostname}{unquote(parts.path)}" + (f"?{parts.query}" if parts.query else "")


def _add(writer: WARCWriter, url: str, kind: str, data: bytes) -> None:
    http = StatusAndHeaders("200 OK", [("Content-Type", kind), ("Content-Length", str(len(data)))], protocol="HTTP/1.1")
    record = writer.create_warc_record(
        url, "response", payload=io.BytesIO(data), http_headers=http, warc_headers_dict={"WARC-Date": _DATE}
    )
    writer.write_record(record)


class _Maker:
    """Makes pictures as their entries say."""

    def __init__(self, entries: dict[str, Any]) -> None:
        self._entries = entries

    def file(self, url: str) -> bytes | None:
        """The content of a picture's file; None if there is none."""
        entry = self._entries[url]
        if entry["kind"] == "missing":
            return None
        if entry["kind"] == "html":
            return _ERROR
        if urlsplit(url).path.endswith(".svg"):
            width, height = entry["size"]
            return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"></svg>'.encode()
        data = _encoded(self._image(url), _format(url), entry.get("quality", 90))
        return data[: len(data) // 2] if entry["kind"] == "cut" else data

    def _image(self, url: str) -> Image.Image:
        entry = self._entries[url]
        size = tuple(entry["size"])
        if entry["kind"] in {"scene", "cut"}:
            return scene(entry["seed"], size)
        if entry["kind"] == "near-duplicate":
            original = self._image(entry["of"])
            width, height = original.size
            cut = entry.get("crop", 0)
            box = (round(width * cut), round(height * cut), round(width * (1 - cut)), round(height * (1 - cut)))
            return original.crop(box).resize(size, Image.Resampling.LANCZOS)
        rng = Random(url)
        image = Image.new("RGB", size, tuple(rng.randrange(256) for _ in range(3)))
        if entry["kind"] == "icon" and min(size) >= 4:
            inner = Image.new("RGB", (size[0] // 2, size[1] // 2), tuple(rng.randrange(256) for _ in range(3)))
            image.paste(inner, (size[0] // 4, size[1] // 4))
        return image


@cache
def scene(seed: int, size: tuple[int, int]) -> Image.Image:
    """A picture by its seed: a scene of the pocket world in light that differs from place to place, as in a photograph.

    The pocket world has nine backgrounds; without the light two seeds could be near-duplicates of each other.
    """
    rng = Random(f"collecting/{seed}")
    drawn = draw_picture(draw_scene(rng, "train"), rng)
    side = max(size)
    drawn = drawn.resize((side, side), Image.Resampling.BICUBIC)
    left, top = ((side - length) // 2 for length in size)
    light = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    field = Image.fromarray(light).resize((side, side), Image.Resampling.BICUBIC)
    return Image.blend(drawn, field, 0.5).crop((left, top, left + size[0], top + size[1]))


def scenes(entries: dict[str, Any]) -> Iterator[tuple[str, Image.Image]]:
    """The pictures that are no near-duplicates of another, by address."""
    maker = _Maker(entries)
    for url, entry in entries.items():
        if entry["kind"] == "scene":
            yield url, maker._image(url)


def _format(url: str) -> str:
    return _KINDS.get(Path(urlsplit(url).path).suffix.lower(), "JPEG")


def _encoded(image: Image.Image, kind: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    if kind in {"JPEG", "WEBP"}:
        image.save(buffer, kind, quality=quality)
    else:
        image.save(buffer, kind)
    return buffer.getvalue()
