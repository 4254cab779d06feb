"""Folders of empty files with ``@`` names along drives, and how the field reads them."""

from glob import glob
from pathlib import Path

import numpy as np
from sklearn.neighbors import NearestNeighbors

from vprcap.ground_truth.positives import Task, build_task
from vprcap.manifests.manifest import Manifest, read_manifest
from vprcap.stages.scan import scan

TILES, STEP_M, DRIVE, SIDE_M = 24, 10, 100, 6_000


def write_drives(root: Path, num_database: int, num_queries: int) -> None:
    """Empty files at the positions of straight drives; queries are some metres off the drives."""
    rng = np.random.default_rng(0)
    num_spots = -(-num_database // TILES)
    drives = -(-num_spots // DRIVE)
    starts, turns = rng.uniform(0, SIDE_M, (drives, 1, 2)), rng.uniform(0, 2 * np.pi, (drives, 1))
    along = STEP_M * np.arange(DRIVE)
    steps = np.stack([along * np.cos(turns), along * np.sin(turns)], axis=-1)
    spots = (starts + steps).reshape(-1, 2)[:num_spots] + (584_000, 4_476_000)
    asked = spots[rng.permutation(num_spots)[: -(-num_queries // TILES)]]
    asked = asked + rng.normal(0, 5, asked.shape)
    roles = (("database", spots, num_database), ("queries", asked, num_queries))
    for role, positions, number in roles:
        folder = root / "images" / "test" / role
        folder.mkdir(parents=True)
        for row in range(number):
            spot, tile = divmod(row, TILES)
            easting, northing = positions[spot]
            place = f"@{easting:010.2f}@{northing:010.2f}@17@T@040.44062@-079.99589"
            view = f"@{spot:06d}@{tile:02d}@{tile % 12 * 30:03d}@@@@201206__@pitch1_yaw{tile}"
            (folder / f"{place}{view}@.jpg").touch()


def the_field(root: Path) -> tuple[list[str], list[str], list[np.ndarray]]:
    """Database paths, query paths, and for each query its positives, as rows of the database."""
    folders = [f"{root}/images/test/{role}" for role in ("database", "queries")]
    paths = [sorted(glob(f"{folder}/**/*.jpg", recursive=True)) for folder in folders]
    database, queries = (
        np.array([(path.split("@")[1], path.split("@")[2]) for path in own]).astype(float)
        for own in paths
    )
    search = NearestNeighbors(n_jobs=-1).fit(database)
    return *paths, search.radius_neighbors(queries, radius=25, return_distance=False)


def ours(root: Path) -> tuple[Manifest, Task]:
    """A manifest on disk, read again, and its task."""
    output = root / "manifest.parquet"
    output.unlink(missing_ok=True)
    manifest = read_manifest(scan(root, output))
    return manifest, build_task(manifest)


def assert_same(
    root: Path, field: tuple[list[str], list[str], list[np.ndarray]], own: tuple[Manifest, Task]
) -> None:
    """Both have the same images in the same order, and the same positives."""
    manifest, task = own
    ids = np.array(manifest.image_ids)
    for paths, rows in zip(field[:2], (task.database, task.queries), strict=True):
        assert [f"{root}/{image_id}" for image_id in ids[rows]] == paths
    assert len(field[2]) == len(task.positives)
    for theirs, positives in zip(field[2], task.positives, strict=True):
        assert np.array_equal(np.sort(theirs), positives)
