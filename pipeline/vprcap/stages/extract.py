"""Extract: manifest (and captions) -> token features of frozen encoders, cached on disk."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import captions_of
from vprcap.decoding import DecodePool, default_workers
from vprcap.encoders import ImageEncoder, TextEncoder
from vprcap.evaluation.corruption import Corruption, corrupt
from vprcap.ground_truth.same_place import same_place
from vprcap.images import MAX_MEGAPIXELS, DecodedImage
from vprcap.manifests.manifest import Manifest, image_path, read_manifest
from vprcap.progress import Progress
from vprcap.retrieval.features import FeatureWriter, digest_rows, features_path
from vprcap.words import words_path, write_words

_IMAGE_BATCH = 16
_TEXT_BATCH = 64
_BATCHES_A_SAVE = 32


def extract_images(manifest: Path, encoder: ImageEncoder, features_root: Path) -> Path:
    """Encode every image of a manifest; one that cannot be decoded gets an all-false mask."""
    loaded = read_manifest(manifest)
    identity = {
        "kind": "image",
        "encoder": encoder.provenance,
        "images": digest_rows([loaded.info.image_root, *_states(loaded)]),
    }
    path = features_path(features_root, encoder.name, identity)
    if (path / "features.json").is_file():
        return path
    height, width = encoder.image_size
    num_tokens = encoder.encode([Image.new("RGB", (width, height))]).shape[1]
    shape = (len(loaded.image_ids), num_tokens, encoder.dim)
    with (
        FeatureWriter(path, shape) as writer,
        Progress("image features", len(loaded.image_ids), "images") as progress,
    ):
        progress.resume(writer.num_done)
        for count, batch in enumerate(_decoded_batches(loaded, writer.num_done), start=1):
            writer.append(*_encode_images(encoder, batch, num_tokens))
            progress.advance(len(batch))
            if count % _BATCHES_A_SAVE == 0:
                writer.save_progress()
        return writer.finish(identity)


def _states(manifest: Manifest) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of each image file: a replaced picture has new features."""
    for image_id in manifest.image_ids:
        try:
            status = image_path(manifest.info.image_root, image_id).stat()
            yield image_id, status.st_size, status.st_mtime_ns
        except OSError:
            yield image_id, -1, -1


def _decoded_batches(manifest: Manifest, start: int) -> Iterator[list[DecodedImage]]:
    paths = [image_path(manifest.info.image_root, name) for name in manifest.image_ids[start:]]
    with DecodePool(default_workers(), None, MAX_MEGAPIXELS) as pool:
        batch: list[DecodedImage] = []
        for image in pool.decode(paths, ahead=3 * _IMAGE_BATCH):
            batch.append(image)
            if len(batch) == _IMAGE_BATCH:
                yield batch
                batch = []
        if batch:
            yield batch


def _encode_images(
    encoder: ImageEncoder, batch: Sequence[DecodedImage], num_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.zeros((len(batch), num_tokens, encoder.dim), dtype=np.float16)
    present = [row for row, image in enumerate(batch) if image.pixels is not None]
    pixels = [image.pixels for image in batch if image.pixels is not None]
    if present:
        tokens[present] = encoder.encode([Image.fromarray(each) for each in pixels])
    mask = np.zeros(tokens.shape[:2], dtype=bool)
    mask[present] = True
    return tokens, mask


def extract_text(
    manifest: Path,
    captions: Path,
    encoder: TextEncoder,
    features_root: Path,
    *,
    corruption: Corruption | None = None,
) -> Path:
    """Encode the captions of a manifest's images; an image without one gets an all-false mask.

    The words of each caption are kept beside its tokens, see `vprcap.words`.

    Raises:
        MissingError: images of the manifest have no row in the caption set at all.
        InvalidError: the corruption cannot be done to this set.
    """
    loaded = read_manifest(manifest)
    texts = captions_of(loaded, captions)
    if corruption is not None:
        texts = _corrupted(texts, corruption, loaded)
    identity = {
        "kind": "text with words",
        "encoder": encoder.provenance,
        "captions": digest_rows(texts),
        "config_id": CaptionSet(captions).config_id,
    }
    path = features_path(features_root, encoder.name, identity)
    if (path / "features.json").is_file():
        return path
    shape = (len(texts), encoder.max_length, encoder.dim)
    with (
        FeatureWriter(path, shape) as writer,
        Progress("text features", len(texts), "captions") as progress,
    ):
        progress.resume(writer.num_done)
        for start in range(writer.num_done, len(texts), _TEXT_BATCH):
            batch = texts[start : start + _TEXT_BATCH]
            writer.append(*encoder.encode(batch))
            progress.advance(len(batch))
            if start // _TEXT_BATCH % _BATCHES_A_SAVE == 0:
                writer.save_progress()
        batches = (texts[i : i + _TEXT_BATCH] for i in range(0, len(texts), _TEXT_BATCH))
        write_words(words_path(path), map(encoder.words, batches))
        return writer.finish(identity)


def _corrupted(
    texts: list[str | None], corruption: Corruption, manifest: Manifest
) -> list[str | None]:
    other = corruption.other_captions
    return corrupt(
        texts,
        corruption,
        same_place=same_place(manifest) if corruption.kind == "wrong-place" else None,
        others=() if other is None else captions_of(manifest, other),
    )
