"""The seeds of every city that exists.

Each use has a city of its own, so that nothing is ever measured on a place that a model was trained
on, and no test can be passed by having seen its places.
"""

TINY_LLAVA_TRAINING = 1_000
TINY_LLAVA_MEASURING = 2_000
DEMO_TRAINING = 3_000
DEMO_EVALUATION = 4_000
TESTS = 5_000
