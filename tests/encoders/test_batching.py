import pytest
import torch

from mella_retrieval.encoders.batching import find_batch_size, is_out_of_memory
from mella_retrieval.errors import EncoderError


class Fake:
    """A model that holds a batch of at most `limit`."""

    def __init__(self, limit: int, error: BaseException) -> None:
        self.limit, self.error, self.tried = limit, error, list[int]()

    def __call__(self, size: int) -> None:
        self.tried.append(size)
        if size > self.limit:
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        MemoryError(),
    ],
)
def test_halves_until_it_fits(error: BaseException) -> None:
    model = Fake(20, error)
    assert find_batch_size(model, 96) == 12
    assert model.tried == [96, 48, 24, 12]
    assert is_out_of_memory(error)


def test_takes_the_start_where_it_fits() -> None:
    assert find_batch_size(Fake(64, MemoryError()), 64) == 64


def test_reaches_exactly_the_minimum() -> None:
    assert find_batch_size(Fake(3, MemoryError()), 10, minimum=3) == 3


def test_nothing_fits() -> None:
    with pytest.raises(EncoderError, match="memory is not enough for a batch of 1"):
        find_batch_size(Fake(0, MemoryError()), 4)


def test_other_errors_pass() -> None:
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert not is_out_of_memory(error)
    with pytest.raises(RuntimeError, match="mat1"):
        find_batch_size(Fake(0, error), 8)


def test_a_real_allocation_that_cannot_succeed() -> None:
    def run(size: int) -> torch.Tensor:
        return torch.empty((size, 1 << 50), dtype=torch.uint8)

    with pytest.raises(EncoderError, match="memory is not enough"):
        find_batch_size(run, 2)
