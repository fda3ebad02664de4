"""Addresses on pages: made absolute as browsers do, compared in one plain form."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import urldefrag, urljoin, urlsplit

from mella_retrieval.data.extra import data_package

# Browsers drop these anywhere in an address, and control characters and spaces at its ends.
_DROPPED = re.compile("[\t\n\r]")
_AROUND = "".join(map(chr, range(33)))

LONGEST = 1 << 14
"""Characters of an address of the web; servers take half of that. A long `base` would stand in each address of its page."""


def resolved(base: str, value: str) -> str:
    """The absolute address that `value` means on a page, without its fragment; "" if it is none of http, https or data.

    A `data:` URI stays as it is; another address that is longer than `LONGEST` is none.
    """
    value = _DROPPED.sub("", value.strip(_AROUND))
    if is_data(value):
        return value
    if not value:
        return ""
    try:
        address = urldefrag(urljoin(base, value)).url.replace(" ", "%20")
    except ValueError:
        return ""
    scheme, colon, rest = address.partition(":")
    return scheme.lower() + colon + rest if len(address) <= LONGEST and is_web(address) else ""


def is_data(address: str) -> bool:
    """Whether it is a `data:` URI, which holds what it stands for."""
    return address[:5].lower() == "data:"


def is_web(address: str) -> bool:
    """Whether it is absolute, http or https, and names a host."""
    with suppress(ValueError):
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    return False


def host_of(address: str) -> str:
    """The host of an absolute address, in lower case."""
    with suppress(ValueError):
        return urlsplit(address).hostname or ""
    return ""


def plain(address: str) -> str:
    """An absolute address for comparing: quoted as it is sent, without scheme and fragment."""
    with suppress(ValueError):  # no valid address is taken as it stands
        address = data_package("w3lib.url").safe_url_string(address)
    return address.partition("://")[2].partition("#")[0]
