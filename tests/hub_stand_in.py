"""A model hub on this machine: as much of its interface as huggingface_hub uses to make, fill and read a repository."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "made-up-token"


@dataclass
class Repository:
    """Files of every commit, and which commit a branch is at."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {".gitattributes": b""}})
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})

    def commit(self, branch: str, changed: dict[str, bytes]) -> str:
        files = self.files(branch) | changed
        parts = [f"{name}\0{hashlib.sha256(data).hexdigest()}" for name, data in sorted(files.items())]
        oid = hashlib.sha1("\n".join([str(len(self.commits)), *parts]).encode()).hexdigest()
        self.commits[oid] = files
        self.branches[branch] = oid
        return oid

    def files(self, revision: str) -> dict[str, bytes]:
        return self.commits[self.branches.get(revision, revision)]


class Hub:
    """The stand-in's state: its repositories, large files by hash, and every request as `METHOD path`.

    A data set's repository goes by the name `datasets/OWNER/NAME`; such are only read here, also by `datasets.load_dataset`.

    Args:
        large: ending of the names of files that it wants as large ones (git LFS).
        cuts: of so many downloads only the first half arrives before the connection breaks.
    """

    def __init__(self, large: str = "", cuts: int = 0) -> None:
        self.large = large
        self.cuts = cuts
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.address = ""

    def oid(self, name: str, data: bytes) -> str:
        """The hash that a file is known by: git's own, or that of the content of a large one."""
        if self.is_large(name):
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    def is_large(self, name: str) -> bool:
        return bool(self.large) and name.endswith(self.large)


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Serve on a free port of 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Refused(Exception):
    def __init__(self, status: int, code: str = "", message: str = "refused") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None: ...

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            for pattern, answer in _ROUTES:
                if (found := re.fullmatch(pattern, f"{self.command} {path}")) is not None:
                    answer(self, body, **found.groupdict())
                    return
            raise _Refused(404, "", f"the stand-in knows no {self.command} {path}")
        except _Refused as refused:
            self._answer({"error": str(refused)}, refused.status, {"X-Error-Code": refused.code, "X-Error-Message": str(refused)})

    def _answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _may_write(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _Refused(401, "", "Invalid credentials in Authorization header")

    def _found(self, name: str) -> Repository:
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and self.headers.get("Authorization") != f"Bearer {TOKEN}"):
            raise _Refused(404, "RepoNotFound", "Repository not found")
        return repository

    def _files(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        repository = self._found(name)
        oid = repository.branches.get(revision, revision)
        if oid not in repository.commits:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return oid, repository.commits[oid]

    # Writing

    def create(self, body: bytes) -> None:
        self._may_write()
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if name in self.hub.repositories:
            self._answer({"error": "You already created this model repo", "url": f"{self.hub.address}/{name}"}, 409)
            return
        self.hub.repositories[name] = Repository(private=asked.get("visibility") == "private" or bool(asked.get("private")))
        self._answer({"url": f"{self.hub.address}/{name}", "name": name})

    def branch(self, body: bytes, repo: str, revision: str) -> None:
        self._may_write()
        repository = self._found(repo)
        if revision in repository.branches:
            raise _Refused(409, "", "Reference already exists")
        repository.branches[revision] = repository.branches["main"]
        self._answer({})

    def validate(self, body: bytes) -> None:
        import yaml

        head = json.loads(body)["content"].split("---")[1]
        errors = [] if isinstance(yaml.safe_load(head), dict) else [{"message": "no metadata"}]
        self._answer({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        self._may_write()
        there = self._files(repo, revision)[1]
        modes = []
        for file in json.loads(body)["files"]:
            name = file["path"]
            modes.append({"path": name, "uploadMode": "lfs" if self.hub.is_large(name) else "regular", "shouldIgnore": False})
            if name in there:
                modes[-1]["oid"] = self.hub.oid(name, there[name])
        self._answer({"files": modes})

    def batch(self, body: bytes, repo: str) -> None:
        self._may_write()
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.hub.address}/objects/{each['oid']}", "header": {}}}}
            for each in json.loads(body)["objects"]
        ]
        self._answer({"transfer": "basic", "objects": objects}, 200, {"Content-Type": "application/vnd.git-lfs+json"})

    def store(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise _Refused(400, "", "the content is not that of the hash")
        self.hub.objects[oid] = body
        self._answer({})

    def commit(self, body: bytes, repo: str, revision: str) -> None:
        self._may_write()
        self._files(repo, revision)
        changed = {}
        for line in body.splitlines():
            part = json.loads(line)
            value = part["value"]
            if part["key"] == "file":
                changed[value["path"]] = base64.b64decode(value["content"])
            elif part["key"] == "lfsFile":
                changed[value["path"]] = self.hub.objects[value["oid"]]
        oid = self._found(repo).commit(revision, changed)
        self._answer({"success": True, "commitOid": oid, "commitUrl": f"{self.hub.address}/{repo}/commit/{oid}"})

    # Reading

    def info(self, body: bytes, repo: str, revision: str = "main") -> None:
        oid, files = self._files(repo, revision)
        names = [{"rfilename": name} for name in sorted(files)]
        self._answer({"id": repo, "sha": oid, "private": self._found(repo).private, "tags": [], "siblings": names})

    def tree(self, body: bytes, repo: str, revision: str) -> None:
        entries = []
        for name, data in sorted(self._files(repo, revision)[1].items()):
            entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": self.hub.oid(name, data)}
            if self.hub.is_large(name):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            entries.append(entry)
        self._answer(entries)

    def data_info(self, body: bytes, repo: str, revision: str) -> None:
        oid, files = self._files(f"datasets/{repo}", revision)
        names = [{"rfilename": name} for name in sorted(files)]
        self._answer({"id": repo, "sha": oid, "private": False, "tags": [], "siblings": names})

    def data_tree(self, body: bytes, repo: str, revision: str, folder: str | None) -> None:
        """One folder of a data set's repository: its files, and the folders in it."""
        start = f"{folder}/" if folder else ""
        inside = {name: data for name, data in self._files(f"datasets/{repo}", revision)[1].items() if name.startswith(start)}
        if not inside:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        folders = sorted({start + name[len(start) :].split("/")[0] for name in inside if "/" in name[len(start) :]})
        entries: list[dict[str, Any]] = [{"type": "directory", "path": name, "size": 0, "oid": "0" * 40} for name in folders]
        for name, data in sorted(inside.items()):
            if "/" not in name[len(start) :]:
                entries.append({"type": "file", "path": name, "size": len(data), "oid": self.hub.oid(name, data)})
        self._answer(entries)

    def resolve(self, body: bytes, repo: str, revision: str, name: str) -> None:
        oid, files = self._files(repo, revision)
        if name not in files:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        headers = {
            "ETag": f'"{self.hub.oid(name, files[name])}"',
            "X-Repo-Commit": oid,
            "Content-Type": "application/octet-stream",
        }
        data, status = files[name], 200
        if (span := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))) is not None:
            headers["Content-Range"] = f"bytes {span[1]}-{len(data) - 1}/{len(data)}"
            data, status = data[int(span[1]) :], 206
        if self.command == "GET" and self.hub.cuts:
            self.hub.cuts -= 1
            headers.pop("ETag")  # as some servers of large files do
            self._send(data[: len(data) // 2], status, headers | {"Content-Length": str(len(data))})
            self.close_connection = True
            return
        self._send(data, status, headers)


_REPO = r"(?P<repo>[^/ ]+/[^/ ]+)"
_ROUTES = [
    (r"POST /api/repos/create", _Handler.create),
    (r"POST /api/validate-yaml", _Handler.validate),
    (rf"POST /api/models/{_REPO}/branch/(?P<revision>.+)", _Handler.branch),
    (rf"POST /api/models/{_REPO}/preupload/(?P<revision>.+)", _Handler.preupload),
    (rf"POST /api/models/{_REPO}/commit/(?P<revision>.+)", _Handler.commit),
    (rf"POST /{_REPO}\.git/info/lfs/objects/batch", _Handler.batch),
    (r"PUT /objects/(?P<oid>[0-9a-f]+)", _Handler.store),
    (rf"GET /api/models/{_REPO}", _Handler.info),
    (rf"GET /api/models/{_REPO}/revision/(?P<revision>.+)", _Handler.info),
    (rf"GET /api/models/{_REPO}/tree/(?P<revision>[^/]+)", _Handler.tree),
    (rf"GET /api/datasets/{_REPO}/revision/(?P<revision>.+)", _Handler.data_info),
    (rf"GET /api/datasets/{_REPO}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?", _Handler.data_tree),
    (r"(?:GET|HEAD) /(?P<repo>datasets/[^/ ]+/[^/ ]+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)", _Handler.resolve),
    (rf"(?:GET|HEAD) /{_REPO}/resolve/(?P<revision>[^/]+)/(?P<name>.+)", _Handler.resolve),
]
