"""A chat server of the OpenAI protocol that a test tells how to behave: it looks at the picture that it is sent, or fails."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

Behaviour = int | str | bytes | dict[str, Any] | tuple[int, dict[str, Any]] | Callable[[dict[str, Any]], Any] | None
"""A status of HTTP, "slow" (nothing comes until the test ends), the text of an answer, a whole body as JSON or bytes, a status
with a body, or what a function of the question says; None answers as usual."""


@dataclass
class Chat:
    """What is answered, and what was asked.

    Attributes:
        answer: (prompt, picture or None) -> text.
        plan: what happens to the next requests, one entry each; then all goes well.
        always: what happens to every request, if anything is to.
        models: what the server says it has.
        requests: bodies of the questions.
        headers: of the questions, names in lower case.
        released: set when slow requests may end.
    """

    answer: Callable[[str, Image.Image | None], str] = lambda prompt, picture: f"{prompt} {picture and picture.size}"
    plan: list[Behaviour] = field(default_factory=list)
    always: Behaviour = None
    models: list[str] = field(default_factory=lambda: ["some/model"])
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    most: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    address: str = ""

    @property
    def spec(self) -> str:
        """Of a captioner or translator that asks it."""
        return f"server:{self.address}/v1"

    def next(self) -> Any:
        with self._lock:
            return self.plan.pop(0) if self.plan else self.always

    @contextmanager
    def counted(self) -> Iterator[None]:
        """How many are answered at the same time; the most is kept."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1


@contextmanager
def chatting(chat: Chat | None = None) -> Iterator[Chat]:
    """Serve on a free port of 127.0.0.1."""
    chat = chat or Chat()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"chat": chat}))
    chat.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield chat
    finally:
        chat.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def picture_of(body: dict[str, Any]) -> Image.Image | None:
    """The picture of a question."""
    content = body["messages"][-1]["content"]
    for part in [] if isinstance(content, str) else content:
        if part["type"] == "image_url":
            return Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].partition(",")[2])))
    return None


def prompt_of(body: dict[str, Any]) -> str:
    """The text of a question."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else next(part["text"] for part in content if part["type"] == "text")


class _Handler(BaseHTTPRequestHandler):
    chat: Chat

    def log_message(self, *arguments: Any) -> None: ...

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.chat.models]})

    def do_POST(self) -> None:
        chat = self.chat
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with chat.counted():
            step = chat.next()
            if callable(step):
                step = step(body)
            chat.requests.append(body)
            chat.headers.append({name.lower(): value for name, value in self.headers.items()})
            if step == "slow":
                chat.released.wait(30)
            if isinstance(step, tuple):
                self._send(*step)
            elif isinstance(step, int):
                self._send(step, {"error": {"message": f"told to fail with {step}"}})
            elif isinstance(step, bytes | dict):
                self._send(200, step)
            else:
                text = step if isinstance(step, str) and step != "slow" else chat.answer(prompt_of(body), picture_of(body))
                self._send(200, completion(text))

    def _send(self, status: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with suppress(ConnectionError):  # the other side did not wait
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(body, bytes) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("retry-after-ms", "1")  # tests do not wait
            self.end_headers()
            self.wfile.write(data)


def completion(text: Any, finish: str = "stop") -> dict[str, Any]:
    """A whole answer of the protocol."""
    message = {"role": "assistant", "content": text}
    return {
        **{"id": "1", "object": "chat.completion", "created": 1, "model": "some/model"},
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
    }
