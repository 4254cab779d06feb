"""Datasets of frames and lists that are incomplete, swapped, misaligned or damaged."""

import logging
from pathlib import Path

import numpy as np
import pytest
from frame_miniatures import (
    MINIATURES,
    numbered,
    write_ground_truth,
    write_images,
)
from scanning import positives, rows, scanned

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.layouts import vpr_bench as vpr_bench_layout
from vprcap.manifests.manifest import Manifest
from vprcap.manifests.recipe import load_recipe
from vprcap.stages.scan import scan_dataset


def test_a_frame_that_winter_lacks_shifts_no_other_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    MINIATURES["nordland-patch-netvlad"](tmp_path)
    (tmp_path / "nordland/winter/images-00204.png").unlink()
    manifest = scanned("nordland-patch-netvlad", tmp_path)
    assert rows(manifest, "frame")["winter/images-00309.png"] == ("query", 19)
    assert "winter lacks 1 of 20 listed images, first images-00204.png" in caplog.text
    assert manifest.info.partial == "20 of 27592 database images, 19 of 27592 query images"


def test_lists_that_do_not_match_line_by_line_are_refused(tmp_path: Path) -> None:
    MINIATURES["nordland-patch-netvlad"](tmp_path)
    path = tmp_path / "nordland/nordland_imageNames_query.txt"
    lines = path.read_text().splitlines(keepends=True)
    for text, message in (
        ("".join(lines[:2] + lines[3:]), "line 3: 'images-00204.png' and 'images-00205.png'"),
        ("".join(lines[:-1]), "20 and 19 names"),
        ("".join(lines + lines[:1]), "lists 1 names twice"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidError, match=message) as caught:
            scanned("nordland-patch-netvlad", tmp_path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidError, match="cannot read the list"):
        scanned("nordland-patch-netvlad", tmp_path)


@pytest.mark.parametrize("name", sorted(set(MINIATURES) - {"amstertime", "gardens-point-tn"}))
def test_a_part_of_a_dataset_is_refused_by_its_counts(tmp_path: Path, name: str) -> None:
    MINIATURES[name](tmp_path)
    recipe = load_recipe(name)
    expected = recipe.splits[recipe.default_split].counts
    message = rf"of {expected['database']} database images, .* of {expected['query']} query images"
    with pytest.raises(InvalidError, match=message) as caught:
        scan_dataset(name, tmp_path / recipe.folder, tmp_path / "m.parquet")
    assert "\n" not in str(caught.value) and not (tmp_path / "m.parquet").exists()


def test_a_verified_count_of_one_role_is_enough_to_refuse(tmp_path: Path) -> None:
    MINIATURES["gardens-point-tn"](tmp_path)
    with pytest.raises(InvalidError, match="has 7 of 400 query images"):
        scan_dataset("gardens-point-tn", tmp_path / "gardens-point-tn", tmp_path / "m.parquet")


def test_unverified_counts_of_amstertime_only_warn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    MINIATURES["amstertime"](tmp_path)
    with caplog.at_level(logging.WARNING):
        scan_dataset("amstertime", tmp_path / "amstertime", tmp_path / "m.parquet")
    assert "3 of 1231 database images" in caplog.text


def test_swapped_query_and_database_of_nordland_are_recognised(tmp_path: Path) -> None:
    MINIATURES["nordland-vprbench"](tmp_path)
    text = (Path(__file__).parents[2] / "manifests/nordland-vprbench.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(text.replace("27592, query = 2760, solvable = 2760", "22, query = 3"))
    folder = tmp_path / "nordland"
    scan_dataset(str(own), folder, tmp_path / "m.parquet")
    (folder / "ref").rename(folder / "other")
    (folder / "query").rename(folder / "ref")
    (folder / "other").rename(folder / "query")
    with pytest.raises(InvalidError, match="likely cause: database and queries are swapped"):
        scan_dataset(str(own), folder, tmp_path / "m.parquet")


def test_a_name_without_a_number_is_refused_by_name(tmp_path: Path) -> None:
    MINIATURES["nordland-vprbench"](tmp_path)
    for name in ("cover.jpg", "12345678901.jpg"):
        write_images(tmp_path / "nordland/ref", [name])
        with pytest.raises(InvalidError, match=f"'ref/{name}' has no number of up to nine digits"):
            scanned("nordland-vprbench", tmp_path)
        (tmp_path / "nordland/ref" / name).unlink()


def test_metres_of_another_protocol_are_not_taken_for_frames(tmp_path: Path) -> None:
    images = tmp_path / "nordland/images/test"
    names = [f"@0@000{at}@@@@@{n}@@@@@@@@.jpg" for n, at in enumerate(("00.0", "03.0", "06.0"))]
    write_images(images / "database", names)
    write_images(images / "queries", names)
    with pytest.raises(InvalidError, match=r"database/@0@00003.0@.* and 3 others .* another one"):
        scanned("nordland-10", tmp_path)


def test_a_folder_that_is_not_there_says_how_to_get_the_dataset(tmp_path: Path) -> None:
    MINIATURES["nordland-facil"](tmp_path)
    section = tmp_path / "nordland/test/winter_images_test/section2"
    section.rename(tmp_path / "elsewhere")
    with pytest.raises(MissingError, match=r"no folder .*winter_images_test/section2"):
        scanned("nordland-facil", tmp_path)
    with pytest.raises(MissingError, match=r"looked for ref and query; download Nordland of VPR-"):
        scanned("nordland-vprbench", tmp_path)


def vpr_bench(root: Path, ground_truth: list[tuple[int, list[int]]]) -> Manifest:
    """Scan two references and two queries with this ground truth."""
    folder = root / "essex3in1"
    write_images(folder / "ref", numbered(range(2)))
    write_images(folder / "query", numbered(range(2)))
    write_ground_truth(folder / "ground_truth_new.npy", ground_truth)
    return scanned("essex3in1", root)


def test_queries_beyond_the_last_are_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = positives(vpr_bench(tmp_path, [(0, [1]), (5, [0]), (7, [0]), (1, [-1, 0, 200])]))
    assert found == {
        "query/0000000.jpg": ["ref/0000001.jpg"],
        "query/0000001.jpg": ["ref/0000000.jpg"],
    }
    assert "dropped 2 queries that are not in query/, first 5" in caplog.text
    assert "dropped 2 references that are not in ref/, first -1" in caplog.text


def test_a_query_without_a_row_is_counted_and_has_no_positives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = positives(vpr_bench(tmp_path, [(1, [0])]))
    assert found == {"query/0000000.jpg": [], "query/0000001.jpg": ["ref/0000000.jpg"]}
    assert "1 images of query/ have no row, first 0" in caplog.text


def test_a_missing_reference_moves_no_other_positive(tmp_path: Path) -> None:
    vpr_bench(tmp_path, [(0, [0]), (1, [1])])
    (tmp_path / "essex3in1/ref/0000000.jpg").unlink()
    assert positives(scanned("essex3in1", tmp_path)) == {
        "query/0000000.jpg": [],
        "query/0000001.jpg": ["ref/0000001.jpg"],
    }


def cells_of_matrices() -> np.ndarray:
    """An array that prints in several lines."""
    array = np.empty((1, 2), dtype=object)
    array[0, 0], array[0, 1] = 0, np.array([[0.5], [1.5]])
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.arange(6).reshape(2, 3), "its shape is .2, 3."),
        (np.array([[0, "a"], [1, "b"]], dtype=object), "is no whole number"),
        (np.array([[0, 0.5], [1, 1]], dtype=object), "is no whole number"),
        (np.array([[0, float("inf")], [1, 1]], dtype=object), "is no whole number"),
        (np.array([[0, float("nan")], [1, 1]], dtype=object), "is no whole number"),
        (cells_of_matrices(), "is no whole number"),
        (np.array([[0, 0], [0, 1]]), "lists 1 queries twice"),
        (np.array([[0, None], [1, 1]], dtype=object), "no ground truth of VPR-Bench"),
        (np.array([[0, 1j], [1, 1]], dtype=object), "no ground truth of VPR-Bench|asks for"),
    ],
)
def test_ground_truth_of_another_form_is_refused(
    tmp_path: Path, array: np.ndarray, message: str
) -> None:
    vpr_bench(tmp_path, [(0, [0])])
    np.save(tmp_path / "essex3in1/ground_truth_new.npy", array, allow_pickle=True)
    with pytest.raises(InvalidError, match=message) as caught:
        scanned("essex3in1", tmp_path)
    assert "\n" not in str(caught.value)


