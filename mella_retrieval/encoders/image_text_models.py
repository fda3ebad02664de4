"""Image-text-to-text models of transformers (Qwen2-VL, InternVL, SmolVLM, LLaVA ...), frozen, with what prepares their input."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from mella_retrieval.artifacts import fingerprint
from mella_retrieval.encoders.hub import is_local, loading
from mella_retrieval.encoders.torch_towers import find_device
from mella_retrieval.encoders.transformers_models import (
    Identity,
    files_of_model,
    identity_of,
    load_weights,
    read_config,
    resolve_precision,
    revision_argument,
    spec_of,
)
from mella_retrieval.errors import EncoderError, MissingDependencyError

ADAPTER = "adapter_config.json"
"""What a folder of PEFT has and a whole model has not."""

_WHOLE = (
    *("model.visual", "model.vision_tower", "model.vision_model"),
    *("model.multi_modal_projector", "model.connector", "lm_head"),
)
"""What is not put into 4 bits: what sees, what connects it with the language model, and the head; names as in transformers."""

_PROCESSOR = ("processor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class ImageTextModel:
    """A loaded model, in eval mode and without gradients.

    Attributes:
        identity: its name and fingerprint.
        model: the class of transformers; a PEFT adapter stands inside its layers.
        processor: makes input of chat messages and pictures (`apply_chat_template`); its tokenizer has a padding token.
        device: where it runs.
        precision: a key of `PRECISIONS`.
    """

    identity: Identity
    model: Any
    processor: Any
    device: torch.device
    precision: str

    @property
    def name(self) -> str:
        """See `Identity`."""
        return self.identity.name

    @property
    def fingerprint(self) -> str:
        """See `Identity`."""
        return self.identity.fingerprint


def load_image_text_model(
    name: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    base: str | None = None,
    quantize: bool = False,
) -> ImageTextModel:
    """Load a model that answers about pictures.

    Args:
        name: a hub name or a folder. A folder with `adapter_config.json` is a PEFT adapter and is put onto its base.
        revision: of a hub model.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `fp32`, `bf16`, `fp16`, or `auto`: bf16 on CUDA, else fp32.
        base: of an adapter: hub name or folder; by default the one that its configuration names.
        quantize: weights of the language model in 4 bits (NF4 of bitsandbytes).

    Raises:
        EncoderError: not found, damaged, not image-text-to-text, without processor or chat template; no such device.
        ConfigError: no such precision. MissingDependencyError: peft or bitsandbytes is needed and not installed.
    """
    place = find_device(device)
    precision = resolve_precision(precision, place)
    identity = identify(name, revision=revision, base=base)
    adapter = Path(name) if is_adapter(name) else None
    whole = _base_of(adapter, base) if adapter else name
    revision = None if adapter else revision
    processor = _load_processor(name if adapter and _has_processor(adapter) else whole, revision)
    if adapter and _has_processor(adapter):
        _require_same_kind(adapter, processor, whole)
    model = _load(whole, revision, place, precision, quantize)
    if adapter:
        model = _put_on(model, adapter, whole)
    model.eval().requires_grad_(False)
    return ImageTextModel(identity, model, processor, place, precision)


def identify(name: str, *, revision: str | None = None, base: str | None = None) -> Identity:
    """Name and fingerprint of a model without loading it: a folder's files are hashed, of a hub model the commit is looked up.

    Raises:
        EncoderError: there is no such model, it is not image-text-to-text, or `base` is given and it is no adapter.
    """
    if not is_adapter(name):
        if base:
            raise EncoderError(f"{name} is no adapter (it has no {ADAPTER}), so it has no base {base}.")
        return _identify(name, revision)
    folder = Path(name)
    if revision:
        raise EncoderError(f"{name} is a folder; it has no revision {revision}.")
    under = _identify_base(folder, base)
    return Identity(folder.resolve().name, fingerprint({"adapter": files_of_model(folder), "base": under.fingerprint}))


def is_adapter(name: str) -> bool:
    """Whether a name is a folder of PEFT."""
    return (Path(name) / ADAPTER).is_file()


def _identify(name: str, revision: str | None) -> Identity:
    return identity_of(name, revision, _config(name, revision))


def _identify_base(adapter: Path, base: str | None) -> Identity:
    """Of the model under an adapter. One that was trained from a folder knows only that folder's name."""
    named = _base_of(adapter, base)
    try:
        return _identify(named, None)
    except EncoderError as error:
        if base or is_local(named):
            raise
        raise EncoderError(
            f"{adapter} is an adapter of {named}, which is found neither beside it nor on the hub. If it lies elsewhere, say "
            f"where: ?base=FOLDER_OR_NAME after the adapter's name. ({error})"
        ) from None


