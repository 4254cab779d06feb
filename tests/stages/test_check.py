"""A set with one of every fault, and what is said of it."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vprcap.errors import InvalidError, MissingError, StaleArtefactError
from vprcap.ground_truth.health import health_path, read_health, summarise, to_text, twins_of
from vprcap.manifests.manifest import ManifestInfo, build_manifest, read_manifest, write_manifest
from vprcap.stages.check import check
from vprcap.stages.scan import scan

Listed = tuple[str, str | None, float]
"""Image, role, easting in metres; northing is 0."""


def picture(seed: int) -> Image.Image:
    blobs = np.random.default_rng(seed).integers(0, 255, (9, 12, 3)).astype(np.uint8)
    return Image.fromarray(blobs).resize((160, 120), Image.Resampling.BICUBIC)


def list_images(root: Path, listed: list[Listed], **columns: list[str | None]) -> Path:
    """Write the manifest of a folder, by hand; its rows come in the order of their names."""
    names, roles, eastings = zip(*listed, strict=True)
    known = {
        "image_id": pa.array(names),
        "role": pa.array(roles),
        "easting": pa.array(eastings),
        "northing": pa.array([0.0] * len(listed)),
        **{name: pa.array(values) for name, values in columns.items()},
    }
    built = build_manifest(known, ManifestInfo(str(root), "toy"))
    return write_manifest(built, root.parent / "toy.parquet")


def column(manifest: Path, name: str) -> dict[str, object]:
    rows = read_health(manifest)
    return dict(zip(rows["image_id"].to_pylist(), rows[name].to_pylist(), strict=True))


def write_bomb(path: Path) -> None:
    """A PNG of some hundred bytes that says it is 60,000 pixels wide and high."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Every fault once; the manifest of the folder."""
    root = tmp_path / "images"
    root.mkdir()
    picture(0).save(root / "good.jpg")
    (root / "empty.jpg").write_bytes(b"")
    (root / "cut.jpg").write_bytes((root / "good.jpg").read_bytes()[:-900])
    picture(1).save(root / "whole.png")
    (root / "cut.png").write_bytes((root / "whole.png").read_bytes()[:-900])
    (root / "text.jpg").write_text("<html>404</html>")
    write_bomb(root / "bomb.png")
    (root / "folder.jpg").mkdir()
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    (root / "unreadable.jpg").symlink_to("/proc/self/mem")  # even root gets an error from it
    names = sorted([*os.listdir(root), "gone.jpg"])
    return list_images(root, [(name, "database", 0.0) for name in names])


def test_every_fault_is_found_and_told_apart(faulty: Path) -> None:
    assert check(faulty, decode_workers=2) == faulty.parent / "toy.health.parquet"
    findings = summarise(read_health(faulty), at_most=9)["findings"]
    found = {kind: [each["image_id"] for each in own["first"]] for kind, own in findings.items()}
    assert found == {
        "empty": ["empty.jpg"],
        "truncated": ["cut.jpg", "cut.png"],
        "missing": ["folder.jpg", "gone.jpg", "loop.jpg"],
        "too_large": ["bomb.png"],
        "undecodable": ["text.jpg", "unreadable.jpg"],
        "duplicates": [],
        "twins": [],
        "displaced": [],
    }
    errors = column(faulty, "error")
    assert errors["good.jpg"] is None and errors["whole.png"] is None
    assert errors["folder.jpg"] == "a folder, not a file; restore it"
    assert errors["gone.jpg"] == errors["loop.jpg"] == "no such file; restore it"
    assert str(errors["bomb.png"]).startswith("3600 megapixels, the limit is 50")
    assert errors["text.jpg"] == "not an image; fetch it again"
    assert "cannot be read: Input/output error" in str(errors["unreadable.jpg"])


def test_health_is_one_row_for_each_image_with_its_size_and_hash(faulty: Path) -> None:
    check(faulty, decode_workers=1)
    assert read_health(faulty)["image_id"].to_pylist() == read_manifest(faulty).image_ids
    assert [column(faulty, edge)["good.jpg"] for edge in ("width", "height")] == [160, 120]
    hashes = column(faulty, "sha256")
    assert hashes["text.jpg"] is not None and hashes["empty.jpg"] is None
    thumbnails = column(faulty, "thumbnail")
    assert thumbnails["text.jpg"] is None and len(thumbnails["good.jpg"]) == 256  # type: ignore[arg-type]


