"""Captions and images as one Hugging Face ``datasets`` directory, for ``load_from_disk``.

The images' own bytes are in it: it can be taken elsewhere or pushed to a hub as it is.
"""

from pathlib import Path

from vprcap.exchange.captioned import Captioned
from vprcap.exchange.folder import new_folder


def write_dataset(captioned: Captioned, output: Path) -> Path:
    """Write a directory with the columns image, image_id and caption."""
    from datasets import Dataset, Features, Image, Value

    features = Features({"image": Image(), "image_id": Value("string"), "caption": Value("string")})
    columns = {
        "image": [str(captioned.path(image_id)) for image_id in captioned.image_ids],
        "image_id": captioned.image_ids,
        "caption": captioned.captions,
    }
    with new_folder(output) as folder:
        Dataset.from_dict(columns, features=features).save_to_disk(folder)
    return output
