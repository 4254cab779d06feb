"""Miniatures of the sets whose ground truth is a position: real names, columns and quirks.

Each writer makes the dataset's folder below a root. What must be read from them, and which images
show one place, is written down by hand in `position_truth`.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from miniatures import picture


def write_images(folder: Path, names: Sequence[str], mode: str = "RGB") -> None:
    for view, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(view, len(name)).convert(mode).save(path)


def write_gsv_cities(root: Path) -> None:
    """Folder by full name though the city id is PRS; an unlisted image; a CSV of floats."""
    folder = root / "gsv-cities"
    names = [
        "Images/Paris/PRS_0000001_2015_07_584_48.85_2.35_a_b.jpg",
        "Images/Paris/PRS_0000002_2015_07_000_48.86_2.35_e.jpg",
        "Images/Paris/PRS_0000001_2018_01_090_48.85_2.35_-c.jpg",
        "Images/London/London_0000001_2015_07_010_51.5_-0.12_d.jpg",
        "Images/London/London_0000002_2015_07_010_51.6_-0.12_unlisted.jpg",
    ]
    write_images(folder, names)
    (folder / "Dataframes").mkdir(exist_ok=True)
    header = "place_id,year,month,northdeg,city_id,lat,lon,panoid\n"
    (folder / "Dataframes/PRS.csv").write_text(
        header
        + "1.0,2015.0,7.0,584.0,PRS,48.850000000000001,2.35,a_b\n"
        + "2.0,2015.0,7.0,0.0,PRS,48.86,2.35,e\n"
        + "1.0,2018.0,1.0,90.0,PRS,48.85,2.350,-c\n"
    )
    (folder / "Dataframes/London.csv").write_text(header + "1,2015,7,10,London,51.5,-0.12,d\n")


def write_mat(
    path: Path, which: str, database: dict[str, tuple], queries: dict[str, tuple]
) -> None:
    """Write NetVLAD's dbStruct: names in cells, positions as 2 x N."""
    struct = {
        "whichSet": which,
        "dbImageFns": _cells(list(database)),
        "utmDb": np.array(list(database.values()), dtype=float).T,
        "qImageFns": _cells(list(queries)),
        "utmQ": np.array(list(queries.values()), dtype=float).T,
        "numImages": len(database),
        "numQueries": len(queries),
        "posDistThr": 25,
        "posDistSqThr": 625,
        "nonTrivPosDistSqThr": 100,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"dbStruct": struct})


def _cells(names: list[str]) -> np.ndarray:
    array = np.empty((len(names), 1), dtype=object)
    array[:, 0] = names
    return array


PITTS_DATABASE = {
    "000/000001_pitch1_yaw1.jpg": (584000.0, 4476000.0),
    "000/000001_pitch2_yaw12.jpg": (584000.0, 4476000.0),  # tiles of a panorama share a position
    "000/000002_pitch1_yaw1.jpg": (584030.0, 4476040.0),
    "001/001003_pitch1_yaw1.jpg": (584100.25, 4476000.5),
}
PITTS_QUERIES = {
    "000/000900_pitch1_yaw3.jpg": (584015.0, 4476020.0),  # exactly 25 m from the first three
    "000/000901_pitch1_yaw3.jpg": (584100.25, 4476025.51),  # 25.01 m from the last
}


