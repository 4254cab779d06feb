"""How many threads and drafts a decoding step has."""

from collections.abc import Callable, Iterator

import pytest
import torch

from vprcap.captioners.step_choice import StepChoice, Way


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def take(
    choice: StepChoice, num_steps: int, rate: Callable[[Way], float], num_rows: int = 16
) -> list[Way]:
    """Let steps go as chosen, a token a row of each, at the tokens a second of each way."""
    chosen = []
    for _ in range(num_steps):
        way = choice.choose(num_rows)
        way.note(num_rows, num_rows / rate(way))
        chosen.append(way)
    return chosen


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("drafts", [0, 2, 5])
def test_most_steps_go_the_fastest_way(threads: int, drafts: int) -> None:
    choice = StepChoice("cpu")
    ways = {(way.threads, way.drafts) for way in choice.ways(16)}
    assert ways == {(t, d) for t in (1, 2, 4) for d in (0, 2, 5)}
    fastest = (threads, drafts)
    take(choice, 8 * 9, lambda way: 200 if (way.threads, way.drafts) == fastest else 100)
    assert {way.num_timed for way in choice.ways(16)} == {8}
    later = take(choice, 320, lambda way: 200 if (way.threads, way.drafts) == fastest else 100)
    assert sum((way.threads, way.drafts) == fastest for way in later) == 310  # 31 of 32


def test_a_way_that_becomes_faster_is_found() -> None:
    choice = StepChoice("cuda")
    assert [(way.threads, way.drafts) for way in choice.ways(16)] == [
        *((None, 0), (None, 2), (None, 5))
    ]
    take(choice, 100, lambda way: 100 - way.drafts)
    later = take(choice, 2000, lambda way: 100 + 100 * way.drafts)
    assert sum(way.drafts == 5 for way in later[-320:]) == 310


def test_a_batch_that_runs_empty_changes_nothing_for_the_next_full_one() -> None:
    choice = StepChoice("cuda")

    def rate_of(num_rows: int) -> Callable[[Way], float]:
        return lambda way: num_rows * (10 + way.drafts)

    take(choice, 500, rate_of(16))
    for num_rows in range(15, 0, -1):
        take(choice, 8, rate_of(num_rows), num_rows)
    later = take(choice, 320, rate_of(16))
    assert sum(way.drafts == 5 for way in later) == 310


def test_the_other_threads_are_there_again_after_a_step_even_if_it_fails() -> None:
    choice = StepChoice("cpu")
    with choice.threads(Way(1, 0)):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4
    with pytest.raises(KeyError), choice.threads(Way(2, 0)):
        assert torch.get_num_threads() == 2
        raise KeyError
    assert torch.get_num_threads() == 4
    with choice.threads(Way(None, 2)):
        assert torch.get_num_threads() == 4


def test_one_core_leaves_only_the_drafts_to_choose() -> None:
    torch.set_num_threads(1)
    ways = StepChoice("cpu").ways(3)
    assert [(way.threads, way.drafts) for way in ways] == [(1, 0), (1, 2), (1, 5)]
