"""The demo city: procedural streets whose every attribute is known.

No data set may be downloaded where the demo and the tests run, and on real photographs nobody knows
what a true caption would be. Here both are given: `render` draws a view of a place, `caption_of`
says what stands there, `score_caption` checks any caption against it, and `write_city` leaves a
folder that looks like any other data set.
"""

from vprcap.city.claims import (
    ATTRIBUTES,
    CaptionScore,
    caption_of,
    claims_in,
    claims_of,
    score_caption,
)
from vprcap.city.folder import EVALUATION, TRAINING, Traversal, read_attributes, write_city
from vprcap.city.place import Facade, Place, city_places
from vprcap.city.scene import render
from vprcap.city.view import CONDITIONS, Vehicle, View, random_view

__all__ = [
    "ATTRIBUTES",
    "CONDITIONS",
    "EVALUATION",
    "TRAINING",
    "CaptionScore",
    "Facade",
    "Place",
    "Traversal",
    "Vehicle",
    "View",
    "caption_of",
    "city_places",
    "claims_in",
    "claims_of",
    "random_view",
    "read_attributes",
    "render",
    "score_caption",
    "write_city",
]
