from collections.abc import Callable

import pytest

from vprcap.captioners.batch_size import BatchSize


def sizes(start: int, fits: Callable[[int], int], batches: int) -> list[int]:
    """Work off batches of a memory that holds `fits(number of the batch)` images."""
    size, tried = BatchSize(start), []
    for number in range(batches):
        tried.append(size.now)
        if size.now > fits(number):
            size.failed(size.now)
        else:
            size.succeeded(size.now)
    return tried


def test_it_halves_until_the_batch_fits() -> None:
    assert sizes(16, lambda _: 3, 5) == [16, 8, 4, 2, 2]
    assert sizes(1, lambda _: 0, 3) == [1, 1, 1]


def test_it_grows_back_in_steps_after_many_good_batches_and_not_beyond_what_was_asked() -> None:
    tried = sizes(8, lambda number: 4 if number == 0 else 100, 400)
    assert tried[:2] == [8, 4]
    assert [tried.count(size) for size in (4, 5, 6, 7)] == [32, 32, 32, 32]
    assert tried[129:] == [8] * (400 - 129)


@pytest.mark.parametrize("fits", [1, 3, 5, 11, 15])
def test_it_settles_at_what_fits_and_fails_at_most_twice_at_any_size(fits: int) -> None:
    tried = sizes(16, lambda _: fits, 2000)
    assert tried[-1] == fits
    assert all(tried.count(size) <= 2 for size in range(fits + 1, 17))
    assert set(tried[-500:]) == {fits}, "it does not try again for ever"


def test_after_a_failed_step_up_it_goes_back_to_what_went_well_not_to_half() -> None:
    size = BatchSize(16)
    size.failed(16)
    for _ in range(32):
        size.succeeded(8)
    assert size.now == 9
    size.failed(9)
    assert size.now == 8
    size.failed(8)
    assert size.now == 4, "what went well for long does so no more"


def test_small_last_batches_say_nothing() -> None:
    size = BatchSize(16)
    size.failed(16)
    for _ in range(100):
        size.succeeded(3)
    assert size.now == 8
