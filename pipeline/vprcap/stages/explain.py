"""Explain: what was believed of each caption -> its words and their gates, beside the predictions.

The gates are those of the fused descriptors that were compared, not computed anew: what is shown
is what decided. Captions are kept as they were written; whoever displays them escapes them.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vprcap.combiner.describing import mean_gates
from vprcap.errors import InvalidError
from vprcap.files import replacing
from vprcap.manifests.manifest import read_manifest
from vprcap.retrieval.descriptors import read_descriptors
from vprcap.retrieval.features import read_features
from vprcap.words import read_words, words_path

GATES_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("role", pa.string()),
        ("caption", pa.string()),  # null where there is none
        ("reliability", pa.float32()),  # mean gate of its tokens; null where there is none
        ("words", pa.list_(pa.string())),
        ("gates", pa.list_(pa.float32())),  # of each word: the mean over its pieces
    ]
)


def explain(manifest: Path, text_features: Path, fused: Path, output: Path) -> Path:
    """Write caption, words, gates and reliability of every query and database image.

    Args:
        manifest: the images.
        text_features: feature set of their captions, with its words.
        fused: fused descriptors, with their gates.
        output: Parquet file to write; it is returned.

    Raises:
        InvalidError: the descriptors carry no gates, or are of other captions.
    """
    loaded, texts = read_manifest(manifest), read_features(text_features)
    gates, words = read_descriptors(fused).gates, read_words(words_path(text_features))
    if gates is None or gates.shape != texts.mask.shape or len(words) != len(gates):
        raise InvalidError(
            f"{fused} has no gates of the captions in {text_features}; describe them fused"
        )
    reliability = mean_gates(gates, texts.mask)
    ids, roles = loaded.image_ids, loaded.column("role")
    rows = [
        {
            "image_id": ids[row],
            "role": roles[row],
            "caption": each.caption,
            "reliability": None if each.caption is None else float(reliability[row]),
            "words": each.words,
            "gates": each.gates(gates[row]),
        }
        for row, each in enumerate(words)
        if roles[row] is not None
    ]
    with replacing(output) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=GATES_SCHEMA), temporary)
    return output
