"""An adapter between its two towers as an encoder of mteb (https://github.com/embeddings-benchmark/mteb), the optional extra
`mella-retrieval[mteb]`.

    import mteb
    from mella_retrieval.benchmarks.mteb import AdapterEncoder

    encoder = AdapterEncoder.load("runs/hungarian", name="me/hungarian")
    mteb.evaluate(encoder, mteb.get_tasks(tasks=["XM3600T2IRetrieval"]))

Texts get the preparation of their tower and pictures that of theirs; both come back in the adapter's space with unit
length. Towers that want the language of a text get it from the task (`language_of`). mteb hands over the whole gallery again
for every language of a task: a picture seen before is not encoded twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from mella_retrieval import languages
from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.artifacts import fingerprint
from mella_retrieval.data.images import upright_rgb
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import NO_LIMIT, ImageTower, TextTower, same_model
from mella_retrieval.errors import ConfigError, DataError, MismatchError, MissingDependencyError

if TYPE_CHECKING:
    from mteb.models import ModelMeta
    from PIL.Image import Image

Array = npt.NDArray[np.float32]

REMEMBERED = 200_000
"""Pictures whose vectors are kept (2 KB each at 512 dimensions); those beyond are encoded whenever they are asked for."""


class AdapterEncoder:
    """Text tower, adapter and image tower behind mteb's encoder protocol.

    Args:
        adapter: joins the towers; None for a dual encoder as it is, such as the English baseline.
        text_tower, image_tower: the adapter's own.
        name: under which mteb files the results, `organisation/model`; by default `local/<method>`.
        facts: fields of mteb's `ModelMeta` that only the caller knows (`license`, `reference`, `release_date`, `languages` ...);
            what neither they nor the adapter say stays empty.

    Raises:
        MismatchError: a tower is not the adapter's, the two towers are not one model, or the adapter searches pictures that its
            slots enriched with descriptions, which mteb does not have.
    """

    def __init__(
        self,
        adapter: Adapter | None,
        text_tower: TextTower,
        image_tower: ImageTower,
        *,
        name: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        if adapter is None:
            if text_tower.info.dim != image_tower.info.dim or not same_model(text_tower.info, image_tower.info):
                raise MismatchError(f"{text_tower.info.spec} and {image_tower.info.spec} are not one model: name an adapter.")
        elif adapter.config.slots is not None:
            raise MismatchError(
                f"the {adapter.config.method} adapter searches vectors that its slots have enriched with descriptions, and "
                "mteb gives pictures alone."
            )
        else:
            adapter.require_text_tower(text_tower.info, "the text tower")
            adapter.require_image_tower(image_tower.info, "the image tower")
        self.adapter, self.text_tower, self.image_tower = adapter, text_tower, image_tower
        self._name = name or f"local/{adapter.config.method if adapter else 'dual-encoder'}"
        self._facts = dict(facts or {})
        self._seen: dict[bytes, Array] = {}

    @classmethod
    def load(
        cls,
        adapter: Path | str,
        *,
        text_tower: str | None = None,
        image_tower: str | None = None,
        name: str | None = None,
        facts: Mapping[str, Any] | None = None,
        device: str = "auto",
        allow_module: bool = False,
    ) -> AdapterEncoder:
        """Open an adapter (a folder, or `owner/name@revision` on the hub) and load its towers.

        Args:
            adapter: where it is.
            text_tower, image_tower: specs that replace those the adapter names, where a model has moved.
            name, facts: see the class.
            device: of the towers: `auto`, `cpu`, `cuda`, `cuda:0`, `mps`.
            allow_module: import a `module:` class; only for specs that are named here.

        Raises:
            HubError, ArtifactError, EncoderError: the adapter or a tower cannot be loaded.
            MismatchError: see the class.
        """
        opened = Adapter.load(adapter)
        text = load_text_tower(
            text_tower or opened.config.text_tower.spec, device=device, allow_module=allow_module and text_tower is not None
        )
        image = load_image_tower(
            image_tower or opened.config.image_tower.spec, device=device, allow_module=allow_module and image_tower is not None
        )
        return cls(opened, text, image, name=name, facts=facts)

    @cached_property
    def mteb_model_meta(self) -> ModelMeta:
        """What mteb files with the results. The revision is the adapter's fingerprint, so results of another adapter of the
        same name are never taken for its own.

        Raises:
            MissingDependencyError: mteb is not installed.
            ConfigError: mteb does not accept the name or one of the facts.
        """
        model_meta = _mteb("models.model_meta").ModelMeta
        text, image = self.text_tower.info, self.image_tower.info
        own = {
            "name": self._name,
            "revision": self.adapter.fingerprint if self.adapter else fingerprint([text.fingerprint(), image.fingerprint()]),
            "modalities": ["text", "image"],
            "similarity_fn_name": "cosine",
            "embed_dim": self._dim,
            "max_tokens": None if self.text_tower.max_tokens == NO_LIMIT else self.text_tower.max_tokens,
            "use_instructions": bool(text.preparation["prefix"]) if "prefix" in text.preparation else None,
        }
        try:
            empty = model_meta.create_empty().model_dump()
            return model_meta.model_validate({**empty, **own, **self._facts})
        except ValidationError as error:
            raise ConfigError(f"mteb does not accept the description of {self._name}: {error}") from None

    @cached_property
    def _dim(self) -> int:
        if self.adapter is None:
            return self.text_tower.info.dim
        return int(self.adapter.map_text(np.ones((1, self.text_tower.info.dim), np.float32)).shape[1])

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> Array:
        """Texts or pictures -> (n, d) float32 of unit length; queries and documents alike.

        Args:
            inputs: batches with `text` (n strings) or `image` (n pictures).
            task_metadata, hf_subset: tell the language.
            hf_split, prompt_type, kwargs: part of mteb's protocol; nothing depends on them.

        Raises:
            DataError: an input has both a text and a picture, or neither.
            EncoderError: a text is empty after its preparation, or its tower needs a language that the task does not tell.
        """
        lang = language_of(task_metadata.eval_langs, hf_subset)
        found = [self._batch(batch, lang, task_metadata.name) for batch in inputs]
        return np.concatenate([np.zeros((0, self._dim), np.float32), *found])

    def _batch(self, batch: Mapping[str, Any], lang: str | None, task: str) -> Array:
        kinds = {"text", "image"} & set(batch)
        if len(kinds) != 1:
            given = "both a text and a picture" if kinds else "neither a text nor a picture"
            raise DataError(f"{task} gives {given} in one input; an adapter maps one text or one picture.")
        return self._texts(list(batch["text"]), lang) if "text" in kinds else self._images(batch["image"])

    def _texts(self, texts: Sequence[str], lang: str | None) -> Array:
        pooled = self.text_tower.encode(texts, [lang] * len(texts) if lang else None).pooled
        return self.adapter.map_text(pooled) if self.adapter else pooled

    def _images(self, images: Sequence[Image]) -> Array:
        upright = [upright_rgb(image, f"picture {row} of the batch") for row, image in enumerate(images)]
        keys = [hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest() for image in upright]
        new = {key: image for key, image in zip(keys, upright, strict=True) if key not in self._seen}
        vectors = {key: self._seen[key] for key in keys if key in self._seen}
        if new:
            pooled = self.image_tower.encode([self.image_tower.prepare(image) for image in new.values()]).pooled
            mapped = self.adapter.map_image(pooled) if self.adapter else pooled
            vectors.update(zip(new, mapped, strict=True))
            if len(self._seen) < REMEMBERED:
                self._seen.update(zip(new, mapped, strict=True))
        return np.stack([vectors[key] for key in keys])

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """(n, m) cosines, a torch tensor, as mteb computes them."""
        return _mteb("similarity_functions").cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """(n,) cosines of corresponding rows, a torch tensor, as mteb computes them."""
        return _mteb("similarity_functions").pairwise_cos_sim(embeddings1, embeddings2)


def load_model(model_name: str, revision: str | None = None, *, device: str | None = None, **options: Any) -> AdapterEncoder:
    """The `loader` of a `ModelMeta` in mteb's list of models: an adapter on the hub by name and commit.

    Args:
        model_name: `owner/name` of the adapter.
        revision: commit of its repository on the hub.
        device: as mteb was asked for.
        options: of `AdapterEncoder.load`.
    """
    return AdapterEncoder.load(
        f"{model_name}@{revision}" if revision else model_name, name=model_name, device=device or "auto", **options
    )


def language_of(eval_langs: Mapping[str, Sequence[str]] | Sequence[str], subset: str) -> str | None:
    """The canonical code of the language that a subset of a task is in; None where the task does not tell one.

    mteb lists languages as `hun-Latn`, by subset where there are several. Where a subset lists more than one (XM3600's
    Norwegian: `nor-Latn`, `nno-Latn`, `nob-Latn`), the subset's own name decides if it is the code of one of them; a subset of
    a pair of languages (`en-de`) tells none.
    """
    listed = eval_langs.get(subset, ()) if isinstance(eval_langs, Mapping) else eval_langs
    codes = set()
    for code in listed:
        try:
            codes.add(languages.normalise(code))
        except DataError:  # `zxx-Zxxx`, no language, and languages that the table lacks
            return None
    if len(codes) == 1:
        return codes.pop()
    return subset if subset in codes else None


def _mteb(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"mteb.{module}")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"an adapter is handed to mteb by mteb ({error.name} is missing): pip install 'mella-retrieval[mteb]'."
        ) from None
