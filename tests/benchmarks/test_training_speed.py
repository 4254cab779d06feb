"""What stored features save: an epoch on them against the same epoch from photographs.

    make bench

Needs the London photographs and the extra offline-models. A part of the training places is enough,
because all times grow with the number of images. Compared are an epoch on stored features, the same
epoch with its images decoded and encoded anew (no gradients in the encoder: the least that training
without stored features can do), and an epoch of end-to-end training with adapters in all blocks.
"""

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vprcap.encoders import load_image_encoder
from vprcap.encoders.adapters import AdapterConfig
from vprcap.stages.scan import scan
from vprcap.training import TrainConfig
from vprcap.workflows.material import Encoders
from vprcap.workflows.prepare import Source
from vprcap.workflows.training import train_combiner

pytestmark = pytest.mark.bench

NUM_PLACES = 48
ENCODERS = Encoders("packaged:dinov2-s-saliency", "packaged:minilm-l6")
CONFIG = TrainConfig(epochs=2, places_per_batch=8, patience=9)


def test_stored_features_make_an_epoch_ten_times_faster(london: Path, tmp_path: Path) -> None:
    images = london / "msls_london_train"
    rows = some_places(images / "train_cells.csv")
    with (tmp_path / "table.csv").open("w") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    manifest = scan(
        images,
        tmp_path / "set.parquet",
        table=tmp_path / "table.csv",
        columns={"place_id": "cell_id"},
    )

    def epoch_seconds(name: str, adapters: AdapterConfig | None) -> float:
        run = train_combiner(
            Source(manifest),
            tmp_path / name,
            encoders=ENCODERS,
            without_captions=True,
            features_root=tmp_path / "features",
            adapters=adapters,
            config=CONFIG,
        )
        last = (run / "metrics.jsonl").read_text().splitlines()[-1]
        return float(json.loads(last)["seconds"])

    stored = epoch_seconds("stored", None)
    # An epoch shows four images of each of the places that are not held out.
    shown = CONFIG.images_per_place * (NUM_PLACES - round(CONFIG.validation_share * NUM_PLACES))
    anew = stored + shown * seconds_to_encode([images / row["path"] for row in rows[:32]])
    adapted = epoch_seconds("adapted", AdapterConfig("bottleneck"))
    print(
        f"\nan epoch of {shown} images: {stored:.2f} s on stored features, {anew:.1f} s with them "
        f"encoded anew ({anew / stored:.1f} times as long), {adapted:.1f} s with adapters "
        f"({adapted / stored:.1f} times)"
    )
    assert min(anew, adapted) / stored >= 10


def some_places(table: Path) -> list[dict[str, str]]:
    """The rows of the first places."""
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    names = list(dict.fromkeys(row["cell_id"] for row in rows))[:NUM_PLACES]
    return [row for row in rows if row["cell_id"] in names]


def seconds_to_encode(paths: list[Path]) -> float:
    """Seconds an image to decode and encode it, in batches of 16; the first batch warms up."""
    encoder = load_image_encoder(ENCODERS.image)
    seconds = []
    for start in range(0, len(paths), 16):
        begun = time.perf_counter()
        encoder.encode([Image.open(path) for path in paths[start : start + 16]])
        seconds.append((time.perf_counter() - begun) / 16)
    return float(np.mean(seconds[1:]))
