"""WARC files as warcio writes them, and the damage that is done to them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from mella_retrieval.data.collect.pages import Page, PageSource
from mella_retrieval.data.records import Rejected

URL = "https://a.example/"
DATE = "2024-03-01T10:22:11Z"
HTML = "text/html; charset=utf-8"


class Warc:
    """A WARC file in the making; each method writes one record."""

    def __init__(self, gzip: bool = True) -> None:
        self._file = io.BytesIO()
        self._writer = WARCWriter(self._file, gzip=gzip, warc_version="1.1")
        self.ends: list[int] = []

    def response(
        self,
        url: str,
        body: Any,
        content_type: str = HTML,
        headers: Mapping[str, str] | None = None,
        status: str = "200 OK",
        record: str = "response",
        warc: Mapping[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        """`body` is bytes or a stream; of a stream warcio is told the length, so that it is not read into memory before."""
        payload = body if hasattr(body, "read") else io.BytesIO(body)
        told = [("Content-Type", content_type)] if content_type else []
        http = None if record == "resource" else StatusAndHeaders(status, [*told, *(headers or {}).items()], protocol="HTTP/1.1")
        extra = {"WARC-Date": DATE, **(warc or {})}
        kwargs = {"warc_content_type": content_type} if record == "resource" else {}
        made = self._writer.create_warc_record(
            url, record, payload=payload, http_headers=http, warc_headers_dict=extra, length=length, **kwargs
        )
        self._writer.write_record(made)
        self.ends.append(self._file.tell())

    def other(self, kind: str, url: str = "https://a.example/") -> None:
        """A record of another kind."""
        if kind == "warcinfo":
            made = self._writer.create_warcinfo_record("x.warc", {"software": "test"})
        elif kind == "request":
            http = StatusAndHeaders("GET / HTTP/1.1", [("Host", "a.example")], is_http_request=True)
            made = self._writer.create_warc_record(url, "request", http_headers=http)
        elif kind == "revisit":
            http = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
            made = self._writer.create_revisit_record(url, "sha1:ABC", url, DATE, http)
        else:
            made = self._writer.create_warc_record(
                url, kind, payload=io.BytesIO(b"some: thing\r\n"), warc_content_type="text/plain"
            )
        self._writer.write_record(made)
        self.ends.append(self._file.tell())

    @property
    def content(self) -> bytes:
        return self._file.getvalue()

    def save(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content)
        return path


def page(text: str, charset: str = "", encoding: str = "utf-8") -> bytes:
    """A page with one picture whose alternative text is given."""
    meta = f'<meta charset="{charset}">' if charset else ""
    return f'<!doctype html><html><head>{meta}</head><body><img src="/a.jpg" alt="{text}"></body></html>'.encode(encoding)


def chunked(body: bytes, size: int = 7) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def three(zipped: bool) -> Warc:
    """Three pages."""
    warc = Warc(zipped)
    for number in range(3):
        warc.response(f"{URL}{number}", page(f"page {number}" + " and more" * 20))
    return warc


def read(source: PageSource) -> tuple[list[Page], list[str]]:
    """The pages and the reasons of what was rejected; all that the source came by is counted."""
    items = list(source)
    assert source.counts.total() == len(items) + sum(
        count for name, count in source.counts.items() if name == "pictures" or name.startswith("skipped")
    )
    return [item for item in items if isinstance(item, Page)], [item.reason for item in items if isinstance(item, Rejected)]
