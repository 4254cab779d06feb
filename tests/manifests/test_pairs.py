"""Positives that are listed: a file of pairs, and a scan that takes one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from vprcap.cli import app
from vprcap.errors import InvalidError, MissingError
from vprcap.ground_truth.positives import build_task
from vprcap.manifests.layouts.pairs import read_pairs
from vprcap.manifests.manifest import read_manifest
from vprcap.manifests.rule import PositiveRule
from vprcap.stages.scan import scan

IDS = pa.array(["database/1.jpg", "database/2.jpg", "queries/007", "queries/nan", "queries/x.jpg"])
PAIRS = (
    "note,database,query\n"
    "a,database/2.jpg,queries/nan\n"
    "b,database/2.jpg,queries/007\n"
    "c,database/1.jpg,queries/nan\n"
    "d,database/2.jpg,queries/nan\n"
    "e,,queries/x.jpg\n"
)
LISTS = [None, None, ["database/2.jpg"], ["database/1.jpg", "database/2.jpg"], None]


def test_pairs_of_a_csv_become_a_list_for_each_image(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(PAIRS)
    found = read_pairs(tmp_path / "pairs.csv", IDS)
    assert found.type == pa.list_(pa.string())
    assert found.to_pylist() == LISTS


def test_pairs_of_a_parquet_are_the_same_pairs(tmp_path: Path) -> None:
    table = pa.table(
        {
            "query": pa.array(["queries/nan", "queries/007", "queries/nan", "queries/x.jpg"]),
            "database": pa.array(
                ["database/2.jpg", "database/2.jpg", "database/1.jpg", None]
            ).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "pairs.parquet")
    assert read_pairs(tmp_path / "pairs.parquet", pa.chunked_array([IDS])).to_pylist() == LISTS


def test_many_pairs_are_what_a_dictionary_of_lists_holds(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    ids = [f"{number:05d}.jpg" for number in range(2000)]
    rows = [(ids[query], ids[of]) for query, of in chance.integers(0, 2000, (20_000, 2))]
    (tmp_path / "pairs.csv").write_text(
        "query,database\n" + "".join(f"{query},{of}\n" for query, of in rows)
    )
    expected: dict[str, set[str]] = {}
    for query, of in rows:
        expected.setdefault(query, set()).add(of)
    found = read_pairs(tmp_path / "pairs.csv", pa.array(ids))
    assert found.to_pylist() == [
        sorted(expected[name]) if name in expected else None for name in ids
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query,db\na,b\n", "has no column database; it has: query, db"),
        ("", "cannot read the pairs"),
        ("query,database\na,b,c\n", "cannot read the pairs"),
        ("query,database\n,database/1.jpg\n", "1 rows of .* name no query"),
        (
            "query,database\nqueries/x.jpg,database/8.jpg\nqueries/x.jpg,database/9.jpg\n"
            "queries/x.jpg,database/9.jpg\n",
            "names 2 images in column database that are not in the set, first 'database/8.jpg'",
        ),
        ("query,database\n../x.jpg,database/1.jpg\n", "names 1 images in column query"),
    ],
)
def test_a_file_of_pairs_that_cannot_be_used_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises((InvalidError, MissingError), match=message) as caught:
        read_pairs(tmp_path / "pairs.csv", IDS)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no pairs .*none.csv"):
        read_pairs(tmp_path / "none.csv", IDS)
    (tmp_path / "pairs.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InvalidError, match="cannot read the pairs"):
        read_pairs(tmp_path / "pairs.parquet", IDS)
    (tmp_path / "pairs.csv").write_bytes(b"query,database\n\xff,\xfe\n")
    with pytest.raises(InvalidError, match="cannot read the pairs"):
        read_pairs(tmp_path / "pairs.csv", IDS)
    pq.write_table(pa.table({"query": [[1]], "database": [[2]]}), tmp_path / "pairs.parquet")
    with pytest.raises(InvalidError, match="cannot read the pairs"):
        read_pairs(tmp_path / "pairs.parquet", IDS)


@pytest.fixture
def images(make_images: Callable[..., Path]) -> Path:
    root = make_images(["database/a.jpg", "database/b.jpg", "queries/a.jpg", "queries/c.jpg"])
    (root.parent / "pairs.csv").write_text("query,database\nqueries/a.jpg,database/b.jpg\n")
    return root


def test_a_scan_with_pairs_evaluates_by_the_list(images: Path) -> None:
    output = images.parent / "set.parquet"
    manifest = read_manifest(scan(images, output, pairs=images.parent / "pairs.csv"))
    assert manifest.info.rule == PositiveRule("listed")
    assert manifest.rows["role"].to_pylist() == ["database", "database", "query", "query"]
    assert [own.tolist() for own in build_task(manifest).positives] == [[1], []]


def test_pairs_take_their_roles_from_a_table_where_there_is_one(
    make_images: Callable[..., Path],
) -> None:
    root = make_images(["a.jpg", "b.jpg", "c.jpg"])
    table, pairs = root.parent / "table.csv", root.parent / "pairs.csv"
    table.write_text("path,role,place_id\na.jpg,query,1\nb.jpg,database,1\nc.jpg,database,2\n")
    pairs.write_text("query,database\na.jpg,c.jpg\n")
    manifest = read_manifest(scan(root, root.parent / "m.parquet", table=table, pairs=pairs))
    assert [own.tolist() for own in build_task(manifest).positives] == [[1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "database/b.jpg,queries/a.jpg",
            "1 images in column query .* first 'database/b.jpg'; .* swa",
        ),
        ("queries/a.jpg,queries/c.jpg", "1 positives .* no database images, first 'queries/c.jpg'"),
    ],
)
def test_swapped_or_misplaced_pairs_are_refused_by_a_scan(
    images: Path, text: str, message: str
) -> None:
    pairs = images.parent / "pairs.csv"
    pairs.write_text(f"query,database\n{text}\n")
    with pytest.raises(InvalidError, match=message):
        scan(images, images.parent / "m.parquet", pairs=pairs)
    assert not (images.parent / "m.parquet").exists()


def test_pairs_and_another_rule_exclude_one_another(images: Path) -> None:
    pairs, output = images.parent / "pairs.csv", images.parent / "m.parquet"
    with pytest.raises(InvalidError, match="so positives of the same place cannot hold"):
        scan(images, output, pairs=pairs, rule=PositiveRule("place"))
    with pytest.raises(InvalidError, match="give --pairs FILE"):
        scan(images, output, rule=PositiveRule("listed"))


def test_the_command_line_takes_pairs_for_ones_own_images_alone(images: Path) -> None:
    runner, pairs = CliRunner(), str(images.parent / "pairs.csv")
    output = str(images.parent / "set.parquet")
    result = runner.invoke(app, ["scan", str(images), "--pairs", pairs, "--output", output])
    assert result.exit_code == 0, result.output
    assert "2 database, 2 queries), positives as listed" in result.output
    checked = ["scan", str(images), "--pairs", pairs, "--output", output, "--check", "--json"]
    result = runner.invoke(app, checked)
    assert result.exit_code == 0 and json.loads(result.stdout), result.output
    named = ["scan", "--dataset", "sped", "--root", str(images), "--pairs", pairs]
    assert isinstance(runner.invoke(app, named).exception, InvalidError)
    beside = ["scan", output, "--check", "--pairs", pairs]
    assert isinstance(runner.invoke(app, beside).exception, InvalidError)
