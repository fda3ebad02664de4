import time

import pytest

from mella_retrieval.encoders import hub
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.specs import EncoderSpec
from mella_retrieval.errors import EncoderError, MissingDependencyError

NAMES = (
    "open_clip:ViT-B-32/datacomp_xl_s13b_b90k",
    "open_clip:hf-hub:no-such-org/no-such-model",
    "transformers:no-such-org/no-such-model",
    "sentence-transformers:no-such-org/no-such-model",
)


@pytest.mark.parametrize("name", NAMES)
def test_offline_says_how_to_point_to_a_folder(name: str) -> None:
    start = time.monotonic()
    with pytest.raises(EncoderError, match=r"cannot be loaded.*(:/path/to/|//path/to/)"):
        load_text_tower(name)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_connection_is_not_tried_for_minutes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    start = time.monotonic()
    with pytest.raises(EncoderError, match="the model hub cannot be reached, and the model is not in the cache"):
        load_text_tower(name)
    assert time.monotonic() - start < 5
    assert constants.HF_HUB_OFFLINE is False


def test_a_proxy_is_what_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    asked: list[tuple[str, int]] = []

    class Connection:
        def close(self) -> None: ...

    def connect(address: tuple[str, int], timeout: float) -> Connection:
        asked.append(address)
        return Connection()

    monkeypatch.setattr(hub.socket, "create_connection", connect)
    monkeypatch.setattr(hub.urllib.request, "getproxies", lambda: {"https": "http://proxy.example:3128"})
    monkeypatch.setattr(hub.urllib.request, "proxy_bypass", lambda host: False)
    assert hub._hub_answers()
    monkeypatch.setattr(hub.urllib.request, "proxy_bypass", lambda host: True)
    assert hub._hub_answers()
    assert asked == [("proxy.example", 3128), ("hub.invalid", 443)]


def test_absent_path_is_not_asked_of_a_hub() -> None:
    for spec in ("transformers:./no/such", "sentence-transformers:/no/such", "open_clip:/no/such"):
        with pytest.raises(EncoderError, match="there is no folder"):
            load_image_tower(spec)


def test_errors_are_translated() -> None:
    spec = EncoderSpec.parse("transformers:org/name")
    with (
        pytest.raises(MissingDependencyError, match="a package that is not installed: No module named 'x'"),
        hub.loading(spec, local=True),
    ):
        raise ModuleNotFoundError("No module named 'x'")
    with pytest.raises(EncoderError, match="memory is not enough"), hub.loading(spec, local=True):
        raise MemoryError
    with pytest.raises(EncoderError, match="cannot be loaded: first"), hub.loading(spec, local=True):
        raise ValueError("\n  first.\nsecond")