def test_a_check_changes_nothing_in_the_image_folder(faulty: Path) -> None:
    root = faulty.parent / "images"
    before = {path.name: path.lstat().st_mtime_ns for path in root.iterdir()}
    check(faulty, decode_workers=1)
    assert {path.name: path.lstat().st_mtime_ns for path in root.iterdir()} == before
    assert sorted(path.name for path in root.parent.iterdir()) == [
        "images",
        "toy.health.parquet",
        "toy.parquet",
    ]


def test_files_with_the_same_bytes_are_duplicates_of_the_first(
    make_images: Callable[..., Path],
) -> None:
    root = make_images(["a.jpg", "b.jpg", "e.jpg"])
    for copy, original in (("c.jpg", "b.jpg"), ("d.jpg", "b.jpg"), ("f.jpg", "e.jpg")):
        (root / copy).write_bytes((root / original).read_bytes())
    for empty in ("x.jpg", "y.jpg"):
        (root / empty).write_bytes(b"")
    manifest = scan(root, root.parent / "m.parquet")
    check(manifest, decode_workers=1)
    found = {key: value for key, value in column(manifest, "duplicate_of").items() if value}
    assert found == {"c.jpg": "b.jpg", "d.jpg": "b.jpg", "f.jpg": "e.jpg"}
    text = to_text(summarise(read_health(manifest)))
    assert "c.jpg: the bytes of b.jpg" in text


@pytest.fixture
def copied_drive(tmp_path: Path) -> Path:
    """Of three queries, one was copied, one re-encoded, one uploaded with a wrong position too."""
    root = tmp_path / "images"
    root.mkdir()
    for seed in range(3):
        picture(seed).save(root / f"q{seed}.jpg", quality=95)
        picture(10 + seed).save(root / f"d{seed}.jpg")
    (root / "bytes.jpg").write_bytes((root / "q0.jpg").read_bytes())
    picture(1).resize((80, 60)).save(root / "smaller.jpg", quality=60)
    picture(2).save(root / "elsewhere.jpg", quality=60)
    listed: list[Listed] = [(f"q{seed}.jpg", "query", 1000.0 * seed) for seed in range(3)]
    listed += [(f"d{seed}.jpg", "database", 1000.0 * seed) for seed in range(3)]
    listed += [("bytes.jpg", "database", 4.0), ("smaller.jpg", "database", 1010.0)]
    return list_images(root, [*listed, ("elsewhere.jpg", "database", 5000.0)])


def test_a_database_image_that_repeats_a_query_is_its_twin(copied_drive: Path) -> None:
    check(copied_drive, decode_workers=1)
    twins = {key: value for key, value in column(copied_drive, "twin_of").items() if value}
    assert twins == {"bytes.jpg": "q0.jpg", "smaller.jpg": "q1.jpg"}
    displaced = {k: v for k, v in column(copied_drive, "displaced_of").items() if v}
    assert displaced == {"elsewhere.jpg": "q2.jpg"}
    assert twins_of(copied_drive) == ["bytes.jpg", "smaller.jpg"]
    text = to_text(summarise(read_health(copied_drive)))
    assert "bytes.jpg: repeats query q0.jpg (1.000)" in text
    assert "elsewhere.jpg: repeats query q2.jpg, taken elsewhere (1.000)" in text


