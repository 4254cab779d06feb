import errno
import os
from pathlib import Path

import pytest

from vprcap.errors import InvalidError, MissingError, StorageError
from vprcap.files import (
    commit,
    create,
    fingerprint,
    read_json,
    replacing,
    storage_errors,
    write_json,
)


def test_replacing_keeps_the_old_file_when_the_body_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_replacing_gives_the_whole_new_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "new" / "a.txt") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"


def test_of_two_commits_to_one_name_the_first_wins(tmp_path: Path) -> None:
    first, second, final = (tmp_path / name for name in ("1", "2", "final"))
    first.write_text("first")
    second.write_text("second")
    assert commit(first, final)
    assert not commit(second, final)
    assert final.read_text() == "first"
    assert list(tmp_path.iterdir()) == [final]


def test_commit_works_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    for name, wins in (("1", True), ("2", False)):
        (tmp_path / name).write_text(name)
        assert commit(tmp_path / name, tmp_path / "final") is wins
    assert (tmp_path / "final").read_text() == "1"


def test_a_full_disk_is_one_line_that_names_the_file() -> None:
    with pytest.raises(StorageError, match=r"cannot write /x/y: no space left; .* kept"):
        with storage_errors(Path("/x/y")):
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_target_that_cannot_be_a_file_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for target in (tmp_path, tmp_path / "file" / "below", tmp_path / ("n" * 300)):
        with pytest.raises(StorageError, match="cannot write"):
            write_json(target, {})


def test_fingerprint_ignores_the_order_of_keys_and_sees_values() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_json_round_trip_and_its_errors(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", {"é": [1, None]})
    assert read_json(path) == {"é": [1, None]}
    with pytest.raises(MissingError, match="no file"):
        read_json(tmp_path / "b.json")
    path.write_text("{")
    with pytest.raises(InvalidError, match="is not JSON"):
        read_json(path)


def test_without_hard_links_a_file_is_still_committed_once_and_this_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    outcomes = []
    for text in ("first", "second"):
        (tmp_path / "staged").write_text(text)
        outcomes.append(commit(tmp_path / "staged", tmp_path / "final"))
    assert outcomes == [True, False]
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    assert (tmp_path / "final").read_text() == "first"
    assert [record.getMessage() for record in caplog.records] == [
        f"the file system of {tmp_path} has no hard links: rows still never double while one "
        "worker at a time writes a shard, which now rests on leases alone; a worker that was "
        "suspended for minutes may overwrite its successor's part with one of equal images"
    ]


def test_a_small_file_is_created_with_its_text_for_one_writer_only(tmp_path: Path) -> None:
    assert create(tmp_path / "lease", "mine", token="a")
    assert not create(tmp_path / "lease", "yours", token="b")
    assert (tmp_path / "lease").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["lease"]
