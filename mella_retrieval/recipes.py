"""Strict recipes: YAML that refuses unknown and repeated keys, with `key=value` overrides from the command line.

A recipe becomes a pydantic model (`Strict`). YAML is read by the rules of YAML 1.2 where 1.1 would surprise: `no` stays
the language Norwegian instead of becoming false, `1e-3` is a number and `1:30` is none.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Hashable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from mella_retrieval.errors import ConfigError

KINDS = ("adapters", "indexes", "benchmarks", "data", "mllm")


class Strict(BaseModel):
    """A configuration that refuses unknown keys and cannot be changed after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Config = TypeVar("Config", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe YAML loader without YAML 1.1's `yes` and `no`, octal and base-60 numbers; refuses repeated keys."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float", ":int", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)$"),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise ConfigError(f"line {key_node.start_mark.line + 1}: a list or mapping cannot be a key.")
        if key in seen:
            raise ConfigError(f"line {key_node.start_mark.line + 1}: the key {key!r} stands twice.")
        seen.add(key)
    return dict(loader.construct_mapping(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping_without_repeats)


def recipe_root() -> Path:
    """The folder of the recipe folders: inside the installed package, or the checkout of an editable install."""
    packaged = Path(str(files("mella_retrieval") / "_recipes"))
    if packaged.is_dir():
        return packaged
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").is_file() and (checkout / "adapters").is_dir():
        return checkout
    raise ConfigError("the recipes that come with mella-retrieval were not found; reinstall the package.")


def list_recipes() -> dict[str, list[Path]]:
    """The recipes of each kind (`KINDS`), sorted by name."""
    return {kind: sorted(_folder(kind).glob("*.yaml")) for kind in KINDS}


def _folder(kind: str) -> Path:
    """What users choose from stands at the top of the repository; how data is made stands beside the code that makes it."""
    inside = kind in {"data", "mllm"}
    return Path(str(files("mella_retrieval"))) / kind / "recipes" if inside else recipe_root() / kind


def find_recipe(kind: str, name: str) -> Path:
    """The file of a recipe given by path (`my/ridge.yaml`) or by the name of one that comes with the package (`ridge`).

    Raises:
        ConfigError: no such file or name; the nearest name is suggested.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"there is no recipe file {path}.")
        return path
    known = {path.stem: path for path in list_recipes()[kind]}
    if name not in known:
        raise ConfigError(f"there is no recipe {name!r} in {kind}/.{suggest(name, known)} Known: {', '.join(known)}.")
    return known[name]


def suggest(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest of the known names, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Parse a YAML mapping strictly; `where` names its origin in messages."""
    value = _load(text, where)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must hold `key: value` lines, not {type(value).__name__}.")
    return value


def _load(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not valid YAML: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}, {error}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file strictly."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the recipe {path} cannot be read: {error}") from None


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Apply `key=value` or `outer.inner=value` overrides (values are read as YAML) to a copy of `values`."""
    result = copy.deepcopy(dict(values))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{override!r} is not an override of the form key=value.")
        *outer, last = key.strip().split(".")
        target = result
        for part in outer:
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                raise ConfigError(f"{override!r}: {part!r} holds a plain value, it has no keys of its own.")
        target[last] = _load(text, f"the override {override!r}")
    return result


def build_config(model: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Check `values` against `model`.

    Raises:
        ConfigError: lists every unknown key (with the nearest valid name) and every wrong value.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        lines: list[str] = []
        told: set[str] = set()
        for problem in error.errors():
            explained, known = _explain(model, problem)
            lines.append(explained + ("" if known in told else known))
            told.add(known)
        raise ConfigError(f"{where}: " + "; ".join(lines)) from None


def _explain(model: type[BaseModel], problem: Any) -> tuple[str, str]:
    """What is wrong, and the keys that there are: said once, however many were misspelt."""
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        owner: Any = model
        for part in location[:-1]:
            if get_origin(owner) is dict:  # the part is a name of the user's
                owner = get_args(owner)[1]
                continue
            field = owner.model_fields.get(part) if hasattr(owner, "model_fields") else None
            owner = field.annotation if field else None
        valid = list(owner.model_fields) if owner is not None and hasattr(owner, "model_fields") else []
        known = f" Valid keys: {', '.join(valid)}." if valid else ""
        return f"unknown key {key!r}.{suggest(location[-1], valid)}", known
    if problem["type"] == "missing":
        return f"the key {key!r} is missing", ""
    if problem["type"] in ("list_type", "tuple_type"):
        return f"{key}: a list is needed, {key}=[{problem['input']}] (got {problem['input']!r})", ""
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "value_error":  # of a validator: a whole sentence
        return f"{key}: {message}" if key else message, ""
    return f"{key or 'value'}: {message} (got {problem['input']!r})", ""


def load_recipe(model: type[Config], kind: str, name: str, overrides: Iterable[str] = ()) -> Config:
    """Find a recipe by name or path, apply the overrides and check the result against `model`."""
    path = find_recipe(kind, name)
    given = list(overrides)
    where = f"{path} with {', '.join(given)}" if given else str(path)
    return build_config(model, apply_overrides(read_yaml(path), given), where)
