"""Runs a computation of torch and says plainly when it did not fit into memory.

The cache is emptied behind the handler: the error holds the frames, and with them the tensors, of
the computation that it ended, so inside the handler there is nothing to give back yet.
"""

from collections.abc import Callable
from typing import TypeVar

import torch

from vprcap.captioners import OutOfMemory
from vprcap.errors import first_line

Result = TypeVar("Result")
# Not every shortage has a type of its own: cuBLAS and the CPU's allocator have only words.
_WORDS = ("out of memory", "ALLOC_FAILED", "can't allocate memory")


def in_memory(compute: Callable[[], Result]) -> Result:
    """Return what `compute` returns.

    Raises:
        OutOfMemory: there was not enough memory, on the GPU or off it.
    """
    try:
        return compute()
    except (RuntimeError, MemoryError) as problem:
        if not _is_shortage(problem):
            raise
        reason = first_line(problem)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise OutOfMemory(reason)


def _is_shortage(problem: Exception) -> bool:
    return isinstance(problem, torch.OutOfMemoryError | MemoryError) or any(
        words in str(problem) for words in _WORDS
    )