def test_the_same_picture_in_two_search_domains_is_no_twin(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    for name in ("query.jpg", "database.jpg"):
        picture(0).save(root / name, quality=70 if name == "query.jpg" else 90)
    listed: list[Listed] = [("database.jpg", "database", 0.0), ("query.jpg", "query", 0.0)]
    for cities, twins in ((["cph", "sf"], []), (["cph", "cph"], ["database.jpg"])):
        manifest = list_images(root, listed, domain=list(cities))
        check(manifest, decode_workers=1)
        assert twins_of(manifest) == twins


def test_equal_error_pages_are_duplicates_and_no_twins(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    for name in ("d.jpg", "q.jpg"):
        (root / name).write_text("<html>404</html>")
    manifest = list_images(root, [("d.jpg", "database", 0.0), ("q.jpg", "query", 0.0)])
    check(manifest, decode_workers=1)
    assert column(manifest, "duplicate_of")["q.jpg"] == "d.jpg"
    assert twins_of(manifest) == []


def test_names_are_escaped_and_only_the_first_of_each_kind_is_shown(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    names = ["new\nline.jpg", "\x1b[31mred.jpg", "é.jpg", "p.jpg", "q.jpg", "r.jpg", "s.jpg"]
    for name in names:
        (root / name).write_bytes(b"")
    manifest = scan(root, tmp_path / "m.parquet")
    check(manifest, decode_workers=1)
    text = to_text(summarise(read_health(manifest)))
    assert text.isascii() and "\x1b" not in text
    assert r"new\nline.jpg: decode_error: the file is empty" in text
    lines = text.splitlines()
    assert lines[0] == "7 images: 0 decode" and lines[1].split() == ["empty", "7"]
    assert len([line for line in lines if line.startswith("    ")]) == 5


def test_health_that_is_absent_damaged_or_of_other_images_says_what_to_do(
    copied_drive: Path,
) -> None:
    with pytest.raises(MissingError, match=rf"`vprcap scan {copied_drive} --check`"):
        twins_of(copied_drive)
    health_path(copied_drive).write_bytes(b"PAR1")
    with pytest.raises(InvalidError, match="check again"):
        twins_of(copied_drive)
    pq.write_table(pa.table({"image_id": ["a"]}), health_path(copied_drive))
    with pytest.raises(InvalidError, match="check again"):
        twins_of(copied_drive)
    check(copied_drive, decode_workers=1)
    listed: list[Listed] = [("d0.jpg", "database", 0.0), ("q0.jpg", "query", 0.0)]
    manifest = list_images(copied_drive.parent / "images", listed)
    with pytest.raises(StaleArtefactError, match="is of other images, roles, positions"):
        twins_of(manifest)


@pytest.mark.parametrize(
    ("name", "value"),
    [("northing", 4000.0), ("zone", "31U"), ("sequence", "a drive"), ("domain", "cph")],
)
def test_health_is_stale_once_a_position_sequence_or_domain_is_another(
    copied_drive: Path, name: str, value: float | str
) -> None:
    check(copied_drive, decode_workers=1)
    checked = read_manifest(copied_drive)
    columns = {each: checked.rows[each].combine_chunks() for each in checked.rows.schema.names}
    columns["condition"] = pa.array(["night"] * checked.rows.num_rows)  # twins know no weather
    write_manifest(build_manifest(columns, checked.info), copied_drive)
    assert twins_of(copied_drive) == ["bytes.jpg", "smaller.jpg"]
    known = [*columns[name].to_pylist()[:-1], value]
    columns[name] = pa.array(known, columns[name].type)
    write_manifest(build_manifest(columns, checked.info), copied_drive)
    with pytest.raises(StaleArtefactError, match="check again"):
        twins_of(copied_drive)


def test_too_few_workers_are_refused(copied_drive: Path) -> None:
    with pytest.raises(InvalidError, match="--decode-workers 0 is too small"):
        check(copied_drive, decode_workers=0)


def test_london_has_no_damage_no_duplicates_and_no_twins(london: Path, tmp_path: Path) -> None:
    """Its queries and its database are of different drives, which was also seen on contact sheets.

    That twins would be found is shown by three that are added to the database: a query's bytes, a
    query re-encoded, and one brightened and made smaller.
    """
    root = tmp_path / "images"
    root.mkdir()
    (root / "london").symlink_to(london / "msls_london")
    found = [path for path in sorted((london / "msls_london/query").rglob("*.jpg"))[:3]]
    (root / "copy0.jpg").write_bytes(found[0].read_bytes())
    with Image.open(found[1]) as image:
        image.save(root / "copy1.jpg", quality=40)
    with Image.open(found[2]) as image:
        image.resize((image.width // 2, image.height // 2)).point(lambda value: 1.1 * value).save(
            root / "copy2.jpg", quality=80
        )
    lines = (london / "msls_london/manifest.csv").read_text().splitlines()
    table = tmp_path / "table.csv"
    added = [f"copy{number}.jpg,database,,," for number in range(3)]
    table.write_text("\n".join([lines[0], *(f"london/{line}" for line in lines[1:]), *added]))
    manifest = scan(root, tmp_path / "m.parquet", table=table)
    check(manifest)
    counts = {
        kind: own["count"] for kind, own in summarise(read_health(manifest))["findings"].items()
    }
    assert counts == dict.fromkeys(counts, 0) | {"duplicates": 1, "twins": 3}
    twins = {key: value for key, value in column(manifest, "twin_of").items() if value}
    originals = [f"london/{path.relative_to(london / 'msls_london')}" for path in found]
    assert twins == {f"copy{number}.jpg": originals[number] for number in range(3)}
