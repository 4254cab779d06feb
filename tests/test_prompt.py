from pathlib import Path

import pytest

from vprcap.errors import InvalidError, MissingError
from vprcap.prompt import load_prompt


def test_the_shipped_prompt_asks_for_what_stays_in_sixty_words() -> None:
    prompt = load_prompt("place")
    assert prompt.name == "place"
    for word in ("buildings", "colours", "roofs", "left", "quoted", "60 words", "season"):
        assert word in prompt.text


def test_a_prompt_of_ones_own_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("Name the shops.\n")
    assert load_prompt(str(path)).text == "Name the shops."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"Look at <image> and speak.", "contains <image>; remove it"),
        (b"  \n", "is empty"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(data)
    with pytest.raises(InvalidError, match=message):
        load_prompt(str(path))


def test_an_unknown_prompt_names_those_that_ship() -> None:
    with pytest.raises(MissingError, match=r"no prompt 'plaice'; .* one of: place"):
        load_prompt("plaice")
