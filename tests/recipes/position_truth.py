"""What the miniatures' manifests must say and which images show one place: written by hand.

Distances are chosen for the head: 3-4-5 and 7-24-25 triangles are exact ties at 25 m.
"""

from position_miniatures import SVOX_QUERIES

Rows = dict[str, dict[str, object]]
"""By image_id, what is known of an image; everything else is null."""
Positives = dict[str, list[str]]


def _row(role: str | None, east: float, north: float, zone: str | None, **others: object) -> dict:
    known = {"role": role, "easting": east, "northing": north, "zone": zone, **others}
    return {name: value for name, value in known.items() if value is not None}


PITTS: Rows = {
    "000/000001_pitch1_yaw1.jpg": _row("database", 584000.0, 4476000.0, "17T"),
    "000/000001_pitch2_yaw12.jpg": _row("database", 584000.0, 4476000.0, "17T"),
    "000/000002_pitch1_yaw1.jpg": _row("database", 584030.0, 4476040.0, "17T"),
    "001/001003_pitch1_yaw1.jpg": _row("database", 584100.25, 4476000.5, "17T"),
    "queries_real/000/000900_pitch1_yaw3.jpg": _row("query", 584015.0, 4476020.0, "17T"),
    "queries_real/000/000901_pitch1_yaw3.jpg": _row("query", 584100.25, 4476025.51, "17T"),
}
PITTS_POSITIVES: Positives = {
    "queries_real/000/000900_pitch1_yaw3.jpg": [
        "000/000001_pitch1_yaw1.jpg",
        "000/000001_pitch2_yaw12.jpg",
        "000/000002_pitch1_yaw1.jpg",
    ],
    "queries_real/000/000901_pitch1_yaw3.jpg": [],
}

# 45 degrees on the central meridian: the meridian's arc of 4,984,944.378 m times 0.9996; half a
# millimetre away from it is what a latitude is worth here.
TOKYO_POSITIVES: Positives = {
    "247query_subset_v2/00001.jpg": ["03814/381400/-Kw_dpk0SN1TxG45EyL8QA_012_0.png"],
    "247query_subset_v2/00002.jpg": [],
}

_CPH, _SF = "train_val/cph", "train_val/sf"


def _cph(role: str, east: float, key: str, when: str, heading: float | None) -> dict:
    return _row(
        role,
        east,
        6172000.0,
        None,
        domain="cph",
        condition=when,
        sequence=f"seq-{key}",
        heading_deg=heading,
    )


def _sf(role: str, east: float, heading: float) -> dict:
    own = {"domain": "sf", "condition": "day", "heading_deg": heading}
    return _row(role, east, 6172000.0, None, **own)


MSLS_VAL_740: Rows = {
    f"{_CPH}/database/images/-aDbOOOOOOOOOOOOOOOOcA.jpg": _cph(
        "database", 347000.0, "-aDb", "day", 10.5
    ),
    f"{_CPH}/database/images/_bDb-OOOOOOOOOOOOOO_cB.jpg": _cph(
        "database", 347020.0, "_bDb", "night", 10.0
    ),
    f"{_CPH}/database/images/0000000000000000000017.jpg": _cph(
        "database", 347100.0, "0000", "day", 270.0
    ),
    f"{_CPH}/query/images/-aQOOOOOOOOOOOOOOOOOcA.jpg": _cph(
        "query", 347025.0, "-aQO", "night", 1.0
    ),
    f"{_CPH}/query/images/12345678901234567890e2.jpg": _cph("query", 347075.0, "1234", "day", None),
    f"{_CPH}/query/images/farOOOOOOOOOOOOOOOOOOO.jpg": _cph("query", 347500.0, "farO", "day", 2.0),
    f"{_SF}/database/images/sfDbOOOOOOOOOOOOOOOOOO.jpg": _sf("database", 347025.0, 5.0)
    | {"sequence": "seq-sfDb"},
    f"{_SF}/query/images/sfOnlyInCphOOOOOOOOOOO.jpg": _sf("query", 347100.0, 6.0)
    | {"sequence": "seq-sfOn"},
    f"{_SF}/query/images/sfNearOOOOOOOOOOOOOOOO.jpg": _sf("query", 347030.0, 7.0)
    | {"sequence": "seq-sfNe"},
}
MSLS_VAL_740_POSITIVES: Positives = {
    f"{_CPH}/query/images/-aQOOOOOOOOOOOOOOOOOcA.jpg": [
        f"{_CPH}/database/images/-aDbOOOOOOOOOOOOOOOOcA.jpg",  # exactly 25 m
        f"{_CPH}/database/images/_bDb-OOOOOOOOOOOOOO_cB.jpg",
    ],
    f"{_CPH}/query/images/12345678901234567890e2.jpg": [
        f"{_CPH}/database/images/0000000000000000000017.jpg"
    ],
    f"{_CPH}/query/images/farOOOOOOOOOOOOOOOOOOO.jpg": [],
    f"{_SF}/query/images/sfOnlyInCphOOOOOOOOOOO.jpg": [],
    f"{_SF}/query/images/sfNearOOOOOOOOOOOOOOOO.jpg": [
        f"{_SF}/database/images/sfDbOOOOOOOOOOOOOOOOOO.jpg"
    ],
}
_NOT_ALL = f"{_CPH}/query/images/notAllOOOOOOOOOOOOOOOO.jpg"
MSLS_VAL_ALL: Rows = MSLS_VAL_740 | {_NOT_ALL: _cph("query", 347010.0, "notA", "day", 3.0)}
MSLS_VAL_ALL_POSITIVES: Positives = MSLS_VAL_740_POSITIVES | {
    _NOT_ALL: [
        f"{_CPH}/database/images/-aDbOOOOOOOOOOOOOOOOcA.jpg",
        f"{_CPH}/database/images/_bDb-OOOOOOOOOOOOOO_cB.jpg",
    ]
}

