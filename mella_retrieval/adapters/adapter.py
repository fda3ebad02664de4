"""The adapter artifact: two heads and what they belong to.

On disk: `config.json`, `adapter.safetensors`, a generated `README.md` (card), and `slots.safetensors` where it has slots.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from mella_retrieval.adapters.heads import Array, Head
from mella_retrieval.adapters.leccr.slot_file import SLOTS, SlotsInfo, StoredSlots
from mella_retrieval.artifacts import (
    Json,
    atomic_write,
    fingerprint,
    new_folder,
    read_json,
    sha256_bytes,
    sha256_file,
    write_json,
)
from mella_retrieval.encoders.towers import TowerInfo, same_model
from mella_retrieval.errors import ArtifactError, MismatchError
from mella_retrieval.recipes import Strict

CONFIG = "config.json"
WEIGHTS = "adapter.safetensors"
CARD = "README.md"
KIND = "adapter"
VERSION = 1


class AdapterConfig(Strict):
    """What stands in an adapter's `config.json`.

    Attributes:
        method: name of the method that fitted it.
        options: the method's configuration.
        text_tower: the frozen multilingual text tower whose vectors it takes; its text preparation is part of it.
        image_tower: the frozen image tower whose space it reaches; with slots, the tower of the vectors that they enriched.
        text_head, image_head: names of the layers of each head; an empty image head leaves the stored image vectors as they are.
        languages: languages of the texts it was fitted on.
        inputs: fingerprints and sizes of the data it was fitted on.
        selection: what was compared on held-out data, and the values.
        seed: of splits, initial weights and batches.
        versions: of the libraries.
        sha256: content hash of `adapter.safetensors`.
        slots: the slot module that enriches image vectors before they are indexed (`mella embed enrich`), where there is one.
    """

    kind: str = KIND
    format_version: int = VERSION
    method: str
    options: dict[str, Any]
    text_tower: TowerInfo
    image_tower: TowerInfo
    text_head: list[str]
    image_head: list[str]
    languages: list[str]
    inputs: dict[str, Any]
    selection: dict[str, Any]
    seed: int
    versions: dict[str, str]
    sha256: str = ""
    slots: SlotsInfo | None = None

    def to_json(self) -> Json:
        """As it is stored and hashed; an adapter without slots reads as it did before there were any."""
        return self.model_dump(mode="json", exclude={"slots"} if self.slots is None else None)


class Adapter:
    """A fitted adapter: `map_text` and `map_image` carry stored vectors of its two towers into one space."""

    def __init__(self, config: AdapterConfig, text_head: Head, image_head: Head, slots: StoredSlots | None = None) -> None:
        self.config = config
        self.text_head = text_head
        self.image_head = image_head
        self.slots = slots

    @property
    def projects_images(self) -> bool:
        """Whether stored image vectors have to be re-projected (a matrix product, no re-encoding)."""
        return bool(self.image_head.layers)

    @property
    def fingerprint(self) -> str:
        """Hash over the configuration (which carries the hash of the weights)."""
        return fingerprint(self.config.to_json())

    def map_text(self, vectors: npt.NDArray[np.floating[Any]]) -> Array:
        """Vectors of the text tower (n, d_x) -> shared space (n, d), L2-normalised."""
        self._check_dim(vectors, self.config.text_tower)
        return self.text_head(vectors)

    def map_image(self, vectors: npt.NDArray[np.floating[Any]]) -> Array:
        """Vectors of the image tower (n, d_v) -> shared space (n, d), L2-normalised."""
        self._check_dim(vectors, self.config.image_tower)
        return self.image_head(vectors)

    def _check_dim(self, vectors: npt.NDArray[Any], tower: TowerInfo) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != tower.dim:
            raise MismatchError(
                f"the adapter ({self.config.method}) takes vectors of {tower.spec} with {tower.dim} dimensions, "
                f"these have the shape {vectors.shape}."
            )

    def require_image_tower(self, tower: TowerInfo, what: str) -> None:
        """Refuse image vectors of another tower than the adapter's.

        Raises:
            MismatchError: names both towers.
        """
        if self.config.slots is not None and same_model(self.config.slots.image_tower, tower):
            raise MismatchError(
                f"{what} holds vectors of {tower.spec} as they are; the {self.config.method} adapter searches vectors that its "
                "slots have enriched with descriptions: make them with `mella embed enrich`."
            )
        _require(self.config.image_tower, tower, f"the {self.config.method} adapter", what)

    def require_text_tower(self, tower: TowerInfo, what: str) -> None:
        """Refuse text vectors of another tower, or of the same tower with another text preparation."""
        own = self.config.text_tower
        _require(own, tower, f"the {self.config.method} adapter", what)
        if own.preparation and tower.preparation and own.preparation != tower.preparation:
            raise MismatchError(
                f"the {self.config.method} adapter was fitted with the text preparation {own.preparation}, "
                f"{what} uses {tower.preparation}."
            )

    def save(self, folder: Path | str, card: str, *, overwrite: bool = False) -> Adapter:
        """Write the adapter folder aside and rename it; returns the adapter with the weights' hash in its configuration."""
        from safetensors.numpy import save

        with new_folder(folder, overwrite=overwrite) as aside:
            data = save(self.text_head.tensors("text.") | self.image_head.tensors("image."))
            with atomic_write(aside / WEIGHTS) as file:
                file.write(data)
            config = self.config.model_copy(update={"sha256": sha256_file(aside / WEIGHTS)})
            write_json(aside / CONFIG, config.to_json())
            if self.slots is not None:
                with atomic_write(aside / SLOTS) as file:
                    file.write(self.slots.data)
            (aside / CARD).write_text(card, encoding="utf-8")
        return Adapter(config, self.text_head, self.image_head, self.slots)

    @classmethod
    def load(cls, name: Path | str) -> Adapter:
        """Open an adapter folder, or `owner/name` (`owner/name@revision`) on a model hub.

        Raises:
            HubError: a name on the hub that it does not have, or that cannot be fetched.
            ArtifactError: missing files, another kind or a newer format, weights that are not those the configuration names.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        from mella_retrieval.adapters.hub import adapter_folder

        folder = adapter_folder(name)
        config = _read_config(folder)
        path = folder / WEIGHTS
        if not path.is_file():
            raise ArtifactError(f"{folder} has no {WEIGHTS}.")
        if sha256_file(path) != config.sha256:
            raise ArtifactError(f"{path} is not the file that {CONFIG} names: it is corrupted or was exchanged.")
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}") from None
        text = Head.from_tensors(config.text_head, tensors, "text.")
        return cls(config, text, Head.from_tensors(config.image_head, tensors, "image."), _read_slots(folder, config))


def _read_config(folder: Path) -> AdapterConfig:
    if not folder.is_dir():
        raise ArtifactError(f"there is no adapter folder {folder}.")
    found: Json = read_json(folder / CONFIG)
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise ArtifactError(f"{folder / CONFIG} does not describe an adapter of mella-retrieval.")
    if not isinstance(found.get("format_version"), int) or found["format_version"] > VERSION:
        raise ArtifactError(f"{folder} has format version {found.get('format_version')}; this installation reads {VERSION}.")
    try:
        return AdapterConfig.model_validate(found)
    except ValidationError as error:
        raise ArtifactError(f"{folder / CONFIG} is damaged: {error}") from None


def _read_slots(folder: Path, config: AdapterConfig) -> StoredSlots | None:
    if config.slots is None:
        return None
    path = folder / SLOTS
    if not path.is_file():
        raise ArtifactError(f"{folder} has no {SLOTS}, which its {CONFIG} names.")
    data = path.read_bytes()
    if sha256_bytes(data) != config.slots.sha256:
        raise ArtifactError(f"{path} is not the file that {CONFIG} names: it is corrupted or was exchanged.")
    return StoredSlots(config.slots, data)


def _require(own: TowerInfo, other: TowerInfo, who: str, what: str) -> None:
    if own.dim != other.dim or own.modality != other.modality or not same_model(own, other):
        raise MismatchError(
            f"{who} belongs to {own.modality} tower {own.spec} ({own.dim} dimensions, weights {_short(own)}), "
            f"{what} was made by {other.modality} tower {other.spec} ({other.dim} dimensions, weights {_short(other)})."
        )


def _short(tower: TowerInfo) -> str:
    return tower.weights[:12] if tower.weights else "not verified"
