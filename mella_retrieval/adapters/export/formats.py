"""The formats that an adapter can be exported to; a new one is one file with `export`, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.artifacts import require_free
from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import suggest

FORMATS: Mapping[str, str] = {
    "sentence-transformers": "mella_retrieval.adapters.export.sentence_transformers",
    "onnx": "mella_retrieval.adapters.export.onnx",
}
"""Format -> the module that writes it; imported only then, since each brings a large library."""


@dataclass(frozen=True)
class ExportRequest:
    """What an exporter is asked for.

    Attributes:
        adapter: what is exported.
        text_tower, image_tower: specs that replace those in the adapter, for example where a model has moved.
        text_only: leave the image side out.
    """

    adapter: Adapter
    text_tower: str | None = None
    image_tower: str | None = None
    text_only: bool = False


@dataclass
class Exported:
    """What was written.

    Attributes:
        differences: `text`, `image` -> largest difference of a component from our own vectors, measured on probes with the
            written files; the keys are the sides that were exported.
        notes: sentences about what was left out, and why.
    """

    differences: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def export(request: ExportRequest, out: Path | str, to: str, *, overwrite: bool = False) -> Exported:
    """Write an adapter and its towers in another format into the folder `out`.

    Raises:
        ConfigError: there is no format `to`.
        ExportError: the adapter or its text tower has no exact counterpart in the format.
        MismatchError: a tower is not the adapter's own. EncoderError: a tower that was named cannot be loaded.
        MissingDependencyError: a package of the format is not installed.
        ArtifactError: `out` is there already.
    """
    if to not in FORMATS:
        raise ConfigError(f"there is no export format {to!r}.{suggest(to, FORMATS)} Formats: {', '.join(FORMATS)}.")
    require_free(out, overwrite=overwrite)
    made: Exported = import_module(FORMATS[to]).export(request, Path(out), overwrite=overwrite)
    return made
