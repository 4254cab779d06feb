import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import CAPTION_SCHEMA, num_copied, read_captions
from vprcap.caption_sets.reuse_index import ReuseIndex
from vprcap.caption_sets.status import read_status
from vprcap.captioners.fake import FakeCaptioner
from vprcap.manifests.plan import plan_path, read_plan
from vprcap.stages.caption import caption
from vprcap.stages.compact import compact
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

MakeImages = Callable[..., Path]
NAMES = [f"{i}.jpg" for i in range(10)]


@pytest.fixture
def captioned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the size of each batch that a model captions."""
    sizes: list[int] = []
    plain = FakeCaptioner.caption

    def noting(self: FakeCaptioner, pixels: list[np.ndarray], *rest: object) -> object:
        sizes.append(len(pixels))
        return plain(self, pixels, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeCaptioner, "caption", noting)
    return sizes


def run(images: Path, data_root: Path | None = None, reuse: bool = True, **options: object) -> Path:
    manifest = images.parent / f"{images.name}.parquet"
    if not manifest.exists():
        scan(images, manifest)
        shard(manifest, shard_size=4)
    job = open_job(JobOptions(manifest, captioner="fake", **options))  # type: ignore[arg-type]
    work = WorkOptions(batch_size=3, decode_workers=1, data_root=data_root, reuse=reuse)
    return caption(job, work)


def texts(root: Path) -> dict[str, str]:
    rows = read_captions(root)
    return dict(zip(rows["image_id"].to_pylist(), rows["caption"].to_pylist(), strict=True))


def sources(root: Path) -> list[str | None]:
    found: list[str | None] = read_captions(root, ["copied_from"])["copied_from"].to_pylist()
    return found


@pytest.fixture
def large(make_images: MakeImages) -> Path:
    return make_images(NAMES, folder="large")


@pytest.fixture
def small(large: Path) -> Path:
    """Write a dataset that lies inside the large one, under other names, and one more image."""
    folder = large.parent / "small"
    folder.mkdir()
    for number in (2, 5, 7):
        shutil.copy(large / f"{number}.jpg", folder / f"renamed-{number}.jpg")
    (folder / "own.jpg").write_bytes((large / "3.jpg").read_bytes() + b"another file")
    return folder


def test_images_of_another_dataset_are_copied_not_computed_and_counted(
    large: Path, small: Path, captioned: list[int]
) -> None:
    whole = run(large)
    del captioned[:]
    root = run(small, data_root=large.parent)
    assert captioned == [1]
    known = texts(whole)
    expected = {f"renamed-{number}.jpg": known[f"{number}.jpg"] for number in (2, 5, 7)}
    assert {name: text for name, text in texts(root).items() if name != "own.jpg"} == expected
    assert sources(root) == [None, whole.name, whole.name, whole.name]
    assert num_copied(root) == read_status(CaptionSet(root)).totals()["copied"] == 3
    for path in CaptionSet(root).summaries.iterdir():
        path.unlink()
    assert num_copied(root) == 3, "the count must not depend on summaries"


def test_copies_equal_what_would_have_been_computed(large: Path, small: Path) -> None:
    run(large)
    names = [name for name in CAPTION_SCHEMA.names if name != "seconds"]
    copied = read_captions(run(small, data_root=large.parent), names)
    shutil.rmtree(small / "captions")
    plain = read_captions(run(small, reuse=False), names)
    assert plain["copied_from"].null_count == 4
    assert copied.drop_columns(["copied_from"]).equals(plain.drop_columns(["copied_from"]))


def test_another_configuration_is_no_source(large: Path, small: Path, captioned: list[int]) -> None:
    run(large, max_new_tokens=64)
    del captioned[:]
    assert sources(run(small, data_root=large.parent)) == [None] * 4
    assert sum(captioned) == 4


def test_a_look_at_the_first_images_is_reused_by_the_whole_set(
    large: Path, captioned: list[int]
) -> None:
    first = run(large, limit=4)
    del captioned[:]
    assert sources(run(large)) == [first.name] * 4 + [None] * 6
    assert sum(captioned) == 6


def test_compacted_rows_are_found_too(large: Path, small: Path) -> None:
    whole = run(large)
    compact(CaptionSet(whole), read_plan(plan_path(large.parent / "large.parquet")))
    assert sources(run(small, data_root=large.parent)) == [None, *[whole.name] * 3]


def test_only_good_rows_are_copied(large: Path, small: Path, captioned: list[int]) -> None:
    (large / "2.jpg").write_bytes(b"no image")
    (small / "renamed-2.jpg").write_bytes(b"no image")
    run(large)
    root = run(small, data_root=large.parent)
    statuses = read_captions(root, ["image_id", "status", "copied_from"]).to_pylist()
    assert statuses[1] == {
        "image_id": "renamed-2.jpg",
        "status": "decode_error",
        "copied_from": None,
    }


def test_weights_are_not_loaded_where_everything_is_copied(
    large: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(large)
    (small / "own.jpg").unlink()

    def refuse(self: FakeCaptioner) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr(FakeCaptioner, "load", refuse)
    assert num_copied(run(small, data_root=large.parent)) == 3


def test_an_image_that_occurs_twice_is_captioned_once_where_its_twin_is_finished(
    large: Path, captioned: list[int]
) -> None:
    shutil.copy(large / "0.jpg", large / "9.jpg")
    root = run(large)
    assert sum(captioned) == 9 and sources(root) == [None] * 9 + [root.name]
    assert texts(root)["9.jpg"] == texts(root)["0.jpg"]


def test_a_damaged_source_costs_one_warning_and_only_its_own_rows(
    large: Path, small: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = run(large)
    part = next(path for path in CaptionSet(whole).files() if "00001" in path.name)
    part.write_bytes(part.read_bytes()[:-100])  # rows 4 to 7
    broken = large.parent / "broken" / "captions" / "set"
    broken.mkdir(parents=True)
    (broken / "config.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        root = run(small, data_root=large.parent)
    assert sources(root) == [None, whole.name, None, None]
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2
    assert "no usable config.json" in warnings[0] and part.name in warnings[1]


def test_a_source_that_vanishes_during_the_run_is_left_alone(
    large: Path, small: Path, captioned: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(large)
    del captioned[:]
    plain = ReuseIndex.find

    def find(self: ReuseIndex, sha256: str) -> object:
        shutil.rmtree(CaptionSet(whole).data, ignore_errors=True)
        return plain(self, sha256)

    monkeypatch.setattr(ReuseIndex, "find", find)
    assert sources(run(small, data_root=large.parent)) == [None] * 4
    assert sum(captioned) == 4


def test_an_index_is_made_again_when_its_set_has_changed_or_it_is_damaged(
    large: Path, tmp_path: Path
) -> None:
    whole, index = CaptionSet(run(large)), tmp_path / "index.arrow"
    shas = read_captions(whole.root, ["image_sha256"])["image_sha256"].to_pylist()

    def found() -> list[bool]:
        opened = ReuseIndex(whole, whole.config_id, index)
        return [opened.find(sha256) is not None for sha256 in shas]

    assert found() == [True] * 10
    made = index.stat().st_mtime_ns
    assert found() == [True] * 10 and index.stat().st_mtime_ns == made, "it must be kept"
    aside = tmp_path / "aside"
    shutil.move(whole.files()[0], aside)
    assert found() == [False] * 4 + [True] * 6
    shutil.move(aside, whole.data / "part-00000-of-00003.parquet")
    assert found() == [True] * 10
    index.write_bytes(index.read_bytes()[:5000])
    assert found() == [True] * 10
