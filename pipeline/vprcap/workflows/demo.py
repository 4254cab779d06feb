"""The demonstration: the whole job on a city that is drawn on the spot.

Nothing is downloaded and nothing is a stand-in: the city is captioned by a real LLaVA checkpoint
under NF4, if a tiny one that knows nothing else, and every stage is the one that real data go
through. What it shows is that the machine works and when text helps, not how well on photographs.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vprcap.caption_job import JobOptions, open_job
from vprcap.caption_sets.captions import read_captions
from vprcap.city import (
    EVALUATION,
    TRAINING,
    CaptionScore,
    read_attributes,
    score_caption,
    write_city,
)
from vprcap.city.seeds import DEMO_EVALUATION, DEMO_TRAINING
from vprcap.evaluation.corruption import Corruption
from vprcap.files import read_json, write_json
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard
from vprcap.training import TrainConfig
from vprcap.workflows.evaluation import evaluation_folder, score
from vprcap.workflows.material import Encoders, corrupted, gather
from vprcap.workflows.prepare import Source
from vprcap.workflows.training import train_combiner

ENCODERS = Encoders("packaged:dinov2-s-saliency", "packaged:minilm-l6")
MODEL = "packaged:tiny-llava"
NUM_TRAINING_PLACES = 200
NUM_EVALUATION_PLACES = 200
DESCRIPTOR_DIM = 256


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Time the body."""
        begun = time.perf_counter()
        yield
        elapsed = time.perf_counter() - begun
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + elapsed, 1)


def demo(out: Path) -> Path:
    """Render, caption, train and evaluate in `out`; return its ``results.json``."""
    watch = Stopwatch()
    train_set, test_set = out / "training-city", out / "city"
    with watch.time("render"):
        write_city(
            train_set, seed=DEMO_TRAINING, num_places=NUM_TRAINING_PLACES, traversals=TRAINING
        )
        write_city(
            test_set, seed=DEMO_EVALUATION, num_places=NUM_EVALUATION_PLACES, traversals=EVALUATION
        )
    with watch.time("caption"):
        captions = [_caption(images) for images in (train_set, test_set)]
    with watch.time("train"):
        run = train_combiner(
            Source(_manifest(train_set)),
            out / "combiner",
            encoders=ENCODERS,
            descriptor_dim=DESCRIPTOR_DIM,
            config=TrainConfig(),
        )
    with watch.time("eval"):
        material = gather(Source(_manifest(test_set)), ENCODERS, captions[1], None)
        folder = evaluation_folder(material, run)
        honest = score(material, run, folder)
        shuffle = Corruption("shuffle")
        wrong = corrupted(material, ENCODERS.load_text(), shuffle)
        control = folder.with_name(f"{folder.name}-shuffled")
        shuffled = score(wrong, run, control, variant=shuffle.variant)
    return write_json(
        out / "results.json", _results(honest, shuffled, captions[1], test_set, watch.seconds)
    )


def summarise(results: dict[str, Any]) -> str:
    """Say the results in a few lines."""
    captions, delta = results["captions"], results["delta_fused_minus_image"]
    cutoffs = ("1", "5", "10", "20")
    lines = ["demonstration on a procedural city: " + " ".join(f"{f'R@{k}':>6}" for k in cutoffs)]
    shown = {**results["recall"]}
    shown["fused, captions shuffled"] = results["recall_with_shuffled_captions"]["fused"]
    lines += [
        f"{mode:<36}" + " ".join(f"{100 * values[k]:6.1f}" for k in cutoffs)
        for mode, values in shown.items()
    ]
    return "\n".join(
        [
            *lines,
            f"fused - image at R@1: {100 * delta['r1']:+.1f} points "
            f"[{100 * delta['low']:+.1f}, {100 * delta['high']:+.1f}]",
            f"captions: {captions['ok']:,} of {captions['rows']:,} ok, "
            f"{captions['attribute_accuracy']:.0%} of the attributes right, "
            f"{captions['hallucination_rate']:.0%} of the objects named are not there",
            f"seconds: {results['seconds']['total']:.0f} in all",
        ]
    )


def _manifest(images: Path) -> Path:
    return images.parent / f"{images.name}.parquet"


def _caption(images: Path) -> Path:
    manifest = scan(images, _manifest(images), table=images / "table.csv")
    shard(manifest)
    return caption(
        open_job(JobOptions(manifest, model=MODEL, quantization="nf4", max_new_tokens=96))
    )


def _results(
    honest: Path, shuffled: Path, captions: Path, images: Path, seconds: dict[str, float]
) -> dict[str, Any]:
    report, control = read_json(honest), read_json(shuffled)
    rows = read_captions(captions).to_pylist()
    truth = read_attributes(images)
    total = sum(
        (score_caption(row["caption"] or "", truth[row["image_id"]]) for row in rows),
        CaptionScore(),
    )
    delta = report["delta"]["1"]
    return {
        "demonstration": "procedural city and a tiny captioner; says nothing about photographs",
        "recall": {mode: _values(each) for mode, each in report["recall"].items()},
        "delta_fused_minus_image": {
            "r1": delta["value"],
            "low": delta["low"],
            "high": delta["high"],
        },
        "recall_with_shuffled_captions": {"fused": _values(control["recall"]["fused"])},
        "captions": {
            "rows": len(rows),
            "ok": sum(row["status"] == "ok" for row in rows),
            "attribute_accuracy": total.attribute_accuracy,
            "hallucination_rate": total.hallucination_rate,
        },
        "seconds": {**seconds, "total": round(sum(seconds.values()), 1)},
    }


def _values(estimates: dict[str, dict[str, float]]) -> dict[str, float]:
    return {cutoff: estimate["value"] for cutoff, estimate in estimates.items()}
