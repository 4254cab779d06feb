"""Image tokens and caption tokens in, one short descriptor out: a reconstruction of LVL3M-VPR.

The paper (Wang et al., arXiv 2407.06730) gives the modules by name and purpose in its abstract:
AT-REC recalibrates text tokens by their relevance to the image, CA-MMF propagates information
between the modalities by cross-attention, and the result is compressed into a descriptor. Sizes,
equations, pooling, loss and schedule here are our own choices, each argued where it is made; no
figure of ours is the paper's.
"""

from vprcap.combiner.combiner import FeatureCombiner as FeatureCombiner
from vprcap.combiner.config import CombinerConfig as CombinerConfig
from vprcap.combiner.describing import describe as describe
from vprcap.combiner.initialisation import initialise as initialise
