"""Build hook: the wheel carries the recipes and published numbers, not the studies and results beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PATTERNS = ("adapters/*.yaml", "indexes/*.yaml", "benchmarks/*.yaml", "benchmarks/classes/*.yaml", "benchmarks/published/*.csv")


class RecipesHook(BuildHookInterface[Any]):
    """Put what `PATTERNS` match under `mella_retrieval/_recipes` (an editable install reads the checkout itself)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling's `BuildHookInterface`."""
        if version == "editable":
            return
        root = Path(self.root)
        for pattern in PATTERNS:
            for path in root.glob(pattern):
                build_data["force_include"][str(path)] = f"mella_retrieval/_recipes/{path.relative_to(root)}"
