import subprocess
import sys

import pytest

from vprcap.errors import InvalidError
from vprcap.retrieval.memory import left_of, parse_size, show_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500MB", 500_000_000), ("2GB", 2_000_000_000), ("1.5g", 1_500_000_000), ("1 GiB", 2**30)],
)
def test_sizes_are_read_as_people_write_them(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "lots", "2", "-1GB", "2GB2", "nanGB", "1e9MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is not an amount of memory; write it as 500MB or 2GB"):
        parse_size(text)


@pytest.mark.parametrize("num_bytes", [1, 10_000_001, 999_999_999, 1_000_000_001, 6 * 10**10])
def test_a_shown_size_is_never_less_than_the_size(num_bytes: int) -> None:
    assert num_bytes <= parse_size(show_size(num_bytes)) <= num_bytes + 10**8


def test_memory_that_is_held_is_counted() -> None:
    """In a process of its own: what other tests let go of would be counted too."""
    code = (
        "from vprcap.retrieval.memory import resident_bytes; before = resident_bytes(); "
        "held = bytearray(b'x') * 50_000_000; print(resident_bytes() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 45_000_000 < int(done.stdout) < 70_000_000


def test_a_budget_that_cannot_work_is_refused_with_one_that_can() -> None:
    with pytest.raises(InvalidError) as refused:
        left_of(1_000_000, 50_000_000, "searching")
    assert "searching needs 50MB beside" in str(refused.value)
    advised = str(refused.value).rpartition("--memory ")[2].removesuffix(" or more")
    assert left_of(parse_size(advised), 50_000_000, "searching") >= 50_000_000
