"""Run a task: rank every system, put chance and shuffled pairs beside it, and return the results with all that explains them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.benchmarks.descriptions import refuse_descriptions
from mella_retrieval.benchmarks.evaluation import EvaluationSet, RankedQueries, Reverse, query_counts, rank_system, shuffle_pairs
from mella_retrieval.benchmarks.material import Vectors, caption_vectors, gallery_vectors, truncated_shares
from mella_retrieval.benchmarks.metrics import DIRECTIONS, SEARCH_RECALL
from mella_retrieval.benchmarks.protocols import Protocol, get_protocol
from mella_retrieval.benchmarks.results import Data, Provenance, Record, Result, SystemInfo, library_versions, machine
from mella_retrieval.benchmarks.scores import CHANCE, Scope, Score, chance_scores, score_systems
from mella_retrieval.benchmarks.statistics import Bootstrap
from mella_retrieval.benchmarks.tasks import UNVERIFIED, Task
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.loading import load_text_tower
from mella_retrieval.encoders.towers import TextTower, TowerInfo, same_model
from mella_retrieval.errors import ConfigError, MellaError, MismatchError

if TYPE_CHECKING:  # results that use no index do not depend on its code
    from mella_retrieval.benchmarks.through_index import Ranked, Through

SHUFFLED = "shuffled pairs"
ENGLISH = "English dual encoder"
TRANSLATED = "translate-test"


@dataclass(frozen=True)
class System:
    """What is measured: its description and its vectors.

    Attributes:
        info: what stands in the result.
        texts: by language (M, d), in the order of the captions; a language without vectors has a reason in `info.missing`.
        images: (N, d), in the order of the gallery.
        reverse: the vectors of image -> text, where they are not the same.
        through: an index to rank it through besides, as a further system with the role `index`.
    """

    info: SystemInfo
    texts: Mapping[str, Vectors]
    images: Vectors
    reverse: Reverse | None = None
    through: Through | None = None


@dataclass(frozen=True)
class Setup:
    """What all systems of one run share; `device` is where ranks are counted."""

    task: Task
    evaluation: EvaluationSet
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    shuffle_seed: int = 0
    commands: tuple[str, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    checksum: str = UNVERIFIED
    revision: str = UNVERIFIED
    device: str = "cpu"

    @property
    def known_revision(self) -> str:
        """The revision of the data as it was loaded, else what the task states."""
        return self.task.revision if self.revision == UNVERIFIED else self.revision

    def provenance(self, shuffled: str) -> Provenance:
        """What a result says of how it was made; `shuffled` names what the second seed shuffled."""
        return Provenance(
            commands=self.commands,
            seeds={"bootstrap": self.bootstrap.seed, shuffled: self.shuffle_seed},
            hashes=dict(self.hashes),
            versions=library_versions(),
            machine=machine(),
        )


def run_task(setup: Setup, systems: Sequence[System], protocols: Sequence[str] | None = None) -> list[Result]:
    """One result per protocol; the first system is the one that shuffled pairs are shown for.

    Chance is computed, not drawn; shuffled pairs are the first system asked with the captions of other pictures.
    """
    return [_run(setup, systems, name) for name in protocols or setup.task.protocols]


def _run(setup: Setup, systems: Sequence[System], name: str) -> Result:
    protocol = get_protocol(name)
    evaluation = setup.evaluation
    cells: list[RankedQueries] = []
    for system in systems:
        cells += rank_system(
            system.info.name,
            system.texts,
            system.images,
            evaluation,
            protocol,
            reverse=system.reverse,
            device=setup.device,
        )
    indexed = [_through(system, evaluation, protocol) for system in systems if system.through is not None]
    cells += [cell for _, ranked in indexed for cell in ranked.cells]
    first = systems[0]
    others = shuffle_pairs(evaluation, setup.shuffle_seed)
    shuffled = rank_system(SHUFFLED, first.texts, first.images, others, protocol, reverse=first.reverse, device=setup.device)
    scope = Scope(tuple(evaluation.captions), setup.task.groups)
    infos = [*(system.info for system in systems), *(info for info, _ in indexed)]
    missing = {info.name: info.missing for info in infos if info.missing}
    scores = score_systems(cells, scope, setup.bootstrap, missing, protocol.metrics)
    absent = {SHUFFLED: first.info.missing} if first.info.missing else None
    scores += score_systems(shuffled, scope, setup.bootstrap, absent, protocol.metrics)
    scores += chance_scores(evaluation, scope, protocol)
    scores += [
        Score(system=info.name, language=row, direction=direction, metric=SEARCH_RECALL, value=float(np.mean(found)))
        for info, ranked in indexed
        for row, members in scope.rows().items()
        for direction in DIRECTIONS
        if len(found := [ranked.recalls[code, direction] for code in members if (code, direction) in ranked.recalls])
        == len(members)
    ]
    record = Record(
        task=setup.task,
        protocol=protocol.name,
        protocol_description=protocol.description,
        data=_data(setup, cells),
        bootstrap=setup.bootstrap,
        systems=(*infos, *_floors(first.info)),
        scores=tuple(scores),
        provenance=setup.provenance("shuffled pairs"),
    )
    return Result(record, (*cells, *shuffled))


def _through(system: System, evaluation: EvaluationSet, protocol: Protocol) -> tuple[SystemInfo, Ranked]:
    """The system through its index, as a system of its own."""
    through = system.through
    if through is None or system.reverse is not None:
        raise ConfigError(f"{system.info.name} has other vectors for image -> text; one index cannot serve both directions.")
    own = (system.info.adapter or {}).get("fingerprint")
    if through.folder is not None and through.folder.manifest.adapter != own:
        raise MismatchError(
            f"{through.folder.folder} was built with the adapter {str(through.folder.manifest.adapter)[:12]}, "
            f"{system.info.name} is {str(own)[:12]}: build the index again with the adapter that is measured."
        )
    info = system.info.model_copy(
        update={
            "name": f"{system.info.name} through {through.label}",
            "role": "index",
            "description": f"the vectors of {system.info.name!r}, {through.description}",
        }
    )
    return info, through.rank(info.name, system.texts, system.images, evaluation, protocol)


def _floors(first: SystemInfo) -> tuple[SystemInfo, SystemInfo]:
    described = (
        f"the vectors of {first.name!r}, asked with the captions of other pictures; must fall to chance, or below it, since the "
        "right answers keep the first places"
    )
    return (
        SystemInfo(name=SHUFFLED, role="shuffled", description=described, missing=first.missing),
        SystemInfo(name=CHANCE, role="chance", description="a random order under this protocol, computed"),
    )


def _data(setup: Setup, cells: Sequence[RankedQueries]) -> Data:
    return Data(
        images=len(setup.evaluation.image_ids),
        languages=tuple(setup.evaluation.captions),
        queries=query_counts(cells),
        fingerprints=setup.evaluation.fingerprints(),
        revision=setup.known_revision,
        checksum=setup.checksum,
    )


def adapter_system(
    name: str,
    adapter: Adapter,
    images: EmbeddingSet,
    texts: EmbeddingSet,
    evaluation: EvaluationSet,
    *,
    role: str = "system",
    description: str = "",
) -> System:
    """A multilingual text tower and an image tower joined by an adapter.

    Raises:
        MismatchError: the adapter belongs to other towers than the vectors.
        DataError: a picture or caption has no vector.
    """
    adapter.require_image_tower(images.tower, str(images.folder))
    adapter.require_text_tower(texts.tower, str(texts.folder))
    refuse_descriptions(images, evaluation)
    own = adapter.config
    info = _info(name, role, description or f"{own.method} adapter", images, texts).model_copy(
        update={"adapter": {"method": own.method, "options": own.options, "fingerprint": adapter.fingerprint}}
    )
    vectors = {code: adapter.map_text(rows) for code, rows in caption_vectors(texts, evaluation).items()}
    return System(info, vectors, adapter.map_image(gallery_vectors(images, evaluation)))


def dual_system(
    name: str,
    images: EmbeddingSet,
    texts: EmbeddingSet,
    evaluation: EvaluationSet,
    *,
    role: str = "english",
    languages: Sequence[str] = ("en",),
) -> System:
    """The image tower with its own text tower; languages that it was not asked in carry the reason.

    Raises:
        MismatchError: the texts are not those of the same model.
    """
    _require_one_model(images, texts)
    asked = [code for code in languages if code in evaluation.captions]
    reasons = {code: "its text tower reads English" for code in evaluation.captions if code not in asked}
    info = _info(name, role, "the image tower and its own text tower, in English", images, texts)
    vectors = caption_vectors(texts, evaluation, asked) if asked else {}
    return System(info.model_copy(update={"missing": reasons}), vectors, gallery_vectors(images, evaluation))


def translated_system(images: EmbeddingSet, translations: EmbeddingSet, evaluation: EvaluationSet) -> System:
    """Translate-test: the captions, translated into English, through the image tower's own text tower.

    Args:
        images: the image vectors.
        translations: English translations of the captions, with the captions' `text_id` and `lang`; a language that has none
            carries the reason.
        evaluation: gallery and captions.

    Raises:
        MismatchError: the translations were not embedded by the same model.
        DataError: some captions of a language have a translation and others have none.
    """
    _require_one_model(images, translations)
    given = set(translations.column("lang"))
    asked = [code for code in evaluation.captions if code in given]
    info = _info(
        TRANSLATED, "baseline", "captions translated into English, then the image tower's own text tower", images, translations
    )
    missing = {code: "no translator was at hand" for code in evaluation.captions if code not in given}
    vectors = caption_vectors(translations, evaluation, asked) if asked else {}
    return System(info.model_copy(update={"missing": missing}), vectors, gallery_vectors(images, evaluation))


def _require_one_model(images: EmbeddingSet, texts: EmbeddingSet) -> None:
    if not same_model(images.tower, texts.tower):
        raise MismatchError(f"{texts.folder} ({texts.tower.spec}) and {images.folder} ({images.tower.spec}) are not one model.")


def english_system(
    images: EmbeddingSet,
    evaluation: EvaluationSet,
    embed: Callable[[TextTower], EmbeddingSet],
    *,
    device: str = "auto",
) -> System:
    """The English dual encoder where its text tower can be loaded by the images' spec, else a row that says why it is empty.

    Args:
        images: the image vectors; their spec names the whole model.
        evaluation: gallery and captions.
        embed: embeds the English captions with the loaded tower.
        device: of the tower.
    """
    spec = images.tower.spec
    if "en" not in evaluation.captions:
        return absent_english(evaluation, "there are no English captions")
    if images.tower.weights is None:
        return absent_english(evaluation, f"the image vectors were imported; the text tower of {spec} is not at hand")
    if spec.startswith("module:"):
        name = spec.partition("?")[0]
        return absent_english(evaluation, f"{name} has no text tower")
    try:
        tower = load_text_tower(spec, device=device)
    except MellaError as error:
        return absent_english(evaluation, f"the text tower of {spec} is not at hand: {error}")
    return dual_system(ENGLISH, images, embed(tower), evaluation)


def absent_english(evaluation: EvaluationSet, reason: str) -> System:
    """The row of the English dual encoder where its text tower is not at hand: empty cells that say why."""
    missing = dict.fromkeys(evaluation.captions, reason)
    info = SystemInfo(name=ENGLISH, role="english", description="the image tower and its own text tower", missing=missing)
    return System(info, {}, np.ones((len(evaluation.image_ids), 1), np.float32))


def _info(name: str, role: Any, description: str, images: EmbeddingSet, texts: EmbeddingSet) -> SystemInfo:
    return SystemInfo(
        name=name,
        role=role,
        description=description,
        image_tower=images.tower.to_json(),
        text_tower=texts.tower.to_json(),
        text_preparation=texts.tower.preparation,
        precision=_precision(images.tower, texts.tower),
        fingerprints={"image vectors": images.fingerprint, "text vectors": texts.fingerprint},
        truncated=truncated_shares(texts),
    )


def _precision(images: TowerInfo, texts: TowerInfo) -> str:
    return f"images {images.precision}, texts {texts.precision}"
