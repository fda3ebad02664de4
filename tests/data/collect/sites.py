"""A small site of two WARC files or a folder: pages, pictures, and something for each kind of filter to remove."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from random import Random

from PIL import Image
from warcs import Warc

from mella_retrieval.pocket.pictures import draw_picture
from mella_retrieval.pocket.scenes import draw_scene

HOST = "https://www.varos.example"


@cache
def drawn(seed: int, side: int = 240, quality: int = 85) -> bytes:
    """A JPEG of a scene."""
    rng = Random(f"site/{seed}")
    image = draw_picture(draw_scene(rng, "train"), rng).resize((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def plain(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "navy").save(buffer, "PNG")
    return buffer.getvalue()


PAGES = {
    "a.html": """<!doctype html><html lang="hu"><head><meta charset="utf-8"><title>Busójárás</title>
        <link rel="license" href="https://creativecommons.org/licenses/by/4.0/"></head><body>
        <img src="/logo.png" alt="Város logó"><img src="/pixel.gif" alt="Látogatók száma ma délután">
        <figure><img src="/1.jpg" alt="Busók faragott álarcban a mohácsi főtéren"><figcaption>Fotó: MTI</figcaption></figure>
        <img src="/2.jpg" alt="IMG_2034.JPG"><img src="/gone.jpg" alt="A régi híd a folyó fölött">
        <img src="/small.jpg" alt="Kalács a piaci pulton reggel"></body></html>""",
    "b.html": """<!doctype html><html lang="hu"><head><meta charset="utf-8"><title>Hímzés</title></head><body>
        <img src="/3.jpg" alt="Kalocsai hímzés virágokkal egy fehér kötényen" title="Kézimunka a kalocsai múzeumból">
        <img src="/1-kicsi.jpg" alt="Maszkos alakok a tér közepén">
        <img src="/4.jpg" alt="Kalocsai hímzés virágokkal egy fehér kötényen!">
        <img src="/wide.png" alt="Hosszú szalag a lap tetején"><img src="/2.jpg" alt="Írjon: eva@varos.example"></body></html>""",
}
PICTURES = {
    "1.jpg": drawn(1),
    "1-kicsi.jpg": drawn(1, 160, 50),
    "2.jpg": drawn(2),
    "3.jpg": drawn(3),
    "4.jpg": drawn(4),
    "small.jpg": drawn(5, 60),
    "logo.png": plain((120, 60)),
    "pixel.gif": plain((1, 1)),
    "wide.png": plain((900, 100)),
}
KEPT = {
    ("1.jpg", "Busók faragott álarcban a mohácsi főtéren"),
    ("3.jpg", "Kalocsai hímzés virágokkal egy fehér kötényen"),
    ("3.jpg", "Kézimunka a kalocsai múzeumból"),
}
REMOVED = {
    "boilerplate": 2,
    "file-name": 0,
    "length": 1,
    "icon": 1,
    "personal": 1,
    "image-broken": 1,
    "image-size": 1,
    "aspect": 1,
    "duplicate-image": 1,
    "duplicate-text": 1,
}
QUICK = ("filters.language=null",)
"""Overrides for tests in which the models of the language filter need not be loaded."""


def write_folder(folder: Path) -> Path:
    site = folder / "www.varos.example"
    site.mkdir(parents=True)
    for name, html in PAGES.items():
        (site / name).write_text(html, encoding="utf-8")
    for name, data in PICTURES.items():
        (site / name).write_bytes(data)
    return folder


def write_warcs(folder: Path) -> Path:
    """One file for each page; the pictures stand in the last, and there is something else in both."""
    for number, (name, html) in enumerate(PAGES.items()):
        warc = Warc()
        warc.other("warcinfo")
        warc.response(f"{HOST}/{name}", html.encode())
        warc.response(f"{HOST}/style.css", b"body {}", "text/css")
        if number == len(PAGES) - 1:
            for picture, data in PICTURES.items():
                warc.response(f"{HOST}/{picture}", data, "image/jpeg")
        warc.save(folder / f"crawl-{number}.warc.gz")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
