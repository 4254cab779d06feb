"""Pictures that are encoded while captions are written."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from vprcap.captioners.ahead import Beside, Encoded, WaitingRoom

LENGTH = 3


def picture(number: int) -> np.ndarray:
    return np.full((1, 1, 3), number, np.uint8)


def encode(pixels: Sequence[np.ndarray]) -> Encoded:
    """Encode pictures as what they show; a picture of 255 cannot be."""
    numbers = [int(each[0, 0, 0]) for each in pixels]
    if 255 in numbers:
        raise ValueError("this one does not work")
    ids = torch.tensor(numbers)[:, None].expand(-1, LENGTH)
    return Encoded(ids, [torch.full((2, 4), float(number)) for number in numbers])


def let_in(room: WaitingRoom, numbers: Sequence[int]) -> None:
    room.let_in([str(number) for number in numbers], [picture(number) for number in numbers])


def let_out(room: WaitingRoom, num_free: int) -> list[Any]:
    """Let out, and see that names, prompts and features belong together."""
    found = room.let_out(num_free)
    if found is None:
        return []
    names, encoded = found
    assert encoded.input_ids.shape == (len(names), LENGTH)
    assert encoded.input_ids[:, 0].tolist() == [int(name) for name in names]
    assert [feature[0, 0].item() for feature in encoded.features] == [int(name) for name in names]
    return names


def test_they_come_out_in_order_as_many_groups_as_fit() -> None:
    room = WaitingRoom(encode, Beside("cpu"), 2)
    let_in(room, [1, 2, 3, 4, 5])
    let_in(room, [6])
    assert len(room) == 6
    assert let_out(room, 1) == []  # the first two go together
    assert let_out(room, 5) == ["1", "2", "3", "4", "5"]
    assert let_out(room, 9) == ["6"]
    assert let_out(room, 9) == [] and len(room) == 0


def test_to_let_somebody_in_does_not_wait_for_the_encoding() -> None:
    go, threads = threading.Event(), []

    def slow(pixels: Sequence[np.ndarray]) -> Encoded:
        threads.append(threading.current_thread())
        assert go.wait(10)
        return encode(pixels)

    room = WaitingRoom(slow, Beside("cpu"), 2)
    begun = time.monotonic()
    let_in(room, [1, 2])
    assert time.monotonic() - begun < 1
    go.set()
    assert let_out(room, 2) == ["1", "2"]
    assert threads != [threading.main_thread()]


def test_what_cannot_be_encoded_is_told_when_it_is_its_turn() -> None:
    room = WaitingRoom(encode, Beside("cpu"), 1)
    let_in(room, [1, 255])
    assert let_out(room, 1) == ["1"]
    with pytest.raises(ValueError, match="this one does not work"):
        room.let_out(1)


def test_it_takes_a_share_of_the_threads_and_leaves_those_of_others_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        seen: list[int] = []

        def count(pixels: Sequence[np.ndarray]) -> Encoded:
            seen.append(torch.get_num_threads())
            return encode(pixels)

        room = WaitingRoom(count, Beside("cpu"), 1)
        let_in(room, [1])
        assert let_out(room, 1) == ["1"]
        assert seen == [2] and torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
