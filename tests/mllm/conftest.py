"""Tiny MLLMs and a translator of the real classes, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

TEXTS = (
    "ház: piros – mező", "két alma (zöld) és egy kutya", "Írd le ezt a képet!", "Mi látható a képen?",
    "บ้าน: สีแดง – ทุ่งนา", "แอปเปิล (สีเขียว) × 2", "อธิบายภาพนี้", "a red house on a field", "Describe this picture.",
)  # fmt: skip


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """What is compared to the bit is computed by as many threads; several are no faster on such models."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Qwen2-VL."""
    from mella_retrieval.pocket.models import tiny_qwen2_vl

    return tiny_qwen2_vl(tmp_path_factory.mktemp("models") / "tiny-qwen2-vl", TEXTS)


@pytest.fixture(scope="session")
def internvl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an InternVL."""
    from mella_retrieval.pocket.models import tiny_internvl

    return tiny_internvl(tmp_path_factory.mktemp("models") / "tiny-internvl", TEXTS)


@pytest.fixture(scope="session")
def nllb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an NLLB translator of en, hu and th."""
    from mella_retrieval.pocket.models import tiny_nllb

    return tiny_nllb(tmp_path_factory.mktemp("models") / "tiny-nllb", TEXTS, ["eng_Latn", "hun_Latn", "tha_Thai"])


@pytest.fixture(scope="session")
def taught(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Qwen2-VL that names the colour of a picture, see `speaking`."""
    from speaking import teach

    return teach(qwen, tmp_path_factory.mktemp("models") / "taught")


@pytest.fixture(scope="session")
def taught_translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an NLLB translator that knows a few sentences, see `translation_models`."""
    from translation_models import nllb

    return nllb(tmp_path_factory.mktemp("models") / "tiny-taught-nllb")
