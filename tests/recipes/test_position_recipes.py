"""Sets of positions: miniatures read as written down by hand, and what goes wrong with them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import position_miniatures as minis
import pytest
from position_truth import CHALLENGE_25M_POSITIVES, TOKYO_POSITIVES, TRUTH, Positives
from scipy.io import loadmat, savemat

from vprcap.errors import InvalidError, MissingError
from vprcap.ground_truth.counts import likely_cause
from vprcap.ground_truth.positives import build_task
from vprcap.manifests.layouts.at import read_at
from vprcap.manifests.manifest import Manifest, read_manifest
from vprcap.manifests.recipe import load_recipe, shipped_recipes
from vprcap.resources import shipped
from vprcap.stages.scan import scan_dataset

Write = Callable[[Path], None]
SETS = {
    recipe.set_name(split): (recipe.name, split)
    for recipe in shipped_recipes()
    for split in recipe.splits
}


def scanned(
    dataset: str, root: Path, split: str | None = None, write: Write | None = None
) -> Manifest:
    (write or minis.MINIATURES[dataset])(root)
    return rescanned(dataset, root, split)


def rescanned(dataset: str, root: Path, split: str | None = None) -> Manifest:
    folder = root / load_recipe(dataset).folder
    output = root / "manifest.parquet"
    return read_manifest(scan_dataset(dataset, folder, output, split=split, allow_partial=True))


def known(manifest: Manifest) -> dict[str, dict[str, object]]:
    """Rows by image_id without what is null."""
    return {
        row.pop("image_id"): {name: value for name, value in row.items() if value is not None}
        for row in manifest.rows.to_pylist()
    }


def positives_of(manifest: Manifest) -> Positives:
    task = build_task(manifest)
    ids = manifest.image_ids
    return {
        ids[query]: [ids[task.database[row]] for row in own]
        for query, own in zip(task.queries, task.positives, strict=True)
    }


def in_order(positives: Positives) -> Positives:
    return {query: sorted(own) for query, own in positives.items()}


@pytest.mark.parametrize("name", TRUTH)
def test_a_miniature_reads_as_written_down_by_hand(name: str, tmp_path: Path) -> None:
    rows, positives = TRUTH[name]
    dataset, split = SETS[name]
    manifest = scanned(dataset, tmp_path, split)
    assert known(manifest) == rows
    assert positives_of(manifest) == in_order(positives)
    assert manifest.info.name == name


def test_tokyo_joins_names_of_the_mat_to_png_files_and_degrees_to_metres(tmp_path: Path) -> None:
    manifest = scanned("tokyo247", tmp_path)
    assert positives_of(manifest) == TOKYO_POSITIVES
    rows = known(manifest)
    assert {name.rsplit(".")[-1] for name, row in rows.items() if row["role"] == "database"} == {
        "png"
    }
    query = rows["247query_subset_v2/00001.jpg"]
    arc = 4_984_944.378  # of the meridian, from the equator to 45 degrees, WGS84
    assert query["easting"] == pytest.approx(500_000, abs=0.01)
    assert query["northing"] == pytest.approx(arc * 0.9996, abs=0.01)


def test_tokyo_may_lie_in_a_folder_of_its_own_name(tmp_path: Path) -> None:
    minis.write_tokyo(tmp_path)
    inner = tmp_path / "tokyo247/tokyo247"
    inner.mkdir()
    for name in ("03814", "03829", "247query_subset_v2"):
        (tmp_path / "tokyo247" / name).rename(inner / name)
    assert positives_of(rescanned("tokyo247", tmp_path)) == {
        f"tokyo247/{query}": [f"tokyo247/{name}" for name in own]
        for query, own in TOKYO_POSITIVES.items()
    }


def test_gsv_cities_joins_by_place_and_panorama_whatever_the_floats(tmp_path: Path) -> None:
    rows = known(scanned("gsv-cities", tmp_path))
    assert {name.rsplit("_", 1)[1]: row["place_id"] for name, row in rows.items()} == {
        "b.jpg": "PRS/1",
        "-c.jpg": "PRS/1",
        "e.jpg": "PRS/2",
        "d.jpg": "London/1",
    }
    assert sorted(row["heading_deg"] for row in rows.values()) == [0, 10, 90, 224]  # 584 - 360
    assert all("role" not in row for row in rows.values())


def test_msls_train_has_no_roles_and_no_panoramas(tmp_path: Path) -> None:
    rows = known(scanned("msls-train", tmp_path))
    place = "train_val/trondheim"
    assert rows == {
        f"{place}/database/images/thDbOOOOOOOOOOOOOOOOOO.jpg": {
            **{"easting": 569500.0, "northing": 7034500.0, "heading_deg": 8.0},
            **{"domain": "trondheim", "condition": "day", "sequence": "seq-thDb"},
        },
        f"{place}/query/images/thQOOOOOOOOOOOOOOOOOOO.jpg": {
            **{"easting": 569505.0, "northing": 7034500.0, "heading_deg": 9.0},
            **{"domain": "trondheim", "condition": "night", "sequence": "seq-thQO"},
        },
    }


def test_the_challenge_is_scored_within_cities_by_positions_or_by_a_list(tmp_path: Path) -> None:
    by_position = scanned("msls-challenge-25m", tmp_path)
    assert positives_of(by_position) == CHALLENGE_25M_POSITIVES
    lines = "-miQOOOOOOOOOOOOOOOOOO -miDbOOOOOOOOOOOOOOOOO miDbTwoOOOOOOOOOOOOOOO\n\n"
    (tmp_path / "msls/test/ground_truth.txt").write_text(lines)
    folder = "test/miami/database/images"
    assert positives_of(rescanned("msls-challenge", tmp_path)) == {
        "test/miami/query/images/-miQOOOOOOOOOOOOOOOOOO.jpg": [
            f"{folder}/-miDbOOOOOOOOOOOOOOOOO.jpg",
            f"{folder}/miDbTwoOOOOOOOOOOOOOOO.jpg",
        ],
        "test/athens/query/images/atQOOOOOOOOOOOOOOOOOOO.jpg": [],
    }


def test_a_ground_truth_list_of_other_images_is_refused(tmp_path: Path) -> None:
    minis.write_msls(tmp_path)
    (tmp_path / "msls/test/ground_truth.txt").write_text("-miQOOOOOOOOOOOOOOOOOO nobody\n")
    with pytest.raises(InvalidError, match=r"names \('database', 'nobody'\), which is no image"):
        rescanned("msls-challenge", tmp_path)


def test_a_ground_truth_list_names_a_query_once_and_a_positive_however_often(
    tmp_path: Path,
) -> None:
    minis.write_msls(tmp_path)
    line = "-miQOOOOOOOOOOOOOOOOOO miDbTwoOOOOOOOOOOOOOOO miDbTwoOOOOOOOOOOOOOOO\n"
    path = tmp_path / "msls/test/ground_truth.txt"
    path.write_text(line, "utf-8-sig")  # as an editor of Windows saves it
    image = "test/miami/database/images/miDbTwoOOOOOOOOOOOOOOO.jpg"
    found = positives_of(rescanned("msls-challenge", tmp_path))
    assert found["test/miami/query/images/-miQOOOOOOOOOOOOOOOOOO.jpg"] == [image]
    path.write_text(line + "-miQOOOOOOOOOOOOOOOOOO\n")
    with pytest.raises(InvalidError, match="lists query '-miQOOOOOOOOOOOOOOOOOO' twice"):
        rescanned("msls-challenge", tmp_path)


def test_pittsburgh_in_the_at_layout_has_the_same_ground_truth(tmp_path: Path) -> None:
    folder = tmp_path / "pitts250k/images/test"
    names = [
        "database/@0584000.00@4476000.00@17@T@@@000001@25@@@@@@pitch1_yaw1@.jpg",
        "database/@0584030.00@4476040.00@17@T@@@000002@25@@@@@@pitch1_yaw1@.jpg",
        "database/@0584100.25@4476000.50@17@T@@@001003@25@@@@@@pitch1_yaw1@.jpg",
        "queries/@0584015.00@4476020.00@17@T@@@000900@27@@@@@@pitch1_yaw3@.jpg",
        "queries/@0584100.25@4476025.51@17@T@@@000901@27@@@@@@pitch1_yaw3@.jpg",
    ]
    minis.write_images(folder, names)
    first, second, _, one, other = (f"images/test/{name}" for name in names)
    assert positives_of(rescanned("pitts250k", tmp_path)) == {one: [first, second], other: []}


def test_cities_that_lie_in_one_folder_are_told_apart_by_their_zones(tmp_path: Path) -> None:
    manifest = scanned("msls-val-all", tmp_path, write=minis.write_downloader_msls)
    assert sorted(manifest.rows["domain"].to_pylist()) == ["10", "10", "33", "33"]
    # The query of San Francisco is 500 m from its own city's image; that of Copenhagen is 25 m
    # from both cities' images by their metres.
    found = {
        query.split("@")[-2].removeprefix("day_forward_"): own
        for query, own in positives_of(manifest).items()
    }
    assert found["sf"] == [] and [name.split("@")[3] for name in found["cph"]] == ["33"]


def test_hemispheres_of_one_zone_are_two_domains(tmp_path: Path) -> None:
    for name in ("@3e5@6250000@34@V@.jpg", "@3e5@6250000@34@H@.jpg", "@3e5@6250000@34@J@.jpg"):
        minis.write_images(tmp_path, [name])
    columns = read_at(tmp_path, domain_by_zone=True)
    found = dict(zip(columns["zone"].to_pylist(), columns["domain"].to_pylist(), strict=True))
    assert found == {"34V": "34", "34H": "34 south", "34J": "34 south"}


def test_svox_has_a_split_for_each_condition(tmp_path: Path) -> None:
    rows = known(scanned("svox", tmp_path, "night"))
    assert {row.get("condition") for row in rows.values()} == {None, "night"} and len(rows) == 3


def test_sf_xl_asks_one_database_with_four_sets(tmp_path: Path) -> None:
    minis.write_sf_xl(tmp_path)
    found = {
        split: positives_of(rescanned("sf-xl", tmp_path, split)).values()
        for split in ("val", "test-v2", "night", "occlusion")
    }
    # Each of the first three asks 20 m east of one image; nobody took what is asked of occlusion.
    assert {split: [len(own) for own in each] for split, each in found.items()} == {
        **{"val": [1], "test-v2": [1], "night": [1]},
        "occlusion": [0],
    }


@pytest.mark.parametrize(("dataset", "old"), [("st-lucia", "gallery"), ("svox", "gallery")])
def test_a_gallery_may_be_called_database(dataset: str, old: str, tmp_path: Path) -> None:
    minis.MINIATURES[dataset](tmp_path)
    before = positives_of(rescanned(dataset, tmp_path))
    test = tmp_path / load_recipe(dataset).folder / "images/test"
    (test / old).rename(test / "database")
    after = positives_of(rescanned(dataset, tmp_path))
    assert after == {
        query: [name.replace(old, "database") for name in own] for query, own in before.items()
    }


def test_own_images_may_be_listed_in_a_table(tmp_path: Path) -> None:
    manifest = scanned("own-images", tmp_path, write=minis.write_own_table)
    assert positives_of(manifest) == {"drive 2/b.jpg": ["drive 1/-a.jpg"]}
    (tmp_path / "own-images/manifest.csv").write_text("path,role,easting,northing\n")
    with pytest.raises(InvalidError, match="no images found for 'own-images-all'"):
        rescanned("own-images", tmp_path)


def test_the_recipe_of_own_images_can_be_copied_and_edited(tmp_path: Path) -> None:
    recipe = (shipped("manifests") / "own-images.toml").read_text()
    assert "[splits.all]\n" in recipe and "radius_m = 25.0" in recipe
    mine = tmp_path / "my.toml"
    mine.write_text(
        recipe.replace(
            "[splits.all]\n", "[splits.all]\ncounts = { database = 3, query = 1 }\n", 1
        ).replace("radius_m = 25.0", "radius_m = 24.0", 1)
    )
    minis.write_own_images(tmp_path)
    (tmp_path / "own-images").rename(tmp_path / "my")
    output = tmp_path / "m.parquet"
    with pytest.raises(InvalidError, match="my-all under .* has 2 of 3 database images"):
        scan_dataset(str(mine), tmp_path / "my", output)
    scan_dataset(str(mine), tmp_path / "my", output, allow_partial=True)
    assert list(positives_of(read_manifest(output)).values()) == [[]]  # 25 m, and 24 are asked for


def test_cities_of_a_table_are_kept_apart_by_its_column_domain(tmp_path: Path) -> None:
    minis.write_own_table(tmp_path)
    table = tmp_path / "own-images/manifest.csv"
    header = "path,role,easting,northing,zone,domain\n"
    rows = "drive 1/-a.jpg,database,100,200,33U,{}\ndrive 2/b.jpg,query,120,200,10S,{}\n"
    table.write_text(header + rows.format("cph", "sf"))
    assert positives_of(rescanned("own-images", tmp_path)) == {"drive 2/b.jpg": []}
    table.write_text(header + rows.format("", ""))
    with pytest.raises(InvalidError, match="lie in UTM zones 10, 33; .* in a column `domain`"):
        positives_of(rescanned("own-images", tmp_path))


# Bad input.


def test_a_city_folder_is_found_in_whatever_case(tmp_path: Path) -> None:
    minis.write_msls(tmp_path)
    (tmp_path / "msls/train_val/cph").rename(tmp_path / "msls/train_val/CPH")
    manifest = rescanned("msls-val-740", tmp_path)
    assert len(manifest.rows_of("query")) == 5
    assert set(manifest.rows["domain"].to_pylist()) == {"cph", "sf"}
    assert "train_val/CPH/query/images/-aQOOOOOOOOOOOOOOOOOcA.jpg" in manifest.image_ids


def test_a_city_that_is_absent_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    minis.write_msls(tmp_path)
    shutil.rmtree(tmp_path / "msls/train_val/sf")
    assert len(rescanned("msls-val-740", tmp_path).rows_of("query")) == 3
    assert "has no sf; left out" in caplog.text
    shutil.rmtree(tmp_path / "msls/train_val/cph")
    with pytest.raises(MissingError, match="none of cph, sf is below"):
        rescanned("msls-val-740", tmp_path)


def test_tables_that_became_floats_mean_the_same(tmp_path: Path) -> None:
    minis.write_msls(tmp_path)
    before = known(rescanned("msls-val-740", tmp_path))
    for table in (tmp_path / "msls/train_val").rglob("*.csv"):
        table.write_text(table.read_text().replace("True", "1.0").replace("False", "0.0"))
    assert known(rescanned("msls-val-740", tmp_path)) == before


def test_keys_that_became_floats_are_not_taken_for_images(tmp_path: Path) -> None:
    minis.write_msls(tmp_path)
    folder = tmp_path / "msls/train_val/cph/database"
    for table in folder.glob("*.csv"):
        table.write_text(table.read_text().replace("0000000000000000000017", "17.0"))
    partial = rescanned("msls-val-740", tmp_path).info.partial
    assert partial == "3 of 18871 database images, 5 of 747 query images"  # 3 of 4 and 5 of 5


@pytest.mark.parametrize(
    ("table", "before", "after", "message"),
    [
        ("subtask_index", "sfDbO", "other", "subtask_index.csv lists other images than seq_info"),
        ("subtask_index", "True", "maybe", "says 'maybe' where True or False must be"),
        ("postprocessed", "347025.0", "east", "is not numeric"),
        ("raw", "pano", "panorama", "raw.csv has not the columns key, ca, pano"),
        ("seq_info", "0,sfDb", "0,sfDb\n0,sfDb,x,y,z", "seq_info.csv has not the columns"),
    ],
)
def test_a_damaged_table_is_refused_in_one_line(
    table: str, before: str, after: str, message: str, tmp_path: Path
) -> None:
    minis.write_msls(tmp_path)
    path = tmp_path / f"msls/train_val/sf/database/{table}.csv"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(InvalidError, match=message) as caught:
        rescanned("msls-val-740", tmp_path)
    assert "\n" not in str(caught.value)


def test_metadata_that_was_not_unpacked_is_named(tmp_path: Path) -> None:
    minis.write_msls(tmp_path)
    (tmp_path / "msls/train_val/sf/query/raw.csv").unlink()
    with pytest.raises(MissingError, match="no .*sf/query/raw.csv; unpack MSLS's metadata.zip"):
        rescanned("msls-val-740", tmp_path)


def test_images_that_were_not_unpacked_are_not_counted(tmp_path: Path) -> None:
    minis.write_msls(tmp_path)
    (tmp_path / "msls/train_val/cph/query/images/farOOOOOOOOOOOOOOOOOOO.jpg").unlink()
    with pytest.raises(InvalidError, match="4 of 747 query images; likely cause: an archive"):
        scan_dataset("msls-val-740", tmp_path / "msls", tmp_path / "m.parquet")


def test_a_mat_of_another_set_is_recognised(tmp_path: Path) -> None:
    minis.write_tokyo(tmp_path)
    minis.write_mat(
        tmp_path / "tokyo247/datasets/tokyo247.mat",
        "test",
        minis.PITTS_DATABASE,
        minis.PITTS_QUERIES,
    )
    with pytest.raises(MissingError, match="none of the 4 images that datasets/tokyo247.mat lists"):
        rescanned("tokyo247", tmp_path)


@pytest.mark.parametrize(
    ("dataset", "split", "counts", "cause"),
    [
        ("pitts30k", "test", (10000, 7608), "these are the counts of pitts30k-val"),
        ("pitts250k", "test", (10000, 6816), "these are the counts of pitts30k-test"),
        ("pitts250k", "test", (8280, 83952), "database and queries are swapped"),
        ("msls-val-740", "val", (18871, 11084), "queries without the subtask filter all=True"),
        ("msls-val-all", "val", (18871, 747), "the queries with all = True only"),
        ("msls-challenge", "test", (18871, 11084), "test is a link to val"),
    ],
)
def test_a_known_wrong_count_names_its_cause(
    dataset: str, split: str, counts: tuple[int, int], cause: str
) -> None:
    found = {"database": counts[0], "query": counts[1], "solvable": 0}
    assert likely_cause(load_recipe(dataset), split, found).startswith(cause)


def test_a_test_folder_that_links_to_val_is_refused_with_its_cause(tmp_path: Path) -> None:
    minis.write_downloader_msls(tmp_path)
    text = (shipped("manifests") / "msls-challenge.toml").read_text()
    assert "database = 18871\nquery = 11084\n" in text
    mine = tmp_path / "challenge.toml"  # the same, were val as small as the miniature's
    mine.write_text(text.replace("database = 18871\nquery = 11084\n", "database = 2\nquery = 2\n"))
    with pytest.raises(InvalidError, match="likely cause: test is a link to val"):
        scan_dataset(str(mine), tmp_path / "msls", tmp_path / "m.parquet")


def test_a_loop_of_links_does_not_trap_the_walk(tmp_path: Path) -> None:
    minis.write_sf_xl(tmp_path)
    before = rescanned("sf-xl", tmp_path).image_ids
    database = tmp_path / "sf-xl/processed/test/database"
    os.symlink(database, database / "37.70/loop")
    assert rescanned("sf-xl", tmp_path).image_ids == before


@pytest.mark.parametrize("name", ["../../outside.jpg", "/etc/outside.jpg", "000/../../outside.jpg"])
def test_a_path_that_leaves_the_root_is_refused(name: str, tmp_path: Path) -> None:
    minis.MINIATURES["pitts30k"](tmp_path)
    database = minis.PITTS_DATABASE | {name: (584000.0, 4476000.0)}
    mat = tmp_path / "pitts30k/datasets/pitts30k_test.mat"
    minis.write_mat(mat, "test", database, minis.PITTS_QUERIES)
    with pytest.raises(InvalidError, match="leaves the image root"):
        rescanned("pitts30k", tmp_path)


def test_a_key_that_leaves_the_root_is_refused(tmp_path: Path) -> None:
    minis.write_msls(tmp_path)
    for table in (tmp_path / "msls/train_val/sf/query").glob("*.csv"):
        table.write_text(table.read_text().replace("sfNearO", "../../../../sfNearO"))
    with pytest.raises(InvalidError, match="leaves the image root"):
        rescanned("msls-val-740", tmp_path)


def test_names_that_are_not_utf8_are_refused_or_passed_over(tmp_path: Path) -> None:
    bad = os.fsencode(tmp_path) + b"/msls/train_val/sf/query/images/\xff.jpg"
    minis.write_msls(tmp_path)
    Path(os.fsdecode(bad)).write_bytes(b"")
    assert len(rescanned("msls-val-740", tmp_path).rows_of("query")) == 5  # listed by key
    minis.write_eynsham(tmp_path)
    folder = os.fsencode(tmp_path) + b"/eynsham/images/test/queries"
    Path(os.fsdecode(folder + b"/@1@2@\xff@.jpg")).write_bytes(b"")
    with pytest.raises(InvalidError, match=r"@1@2@\\xff@.jpg is not UTF-8; rename it"):
        rescanned("eynsham", tmp_path)
    Path(os.fsdecode(folder + b"/@1@2@\xff@.jpg")).unlink()
    Path(os.fsdecode(folder + b"/night\xff")).mkdir()  # and nothing in it
    with pytest.raises(InvalidError, match=r"queries/night\\xff is not UTF-8; rename it"):
        rescanned("eynsham", tmp_path)


def test_a_mat_whose_positions_are_not_its_images_is_refused(tmp_path: Path) -> None:
    minis.MINIATURES["pitts30k"](tmp_path)
    mat = tmp_path / "pitts30k/datasets/pitts30k_test.mat"
    queries = dict.fromkeys(minis.PITTS_QUERIES, (584000.0, 4476000.0, 17.0))
    minis.write_mat(mat, "test", minis.PITTS_DATABASE, queries)
    with pytest.raises(InvalidError, match=r"no NetVLAD dbStruct \(utmQ is not 2 x 2 as qImageFns"):
        rescanned("pitts30k", tmp_path)


def test_a_mat_with_a_position_nowhere_is_refused(tmp_path: Path) -> None:
    minis.MINIATURES["pitts30k"](tmp_path)
    mat = tmp_path / "pitts30k/datasets/pitts30k_test.mat"
    queries = dict.fromkeys(minis.PITTS_QUERIES, (584000.0, float("inf")))
    minis.write_mat(mat, "test", minis.PITTS_DATABASE, queries)
    with pytest.raises(InvalidError, match="utmQ has positions that are not finite"):
        rescanned("pitts30k", tmp_path)


def test_a_compressed_mat_that_is_damaged_is_refused(tmp_path: Path) -> None:
    minis.MINIATURES["pitts30k"](tmp_path)
    mat = tmp_path / "pitts30k/datasets/pitts30k_test.mat"
    content = {key: value for key, value in loadmat(mat).items() if not key.startswith("__")}
    savemat(mat, content, do_compression=True)
    whole = mat.read_bytes()
    mat.write_bytes(whole[:200] + bytes([whole[200] ^ 0xFF]) + whole[201:])
    with pytest.raises(InvalidError, match=r"holds no NetVLAD dbStruct \(Error -3"):
        rescanned("pitts30k", tmp_path)


def test_a_folder_that_cannot_be_read_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: bytes) -> list[bytes]:
        raise PermissionError(13, "Permission denied", folder)

    minis.MINIATURES["pitts30k"](tmp_path)
    monkeypatch.setattr("vprcap.manifests.layouts.present.os.listdir", refuse)
    with pytest.raises(InvalidError, match="cannot read folder .*/pitts30k/000; make it readable"):
        rescanned("pitts30k", tmp_path)


def test_swapped_roles_are_recognised_by_their_counts(tmp_path: Path) -> None:
    minis.write_own_images(tmp_path)
    recipe = (shipped("manifests") / "own-images.toml").read_text()
    mine = tmp_path / "own.toml"
    counts = "[splits.all]\ncounts = { database = 1, query = 2 }\n"
    mine.write_text(recipe.replace("[splits.all]\n", counts, 1))
    with pytest.raises(InvalidError, match="likely cause: database and queries are swapped"):
        scan_dataset(str(mine), tmp_path / "own-images", tmp_path / "m.parquet")


def test_a_tokyo_query_needs_its_table(tmp_path: Path) -> None:
    minis.write_tokyo(tmp_path)
    table = tmp_path / "tokyo247/247query_subset_v2/00002.csv"
    table.write_text("00002.jpg,north,141\n")
    with pytest.raises(InvalidError, match="00002.csv is not name, latitude, longitude"):
        rescanned("tokyo247", tmp_path)
    for nowhere in ("nan,139", "35,nan", "inf,139"):
        table.write_text(f"00002.jpg,{nowhere}\n")
        with pytest.raises(InvalidError, match="00002.csv is not name, latitude, longitude"):
            rescanned("tokyo247", tmp_path)
    table.unlink()
    table.mkdir()
    with pytest.raises(InvalidError, match="00002.csv is not name, latitude, longitude"):
        rescanned("tokyo247", tmp_path)
    table.rmdir()
    with pytest.raises(MissingError, match="no .*00002.csv"):
        rescanned("tokyo247", tmp_path)
