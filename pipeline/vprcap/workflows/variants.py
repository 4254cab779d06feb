"""Variants of a trained run: the same training with another part, or another seed.

They lie in ``<run>/ablations/<gate>+<fusion>-seed<k>/`` and are trained once. A run stands for the
variant that it is itself.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vprcap.combiner.config import CombinerConfig, read_config
from vprcap.errors import InvalidError, MissingError
from vprcap.files import fingerprint, read_json
from vprcap.stages.train import train
from vprcap.training import TrainConfig
from vprcap.workflows.material import read_run

MATERIAL = ("manifest", "image_features", "text_features")


@dataclass(frozen=True)
class Original:
    """A run and what it was made of."""

    run: Path
    combiner: CombinerConfig
    training: TrainConfig
    material: Mapping[str, str]
    """By name (`MATERIAL`) the paths of what it was trained on."""

    def variant(self, seed: int, **parts: Any) -> Path:
        """Give the folder of a variant, training it if it is not there.

        Args:
            seed: of the training.
            parts: names of the gate or fusion that take the place of the run's own.

        Raises:
            MissingError: it must be trained, and the training features are gone.
        """
        combiner = replace(self.combiner, **parts)
        training = replace(self.training, seed=seed)
        if (combiner, training) == (self.combiner, self.training):
            return self.run
        folder = self.run / "ablations" / f"{combiner.gate}+{combiner.fusion}-seed{seed}"
        identity = fingerprint([asdict(combiner), asdict(training), dict(self.material)])
        if _is_trained(folder, identity):
            return folder
        self._check_material()
        return train(
            Path(self.material["manifest"]),
            Path(self.material["image_features"]),
            Path(self.material["text_features"]),
            folder,
            config=training,
            descriptor_dim=combiner.descriptor_dim,
            parts={name: getattr(combiner, name) for name in ("gate", "fusion", "pooling")},
            provenance={**_provenance(self.run), "variant": identity},
        )

    def _check_material(self) -> None:
        for name in MATERIAL:
            path = Path(self.material[name])
            if not (path if name == "manifest" else path / "features.json").is_file():
                raise MissingError(
                    f"{name.replace('_', ' ')} that {self.run} was trained on are gone ({path}); "
                    "make them again with the same `vprcap train` into another --output"
                )


def read_original(run: Path) -> Original:
    """Read what a run was made of.

    Raises:
        InvalidError: the run does not say, or its encoders were trained with it.
    """
    stored = read_run(run)
    material = stored.get("material") or {}
    if not all(material.get(name) for name in MATERIAL):
        raise InvalidError(
            f"{run}/run.json does not name stored features of images and captions that it was "
            "trained on; ablate a run of `vprcap train` on stored features"
        )
    try:
        training = TrainConfig(**stored["training"])
    except (KeyError, TypeError) as problem:
        raise InvalidError(f"{run}/run.json tells no training ({problem}); train again") from None
    return Original(run, read_config(run / "config.json"), training, material)


def _is_trained(folder: Path, identity: str) -> bool:
    """Say whether a variant is there; one with a checkpoint is still under way."""
    stored = folder / "run.json"
    under_way = (folder / "checkpoint.safetensors").exists()
    return stored.is_file() and not under_way and read_json(stored).get("variant") == identity


def _provenance(run: Path) -> dict[str, object]:
    return {name: value for name, value in read_run(run).items() if name != "training"}
