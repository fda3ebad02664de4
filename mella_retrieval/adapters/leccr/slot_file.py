"""The slot module as an adapter folder keeps it: its shape and towers in `config.json`, its weights in `slots.safetensors`.

No torch here: an adapter is opened for queries without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from mella_retrieval.artifacts import fingerprint, sha256_bytes
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.recipes import Strict

SLOTS = "slots.safetensors"


class SlotShape(Strict):
    """Sizes of a slot module.

    Attributes:
        pooled_dim, token_dim: of the image tower's pooled and token vectors.
        description_dim, sentence_dim: of the text tower's token and pooled vectors.
        queries: slots of a picture.
        width: of slots and projected tokens.
        heads: of the attention.
        dim: of the shared space.
        slots: False leaves the projection of pooled vectors alone.
    """

    pooled_dim: int = Field(gt=0)
    token_dim: int = Field(gt=0)
    description_dim: int = Field(gt=0)
    sentence_dim: int = Field(gt=0)
    queries: int = Field(gt=0)
    width: int = Field(gt=0)
    heads: int = Field(gt=0)
    dim: int = Field(gt=0)
    slots: bool = True


class SlotsInfo(Strict):
    """What an adapter's configuration says of its slots.

    Attributes:
        image_tower: the frozen tower whose pooled and token vectors they take.
        text_tower: the frozen tower whose token vectors of descriptions they take.
        shape: sizes.
        sha256: content hash of `slots.safetensors`.
    """

    image_tower: TowerInfo
    text_tower: TowerInfo
    shape: SlotShape
    sha256: str

    def tower(self) -> TowerInfo:
        """The tower of the enriched vectors: frozen tower and slots together.

        Its weights are a hash over both towers and the slots, so that neither the image tower's own vectors nor those that other
        slots enriched are taken for them.
        """
        towers = [self.image_tower.fingerprint(), self.text_tower.fingerprint()]
        weights = fingerprint({"slots": self.sha256, "shape": self.shape.model_dump(), "towers": towers})
        return TowerInfo(spec=f"leccr:{weights[:16]}", modality="image", dim=self.shape.dim, weights=weights)


@dataclass(frozen=True)
class StoredSlots:
    """A slot module on its way to or from a file.

    Attributes:
        info: towers, shape and hash.
        data: content of `slots.safetensors`.
    """

    info: SlotsInfo
    data: bytes

    @classmethod
    def of(cls, data: bytes, image_tower: TowerInfo, text_tower: TowerInfo, shape: SlotShape) -> StoredSlots:
        """Slots that were just fitted."""
        return cls(SlotsInfo(image_tower=image_tower, text_tower=text_tower, shape=shape, sha256=sha256_bytes(data)), data)
