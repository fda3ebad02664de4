"""A web server of files on this machine that can be slow of wit: it cuts, ignores ranges, fails and changes its files."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Files:
    """What is served, and how.

    Attributes:
        content: path (`/a.zip`) -> bytes.
        plan: what happens to the next requests, one entry each: a status, "cut" (half of what was asked for arrives), or a
            callable; then all goes well.
        ranges: whether ranges are honoured.
        conditions: whether If-Range is heeded.
        etags: whether ETags are sent (strong ones, of the content).
        modified: the date that is sent as Last-Modified, if any.
        lengths: whether Content-Length is sent.
        redirects: path -> address.
        requests: path and headers of every request.
    """

    content: dict[str, bytes] = field(default_factory=dict)
    plan: list[Any] = field(default_factory=list)
    ranges: bool = True
    conditions: bool = True
    etags: bool = True
    modified: str = ""
    lengths: bool = True
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""

    def url(self, path: str = "/a.bin") -> str:
        return f"{self.address}{path}"


@contextmanager
def serving(files: Files) -> Iterator[Files]:
    """Serve on a free port of 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"files": files}))
    files.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    files: Files

    def log_message(self, *arguments: Any) -> None: ...

    def do_GET(self) -> None:
        files = self.files
        files.requests.append((self.path, dict(self.headers)))
        step = files.plan.pop(0) if files.plan else ""
        if callable(step):
            step = step() or ""
        if isinstance(step, int):
            self.send_response(step)
            self.end_headers()
            return
        if self.path in files.redirects:
            self.send_response(302)
            self.send_header("Location", files.redirects[self.path])
            self.end_headers()
            return
        if self.path not in files.content:
            self.send_response(404)
            self.end_headers()
            return
        data = files.content[self.path]
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = not files.conditions or self.headers.get("If-Range", etag) in {etag, files.modified}
        start = int(span[1]) if span and files.ranges and same else 0
        if start >= len(data) and start:
            self.send_response(416)
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if files.etags:
            self.send_header("ETag", etag)
        if files.modified:
            self.send_header("Last-Modified", files.modified)
        rest = data[start:]
        if files.lengths:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        with suppress(ConnectionError):  # the other side had enough
            self.wfile.write(rest[: len(rest) // 2] if step == "cut" else rest)
