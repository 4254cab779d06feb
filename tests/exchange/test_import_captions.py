"""Captions of others become a caption set, and every row of their file is accounted for."""

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pandas
import pyarrow.parquet as pq
import pytest

from vprcap.caption_sets.captions import CAPTION_SCHEMA, captions_of, status_counts
from vprcap.commit_protocol.lease import claim
from vprcap.errors import (
    BusyError,
    DependencyError,
    InvalidError,
    MissingError,
    StaleArtefactError,
    VprcapError,
)
from vprcap.exchange.joined import JoinReport, report_from_json
from vprcap.files import read_json
from vprcap.manifests.manifest import read_manifest
from vprcap.stages.import_captions import JOIN_REPORT, import_captions
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

MakeManifest = Callable[..., Path]
KEY = "19UsTBrdJxYt76X7IHdlNw"
AT_NAME = (
    f"@0344096.66@6175626.43@33@U@055.70131@0012.51907@{KEY}@@@@@@20180722@day_forward_cph@.jpg"
)


@pytest.fixture
def make_manifest(make_images: Callable[..., Path]) -> MakeManifest:
    """Freeze the plan of images with some names, two in a shard."""

    def make(names: list[str]) -> Path:
        images = make_images(names)
        manifest = scan(images, images.parent / "set.parquet")
        shard(manifest, shard_size=2)
        return manifest

    return make


def imported(file: Path, manifest: Path) -> tuple[dict[str, str | None], JoinReport]:
    """Import a file; give the caption of each image and the account."""
    captions = import_captions(file, manifest)
    read = read_manifest(manifest)
    written = dict(zip(read.image_ids, captions_of(read, captions), strict=True))
    return written, report_from_json(read_json(captions / JOIN_REPORT))


def fates(report: JoinReport) -> dict[str, int]:
    names = ("matched", "duplicate", "empty", "unmatched", "ambiguous", "damaged")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def write_csv(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["image_path,description", *rows]) + "\n", "utf-8")
    return path


