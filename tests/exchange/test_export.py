"""What is exported is read back by the programs that it is for."""

import gc
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

from vprcap.errors import InvalidError, MissingError, StorageError, VprcapError
from vprcap.evaluation.estimate import Estimate
from vprcap.evaluation.predictions import PER_QUERY_SCHEMA
from vprcap.evaluation.report import RecallReport
from vprcap.exchange.captioned import read_captioned
from vprcap.exchange.web_shards import write_web_shards
from vprcap.files import read_json, write_json
from vprcap.stages.export import FORMATS, export
from vprcap.stages.import_captions import import_captions
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

TEXTS = {
    "-key_1.jpg": 'A shop, a sign "OPEN", and\na second line\r\nand a third',
    "@1.00@2.00@17@T@@@pano@@@@@@@@.jpg": "Straße, 通り",
    "test/train/dog.PNG": 'one quote "',
    "test/val/b c.jpg": "'single', 1,5 m",
}
CAPTION_FORMATS = ("lavpr", "imagefolder", "datasets", "webdataset")


@pytest.fixture
def captions(make_images: Callable[..., Path], tmp_path: Path) -> Path:
    """A caption set with commas, quotes and lines in it, and one image without caption."""
    images = make_images([*TEXTS, "test/without.jpg"])
    manifest = scan(images, tmp_path / "set.parquet")
    shard(manifest, shard_size=2)
    frame = pandas.DataFrame({"image_path": TEXTS.keys(), "description": TEXTS.values()})
    frame.to_csv(tmp_path / "theirs.csv", index=False)
    return import_captions(tmp_path / "theirs.csv", manifest)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_pandas_reads_the_csv_word_for_word(captions: Path, tmp_path: Path) -> None:
    written = export(captions, tmp_path / "out.csv", to="lavpr")
    frame = pandas.read_csv(written)
    assert list(frame.columns) == ["image_path", "description"]
    assert dict(zip(frame["image_path"], frame["description"], strict=True)) == TEXTS


def test_a_csv_that_went_out_comes_back_as_the_same_captions(
    captions: Path, tmp_path: Path
) -> None:
    written = export(captions, tmp_path / "out.csv", to="lavpr")
    again = import_captions(written, tmp_path / "set.parquet", captions_root=tmp_path / "again")
    assert dict(read_captioned(again)) == dict(read_captioned(captions)) == TEXTS


def test_the_imagefolder_loader_takes_links_and_captions(captions: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "images").rglob("*.*")}
    written = export(captions, tmp_path / "folder", to="imagefolder")
    assert all(path.is_symlink() for path in (written / "images").iterdir())
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(written), cache_dir=str(tmp_path / "cache")
    )
    assert list(loaded) == ["train"]
    rows = list(loaded["train"])
    assert {row["image_id"]: row["caption"] for row in rows} == TEXTS
    for row in rows:
        found = np.asarray(row["image"].convert("RGB"))
        np.testing.assert_array_equal(found, pixels(tmp_path / "images" / row["image_id"]))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_datasets_directory_holds_the_images_themselves(captions: Path, tmp_path: Path) -> None:
    expected = {name: pixels(tmp_path / "images" / name) for name in TEXTS}
    written = export(captions, tmp_path / "dataset", to="datasets")
    (tmp_path / "images").rename(tmp_path / "gone")
    loaded = datasets.load_from_disk(str(written))
    assert isinstance(loaded.features["image"], datasets.Image)
    assert {row["image_id"]: row["caption"] for row in loaded} == TEXTS
    for row in loaded:
        found = np.asarray(row["image"].convert("RGB"))
        np.testing.assert_array_equal(found, expected[row["image_id"]])


