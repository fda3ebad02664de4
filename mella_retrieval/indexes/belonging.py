"""Whether a tower is the one that an artifact was made with."""

from __future__ import annotations

from mella_retrieval.encoders.towers import TowerInfo, same_model
from mella_retrieval.errors import MismatchError


def require_same_tower(own: TowerInfo, owner: str, other: TowerInfo, source: str) -> None:
    """Refuse a tower with other weights, another dimension or another preparation than `own`.

    What one side does not know (weights and preparation of imported vectors) cannot differ; precision may.

    Args:
        own: the tower that belongs to the artifact `owner`.
        other: the tower that `source` has or is.

    Raises:
        MismatchError: names both.
    """
    differs = own.preparation and other.preparation and own.preparation != other.preparation
    if own.modality != other.modality or own.dim != other.dim or not same_model(own, other) or differs:
        raise MismatchError(f"{owner} belongs to {_described(own)}, but {source} to {_described(other)}.")


def _described(tower: TowerInfo) -> str:
    weights = tower.weights[:12] if tower.weights else "not verified"
    return (
        f"the {tower.modality} tower {tower.spec} ({tower.dim} dimensions, weights {weights}, "
        f"preparation {tower.preparation or 'not known'})"
    )
