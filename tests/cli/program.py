"""What the tests of the command line share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TOWER = "open_clip:somebody/clip"
THINGS = (("dog", "kutya"), ("cat", "macska"), ("tree", "fa"), ("house", "ház"), ("boat", "hajó"))


@dataclass
class Ran:
    """How a call of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Mella = Callable[..., Ran]
