from pathlib import Path

from vprcap.caption_sets.leftovers import remove_leftovers
from vprcap.commit_protocol.lease import claim
from written_sets import write_set


def leave(folder: Path, stem: str) -> set[Path]:
    """Leave what killed workers can leave of a shard, except a lease."""
    names = {
        f"journal/{stem}.t.jsonl",
        f"attempts/{stem}.json",
        f"staging/{stem}.t.parquet",
        f"staging/{stem}.retired",
    }
    (folder / "attempts").mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("left")
    return {folder / name for name in names}


def test_leftovers_of_finished_shards_go_and_those_of_unfinished_ones_stay(tmp_path: Path) -> None:
    written = write_set(tmp_path, shards=2)
    root, stems = written.captions.root, [shard.name for shard in written.plan.shards]
    before = {path for path in root.rglob("*") if path.is_file()}
    leave(root, stems[0])
    unfinished = leave(root, stems[2])
    assert remove_leftovers(written.captions) == 1
    assert {path for path in root.rglob("*") if path.is_file()} == before | unfinished
    assert remove_leftovers(written.captions) == 0


def test_leftovers_of_a_shard_that_is_held_stay(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    left = leave(written.captions.root, written.plan.shards[0].name)
    lease = claim(written.captions.lease(written.plan.shards[0]))
    assert lease is not None
    with lease:
        assert remove_leftovers(written.captions) == 0
        assert all(path.exists() for path in left)


def test_a_set_that_is_not_there_has_none(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    absent = type(written.captions)(tmp_path / "absent")
    assert remove_leftovers(absent) == 0 and not absent.root.exists()
