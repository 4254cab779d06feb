from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.manifest import (
    Manifest,
    ManifestInfo,
    build_manifest,
    image_path,
    read_manifest,
    write_manifest,
)

INFO = ManifestInfo("/data/set", "set")


def manifest_of(*image_ids: str, roles: list[str | None] | None = None) -> Manifest:
    columns = {"image_id": pa.array(image_ids)}
    if roles is not None:
        columns["role"] = pa.array(roles, pa.string())
    return build_manifest(columns, INFO)


def test_rows_are_sorted_by_image_id_and_complete() -> None:
    manifest = manifest_of("b.jpg", "a.jpg", roles=["query", "database"])
    assert manifest.image_ids == ["a.jpg", "b.jpg"]
    assert manifest.rows_of("query").tolist() == [1]
    assert manifest.rows["easting"].null_count == 2


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    written = manifest_of("-a.jpg", "é.jpg", roles=[None, "query"])
    found = read_manifest(write_manifest(written, tmp_path / "new" / "m.parquet"))
    assert found.info == INFO
    assert found.rows.equals(written.rows)


def test_duplicate_ids_are_refused_by_name() -> None:
    with pytest.raises(InvalidError, match=r"1 image ids occur twice, first 'a\.jpg'"):
        manifest_of("a.jpg", "b.jpg", "a.jpg")


@pytest.mark.parametrize(
    "image_id", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "./a.jpg", "a//b", ".", ""]
)
def test_a_path_that_leaves_the_root_is_refused(image_id: str) -> None:
    with pytest.raises(InvalidError, match="leaves the image root"):
        manifest_of("a.jpg", image_id)


def test_dots_inside_a_name_are_no_way_out() -> None:
    assert manifest_of("a..b/..c.jpg", "C:x\\y").image_ids == ["C:x\\y", "a..b/..c.jpg"]


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(InvalidError, match="unknown role 'reference'"):
        manifest_of("a.jpg", roles=["reference"])


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(InvalidError, match="no images found"):
        build_manifest({"image_id": pa.array([], pa.string())}, INFO)


def test_other_files_are_no_manifests(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="vprcap scan"):
        read_manifest(tmp_path / "no.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(InvalidError, match="not a readable manifest"):
        read_manifest(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InvalidError, match="no manifest"):
        read_manifest(tmp_path / "other.parquet")


def test_an_image_lies_below_its_root() -> None:
    assert image_path("/data", "a/b c.jpg") == Path("/data/a/b c.jpg")
