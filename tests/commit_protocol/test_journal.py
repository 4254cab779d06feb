from pathlib import Path

import pytest

from vprcap.commit_protocol.journal import Journal, read_journals, remove_journals


def row(name: str, caption: str = "a house") -> dict[str, str]:
    return {"image_id": name, "caption": caption}


def write(folder: Path, token: str, *rows: dict[str, str]) -> Path:
    with Journal(folder, "part-0", token) as journal:
        journal.append(rows)
    return journal.path


def test_rows_come_back_by_image_id(tmp_path: Path) -> None:
    write(tmp_path, "t", row("a", 'line\n"quoted" é'), row("b"))
    assert read_journals(tmp_path, "part-0") == {"a": row("a", 'line\n"quoted" é'), "b": row("b")}


def test_other_shards_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, "t", row("a"))
    assert read_journals(tmp_path, "part-1") == {}


def test_every_torn_tail_leaves_the_rows_before_it(tmp_path: Path) -> None:
    path = write(tmp_path, "t", row("a"), row("b"))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        assert set(read_journals(tmp_path, "part-0")) == {"a"}


def test_a_flipped_bit_ends_the_valid_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "t", row("a"), row("b"))
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert set(read_journals(tmp_path, "part-0")) == {"a"}


def test_two_workers_of_one_shard_write_two_files_and_each_image_counts_once(
    tmp_path: Path,
) -> None:
    write(tmp_path, "1", row("a", "first"))
    write(tmp_path, "2", row("a", "second"), row("b"))
    assert read_journals(tmp_path, "part-0") == {"a": row("a", "first"), "b": row("b")}


def test_removing_leaves_nothing_of_the_shard(tmp_path: Path) -> None:
    write(tmp_path, "1", row("a"))
    remove_journals(tmp_path, "part-0")
    assert list(tmp_path.iterdir()) == []


def test_appended_rows_are_there_before_the_journal_is_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "part-0", "t")
    journal.append([row("a")])
    assert set(read_journals(tmp_path, "part-0")) == {"a"}
    journal.__exit__(None, None, None)
    with pytest.raises(ValueError, match="closed"):
        journal.append([row("b")])
