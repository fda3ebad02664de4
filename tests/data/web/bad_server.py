"""A web server on this machine that does whatever a server may do: each path has its script, down to the bytes on the wire."""

from __future__ import annotations

import gzip
import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

Step = bytes | Callable[["Talk"], None]


@dataclass
class Talk:
    """One request: its head, and the connection to answer on."""

    sock: socket.socket
    path: str
    headers: dict[str, str]
    web: Web

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)


@dataclass
class Web:
    """What is served.

    Attributes:
        pages: path -> what happens: raw bytes, something that talks, or a list of these for one request after the other.
        requests: path and headers of every request (names in lower case).
    """

    pages: dict[str, Step | list[Step]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def step(self, path: str) -> Step:
        with self.lock:
            found = self.pages.get(path, MISSING)
            if isinstance(found, list):
                return found.pop(0) if len(found) > 1 else found[0]
            return found


def png(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(buffer, "PNG")
    return buffer.getvalue()


def answer(body: bytes = b"", status: int = 200, **headers: Any) -> bytes:
    """A response in order; `content_type="image/png"` and so on give its headers, None leaves one out."""
    given = {"content_length": len(body), **headers}
    lines = [f"HTTP/1.1 {status} Whatever"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def redirect(target: str, status: int = 302) -> bytes:
    return answer(status=status, location=target)


MISSING = answer(b"not here", 404, content_type="text/html")


def stall(talk: Talk) -> None:
    """Say nothing."""
    talk.web.stopping.wait(5)


def stall_in_the_middle(talk: Talk) -> None:
    talk.send(answer(b"x" * 10, content_type="image/png", content_length=1000))
    talk.web.stopping.wait(5)


def drip(talk: Talk) -> None:
    """A byte now and then, for ever."""
    talk.send(answer(content_type="image/png", content_length=100_000))
    while not talk.web.stopping.wait(0.01):
        talk.send(b"x")


def drip_head(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not talk.web.stopping.wait(0.01):
        talk.send(b"x")


def endless(talk: Talk) -> None:
    """A body without length and without end."""
    talk.send(answer(content_type="image/png", content_length=None) + b"\x89PNG\r\n\x1a\n")
    while not talk.web.stopping.is_set():
        talk.send(b"x" * 10_000)


def endless_chunk(talk: Talk) -> None:
    """A chunk of length -1, which http.client would read to the end of the connection."""
    talk.send(answer(content_type="image/png", content_length=None, transfer_encoding="chunked") + b"-1\r\n")
    while not talk.web.stopping.is_set():
        talk.send(b"x" * 100_000)


def hang_up(talk: Talk) -> None:
    """End the connection without a word."""


def reset(talk: Talk) -> None:
    talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def bomb(size: int) -> bytes:
    return answer(gzip.compress(png() + b"\0" * size), content_type="image/png", content_encoding="gzip")


@contextmanager
def serving(web: Web, context: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Serve on a free port of 127.0.0.1, every connection in its own thread."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    web.port = listener.getsockname()[1]
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=_talk, args=(web, sock, context), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield web
    finally:
        web.stopping.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join()


def _talk(web: Web, sock: socket.socket, context: ssl.SSLContext | None) -> None:
    with suppress(OSError), sock:
        sock.settimeout(5)
        with context.wrap_socket(sock, server_side=True) if context else sock as secured, secured.makefile("rb") as file:
            line = file.readline().decode("latin-1").split(" ")
            if len(line) < 2:
                return
            headers = {}
            while (header := file.readline().decode("latin-1").strip()) != "":
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            with web.lock:
                web.requests.append((line[1], headers))
            step = web.step(line[1])
            talk = Talk(secured, line[1], headers, web)
            talk.send(step) if isinstance(step, bytes) else step(talk)
