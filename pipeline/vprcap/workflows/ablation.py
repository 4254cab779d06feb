"""Ablate: one part of a run after another is replaced, trained with several seeds and compared.

Every variant sees the same images, captions and, where captions are corrupted for the evaluation,
the same corruption: the k-th training seed goes with the k-th corruption seed.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from vprcap.combiner.config import FUSIONS, GATES
from vprcap.errors import Interrupted, InvalidError, MissingError, VprcapError
from vprcap.evaluation.corruption import Corruption
from vprcap.late_fusion import LATE_FUSIONS
from vprcap.retrieval.codes import CODE_BITS
from vprcap.stages.compare import Variant, compare
from vprcap.stages.evaluate import evaluate
from vprcap.stages.late_fuse import Described, late_fuse
from vprcap.workflows.evaluation import describe_modes, evaluation_folder, find_material
from vprcap.workflows.material import Material, corrupted, encoders_of
from vprcap.workflows.prepare import Source
from vprcap.workflows.variants import Original, read_original

logger = logging.getLogger(__name__)

ABLATIONS = ("gates", "fusions", "dims")


def ablate(
    source: Source,
    run: Path,
    output: Path | None = None,
    *,
    what: str,
    num_seeds: int = 3,
    captions: Path | None = None,
    features_root: Path | None = None,
    corruption: Corruption | None = None,
) -> Path:
    """Compare the variants of one thing; return ``comparison.json``.

    A variant that fails is told in one line and left out.

    Args:
        source: the set to evaluate on.
        run: folder of the trained combiner.
        output: folder for the results; default: in the run.
        what: ``gates``, ``fusions`` or ``dims``.
        num_seeds: trainings of each variant.
        captions: caption set, where there are several.
        features_root: folder of cached features.
        corruption: what is done to the captions that are evaluated.

    Raises:
        InvalidError: what to ablate is unknown, or the variant to compare with failed.
        MissingError: the training features of the run are gone.
    """
    if what not in ABLATIONS:
        raise InvalidError(f"no ablation {what!r}; there are: {', '.join(ABLATIONS)}")
    if num_seeds < 1:
        raise InvalidError(f"{num_seeds} seeds measure nothing; give at least 1, better 3")
    original = read_original(run)
    material = find_material(source, run, captions, features_root)
    default = evaluation_folder(material, run)
    corrupt = "" if corruption is None else f"-{corruption.kind}-{corruption.strength:g}"
    folder = output or default.with_name(f"{default.name}-{what}{corrupt}")
    ablation = _Ablation(original, material, folder, num_seeds, corruption)
    match what:
        case "gates":
            variants, reference = ablation.parts("gate", GATES), original.combiner.gate
        case "fusions":
            combiners = ablation.parts("fusion", FUSIONS)
            variants, reference = combiners + ablation.late(), original.combiner.fusion
        case _:
            variants, reference = ablation.dims(), f"image-only {original.combiner.descriptor_dim}"
    if reference not in {variant.name for variant in variants}:
        raise InvalidError(
            f"{reference} is what {what} are compared with, and it failed; see above"
        )
    title = f"{what}, training seeds: {num_seeds}"
    title += "" if corruption is None else f", captions {corruption.kind} {corruption.strength:g}"
    return compare(material.manifest, variants, reference, title, folder / "comparison.json")


@dataclass(frozen=True)
class _Ablation:
    """One ablation at work: trains, describes and evaluates its variants."""

    original: Original
    material: Material
    folder: Path
    num_seeds: int
    corruption: Corruption | None

    @property
    def seeds(self) -> Sequence[int]:
        """Training seeds: the run's own, and those after it."""
        first = self.original.training.seed
        return range(first, first + self.num_seeds)

    @cached_property
    def materials(self) -> list[Material]:
        """What is evaluated with each seed."""
        if self.corruption is None:
            return [self.material] * self.num_seeds
        encoder = encoders_of(self.original.run).load_text()
        return [
            corrupted(self.material, encoder, replace(self.corruption, seed=number))
            for number in range(self.num_seeds)
        ]

    def parts(self, part: str, names: Iterable[str]) -> list[Variant]:
        """Evaluate combiners that differ in one part."""

        def evaluated(name: str, number: int) -> Path:
            run = self.original.variant(self.seeds[number], **{part: name})
            here = self.folder / f"{name}-seed{self.seeds[number]}"
            return self._evaluate(self._describe(run, number, here), here)

        return self._variants(names, evaluated)

    def late(self) -> list[Variant]:
        """Evaluate fusions of finished descriptors, those of the run's own combiner."""
        known = self.original.material
        training = Material(
            Path(known["manifest"]),
            self.material.captions,
            Path(known["image_features"]),
            Path(known["text_features"]),
        )

        @cache
        def sides(number: int) -> tuple[Described, Described]:
            run, shared = self._original(number), self._shared(number)
            return (
                _described(training, run, shared / "training"),
                _described(self.materials[number], run, shared / "evaluation"),
            )

        def evaluated(name: str, number: int) -> Path:
            seed = self.seeds[number]
            here = self.folder / f"{name}-seed{seed}"
            variant = self._variant(here)
            return late_fuse(name, *sides(number), here, seed, variant=variant).parent

        return self._variants(LATE_FUSIONS, evaluated)

    def dims(self) -> list[Variant]:
        """Evaluate beginnings of descriptors, and codes of them."""
        config = self.original.combiner

        @cache
        def described(number: int) -> dict[str, Path]:
            return self._describe(self._original(number), number, self._shared(number))

        def evaluated(name: str, number: int) -> Path:
            here = self.folder / f"{name}-seed{self.seeds[number]}"
            if name == "binary":
                return self._evaluate(described(number), here, binary=True)
            return self._evaluate(described(number), here, dim=int(name))

        found = self._variants([*map(str, config.prefix_dims), "binary"], evaluated)
        bits = min(CODE_BITS, config.descriptor_dim)
        rows = {str(dim): (str(dim), 4 * dim) for dim in config.prefix_dims}
        rows["binary"] = (f"{bits} bits, re-ranked", -(-bits // 8))
        return [
            Variant(f"{shown} {rows[each.name][0]}", each.evaluations, mode, rows[each.name][1])
            for mode, shown in (("fused", "fused"), ("image", "image-only"))
            for each in found
        ]

    def _variants(
        self, names: Iterable[str], evaluated: Callable[[str, int], Path]
    ) -> list[Variant]:
        """Evaluate each variant with every seed; leave out one that fails."""
        variants = []
        for name in names:
            try:
                found = []
                for number in range(self.num_seeds):
                    print(f"{name}: seed {self.seeds[number]}", file=sys.stderr)
                    found.append(evaluated(name, number))
                variants.append(Variant(name, found))
            except (Interrupted, MissingError):
                raise  # what is gone is gone for all of them
            except VprcapError as problem:
                logger.warning("%s is left out: %s", name, problem)
        return variants

    def _original(self, number: int) -> Path:
        """The run itself, trained with one of the seeds."""
        return self.original.variant(self.seeds[number])

    def _shared(self, number: int) -> Path:
        return self.folder / f"descriptors-seed{self.seeds[number]}"

    def _describe(self, run: Path, number: int, folder: Path) -> dict[str, Path]:
        return describe_modes(self.materials[number], run, folder, ("image", "fused"))

    def _evaluate(
        self,
        described: dict[str, Path],
        folder: Path,
        *,
        dim: int | None = None,
        binary: bool = False,
    ) -> Path:
        modes = {mode: (path, path) for mode, path in described.items()}
        return evaluate(
            self.material.manifest,
            modes,
            folder,
            dim=dim,
            binary=binary,
            variant=self._variant(folder),
        ).parent

    def _variant(self, folder: Path) -> str:
        """Say what an evaluation is of, so that nobody takes it for one of the run itself."""
        changed = None if self.corruption is None else self.corruption.variant
        return f"ablation {folder.name}" + (f", {changed}" if changed else "")


def _described(material: Material, run: Path, folder: Path) -> Described:
    files = describe_modes(material, run, folder, ("image", "text"))
    return Described(material.manifest, files["image"], files["text"])
