import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vprcap.errors import InvalidError, MissingError, StaleArtefactError, VprcapError
from vprcap.manifests.manifest import ManifestInfo, build_manifest, write_manifest
from vprcap.retrieval.descriptors import Descriptors, write_descriptors
from vprcap.retrieval.index import KINDS, IndexModel, read_index
from vprcap.retrieval.memory import resident_bytes
from vprcap.retrieval.search import nearest
from vprcap.stages.index import index
from vprcap.stages.search import search

GB = 10**9
PLENTY = 64 * GB
"""The process of the tests holds far more than the index at hand."""
DIM = 16
MODEL = IndexModel("runs/combiner", "ab" * 32, "image encoder", "text encoder")


def write_manifest_of(path: Path, roles: list[str | None]) -> Path:
    count = len(roles)
    columns = {
        "image_id": pa.array([f"{row:05d}.jpg" for row in range(count)]),
        "role": pa.array(roles, pa.string()),
        "easting": pa.array(np.arange(count, dtype=float)),
        "northing": pa.array(np.zeros(count)),
    }
    return write_manifest(build_manifest(columns, ManifestInfo("images", path.stem)), path)


def unit(rows: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Index vectors; all of them are of the database."""

    def make_index(vectors: np.ndarray, kind: str = "flat", memory: int = PLENTY) -> Path:
        manifest = tmp_path / f"set-{len(vectors)}.parquet"
        if not manifest.exists():
            write_manifest_of(manifest, ["database"] * len(vectors))
        present = np.ones(len(vectors), dtype=bool)
        path = write_descriptors(Descriptors(vectors, present), tmp_path / "d.safetensors")
        output = tmp_path / f"index-{kind}"
        return index(path, manifest, output, kind=kind, mode="fused", memory=memory, model=MODEL)

    return make_index


Make = Callable[..., Path]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_an_exact_duplicate_first(make: Make, kind: str) -> None:
    database = unit(12_000)
    rows = np.array([0, 77, 11_999])
    found = search(make(database, kind), database[rows], 5, memory=PLENTY)
    assert found.rows[:, 0].tolist() == rows.tolist()
    np.testing.assert_allclose(found.similarity[:, 0], 1, rtol=1e-6)
    assert np.all(np.diff(found.similarity, axis=1) <= 0)


@pytest.mark.parametrize(("kind", "least"), [("flat", 1.0), ("hnsw", 0.95), ("ivf-pq", 0.4)])
def test_approximate_kinds_find_most_of_what_exact_search_finds(
    make: Make, kind: str, least: float
) -> None:
    database, queries = unit(12_000), unit(50, seed=1)
    exact = nearest(database, queries, 10)
    found = search(make(database, kind), queries, 10, memory=PLENTY).rows
    overlap = np.mean([len(np.intersect1d(*pair)) / 10 for pair in zip(exact, found, strict=True)])
    assert overlap >= least


def test_flat_search_under_any_memory_equals_search_in_memory(make: Make) -> None:
    database, queries = unit(5000), unit(20, seed=1)
    for extra in (250_000_000, 2 * GB):
        memory = resident_bytes() + extra
        found = search(make(database, memory=memory), queries, 7, memory=memory)
        np.testing.assert_array_equal(found.rows, nearest(database, queries, 7))


def test_a_memory_that_cannot_work_is_refused_and_the_old_index_kept(make: Make) -> None:
    database = unit(100)
    root = make(database)
    with pytest.raises(InvalidError, match="--memory 1MB is too little: building an index needs"):
        make(database, memory=10**6)
    with pytest.raises(InvalidError, match=r"searching needs .* say --memory .* or more"):
        search(root, database[:1], 5, memory=10**6)
    with pytest.raises(InvalidError, match=r"hnsw of 12,000 descriptors of 16 numbers needs"):
        make(unit(12_000), "hnsw", memory=resident_bytes() + 40_000_000)
    assert search(root, database[:1], 1, memory=PLENTY).rows.tolist() == [[0]]


@pytest.mark.parametrize("kind", ["flat", "hnsw", "binary"])
def test_more_than_there_is_gives_all_there_is(make: Make, kind: str) -> None:
    database = unit(30)
    found = search(make(database, kind), database[:2], 500, memory=PLENTY)
    np.testing.assert_array_equal(found.rows, nearest(database, database[:2], 30))


def test_only_database_images_with_a_descriptor_are_indexed(tmp_path: Path) -> None:
    roles = ["query", "database", None, "database", "database"]
    manifest = write_manifest_of(tmp_path / "m.parquet", roles)
    vectors = unit(5)
    present = np.array([True, True, True, False, True])
    path = write_descriptors(Descriptors(vectors, present), tmp_path / "d")
    root = index(path, manifest, tmp_path / "i", mode="image", memory=PLENTY)
    images = read_index(root).images()
    assert images["image_id"].to_pylist() == ["00001.jpg", "00004.jpg"]
    assert images["easting"].to_pylist() == [1, 4]
    found = search(root, vectors[[4, 1]], 1, memory=PLENTY)
    assert found.rows.tolist() == [[1], [0]]


def test_every_image_is_indexed_where_none_has_a_role(tmp_path: Path) -> None:
    manifest = write_manifest_of(tmp_path / "m.parquet", [None] * 4)
    path = write_descriptors(Descriptors(unit(4), np.ones(4, dtype=bool)), tmp_path / "d")
    assert (
        read_index(index(path, manifest, tmp_path / "i", mode="image", memory=PLENTY)).info.count
        == 4
    )


def test_nothing_to_index_unknown_kinds_and_other_manifests_are_refused(tmp_path: Path) -> None:
    manifest = write_manifest_of(tmp_path / "m.parquet", ["database", "query"])
    none = write_descriptors(Descriptors(unit(2), np.array([False, True])), tmp_path / "n")
    other = write_descriptors(Descriptors(unit(3), np.ones(3, dtype=bool)), tmp_path / "o")
    options = {"mode": "fused", "memory": PLENTY}
    with pytest.raises(InvalidError, match="nothing to index: none of the 1 database images of m"):
        index(none, manifest, tmp_path / "i", **options)
    with pytest.raises(InvalidError, match="describes 3 images, m has 2"):
        index(other, manifest, tmp_path / "i", **options)
    with pytest.raises(InvalidError, match=r"no index kind 'lsh'; there are: flat, hnsw"):
        index(none, manifest, tmp_path / "i", kind="lsh", **options)
    assert not (tmp_path / "i").exists()


def test_descriptors_that_are_not_finite_are_named(tmp_path: Path) -> None:
    manifest = write_manifest_of(tmp_path / "m.parquet", ["query", "database", "database"])
    vectors = unit(3)
    vectors[2, 5] = np.nan
    path = write_descriptors(Descriptors(vectors, np.ones(3, dtype=bool)), tmp_path / "d")
    with pytest.raises(InvalidError, match=r"the descriptor of '00002\.jpg' is not finite"):
        index(path, manifest, tmp_path / "i", mode="fused", memory=PLENTY)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["d", "m.parquet"]


def test_ivf_pq_of_too_few_descriptors_says_what_would_do(make: Make) -> None:
    with pytest.raises(InvalidError, match=r"at least 9,984 .* here are 50; choose --kind flat"):
        make(unit(50), "ivf-pq")


def test_a_folder_that_holds_something_else_is_left_alone(make: Make, tmp_path: Path) -> None:
    (tmp_path / "index-flat").mkdir()
    (tmp_path / "index-flat/thesis.tex").write_text("years of work")
    with pytest.raises(InvalidError, match=r"holds 'thesis\.tex', which is no index"):
        make(unit(5))
    assert (tmp_path / "index-flat/thesis.tex").read_text() == "years of work"


def test_an_index_says_what_it_was_made_of(make: Make) -> None:
    info = json.loads((make(unit(9), "binary") / "index.json").read_text())
    assert info["kind"] == "binary" and info["mode"] == "fused" and info["manifest"] == "set-9"
    assert (info["count"], info["dim"], info["metric"]) == (9, DIM, "inner product")
    assert info["model"]["fingerprint"] == "ab" * 32
    assert len(info["files"]["images.parquet"]["sha256"]) == 64
    assert info["files"]["codes.npy"]["bytes"] == 128 + 9 * DIM // 8


def test_an_index_that_is_made_again_replaces_the_old_one(make: Make) -> None:
    make(unit(9), "hnsw")
    root = make(unit(20, seed=3), "hnsw")
    assert read_index(root).info.count == 20
    assert not list(root.parent.glob(".*.tmp"))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_and_lost_files_are_named_in_one_line(make: Make, kind: str) -> None:
    database = unit(10_000)
    root = make(database, kind)
    for path in sorted(root.iterdir()):
        whole = path.read_bytes()
        hashed = path.name in ("index.faiss", "images.parquet", "centre.npy", "index.json")
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 0xFF
        damages = [whole[: len(whole) // 2], b"", *([bytes(flipped)] if hashed else [])]
        for damaged in damages:
            path.write_bytes(damaged)
            with pytest.raises(VprcapError, match=path.name) as raised:
                search(root, database[:1], 3, memory=PLENTY)
            assert "\n" not in str(raised.value)
        path.unlink()
        with pytest.raises(MissingError):
            search(root, database[:1], 3, memory=PLENTY)
        path.write_bytes(whole)
    assert search(root, database[:1], 1, memory=PLENTY).rows.tolist() == [[0]]


def test_what_is_no_index_is_refused(make: Make, tmp_path: Path) -> None:
    pickled = tmp_path / "index.pkl"
    pickled.write_bytes(pickle.dumps({"vectors": [1]}))
    with pytest.raises(InvalidError, match=r"index\.pkl is a file; an index is a folder"):
        read_index(pickled)
    with pytest.raises(MissingError, match="no finished index in"):
        read_index(tmp_path)
    root = make(unit(5))
    (root / "index.json").write_text("[1]")
    with pytest.raises(InvalidError, match="describes no index"):
        read_index(root)


def test_an_index_of_a_later_format_is_refused(make: Make) -> None:
    root = make(unit(5))
    info = json.loads((root / "index.json").read_text())
    (root / "index.json").write_text(json.dumps({**info, "format": 2}))
    with pytest.raises(StaleArtefactError, match="has format 2, not 1"):
        read_index(root)


def test_image_ids_that_leave_the_image_root_are_refused(make: Make) -> None:
    root = make(unit(1))
    hostile = pa.table({"image_id": ["../../etc/passwd"], "easting": [0.0], "northing": [0.0]})
    pq.write_table(hostile, root / "images.parquet")
    info = json.loads((root / "index.json").read_text())
    from vprcap.retrieval.index import _state

    info["files"]["images.parquet"] = _state(root / "images.parquet")
    (root / "index.json").write_text(json.dumps(info))
    with pytest.raises(InvalidError, match=r"'\.\./\.\./etc/passwd' leaves the image root"):
        read_index(root).images()


def test_queries_of_another_length_are_refused(make: Make) -> None:
    with pytest.raises(InvalidError, match=r"queries have 8 numbers, the descriptors of .* 16"):
        search(make(unit(5)), unit(2)[:, :8], 1, memory=PLENTY)