def _pitts(name: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for split in ("train", "val", "test"):
            mat = root / name / f"datasets/{name}_{split}.mat"
            write_mat(mat, split, PITTS_DATABASE, PITTS_QUERIES)
        write_images(root / name, [*PITTS_DATABASE, *(f"queries_real/{q}" for q in PITTS_QUERIES)])

    return write


def write_tokyo(root: Path) -> None:
    """Names of the .mat end in .jpg, files in .png; latitudes of queries lie beside them."""
    pano = "03814/381400/-Kw_dpk0SN1TxG45EyL8QA"
    database = {
        f"{pano}_012_0.jpg": (500003.0, 4982954.4),
        f"{pano}_012_330.jpg": (500030.0, 4982950.4),
        "03829/382900/zzzzzzzzzzzzzzzzzzzzzz_012_90.jpg": (500000.0, 4982900.4),
    }
    folder = root / "tokyo247"
    write_mat(folder / "datasets/tokyo247.mat", "test", database, {"old_query.jpg": (0.0, 0.0)})
    queries = ["247query_subset_v2/00001.jpg", "247query_subset_v2/00002.jpg"]
    write_images(folder, [*(name.replace(".jpg", ".png") for name in database), *queries])
    # On the zone's central meridian; a tenth of a degree of latitude further is 11 km away.
    (folder / "247query_subset_v2/00001.csv").write_text("00001.jpg,45.0,141.0,0,0\n")
    (folder / "247query_subset_v2/00002.csv").write_text("00002.jpg,45.1,141.0,0,0\n")


Row = tuple[str, float, float, str, bool, bool, bool]
"""Key, easting, northing, compass angle, and whether panorama, at night and in subtask all."""
MSLS: dict[str, list[Row]] = {
    "train_val/cph/database": [
        ("-aDbOOOOOOOOOOOOOOOOcA", 347000.0, 6172000.0, "10.5", False, False, True),
        ("_bDb-OOOOOOOOOOOOOO_cB", 347020.0, 6172000.0, "370.0", False, True, True),
        ("0000000000000000000017", 347100.0, 6172000.0, "-90.0", False, False, True),
        ("panoramaOOOOOOOOOOOOOO", 347025.0, 6172000.0, "0.0", True, False, True),
    ],
    "train_val/cph/query": [
        ("-aQOOOOOOOOOOOOOOOOOcA", 347025.0, 6172000.0, "1.0", False, True, True),
        ("12345678901234567890e2", 347075.0, 6172000.0, "", False, False, True),
        ("farOOOOOOOOOOOOOOOOOOO", 347500.0, 6172000.0, "2.0", False, False, True),
        ("notAllOOOOOOOOOOOOOOOO", 347010.0, 6172000.0, "3.0", False, False, False),
        ("panoQueryOOOOOOOOOOOOO", 347000.0, 6172000.0, "4.0", True, False, True),
    ],
    # The metres of San Francisco are made those of Copenhagen: cities must not be merged.
    "train_val/sf/database": [
        ("sfDbOOOOOOOOOOOOOOOOOO", 347025.0, 6172000.0, "5.0", False, False, True),
    ],
    "train_val/sf/query": [
        ("sfOnlyInCphOOOOOOOOOOO", 347100.0, 6172000.0, "6.0", False, False, True),
        ("sfNearOOOOOOOOOOOOOOOO", 347030.0, 6172000.0, "7.0", False, False, True),
    ],
    "train_val/trondheim/database": [
        ("thDbOOOOOOOOOOOOOOOOOO", 569500.0, 7034500.0, "8.0", False, False, False),
    ],
    "train_val/trondheim/query": [
        ("thQOOOOOOOOOOOOOOOOOOO", 569505.0, 7034500.0, "9.0", False, True, False),
        ("thPanoOOOOOOOOOOOOOOOO", 569505.0, 7034500.0, "9.0", True, False, False),
    ],
    "test/miami/database": [
        ("-miDbOOOOOOOOOOOOOOOOO", 580000.0, 2850000.0, "0", False, False, True),
        ("miDbTwoOOOOOOOOOOOOOOO", 580100.0, 2850000.0, "0", False, False, True),
    ],
    "test/miami/query": [
        ("-miQOOOOOOOOOOOOOOOOOO", 580000.0, 2850024.0, "0", False, False, True),
        ("miNotAllOOOOOOOOOOOOOO", 580000.0, 2850000.0, "0", False, False, False),
    ],
    "test/athens/database": [
        ("_atDbOOOOOOOOOOOOOOOOO", 580000.0, 2850024.0, "0", False, False, True),
    ],
    "test/athens/query": [
        ("atQOOOOOOOOOOOOOOOOOOO", 580000.0, 2850050.0, "0", False, False, True),
    ],
}


def write_msls(root: Path, *, positions_of_test: bool = False) -> None:
    for place, rows in MSLS.items():
        folder = root / "msls" / place
        write_images(folder, [f"images/{key}.jpg" for key, *_ in rows])
        tables = _msls_tables(rows)
        if place.startswith("test"):
            del tables["raw"]
            if not positions_of_test:
                del tables["postprocessed"]
        for name, lines in tables.items():
            (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def _msls_tables(rows: list[Row]) -> dict[str, list[str]]:
    """The first column is an index without a name."""
    tables = {
        "raw": [",key,lon,lat,ca,captured_at,pano"],
        "postprocessed": [
            ",key,easting,northing,unique_cluster,control_panel,night,view_direction"
        ],
        "seq_info": [",key,sequence_key,frame_number"],
        "subtask_index": [",key,all,s2w,w2s,o2n,n2o,d2n,n2d"],
    }
    for index, (key, easting, northing, angle, pano, night, in_all) in enumerate(rows):
        own = f"{index},{key}"
        tables["raw"].append(f"{own},12.5,55.7,{angle},2016-06-0{index + 1},{pano}")
        cluster = f"{index},False,{night},Forward"
        tables["postprocessed"].append(f"{own},{easting},{northing},{cluster}")
        tables["seq_info"].append(f"{own},seq-{key[:4]},{index}")
        tables["subtask_index"].append(f"{own},{in_all}" + ",False" * 6)
    return tables


def write_msls_with_positions_of_test(root: Path) -> None:
    write_msls(root, positions_of_test=True)


def write_downloader_msls(root: Path) -> None:
    """As VPR-datasets-downloader leaves it: cities in one folder, test a link to val."""
    cph, sf = "@20160601@day_forward_cph@.jpg", "@20160601@day_forward_sf@.jpg"
    write_images(
        root / "msls/val",
        [
            f"database/@0347000.00@6172000.00@33@U@055.66710@0012.56730@-aDb_@@@@@{cph}",
            f"database/@0347000.00@6172000.00@10@S@037.76870@-122.4461@_sfDb@@@@@{sf}",
            f"queries/@0347025.00@6172000.00@33@U@055.66710@0012.56730@-aQ@@@@@{cph}",
            f"queries/@0347500.00@6172000.00@10@S@037.76870@-122.4461@sfQ@@@@@{sf}",
        ],
    )
    os.symlink(os.path.abspath(root / "msls/val"), root / "msls/test")


def write_st_lucia(root: Path) -> None:
    """South of the equator; the first drive is called gallery by the script that wrote it."""
    write_images(
        root / "st_lucia/images/test",
        [
            "gallery/@0503000.00@6955000.00@56@J@-27.52700@0153.03040@100909_0845_00000@@@@@@@@.jpg",
            "gallery/@0503005.00@6955000.00@56@J@-27.52700@0153.03045@100909_0845_00015@@@@@@@@.jpg",
            "queries/@0503030.00@6955000.00@56@J@-27.52700@0153.03070@180809_1545_00000@@@@@@@@.jpg",
            "queries/@0503030.01@6955000.00@56@J@-27.52700@0153.03071@180809_1545_00010@@@@@@@@.jpg",
        ],
    )


def write_eynsham(root: Path) -> None:
    """Grey tiles of panoramas: five of them at one position."""
    tiles = [f"@0616000.00@5740000.00@30@U@051.80000@-001.30000@0000@0{tile}" for tile in range(5)]
    later = [f"@0616007.00@5740024.00@30@U@051.80000@-001.30000@4787@0{tile}" for tile in (0, 4)]
    write_images(
        root / "eynsham/images/test",
        [
            *(f"database/{name}@@@@@20080101_120000@@.jpg" for name in tiles),
            *(f"queries/{name}@@@@@20080101_130000@@.jpg" for name in later),
            "queries/@0616100.00@5740000.00@30@U@051.80000@-001.30000@4788@02@@@@@@@.jpg",
        ],
        mode="L",
    )


def write_svox(root: Path) -> None:
    """Queries of each condition in a folder of their own; `queries` are of another protocol."""
    folder = root / "svox/images/test"
    write_images(
        folder,
        [
            "gallery/@0620000.00@5735000.00@30@U@051.75000@-001.25000@pano_a@00@@@@@201405@@.jpg",
            "gallery/@0620100.00@5735000.00@30@U@051.75000@-001.24900@pano_b@00@@@@@201405@@.jpg",
            "queries/@0620000.00@5735000.00@30@U@051.75000@-001.25000@pano_c@00@@@@@201905@@.jpg",
            *(f"queries_{name}" for name in SVOX_QUERIES),
        ],
    )


SVOX_QUERIES = (
    "overcast/@0620010.00@5735000.00@30@U@@@overcast@@@@@@20141205_110000@@.jpg",
    "rain/@0620090.00@5735000.00@30@U@@@rain@@@@@@20141125_090000@@.jpg",
    "snow/@0620050.00@5735000.00@30@U@@@snow@@@@@@20150203_080000@@.jpg",
    "sun/@0620000.00@5735025.00@30@U@@@sun@@@@@@20150310_140000@@.jpg",
    "night/@0620110.00@5735000.00@30@U@@@night@@@@@@20141216_180000@@.jpg",
)


def write_sf_xl(root: Path) -> None:
    """Database images in a folder a part of the city; four sets of queries over one database."""
    folder = root / "sf-xl/processed"
    tail = "@37.78000@-122.42000@pano@@{}@@@@201709@@.jpg"
    east = "@0550000.00@4180000.00@10@S" + tail.format("090")
    west = "@0550060.00@4180000.00@10@S" + tail.format("-90")
    near = "@0550020.00@4180000.00@10@S" + tail.format("")
    far = "@0550200.00@4180000.00@10@S" + tail.format("")
    names = [f"test/{queries}/{near}" for queries in ("queries_v1", "queries_v2", "queries_night")]
    write_images(
        folder,
        [
            f"val/database/{east}",
            f"val/queries/{near}",
            f"test/database/37.70/{east}",
            f"test/database/37.71/{west}",
            *names,
            f"test/queries_v1/{far}",
            f"test/queries_occlusion/{far}",
        ],
    )


def write_own_images(root: Path) -> None:
    """An @ in a folder above, only the two fields that are needed, and no zone."""
    write_images(
        root / "own-images",
        [
            "database/drive@7@8@/@100.0@200.0@.jpg",
            "database/drive@7@8@/@150@200@.png",
            "queries/@115.0@220@@@@@@@400@@@@@@.JPG",
        ],
    )


def write_own_table(root: Path) -> None:
    """A manifest.csv beside images of any name."""
    write_images(root / "own-images", ["drive 1/-a.jpg", "drive 2/b.jpg"])
    (root / "own-images/manifest.csv").write_text(
        "path,role,easting,northing,condition\n"
        "drive 1/-a.jpg,database,100,200,\ndrive 2/b.jpg,queries,120,200,dusk\n"
    )


MINIATURES: dict[str, Callable[[Path], None]] = {
    "eynsham": write_eynsham,
    "gsv-cities": write_gsv_cities,
    "msls-challenge": write_msls,
    "msls-challenge-25m": write_msls_with_positions_of_test,
    "msls-train": write_msls,
    "msls-val-740": write_msls,
    "msls-val-all": write_msls,
    "own-images": write_own_images,
    "pitts250k": _pitts("pitts250k"),
    "pitts30k": _pitts("pitts30k"),
    "sf-xl": write_sf_xl,
    "st-lucia": write_st_lucia,
    "svox": write_svox,
    "tokyo247": write_tokyo,
}
