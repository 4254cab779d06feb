import json
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from vprcap.commit_protocol.attempts import Attempts

IDS = [f"{i}.jpg" for i in range(8)]
DEAD: list[AbstractContextManager[None]] = []  # kept: a dead process does not tidy up


def held() -> bool:
    return True


def opened(folder: Path, attempt: int = 4) -> Attempts:
    return Attempts(folder / "note.json", attempt, held)


def die_while_trying(attempts: Attempts, image_ids: list[str]) -> None:
    """Leave the note as a process does that ends at once."""
    DEAD.append(body := attempts.trying(image_ids))
    body.__enter__()


def test_a_shard_that_does_well_has_no_note(tmp_path: Path) -> None:
    for attempt in (1, 2, 3):
        attempts = opened(tmp_path, attempt)
        assert attempts.groups(IDS) == [IDS]
        with attempts.trying(IDS):
            assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_after_the_third_death_the_images_are_written_down_before_each_try(tmp_path: Path) -> None:
    attempts = opened(tmp_path, attempt=4)
    with attempts.trying(IDS[:2]):
        assert json.loads(attempts.path.read_text())["trying"] == IDS[:2]
    assert json.loads(attempts.path.read_text())["trying"] == []


def test_the_suspects_of_a_death_are_tried_by_halves_and_before_the_rest(tmp_path: Path) -> None:
    die_while_trying(opened(tmp_path), IDS[2:7])
    assert opened(tmp_path).groups(IDS) == [
        ["2.jpg", "3.jpg"],
        ["4.jpg", "5.jpg", "6.jpg"],
        ["0.jpg", "1.jpg", "7.jpg"],
    ]


def test_a_death_between_two_tries_accuses_nobody(tmp_path: Path) -> None:
    attempts = opened(tmp_path)
    with attempts.trying(IDS[:4]):
        pass
    assert opened(tmp_path).groups(IDS) == [IDS]


@pytest.mark.parametrize("culprit", IDS)
def test_bisecting_finds_the_one_that_kills_and_clears_the_others(
    tmp_path: Path, culprit: str
) -> None:
    done: list[str] = []
    for deaths in range(12):
        attempts = opened(tmp_path, attempt=4 + deaths)
        if attempts.guilty:
            break
        for group in attempts.groups([each for each in IDS if each not in done]):
            if culprit in group:
                die_while_trying(attempts, group)
                break
            with attempts.trying(group):
                done += group
    assert attempts.guilty == {culprit: "poison"}
    assert deaths == 5, "8, 4, 2, and twice alone"
    left = [each for each in IDS if each not in done]
    assert sorted(done + sum(attempts.groups(left), []) + [culprit]) == IDS


def test_one_kill_from_outside_does_not_condemn_a_lone_image(tmp_path: Path) -> None:
    die_while_trying(opened(tmp_path), IDS[:1])
    attempts = opened(tmp_path)
    assert attempts.guilty == {} and attempts.groups(IDS) == [IDS[:1], IDS[1:]]
    with attempts.trying(IDS[:1]):
        pass
    assert opened(tmp_path).groups(IDS) == [IDS]


def test_a_lone_image_that_hangs_is_a_timeout_at_once(tmp_path: Path) -> None:
    attempts = opened(tmp_path, attempt=1)
    attempts.note_hang(IDS[:1])
    assert opened(tmp_path, attempt=2).guilty == {"0.jpg": "timeout"}


def test_the_suspects_of_a_hang_are_halved_at_the_first_death(tmp_path: Path) -> None:
    opened(tmp_path, attempt=1).note_hang(IDS)
    assert opened(tmp_path, attempt=2).groups(IDS) == [IDS[:4], IDS[4:]]


def test_who_survives_an_error_of_the_model_accuses_nobody(tmp_path: Path) -> None:
    attempts = opened(tmp_path)
    with pytest.raises(ValueError), attempts.trying(IDS):
        raise ValueError("index out of range")
    assert opened(tmp_path).groups(IDS) == [IDS]


def test_a_worker_that_lost_its_lease_does_not_write_over_its_successors_note(
    tmp_path: Path,
) -> None:
    sleeper = Attempts(tmp_path / "note.json", 4, lambda: False)
    die_while_trying(opened(tmp_path), IDS[:2])
    before = (tmp_path / "note.json").read_bytes()
    with sleeper.trying(IDS[4:]):
        pass
    assert (tmp_path / "note.json").read_bytes() == before


@pytest.mark.parametrize(
    "text", ["", "[]", '{"suspects": 1}', '{"suspects": [], "trying": [], "cause": "crash"}']
)
def test_a_damaged_note_accuses_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "note.json").write_text(text)
    assert opened(tmp_path, attempt=1).groups(IDS) == [IDS]


def test_a_finished_shard_leaves_no_note(tmp_path: Path) -> None:
    die_while_trying(opened(tmp_path), IDS)
    opened(tmp_path).forget()
    assert list(tmp_path.iterdir()) == []
