"""Sizes as people write them."""

from __future__ import annotations

import math
import re

from mella_retrieval.errors import ConfigError

_UNITS: dict[str, int] = {"": 1, "B": 1} | {
    prefix + suffix: base**power
    for power, prefix in enumerate(("K", "M", "G", "T"), 1)
    for suffix, base in (("", 1000), ("B", 1000), ("IB", 1024))
}


def parse_size(text: str | int) -> int:
    """Bytes from a size.

    Args:
        text: bytes as a number, or with a unit: `500MB`, `4GB`, `1.5 GiB`; KB is 1,000 bytes and KiB 1,024.

    Raises:
        ConfigError: no size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", str(text).replace(",", "").replace("_", "").strip())
    if isinstance(text, bool) or not found or found[2].upper() not in _UNITS:
        raise ConfigError(f"{text!r} is not a size: write bytes (`4000000000`) or a number with a unit (`4GB`, `1.5GiB`).")
    unit = _UNITS[found[2].upper()]
    return math.floor(float(found[1]) * unit) if "." in found[1] else int(found[1]) * unit


def size_text(size: int) -> str:
    """A size with three digits, rounded up: who allows what it says allows enough."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if size >= unit:
            digits = max(0, 3 - len(str(size // unit)))
            return f"{math.ceil(size * 10**digits / unit) / 10**digits:.{digits}f} {name}"
    return f"{size} bytes"
