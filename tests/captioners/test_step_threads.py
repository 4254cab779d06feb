"""The number of threads of a decoding step."""

import time
from collections.abc import Iterator

import pytest
import torch

from vprcap.captioners.step_threads import StepThreads


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("fastest", [1, 2, 4])
def test_the_number_that_is_fastest_is_kept(fastest: int) -> None:
    threads, seen = StepThreads(), []
    while threads.best is None:
        with threads.step():
            seen.append(torch.get_num_threads())
            time.sleep(0.001 if seen[-1] == fastest else 0.004)
        assert torch.get_num_threads() == 4  # for prefill, and for everybody else
    assert threads.best == fastest
    assert {seen.count(number) for number in (1, 2, 4)} == {12}
    with threads.step():
        assert torch.get_num_threads() == fastest


def test_a_step_that_fails_gives_the_threads_back_and_is_not_counted() -> None:
    threads = StepThreads()
    for _ in range(100):
        with pytest.raises(KeyError), threads.step():
            raise KeyError
    assert torch.get_num_threads() == 4 and threads.best is None


def test_one_core_leaves_no_choice() -> None:
    torch.set_num_threads(1)
    assert StepThreads().best == 1
