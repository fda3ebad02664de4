"""The two frozen towers that ship with the package, as specs of encoders like any other.

`IMAGE_TOWER` names a dual encoder of open_clip: its image tower, and the English text tower beside it. `TEXT_TOWER` names the
multilingual text tower of sentence-transformers. `python -m mella_retrieval.pocket.train_towers` makes both anew.
"""

from __future__ import annotations

from pathlib import Path

TOWERS = Path(__file__).parent / "towers"

IMAGE_TOWER = f"open_clip:local-dir:{TOWERS / 'image'}"
TEXT_TOWER = f"sentence-transformers:{TOWERS / 'text'}"
