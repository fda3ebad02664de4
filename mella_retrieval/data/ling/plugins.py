"""Captioners and translators by one-line specs, `kind:name?key=value`; a package above this floor hands in further kinds."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote

from mella_retrieval.artifacts import fingerprint
from mella_retrieval.data.records import Records
from mella_retrieval.errors import ConfigError, EncoderError, MellaError
from mella_retrieval.recipes import suggest

Plugin = TypeVar("Plugin")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """A parsed spec.

    Attributes:
        kind: a key of the registry.
        name: what the kind loads: a folder, a file, a model, a class.
        options: what stands after `?`.
        allow_module: whether a `module:` class may be imported.
    """

    kind: str
    name: str
    options: Mapping[str, str]
    allow_module: bool = False

    @property
    def spec(self) -> str:
        """The canonical spec: options sorted by key."""
        query = "&".join(f"{key}={quote(value, safe='/:,.@+')}" for key, value in sorted(self.options.items()))
        return f"{self.kind}:{self.name}" + (f"?{query}" if query else "")

    @property
    def file(self) -> str:
        """The spec of a file or folder as records carry it: without options, and without where it lies on this machine."""
        return f"{self.kind}:{Path(self.name).name}"


Loaders = Mapping[str, Callable[[Request], Plugin]]
"""Kind -> what loads it. Loading is cheap: weights are read when the first question comes."""


def load_plugin(spec: str, loaders: Loaders[Plugin], what: str, *, allow_module: bool = False) -> Plugin:
    """Load the plug-in that a spec names; `what` ("captioner") is for messages.

    Raises:
        ConfigError: no kind, an unknown one, no name or malformed options.
        EncoderError: the loader failed.
    """
    kind, colon, rest = spec.partition(":")
    if not colon or kind not in loaders:
        known = ", ".join(loaders)
        raise ConfigError(f"{spec!r} does not start with the kind of a {what}.{suggest(kind, loaders)} Kinds: {known}.")
    name, question, query = rest.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if question else []
    except ValueError:
        raise ConfigError(f"{spec!r}: what stands after '?' is not of the form key=value&key=value.") from None
    if not name.strip() or len(dict(pairs)) < len(pairs):
        raise ConfigError(f"{spec!r} {'gives an option twice' if name.strip() else f'names no {what} after {kind}:'}.")
    return loaders[kind](Request(kind, name.strip(), dict(pairs), allow_module))


def check_options(request: Request, known: Collection[str]) -> None:
    """Refuse options that a kind does not have.

    Raises:
        ConfigError: names the first one and the nearest that there is.
    """
    for key in request.options:
        if key not in known:
            options = f"Options: {', '.join(sorted(known))}."
            raise ConfigError(f"{request.spec!r} has no option {key!r}.{suggest(key, known)} {options}")


def filtered_records(request: Request) -> tuple[Records, dict[str, str]]:
    """The records folder that a spec names, and its options as a filter of rows.

    Raises:
        ConfigError: a filter by language, which the question decides.
        ArtifactError, DataError: no such folder, column or value; said before the first question.
    """
    if "lang" in request.options:
        raise ConfigError(f"{request.spec!r} filters by language, which the recipe decides; leave lang=... out.")
    records, where = Records.load(request.name), dict(request.options)
    next(records.batches(columns=["text_id"], where=where), None)
    return records, where


def warn_of_unreadable(rows: int, path: Path) -> None:
    """Say how many rows of a table were left out, if any."""
    if rows:
        log.warning("%d rows of %s cannot be read and were left out", rows, path)


def make_module(request: Request, method: str, what: str) -> tuple[Any, str]:
    """The object of a `module:package.module:Class` spec and its fingerprint: class, options and its attribute `version`.

    Raises:
        EncoderError: the user did not name it himself, or it cannot be imported, made, or has not the method.
    """
    if not request.allow_module:
        raise EncoderError(
            f"{request.spec} runs code of your own. It is imported only where you name it yourself: on the command line with "
            "--allow-module, or with allow_module=True in Python."
        )
    module, _, name = request.name.partition(":")
    with blaming(request.spec, "be loaded"):
        made = getattr(importlib.import_module(module), name)(**request.options)
    if not callable(getattr(made, method, None)):
        raise EncoderError(f"{request.spec} is no {what}: it has no method {method}.")
    traits = {"class": request.name, "options": dict(request.options), "version": str(getattr(made, "version", ""))}
    return made, fingerprint(traits)


@contextmanager
def blaming(name: str, action: str) -> Iterator[None]:
    """Turn any error of a user's class into an EncoderError that says what it could not do."""
    try:
        yield
    except MellaError:
        raise
    except Exception as error:
        raise EncoderError(f"{name} could not {action}: {type(error).__name__}: {error}") from error
