"""Adapters on a hub: uploaded to a local stand-in, fetched by name, and plain sentences where that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from export_material import adapter_of, mlp, numbers
from hub_stand_in import TOKEN, Hub, running

from mella_retrieval.adapters.adapter import CONFIG, WEIGHTS, Adapter
from mella_retrieval.adapters.card import Measured, Measurement, Publication, write_card
from mella_retrieval.adapters.heads import Head, Shift
from mella_retrieval.adapters.hub import adapter_folder, push
from mella_retrieval.adapters.naming import local_path, public_name, renamed
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError, ConfigError, HubError

TEXT = TowerInfo(spec="sentence-transformers:LaBSE", modality="text", dim=6, weights="a" * 64, preparation={"max_length": 64})
IMAGE = TowerInfo(spec="open_clip:hf-hub:b/clip", modality="image", dim=4, weights="b" * 64)
NAME = "me/adapter"


@pytest.fixture
def adapter(tmp_path: Path) -> Adapter:
    made = adapter_of(TEXT, IMAGE, mlp(6, 9, 4), Head((Shift(numbers(4)),)))
    return made.save(tmp_path / "adapter", write_card(made))


@pytest.fixture
def hub(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in with a user logged in, and an empty cache."""
    from huggingface_hub import constants

    with running(Hub(large=getattr(request, "param", ""))) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the stand-in takes large files the older way
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(variable, raising=False)
        yield hub


@pytest.fixture
def upload(adapter: Adapter, tmp_path: Path) -> Callable[..., str]:
    def run(name: str = NAME, **options) -> str:
        return push(adapter, tmp_path / "adapter", name, write_card(adapter, Publication(name)), **options)

    return run


@pytest.mark.parametrize("hub", ["", ".safetensors"], ids=["regular files", "large files"], indirect=True)
def test_it_comes_back_by_its_name_bit_for_bit(adapter: Adapter, hub: Hub, upload: Callable[..., str]):
    assert upload().startswith(f"{hub.address}/{NAME}/commit/")
    again = Adapter.load(NAME)
    x = numbers(20, 6)
    assert np.array_equal(again.map_text(x), adapter.map_text(x))
    assert again.fingerprint == adapter.fingerprint
    stored = hub.repositories[NAME].files("main")
    assert sorted(stored) == [".gitattributes", "README.md", WEIGHTS, CONFIG]
    assert not hub.repositories[NAME].private
    assert any("lfs" in request for request in hub.requests) == bool(hub.large)


def test_it_is_fetched_once_and_then_without_the_hub(adapter: Adapter, hub: Hub, upload: Callable[..., str], monkeypatch):
    from huggingface_hub import constants

    upload()
    folder = adapter_folder(NAME)
    hub.requests.clear()
    assert adapter_folder(NAME) == folder
    assert not [request for request in hub.requests if "/resolve/" in request]
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert Adapter.load(NAME).fingerprint == adapter.fingerprint


def test_only_the_adapters_own_files_are_fetched(hub: Hub, upload: Callable[..., str]):
    upload()
    hub.repositories[NAME].commit("main", {"extra.bin": b"x" * 1000, "code.py": b"print()"})
    assert sorted(path.name for path in adapter_folder(NAME).iterdir()) == ["README.md", WEIGHTS, CONFIG]
    assert not [request for request in hub.requests if "extra.bin" in request or "code.py" in request]


def test_a_branch_or_commit_is_named_after_an_at_sign(hub: Hub, adapter: Adapter, upload: Callable[..., str]):
    upload(revision="better")
    with pytest.raises(HubError, match=r"holds no adapter: it has no config\.json"):
        Adapter.load(NAME)
    commit = hub.repositories[NAME].branches["better"]
    assert Adapter.load(f"{NAME}@better").fingerprint == Adapter.load(f"{NAME}@{commit}").fingerprint == adapter.fingerprint
    with pytest.raises(HubError, match=r"me/adapter@worse, .*: the repository has no such revision\."):
        Adapter.load(f"{NAME}@worse")


@pytest.mark.parametrize("hub", ["", ".safetensors"], ids=["regular files", "large files"], indirect=True)
def test_uploading_again_changes_what_changed(hub: Hub, adapter: Adapter, upload: Callable[..., str], tmp_path: Path):
    upload(private=True)
    repository = hub.repositories[NAME]
    assert repository.private
    before = len(repository.commits)
    upload()
    assert len(repository.commits) == before  # nothing to commit
    push(adapter, tmp_path / "adapter", NAME, "---\nlicense: mit\n---\nAnother card")
    assert len(repository.commits) == before + 1
    assert b"Another card" in repository.files("main")["README.md"]
    Adapter.load(NAME)


def test_weights_exchanged_on_the_hub_are_found(hub: Hub, upload: Callable[..., str]):
    upload()
    data = hub.repositories[NAME].files("main")[WEIGHTS]
    hub.repositories[NAME].commit("main", {WEIGHTS: data[:-1] + bytes([data[-1] ^ 1])})
    with pytest.raises(ArtifactError, match="corrupted or was exchanged"):
        Adapter.load(NAME)


def test_another_kind_of_model_is_no_adapter(hub: Hub, upload: Callable[..., str]):
    upload()
    hub.repositories[NAME].commit("main", {CONFIG: b'{"model_type": "bert"}'})
    with pytest.raises(ArtifactError, match="does not describe an adapter"):
        Adapter.load(NAME)


