"""Trains a combiner, on stored features or together with adapters in the encoders.

There is one loop. What differs is where a batch's tokens come from: stored features
(`TrainingSet`), so that an epoch takes seconds on a CPU, or photographs (`Photographs`), decoded,
changed and encoded anew, so that adapters inside the frozen encoders learn too.

Training starts from what can be computed in closed form (`vprcap.combiner.initialise`) on the
encoders as they are: what was fitted then moves gently, the rest freely. The state that wins is the
one with the best mean average precision of *fused* descriptors on places held out of training,
where some captions are of other places (R@1 of a few dozen places is soon 1). The state before
training stands for election too.

So that text helps where it is right and is harmless where it is wrong, some images of each batch
see no caption and some that of another place; the gate is told which is which; and images alone
and captions alone have a share in the loss, so that every way to ask works with the same weights.
"""

from vprcap.training.config import TrainConfig as TrainConfig
from vprcap.training.data import TrainingSet as TrainingSet
from vprcap.training.fit import fit as fit
from vprcap.training.keeping import Keeping as Keeping
