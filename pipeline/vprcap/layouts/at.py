"""The ``@`` layout: ``<folder>/{database,queries}/@easting@northing@...@.jpg``.

The common form that VPR-datasets-downloader writes. The role comes from the nearest folder named
``database`` or ``query``/``queries``, the position from the file's own name.
"""

from pathlib import Path

import pyarrow as pa

from vprcap.at_name import parse_at_name
from vprcap.layouts.folder import image_ids_below, role_of


def read_at(root: Path, folder: str = ".") -> dict[str, pa.Array]:
    """Read the images below `root/folder`; ids are relative to `root`."""
    image_ids = image_ids_below(root, folder)
    names = [parse_at_name(image_id) for image_id in image_ids]
    return {
        "image_id": pa.array(image_ids, pa.string()),
        "role": pa.array([role_of(image_id) for image_id in image_ids], pa.string()),
        "easting": pa.array([name.easting for name in names], pa.float64()),
        "northing": pa.array([name.northing for name in names], pa.float64()),
        "zone": pa.array([name.zone for name in names], pa.string()),
        "heading_deg": pa.array(
            [None if name.heading_deg is None else name.heading_deg % 360 for name in names],
            pa.float64(),
        ),
    }
