from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.manifest import Manifest, read_manifest
from vprcap.stages.scan import scan, scan_dataset

MakeImages = Callable[..., Path]


def scanned(images: Path, text: str | None = None, **options: object) -> Manifest:
    table = None
    if text is not None:
        table = images.parent / "table.csv"
        table.write_text(text)
    output = images.parent / "out.parquet"
    return read_manifest(scan(images, output, table=table, **options))  # type: ignore[arg-type]


def test_a_table_gives_roles_positions_and_headings(make_images: MakeImages) -> None:
    images = make_images(["-q.jpg", "_d.jpg"])
    manifest = scanned(
        images,
        "path,role,easting,northing,heading_deg,extra\n"
        "-q.jpg,query,10.5,20,370,x\n_d.jpg,database,1,2,,y\n",
    )
    assert manifest.image_ids == ["-q.jpg", "_d.jpg"]
    assert manifest.rows["easting"].to_pylist() == [10.5, 1.0]
    assert manifest.column("heading_deg")[0] == 10.0
    assert np.isnan(manifest.column("heading_deg")[1])
    assert manifest.info.image_root == str(images)


def test_degrees_become_utm_metres(make_images: MakeImages) -> None:
    manifest = scanned(make_images(["a.jpg", "b.jpg"]), "path,lat,lon\na.jpg,0,3\nb.jpg,45,9\n")
    equator, north = manifest.rows.to_pylist()
    # On a zone's central meridian the easting is 500 km; the northing is the meridian's arc
    # (4,984,944.378 m from the equator to 45 degrees on WGS84) times the scale 0.9996.
    assert (equator["zone"], north["zone"]) == ("31N", "32T")
    assert (equator["easting"], equator["northing"]) == pytest.approx((500_000, 0), abs=0.01)
    arc = 4_984_944.378
    assert (north["easting"], north["northing"]) == pytest.approx((500_000, arc * 0.9996), abs=0.01)


def test_place_ids_stay_text(make_images: MakeImages) -> None:
    manifest = scanned(make_images(["a.jpg"]), "path,place_id\na.jpg,007\n")
    assert manifest.rows["place_id"].to_pylist() == ["007"]


def test_columns_of_other_names_can_be_named(make_images: MakeImages) -> None:
    manifest = scanned(
        make_images(["a.jpg"]), "path,cell\na.jpg,12\n", columns={"place_id": "cell"}
    )
    assert manifest.rows["place_id"].to_pylist() == ["12"]


