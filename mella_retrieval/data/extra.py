"""The packages of the extra `data`: imported where they are used, so that nobody needs them for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from mella_retrieval.errors import MissingDependencyError

DISTRIBUTIONS = {
    "brotli": "brotli",
    "datasketch": "datasketch",
    "ftfy": "ftfy",
    "imagehash": "ImageHash",
    "lingua": "lingua-language-detector",
    "phonenumbers": "phonenumbers",
    "py3langid": "py3langid",
    "selectolax": "selectolax",
    "w3lib": "w3lib",
    "warcio": "warcio",
}
"""Module -> distribution."""


def data_package(module: str) -> Any:
    """A module of a package of the extra `data`, `selectolax.lexbor` for instance; see `extra_package`."""
    return extra_package(module, "data", DISTRIBUTIONS)


def extra_package(module: str, extra: str, distributions: Mapping[str, str]) -> Any:
    """A module of a package that an extra of this one installs.

    Args:
        module: its name.
        extra: the name of the extra.
        distributions: top module -> distribution.

    Raises:
        MissingDependencyError: it is not installed.
    """
    top = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != top:
            raise  # the package is there, and broken
        raise MissingDependencyError(
            f"this needs the package {distributions[top]}: pip install mella-retrieval[{extra}]"
        ) from None
