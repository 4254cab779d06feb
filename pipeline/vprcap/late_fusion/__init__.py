"""Fusions of two finished descriptors, an image's `v` and its caption's `t`: the combiner's rivals.

The combiner fuses tokens; these see one unit vector per modality, as LaVPR and
others do. They stand in one harness, by their formulas, so that tables compare maths with maths:

    kind               score of a query i and a database image j                      numbers
    concatenation      (v_i.v_j + t_i.t_j) / 2                                        V + T + 2
    mlp                x_i.x_j, x = norm(W2 ReLU(W1 [v; t]))                          512
    addition           x_i.x_j, x = norm(Wv v + Wt t)                                 512
    fixed-weight       a v_i.v_j + (1 - a) t_i.t_j, a learned                         V + T + 2
    dynamic-weighting  (wv_i + wv_j)/2 v_i.v_j + (wt_i + wt_j)/2 t_i.t_j,             2 (V + T) + 2
                       (wv, wt) = softmax(W2 ReLU(W1 [v; t])) of either image
    z-score            (v_i.v_j - mean_v) / sd_v + (t_i.t_j - mean_t) / sd_t          V + T + 2
    text-rerank        v_i.v_j; its first 100 in the order of t_i.t_j                 V, T aside

`numbers` is what the index holds for an image whose descriptors have V and T numbers (512: or
V + T where that is less). Every score is one inner product of what `queries` and `database` give,
so any index of inner products serves. Means and deviations are those of similarities of training
images of different places.

Where LaVPR's code departs from the formulas, this does not: there the miner sees the frozen image
similarity and validation ranks by it, here both see the fused score; there text re-ranking reads
ids as ranks, which returns images that were never retrieved, here it permutes the shortlist; there
z-scores are switched off; there a missing caption is embedded as an empty string.

A missing descriptor is a row of zeros and never a made-up vector:
* A query that has one modality asks by it alone: its ranking of complete images is that
  modality's. (`mlp` and `addition` compare its own projection with fused descriptors instead, and
  see captions missing in training.)
* A database image that lacks one has an unknown similarity, which counts as the mean of training
  images of different places: it speaks neither for nor against. This is what the 2 numbers hold.
* Dynamic weights of an image that lacks one are 1 for the other.
* In text re-ranking it keeps its rank.
"""

from vprcap.late_fusion.fit import fit_late_fusion as fit_late_fusion
from vprcap.late_fusion.pair import LATE_FUSIONS as LATE_FUSIONS
from vprcap.late_fusion.pair import LateFusion as LateFusion
from vprcap.late_fusion.pair import Pair as Pair
from vprcap.late_fusion.retrieval import rerank_by_text as rerank_by_text
from vprcap.late_fusion.retrieval import retrieve as retrieve
