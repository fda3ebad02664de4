from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mella_retrieval.errors import ArtifactError
from mella_retrieval.pocket.towers import IMAGE_TOWER, TEXT_TOWER, TOWERS
from mella_retrieval.pocket.vocabulary import CULTURE, LANGUAGES, words

torch = pytest.importorskip("torch")

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def clip() -> tuple[Any, Any, Any]:
    import open_clip

    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{TOWERS / 'image'}")
    return model.eval(), prepare, open_clip.get_tokenizer(f"local-dir:{TOWERS / 'image'}")


@pytest.fixture(scope="module")
def sentences() -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(TOWERS / "text"), device="cpu", local_files_only=True)


def descriptions(scenes: list[dict], lang: str) -> list[str]:
    return [scene["captions"][lang][0]["text"] for scene in scenes]


def hits(queries: np.ndarray, gallery: np.ndarray, k: int = 1) -> float:
    """Recall@k where row i of the gallery belongs to query i; ties count against."""
    similarities = queries @ gallery.T
    ranks = (similarities >= np.diag(similarities)[:, None]).sum(1)
    return float((ranks <= k).mean())


def test_the_english_dual_encoder_finds_pictures_it_never_saw(clip: tuple, scenes: list[dict], world: Path) -> None:
    model, prepare, tokenizer = clip
    with torch.no_grad():
        images = torch.stack([prepare(Image.open(world / scene["image"])) for scene in scenes])
        gallery = model.encode_image(images, normalize=True).numpy()
        queries = model.encode_text(tokenizer(descriptions(scenes, "en")), normalize=True).numpy()
    assert gallery.shape == queries.shape == (60, 128)
    assert hits(queries, gallery) > 0.7
    assert hits(np.roll(queries, 7, axis=0), gallery) < 0.1


def test_the_text_tower_puts_translations_together(sentences: Any, scenes: list[dict]) -> None:
    english = sentences.encode(descriptions(scenes, "en"))
    assert english.shape == (60, 128)
    assert np.allclose(np.linalg.norm(english, axis=1), 1, atol=1e-5)
    for lang in LANGUAGES[1:]:
        assert hits(sentences.encode(descriptions(scenes, lang)), english) > 0.9, lang


def test_the_text_tower_was_not_fitted_to_the_image_tower(sentences: Any, clip: tuple, scenes: list[dict]) -> None:
    """Without an adapter the two spaces have nothing to do with each other: retrieval between them is chance."""
    with torch.no_grad():
        gallery = clip[0].encode_text(clip[2](descriptions(scenes, "en")), normalize=True).numpy()
    assert hits(sentences.encode(descriptions(scenes, "en")), gallery) < 0.15


def test_no_word_of_the_world_is_unknown_or_cut_off(clip: tuple, sentences: Any, scenes: list[dict]) -> None:
    for lang in LANGUAGES:
        table = words(lang)
        own = [text["text"] for scene in scenes for text in scene["captions"][lang]]
        own += [*table.nouns.values(), *table.colours.values(), *(name for names in table.native.values() for name in names)]
        tokenizers = [(sentences.tokenizer, sentences.max_seq_length)]
        if lang == "en":
            tokenizers.append((clip[2].tokenizer, clip[2].context_length))
        for tokenizer, longest in tokenizers:
            ids = tokenizer(own)["input_ids"]
            assert not any(tokenizer.unk_token_id in row for row in ids), lang
            assert max(map(len, ids)) <= longest


def test_towers_are_small_and_name_no_machine() -> None:
    for tower in ("image", "text"):
        files = [path for path in (TOWERS / tower).rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 4 * MEGABYTE
        assert all(path.stat().st_mode & 0o044 == 0o044 for path in files)
        small = [path.read_text(encoding="utf-8") for path in files if path.suffix in (".json", ".md")]
        assert not any(place in text for text in small for place in ("/tmp/", "/home/", "/work/", "/root/"))
    assert f"open_clip:local-dir:{TOWERS / 'image'}" == IMAGE_TOWER
    assert f"sentence-transformers:{TOWERS / 'text'}" == TEXT_TOWER


def test_both_towers_are_trained_from_nothing_by_one_call(tmp_path: Path) -> None:
    import open_clip
    from sentence_transformers import SentenceTransformer

    from mella_retrieval.pocket.train_towers import train_towers

    train_towers(tmp_path, scenes=300, image_epochs=1, text_epochs=1)
    model = open_clip.create_model(f"local-dir:{tmp_path / 'image'}")
    assert model.encode_text(open_clip.get_tokenizer(f"local-dir:{tmp_path / 'image'}")(["red cat"])).shape == (1, 128)
    assert SentenceTransformer(str(tmp_path / "text"), device="cpu").encode(["macska: piros"]).shape == (1, 128)
    for tower in ("image", "text"):
        names = {path.name for path in (tmp_path / tower).iterdir()}
        assert names == {path.name for path in (TOWERS / tower).iterdir()}
    config = json.loads((tmp_path / "image" / "open_clip_config.json").read_text())
    assert config["model_cfg"]["text_cfg"]["pool_type"] == "eos"
    with pytest.raises(ArtifactError, match="already exists"):
        train_towers(tmp_path, scenes=300, image_epochs=1, text_epochs=1)


def test_the_towers_learn_from_no_evaluation_scene_and_no_held_out_combination() -> None:
    from mella_retrieval.pocket.scenes import draw_scenes, split_of, split_sizes
    from mella_retrieval.pocket.training.material import training_scenes

    material = training_scenes(0, 2000)
    shown = {(thing.name, thing.colour) for scene in material for thing in scene.things if thing.name not in CULTURE}
    assert {split_of(*combination) for combination in shown} == {"train"}
    evaluated = {scene.description for split, scene in draw_scenes(0, split_sizes(3600)) if split != "train"}
    assert not evaluated & {scene.description for scene in material}
