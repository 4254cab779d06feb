import numpy as np
import pyarrow as pa
import pytest

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.manifest import Manifest, ManifestInfo, build_manifest
from vprcap.manifests.rule import PositiveRule
from vprcap.training.places import places_of, positions_of, rows_in_places


def manifest_of(*place_ids: str | None) -> Manifest:
    names = [f"{row}.jpg" for row in range(len(place_ids))]
    columns = {"image_id": pa.array(names), "place_id": pa.array(place_ids, pa.string())}
    return build_manifest(columns, ManifestInfo("/images", "city"))


def test_images_of_one_place_get_one_number() -> None:
    manifest = manifest_of("corner", "bridge", "corner", "bridge", "quay")
    assert places_of(manifest, np.array([0, 1, 2, 3])).tolist() == [1, 0, 1, 0]


def test_equal_names_in_two_cities_are_two_places() -> None:
    columns = {
        "image_id": pa.array([f"{row}.jpg" for row in range(4)]),
        "place_id": pa.array(["5", "5", "5", "5"]),
        "domain": pa.array(["cph", "sf", "cph", "sf"]),
    }
    manifest = build_manifest(columns, ManifestInfo("/images", "cities"))
    assert places_of(manifest, np.arange(4)).tolist() == [0, 1, 0, 1]


def test_places_of_one_image_are_named_as_the_table_names_them() -> None:
    manifest = manifest_of("corner", "bridge", "corner", "quay")
    with pytest.raises(InvalidError, match="2 places of city have one image.*bridge, quay; leave"):
        places_of(manifest, np.arange(4))


def test_a_place_that_lost_its_other_image_is_a_place_of_one_image() -> None:
    manifest = manifest_of("corner", "corner", "quay", "quay")
    with pytest.raises(InvalidError, match=r"place_id quay; leave them out"):
        places_of(manifest, np.array([0, 1, 2]))


def test_images_without_places_are_refused() -> None:
    with pytest.raises(MissingError, match="no place_id"):
        places_of(manifest_of("corner", "corner", None), np.arange(3))


def taken_at(*rows: tuple[float, float, float | None, str]) -> Manifest:
    eastings, northings, headings, domains = zip(*rows, strict=True)
    columns = {
        "image_id": pa.array([f"{row}.jpg" for row in range(len(rows))]),
        "easting": pa.array(eastings),
        "northing": pa.array(northings),
        "heading_deg": pa.array(headings, pa.float64()),
        "domain": pa.array(domains),
    }
    return build_manifest(columns, ManifestInfo("/images", "street"))


def test_without_places_images_of_one_cell_and_heading_are_a_place() -> None:
    manifest = taken_at(
        (1.0, 1.0, 10.0, "a"),
        (19.0, 19.0, 50.0, "a"),  # the same 20 m cell, the same sector of 60 degrees
        (1.0, 1.0, 70.0, "a"),  # the next sector, alone
        (21.0, 1.0, 10.0, "a"),  # the next cell, alone
        (1.0, 1.0, 10.0, "b"),  # another city, alone
    )
    kept = rows_in_places(manifest, np.arange(5))
    assert kept.tolist() == [0, 1]
    assert places_of(manifest, kept).tolist() == [0, 0]


def test_cities_whose_coordinates_coincide_are_far_apart_in_training() -> None:
    manifest = taken_at((1.0, 1.0, None, "a"), (1.0, 1.0, None, "b"))
    positions = positions_of(manifest, np.arange(2))
    assert positions is not None
    assert np.linalg.norm(positions[0] - positions[1]) == 1e7


def test_frames_are_places_where_nothing_else_is_known() -> None:
    columns = {
        "image_id": pa.array([f"{row}.jpg" for row in range(6)]),
        "frame": pa.array([0, 2, 3, 3, 5, 9]),
    }
    info = ManifestInfo("/images", "railway", PositiveRule("frames", frames=1))
    manifest = build_manifest(columns, info)
    kept = rows_in_places(manifest, np.arange(6))
    assert kept.tolist() == [0, 1, 2, 3, 4]  # runs of three frames: 0-2, 3-5; 9 is alone
    assert places_of(manifest, kept).tolist() == [0, 0, 1, 1, 1]
    positions = positions_of(manifest, kept)
    assert positions is not None
    assert positions[1:3, 0].tolist() == [50.0, 75.0]  # frames 2 and 3 are as near as positives


def test_nothing_to_learn_from_is_said() -> None:
    columns = {"image_id": pa.array(["a.jpg", "b.jpg"])}
    manifest = build_manifest(columns, ManifestInfo("/images", "heap"))
    with pytest.raises(MissingError, match="no place_id, position or frame"):
        rows_in_places(manifest, np.arange(2))
