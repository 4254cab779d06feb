import math

import numpy as np
import pytest

from vprcap.caption_sets.speed import measured_speed


def test_batches_that_take_the_same_time_leave_nothing_uncertain() -> None:
    speed = measured_speed([(10.0, 4), (12.0, 4), (14.0, 4), (16.0, 4)])
    assert (speed.seconds, speed.low, speed.high, speed.num_batches) == (0.5, 0.5, 0.5, 3)


def test_the_first_batch_only_starts_the_clock() -> None:
    assert measured_speed([(100.0, 4), (102.0, 4)]).seconds == 0.5


def test_the_interval_is_that_of_a_ratio_worked_out_by_hand() -> None:
    # Batches of 2, 2, 2 images take 1, 2, 3 s: 1 s an image. Residuals -1, 0, 1, so the standard
    # error is sqrt(2 * 3 / 2) / 6 = 0.28868; Student's t of 2 degrees at 97.5 % is 4.30265.
    speed = measured_speed([(0.0, 2), (1.0, 2), (3.0, 2), (6.0, 2)])
    assert speed.seconds == 1.0
    assert speed.high == pytest.approx(math.exp(4.30265 * 0.288675), rel=1e-4)
    assert speed.low == pytest.approx(math.exp(-4.30265 * 0.288675), rel=1e-4)


def test_a_single_batch_after_the_first_says_nothing_of_its_uncertainty() -> None:
    speed = measured_speed([(0.0, 2), (1.0, 2)])
    assert (speed.low, speed.high) == (0.0, math.inf)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    chance = np.random.default_rng(0)
    held = 0
    for _ in range(500):
        ends, now = [(0.0, 16)], 0.0
        for _ in range(4):
            now += 16 * chance.gamma(25, 1 / 25)  # one second an image, 20 % of spread
            ends.append((now, 16))
        speed = measured_speed(ends)
        held += speed.low <= 1.0 <= speed.high
    assert 0.92 <= held / 500 <= 0.98


def test_of_two_that_run_beside_each_other_the_slower_counts_and_in_turns_they_add_up() -> None:
    speed = measured_speed([(0.0, 2), (1.0, 2), (3.0, 2), (6.0, 2)])
    slower, both, half = speed.at_least(2.0), speed.plus(2.0), speed.times(0.5)
    assert (slower.seconds, slower.low, slower.high) == (2.0, 2.0, speed.high)
    assert (both.seconds, both.low, both.high) == (3.0, speed.low + 2.0, speed.high + 2.0)
    assert (half.seconds, half.low, half.high) == (0.5, speed.low / 2, speed.high / 2)
