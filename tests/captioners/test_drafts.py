"""Guesses at what comes next."""

import pytest

from vprcap.captioners import drafts
from vprcap.captioners.drafts import Drafts


def test_what_followed_the_same_three_tokens_the_last_time_is_guessed() -> None:
    known = Drafts()
    known.learn([1, 2, 3, 4, 5, 2])
    assert known.after([9, 1, 2, 3], 5) == [4, 5, 2]  # what follows 4 5 2 is not known
    assert known.after([1, 2, 3], 2) == [4, 5]
    known.learn([7, 1, 2, 3, 8])
    assert known.after([1, 2, 3], 5) == [8]


def test_the_first_tokens_are_guessed_too() -> None:
    known = Drafts()
    assert known.after([6], 3) == []
    known.learn([6, 7, 8, 9])
    assert known.after([6], 3) == [7, 8, 9]
    assert known.after([6, 7], 3) == [8, 9]
    assert known.after([5, 6], 3) == []  # 6 was the first one there
    assert known.after([6], 0) == []


def test_what_has_not_come_up_for_long_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "_MOST_KNOWN", 4)
    known = Drafts()
    known.learn([1, 2, 3, 4, 5])
    assert known.after([1, 2, 3], 1) == [4]
    known.learn([11, 12, 13, 14, 15])
    assert known.after([1, 2, 3], 1) == []
    assert known.after([11, 12, 13], 1) == [14]
