"""Datasets whose ground truth is a number or a list: their manifests and positives by hand."""

import logging
from pathlib import Path

import numpy as np
import pytest
from frame_miniatures import (
    LISTED,
    MINIATURES,
    NORDLAND_10,
    numbered,
    write_ground_truth,
    write_images,
)

from vprcap.errors import InvalidError, MissingError
from vprcap.layouts import vpr_bench as vpr_bench_layout
from vprcap.manifest import Manifest, read_manifest
from vprcap.positives import build_task
from vprcap.recipe import load_recipe
from vprcap.stages.scan import scan_dataset

Positives = dict[str, list[str]]


def scanned(name: str, root: Path, split: str | None = None) -> Manifest:
    folder = root / load_recipe(name).folder
    output = root / "manifest.parquet"
    return read_manifest(scan_dataset(name, folder, output, split=split, allow_partial=True))


def miniature(name: str, root: Path, split: str | None = None) -> Manifest:
    MINIATURES[name](root)
    return scanned(name, root, split)


def rows(manifest: Manifest, column: str) -> dict[str, tuple[str | None, object]]:
    """Say the role and one other column of every image."""
    return {row["image_id"]: (row["role"], row[column]) for row in manifest.rows.to_pylist()}


def positives(manifest: Manifest) -> Positives:
    """Say the positives of every query, by name."""
    task, ids = build_task(manifest), manifest.image_ids
    return {
        ids[query]: [ids[row] for row in task.database[own]]
        for query, own in zip(task.queries, task.positives, strict=True)
    }


def test_nordland_of_vpr_bench_asks_with_every_tenth_frame(tmp_path: Path) -> None:
    manifest = miniature("nordland-vprbench", tmp_path)
    assert rows(manifest, "frame") == {
        **{f"ref/00000{frame:02d}.jpg": ("database", frame) for frame in range(22)},
        "query/0000000.jpg": ("query", 0),
        "query/0000001.jpg": ("query", 10),
        "query/0000002.jpg": ("query", 20),
    }
    assert positives(manifest) == {
        "query/0000000.jpg": ["ref/0000000.jpg", "ref/0000001.jpg"],
        "query/0000001.jpg": ["ref/0000009.jpg", "ref/0000010.jpg", "ref/0000011.jpg"],
        "query/0000002.jpg": ["ref/0000019.jpg", "ref/0000020.jpg", "ref/0000021.jpg"],
    }


def test_the_whole_of_nordland_in_vpr_bench_has_a_positive_for_every_query() -> None:
    # The last query is frame 27,590 of 0 to 27,591.
    split = load_recipe("nordland-vprbench").splits["test"]
    assert split.counts["solvable"] == len(range(0, 27_592, 10))


def test_invented_metres_are_read_as_frames(tmp_path: Path) -> None:
    manifest = miniature("nordland-10", tmp_path)

    def name(role: str, frame: int) -> str:
        return f"images/test/{role}/@0@{NORDLAND_10[frame]}@@@@@{frame}@@@@@@@@.jpg"

    assert rows(manifest, "frame") == {
        **{name("database", frame): ("database", frame) for frame in NORDLAND_10},
        **{name("queries", frame): ("query", frame) for frame in (0, 11, 27591)},
    }
    assert manifest.rows["northing"].null_count == manifest.rows.num_rows
    assert positives(manifest) == {
        name("queries", 0): [name("database", frame) for frame in (0, 1, 10)],
        name("queries", 11): [name("database", frame) for frame in (1, 10, 11, 21)],
        name("queries", 27591): [name("database", frame) for frame in (27581, 27591)],
    }


def test_every_frame_of_nordland_survives_its_invented_metres(tmp_path: Path) -> None:
    metres = np.arange(27_592) * 25 / 10.5
    for decimals in (np.floor(metres * 10) / 10, np.round(metres, 1)):
        spacing = load_recipe("nordland-10").splits["test"].layouts[0].fields["metres_apart"]
        assert np.rint(decimals / spacing).tolist() == list(range(27_592))


def test_a_frame_is_its_place_in_the_list_not_its_number_nor_its_place_in_a_folder(
    tmp_path: Path,
) -> None:
    manifest = miniature("nordland-patch-netvlad", tmp_path)
    assert rows(manifest, "frame") == {
        f"{season}/{name}": (role, frame)
        for season, role in (("summer", "database"), ("winter", "query"))
        for frame, name in enumerate(LISTED)
    }
    found = positives(manifest)
    # Frame 9 is the last before the tunnel, number 211; number 306 is frame 16.
    assert found["winter/images-00211.png"] == [f"summer/{name}" for name in LISTED[2:17]]
    assert found["winter/images-00202.png"] == [f"summer/{name}" for name in LISTED[:8]]
    assert len(found) == 20


