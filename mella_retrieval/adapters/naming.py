"""Names of towers for others to read: paths of this machine say nothing to them, and more than is meant."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.encoders.specs import EncoderSpec, is_path
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ConfigError


def local_path(tower: TowerInfo) -> str | None:
    """The path on this machine that a tower's spec names, or None."""
    spec = _parsed(tower)
    if spec is None:
        return None
    name = spec.name.removeprefix("local-dir:")
    if spec.kind == "open_clip" and "//" in name:  # model//path/to/weights
        return name.partition("/")[2]
    return name if name != spec.name or (spec.kind != "module" and is_path(name) and not name.startswith("hf-hub:")) else None


def public_name(tower: TowerInfo) -> str:
    """The tower's spec, with the last part of a path for the path."""
    path = local_path(tower)
    if path is None:
        return tower.spec
    weights = f", weights {tower.weights[:12]}" if tower.weights else ""
    return f"{tower.spec.partition(':')[0]}: a local folder `{PurePath(path).name}`{weights}"


def hub_name(tower: TowerInfo) -> str | None:
    """`owner/name` of a tower that its spec takes from a hub."""
    spec = _parsed(tower)
    if spec is None or local_path(tower) is not None:
        return None
    name = spec.name.removeprefix("hf-hub:")
    if spec.kind == "open_clip" and name == spec.name:
        return None  # a model of open_clip's own list
    if spec.kind == "sentence-transformers" and "/" not in name:
        return f"sentence-transformers/{name}"
    return name if spec.kind != "module" and name.count("/") == 1 else None


def renamed(adapter: Adapter, text_tower: str | None = None, image_tower: str | None = None) -> Adapter:
    """The same adapter with other specs for its towers; their hashes stay, so another tower is still refused.

    Raises:
        ConfigError: a tower still is named by a path of this machine, or the new spec is none.
    """
    config, slots = adapter.config, adapter.config.slots
    changed: dict[str, Any] = {"text_tower": _renamed(config.text_tower, text_tower)}
    if slots is None:
        changed["image_tower"] = _renamed(config.image_tower, image_tower)
    else:  # the adapter's image tower is the slots' own name for what they enriched
        towers = {
            "text_tower": _renamed(slots.text_tower, text_tower),
            "image_tower": _renamed(slots.image_tower, image_tower),
        }
        changed["slots"] = slots.model_copy(update=towers)
    return Adapter(config.model_copy(update=changed), adapter.text_head, adapter.image_head, adapter.slots)


def _renamed(tower: TowerInfo, spec: str | None) -> TowerInfo:
    if spec is not None:
        tower = tower.model_copy(update={"spec": str(EncoderSpec.parse(spec))})
    if (path := local_path(tower)) is not None:
        raise ConfigError(
            f"the adapter's {tower.modality} tower is the folder {path} of this machine, which others do not have: say with "
            f"--{tower.modality}-tower SPEC what they load it by."
        )
    return tower


def _parsed(tower: TowerInfo) -> EncoderSpec | None:
    try:
        return EncoderSpec.parse(tower.spec)
    except ConfigError:  # imported vectors may carry any name
        return None