def test_shards_hold_the_bytes_of_the_images_and_three_files_a_sample(
    captions: Path, tmp_path: Path
) -> None:
    written = export(captions, tmp_path / "shards", to="webdataset")
    (path,) = written.iterdir()
    with tarfile.open(path) as archive:
        names = archive.getnames()
        contents = {name: archive.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    assert names[:3] == ["000000000.jpg", "000000000.txt", "000000000.json"]
    assert len(names) == 3 * len(TEXTS) and "000000002.png" in names
    found = {}
    for name in names[2::3]:
        about = json.loads(contents[name])
        key, image_id = name.partition(".")[0], about["image_id"]
        assert contents[f"{key}.txt"].decode() == about["caption"]
        suffix = Path(image_id).suffix.lower()
        assert contents[f"{key}{suffix}"] == (tmp_path / "images" / image_id).read_bytes()
        found[image_id] = about["caption"]
    assert found == TEXTS


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves the shards open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_itself_reads_every_shard(captions: Path, tmp_path: Path) -> None:
    def in_tar(num_bytes: int) -> int:
        return 512 + -(-num_bytes // 512) * 512  # a header, and whole blocks

    def sample(image_id: str) -> int:
        about = json.dumps({"image_id": image_id, "caption": TEXTS[image_id]}, ensure_ascii=False)
        texts = (TEXTS[image_id].encode(), about.encode())
        image = (tmp_path / "images" / image_id).stat().st_size
        return sum(map(in_tar, (image, *map(len, texts))))

    captioned = read_captioned(captions)
    two = sum(map(sample, captioned.image_ids[:2]))
    written = write_web_shards(captioned, tmp_path / "shards", shard_bytes=two)
    shards = sorted(map(str, written.iterdir()))
    with tarfile.open(shards[0]) as archive:
        assert archive.getnames()[::3] == ["000000000.jpg", "000000001.jpg"]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"{i:09d}" for i in range(4)]
    found = {json.loads(each["json"])["image_id"]: each["txt"].decode() for each in samples}
    assert found == TEXTS
    for each in samples:
        Image.open(io.BytesIO(each.get("jpg") or each["png"])).verify()
    gc.collect()  # here, where the open shards are excused


def test_the_suffix_is_that_of_the_bytes_whatever_an_image_is_called(
    captions: Path, tmp_path: Path
) -> None:
    for image_id, like in zip(TEXTS, ("PNG", "JPEG", "WEBP", "TIFF"), strict=False):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / image_id, like)
    captioned = read_captioned(captions)
    found = {image_id: captioned.suffix(image_id) for image_id in list(TEXTS)[:4]}
    assert list(found.values()) == [".png", ".jpg", ".webp", ".tif"]
    (path,) = export(captions, tmp_path / "shards", to="webdataset").iterdir()
    with tarfile.open(path) as archive:
        names = archive.getnames()[::3]
    assert {name[9:] for name in names} == set(found.values())
    for name in ("frame.0001", "plain", "old.jfif", "new.JPEG"):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name, "JPEG")
        assert captioned.suffix(name) == ".jpg"


@pytest.mark.parametrize("to", [to for to in CAPTION_FORMATS if to != "lavpr"])
def test_a_missing_image_leaves_nothing_behind(captions: Path, tmp_path: Path, to: str) -> None:
    (tmp_path / "images" / "test/val/b c.jpg").unlink()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(MissingError, match=r"'test/val/b c.jpg' is not in"):
        export(captions, tmp_path / "out", to=to)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_takes_the_place_of_what_is_there(captions: Path, tmp_path: Path, to: str) -> None:
    photograph = tmp_path / "images" / "-key_1.jpg"
    before = photograph.read_bytes()
    with pytest.raises(InvalidError, match="exists; name another OUTPUT"):
        export(captions, photograph, to=to)
    assert photograph.read_bytes() == before


@pytest.mark.parametrize("to", CAPTION_FORMATS)
def test_a_caption_set_that_names_other_files_is_not_exported(
    captions: Path, tmp_path: Path, to: str
) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    part = captions / "data" / "part-00000-of-00003.parquet"
    table = pq.read_table(part)
    ids = pa.array(["../secret.jpg", *table["image_id"].to_pylist()[1:]])
    pq.write_table(table.set_column(0, "image_id", ids), part)
    with pytest.raises(InvalidError, match="leaves the image root"):
        export(captions, tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()


def test_a_format_or_source_that_is_none_is_one_line(captions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cases: list[tuple[Path, str, str | None, type[VprcapError], str]] = [
        (captions, "coco", None, InvalidError, "no format 'coco'; there are: lavpr, "),
        (captions, "lavpr", "fused", InvalidError, "--mode is for --to msls"),
        (tmp_path / "no", "lavpr", None, MissingError, "no captions in"),
        (tmp_path / "no", "msls", None, MissingError, "evaluate first"),
        (tmp_path / "images", "recalls", None, MissingError, "no results.json"),
        (tmp_path / "no", "recalls", None, MissingError, "no file"),
    ]
    for source, to, mode, error, message in cases:
        with pytest.raises(error, match=message) as refused:
            export(source, out, to=to, mode=mode)
        assert "\n" not in str(refused.value) and not out.exists()
    with pytest.raises(StorageError, match="cannot write"):
        export(captions, captions / "plan.json" / "below", to="imagefolder")


AT_KEY = "@1.00@2.00@33@U@@@_k-2@@@@@@@@.jpg"


def write_per_query(path: Path, found: dict[str, dict[str, list[str]]]) -> Path:
    rows = [
        {"image_id": query, "mode": mode, "num_positives": 1, "retrieved": retrieved}
        for mode, queries in found.items()
        for query, retrieved in queries.items()
    ]
    path.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=PER_QUERY_SCHEMA), path / "per_query.parquet")
    return path


