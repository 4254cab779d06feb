"""How a combiner is trained; stored beside its weights."""

from dataclasses import dataclass

from vprcap.errors import InvalidError


@dataclass(frozen=True)
class TrainConfig:
    """Schedule, augmentation and weights of the losses.

    Raises:
        InvalidError: a value is out of its range.
    """

    epochs: int = 10
    """Passes over the training places, at most."""
    patience: int = 5
    """Epochs without a better validation recall after which training stops."""
    places_per_batch: int = 32
    """Places in a batch."""
    images_per_place: int = 4
    """Images of each place in a batch; drawn again where a place has fewer."""
    learning_rate: float = 5e-4
    """Peak of the one-cycle schedule for what starts at random."""
    fitted_learning_rate: float = 1e-4
    """The same for what was fitted in closed form."""
    scale_learning_rate: float = 1e-2
    """The same for the one number that weighs the text in the descriptor."""
    adapter_learning_rate: float = 3e-4
    """The same for adapters in the encoders."""
    weight_decay: float = 1e-2
    """AdamW's, on what starts at random; it would pull the rest from where it starts."""
    caption_dropout: float = 0.15
    """Share of images that see no caption."""
    wrong_captions: float = 0.25
    """Share of images that the gate also sees with the caption of another place."""
    patches_kept: float = 0.3
    """Share of the patches that a training image shows, drawn anew each time."""
    image_weight: float = 0.5
    """Weight of the loss of images alone."""
    text_weight: float = 0.2
    """Weight of the loss of captions alone."""
    crossing_weight: float = 0.1
    """Weight of the loss of captions that look for images."""
    relevance_weight: float = 0.2
    """Weight of telling an image's own caption from another's."""
    exclusion_m: float = 25.0
    """Different places closer than this, in metres, are neither positive nor negative."""
    validation_share: float = 0.15
    """Share of the places that is held out."""
    seed: int = 0
    """Decides weights, split, batches and drops."""
    precision: str = "no"
    """Mixed precision as accelerate spells it: no, bf16 or fp16."""
    accumulate: int = 1
    """Batches whose gradients make one step."""

    def __post_init__(self) -> None:
        if not (0 <= self.caption_dropout <= 1 and 0 <= self.wrong_captions <= 1):
            raise InvalidError("caption_dropout and wrong_captions lie between 0 and 1")
        if not 0 < self.validation_share < 1 or not 0 < self.patches_kept <= 1:
            raise InvalidError("validation_share and patches_kept lie between 0 and 1")
        if self.precision not in ("no", "bf16", "fp16"):
            raise InvalidError(f"no precision {self.precision!r}; there are: no, bf16, fp16")
        rates = (self.learning_rate, self.fitted_learning_rate, self.scale_learning_rate)
        if not all(0 < rate < 1 for rate in (*rates, self.adapter_learning_rate)):
            raise InvalidError("learning rates lie between 0 and 1")
        if self.patience < 1 or self.seed < 0:
            raise InvalidError("patience starts at 1 and seed at 0")
        if self.accumulate < 1:
            raise InvalidError(f"accumulate is {self.accumulate}; it starts at 1")
        if self.epochs < 1 or self.places_per_batch < 2 or self.images_per_place < 2:
            raise InvalidError("training needs 1 epoch, and a batch 2 places of 2 images")