def test_captions_that_pandas_wrote_come_back_word_for_word(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    texts = {
        "database/1.jpg": 'A shop, a sign "OPEN", and\na second line',
        "database/2.jpg": "Straße, 通り, a 'quoted' word; tab\there",
        "queries/1.jpg": '"',
    }
    manifest = make_manifest([*texts, "queries/2.jpg"])
    file = tmp_path / "lavpr.csv"
    frame = pandas.DataFrame(
        {"image_path": [f"/mnt/d/data/{name}" for name in texts], "description": texts.values()}
    )
    frame.to_csv(file, index=False)
    written, report = imported(file, manifest)
    assert written == {**texts, "queries/2.jpg": None}
    assert fates(report) == {"matched": 3} and report.images_without_caption == 1


def test_the_set_is_an_ordinary_one_that_says_where_its_text_is_from(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    import hashlib

    manifest = make_manifest(["a.jpg", "b.jpg", "c.jpg"])
    file = write_csv(tmp_path / "theirs.csv", "a.jpg,one", "c.jpg,three")
    captions = import_captions(file, manifest)
    assert captions.parent == tmp_path / "images" / "captions"
    assert status_counts(captions) == {"ok": 2, "missing": 1}
    parts = sorted((captions / "data").iterdir())
    assert [part.name for part in parts] == [
        "part-00000-of-00002.parquet",
        "part-00001-of-00002.parquet",
    ]
    table = pq.read_table(captions / "data")
    assert table.schema.names == CAPTION_SCHEMA.names
    row = table.to_pylist()[1]
    assert (row["image_id"], row["status"], row["caption"]) == ("b.jpg", "missing", None)
    assert row["error"] == "no caption in theirs.csv"
    config = read_json(captions / "config.json")
    assert (config["captioner"], config["model"], config["prompt"]) == (
        "imported",
        "theirs.csv",
        "",
    )
    assert config["revision"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_every_row_has_one_fate_and_they_add_up(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    manifest = make_manifest(["a/1.jpg", "b/1.jpg", "a/2.jpg", "-3.jpg", AT_NAME])
    file = tmp_path / "mixed.csv"
    rows = [
        b"image_path,description",
        b'/mnt/d/set/images/a/1.jpg,"two',  # lines 2 and 3
        b'lines"',
        rb"D:\data\b\1.jpg,of Windows",
        b"1.jpg,whose",  # a/1.jpg or b/1.jpg
        b"c/2.jpg,other folder",
        b"c/2.jpg,other folder",  # the same again
        b"../-3.jpg,   ",
        KEY.encode() + b".jpg,by key",
        b"nope.jpg,nobody",
        b"x,y,z",
        b"bad\xff.jpg,not text",
        b'a/2.jpg,"never closed',  # swallows the next line
        b'b/1.jpg,"next"',
    ]
    file.write_bytes(b"\xef\xbb\xbf" + b"\n".join(rows) + b"\n")
    written, report = imported(file, manifest)
    assert written == {
        "a/1.jpg": "two\nlines",
        "b/1.jpg": "of Windows",
        "a/2.jpg": "other folder",
        AT_NAME: "by key",
        "-3.jpg": None,
    }
    assert fates(report) == {
        "matched": 4,
        "duplicate": 1,
        "empty": 1,
        "unmatched": 1,
        "ambiguous": 1,
        "damaged": 3,
    }
    assert report.rows == sum(fates(report).values())
    assert report.matched_by_name == 2 and report.images_without_caption == 1
    assert report.examples["ambiguous"] == ["line 5: '1.jpg'"]
    assert [text.split(":")[0] for text in report.examples["damaged"]] == [
        "line 11",
        "line 12",
        "lines 13-14",
    ]


def test_an_open_quote_at_the_end_is_one_damaged_row_and_not_a_long_caption(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    manifest = make_manifest(["a.jpg", "b.jpg"])
    file = write_csv(tmp_path / "t.csv", "a.jpg,fine", 'b.jpg,"open', "c.jpg,x", "d.jpg,y")
    written, report = imported(file, manifest)
    assert written == {"a.jpg": "fine", "b.jpg": None}
    assert report.examples["damaged"] == ["lines 3-5: unexpected end of data"]


def test_the_sheet_of_street360loc_names_images_by_place_and_view(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    manifest = make_manifest(["000007_0.jpg", "000007_3.jpg", "012345_1.jpg"])
    frame = pandas.DataFrame(
        {
            "index": [7, 7, 12345, 8],
            "pos": [0.0, 3.0, 1.0, 0.5],
            "x": [1.5, 1.5, 2.0, 3.0],
            "y": [0.0, 0.0, 1.0, 1.0],
            "z": [0.0, 0.0, 0.0, 0.0],
            "text_description": ["A wall, left", None, "Trees\nand a road", "no view 0.5"],
        }
    )
    file = tmp_path / "test_description.xlsx"
    frame.to_excel(file, index=False)
    written, report = imported(file, manifest)
    assert written == {
        "000007_0.jpg": "A wall, left",
        "000007_3.jpg": None,
        "012345_1.jpg": "Trees\nand a road",
    }
    assert fates(report) == {"matched": 2, "empty": 1, "damaged": 1}
    assert report.examples["damaged"] == ["line 5: no name of an image"]


def test_a_sheet_may_have_the_columns_of_the_csv(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    book = openpyxl.Workbook()
    for row in (["Image_Path ", "note", "Description"], ["a.jpg", 1, "yes"], [None, 2, "whose"]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    written, report = imported(tmp_path / "t.xlsx", make_manifest(["a.jpg"]))
    assert written == {"a.jpg": "yes"} and fates(report) == {"matched": 1, "damaged": 1}


def rewrite(book: Path, member: str, edit: Callable[[bytes], bytes]) -> None:
    """Change one file of a workbook."""
    with zipfile.ZipFile(book) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert edit(files[member]) != files[member]
    with zipfile.ZipFile(book, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, edit(content) if name == member else content)


SHEET = "xl/worksheets/sheet1.xml"


def test_rows_beyond_the_size_that_a_sheet_declares_are_read_and_short_rows_are_empty(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    book = openpyxl.Workbook()
    for row in (["image_path", "description"], ["a.jpg", "one"], [], ["b.jpg"], ["c.jpg", "three"]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    rewrite(tmp_path / "t.xlsx", SHEET, lambda data: data.replace(b'ref="A1:B5"', b'ref="A1:A2"'))
    written, report = imported(tmp_path / "t.xlsx", make_manifest(["a.jpg", "b.jpg", "c.jpg"]))
    assert written == {"a.jpg": "one", "b.jpg": None, "c.jpg": "three"}
    assert fates(report) == {"matched": 2, "empty": 1}
    assert report.examples["empty"] == ["line 4: 'b.jpg'"]


@pytest.mark.parametrize("damage", ["cut sheet", "chart first", "no workbook"])
def test_a_damaged_workbook_or_one_of_charts_is_refused_in_one_line(
    make_manifest: MakeManifest, tmp_path: Path, damage: str
) -> None:
    book, file = openpyxl.Workbook(), tmp_path / "t.xlsx"
    book.active.append(["image_path", "description"])
    book.active.append(["a.jpg", "one"])
    if damage == "chart first":
        book.create_chartsheet(index=0)
    book.save(file)
    if damage == "cut sheet":
        rewrite(file, SHEET, lambda data: data[: len(data) // 2])
    elif damage == "no workbook":
        rewrite(file, "xl/workbook.xml", lambda _: b"<x/>")
    with pytest.raises(InvalidError, match="no readable workbook .*; save the sheet") as refused:
        import_captions(file, make_manifest(["a.jpg"]))
    assert "\n" not in str(refused.value)


def test_two_captions_of_one_image_are_refused_by_line(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    file = write_csv(tmp_path / "t.csv", "a.jpg,one", "b.jpg,two", "x/a.jpg,another")
    with pytest.raises(InvalidError, match="'a.jpg' two captions, in lines 2 and 4; keep one"):
        import_captions(file, make_manifest(["a.jpg", "b.jpg"]))


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("t.csv", b"", MissingError, "needs the columns image_path and description"),
        ("t.csv", b"file,words\na.jpg,x\n", MissingError, "and has: file, words"),
        ("t.csv", b"image_path,description\n", InvalidError, "none of the 0 rows"),
        ("t.csv", b"image_path,description\nz.jpg,x\n", InvalidError, "named like 'a.jpg'"),
        ("t.csv", b"\x80\x04\x95\x00pickle", MissingError, "needs the columns"),
        ("t.xlsx", b"no zip", InvalidError, "no readable workbook"),
        ("t.xlsx", b"PK\x03\x04", InvalidError, "no readable workbook"),
        ("t.json", b"{}", InvalidError, "neither .csv nor .xlsx"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    make_manifest: MakeManifest,
    tmp_path: Path,
    name: str,
    content: bytes,
    error: type[VprcapError],
    message: str,
) -> None:
    manifest = make_manifest(["a.jpg"])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message) as refused:
        import_captions(tmp_path / name, manifest)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "images" / "captions").exists()


def test_a_workbook_that_unpacks_to_too_much_is_not_unpacked(
    make_manifest: MakeManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vprcap.exchange.text4vpr._LARGEST_BYTES", 10**6)
    with zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * (10**6 + 1))
    with pytest.raises(InvalidError, match="unpacks to 1,000,001 bytes"):
        import_captions(tmp_path / "bomb.xlsx", make_manifest(["a.jpg"]))


def test_without_openpyxl_the_extra_is_named(
    make_manifest: MakeManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "t.xlsx").write_bytes(b"")
    with pytest.raises(DependencyError, match=r"vprcap\[xlsx\]"):
        import_captions(tmp_path / "t.xlsx", make_manifest(["a.jpg"]))


def test_importing_again_goes_on_and_a_held_shard_is_waited_for(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    manifest = make_manifest(["a.jpg", "b.jpg", "c.jpg"])
    file = write_csv(tmp_path / "t.csv", "a.jpg,one", "b.jpg,two", "c.jpg,three")
    captions = import_captions(file, manifest)
    second = captions / "data" / "part-00001-of-00002.parquet"
    whole, first = second.read_bytes(), captions / "data" / "part-00000-of-00002.parquet"
    made = first.stat().st_mtime_ns
    second.unlink()
    held = claim(captions / "leases" / "part-00001-of-00002.json")
    assert held is not None
    with held, pytest.raises(BusyError, match="shard 1 of 2"):
        import_captions(file, manifest)
    assert import_captions(file, manifest) == captions
    assert second.read_bytes() == whole and first.stat().st_mtime_ns == made


def test_an_edited_file_is_another_set(make_manifest: MakeManifest, tmp_path: Path) -> None:
    manifest = make_manifest(["a.jpg"])
    first = import_captions(write_csv(tmp_path / "t.csv", "a.jpg,one"), manifest)
    second = import_captions(write_csv(tmp_path / "t.csv", "a.jpg,two"), manifest)
    assert first != second and status_counts(first) == status_counts(second) == {"ok": 1}
    (second / "config.json").write_text('{"config_id": "another"}')
    with pytest.raises(StaleArtefactError, match="sets never mix"):
        import_captions(tmp_path / "t.csv", manifest)
