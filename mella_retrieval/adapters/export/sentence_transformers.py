"""An adapter with its towers as one folder of stock modules, which plain sentence-transformers loads without any code of ours.

    text   tower, Normalize, Dense ...                       \\
                                                               Normalize
    image  vision model, Dense (projection), Normalize, Dense /

With both sides a Router chooses by what is given. Heads become `Dense` modules (methods.md, section 10), the Unicode form goes
into the tokenizer, the prefix becomes the default prompt. The folder is loaded anew and compared before it is handed out.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.export import probes
from mella_retrieval.adapters.export.clip_vision import Vision, vision_of
from mella_retrieval.adapters.export.formats import Exported, ExportRequest
from mella_retrieval.adapters.export.steps import Step, Unit, steps_of
from mella_retrieval.adapters.export.tokenizers import require_unicode_form, with_unicode_form
from mella_retrieval.adapters.export.towers import (
    image_tower_of,
    preparation_of,
    shared_dim,
    text_tower_of,
)
from mella_retrieval.adapters.heads import Array, Head
from mella_retrieval.adapters.naming import public_name
from mella_retrieval.artifacts import new_folder
from mella_retrieval.encoders.text_preparation import TextPreparation
from mella_retrieval.errors import ExportError

if TYPE_CHECKING:
    from mella_retrieval.encoders.torch_towers import TorchImageTower

ALLOWED = 1e-5


def export(request: ExportRequest, out: Path, *, overwrite: bool = False) -> Exported:
    """Write the folder; see `formats.export`.

    The image side is left out, with a note, where transformers cannot hold the image tower.
    """
    made, adapter = Exported(), request.adapter
    tower = text_tower_of(request)
    preparation = _keepable(preparation_of(tower.info))
    expected = adapter.map_text(tower.encode(probes.TEXTS).pooled)
    text = _text_route(tower.model, preparation, adapter)
    image_tower = image_tower_of(request, made)
    vision = _vision(request, image_tower, text, made)
    with new_folder(out, overwrite=overwrite) as aside:
        _save(aside, text, vision, adapter, preparation.prefix)
        loaded = _load(aside)
        require_unicode_form(loaded.tokenizer, preparation.unicode)
        found = np.asarray(loaded.encode(list(probes.TEXTS), show_progress_bar=False))
        made.differences["text"] = probes.difference(expected, found, ALLOWED, "text")
        if vision is not None and image_tower is not None:
            made.differences["image"] = _image_difference(loaded, image_tower, vision, adapter)
        (aside / "README.md").write_text(_card(adapter, made, preparation.prefix), encoding="utf-8")
        _open_to_all(aside)
    return made


def _keepable(preparation: TextPreparation) -> TextPreparation:
    """The preparation, if a folder of stock modules does all of it.

    Raises:
        ExportError: it does something that no tokenizer file or prompt can hold.
    """
    unlike = [name for name in ("lower_case", "canonicalise", "max_characters", "language") if getattr(preparation, name)]
    if unlike or not preparation.mask_padding or preparation.padding != "longest":
        raise ExportError(
            f"the text preparation of the tower ({', '.join(unlike) or 'its padding'}) has no exact counterpart in stock modules "
            "of sentence-transformers. Export with --to onnx, where the caller prepares the texts."
        )
    return preparation


def _text_route(model: Any, preparation: TextPreparation, adapter: Adapter) -> list[Any]:
    reader = model[0]
    name = "processor" if getattr(reader, "processor", None) is reader.tokenizer else "tokenizer"
    setattr(reader, name, with_unicode_form(reader.tokenizer, preparation.unicode))
    return [*_unit(list(model)), *_dense(adapter.text_head, adapter.config.text_tower.dim)]


def _vision(request: ExportRequest, tower: TorchImageTower | None, text: list[Any], made: Exported) -> Vision | None:
    from sentence_transformers.base.modules import Router

    if tower is None:
        return None
    try:
        if isinstance(text[0], Router):
            raise ExportError("the text tower has routes of its own")
        steps_of(request.adapter.image_head, tower.info.dim)
        return vision_of(tower)
    except ExportError as error:
        reason = str(error).rstrip(".")
        if request.image_tower is not None:
            raise ExportError(f"pictures cannot be exported: {reason}. Use --text-only.") from None
        made.notes.append(f"Texts only: {reason}.")
        return None


def _save(folder: Path, text: list[Any], vision: Vision | None, adapter: Adapter, prefix: str) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router

    modules = text
    if vision is not None:
        image = _image_route(folder, vision, adapter)
        routes = {(None, "text"): "text", (None, "image"): "image"}
        modules = [Router({"text": text, "image": image}, default_route="text", route_mappings=routes)]
    model = SentenceTransformer(
        modules=_unit(modules),
        device="cpu",
        prompts={"query": prefix, "document": prefix},
        default_prompt_name="query" if prefix else None,
        similarity_fn_name="cosine",
    )
    model.save_pretrained(str(folder), create_model_card=False)


def _image_route(folder: Path, vision: Vision, adapter: Adapter) -> list[Any]:
    from sentence_transformers.base.modules import Transformer

    between = folder / "vision"  # the module is made from a folder only
    vision.model.save_pretrained(between)
    vision.processor.save_pretrained(between)
    tower = Transformer(
        str(between),
        # pooler_output, not the first token: the last layer norm stands between them
        modality_config={"image": {"method": "forward", "method_output_name": "pooler_output"}},
        module_output_name="sentence_embedding",
    )
    shutil.rmtree(between)
    projection = (
        [] if vision.projection is None else [_module(Step(vision.projection, np.zeros(len(vision.projection), np.float32)))]
    )
    return [*_unit([tower, *projection]), *_dense(adapter.image_head, adapter.config.image_tower.dim)]


def _unit(modules: list[Any]) -> list[Any]:
    """The modules, followed by L2 normalisation."""
    from sentence_transformers.base.modules import Normalize

    return modules if isinstance(modules[-1], Normalize) else [*modules, Normalize()]


def _dense(head: Head, dim: int) -> list[Any]:
    return [_module(step) for step in steps_of(head, dim)]


def _module(step: Step | Unit) -> Any:
    import torch
    from sentence_transformers.base.modules import Dense, Normalize

    if isinstance(step, Unit):
        return Normalize()
    wide, narrow = step.weight.shape
    return Dense(
        narrow,
        wide,
        bias=bool(step.bias.any()),
        activation_function=torch.nn.ReLU() if step.relu else None,
        init_weight=torch.from_numpy(np.array(step.weight)),
        init_bias=torch.from_numpy(np.array(step.bias)),
    )


def _load(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


def _image_difference(loaded: Any, tower: TorchImageTower, vision: Vision, adapter: Adapter) -> float:
    pictures: Any = probes.pictures(vision.size)
    ours: Array = adapter.map_image(tower.encode([tower.prepare(picture) for picture in pictures]).pooled)  # type: ignore[attr-defined]
    return probes.difference(ours, np.asarray(loaded.encode(pictures, show_progress_bar=False)), ALLOWED, "image")


def _open_to_all(folder: Path) -> None:
    """safetensors makes private files, whatever the umask."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def _card(adapter: Adapter, made: Exported, prefix: str) -> str:
    config, pictures = adapter.config, "image" in made.differences
    towers = f"{public_name(config.text_tower)} into {public_name(config.image_tower)}"
    image_lines = [
        "Pictures go in as opened PIL images, `model.encode([image])`; one call takes texts or pictures, never both. Pictures",
        "that are not of the tower's size already are resized by transformers' image processor, which can crop one pixel aside",
        "of the transform that the adapter was fitted with: resize with that transform first where it matters.",
    ]
    lines = [
        "---",
        "library_name: sentence-transformers",
        "tags: [sentence-transformers, image-text-retrieval, cross-lingual]",
        "---",
        f"# {config.method} adapter with its towers: {towers}",
        "",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        'model = SentenceTransformer("this-folder")  # stock modules only, no trust_remote_code',
        'vectors = model.encode(["..."])',
        "```",
        "",
        f"Vectors have {shared_dim(adapter)} dimensions and unit length. They agree with mella-retrieval's within "
        f"{ALLOWED:g} in every component; measured on probes at export: "
        + ", ".join(f"{side} {value:.1e}" for side, value in made.differences.items())
        + ".",
        "",
        *(image_lines if pictures else made.notes),
        "",
        "Limits:",
        "",
        "- A text that is the path of an existing picture file, or an address ending like one, is taken for the picture: encode",
        '  `{"text": "..."}` instead.',
        "- Empty texts get a vector here; mella-retrieval refuses them.",
        *([f'- Every text gets the prompt {prefix!r} by default; `prompt=""` takes it away and is wrong.'] if prefix else []),
        "- Holds a copy of the towers' weights: their licences apply.",
        "",
    ]
    return "\n".join(lines)
