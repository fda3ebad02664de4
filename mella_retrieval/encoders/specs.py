"""The one-line name of a tower: `kind:name?key=value&key=value`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import suggest

TEXT_OPTIONS = frozenset({"unicode", "lower_case", "canonicalise", "prefix", "max_length", "padding", "language"})
"""Options that change a text before the model reads it; they are the fields of `TextPreparation`."""

KINDS: Mapping[str, str] = {
    "open_clip": "open_clip:ViT-B-32/datacomp_xl_s13b_b90k, open_clip:hf-hub:org/name or open_clip:/path/to/folder",
    "transformers": "transformers:google/siglip2-base-patch16-256 or transformers:/path/to/folder",
    "sentence-transformers": "sentence-transformers:name or sentence-transformers:/path/to/folder",
    "mllm": "mllm:Qwen/Qwen2-VL-2B-Instruct or mllm:/path/to/folder",
    "module": "module:package.module:Class",
}
"""Each kind with examples, as messages show them."""

# A model of open_clip reads one context length, so no other can be asked for; the options of a module are its own.
_OPTIONS: Mapping[str, frozenset[str] | None] = {
    "open_clip": TEXT_OPTIONS - {"max_length", "padding"},
    "transformers": (TEXT_OPTIONS - {"language"}) | {"revision"},
    "sentence-transformers": (TEXT_OPTIONS - {"language", "padding"}) | {"revision", "prompt"},
    "mllm": frozenset(
        {"unicode", "lower_case", "max_length", "pool", "prompt", "text_prompt", "revision", "base"}
        | {"min_pixels", "max_pixels", "max_patches"}
    ),
    "module": None,
}

_PATH_STARTS = ("/", "./", "../", "~")
_CLASS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class EncoderSpec:
    """A parsed spec; `str()` gives its canonical form.

    Attributes:
        kind: one of `KINDS`.
        name: what the kind's library loads; for open_clip `model/tag`, `hf-hub:org/name` or `local-dir:/path`.
        arguments: the options after `?`, sorted by key, values as written.
    """

    kind: str
    name: str
    arguments: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str | EncoderSpec) -> EncoderSpec:
        """Parse a spec (one that is parsed already is returned as it is).

        Raises:
            ConfigError: no kind, an unknown kind or option (the nearest is suggested), or no name.
        """
        if isinstance(text, EncoderSpec):
            return text
        kind, colon, rest = text.lstrip().partition(":")
        if not colon or kind not in KINDS:
            nearest = suggest(kind, KINDS)
            raise ConfigError(f"{text!r} does not start with the kind of an encoder.{nearest} Kinds: {_kinds()}.")
        name, arguments = _split(rest, text)
        if not name:
            raise ConfigError(f"{text!r} names no model after {kind + ':'!r}; expected {KINDS[kind]}.")
        known = _OPTIONS[kind]
        for key, _ in arguments:
            if known is not None and key not in known:
                options = f"{suggest(key, known)} Options of {kind}: {', '.join(sorted(known))}."
                raise ConfigError(f"{text!r}: unknown option {key!r}.{options}")
        return cls(kind, _canonical_name(kind, name, text), tuple(sorted(arguments)))

    @property
    def options(self) -> dict[str, str]:
        """The arguments as a dictionary."""
        return dict(self.arguments)

    @property
    def text_options(self) -> dict[str, str]:
        """Those arguments that are fields of `TextPreparation`."""
        return {key: value for key, value in self.arguments if key in TEXT_OPTIONS}

    @property
    def model(self) -> EncoderSpec:
        """The spec without what concerns text preparation alone: both towers of a dual encoder have the same."""
        if self.kind == "module":
            return self
        kept = tuple((key, value) for key, value in self.arguments if key not in TEXT_OPTIONS | {"prompt"})
        return EncoderSpec(self.kind, self.name, kept)

    def located(self) -> EncoderSpec:
        """The spec with the path of a folder on this machine made absolute, so that a manifest holding it works from anywhere."""
        prefix = "local-dir:" if self.name.startswith("local-dir:") else ""
        path = Path(self.name.removeprefix(prefix)).expanduser()
        if self.kind == "module" or not path.is_dir():
            return self
        arguments = tuple((key, _resolved(value) if key == "base" else value) for key, value in self.arguments)
        return EncoderSpec(self.kind, f"{prefix}{path.resolve()}", arguments)

    def __str__(self) -> str:
        query = "&".join(f"{key}={quote(value, safe='/:,.@+')}" for key, value in self.arguments)
        return f"{self.kind}:{self.name}" + (f"?{query}" if query else "")


def is_path(name: str) -> bool:
    """Whether a model name can only be meant as a path: absolute, `./`, `../`, `~`, or more than one slash."""
    return name in {".", ".."} or name.startswith(_PATH_STARTS) or name.count("/") > 1


def _resolved(name: str) -> str:
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_dir() else name


def _kinds() -> str:
    return "; ".join(KINDS.values())


def _split(rest: str, text: str) -> tuple[str, list[tuple[str, str]]]:
    name, question, query = rest.rpartition("?")
    if not question:
        return rest.strip(), []
    arguments: dict[str, str] = {}
    for part in query.split("&"):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise ConfigError(f"{text!r}: {part!r} after '?' is not of the form key=value.")
        if key in arguments:
            raise ConfigError(f"{text!r}: the option {key!r} stands twice.")
        arguments[key] = unquote(value)
    return name.strip(), list(arguments.items())


def _canonical_name(kind: str, name: str, text: str) -> str:
    if kind == "module":
        if not _CLASS.fullmatch(name):
            raise ConfigError(f"{text!r}: expected {KINDS['module']}.")
        return name
    if kind == "open_clip":
        if name.startswith(("local-dir:", *_PATH_STARTS)):
            return "local-dir:" + _canonical_path(name.removeprefix("local-dir:"))
        return name  # model/tag, where the tag may be the path of a weights file: ViT-B-32//path/to/weights.safetensors
    return _canonical_path(name) if is_path(name) else name


def _canonical_path(path: str) -> str:
    """Without double or trailing slashes, and still a path: `./name` must not become the hub name `name`."""
    clean = Path(path).expanduser()
    return str(clean) if clean.is_absolute() or clean.parts[:1] in {(), ("..",)} else f"./{clean}"
