"""Image towers as transformers holds them: CLIP's vision model and SigLIP's, and open_clip's plain vision transformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mella_retrieval.adapters.heads import Array
from mella_retrieval.adapters.naming import public_name
from mella_retrieval.errors import ExportError

if TYPE_CHECKING:
    import torch

    from mella_retrieval.encoders.torch_towers import TorchImageTower

_RENAMED = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre": "pre_layrnorm",
    "ln_post": "post_layernorm",
}
_IN_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


@dataclass(frozen=True)
class Vision:
    """An image tower in parts.

    Attributes:
        model: of transformers; its `pooler_output` is the pooled vector before the projection.
        processor: of transformers; what it does to a picture.
        projection: (d, width), or None where the pooled vector is the tower's own.
        size: pixels of a side of the square pictures that it reads.
    """

    model: Any
    processor: Any
    projection: Array | None
    size: int


def vision_of(tower: TorchImageTower) -> Vision:
    """A tower as transformers holds it.

    Raises:
        ExportError: transformers has no such model, or no such preparation of pictures.
    """
    kind = tower.info.spec.partition(":")[0]
    if kind == "transformers":
        return _of_transformers(tower)
    if kind == "open_clip":
        return _of_open_clip(tower)
    raise ExportError(f"{public_name(tower.info)}: image towers of the kind {kind} cannot be taken apart")


def _of_transformers(tower: Any) -> Vision:
    inner: Any = getattr(tower.model, "vision_model", None)
    if not hasattr(inner, "save_pretrained"):
        raise ExportError(f"{public_name(tower.info)} has no vision model that stands alone")
    projection = getattr(tower.model, "visual_projection", None)
    weight = None if projection is None else projection.weight.detach().numpy()
    return Vision(inner, tower.processor, weight, int(inner.config.image_size))


def _of_open_clip(tower: Any) -> Vision:
    from open_clip.transformer import QuickGELU, VisionTransformer
    from torch import nn
    from transformers import CLIPVisionConfig, CLIPVisionModel

    visual, spec = tower.model, public_name(tower.info)
    unlike = f"{spec}: transformers has no counterpart of its image tower ({type(visual).__name__}"
    if not isinstance(visual, VisionTransformer):
        raise ExportError(f"{unlike}; only open_clip's plain vision transformers have one)")
    plain = visual.attn_pool is None and visual.pool_type == "tok" and isinstance(visual.ln_pre, nn.LayerNorm)
    square = len(set(visual.image_size)) == len(set(visual.patch_size)) == 1
    if not plain or not square or visual.final_ln_after_pool or visual.proj is None:
        raise ExportError(f"{unlike} with its own pooling, norms or shape)")
    first = visual.transformer.resblocks[0]
    config = CLIPVisionConfig(
        hidden_size=visual.conv1.out_channels,
        intermediate_size=first.mlp.c_fc.out_features,
        num_hidden_layers=len(visual.transformer.resblocks),
        num_attention_heads=first.attn.num_heads,
        image_size=visual.image_size[0],
        patch_size=visual.patch_size[0],
        projection_dim=visual.output_dim,
        hidden_act="quick_gelu" if isinstance(first.mlp.gelu, QuickGELU) else "gelu",
        layer_norm_eps=visual.ln_post.eps,
    )
    model = CLIPVisionModel(config).eval().requires_grad_(False)
    try:
        missing, strange = model.load_state_dict(_renamed(visual.state_dict()), strict=False)
    except RuntimeError:  # shapes
        missing, strange = ["shapes"], []
    if strange or [name for name in missing if not name.endswith("position_ids")]:
        raise ExportError(f"{unlike} with layers that CLIP's does not have)")
    size = int(visual.image_size[0])
    return Vision(model, _processor(visual.preprocess_cfg, size, spec), visual.proj.detach().numpy().T.copy(), size)


def _renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """open_clip's tensors under transformers' names; names without a counterpart stay and are found to be strange."""
    renamed: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if name == "proj":
            continue
        layer, _, last = name.rpartition(".")
        if not name.startswith("transformer.resblocks."):
            renamed[_RENAMED.get(name) or f"{_RENAMED.get(layer, layer)}.{last}"] = value
            continue
        number, _, inside = name.removeprefix("transformer.resblocks.").partition(".")
        start = f"encoder.layers.{number}"
        if inside in {"attn.in_proj_weight", "attn.in_proj_bias"}:
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{start}.self_attn.{part}_proj.{inside.rpartition('_')[2]}"] = rows.clone()
        else:
            layer = inside.rpartition(".")[0]
            renamed[f"{start}.{_IN_BLOCK.get(layer, layer)}.{last}"] = value
    return renamed


def _processor(settings: Mapping[str, Any], size: int, spec: str) -> Any:
    from PIL.Image import Resampling
    from transformers import CLIPImageProcessor

    mode, interpolation = settings.get("resize_mode", "shortest"), settings.get("interpolation", "bicubic")
    if mode not in {"shortest", "squash"} or interpolation not in {"bicubic", "bilinear"}:
        raise ExportError(f"{spec}: transformers' image processor has no counterpart of {mode} resizing ({interpolation})")
    square = {"height": size, "width": size}
    return CLIPImageProcessor(
        size={"shortest_edge": size} if mode == "shortest" else square,
        resample=Resampling[interpolation.upper()],
        do_center_crop=mode == "shortest",
        crop_size=square,
        image_mean=list(settings["mean"]),
        image_std=list(settings["std"]),
        do_convert_rgb=True,
    )
