"""Pictures that are prefilled while captions are written."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from vprcap.captioners.ahead import Beside, Prefilled, WaitingRoom
from vprcap.errors import Interrupted

LENGTH = 3


def picture(number: int) -> np.ndarray:
    return np.full((1, 1, 3), number, np.uint8)


def prefill(pixels: Sequence[np.ndarray]) -> Prefilled:
    """Read of pictures what they show; a picture of 255 cannot be read."""
    numbers = [int(each[0, 0, 0]) for each in pixels]
    if 255 in numbers:
        raise ValueError("this one does not work")
    shown = torch.tensor(numbers, dtype=torch.float32)[:, None, None]
    keys = shown[..., None].expand(-1, 2, LENGTH, 4)
    return Prefilled(LENGTH, [(keys, keys)], shown)


def let_in(room: WaitingRoom, numbers: Sequence[int], *, alone: bool = False) -> None:
    names, pictures = [str(number) for number in numbers], [picture(number) for number in numbers]
    room.let_in(names, pictures, alone=alone)


def let_out(room: WaitingRoom, num_free: int) -> list[Any]:
    """Let out, and see that names, keys and logits belong together."""
    out: list[Any] = []
    for names, prefilled in room.let_out(num_free):
        assert prefilled.logits[:, 0, 0].tolist() == [int(name) for name in names]
        assert prefilled.entries[0][0][:, 0, 0, 0].tolist() == [int(name) for name in names]
        out.append(names)
    return out


def settle(room: WaitingRoom) -> None:
    """Wait until everything is ready."""
    for _, future in room._groups:
        future.exception()


def test_they_come_out_in_order_as_many_groups_as_fit() -> None:
    room = WaitingRoom(prefill, Beside("cpu"), 2)
    let_in(room, [1, 2, 3, 4, 5])
    let_in(room, [6])
    settle(room)
    assert len(room) == 6
    assert let_out(room, 1) == []  # the first two go together
    assert let_out(room, 5) == [["1", "2"], ["3", "4"], ["5"]]
    assert let_out(room, 9) == [["6"]]
    assert let_out(room, 9) == [] and len(room) == 0


def test_nobody_waits_for_what_is_not_ready_unless_asked_to() -> None:
    go, threads = threading.Event(), []

    def slow(pixels: Sequence[np.ndarray]) -> Prefilled:
        threads.append(threading.current_thread())
        assert go.wait(10)
        return prefill(pixels)

    room = WaitingRoom(slow, Beside("cpu"), 2)
    begun = time.monotonic()
    let_in(room, [1, 2, 3])
    assert let_out(room, 4) == []
    assert time.monotonic() - begun < 1
    with pytest.raises(Interrupted):
        room.wait(lambda: True)
    threading.Timer(0.1, go.set).start()
    room.wait(lambda: False)
    assert let_out(room, 4)[0] == ["1", "2"]
    assert threading.main_thread() not in threads


def test_what_cannot_be_prefilled_is_told_when_it_is_its_turn() -> None:
    room = WaitingRoom(prefill, Beside("cpu"), 1)
    let_in(room, [1, 255])
    settle(room)
    assert let_out(room, 1) == [["1"]]
    with pytest.raises(ValueError, match="this one does not work"):
        let_out(room, 1)


@pytest.mark.parametrize("how", ["waits", "does not wait", "forgets the room"])
def test_those_who_are_given_up_are_not_begun_and_what_is_begun_is_finished(how: str) -> None:
    begun, go, read = threading.Event(), threading.Event(), []

    def slow(pixels: Sequence[np.ndarray]) -> Prefilled:
        begun.set()
        assert go.wait(10)
        read.append(int(pixels[0][0, 0, 0]))
        return prefill(pixels)

    beside = Beside("cpu")
    room = WaitingRoom(slow, beside, 1)
    let_in(room, [1, 2, 3])
    assert begun.wait(10)
    if how == "waits":
        threading.Timer(0.1, go.set).start()
        room.close(wait=True)
        assert read == [1] and len(room) == 0
    elif how == "does not wait":
        room.close(wait=False)
        assert read == [] and len(room) == 0
    else:
        del room
    go.set()
    assert beside.begin(lambda: prefill([picture(9)]), alone=True).result(10).num_prompt == LENGTH
    assert read == [1]


def test_it_takes_half_the_threads_or_all_and_leaves_those_of_others_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        seen: list[int] = []

        def count(pixels: Sequence[np.ndarray]) -> Prefilled:
            seen.append(torch.get_num_threads())
            return prefill(pixels)

        room = WaitingRoom(count, Beside("cpu"), 1)
        let_in(room, [1, 2], alone=True)
        let_in(room, [3])
        settle(room)
        assert let_out(room, 3) == [["1"], ["2"], ["3"]]
        assert seen == [4, 2, 2] and torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
