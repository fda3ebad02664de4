import numpy as np
import pytest

from mella_retrieval.encoders.towers import TowerInfo, normalise_rows, same_model
from mella_retrieval.errors import ConfigError, EncoderError


def info(**changes: object) -> TowerInfo:
    values = {"spec": "open_clip:ViT-B-32/openai", "modality": "text", "dim": 4, "weights": "abc"}
    return TowerInfo.model_validate({**values, **changes})


def test_fingerprint_follows_everything_that_decides_the_vectors() -> None:
    changes = [
        {"modality": "image"},
        {"dim": 5},
        {"weights": "abd"},
        {"preparation": {"lower_case": True}},
        {"precision": "bf16"},
        {"traits": {"quick_gelu": True}},
    ]
    prints = {info().fingerprint(), *(info(**change).fingerprint() for change in changes)}
    assert len(prints) == len(changes) + 1


def test_fingerprint_ignores_the_place_of_verified_weights() -> None:
    assert info(spec="open_clip:/a").fingerprint() == info(spec="open_clip:/b").fingerprint()
    assert info(spec="a", weights=None).fingerprint() != info(spec="b", weights=None).fingerprint()


def test_json_round_trip_and_strictness() -> None:
    tower = info(preparation={"size": [32, 32]})
    assert TowerInfo.from_json(tower.to_json()) == tower
    with pytest.raises(ConfigError, match="unknown key 'wieghts'"):
        TowerInfo.from_json({**tower.to_json(), "wieghts": "abc"})


def test_same_model() -> None:
    image = info(modality="image", spec="open_clip:/copy")
    assert same_model(info(), image)
    assert not same_model(info(), image.model_copy(update={"weights": "other"}))
    assert not same_model(info(), image.model_copy(update={"traits": {"quick_gelu": True}}))
    imported = info(weights=None, modality="image")
    assert same_model(info(spec="open_clip:ViT-B-32/openai?prefix=a photo of "), imported)
    assert not same_model(info(spec="open_clip:ViT-B-16/openai"), imported)
    assert same_model(info(weights=None, spec="my old vectors"), info(weights=None, spec="my old vectors"))


def test_normalise_rows() -> None:
    rows = normalise_rows(np.array([[3, 4], [-1e-20, 0], [3e30, 4e30]], dtype=np.float64))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0.6, 0.8], [-1, 0], [0.6, 0.8]], rtol=1e-6)
    assert normalise_rows(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(("value", "kind"), [(0.0, "zero"), (np.nan, "not finite"), (np.inf, "not finite")])
def test_normalise_rows_refuses_rows_without_direction(value: float, kind: str) -> None:
    vectors = np.ones((4, 3))
    vectors[2] = value
    with pytest.raises(EncoderError, match=f"picture 2 of 4: {kind}"):
        normalise_rows(vectors, "picture")
