"""An adapter with its towers as ONNX: `text.onnx` (token ids and mask -> unit vector), `image.onnx` (pixels -> unit vector).

Beside them `tokenizer.json` of the `tokenizers` library, which brings texts to their Unicode form, cuts and pads, and
`onnx.json`, which says what else happens to a text or picture first. The files are run in onnxruntime and compared before they
are handed out.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.export import probes
from mella_retrieval.adapters.export.formats import Exported, ExportRequest
from mella_retrieval.adapters.export.tokenizers import with_unicode_form
from mella_retrieval.adapters.export.towers import (
    image_tower_of,
    preparation_of,
    shared_dim,
    text_tower_of,
)
from mella_retrieval.adapters.heads import Array
from mella_retrieval.adapters.naming import public_name
from mella_retrieval.artifacts import Json, new_folder, write_json
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ExportError, MissingDependencyError

if TYPE_CHECKING:
    from torch import nn

    from mella_retrieval.encoders.sentence_transformers_towers import SentenceTower
    from mella_retrieval.encoders.torch_towers import TorchImageTower

TEXT, IMAGE, TOKENIZER, ABOUT = "text.onnx", "image.onnx", "tokenizer.json", "onnx.json"
ALLOWED = 1e-4
# A file of protocol buffers holds less than 2 GB; larger weights go into a file beside it.
_ONE_FILE = 1_800_000_000


def export(request: ExportRequest, out: Path, *, overwrite: bool = False) -> Exported:
    """Write the files; see `formats.export`.

    The image side is left out, with a note, where the image tower cannot be loaded or is no torch module.
    """
    _require_packages()
    made, adapter = Exported(), request.adapter
    tower = text_tower_of(request)
    image_tower = image_tower_of(request, made)
    expected = adapter.map_text(tower.encode(probes.TEXTS).pooled)
    about: Json = {"format_version": 1, "adapter": adapter.fingerprint, "dim": shared_dim(adapter)}
    with new_folder(out, overwrite=overwrite) as aside:
        about["text"] = _write_text(aside, tower, adapter)
        made.differences["text"] = probes.difference(expected, _run_texts(aside, about["text"]), ALLOWED, "text")
        if image_tower is not None:
            about["image"], made.differences["image"] = _write_image(aside, image_tower, adapter)
        write_json(aside / ABOUT, about)
        (aside / "README.md").write_text(_card(adapter, made), encoding="utf-8")
    return made


def _require_packages() -> None:
    from importlib.util import find_spec

    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise MissingDependencyError(f"the export to ONNX needs {', '.join(missing)}: pip install 'mella-retrieval[onnx]'.")


def _write_text(folder: Path, tower: SentenceTower, adapter: Adapter) -> Json:
    import torch

    from mella_retrieval.adapters.export.torch_modules import TextSide

    preparation = preparation_of(tower.info)
    tokenizer, names = tower.model.tokenizer, ("input_ids", "attention_mask")
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise ExportError(f"{tower.info.spec} cannot be exported: its tokenizer is none of the tokenizers library.")
    _refuse_hidden_prompt(tower, preparation.prefix)
    example = tokenizer(["a b c", "a"], padding=True, return_tensors="pt")
    side = TextSide(tower.model, adapter.text_head)
    shapes = {name: {0: "batch", 1: "length"} for name in names}
    _export(side, tuple(example[name].to(torch.int64) for name in names), names, shapes, folder / TEXT)
    limit = preparation.max_length
    _write_tokenizer(with_unicode_form(tokenizer, preparation.unicode), limit, folder / TOKENIZER)
    kept = preparation.model_copy(update={"unicode": "none", "max_length": limit})
    return {
        "file": TEXT,
        "tokenizer": TOKENIZER,
        "inputs": list(names),
        "output": "vector",
        "max_length": limit,
        "preparation": kept.model_dump(mode="json", include={"lower_case", "canonicalise", "max_characters", "prefix"}),
        "tower": _tower(tower.info),
    }


def _refuse_hidden_prompt(tower: SentenceTower, prefix: str) -> None:
    if prefix and any(getattr(module, "include_prompt", True) is False for module in tower.model):
        raise ExportError(f"{tower.info.spec} leaves its prompt out of the pooling, which the ONNX file cannot be told.")


def _write_tokenizer(tokenizer: Any, limit: int | None, path: Path) -> None:
    """The tokenizer as one file that cuts and pads by itself."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    if limit is None:
        backend.no_truncation()
    else:
        backend.enable_truncation(limit, direction=tokenizer.truncation_side)
    backend.enable_padding(direction=tokenizer.padding_side, pad_id=tokenizer.pad_token_id or 0, pad_token=tokenizer.pad_token)
    path.write_text(backend.to_str(), encoding="utf-8")


