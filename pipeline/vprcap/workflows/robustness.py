"""Robustness: recall against the strength of a caption corruption, as a table and a plot.

Every strength and seed is a caption set of its own, whose text features stay in the cache: a second
curve of another run costs only the combiner. They may be removed when they are no longer needed.
"""

import sys
from pathlib import Path

from vprcap.errors import InvalidError
from vprcap.evaluation.comparison import comparison_from_json
from vprcap.evaluation.corruption import Corruption
from vprcap.evaluation.figures import corruption_figure
from vprcap.evaluation.plot import write_drawing
from vprcap.evaluation.provenance import write_provenance
from vprcap.files import read_json
from vprcap.stages.compare import Variant, compare
from vprcap.stages.evaluate import evaluate
from vprcap.stages.explain import explain
from vprcap.workflows.evaluation import (
    describe_modes,
    evaluation_folder,
    find_material,
    provenance_of,
)
from vprcap.workflows.material import Material, corrupted, encoders_of
from vprcap.workflows.prepare import Source

STRENGTHS = (0.0, 0.1, 0.3, 0.5, 1.0)


def corruption_curve(
    source: Source,
    run: Path,
    output: Path | None = None,
    *,
    kind: str,
    num_seeds: int = 3,
    captions: Path | None = None,
    other_captions: Path | None = None,
    features_root: Path | None = None,
) -> Path:
    """Evaluate under every strength and seed of one corruption; return ``curve.json``.

    ``curve.svg`` beside it shows R@1; each evaluation has a folder of its own there.

    Raises:
        InvalidError: the kind is unknown, or there are no seeds.
    """
    Corruption(kind, other_captions=other_captions)  # an unknown kind is told before any work
    if num_seeds < 1:
        raise InvalidError(f"{num_seeds} seeds measure nothing; give at least 1, better 3")
    material = find_material(source, run, captions, features_root)
    default = evaluation_folder(material, run)
    folder = output or default.with_name(f"{default.name}-{kind}")
    image = describe_modes(material, run, folder, ["image"])["image"]
    encoder = encoders_of(run).load_text()

    def measure(strength: float, seed: int) -> Path:
        corruption = Corruption(kind, strength, seed, other_captions)
        print(f"{kind}: strength {strength:g}, seed {seed}", file=sys.stderr)
        here = folder / corruption.name
        changed = corrupted(material, encoder, corruption)
        return _evaluate(changed, run, image, here, corruption.variant)

    honest = [measure(0.0, 0)] * num_seeds  # without corruption there is nothing to draw
    variants = [Variant("image-only", honest, "image"), Variant(_label(0.0), honest)] + [
        Variant(_label(strength), [measure(strength, seed) for seed in range(num_seeds)])
        for strength in STRENGTHS[1:]
    ]
    title = f"captions corrupted by {kind}, seeds: {num_seeds}"
    curve = compare(material.manifest, variants, _label(0.0), title, folder / "curve.json")
    write_drawing(
        curve.with_suffix(".svg"), corruption_figure(comparison_from_json(read_json(curve)))
    )
    return curve


def _label(strength: float) -> str:
    return f"strength {strength:g}"


def _evaluate(
    material: Material, run: Path, image: Path, folder: Path, variant: str | None
) -> Path:
    fused = describe_modes(material, run, folder, ["fused"])["fused"]
    modes = {"image": (image, image), "fused": (fused, fused)}
    if material.text_features is not None:
        explain(material.manifest, material.text_features, fused, folder / "gates.parquet")
    write_provenance(folder, provenance_of(material, run))
    return evaluate(material.manifest, modes, folder, variant=variant).parent