def _config(name: str, revision: str | None) -> Any:
    """The configuration, after a look whether it is one of an image-text-to-text model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    config = read_config(name, revision)
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise EncoderError(
            f"{spec_of(name, revision)} is a model of type {config.model_type!r}, not one that answers about pictures "
            "(image-text-to-text: Qwen2-VL, InternVL in the form of transformers (names that end in -hf), SmolVLM, LLaVA ...)."
        )
    return config


def _load(name: str, revision: str | None, device: torch.device, precision: str, quantize: bool) -> Any:
    from transformers import AutoModelForImageTextToText

    arguments = {"quantization_config": _four_bits(), "device_map": {"": str(device)}} if quantize else {}
    config = _config(name, revision)
    return load_weights(AutoModelForImageTextToText, name, revision, device, precision, config=config, **arguments)


def _four_bits() -> Any:
    from transformers import BitsAndBytesConfig

    if not find_spec("bitsandbytes"):
        raise MissingDependencyError("weights in 4 bits need the package bitsandbytes: pip install mella-retrieval[mllm]")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=[*_WHOLE],
    )


def _load_processor(name: str, revision: str | None) -> Any:
    from transformers import AutoProcessor

    spec = spec_of(name, revision)
    with loading(spec, local=is_local(name)):
        processor = AutoProcessor.from_pretrained(name, **revision_argument(revision))
    if getattr(processor, "image_processor", None) is None or getattr(processor, "tokenizer", None) is None:
        raise EncoderError(
            f"{spec} has no processor that prepares pictures and text ({' or '.join(_PROCESSOR)} and the tokenizer's files)."
        )
    if not getattr(processor, "chat_template", None):
        raise EncoderError(f"{spec} has no chat template (chat_template.jinja), so it cannot be asked anything.")
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return processor


def _base_of(adapter: Path, base: str | None) -> str:
    """The base that was asked for, else the one that the adapter names; a relative path is looked for beside the adapter."""
    if base:
        return base
    try:
        named = json.loads((adapter / ADAPTER).read_bytes())["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{adapter / ADAPTER} cannot be read ({error}).") from None
    if not named:
        raise EncoderError(f"{adapter} does not say which model it belongs to; name it as its base.")
    beside = adapter.resolve().parent / named
    return str(beside) if not Path(named).is_dir() and beside.is_dir() else str(named)


def _require_same_kind(adapter: Path, processor: Any, base: str) -> None:
    """Models of two kinds can have language models of one shape, onto which an adapter of either fits."""
    try:
        under = _load_processor(base, None)
    except EncoderError:
        return  # the base has none of its own
    own, other = type(processor).__name__, type(under).__name__
    if own != other:
        raise EncoderError(f"{adapter} is an adapter of another model than {base}: its processor is {own}, not {other}.")


def _put_on(model: Any, adapter: Path, base: str) -> Any:
    try:
        from peft import PeftModel
    except ImportError:
        raise MissingDependencyError(f"the adapter {adapter} needs the package peft: pip install mella-retrieval[mllm]") from None
    with loading(spec_of(str(adapter)), local=True), _strictly():
        wrapped = PeftModel.from_pretrained(model, str(adapter))
    if wrapped.active_peft_config.is_prompt_learning:
        raise EncoderError(
            f"{adapter} is an adapter that learns prompts; those that stand in layers (LoRA) can be put onto {base}."
        )
    return wrapped.get_base_model()


@contextmanager
def _strictly() -> Iterator[None]:
    """Weights that an adapter lacks are an error, not a warning: another model's adapter would do nothing, in silence."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # of transformers, about what peft calls
        warnings.filterwarnings("error", message=".*missing adapter keys.*")
        yield


def _has_processor(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _PROCESSOR)
