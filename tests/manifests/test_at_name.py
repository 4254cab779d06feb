import pytest
from hypothesis import given
from hypothesis import strategies as st

from vprcap.errors import InvalidError
from vprcap.manifests.at_name import parse_at_name

NAME = "@0344096.66@6177541.32@33@U@055.70131@0012.51907@abc_d@@120@@@@20190102_030405@@.jpg"


def test_a_full_name_gives_position_zone_and_heading() -> None:
    name = parse_at_name(NAME)
    assert (name.easting, name.northing) == (344096.66, 6177541.32)
    assert (name.zone, name.heading_deg, name.pano_id) == ("33U", 120.0, "abc_d")


def test_an_at_sign_in_a_parent_folder_does_no_harm() -> None:
    assert parse_at_name(f"my@data/@1@2/{NAME}").easting == 344096.66


def test_position_alone_is_enough() -> None:
    name = parse_at_name("@1.5@-2.5@.jpg")
    assert (name.easting, name.northing, name.zone, name.heading_deg) == (1.5, -2.5, None, None)


@pytest.mark.parametrize("name", ["a.jpg", "@1.jpg", "@x@2@.jpg", "@nan@2@.jpg", "a@1@2@.jpg"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        parse_at_name(name)


@given(
    st.floats(-1e7, 1e7),
    st.floats(-1e7, 1e7),
    st.text(st.characters(exclude_characters="@/\x00", exclude_categories=["Cs"])),
)
def test_what_is_written_into_a_name_is_read_back(
    easting: float, northing: float, pano: str
) -> None:
    name = parse_at_name(f"@{easting:.2f}@{northing:.2f}@30@U@1@-122.50598@{pano}@@@@@@@@.jpg")
    assert (name.easting, name.northing) == (round(easting, 2), round(northing, 2))
    assert name.pano_id == (pano or None)
