"""Build an index that chooses and tunes itself: aside, and put in its place when it is tuned."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mella_retrieval.artifacts import replace_folder, require_free, writer_lock
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.auto.build import auto_build
from mella_retrieval.indexes.auto.needs import AutoConfig
from mella_retrieval.indexes.build import Projection, refuse_foreign, set_parts
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.recipe import IndexRecipe

Array = npt.NDArray[np.float32]
AUTO = "auto"


def build_tuned(
    vectors: EmbeddingSet,
    out: Path | str,
    recipe: IndexRecipe,
    queries: Array | None,
    build: Callable[[Path, IndexRecipe], Index],
    *,
    projection: Projection | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Index:
    """Choose, build and tune by a recipe with `factory: auto`.

    Args:
        vectors: the image vectors.
        out: the index folder.
        recipe: what it has to do (`auto`).
        queries: (q, d) text vectors in the index's space, unit length; see `auto_build`.
        build: builds an index folder by a recipe.
        projection: what carries the vectors into the index's space.
        overwrite: replace an index that is there.
        say: told what was chosen, why, and what came of it.

    Raises:
        ConfigError: no queries, a budget that cannot be met, a recall that is not reached; `out` is as it was.
        ArtifactError: `out` is there (without `overwrite`), or holds something else than an index.
    """
    if queries is None:
        raise ConfigError(
            "an index that tunes itself needs text vectors like the queries to come (--queries TEXTS, an embedding set): "
            "they lie elsewhere than image vectors, so image vectors would tune it for the wrong place."
        )
    out = Path(out)
    require_free(out, overwrite=overwrite)
    refuse_foreign(out)
    aside = out.with_name(f".{out.name}.{AUTO}")
    with writer_lock(out):
        try:
            tuned = auto_build(
                len(vectors),
                projection.dim if projection else vectors.dim,
                recipe.auto or AutoConfig(),
                queries,
                blocks=lambda: (block for block, _ in set_parts(vectors, projection)),
                build=lambda chosen: build(aside, chosen),
                say=say,
            )
            changed = {"recipe": tuned.recipe.model_copy(update={"auto": recipe.auto}), "curve": tuned.curve}
            tuned.index.manifest.model_copy(update=changed).write(aside)
            replace_folder(aside, out)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            aside.with_name(f".{aside.name}.lock").unlink(missing_ok=True)
    return Index.load(out)