def test_ground_truth_that_would_fill_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vpr_bench_layout, "MAX_REFERENCES", 100)
    shared = [0] * 40
    assert vpr_bench(tmp_path, [(query, shared) for query in range(2)]).rows.num_rows == 4
    with pytest.raises(InvalidError, match="lists more than 100 references"):
        vpr_bench(tmp_path, [(query, shared) for query in range(3)])
    with pytest.raises(InvalidError, match="is no list of numbers"):
        vpr_bench(tmp_path, [(0, [shared] * 40)])  # type: ignore[list-item]


def test_ground_truth_with_a_class_in_it_is_not_run(tmp_path: Path) -> None:
    vpr_bench(tmp_path, [(0, [0])])
    array = np.array([[0, Path("x")]], dtype=object)
    np.save(tmp_path / "essex3in1/ground_truth_new.npy", array, allow_pickle=True)
    with pytest.raises(InvalidError, match="asks for pathlib.* it was not run"):
        scanned("essex3in1", tmp_path)


def test_two_images_of_one_number_are_refused(tmp_path: Path) -> None:
    vpr_bench(tmp_path, [(0, [0])])
    write_images(tmp_path / "essex3in1/ref", ["0000001.png"])
    with pytest.raises(InvalidError, match="'ref/0000001.png' and 'ref/0000001.jpg' have one num"):
        scanned("essex3in1", tmp_path)


def test_a_pose_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    MINIATURES["baidu-mall-10m"](tmp_path)
    pose = tmp_path / "baidu-mall/training_gt/DSC00010.camera"
    for text in ("", "1 2 3\n", "\n" * 7 + "1 nan 3\n1920 1080\n", "\n" * 7 + "1 2\n1920 1080\n"):
        pose.write_text(text)
        with pytest.raises(InvalidError, match=r"DSC00010.camera holds no three coordinates"):
            scanned("baidu-mall-10m", tmp_path)
    pose.unlink()
    with pytest.raises(MissingError, match=r"no .*DSC00010.camera, the pose of training_images"):
        scanned("baidu-mall-10m", tmp_path)
