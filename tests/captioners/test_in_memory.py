import gc
import weakref

import pytest
import torch

from vprcap.captioners import OutOfMemory
from vprcap.captioners.in_memory import in_memory


@pytest.mark.parametrize(
    "problem",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_every_shortage_of_memory_is_one_event(problem: Exception) -> None:
    def compute() -> None:
        raise problem

    with pytest.raises(OutOfMemory):
        in_memory(compute)


def test_other_errors_stay_what_they_are() -> None:
    def compute() -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        in_memory(compute)


def test_the_tensors_of_a_batch_that_did_not_fit_are_gone_before_the_cache_is_emptied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alive: list[weakref.ref[torch.Tensor]] = []
    seen: list[torch.Tensor | None] = []

    def compute() -> None:
        tensor = torch.zeros(3)
        alive.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append(alive[0]()))
    gc.disable()  # only the reference count may free them: nobody collects in a full GPU
    try:
        with pytest.raises(OutOfMemory):
            in_memory(compute)
    finally:
        gc.enable()
    assert seen == [None]
