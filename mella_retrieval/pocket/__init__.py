"""The embedded world: drawn scenes with captions in 13 languages, and two small frozen towers that know nothing else."""

from mella_retrieval.pocket.towers import IMAGE_TOWER, TEXT_TOWER
from mella_retrieval.pocket.world import generate_world

__all__ = ["IMAGE_TOWER", "TEXT_TOWER", "generate_world"]
