"""Fusions that project both descriptors into one space of at most 512 numbers: addition and MLP.

Both start as the best linear compression of [v; t], so that their first score is concatenation's
as nearly as 512 numbers allow, and training only has to improve on it. There are no biases: an
image that has neither descriptor stays at zero. Some captions are hidden in training, so that an
image without one is not a stranger to the projection.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

MAX_DIM = 512
HIDDEN_CAPTIONS = 0.15
"""Share of captions that training hides; the combiner's."""

Image = Float[Tensor, "batch image_dim"]
Text = Float[Tensor, "batch text_dim"]
Fused = Float[Tensor, "batch dim"]


class Addition(nn.Module):
    """norm(Wv v + Wt t)."""

    def __init__(self, image: Image, text: Text) -> None:
        """Start from the descriptors of training images."""
        super().__init__()
        axes = _principal_axes(image, text)
        self.image = _linear(axes[:, : image.shape[1]])
        self.text = _linear(axes[:, image.shape[1] :])

    def forward(self, image: Image, text: Text) -> tuple[Fused, Fused]:
        """Unit vectors to ask with, and the same to be searched."""
        fused = normalize(self.image(image) + self.text(_some(text, self.training)), dim=1)
        return fused, fused


class Mlp(nn.Module):
    """norm(W2 ReLU(W1 [v; t])); ReLU(x) - ReLU(-x) = x makes it linear at the start."""

    def __init__(self, image: Image, text: Text) -> None:
        """Start from the descriptors of training images."""
        super().__init__()
        axes = _principal_axes(image, text)
        self.hidden = _linear(torch.cat([axes, -axes]))
        identity = torch.eye(len(axes))
        self.output = _linear(torch.cat([identity, -identity], dim=1))

    def forward(self, image: Image, text: Text) -> tuple[Fused, Fused]:
        """Unit vectors to ask with, and the same to be searched."""
        both = torch.cat([image, _some(text, self.training)], dim=1)
        fused = normalize(self.output(self.hidden(both).relu()), dim=1)
        return fused, fused


def _principal_axes(image: Image, text: Text) -> Float[Tensor, "out_dim in_dim"]:
    """Orthonormal directions that keep the most of the inner products of [v; t]."""
    both = torch.cat([image, text], dim=1)
    vectors: Tensor = torch.linalg.eigh((both.T @ both).double()).eigenvectors
    return vectors.flip(1)[:, :MAX_DIM].T.float()


def _linear(weight: Float[Tensor, "out_dim in_dim"]) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight.clone())
    return layer


def _some(text: Text, training: bool) -> Text:
    """Hide whole captions in training; those that stay keep their length."""
    if not training:
        return text
    return text * (torch.rand(len(text), 1) >= HIDDEN_CAPTIONS)
