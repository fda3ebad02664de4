"""Any model of transformers beside the towers: its identity without loading it, its weights, its precision."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from mella_retrieval.artifacts import fingerprint, sha256_file
from mella_retrieval.encoders.hub import is_local, loading, require_folder
from mella_retrieval.encoders.specs import EncoderSpec
from mella_retrieval.encoders.torch_towers import PRECISIONS, check_precision
from mella_retrieval.errors import EncoderError

_SUFFIXES = frozenset({".json", ".jinja", ".safetensors", ".bin", ".model", ".spm", ".tiktoken", ".txt"})
# Files that lie in such folders and decide no answer, and names and versions inside configurations that decide none.
_NO_PART = frozenset({"manifest.json", "trainer_state.json", "training_args.bin", "optimizer.bin"})
_NO_SETTING = frozenset({"_name_or_path", "name_or_path", "base_model_name_or_path", "transformers_version", "peft_version"})


@dataclass(frozen=True)
class Identity:
    """What a model is, known before its weights are loaded.

    Attributes:
        name: as records and reports carry it: a hub name, or the name of a folder without where it lies.
        fingerprint: of weights, configuration, tokenizer and chat template; of a hub model its commit.
    """

    name: str
    fingerprint: str


def identity_of(name: str, revision: str | None, config: Any) -> Identity:
    """The identity of a model whose configuration was read: a folder's files are hashed, a hub model has its commit.

    Raises:
        EncoderError: a folder has no revision.
    """
    if is_local(name):
        if revision:
            raise EncoderError(f"{name} is a folder; it has no revision {revision}.")
        return Identity(Path(name).resolve().name, fingerprint(files_of_model(Path(name))))
    commit = getattr(config, "_commit_hash", None) or revision or "main"
    return Identity(f"{name}@{revision}" if revision else name, fingerprint({"hub": name, "commit": commit}))


def spec_of(name: str, revision: str | None = None) -> EncoderSpec:
    """What messages call a model."""
    return EncoderSpec("transformers", name, (("revision", revision),) if revision else ())


def read_config(name: str, revision: str | None = None) -> Any:
    """The configuration of a model.

    Raises:
        EncoderError: there is no such model.
    """
    from transformers import AutoConfig

    spec, local = spec_of(name, revision), is_local(name)
    if local:
        require_folder(spec, name, "config.json")
    with loading(spec, local=local):
        return AutoConfig.from_pretrained(name, **revision_argument(revision))


def load_weights(auto: Any, name: str, revision: str | None, device: torch.device, precision: str, **arguments: Any) -> Any:
    """A model by an Auto class of transformers, on its device, in eval mode and without gradients.

    Raises:
        EncoderError: the files are missing or damaged, or lack weights.
    """
    spec, local = spec_of(name, revision), is_local(name)
    arguments = {"dtype": PRECISIONS[precision], **revision_argument(revision), **arguments}
    if device.type == "cuda" and find_spec("accelerate"):
        arguments.setdefault("device_map", {"": str(device)})  # straight there: the machine's memory need not hold it all
    with loading(spec, local=local):
        model, report = auto.from_pretrained(name, output_loading_info=True, **arguments)
        if "device_map" not in arguments:
            model.to(device)
    if missing := sorted(report["missing_keys"]):
        raise EncoderError(
            f"{spec}: the weights lack {len(missing)} of the model's tensors (the first is {missing[0]}); they would be "
            "random numbers. The files are incomplete or belong to another model."
        )
    return model.eval().requires_grad_(False)


def resolve_precision(precision: str, device: torch.device) -> str:
    """A key of `PRECISIONS`; `auto` is bf16 on CUDA and fp32 elsewhere.

    Raises:
        ConfigError: it is none.
    """
    if precision == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    return check_precision(precision)


def positions_of(config: Any) -> int | None:
    """Tokens that a model of this configuration reads and writes together; None where it names no limit."""
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(found) if found else None


def revision_argument(revision: str | None) -> dict[str, str]:
    """For `from_pretrained`."""
    return {"revision": revision} if revision else {}


def files_of_model(folder: Path) -> dict[str, str]:
    """File -> hash of its content, of all that decides what a model answers."""
    found = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.name not in _NO_PART)
    return {path.name: _hash(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@lru_cache(maxsize=256)
def _hash(path: str, size: int, modified: int) -> str:
    """Once for each state of a file: weights are large."""
    if not path.endswith("config.json"):
        return sha256_file(path)
    try:
        config = json.loads(Path(path).read_bytes())
        return fingerprint({key: value for key, value in config.items() if key not in _NO_SETTING})
    except (ValueError, AttributeError):
        return sha256_file(path)
