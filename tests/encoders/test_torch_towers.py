import pytest
import torch

from mella_retrieval.encoders.loading import load_image_tower
from mella_retrieval.encoders.torch_towers import check_precision, find_device, weights_hash
from mella_retrieval.errors import ConfigError, EncoderError


def test_weights_hash_sees_names_dtypes_shapes_and_bytes() -> None:
    state = {"b": torch.arange(6.0), "a": torch.tensor(2.5)}
    variants = [
        {"b": torch.arange(6.0), "c": torch.tensor(2.5)},
        {"b": torch.arange(6.0).double(), "a": torch.tensor(2.5)},
        {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor(2.5)},
        {"b": torch.arange(6.0) + 1e-6, "a": torch.tensor(2.5)},
    ]
    assert len({weights_hash(state), *map(weights_hash, variants)}) == 5


def test_weights_hash_does_not_depend_on_order_or_memory_layout() -> None:
    matrix = torch.arange(6.0).reshape(2, 3)
    state = {"a": matrix, "b": torch.zeros(0), "c": torch.ones(3, dtype=torch.bfloat16)}
    other = {"c": state["c"].clone(), "a": matrix.T.contiguous().T, "b": state["b"]}
    assert weights_hash(state) == weights_hash(other)


def test_devices() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in {"cpu", "cuda", "mps"}
    for name in ("gpu", "cpu:1", "cuda:x", "mps:0"):
        with pytest.raises(EncoderError, match="no device"):
            find_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(EncoderError, match="torch sees no CUDA device"):
            find_device("cuda")
    with pytest.raises(EncoderError, match="cuda:99"):
        find_device("cuda:99")


def test_precisions() -> None:
    assert check_precision("bf16") == "bf16"
    with pytest.raises(ConfigError, match="Did you mean 'fp16'"):
        load_image_tower("transformers:x", precision="fp61")