def test_all_missing_columns_are_named_at_once(make_images: MakeImages) -> None:
    with pytest.raises(MissingError, match=r"lacks path, easting and northing .* it has: file, x"):
        scanned(make_images(["a.jpg"]), "file,x\na.jpg,1\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,place_id\na.jpg,1\na.jpg,2\n", "occur twice"),
        ("path,easting,northing\na.jpg,one,2\n", "easting .* is not numeric"),
        ("path,lat,lon\na.jpg,151,0\n", "swapped"),
        ("", "cannot read table"),
        ("path,place_id\n", "no images"),
        ("path,path,place_id\na.jpg,b.jpg,1\n", "has column path twice"),
        ("path,easting,northing\na.jpg,inf,2\n", "holds infinity"),
        ("path,frame\na.jpg,9007199254740993\n", r"numbers of 2\*\*53 or more"),
        ("path,frame\na.jpg,-9007199254740993\n", r"numbers of 2\*\*53 or more"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(
    make_images: MakeImages, text: str, message: str
) -> None:
    with pytest.raises(InvalidError, match=message) as caught:
        scanned(make_images(["a.jpg"]), text)
    assert "\n" not in str(caught.value)


def test_headings_are_below_360_whatever_is_rounded(make_images: MakeImages) -> None:
    rows = "a.jpg,1,-1e-20\nb.jpg,1,360\nc.jpg,1,-90\nd.jpg,9007199254740991,725\n"
    images = make_images(["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    manifest = scanned(images, f"path,frame,heading\n{rows}")
    assert manifest.rows["heading_deg"].to_pylist() == [0.0, 0.0, 270.0, 5.0]
    assert manifest.rows["frame"].to_pylist() == [1, 1, 1, 2**53 - 1]


def test_a_quoted_cell_may_hold_line_breaks_wherever_the_table_is_cut(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vprcap.manifests.layouts.table._BLOCK_BYTES", 64)
    note = '"' + "a line\n" * 6 + '"'  # 44 bytes, so that blocks of 64 end within some
    rows = "".join(f"{row}.jpg,{note},{row}\n" for row in range(5))
    manifest = scanned(make_images([f"{row}.jpg" for row in range(5)]), f"path,note,frame\n{rows}")
    assert manifest.rows["frame"].to_pylist() == [0, 1, 2, 3, 4]


def test_empty_cells_say_nothing(make_images: MakeImages) -> None:
    manifest = scanned(
        make_images(["a.jpg", "b.jpg"]),
        "path,place_id,sequence,easting,northing,heading\na.jpg,,,,,\nb.jpg,1,s,2,3,nan\n",
    )
    empty = manifest.rows.to_pylist()[0]
    assert {empty[name] for name in ("place_id", "sequence", "easting", "heading_deg")} == {None}
    assert manifest.rows.to_pylist()[1]["heading_deg"] is None


def test_without_a_role_column_the_folder_says_the_role(make_images: MakeImages) -> None:
    names = ["x/database/a.jpg", "x/queries/b.jpg", "c.jpg"]
    table = "path,place_id\n" + "".join(f"{name},1\n" for name in names)
    manifest = scanned(make_images(names), table)
    assert manifest.rows["role"].to_pylist() == [None, "database", "query"]


def test_a_table_may_give_frames_and_search_domains(make_images: MakeImages) -> None:
    images = make_images(["a.jpg", "b.jpg"])
    text = "path,frame,domain\na.jpg,7,cph\nb.jpg,,sf\n"
    manifest = scanned(images, text)
    assert manifest.rows["frame"].to_pylist() == [7, None]
    assert manifest.rows["domain"].to_pylist() == ["cph", "sf"]
    with pytest.raises(InvalidError, match="frame of .* must count in whole numbers"):
        scanned(images, text.replace("7", "7.5"))


def test_half_a_position_is_refused(make_images: MakeImages) -> None:
    with pytest.raises(MissingError, match="only one of easting and northing"):
        scanned(make_images(["a.jpg"]), "path,easting,lat,lon\na.jpg,1,2,3\n")


def test_an_output_that_is_somebodys_file_is_not_overwritten(make_images: MakeImages) -> None:
    images = make_images(["a.jpg"])
    before = (images / "a.jpg").read_bytes()
    with pytest.raises(InvalidError, match="exists and is no manifest"):
        scan(images, images / "a.jpg")
    assert (images / "a.jpg").read_bytes() == before


def test_a_table_of_another_folder_is_recognised(make_images: MakeImages) -> None:
    with pytest.raises(MissingError, match="none of the 1 images"):
        scanned(make_images(["a.jpg"]), "path,place_id\nimages/a.jpg,1\n")


def test_absent_folders_and_tables_are_named(tmp_path: Path, make_images: MakeImages) -> None:
    with pytest.raises(MissingError, match="no folder"):
        scan(tmp_path / "no", tmp_path / "m.parquet")
    with pytest.raises(MissingError, match="no table"):
        scan(make_images(["a.jpg"]), tmp_path / "m.parquet", table=tmp_path / "no.csv")


def test_a_plain_folder_is_all_its_images(
    make_images: MakeImages, caplog: pytest.LogCaptureFixture
) -> None:
    images = make_images(["b/x.JPG", "a.png", "captions/no.jpg", ".hidden/no.jpg"])
    (images / "notes.txt").write_text("no image")
    (images / "b/loop").symlink_to(images)
    (images / "captions/not-looked-at").symlink_to(images)
    assert scanned(images).image_ids == ["a.png", "b/x.JPG"]
    assert "1 symbolic links to folders are not followed" in caplog.text
    assert "first 'b/loop'" in caplog.text


def test_at_names_bring_positions_and_folders_bring_roles(make_images: MakeImages) -> None:
    images = make_images(
        [
            "test/database/@0584000.10@4476000.20@17@T@@@p1@@90@@@@@@.jpg",
            "test/queries/@0584001.10@4476001.20@17@T@@@p2@@@@@@@@.jpg",
        ],
        folder="a@b@c",
    )
    manifest = scanned(images)
    assert manifest.rows["role"].to_pylist() == ["database", "query"]
    assert manifest.rows["easting"].to_pylist() == [584000.10, 584001.10]
    assert set(manifest.rows["zone"].to_pylist()) == {"17T"}


def test_one_name_without_a_position_among_at_names_is_said(
    make_images: MakeImages, caplog: pytest.LogCaptureFixture
) -> None:
    images = make_images(["a/@1@2@.jpg", "a/@3@4@.jpg", "b/map.png"])
    assert scanned(images).rows["easting"].null_count == 3
    assert "1 of 3 images" in caplog.text and "have no @ name, first 'b/map.png'" in caplog.text
    (images / "b/map.png").unlink()
    caplog.clear()
    assert scanned(images).rows["easting"].to_pylist() == [1.0, 3.0] and not caplog.text


def pitts_mat(path: Path, database: list[str], queries: list[str]) -> None:
    def cells(names: list[str]) -> np.ndarray:
        array = np.empty((len(names), 1), dtype=object)
        array[:, 0] = names
        return array

    struct = {
        "whichSet": "test",
        "dbImageFns": cells(database),
        "utmDb": np.array(
            [[584000.0 + 10 * i for i in range(len(database))], [4e6] * len(database)]
        ),
        "qImageFns": cells(queries),
        "utmQ": np.array([[584001.0] * len(queries), [4e6] * len(queries)]),
        "numImages": len(database),
        "numQueries": len(queries),
        "posDistThr": 25,
        "posDistSqThr": 625,
        "nonTrivPosDistSqThr": 100,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"dbStruct": struct})


def make_pitts(make_images: MakeImages) -> Path:
    database = [f"000/000{i:03d}_pitch1_yaw{i + 1}.jpg" for i in range(3)]
    root = make_images([*database, "queries_real/000/000900_pitch1_yaw3.jpg"], folder="pitts30k")
    pitts_mat(root / "datasets/pitts30k_test.mat", database, ["000/000900_pitch1_yaw3.jpg"])
    return root


def test_the_pittsburgh_mat_file_is_read_where_it_lies(make_images: MakeImages) -> None:
    root = make_pitts(make_images)
    output = root.parent / "m.parquet"
    manifest = read_manifest(scan_dataset("pitts30k", root, output, allow_partial=True))
    assert manifest.image_ids == [
        "000/000000_pitch1_yaw1.jpg",
        "000/000001_pitch1_yaw2.jpg",
        "000/000002_pitch1_yaw3.jpg",
        "queries_real/000/000900_pitch1_yaw3.jpg",
    ]
    assert manifest.rows["role"].to_pylist() == ["database"] * 3 + ["query"]
    assert manifest.rows["easting"].to_pylist() == [584000.0, 584010.0, 584020.0, 584001.0]
    assert manifest.info.name == "pitts30k-test"


def test_wrong_counts_are_refused_or_labelled(make_images: MakeImages) -> None:
    root = make_pitts(make_images)
    with pytest.raises(InvalidError, match="3 of 10000 database images, 1 of 6816 query images"):
        scan_dataset("pitts30k", root, root.parent / "m.parquet")
    path = scan_dataset("pitts30k", root, root.parent / "m.parquet", allow_partial=True)
    partial = read_manifest(path).info.partial
    assert partial == "3 of 10000 database images, 1 of 6816 query images"


def test_a_mat_file_without_a_db_struct_is_refused(make_images: MakeImages) -> None:
    root = make_pitts(make_images)
    mat = root / "datasets/pitts30k_test.mat"
    truncated = mat.read_bytes()[:-40]
    for write in (
        lambda: savemat(mat, {"x": 1}),
        lambda: mat.write_bytes(b"junk" * 40),
        lambda: mat.write_bytes(truncated),
    ):
        write()
        with pytest.raises(InvalidError, match="no NetVLAD dbStruct"):
            scan_dataset("pitts30k", root, root.parent / "m.parquet", allow_partial=True)


def test_pittsburgh_in_the_at_layout_has_the_same_roles(make_images: MakeImages) -> None:
    root = make_images(
        [
            "images/test/database/@0584000.00@4000000.00@17@T@@@000000@25@@@@@@pitch1_yaw1@.jpg",
            "images/test/queries/@0584001.00@4000000.00@17@T@@@000900@27@@@@@@pitch1_yaw3@.jpg",
            "images/val/queries/@1@2@17@T@@@000900@27@@@@@@pitch1_yaw3@.jpg",
        ],
        folder="pitts30k",
    )
    manifest = read_manifest(
        scan_dataset("pitts30k", root, root.parent / "m.parquet", allow_partial=True)
    )
    assert manifest.rows["role"].to_pylist() == ["database", "query"]


def make_gsv(make_images: MakeImages) -> Path:
    names = [
        # Folder by full name though the city id is PRS; panorama ids with underscores; a heading
        # above 360; rows of one place apart from one another.
        "Images/Paris/PRS_0000001_2015_07_584_48.85_2.35_a_b.jpg",
        "Images/Paris/PRS_0000001_2018_01_090_48.85_2.35_-c.jpg",
        "Images/London/London_0000001_2015_07_010_51.5_-0.12_d.jpg",
        "Images/London/London_0000002_2015_07_010_51.6_-0.12_unlisted.jpg",
    ]
    root = make_images(names, folder="gsv-cities")
    (root / "Dataframes").mkdir()
    header = "place_id,year,month,northdeg,city_id,lat,lon,panoid\n"
    (root / "Dataframes/PRS.csv").write_text(
        header + "1,2015,7,584,PRS,48.850,2.35,a_b\n1,2018,1,90,PRS,48.85,2.350,-c\n"
    )
    (root / "Dataframes/London.csv").write_text(header + "1,2015,7,10,London,51.5,-0.12,d\n")
    return root


def test_gsv_cities_places_are_keyed_by_city_and_unlisted_images_left_out(
    make_images: MakeImages,
) -> None:
    root = make_gsv(make_images)
    manifest = read_manifest(scan_dataset("gsv-cities", root, root.parent / "m.parquet"))
    rows = {row["image_id"].rsplit("_", 1)[1]: row for row in manifest.rows.to_pylist()}
    assert {key: row["place_id"] for key, row in rows.items()} == {
        "b.jpg": "PRS/1",
        "-c.jpg": "PRS/1",
        "d.jpg": "London/1",
    }
    assert rows["b.jpg"]["heading_deg"] == 224.0  # 584 - 360
    assert {row["zone"] for row in rows.values()} == {"31U", "30U"}


def test_a_dataset_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        MissingError,
        match=r"no gsv-cities-train found under .*: looked for Images and Dataframes; download it",
    ):
        scan_dataset("gsv-cities", tmp_path, tmp_path / "m.parquet")
    with pytest.raises(
        MissingError, match="no recipe for dataset 'nordland'; there are: .*nordland-10, "
    ):
        scan_dataset("nordland", tmp_path, tmp_path / "m.parquet")


def test_the_london_tables_scan_with_their_counts(london: Path, tmp_path: Path) -> None:
    images = london / "msls_london"
    output = tmp_path / "london.parquet"
    manifest = read_manifest(scan(images, output, table=images / "manifest.csv"))
    assert len(manifest.rows_of("database")) == 1000
    assert len(manifest.rows_of("query")) == 500
