"""The towers that go into an export: the adapter's own, by weights and preparation, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.export.formats import Exported, ExportRequest
from mella_retrieval.adapters.naming import public_name
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.text_preparation import TextPreparation
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ExportError, MellaError

if TYPE_CHECKING:
    from mella_retrieval.encoders.sentence_transformers_towers import SentenceTower
    from mella_retrieval.encoders.torch_towers import TorchImageTower


def text_tower_of(request: ExportRequest) -> SentenceTower:
    """The adapter's text tower on the CPU in float32.

    Raises:
        ExportError: it is no tower of sentence-transformers.
        MismatchError: the tower that was named is another one, or prepares texts otherwise.
    """
    from mella_retrieval.encoders.sentence_transformers_towers import SentenceTower

    tower = load_text_tower(request.text_tower or request.adapter.config.text_tower.spec, device="cpu")
    request.adapter.require_text_tower(tower.info, "the text tower to export")
    if not isinstance(tower, SentenceTower):
        raise ExportError(f"{tower.info.spec} cannot be exported: only text towers of the kind sentence-transformers can.")
    return tower


def image_tower_of(request: ExportRequest, made: Exported) -> TorchImageTower | None:
    """The adapter's image tower on the CPU in float32; None, with a note, where there is none to export.

    Raises:
        MellaError: a tower that was named cannot be loaded or is another one.
    """
    from mella_retrieval.encoders.torch_towers import TorchImageTower

    adapter = request.adapter
    if request.text_only:
        return None
    if adapter.config.slots is not None:
        _leave_out(request, made, "the adapter's slots enrich pictures with descriptions, which a picture alone has not")
        return None
    spec = request.image_tower or adapter.config.image_tower.spec
    try:
        tower = load_image_tower(spec, device="cpu")
    except MellaError as error:
        _leave_out(request, made, f"the image tower cannot be loaded ({str(error).rstrip('.')})", error)
        return None
    adapter.require_image_tower(tower.info, "the image tower to export")
    if not isinstance(tower, TorchImageTower) or not hasattr(tower, "model"):
        _leave_out(request, made, f"{public_name(tower.info)} is no torch module of a known library")
        return None
    return tower


def _leave_out(request: ExportRequest, made: Exported, reason: str, error: MellaError | None = None) -> None:
    """A note, or the error where the user asked for this very tower."""
    if request.image_tower is not None:
        raise error or ExportError(f"pictures cannot be exported: {reason}.")
    made.notes.append(f"Texts only: {reason}.")


def preparation_of(tower: TowerInfo) -> TextPreparation:
    """The rule by which a tower prepares texts, out of its description."""
    fields = {key: value for key, value in tower.preparation.items() if key in TextPreparation.model_fields}
    return TextPreparation.model_validate(fields)


def shared_dim(adapter: Adapter) -> int:
    """Length of the vectors that the adapter gives."""
    import numpy as np

    return int(adapter.map_text(np.ones((1, adapter.config.text_tower.dim), np.float32)).shape[1])