def test_a_reader_of_msls_predictions_finds_every_key(tmp_path: Path) -> None:
    evaluation = write_per_query(
        tmp_path / "eval",
        {
            "image": {"cph/query/images/-q1.jpg": ["cph/database/images/--d.jpg", AT_KEY]},
            "fused": {
                "cph/query/images/-q1.jpg": [AT_KEY, "cph/database/images/--d.jpg"],
                "cph/query/images/_q.jpg": ["cph/database/images/--d.jpg", AT_KEY],
            },
        },
    )
    written = export(evaluation, tmp_path / "predictions.txt", to="msls", mode="fused")
    assert written.read_text() == "-q1 _k-2 --d\n_q --d _k-2\n"
    predictions = np.loadtxt(written, ndmin=2, dtype=str)  # as the challenge's script reads it
    positives = {"-q1": {"_k-2"}, "_q": {"x"}}
    hits = [predictions[row, 1] in positives[predictions[row, 0]] for row in range(2)]
    assert hits == [True, False]
    with pytest.raises(MissingError, match="predictions of image, fused; say which with --mode"):
        export(evaluation, tmp_path / "other.txt", to="msls")


def test_lines_of_unequal_length_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = {"image": {"a.jpg": ["x.jpg", "y.jpg"], "b.jpg": ["x.jpg"]}}
    written = export(
        write_per_query(tmp_path / "eval", found) / "per_query.parquet",
        tmp_path / "p.txt",
        to="msls",
    )
    assert written.read_text() == "a x y\nb x\n"
    assert "some queries have 1 predictions and others 2" in caplog.text


@pytest.mark.parametrize(
    ("retrieved", "message"),
    [
        (["000/1.jpg", "001/1.jpg"], "have the same key '1'"),
        (["b c.jpg"], "no key that MSLS could read: 'b c'"),
        (["b,c.jpg"], "no key"),
        (["b\n.jpg"], "no key"),
        ([" .jpg"], "no key"),
        (["#b.jpg"], "no key"),
    ],
)
def test_images_that_are_not_named_as_in_msls_are_refused(
    tmp_path: Path, retrieved: list[str], message: str
) -> None:
    evaluation = write_per_query(tmp_path / "eval", {"image": {"q.jpg": retrieved}})
    with pytest.raises(InvalidError, match=message):
        export(evaluation, tmp_path / "p.txt", to="msls")
    assert not (tmp_path / "p.txt").exists()


CUTS = ("1", "5", "10", "20")


def report(name: str, recall: float, partial: str | None = None) -> RecallReport:
    estimate = Estimate(recall, 0.0, 1.0)
    return RecallReport(
        name,
        partial,
        num_database=10,
        num_queries=5,
        num_solvable=4,
        rule="positives within 25 m",
        resampled="queries",
        recall={"image": dict.fromkeys(CUTS, estimate)},
        recall_all={"image": dict.fromkeys(CUTS, recall * 0.8)},
    )


def test_recalls_of_several_evaluations_are_one_list(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_json(runs / "b" / "results.json", report("tokyo247", 0.5).to_json())
    write_json(runs / "a" / "eval" / "results.json", report("pitts30k", 0.25, "9 of 10").to_json())
    rows = read_json(export(runs, tmp_path / "recalls.json", to="recalls"))
    assert [row["set"] for row in rows] == ["pitts30k", "tokyo247"]
    assert rows[0] == {
        "set": "pitts30k",
        "partial": "9 of 10",
        "variant": None,
        "rule": "positives within 25 m",
        "database": 10,
        "queries": 5,
        "solvable": 4,
        "recall": {"image": dict.fromkeys(CUTS, 0.25)},
        "recall_all": {"image": dict.fromkeys(CUTS, 0.2)},
        "source": str(runs / "a" / "eval" / "results.json"),
    }
    one = read_json(export(runs / "b" / "results.json", tmp_path / "one.json", to="recalls"))
    assert one == rows[1:]
    old = {name: value for name, value in report("x", 0.5).to_json().items() if name != "variant"}
    write_json(runs / "c" / "results.json", old)
    with pytest.raises(InvalidError, match="c/results.json was written by an older .* evaluate ag"):
        export(runs, tmp_path / "all.json", to="recalls")
    write_json(runs / "c" / "results.json", {"honest": 1})
    with pytest.raises(InvalidError, match="c/results.json is no recall report"):
        export(runs, tmp_path / "all.json", to="recalls")