_MIAMI, _ATHENS = "test/miami", "test/athens"
CHALLENGE: Rows = {
    f"{_MIAMI}/database/images/-miDbOOOOOOOOOOOOOOOOO.jpg": {
        "role": "database",
        "domain": "miami",
        "sequence": "seq--miD",
    },
    f"{_MIAMI}/database/images/miDbTwoOOOOOOOOOOOOOOO.jpg": {
        "role": "database",
        "domain": "miami",
        "sequence": "seq-miDb",
    },
    f"{_MIAMI}/query/images/-miQOOOOOOOOOOOOOOOOOO.jpg": {
        "role": "query",
        "domain": "miami",
        "sequence": "seq--miQ",
    },
    f"{_ATHENS}/database/images/_atDbOOOOOOOOOOOOOOOOO.jpg": {
        "role": "database",
        "domain": "athens",
        "sequence": "seq-_atD",
    },
    f"{_ATHENS}/query/images/atQOOOOOOOOOOOOOOOOOOO.jpg": {
        "role": "query",
        "domain": "athens",
        "sequence": "seq-atQO",
    },
}
CHALLENGE_POSITIVES: Positives = {
    f"{_MIAMI}/query/images/-miQOOOOOOOOOOOOOOOOOO.jpg": [],
    f"{_ATHENS}/query/images/atQOOOOOOOOOOOOOOOOOOO.jpg": [],
}
# By positions: the query of Miami is 24 m from one image of Miami, and at the very metres of one
# of Athens; that of Athens is 26 m from its own.
CHALLENGE_25M_POSITIVES: Positives = {
    f"{_MIAMI}/query/images/-miQOOOOOOOOOOOOOOOOOO.jpg": [
        f"{_MIAMI}/database/images/-miDbOOOOOOOOOOOOOOOOO.jpg"
    ],
    f"{_ATHENS}/query/images/atQOOOOOOOOOOOOOOOOOOO.jpg": [],
}

_ST = "images/test"
ST_LUCIA: Rows = {
    f"{_ST}/gallery/@0503000.00@6955000.00@56@J@-27.52700@0153.03040@100909_0845_00000@@@@@@@@.jpg": _row(  # noqa: E501
        "database", 503000.0, 6955000.0, "56J"
    ),
    f"{_ST}/gallery/@0503005.00@6955000.00@56@J@-27.52700@0153.03045@100909_0845_00015@@@@@@@@.jpg": _row(  # noqa: E501
        "database", 503005.0, 6955000.0, "56J"
    ),
    f"{_ST}/queries/@0503030.00@6955000.00@56@J@-27.52700@0153.03070@180809_1545_00000@@@@@@@@.jpg": _row(  # noqa: E501
        "query", 503030.0, 6955000.0, "56J"
    ),
    f"{_ST}/queries/@0503030.01@6955000.00@56@J@-27.52700@0153.03071@180809_1545_00010@@@@@@@@.jpg": _row(  # noqa: E501
        "query", 503030.01, 6955000.0, "56J"
    ),
}
ST_LUCIA_POSITIVES: Positives = {list(ST_LUCIA)[2]: [list(ST_LUCIA)[1]], list(ST_LUCIA)[3]: []}

