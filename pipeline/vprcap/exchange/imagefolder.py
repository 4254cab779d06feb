"""Captions for ``datasets.load_dataset("imagefolder", data_dir=...)``.

Beside ``metadata.parquet`` lie links to the images: nothing is copied or moved. Links are numbered,
because the loader reads splits out of folder names ("test", "val") and labels out of all others;
what an image is called is in the column ``image_id``.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vprcap.exchange.captioned import Captioned
from vprcap.exchange.folder import new_folder


def write_imagefolder(captioned: Captioned, output: Path) -> Path:
    """Write a folder of links with their captions."""
    with new_folder(output) as folder:
        (folder / "images").mkdir()
        names = []
        for number, image_id in enumerate(captioned.image_ids):
            names.append(f"images/{number:09d}{captioned.suffix(image_id)}")
            (folder / names[-1]).symlink_to(captioned.path(image_id).absolute())
        columns = [names, captioned.image_ids, captioned.captions]
        table = pa.table(
            [pa.array(column, pa.string()) for column in columns],
            names=["file_name", "image_id", "caption"],
        )
        pq.write_table(table, folder / "metadata.parquet", compression="zstd")
    return output
