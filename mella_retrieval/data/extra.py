"""The packages of the extra `data`: imported where they are used, so that nobody needs them for the rest."""

from __future__ import annotations

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
    """A module of a package of the extra `data`, `selectolax.lexbor` for instance.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        distribution = DISTRIBUTIONS[module.partition(".")[0]]
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the package is there, and broken
        raise MissingDependencyError(f"this needs the package {distribution}: pip install mella-retrieval[data]") from None
