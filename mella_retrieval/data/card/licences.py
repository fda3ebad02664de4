"""Licences by the hub's identifier and by the address of their text."""

from __future__ import annotations

_CC = "https://creativecommons.org/"
_SPDX = "https://spdx.org/licenses/"

# Identifiers of licences that data commonly has.
_TEXTS: dict[str, str] = {
    "apache-2.0": f"{_SPDX}Apache-2.0.html",
    "bsd-3-clause": f"{_SPDX}BSD-3-Clause.html",
    "mit": f"{_SPDX}MIT.html",
    "odc-by": f"{_SPDX}ODC-By-1.0.html",
    "odbl": f"{_SPDX}ODbL-1.0.html",
    "pddl": f"{_SPDX}PDDL-1.0.html",
    "gfdl": "https://www.gnu.org/licenses/fdl-1.3.html",
    "cdla-permissive-2.0": f"{_SPDX}CDLA-Permissive-2.0.html",
    "cdla-sharing-1.0": f"{_SPDX}CDLA-Sharing-1.0.html",
    "cc0-1.0": f"{_CC}publicdomain/zero/1.0/",
    **{
        f"cc-{kind}-{version}": f"{_CC}licenses/{kind}/{version}/"
        for kind in ("by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd")
        for version in ("2.0", "2.5", "3.0", "4.0")
    },
}

# Of these the hub's list has none; there they are `other`, as any other licence is, with a name and a link.
_NOT_ON_THE_HUB = frozenset(
    {
        *("cc-by-sa-2.0", "cc-by-sa-2.5", "cc-by-nc-2.5", "cc-by-nd-2.0", "cc-by-nd-2.5", "cc-by-nd-3.0"),
        *("cc-by-nc-sa-2.5", "cc-by-nc-nd-2.0", "cc-by-nc-nd-2.5"),
    }
)


def hub_licence(licence: str) -> dict[str, str]:
    """The keys of the hub's metadata for a licence."""
    if not licence:
        return {"license": "unknown"}
    known = _known(licence)
    if known in _NOT_ON_THE_HUB:
        return {"license": "other", "license_name": known, "license_link": _TEXTS[known]}
    if known:
        return {"license": known}
    link = {"license_link": licence} if _is_address(licence) else {}
    return {"license": "other", "license_name": "see license_link" if link else licence, **link}


def licence_address(licence: str) -> str:
    """The address of a licence's text where it is known, else the licence as it was named."""
    return _TEXTS.get(_known(licence), licence)


def _known(licence: str) -> str:
    """The identifier of a licence given by name or by address, "" if there is none here."""
    plain = licence.strip().lower()
    if plain in _TEXTS:
        return plain
    address = plain.replace("http://", "https://").removesuffix("/").removesuffix("/deed.en")
    return next((name for name, text in _TEXTS.items() if text.lower().removesuffix("/") == address), "")


def _is_address(licence: str) -> bool:
    return licence.startswith(("https://", "http://"))
