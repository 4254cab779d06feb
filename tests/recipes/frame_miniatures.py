"""Small datasets in the real layouts of those whose ground truth is a number or a list.

Each function writes the dataset's folder below a root. Names, quirks and numbers are the real ones;
only most of the images are left out.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

NORDLAND_10 = {
    # 25/10.5 m from frame to frame, cut after one decimal: frame 1 is at 2.38 m.
    0: "00000.0",
    1: "00002.3",
    10: "00023.8",
    11: "00026.1",
    21: "00050.0",
    22: "00052.3",
    27580: "65666.6",
    27581: "65669.0",
    27591: "65692.8",
}
LISTED = [f"images-{number:05d}.png" for number in (*range(202, 212), *range(300, 310))]
"""A tunnel lies between 211 and 300: nobody kept its frames."""
SECTIONS = {
    "section1": (1146, 1147, 1148, 1149),
    "section2": (1150, 1151, 1152),
    "section3": (2300,),
}
GARDEN = range(12)
BAIDU = {
    "training": {"DSC00009": (0.0, 0.0), "DSC00010": (-10.0, 0.0), "DSC00100": (0.0, -25.0)},
    "query": {"IMG_2": (0.0, 0.0), "IMG_10": (0.0, -15.5), "IMG_11": (60.0, 0.0)},
}


def write_images(folder: Path, names: Iterable[str]) -> None:
    """Write an image of its own colours under each name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        seed = np.frombuffer(f"{folder.name}/{name}".encode(), np.uint8)
        pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)


def write_ground_truth(path: Path, rows: list[tuple[int, list[int]]]) -> None:
    """Save an object array [queries, 2], as VPR-Bench does."""
    array = np.empty((len(rows), 2), dtype=object)
    for row, (query, references) in enumerate(rows):
        array[row, 0], array[row, 1] = query, references
    np.save(path, array, allow_pickle=True)


def numbered(numbers: Iterable[int]) -> list[str]:
    """Name images as VPR-Bench does."""
    return [f"{number:07d}.jpg" for number in numbers]


def nordland_vprbench(root: Path) -> None:
    write_images(root / "nordland/ref", numbered(range(22)))
    write_images(root / "nordland/query", numbered(range(3)))


def nordland_10(root: Path) -> None:
    names = {frame: f"@0@{at}@@@@@{frame}@@@@@@@@.jpg" for frame, at in NORDLAND_10.items()}
    images = root / "nordland/images/test"
    write_images(images / "database", names.values())
    write_images(images / "queries", [names[frame] for frame in (0, 11, 27591)])


def nordland_patch_netvlad(root: Path) -> None:
    folder = root / "nordland"
    # Each archive has frames that the other lacks; the lists name those that both have.
    write_images(folder / "summer", ["images-00001.png", "images-00002.png", *LISTED])
    write_images(folder / "winter", ["images-00002.png", *LISTED, "images-00999.png"])
    for part, season in (("index", "summer"), ("query", "winter")):
        lines = [f"./nordland/{season}/{name}\n" for name in LISTED]
        (folder / f"nordland_imageNames_{part}.txt").write_text("".join(lines))


def nordland_facil(root: Path) -> None:
    for season in ("summer", "winter"):
        for section, numbers in SECTIONS.items():
            folder = root / f"nordland/test/{season}_images_test" / section
            write_images(folder, [f"{number}.png" for number in numbers])


def sped(root: Path) -> None:
    for part in ("ref", "query"):
        write_images(root / "sped/SPEDTEST" / part, numbered(range(4)))


def essex3in1(root: Path) -> None:
    folder = root / "essex3in1"
    write_images(folder / "ref", numbered(range(4)))
    write_images(folder / "query", numbered(range(4)))
    # Image 4 does not exist, and query 3 shows no place of the database.
    write_ground_truth(
        folder / "ground_truth_new.npy", [(0, [0]), (1, [0, 1]), (2, [2, 3, 4]), (3, [-1])]
    )


def gardens_point_tn(root: Path) -> None:
    folder = root / "gardens-point-tn"
    write_images(folder / "ref", numbered(range(4)))
    write_images(folder / "query", numbered(range(7)))
    # Two images either way whether or not they exist, and three queries of other places.
    places = [(query, list(range(max(query - 2, 0), query + 3))) for query in range(4)]
    write_ground_truth(
        folder / "ground_truth_new.npy", [*places, *((query, [-1]) for query in (4, 5, 6))]
    )


def gardens_point(root: Path) -> None:
    for walk in ("day_left", "day_right", "night_right"):
        write_images(root / "gardens-point" / walk, [f"Image{number:03d}.jpg" for number in GARDEN])
    for folder in ("ref", "query"):  # VPR-Bench's copy of one pair
        write_images(root / "gardens-point" / folder, numbered(range(3)))


def amstertime(root: Path) -> None:
    write_images(root / "amstertime/new", ["7.png", "70.png", "1230.png"])
    write_images(root / "amstertime/old", ["7.jpg", "70.jpg", "1230.jpg"])


def baidu_mall(root: Path) -> None:
    folder = root / "baidu-mall"
    for part, cameras in BAIDU.items():
        write_images(folder / f"{part}_images_undistort", [f"{name}.jpg" for name in cameras])
        (folder / f"{part}_gt").mkdir(exist_ok=True)
        for name, (x, y) in cameras.items():
            (folder / f"{part}_gt/{name}.camera").write_text(
                "1500 0 960\n0 1500 540\n0 0 1\n0 0 0\n1 0 0\n0 0 -1\n0 1 0\n"
                f"{x} {y} 1.6\n1920 1080\n"
            )


MINIATURES: dict[str, Callable[[Path], None]] = {
    "amstertime": amstertime,
    "baidu-mall-10m": baidu_mall,
    "baidu-mall-25m": baidu_mall,
    "essex3in1": essex3in1,
    "gardens-point-0": gardens_point,
    "gardens-point-2": gardens_point,
    "gardens-point-8": gardens_point,
    "gardens-point-tn": gardens_point_tn,
    "nordland-10": nordland_10,
    "nordland-facil": nordland_facil,
    "nordland-patch-netvlad": nordland_patch_netvlad,
    "nordland-vprbench": nordland_vprbench,
    "sped": sped,
}
