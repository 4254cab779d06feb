import numpy as np
import pyarrow as pa
import pytest

from vprcap.errors import InvalidError, MissingError
from vprcap.manifest import Manifest, ManifestInfo, build_manifest
from vprcap.training.places import places_of


def manifest_of(*place_ids: str | None) -> Manifest:
    names = [f"{row}.jpg" for row in range(len(place_ids))]
    columns = {"image_id": pa.array(names), "place_id": pa.array(place_ids, pa.string())}
    return build_manifest(columns, ManifestInfo("/images", "city"))


def test_images_of_one_place_get_one_number() -> None:
    manifest = manifest_of("corner", "bridge", "corner", "bridge", "quay")
    assert places_of(manifest, np.array([0, 1, 2, 3])).tolist() == [1, 0, 1, 0]


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
