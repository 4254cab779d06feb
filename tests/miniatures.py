"""Faithful miniatures of datasets and encoders, for tests that go the whole way."""

from pathlib import Path

import numpy as np
from PIL import Image
from transformers import BertConfig, BertModel, BertTokenizerFast, Dinov2Config, Dinov2Model

NUM_PLACES = 10


def write_encoders(folder: Path) -> tuple[Path, Path]:
    """Random encoders of the real classes, of images and of text."""
    image, text = folder / "dinov2", folder / "bert"
    text.mkdir(parents=True)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**size, image_size=56, patch_size=14)).save_pretrained(image)
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"abcdefghijklmnopqrstuvwxyz,.0123456789",
    ]
    vocabulary = text / "vocab.txt"
    vocabulary.write_text("\n".join([*words, *(f"##{word}" for word in words[5:])]))
    BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(text)
    BertModel(BertConfig(**size, intermediate_size=64, vocab_size=96)).save_pretrained(text)
    return image, text


def picture(place: int, view: int) -> Image.Image:
    """A pattern of its own for each place, a little noise for each view."""
    pattern = np.random.default_rng(place).integers(0, 200, (48, 64, 3))
    noise = np.random.default_rng((place, view)).integers(0, 40, (48, 64, 3))
    return Image.fromarray((pattern + noise).astype(np.uint8))


def write_gsv_cities(root: Path) -> None:
    lines = ["place_id,year,month,northdeg,city_id,lat,lon,panoid"]
    (root / "Images/London").mkdir(parents=True)
    (root / "Dataframes").mkdir()
    for place in range(NUM_PLACES):
        for view in range(4):
            lat, lon = f"{51.5 + place / 500}", "-0.1"
            name = f"London_{place:07d}_2015_0{view + 1}_090_{lat}_{lon}_pano{place}x{view}.jpg"
            picture(place, view).save(root / "Images/London" / name)
            lines.append(f"{place},2015,{view + 1},90,London,{lat},{lon},pano{place}x{view}")
    (root / "Dataframes/London.csv").write_text("\n".join(lines) + "\n")


def write_pitts(root: Path) -> None:
    for place in range(NUM_PLACES):
        for view, role in ((7, "database"), (8, "queries")):
            folder = root / "images/test" / role
            folder.mkdir(parents=True, exist_ok=True)
            easting, northing = f"{584000 + 100 * place:010.2f}", f"{4476000 + view:010.2f}"
            fields = f"@{easting}@{northing}@17@T@@@{place:06d}@25@@@@@@pitch1_yaw1@.jpg"
            picture(100 + place, view).save(folder / fields)