def test_what_the_hub_does_not_have_or_allow(hub: Hub, upload: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(HubError, match=r"there is no folder me/nothing, .*no such repository, or it is private"):
        Adapter.load("me/nothing")
    monkeypatch.setenv("HF_TOKEN", "another")
    with pytest.raises(HubError, match="me/adapter cannot be uploaded: the hub refuses; log in with `hf auth login`"):
        upload()
    assert not hub.repositories


def test_without_a_hub_it_says_so_at_once(hub: Hub, upload: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    for change in ({"ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": True}):
        for name, value in change.items():
            monkeypatch.setattr(constants, name, value)
        with pytest.raises(HubError, match="cannot be reached, and the adapter is not in the cache; copy its folder"):
            Adapter.load(NAME)
        with pytest.raises(HubError, match=r"me/adapter cannot be uploaded: the model hub cannot be reached\."):
            upload()


def test_a_folder_goes_before_a_name_and_a_path_is_never_a_name(
    hub: Hub, adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    adapter.save("runs/mine", "card")
    assert Adapter.load("runs/mine").fingerprint == adapter.fingerprint
    for path in (Path("me/adapter"), "./me/adapter", "/me/adapter", "a/b/c", "nothing"):
        with pytest.raises(ArtifactError, match="no adapter folder"):
            Adapter.load(path)
    assert not hub.requests


@pytest.mark.parametrize("name", ["adapter", "a/b/c", "me/adapter@main", "./me", "me/ad apter"])
def test_a_name_that_is_none_is_refused_before_anything_is_sent(hub: Hub, upload: Callable[..., str], name: str):
    with pytest.raises(HubError, match="is no name on a model hub; write OWNER/NAME"):
        upload(name)
    assert not hub.requests


# The card ------------------------------------------------------------------------------------------------------------


def test_the_card_of_a_hub_has_metadata_results_limits_and_how_to_load(adapter: Adapter):
    rows = [
        Measured("cs", "text -> image", {"R@1": 0.5, "R@10": 0.903}, {"R@1": 0.00625, "R@10": 0.0625}),
        Measured("hu", "image -> text", {"R@1": None, "R@10": 0.25}, {"R@1": None, "R@10": 0.1}),
    ]
    publication = Publication(NAME, "apache-2.0", ["me/captions"], [Measurement("A test: 160 pictures.", rows)])
    card = write_card(adapter, publication)
    assert yaml.safe_load(card.split("---")[1]) == {
        "library_name": "mella-retrieval",
        "tags": ["image-text-retrieval", "cross-lingual", "adapter"],
        "language": ["cs", "hu"],
        "base_model": ["sentence-transformers/LaBSE", "b/clip"],
        "license": "apache-2.0",
        "datasets": ["me/captions"],
    }
    for wanted in (
        'Adapter.load("me/adapter")',
        "| language | direction | R@1 in % (chance) | R@10 in % (chance) |",
        "| cs | text -> image | 50.0 (0.6) | 90.3 (6.2) |",
        "| hu | image -> text | - (-) | 25.0 (10.0) |",
        "| pairs | 1,234 |",
        "## Limits",
        "reads 64 tokens",
    ):
        assert wanted in card, wanted


def test_a_card_without_results_says_so(adapter: Adapter):
    card = write_card(adapter, Publication(NAME))
    assert "No benchmark result was given" in card
    assert "license" not in card.split("---")[1]


@pytest.mark.parametrize(
    ("spec", "path", "shown"),
    [
        ("sentence-transformers:/home/me/models/labse", "/home/me/models/labse", "sentence-transformers: a local folder `labse`"),
        ("open_clip:local-dir:/data/clip", "/data/clip", "open_clip: a local folder `clip`"),
        ("open_clip:ViT-B-32//data/w.safetensors", "/data/w.safetensors", "open_clip: a local folder `w.safetensors`"),
        ("transformers:./siglip", "./siglip", "transformers: a local folder `siglip`"),
        ("sentence-transformers:sentence-transformers/LaBSE", None, "sentence-transformers:sentence-transformers/LaBSE"),
        ("open_clip:ViT-B-32/openai", None, "open_clip:ViT-B-32/openai"),
        ("open_clip:hf-hub:b/clip", None, "open_clip:hf-hub:b/clip"),
        ("module:my.towers:Tower", None, "module:my.towers:Tower"),
        ("somewhere else", None, "somewhere else"),
    ],
)
def test_paths_of_this_machine_are_told_from_names(spec: str, path: str | None, shown: str):
    tower = TEXT.model_copy(update={"spec": spec, "weights": None})
    assert (local_path(tower), public_name(tower)) == (path, shown)


def test_a_tower_known_by_a_path_gets_a_name_first(adapter: Adapter):
    text = TEXT.model_copy(update={"spec": "sentence-transformers:/home/me/labse"})
    local = Adapter(adapter.config.model_copy(update={"text_tower": text}), adapter.text_head, adapter.image_head)
    with pytest.raises(ConfigError, match=r"text tower is the folder /home/me/labse of this machine.* --text-tower SPEC"):
        renamed(local)
    public = renamed(local, text_tower="sentence-transformers:me/labse")
    assert public.config.text_tower == text.model_copy(update={"spec": "sentence-transformers:me/labse"})
    public.require_text_tower(text, "the same weights")
    assert "/home/me" not in write_card(public, Publication(NAME))
