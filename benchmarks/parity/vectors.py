"""The vectors that our metrics and the peers' are asked about: nothing is stored but their hashes.

- `synthetic`: 300 pictures, two to five captions each, three languages, in whole numbers, so that every machine makes the
  same bits. No irrelevant item scores within `GAP` of a relevant one: whatever order a library adds in, the ranking is the
  same. Two dozen pictures have no Thai caption and stay in the gallery.
- `real`: the test split of the test bed (160 Flickr8k pictures, real CLIP ViT-B/32 vectors), captions by people through the
  real minimulti tower and a `procrustes` adapter from English text alone. Needs the material beside the repository.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.material import caption_vectors, gallery_vectors, load_evaluation
from mella_retrieval.benchmarks.protocols import Captions
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_texts
from mella_retrieval.embeddings.imports import import_file
from mella_retrieval.encoders.loading import load_text_tower

Floats = NDArray[np.float32]

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
BED, TOWER = SHARED / "data" / "flickr8k-clip", SHARED / "models" / "minimulti"
CLIP = "open_clip:ViT-B-32/openai"
GAP = 5e-6
NOISE = {"cs": 220, "hu": 320, "th": 420}  # the larger, the harder the language
REAL_LANGUAGES = ("en", "ar", "zh", "cs")  # five, three, up to five and one caption per picture


@dataclass(frozen=True)
class VectorSet:
    """One system's vectors over a test set.

    Attributes:
        evaluation: the gallery and the captions of each language.
        images: (N, d) float32, in the order of the gallery.
        texts: by language (M, d) float32, in the order of the captions.
    """

    evaluation: EvaluationSet
    images: Floats
    texts: Mapping[str, Floats]

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the bytes of each array, and of what belongs to what."""
        ids = {code: (captions.image.tolist(), list(captions.text_id)) for code, captions in self.evaluation.captions.items()}
        content = {"images": self.images.tobytes(), **{code: texts.tobytes() for code, texts in self.texts.items()}}
        content["ids"] = repr((self.evaluation.image_ids, ids)).encode()
        return {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}


def synthetic() -> VectorSet:
    """The same on every machine; see the module."""
    rng = np.random.default_rng(2026)
    images = rng.integers(-99, 100, (300, 32))
    captions, texts = {}, {}
    for language, noise in NOISE.items():
        counts = rng.integers(2, 6, len(images))
        if language == "th":
            counts[::13] = 0
        owner = np.repeat(np.arange(len(images)), counts)
        own = images[owner]
        vectors = own + rng.integers(-noise, noise + 1, own.shape)
        while (near := _near_ties(vectors, images, owner)).size:
            vectors[near] = own[near] + rng.integers(-noise, noise + 1, (len(near), own.shape[1]))
        names = [f"{language}-{row:04d}" for row in range(len(owner))]
        captions[language] = Captions(owner.astype(np.int64), [f"caption {name}" for name in names], names)
        texts[language] = vectors.astype(np.float32)
    evaluation = EvaluationSet(tuple(f"image-{row:03d}" for row in range(len(images))), captions)
    return VectorSet(evaluation, images.astype(np.float32), texts)


def real(work: Path) -> VectorSet:
    """Made under `work`, in about half a minute; see the module."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    work.mkdir(parents=True, exist_ok=True)
    table = pq.read_table(BED / "captions.parquet")
    pq.write_table(table.filter(pc.equal(table["split"], "test")), work / "test.parquet")
    import_records(work / "test.parquet", work / "captions", overwrite=True)
    anchors = BED / "english_anchors.csv"
    import_records(anchors, work / "anchors", overwrite=True, lang="en", text_only=True, columns={"text_id": "row"})
    tower = load_text_tower(f"sentence-transformers:{TOWER}", device="cpu")
    captions = Records.load(work / "captions")
    asked = embed_texts(captions, tower, work / "captions-text")
    embed_texts(Records.load(work / "anchors"), tower, work / "anchors-text")
    clip_text = BED / "clip_vit_b32_openai_english_anchors.safetensors"
    import_file(clip_text, anchors, work / "anchors-clip", CLIP, "text", id_column="row")
    clip_image = BED / "clip_vit_b32_openai_image.safetensors"
    pictures = import_file(clip_image, BED / "images.csv", work / "images", CLIP, "image", id_column="image_id")

    sources = Sources(english_text=str(work / "anchors-text"), clip_text=str(work / "anchors-clip"))
    adapter = train(*load_method("procrustes", ()), sources, work / "adapter", overwrite=True)
    task = Task(
        name="parity",
        title="Test split of the test bed",
        source="development material beside the repository",
        licence="local research use only",
        protocols=("first",),
        languages=REAL_LANGUAGES,
        images=160,
    )
    evaluation = load_evaluation(task, captions)
    texts = {code: adapter.map_text(rows) for code, rows in caption_vectors(asked, evaluation).items()}
    return VectorSet(evaluation, adapter.map_image(gallery_vectors(pictures, evaluation)), texts)


def smallest_gap(vectors: VectorSet) -> float:
    """The least difference between the scores of a relevant and an irrelevant item of one query."""
    return min(
        float(_gaps(texts, vectors.images, np.asarray(vectors.evaluation.captions[language].image)).min())
        for language, texts in vectors.texts.items()
    )


def _near_ties(texts: NDArray[np.generic], images: NDArray[np.generic], owner: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.flatnonzero(_gaps(texts, images, owner) < GAP)


def _gaps(texts: NDArray[np.generic], images: NDArray[np.generic], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """(M,) how near each caption comes to a tie: as a query, or as an irrelevant item among an image's captions."""
    scores = _unit(texts) @ _unit(images).T
    rows = np.arange(len(owner))
    as_query = np.abs(scores - scores[rows, owner][:, None])
    as_query[rows, owner] = np.inf
    gaps = as_query.min(axis=1)
    for image in np.unique(owner):
        own = owner == image
        others = np.abs(scores[~own, image, None] - scores[own, image]).min(axis=1)
        gaps[~own] = np.minimum(gaps[~own], others)
    return np.asarray(gaps)


def _unit(vectors: NDArray[np.generic]) -> NDArray[np.float64]:
    values = np.asarray(vectors, np.float64)
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))
