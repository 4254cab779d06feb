"""Datasets whose ground truth is a number or a list: their manifests and positives by hand."""

from pathlib import Path

import numpy as np
import pytest
from frame_miniatures import LISTED, MINIATURES, NORDLAND_10, numbered, write_images
from scanning import miniature, positives, rows, scanned

from vprcap.ground_truth.positives import build_task
from vprcap.manifests.recipe import load_recipe


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