def test_seven_frames_are_what_patch_netvlads_distance_of_ten_means() -> None:
    # Frame i is at (i, i): the ground truth as the field computes it.
    at = np.stack([np.arange(40.0)] * 2, axis=1)
    within = np.flatnonzero(np.linalg.norm(at - at[20], axis=1) <= 10)
    assert within.tolist() == list(range(13, 28))
    assert load_recipe("nordland-patch-netvlad").rule.frames == 7


@pytest.mark.parametrize("name", ["nordland-10", "nordland-patch-netvlad"])
def test_the_archives_of_nordland_are_read_with_their_list_of_clean_names(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "nordland"
    write_images(folder / "summer", [f"images-0000{frame}.png" for frame in range(1, 6)])
    write_images(folder / "winter", [f"images-0000{frame}.png" for frame in (2, 4, 5)])
    (folder / "cleanImageNames.txt").write_bytes(
        b"images-00002.png\r\nimages-00004.png\r\nimages-00005.png\r\n"
    )
    assert rows(scanned(name, tmp_path), "frame") == {
        "summer/images-00002.png": ("database", 0),
        "summer/images-00004.png": ("database", 1),
        "summer/images-00005.png": ("database", 2),
        "winter/images-00002.png": ("query", 0),
        "winter/images-00004.png": ("query", 1),
        "winter/images-00005.png": ("query", 2),
    }


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


def test_sections_of_a_traversal_do_not_touch(tmp_path: Path) -> None:
    manifest = miniature("nordland-facil", tmp_path)
    summer, winter = "test/summer_images_test", "test/winter_images_test"
    found = positives(manifest)
    assert found[f"{summer}/section1/1149.png"] == [
        f"{winter}/section1/{number}.png" for number in (1147, 1148, 1149)
    ]
    assert found[f"{summer}/section2/1150.png"] == [
        f"{winter}/section2/{number}.png" for number in (1150, 1151, 1152)
    ]
    assert found[f"{summer}/section3/2300.png"] == [f"{winter}/section3/2300.png"]
    assert len(found) == 8
    turned = positives(scanned("nordland-facil", tmp_path, "summer--winter"))
    assert turned[f"{winter}/section1/1146.png"] == [
        f"{summer}/section1/{number}.png" for number in (1146, 1147, 1148)
    ]


def test_a_camera_of_sped_is_a_place_in_every_layout(tmp_path: Path) -> None:
    manifest = miniature("sped", tmp_path)
    assert rows(manifest, "place_id") == {
        f"SPEDTEST/{part}/000000{number}.jpg": (role, str(number))
        for part, role in (("ref", "database"), ("query", "query"))
        for number in range(4)
    }
    assert positives(manifest) == {
        f"SPEDTEST/query/000000{number}.jpg": [f"SPEDTEST/ref/000000{number}.jpg"]
        for number in range(4)
    }
    formatted = tmp_path / "formatted/sped/images/test"
    for part in ("database", "queries"):
        write_images(
            formatted / part,
            ["@0@0@@@@@0000000@@@@@@@@.jpg", "@0@606000@@@@@0000606@@@@@@@@.jpg"],
        )
    assert rows(scanned("sped", tmp_path / "formatted"), "place_id") == {
        "images/test/database/@0@0@@@@@0000000@@@@@@@@.jpg": ("database", "0"),
        "images/test/database/@0@606000@@@@@0000606@@@@@@@@.jpg": ("database", "606"),
        "images/test/queries/@0@0@@@@@0000000@@@@@@@@.jpg": ("query", "0"),
        "images/test/queries/@0@606000@@@@@0000606@@@@@@@@.jpg": ("query", "606"),
    }


def test_listed_ground_truth_loses_what_does_not_exist_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = miniature("essex3in1", tmp_path)
    assert rows(manifest, "positives") == {
        **{f"ref/000000{number}.jpg": ("database", None) for number in range(4)},
        "query/0000000.jpg": ("query", ["ref/0000000.jpg"]),
        "query/0000001.jpg": ("query", ["ref/0000000.jpg", "ref/0000001.jpg"]),
        "query/0000002.jpg": ("query", ["ref/0000002.jpg", "ref/0000003.jpg"]),
        "query/0000003.jpg": ("query", []),
    }
    assert build_task(manifest).solvable.tolist() == [True, True, True, False]
    assert "dropped 1 references that are not in ref/, first 4" in caplog.text
    assert "1 queries show no place of the database (-1)" in caplog.text


def test_true_negatives_have_no_positives_and_stay_queries(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    by_hand = {0: (0, 1, 2), 1: (0, 1, 2, 3), 2: (0, 1, 2, 3), 3: (1, 2, 3), 4: (), 5: (), 6: ()}
    assert positives(miniature("gardens-point-tn", tmp_path)) == {
        f"query/000000{query}.jpg": [f"ref/000000{number}.jpg" for number in own]
        for query, own in by_hand.items()
    }
    assert "3 queries show no place of the database (-1)" in caplog.text
    assert "dropped 3 references that are not in ref/, first 4" in caplog.text


@pytest.mark.parametrize(("name", "tolerance"), [(f"gardens-point-{n}", n) for n in (0, 2, 8)])
def test_gardens_point_takes_any_two_walks_at_each_tolerance(
    tmp_path: Path, name: str, tolerance: int
) -> None:
    MINIATURES[name](tmp_path)
    by_hand = {0: ((0,), (5,)), 2: ((0, 1, 2), (3, 4, 5, 6, 7)), 8: (range(9), range(12))}
    first, sixth = by_hand[tolerance]
    walks = ("day-left", "day-right", "night-right")
    for database in walks:
        for queries in set(walks) - {database}:
            manifest = scanned(name, tmp_path, f"{database}--{queries}")
            ours, theirs = database.replace("-", "_"), queries.replace("-", "_")
            found = positives(manifest)
            assert len(found) == 12 and manifest.rows.num_rows == 24
            assert found[f"{theirs}/Image000.jpg"] == [f"{ours}/Image{n:03d}.jpg" for n in first]
            assert found[f"{theirs}/Image005.jpg"] == [f"{ours}/Image{n:03d}.jpg" for n in sixth]


def test_gardens_point_is_read_as_vpr_bench_ships_it(tmp_path: Path) -> None:
    write_images(tmp_path / "gardens-point/ref", numbered(range(3)))
    write_images(tmp_path / "gardens-point/query", numbered(range(3)))
    assert positives(scanned("gardens-point-2", tmp_path, "vpr-bench")) == {
        f"query/000000{query}.jpg": [f"ref/000000{number}.jpg" for number in range(3)]
        for query in range(3)
    }


def test_amstertime_pairs_by_name_in_both_layouts(tmp_path: Path) -> None:
    manifest = miniature("amstertime", tmp_path)
    assert positives(manifest) == {
        "old/1230.jpg": ["new/1230.png"],
        "old/7.jpg": ["new/7.png"],
        "old/70.jpg": ["new/70.png"],
    }
    assert rows(manifest, "place_id")["old/70.jpg"] == ("query", "70")
    assert manifest.info.partial is None, "no count of AmsterTime was verified, so none is enforced"
    formatted = tmp_path / "formatted/amstertime/images/test"
    for part in ("database", "queries"):
        write_images(formatted / part, ["@0@7000@@@@@7@@@@@@@@.jpg", "@0@70000@@@@@70@@@@@@@@.jpg"])
    assert positives(scanned("amstertime", tmp_path / "formatted")) == {
        "images/test/queries/@0@7000@@@@@7@@@@@@@@.jpg": [
            "images/test/database/@0@7000@@@@@7@@@@@@@@.jpg"
        ],
        "images/test/queries/@0@70000@@@@@70@@@@@@@@.jpg": [
            "images/test/database/@0@70000@@@@@70@@@@@@@@.jpg"
        ],
    }


def test_baidu_mall_has_the_radius_of_its_name(tmp_path: Path) -> None:
    MINIATURES["baidu-mall-10m"](tmp_path)
    database, queries = "training_images_undistort", "query_images_undistort"
    near = scanned("baidu-mall-10m", tmp_path)
    assert rows(near, "easting")[f"{database}/DSC00010.jpg"] == ("database", -10.0)
    assert rows(near, "northing")[f"{queries}/IMG_10.jpg"] == ("query", -15.5)
    assert positives(near) == {
        f"{queries}/IMG_2.jpg": [f"{database}/DSC00009.jpg", f"{database}/DSC00010.jpg"],
        f"{queries}/IMG_10.jpg": [f"{database}/DSC00100.jpg"],  # 9.5 m
        f"{queries}/IMG_11.jpg": [],
    }
    every = [f"{database}/DSC{number}.jpg" for number in ("00009", "00010", "00100")]
    assert positives(scanned("baidu-mall-25m", tmp_path)) == {
        f"{queries}/IMG_2.jpg": every,
        f"{queries}/IMG_10.jpg": every,  # 15.5 m, 18.4 m and 9.5 m
        f"{queries}/IMG_11.jpg": [],
    }


def test_baidu_mall_is_also_read_in_the_at_layout(tmp_path: Path) -> None:
    images = tmp_path / "baidu-mall/images/test"
    write_images(images / "database", ["@-3.50@12.00@@@@@@@@@@@@a@.jpg"])
    write_images(images / "queries", ["@-3.50@22.00@@@@@@@@@@@@b@.jpg"])
    assert positives(scanned("baidu-mall-10m", tmp_path)) == {
        "images/test/queries/@-3.50@22.00@@@@@@@@@@@@b@.jpg": [
            "images/test/database/@-3.50@12.00@@@@@@@@@@@@a@.jpg"
        ]
    }


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
