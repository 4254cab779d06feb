"""The promise of the layout: everybody's reader takes `data/*.parquet` as it is."""

from collections.abc import Callable
from pathlib import Path

import datasets
import duckdb
import pandas
import polars
import pyarrow.parquet as pq
import pytest

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.caption_sets.captions import CAPTION_SCHEMA
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

NAMES = [f"{i}.jpg" for i in range(7)]


@pytest.fixture
def data(make_images: Callable[..., Path]) -> Path:
    images = make_images(NAMES)
    (images / "3.jpg").write_bytes(b"broken")
    manifest = scan(images, images.parent / "set.parquet")
    shard(manifest, shard_size=3)
    root = caption(open_job(JobOptions(manifest, captioner="fake")), WorkOptions(decode_workers=1))
    # A run under way, or one that was killed, must not disturb a reader.
    (root / "staging" / "part-00000-of-00003.x.parquet").write_bytes(b"half")
    return root / "data"


def test_pyarrow_pandas_polars_duckdb_and_datasets_read_the_same_rows(
    data: Path, tmp_path: Path
) -> None:
    files = f"{data}/*.parquet"
    query = f"select image_id, status from '{files}' order by image_id"
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    rows = {
        "pyarrow": pq.read_table(data)["status"].to_pylist(),
        "pandas": pandas.read_parquet(data)["status"].tolist(),
        "polars": polars.read_parquet(files)["status"].to_list(),
        "duckdb": [status for _, status in duckdb.sql(query).fetchall()],
        "datasets": list(loaded["train"]["status"]),
    }
    expected = ["ok", "ok", "ok", "decode_error", "ok", "ok", "ok"]
    assert rows == dict.fromkeys(rows, expected)


def test_types_and_provenance_survive_in_every_row(data: Path) -> None:
    table = pq.read_table(data)
    assert table.schema.names == CAPTION_SCHEMA.names
    for column in ("model", "prompt", "revision", "config_id", "plan_id"):
        assert table[column].null_count == 0
    frame = polars.read_parquet(f"{data}/*.parquet")
    assert frame["qa_flags"].to_list() == [[]] * 7
    assert frame["prompt"][0].startswith("Describe this place")


def test_pages_carry_checksums_and_an_index(data: Path) -> None:
    part = pq.ParquetFile(next(data.iterdir()))
    column = part.metadata.row_group(0).column(0)
    assert column.has_column_index and column.has_offset_index
    assert column.compression == "ZSTD"
