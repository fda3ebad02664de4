"""Fit an adapter and write its folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mella_retrieval.adapters.adapter import Adapter, AdapterConfig
from mella_retrieval.adapters.card import write_card
from mella_retrieval.adapters.hubness import fold_hubness
from mella_retrieval.adapters.inputs import PseudoPairs, load_inputs
from mella_retrieval.adapters.leccr.scenes import given_names
from mella_retrieval.adapters.method import Method, MethodConfig, PseudoPairConfig, explain_needs, met_needs
from mella_retrieval.adapters.methods import METHODS
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.artifacts import beside, fingerprint, library_versions, require_free, writer_lock
from mella_retrieval.errors import ConfigError, TrainingError
from mella_retrieval.recipes import apply_overrides, build_config, find_recipe, read_yaml, suggest


def load_method(recipe: str, overrides: Iterable[str] = ()) -> tuple[Method, MethodConfig]:
    """The method and its checked options, from a recipe (by name or path) and overrides.

    Raises:
        ConfigError: unknown recipe, method or option; the nearest valid name is suggested.
    """
    path = find_recipe("adapters", recipe)
    values = apply_overrides(read_yaml(path), overrides)
    name = str(values.pop("method", ""))
    if name not in METHODS:
        raise ConfigError(f"{path}: unknown method {name!r}.{suggest(name, METHODS)} Known: {', '.join(METHODS)}.")
    return METHODS[name], build_config(METHODS[name].config, values, str(path))


def train(
    method: Method,
    config: MethodConfig,
    sources: Sources,
    out: Path | str,
    *,
    seed: int = 0,
    shuffle_pairs: bool = False,
    overwrite: bool = False,
    run: Run | None = None,
) -> Adapter:
    """Fit `method` on stored vectors and write the adapter folder `out`.

    Args:
        method: one of `METHODS`.
        config: its options.
        sources: the embedding sets at hand; more than the method needs is allowed.
        out: the adapter's folder; stored pseudo-pairs and the state of a killed run stand in `<out>.work` and are used again.
        seed: of the held-out part, initial weights and batches.
        shuffle_pairs: destroy the correspondence first: the control that must fall to chance.
        overwrite: replace an adapter that is there.
        run: device, progress, TensorBoard, and whether vectors are read into memory.

    Raises:
        TrainingError: the method's needs are not met, or the fit failed.
        ArtifactError: `out` is there already (said before anything is fitted), or cannot be written.
    """
    have = given_names(sources.named())
    if met_needs(method.needs, have) is None:
        raise TrainingError(explain_needs(method, have))
    out = Path(out)
    with writer_lock(out):
        require_free(out, overwrite=overwrite)
        run = run or Run()
        work = beside(out, ".work")
        wanted = PseudoPairs(work, config.pseudo_pair_top) if isinstance(config, PseudoPairConfig) else None
        inputs = load_inputs(sources, seed, pseudo_pairs=wanted, in_memory=run.in_memory)
        if shuffle_pairs:
            inputs = inputs.shuffled()
        job = fingerprint([method.name, _plain(config), inputs.description, seed, shuffle_pairs])
        fitted = method.fit(inputs, config, replace(run, checkpoints=work, job=job))
        if config.hubness:
            fitted = fold_hubness(fitted, inputs, config.hubness)
        made = AdapterConfig(
            method=method.name,
            options=_plain(config),
            text_tower=inputs.text_tower,
            image_tower=fitted.slots.info.tower() if fitted.slots else inputs.image_tower,
            text_head=fitted.text_head.chain(),
            image_head=fitted.image_head.chain(),
            languages=inputs.languages,
            inputs=inputs.description | ({"shuffled_pairs": True} if shuffle_pairs else {}),
            selection=fitted.selection,
            seed=seed,
            versions=library_versions("torch", "numpy"),
            slots=fitted.slots.info if fitted.slots else None,
        )
        adapter = Adapter(made, fitted.text_head, fitted.image_head, fitted.slots)
        return adapter.save(out, write_card(adapter), overwrite=overwrite)


def _plain(config: MethodConfig) -> dict[str, Any]:
    return config.model_dump(mode="json")
