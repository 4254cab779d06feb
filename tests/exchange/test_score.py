"""Descriptors of VPR-methods-evaluation, judged here as it judges them and as slow code does."""

import json
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.manifest import ManifestInfo, build_manifest, read_manifest, write_manifest
from vprcap.stages.score import score

NUM_DATABASE, NUM_QUERIES, DIM = 40, 12, 6


def at_name(role: str, number: int, metres: float) -> str:
    return f"images/{role}/@{metres:010.2f}@0000000.00@17@T@@@key{role[0]}{number}@@@@@@@@.jpg"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Database images 10 m apart; query n at database image n."""
    database = [at_name("database", n, 10.0 * n) for n in range(NUM_DATABASE)]
    queries = [at_name("queries", n, 10.0 * n + 1) for n in range(NUM_QUERIES)]
    columns = {
        "image_id": pa.array(database + queries),
        "role": pa.array(["database"] * NUM_DATABASE + ["query"] * NUM_QUERIES),
        "easting": pa.array(
            [10.0 * n for n in range(NUM_DATABASE)] + [10.0 * n + 1 for n in range(NUM_QUERIES)]
        ),
        "northing": pa.array([0.0] * (NUM_DATABASE + NUM_QUERIES)),
    }
    built = build_manifest(columns, ManifestInfo("/data", "toy"))
    return write_manifest(built, tmp_path / "toy.parquet")


def save(folder: Path, *, unit: bool = True, rows: np.ndarray | None = None) -> np.ndarray:
    """Write what --save_descriptors writes; give the database's array."""
    chance = np.random.default_rng(7)
    database = chance.normal(size=(NUM_DATABASE, DIM)).astype(np.float32)
    database *= 1 if unit else chance.uniform(0.2, 5, (NUM_DATABASE, 1)).astype(np.float32)
    queries = database[:NUM_QUERIES] + 0.8 * chance.normal(size=(NUM_QUERIES, DIM))
    if unit:
        database /= np.linalg.norm(database, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    folder.mkdir(exist_ok=True)
    order = np.arange(NUM_DATABASE) if rows is None else rows
    np.save(folder / "database_descriptors.npy", database[order])
    np.save(folder / "queries_descriptors.npy", queries.astype(np.float32))
    return database


def retrieved(output: Path) -> list[list[str]]:
    rows = pq.read_table(output / "per_query.parquet").to_pylist()
    return [row["retrieved"] for row in rows]


@pytest.mark.parametrize("unit", [True, False])
def test_what_is_found_is_what_a_flat_l2_index_finds(
    manifest: Path, tmp_path: Path, unit: bool
) -> None:
    saved = tmp_path / "saved"
    database = save(saved, unit=unit)
    results = json.loads(score(manifest, saved, tmp_path / "out").read_text())
    index = faiss.IndexFlatL2(DIM)
    index.add(database)
    _, found = index.search(np.load(saved / "queries_descriptors.npy"), 20)
    names = [at_name("database", n, 10.0 * n) for n in range(NUM_DATABASE)]
    assert retrieved(tmp_path / "out") == [[names[n] for n in row] for row in found.tolist()]
    # Slowly: a query's positives are the database images within 25 m of it.
    hits = [
        any(abs(10 * int(n) - (10 * q + 1)) <= 25 for n in row[:5]) for q, row in enumerate(found)
    ]
    assert results["recall"]["image"]["5"]["value"] == pytest.approx(np.mean(hits))
    assert (results["num_database"], results["num_queries"]) == (NUM_DATABASE, NUM_QUERIES)


def test_named_rows_are_joined_by_name_or_by_the_key_in_an_at_name(
    manifest: Path, tmp_path: Path
) -> None:
    plain, shuffled = tmp_path / "plain", tmp_path / "shuffled"
    save(plain)
    order = np.random.default_rng(1).permutation(NUM_DATABASE)
    save(shuffled, rows=order)
    lines = [f"/elsewhere/keyd{n}.jpg" for n in order]
    lines += [f"/elsewhere/{at_name('queries', n, 10.0 * n + 1)}" for n in range(NUM_QUERIES)]
    names = tmp_path / "names.txt"
    names.write_text("\n".join(lines) + "\n")
    score(manifest, plain, tmp_path / "a")
    score(manifest, shuffled, tmp_path / "b", names=names)
    assert retrieved(tmp_path / "a") == retrieved(tmp_path / "b")


def test_a_protocol_of_fewer_queries_takes_its_rows_and_leaves_the_others(
    manifest: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    save(saved)
    whole = read_manifest(manifest)
    kept = whole.rows.slice(0, NUM_DATABASE + 3)  # sorted: database first, then queries 0, 1, 2
    columns = {name: kept[name].combine_chunks() for name in kept.schema.names}
    fewer = write_manifest(build_manifest(columns, whole.info), tmp_path / "fewer.parquet")
    with pytest.raises(InvalidError, match="and 12 queries, the set has 40 and 3; give --names"):
        score(fewer, saved, tmp_path / "out")
    names = tmp_path / "names.txt"
    names.write_text("\n".join(whole.image_ids))
    results = json.loads(score(fewer, saved, tmp_path / "out", names=names).read_text())
    assert results["num_queries"] == 3
    score(manifest, saved, tmp_path / "all")
    assert retrieved(tmp_path / "out") == retrieved(tmp_path / "all")[:3]


def test_images_without_a_row_are_refused(manifest: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    save(saved)
    lines = read_manifest(manifest).image_ids
    names = tmp_path / "names.txt"
    names.write_text("\n".join([lines[1], *lines[1:]]))
    with pytest.raises(
        InvalidError, match=r"2 of 40 images have not one row each.*1 images are named twice"
    ):
        score(manifest, saved, tmp_path / "out", names=names)
    names.write_text("\n".join(lines[1:]))
    with pytest.raises(InvalidError, match="has 51 lines, the descriptors 52 rows"):
        score(manifest, saved, tmp_path / "out", names=names)


def test_damaged_or_absent_descriptors_are_refused_in_one_line(
    manifest: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    database = save(saved)
    path = saved / "database_descriptors.npy"
    hostile = np.empty(1, dtype=object)
    cut = path.read_bytes().replace(b"(40, 6)", b"(40, 6 ")
    assert cut != path.read_bytes()
    for write, message in (
        (lambda: path.write_bytes(path.read_bytes()[:-8]), "cannot be read"),
        (lambda: np.save(path, hostile, allow_pickle=True), "cannot be read"),
        (lambda: path.write_bytes(cut), "cannot be read"),
        (lambda: np.save(path, database.astype(int)), "no table of floating-point"),
        (lambda: np.save(path, database[0]), "no table of floating-point"),
        (lambda: np.save(path, database[:, :3]), "of 3 numbers and queries of 6"),
        (
            lambda: np.save(path, np.where(database > 1e9, 0, np.nan).astype(np.float32)),
            "not finite",
        ),
        (lambda: np.save(path, database * np.float32(1e30)), r"norm is above 9.2e\+18; normalise"),
        (lambda: np.save(path, database.astype(float) * 1e300), "not finite, or its norm"),
    ):
        write()
        with pytest.raises(InvalidError, match=message) as caught:
            score(manifest, saved, tmp_path / "out")
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(MissingError, match="save descriptors with --save_descriptors"):
        score(manifest, saved, tmp_path / "out")
