import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import NO_LIMIT, ImageTower, TextTower
from mella_retrieval.errors import EncoderError


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield
    sys.modules.pop("own_towers", None)


def test_image_tower(pictures: list[Image.Image]) -> None:
    tower = load_image_tower("module:own_towers:Colours?power=2", allow_module=True)
    assert isinstance(tower, ImageTower)
    vectors = tower.encode([tower.prepare(picture) for picture in pictures]).pooled
    colours = np.stack([np.asarray(p.resize((4, 4)), dtype=np.float32).mean(axis=(0, 1)) ** 2 for p in pictures])
    np.testing.assert_allclose(vectors, colours / np.linalg.norm(colours, axis=1, keepdims=True), atol=1e-5)
    assert (tower.info.dim, tower.info.weights, tower.info.spec) == (3, None, "module:own_towers:Colours?power=2")
    with pytest.raises(EncoderError, match="no method encode_with_tokens"):
        tower.encode([tower.prepare(pictures[0])], tokens=True)


def test_options_and_version_are_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    def fingerprint(spec: str) -> str:
        return load_image_tower(spec, allow_module=True).info.fingerprint()

    one, two = fingerprint("module:own_towers:Colours?power=1"), fingerprint("module:own_towers:Colours?power=2")
    monkeypatch.setattr("own_towers.Colours.version", "2")
    assert len({one, two, fingerprint("module:own_towers:Colours?power=1")}) == 3


def test_text_tower() -> None:
    tower = load_text_tower("module:own_towers:Letters", allow_module=True)
    assert isinstance(tower, TextTower) and tower.max_tokens == 10
    upper, lower = tower.encode(["A Dog", "a dog"]).pooled
    np.testing.assert_array_equal(upper, lower)
    assert tower.prepare("A Dog") == "a dog" and tower.count_tokens(["A Dog"]) == [5]
    assert tower.info.weights == "none needed" and tower.info.preparation["lower_case"] is True
    with pytest.raises(EncoderError, match="the vector of text 1 of 2: zero"):
        tower.encode(["cat", "猫"])


def test_towers_without_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("own_towers.Letters.count_tokens")
    monkeypatch.delattr("own_towers.Letters.max_tokens")
    tower = load_text_tower("module:own_towers:Letters", allow_module=True)
    assert tower.max_tokens == NO_LIMIT and tower.count_tokens(["a", "b"]) == [0, 0]


def test_is_never_imported_by_itself() -> None:
    with pytest.raises(EncoderError, match="imported only where you name it yourself"):
        load_image_tower("module:own_towers:Colours")
    assert "own_towers" not in sys.modules


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("module:no_such_module:X", "cannot import no_such_module"),
        ("module:own_towers:Nothing", "own_towers has no class Nothing"),
        ("module:own_towers:Colours?size=3", "could not create the object: TypeError"),
        ("module:own_towers:Letters", "is no image tower: its modality is 'text'"),
        ("module:own_towers:Broken", "could not prepare and encode a grey picture.*KeyError"),
        ("module:own_towers:Flat", r"returned vectors of shape \(7,\) for a batch of 1"),
    ],
)
def test_errors(spec: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        load_image_tower(spec, allow_module=True)


@pytest.mark.real
def test_squeezenet(shared: Path, tmp_path: Path) -> None:
    weights = shared / "models" / "squeezenet1_0" / "model.safetensors"
    photos = sorted((shared / "data" / "flickr8k-photos" / "images").glob("*.jpg"))[:3]
    tower = load_image_tower(f"module:own_towers:SqueezeNet?weights={weights}", allow_module=True)
    net = tower._tower.net  # type: ignore[attr-defined]
    assert not net.training and not any(parameter.requires_grad for parameter in net.parameters())
    prepared = [tower.prepare(Image.open(photo).convert("RGB")) for photo in photos]
    encoded = tower.encode(prepared, tokens=True)
    assert tower.info.dim == 512 and encoded.tokens is not None
    assert [states.shape for states in encoded.tokens] == [(169, 512)] * 3
    with torch.no_grad():
        expected = net.features(torch.stack(prepared)).mean(dim=(2, 3)).sqrt()
    np.testing.assert_allclose(encoded.pooled, torch.nn.functional.normalize(expected, dim=1).numpy(), atol=1e-6)
    copy = tmp_path / "copy.safetensors"  # the fingerprint follows the weights, not the place where they lie
    copy.write_bytes(weights.read_bytes())
    moved = load_image_tower(f"module:own_towers:SqueezeNet?weights={copy}", allow_module=True)
    assert moved.info.fingerprint() == tower.info.fingerprint()
    assert len(load_file(weights)) == len(net.state_dict())
