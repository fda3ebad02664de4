"""An adapter as mteb's encoder: the pocket towers through mteb's own evaluation, and what the wrapper does and refuses."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeImageTower, FakeTextTower
from PIL import Image

from mella_retrieval.adapters.adapter import Adapter, AdapterConfig
from mella_retrieval.adapters.heads import Head
from mella_retrieval.adapters.leccr.slot_file import SlotsInfo, StoredSlots
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.benchmarks.evaluation import EvaluationSet, rank_system
from mella_retrieval.benchmarks.material import load_evaluation
from mella_retrieval.benchmarks.metrics import summarise
from mella_retrieval.benchmarks.mteb import AdapterEncoder, language_of, load_model
from mella_retrieval.benchmarks.protocols import get_protocol
from mella_retrieval.benchmarks.run import adapter_system
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_images, embed_texts
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ConfigError, DataError, HubError, MismatchError, MissingDependencyError
from mella_retrieval.pocket.towers import IMAGE_TOWER, TEXT_TOWER
from mella_retrieval.pocket.world import generate_world

mteb = pytest.importorskip("mteb")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks" / "parity"))

from mteb.models import ModelMeta  # noqa: E402
from mteb_peer import local_task  # noqa: E402

LANGUAGES = ("en", "hu", "th")


@dataclass(frozen=True)
class Pocket:
    """A trained adapter, the test pictures with their captions, and what we measure on them."""

    adapter: Path
    evaluation: EvaluationSet
    pictures: list[Image.Image]
    ours: dict[tuple[str, str], dict[str, float]]


@pytest.fixture(scope="module")
def pocket(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mteb")
    generate_world(folder / "world", scenes=240)
    import_records(folder / "world", folder / "records", "pocket")
    records = Records.load(folder / "records")
    text_tower, english = load_text_tower(TEXT_TOWER, device="cpu"), load_text_tower(IMAGE_TOWER, device="cpu")
    images = embed_images(records, load_image_tower(IMAGE_TOWER, device="cpu"), folder / "images")
    texts = embed_texts(records, text_tower, folder / "texts", where={"lang": list(LANGUAGES)})
    embed_texts(records, english, folder / "english", where={"lang": "en"})
    sources = Sources(english_text=f"{folder / 'texts'}?lang=en", clip_text=str(folder / "english"))
    adapter = train(*load_method("procrustes", ()), sources, folder / "adapter")

    task = Task(name="tiny", title="Tiny", source="pocket", licence="CC0", protocols=("all",), languages=LANGUAGES,
                where={"split": "test", "source": "ling"})  # fmt: skip
    evaluation = load_evaluation(task, records)
    system = adapter_system("ours", adapter, images, texts, evaluation)
    protocol = get_protocol("all")
    cells = rank_system("ours", system.texts, system.images, evaluation, protocol)
    ours = {(cell.language, cell.direction): summarise(cell.positions, protocol.metrics) for cell in cells}
    table = records.table(["image_id", "image"], where={"split": "test"})
    paths = dict(zip(table["image_id"].to_pylist(), table["image"].to_pylist(), strict=True))
    pictures = [Image.open(folder / "world" / paths[image_id]) for image_id in evaluation.image_ids]
    return Pocket(folder / "adapter", evaluation, pictures, ours)


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_mteb_measures_what_we_measure(pocket, direction, tmp_path):
    encoder = AdapterEncoder.load(pocket.adapter, name="me/hungarian", device="cpu")
    task = local_task(pocket.evaluation, pocket.pictures, direction)
    cache = mteb.ResultCache(tmp_path)
    found = mteb.evaluate(encoder, task, cache=cache, co2_tracker=False, show_progress_bar=False).task_results[0]
    scores = {one["hf_subset"]: one for one in found.scores["test"]}
    assert set(scores) == set(LANGUAGES)
    for language in LANGUAGES:
        ours = pocket.ours[language, direction]
        names = {f"{name}@{k}": f"{name.replace(' ', '_')}_at_{k}" for name in ("recall", "hit rate") for k in (1, 3, 5, 10, 20)}
        for own, theirs in {"nDCG@10": "ndcg_at_10", **names}.items():
            assert scores[language][theirs] == pytest.approx(ours[own], abs=1e-5), (language, own)
        assert 0.05 < ours["nDCG@10"] < 1

    fingerprint = Adapter.load(pocket.adapter).fingerprint
    kept = tmp_path / "results" / "me__hungarian" / fingerprint
    assert (kept / f"{task.metadata.name}.json").is_file()
    meta = json.loads((kept / "model_meta.json").read_text())
    assert (meta["name"], meta["revision"], meta["modalities"]) == ("me/hungarian", fingerprint, ["text", "image"])


def test_encode__unit_vectors_of_the_adapters_space(pocket):
    encoder = AdapterEncoder.load(pocket.adapter, device="cpu")
    metadata = local_task(pocket.evaluation, pocket.pictures, "t2i").metadata
    options = {"task_metadata": metadata, "hf_split": "test", "hf_subset": "hu"}
    picture = pocket.pictures[0].convert("RGBA")
    found = encoder.encode([{"image": [picture, pocket.pictures[1]]}, {"image": [picture]}], **options)
    adapter, tower = Adapter.load(pocket.adapter), load_image_tower(IMAGE_TOWER, device="cpu")
    wanted = adapter.map_image(tower.encode([tower.prepare(one.convert("RGB")) for one in pocket.pictures[:2]]).pooled)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted[[0, 1, 0]], atol=1e-5)
    texts = encoder.encode([{"text": ["piros", "kék"]}], **options)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.similarity(texts, found).numpy(), texts @ found.T, atol=1e-5)
    np.testing.assert_allclose(
        encoder.similarity_pairwise(texts, found[:2]).numpy(), np.sum(texts * found[:2], axis=1), atol=1e-5
    )
    assert encoder.encode([], **options).shape == (0, texts.shape[1])


# The rest on towers that tell what they were asked ---------------------------------------------------------------------


class Listening(FakeTextTower):
    """Keeps the languages that it was told."""

    def encode(self, texts, langs=None, tokens=False):
        self.told = langs
        return super().encode(texts, langs, tokens)


@dataclass
class Metadata:
    """What the wrapper reads of a task."""

    eval_langs: object
    name: str = "Local"


OPTIONS = {
    "hf_split": "test",
    "hf_subset": "hu",
    "task_metadata": Metadata({"hu": ["hun-Latn"], "en-de": ["eng-Latn", "deu-Latn"]}),
}


def fake_encoder(**options):
    text, image = Listening(), FakeImageTower()
    config = AdapterConfig(
        method="by hand", options={}, text_tower=text.info, image_tower=image.info, text_head=[], image_head=[],
        languages=["hu"], inputs={}, selection={}, seed=0, versions={},
    )  # fmt: skip
    return AdapterEncoder(Adapter(config, Head(), Head()), text, image, **options)


def test_texts_are_told_their_language():
    encoder = fake_encoder()
    encoder.encode([{"text": ["egy", "kettő"]}], **OPTIONS)
    assert encoder.text_tower.told == ["hu", "hu"]
    encoder.encode([{"text": ["one"]}], **{**OPTIONS, "hf_subset": "en-de"})
    assert encoder.text_tower.told is None


def test_language_of__every_subset_of_xm3600():
    listed = mteb.get_task("XM3600T2IRetrieval").metadata.eval_langs
    assert len(listed) == 36
    assert {subset: language_of(listed, subset) for subset in listed} == {subset: subset for subset in listed}


@pytest.mark.parametrize(
    ("listed", "subset", "code"),
    [
        (["hun-Latn"], "default", "hu"),
        ({"srp": ["srp-Latn"]}, "srp", "sr-Latn"),
        ({"no": ["nor-Latn", "nno-Latn", "nob-Latn"]}, "no", "no"),
        ({"en-de": ["eng-Latn", "deu-Latn"]}, "en-de", None),
        (["zxx-Zxxx"], "default", None),
        ({"hu": ["hun-Latn"]}, "other", None),
    ],
)
def test_language_of(listed, subset, code):
    assert language_of(listed, subset) == code


def test_a_picture_seen_before_is_not_encoded_again(monkeypatch):
    encoder = fake_encoder()
    pictures = [Image.new("RGB", (5, 5), (shade, 0, 90)) for shade in (10, 20, 10, 30)]
    first = encoder.encode([{"image": pictures[:3]}, {"image": pictures[3:]}], **OPTIONS)
    assert encoder.image_tower.encoded == 3
    again = encoder.encode([{"image": pictures[::-1]}], **OPTIONS)
    assert encoder.image_tower.encoded == 3
    np.testing.assert_array_equal(again, first[::-1])
    wider = Image.new("RGB", (25, 1), (10, 0, 90))  # the same bytes in another shape
    encoder.encode([{"image": [wider]}], **OPTIONS)
    assert encoder.image_tower.encoded == 4

    monkeypatch.setattr("mella_retrieval.benchmarks.mteb.REMEMBERED", 0)
    encoder = fake_encoder()
    np.testing.assert_allclose(encoder.encode([{"image": pictures[:3]}], **OPTIONS)[0], encoder._images(pictures[:2])[0])
    assert encoder.image_tower.encoded == 4


@pytest.mark.parametrize(
    ("batch", "said"), [({"text": ["a"], "image": [None]}, "both a text and a picture"), ({"audio": [0]}, "neither")]
)
def test_other_inputs_are_refused(batch, said):
    with pytest.raises(DataError, match=f"Local gives {said}"):
        fake_encoder().encode([batch], **OPTIONS)


def test_towers_of_another_model_are_refused():
    adapter, text, image = fake_encoder().adapter, FakeTextTower(), FakeImageTower()
    with pytest.raises(MismatchError, match="text tower"):
        AdapterEncoder(adapter, FakeTextTower(weights="c" * 64), image)
    with pytest.raises(MismatchError, match="image tower"):
        AdapterEncoder(adapter, text, FakeImageTower(weights="c" * 64))
    with pytest.raises(MismatchError, match="not one model"):
        AdapterEncoder(None, text, image)


def test_enriched_pictures_are_refused():
    encoder = fake_encoder()
    tower = TowerInfo(spec="x", modality="image", dim=6, weights="d" * 64)
    slots = SlotsInfo.model_construct(image_tower=tower, sha256="")
    config = encoder.adapter.config.model_copy(update={"slots": slots})
    adapter = Adapter(config, Head(), Head(), StoredSlots(slots, b""))
    with pytest.raises(MismatchError, match="enriched with descriptions"):
        AdapterEncoder(adapter, encoder.text_tower, encoder.image_tower)


def test_a_dual_encoder_without_an_adapter():
    encoder = AdapterEncoder(None, FakeTextTower(weights="e" * 64), FakeImageTower(weights="e" * 64))
    other = AdapterEncoder(None, FakeTextTower(weights="f" * 64), FakeImageTower(weights="f" * 64))
    assert (
        encoder.encode([{"text": ["a"]}], **OPTIONS).shape
        == encoder.encode([{"image": [Image.new("L", (3, 3))]}], **OPTIONS).shape
    )
    assert encoder.mteb_model_meta.name == "local/dual-encoder"
    assert encoder.mteb_model_meta.revision != other.mteb_model_meta.revision


def test_meta__facts_of_the_caller_and_nothing_invented():
    encoder = fake_encoder(facts={"license": "apache-2.0", "languages": ["hun-Latn"]})
    meta = encoder.mteb_model_meta
    assert (meta.name, meta.revision) == ("local/by hand", encoder.adapter.fingerprint)
    assert (meta.license, meta.languages, meta.embed_dim, meta.max_tokens) == ("apache-2.0", ["hun-Latn"], 6, 8)
    unknown = ("release_date", "n_parameters", "memory_usage_mb", "open_weights", "public_training_code", "public_training_data",
               "training_datasets", "reference", "citation", "use_instructions")  # fmt: skip
    assert {name: getattr(meta, name) for name in unknown} == dict.fromkeys(unknown)


@pytest.mark.parametrize(
    "options", [{"name": "hungarian"}, {"facts": {"licence": "mit"}}, {"facts": {"languages": ["Hungarian"]}}]
)
def test_meta__what_mteb_does_not_accept(options):
    with pytest.raises(ConfigError, match="mteb does not accept"):
        fake_encoder(**options).mteb_model_meta  # noqa: B018


def test_load_model__as_the_loader_of_mtebs_list(pocket, tmp_path, monkeypatch):
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "hungarian").symlink_to(pocket.adapter)
    monkeypatch.chdir(tmp_path)
    facts = {"name": "me/hungarian", "revision": None, "loader": load_model, "modalities": ["text", "image"]}
    listed = ModelMeta.create_empty().model_copy(update=facts)
    encoder = listed.load_model(device="cpu")
    assert isinstance(encoder, AdapterEncoder)
    assert encoder.adapter.fingerprint == Adapter.load(pocket.adapter).fingerprint


def test_load_model__a_revision_of_the_hub(monkeypatch):
    def load(name):
        raise HubError(f"asked for {name}")

    monkeypatch.setattr(Adapter, "load", load)
    with pytest.raises(HubError, match="asked for me/hungarian@abc123"):
        load_model("me/hungarian", "abc123")


def test_without_mteb(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "mteb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'mella-retrieval\[mteb\]'"):
        fake_encoder().similarity(np.eye(2), np.eye(2))