SVOX_TEST: Rows = {
    f"{_ST}/gallery/@0620000.00@5735000.00@30@U@051.75000@-001.25000@pano_a@00@@@@@201405@@.jpg": (
        _row("database", 620000.0, 5735000.0, "30U")
    ),
    f"{_ST}/gallery/@0620100.00@5735000.00@30@U@051.75000@-001.24900@pano_b@00@@@@@201405@@.jpg": (
        _row("database", 620100.0, 5735000.0, "30U")
    ),
    **{
        f"{_ST}/queries_{name}": _row("query", east, north, "30U", condition=condition)
        for name, (condition, east, north) in zip(
            SVOX_QUERIES,
            [
                ("overcast", 620010.0, 5735000.0),
                ("rain", 620090.0, 5735000.0),
                ("snow", 620050.0, 5735000.0),
                ("sun", 620000.0, 5735025.0),
                ("night", 620110.0, 5735000.0),
            ],
            strict=True,
        )
    },
}
_A, _B = list(SVOX_TEST)[:2]
SVOX_POSITIVES: Positives = dict(
    zip(list(SVOX_TEST)[2:], [[_A], [_B], [], [_A], [_B]], strict=True)
)

_TILES = [
    f"{_ST}/database/@0616000.00@5740000.00@30@U@051.80000@-001.30000@0000@0{tile}"
    "@@@@@20080101_120000@@.jpg"
    for tile in range(5)
]
_LATER = [
    f"{_ST}/queries/@0616007.00@5740024.00@30@U@051.80000@-001.30000@4787@0{tile}"
    "@@@@@20080101_130000@@.jpg"
    for tile in (0, 4)
]
_ALONE = f"{_ST}/queries/@0616100.00@5740000.00@30@U@051.80000@-001.30000@4788@02@@@@@@@.jpg"
EYNSHAM: Rows = {
    **{name: _row("database", 616000.0, 5740000.0, "30U") for name in _TILES},
    **{name: _row("query", 616007.0, 5740024.0, "30U") for name in _LATER},
    _ALONE: _row("query", 616100.0, 5740000.0, "30U"),
}
EYNSHAM_POSITIVES: Positives = {_LATER[0]: _TILES, _LATER[1]: _TILES, _ALONE: []}

_XL = "processed/test"
_END = "@37.78000@-122.42000@pano@@{}@@@@201709@@.jpg"
_EAST = f"{_XL}/database/37.70/@0550000.00@4180000.00@10@S{_END.format('090')}"
_WEST = f"{_XL}/database/37.71/@0550060.00@4180000.00@10@S{_END.format('-90')}"
_NEAR = f"{_XL}/queries_v1/@0550020.00@4180000.00@10@S{_END.format('')}"
_FAR = f"{_XL}/queries_v1/@0550200.00@4180000.00@10@S{_END.format('')}"
SF_XL: Rows = {
    _EAST: _row("database", 550000.0, 4180000.0, "10S", heading_deg=90.0),
    _WEST: _row("database", 550060.0, 4180000.0, "10S", heading_deg=270.0),
    _NEAR: _row("query", 550020.0, 4180000.0, "10S"),
    _FAR: _row("query", 550200.0, 4180000.0, "10S"),
}
SF_XL_POSITIVES: Positives = {_NEAR: [_EAST], _FAR: []}

OWN: Rows = {
    "database/drive@7@8@/@100.0@200.0@.jpg": _row("database", 100.0, 200.0, None),
    "database/drive@7@8@/@150@200@.png": _row("database", 150.0, 200.0, None),
    "queries/@115.0@220@@@@@@@400@@@@@@.JPG": _row("query", 115.0, 220.0, None, heading_deg=40.0),
}
OWN_POSITIVES: Positives = {
    "queries/@115.0@220@@@@@@@400@@@@@@.JPG": ["database/drive@7@8@/@100.0@200.0@.jpg"]
}

TRUTH: dict[str, tuple[Rows, Positives]] = {
    "eynsham-test": (EYNSHAM, EYNSHAM_POSITIVES),
    "msls-challenge-test": (CHALLENGE, CHALLENGE_POSITIVES),
    "msls-val-740": (MSLS_VAL_740, MSLS_VAL_740_POSITIVES),
    "msls-val-all": (MSLS_VAL_ALL, MSLS_VAL_ALL_POSITIVES),
    "own-images-all": (OWN, OWN_POSITIVES),
    **{
        f"{name}-{split}": (PITTS, PITTS_POSITIVES)
        for name in ("pitts30k", "pitts250k")
        for split in ("train", "val", "test")
    },
    "sf-xl-test-v1": (SF_XL, SF_XL_POSITIVES),
    "st-lucia-test": (ST_LUCIA, ST_LUCIA_POSITIVES),
    "svox-test": (SVOX_TEST, SVOX_POSITIVES),
}
"""Of the recipes whose manifest is compared whole, by the name of the set."""
