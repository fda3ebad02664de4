"""What a tower promises: its identity (`TowerInfo`), what it returns (`Encoded`), how it is called (two protocols)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mella_retrieval.artifacts import fingerprint
from mella_retrieval.encoders.specs import EncoderSpec
from mella_retrieval.errors import ConfigError, EncoderError
from mella_retrieval.recipes import Strict, build_config

if TYPE_CHECKING:
    from PIL.Image import Image

Float32 = npt.NDArray[np.float32]

NO_LIMIT = sys.maxsize
"""`max_tokens` of a text tower that reads texts of any length."""


class TowerInfo(Strict):
    """The identity of a tower, as manifests carry it.

    Attributes:
        spec: canonical spec that loads it (or where imported vectors are said to come from).
        modality: what it reads.
        dim: length of its pooled vectors.
        weights: SHA-256 over the whole model's weights in their stored precision; the same for both towers of a dual
            encoder. None: not verified, as for imported vectors.
        preparation: image preprocessing or text preparation, all that happens before the model.
        precision: the arithmetic, `fp32`, `bf16` or `fp16`; `unknown` for imported vectors.
        traits: what else decides the vectors and is not in the weights, such as `{"quick_gelu": true}`.
    """

    spec: str
    modality: Literal["image", "text"]
    dim: int = Field(gt=0)
    weights: str | None = None
    preparation: dict[str, Any] = Field(default_factory=dict)
    precision: str = "fp32"
    traits: dict[str, Any] = Field(default_factory=dict)

    def fingerprint(self) -> str:
        """Hash over all that decides the vectors. The spec counts only where the weights are not verified, so that
        a model keeps its fingerprint when its folder moves.
        """
        content = self.to_json()
        if self.weights is not None:
            del content["spec"]
        return fingerprint(content)

    def to_json(self) -> dict[str, Any]:
        """JSON-able dictionary, the inverse of `from_json`."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TowerInfo:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: a key is missing, unknown or of another type.
        """
        return build_config(cls, value, "the description of a tower")


def same_model(first: TowerInfo, second: TowerInfo) -> bool:
    """Whether two towers are of one model (as the image and the text tower of a dual encoder are).

    Decided by the weights' hashes where both are known, else by the specs without their text preparation.
    """
    if first.weights is not None and second.weights is not None:
        return first.weights == second.weights and first.traits == second.traits
    return _model_name(first.spec) == _model_name(second.spec)


def _model_name(spec: str) -> str:
    try:
        return str(EncoderSpec.parse(spec).model)
    except ConfigError:  # imported vectors may carry any name
        return spec


@dataclass(frozen=True)
class Encoded:
    """What a tower returns for a batch of n inputs.

    Attributes:
        pooled: (n, d) float32, L2-normalised.
        tokens: only where asked for: n arrays of shape (t_i, d_t), float32, not normalised, padding removed.
    """

    pooled: Float32
    tokens: list[Float32] | None = None


@runtime_checkable
class ImageTower(Protocol):
    """A frozen tower that reads pictures."""

    info: TowerInfo

    def prepare(self, image: Image) -> Any:
        """Turn an RGB picture into what `encode` takes, most often a tensor (3, height, width); safe to call from several
        threads.

        Raises:
            DataError: the tower does not take this picture; jobs list it and go on.
        """

    def encode(self, batch: Sequence[Any], tokens: bool = False) -> Encoded:
        """Encode prepared pictures. Token vectors of vision transformers stand behind the last layer norm, class token
        first where there is one; a linear projection into the joint space (CLIP) is applied to every token, so that
        d_t = d there; SigLIP's attention pooling has none, and its tokens keep the transformer's width. Those of a CLIP ResNet
        are the cells of its last map, row by row, before they are pooled.

        Raises:
            EncoderError: a vector is zero or not finite, or the architecture has no tokens though they are asked for.
        """


@runtime_checkable
class TextTower(Protocol):
    """A frozen tower that reads texts.

    Attributes:
        info: its identity.
        max_tokens: texts of more tokens (special tokens included) are cut; `NO_LIMIT` where there is none.
    """

    info: TowerInfo
    max_tokens: int

    def prepare(self, text: str, lang: str | None = None) -> str:
        """The text as the tokenizer gets it, prefix included; "" where the preparation leaves nothing of it."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens included, before it is cut; 0 where the tower cannot tell."""

    def encode(self, texts: Sequence[str], langs: Sequence[str] | None = None, tokens: bool = False) -> Encoded:
        """Prepare and encode texts. `langs` (canonical codes) matters to towers whose tokenizer wants the language.
        Token vectors are the last hidden states behind the last layer norm, special tokens included, not projected.

        Raises:
            EncoderError: a text is empty after its preparation, a language is missing, or a vector is zero or not
                finite.
        """


def normalise_rows(vectors: npt.ArrayLike, what: str = "vector") -> Float32:
    """Scale every row of an (n, d) array to unit Euclidean length, in float32 (lengths are summed in float64).

    Raises:
        EncoderError: a row is zero or not finite; the message names up to five such rows as `what` and their numbers.
    """
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2:
        raise EncoderError(f"expected vectors as a table of shape (n, d), got shape {array.shape}.")
    lengths = np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        rows = ", ".join(str(row) for row in bad[:5]) + (", ..." if len(bad) > 5 else "")
        kind = "zero" if lengths[bad[0]] == 0 else "not finite (NaN or infinite)"
        raise EncoderError(f"{what} {rows} of {len(array)}: {kind}; a vector without direction cannot be searched.")
    normalised: Float32 = (array / lengths[:, None]).astype(np.float32)
    return normalised
