"""Baidu Mall (IDL, CVPR 2017): each image's pose lies in a ``.camera`` file beside it.

``training_images_undistort/NAME.jpg`` is the database and ``training_gt/NAME.camera`` its poses;
``query_images_undistort`` and ``query_gt`` are the queries and theirs. Nine lines: three of the
intrinsics, one of the distortion, three of the rotation, the centre of the camera in metres, the
size of the image. The centre is the last but one. An image and its pose are joined by name, not by
their places in two sorted folders.
"""

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.layouts.folder import image_ids_below


def read_baidu(root: Path) -> dict[str, pa.Array]:
    """Read database and queries; ids are relative to `root`, positions are metres in the mall.

    Raises:
        MissingError: a folder, or the pose of an image, is not there.
        InvalidError: a pose cannot be read.
    """
    rows = [*_rows(root, "training", "database"), *_rows(root, "query", "query")]
    return {
        "image_id": pa.array([row[0] for row in rows], pa.string()),
        "role": pa.array([row[1] for row in rows], pa.string()),
        "easting": pa.array([row[2] for row in rows], pa.float64()),
        "northing": pa.array([row[3] for row in rows], pa.float64()),
    }


def _rows(root: Path, part: str, role: str) -> Iterator[tuple[str, str, float, float]]:
    for image_id in image_ids_below(root, f"{part}_images_undistort"):
        pose = root / f"{part}_gt" / f"{PurePosixPath(image_id).stem}.camera"
        yield image_id, role, *_centre(pose, image_id)


def _centre(pose: Path, image_id: str) -> tuple[float, float]:
    """Give the first two coordinates of a camera's centre; the third is its height."""
    try:
        x, y, z = map(float, pose.read_text("ascii").rstrip().split("\n")[-2].split())
        if not all(map(math.isfinite, (x, y, z))):
            raise ValueError("a coordinate that is not finite")
    except FileNotFoundError:
        raise MissingError(f"no {pose}, the pose of {image_id}; unpack the dataset again") from None
    except (OSError, ValueError, IndexError) as problem:
        raise InvalidError(
            f"{pose} holds no three coordinates in its last line but one ({problem}); unpack the "
            "dataset again"
        ) from None
    return x, y