def _run_texts(folder: Path, about: Json) -> Array:
    """The probes as a foreign program encodes them: with what stands in the folder alone."""
    from tokenizers import Tokenizer

    from mella_retrieval.encoders.text_preparation import TextPreparation

    rule = TextPreparation(unicode="none", **about["preparation"])
    tokenizer = Tokenizer.from_file(str(folder / about["tokenizer"]))
    session = _session(folder / about["file"])
    rows = []
    for start in range(0, len(probes.TEXTS), 4):  # several batches of several lengths
        encoded = tokenizer.encode_batch([rule.apply(text) for text in probes.TEXTS[start : start + 4]])
        ids = np.array([row.ids for row in encoded], np.int64)
        mask = np.array([row.attention_mask for row in encoded], np.int64)
        rows.append(session.run(None, {"input_ids": ids, "attention_mask": mask})[0])
    return np.concatenate(rows)


def _write_image(folder: Path, tower: TorchImageTower, adapter: Adapter) -> tuple[Json, float]:
    import torch

    from mella_retrieval.adapters.export.torch_modules import ImageSide

    prepare: Any = getattr(tower, "prepare")  # noqa: B009  (the base class leaves it to its kinds)
    prepared = [prepare(picture) for picture in probes.pictures(96)]
    pixels = torch.stack(prepared)
    name = "pixel_values"
    _export(ImageSide(tower, adapter.image_head), (pixels[:2],), (name,), {name: {0: "batch"}}, folder / IMAGE)
    session = _session(folder / IMAGE)
    found = np.concatenate([session.run(None, {name: part.numpy()})[0] for part in (pixels, pixels[:1])])
    ours = adapter.map_image(tower.encode([*prepared, prepared[0]]).pooled)
    about = {
        "file": IMAGE,
        "inputs": [name],
        "output": "vector",
        "shape": ["batch", *pixels.shape[1:]],
        "preparation": tower.info.preparation,
        "tower": _tower(tower.info),
    }
    return about, probes.difference(ours, found, ALLOWED, "image")


def _tower(info: TowerInfo) -> Json:
    return {**info.to_json(), "spec": public_name(info)}


def _export(module: nn.Module, example: tuple[Any, ...], names: tuple[str, ...], shapes: dict[str, Any], path: Path) -> None:
    import torch

    size = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                module.eval(),
                example,
                input_names=list(names),
                output_names=["vector"],
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            program.save(str(path), external_data=size > _ONE_FILE)
        except Exception as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ExportError(f"torch cannot write this tower as ONNX ({path.name}): {first[:300]}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about its own workings."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "torch.onnx", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _card(adapter: Adapter, made: Exported) -> str:
    config = adapter.config
    towers = f"{public_name(config.text_tower)} into {public_name(config.image_tower)}"
    lines = [
        f"# {config.method} adapter with its towers as ONNX: {towers}",
        "",
        "```python",
        "import json, numpy, onnxruntime, tokenizers",
        "",
        f'about = json.load(open("{ABOUT}"))["text"]',
        f'tokenizer = tokenizers.Tokenizer.from_file("{TOKENIZER}")  # Unicode form, cutting and padding are inside',
        'encoded = tokenizer.encode_batch([about["preparation"]["prefix"] + text for text in ["..."]])',
        f'session = onnxruntime.InferenceSession("{TEXT}")',
        "vectors = session.run(None, {",
        '    "input_ids": numpy.array([row.ids for row in encoded]),',
        '    "attention_mask": numpy.array([row.attention_mask for row in encoded]),',
        "})[0]",
        "```",
        "",
        f"Vectors have {shared_dim(adapter)} dimensions and unit length; they agree with mella-retrieval's within {ALLOWED:g} "
        "in every component (onnxruntime, CPU; measured on probes at export: "
        + ", ".join(f"{side} {value:.1e}" for side, value in made.differences.items())
        + ").",
        "",
        f"`{ABOUT}` says what is done to a text before the tokenizer (`lower_case`, `canonicalise`, `prefix`, in this order)"
        + (f" and to a picture before `{IMAGE}`." if "image" in made.differences else "."),
        *made.notes,
        "",
        "Holds a copy of the towers' weights: their licences apply.",
        "",
    ]
    return "\n".join(lines)
