import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vprcap.images import DecodedImage, Framing, decode_image, frame, upright


def decode(path: Path) -> DecodedImage:
    return decode_image(path, None, max_megapixels=50)


def gradient(width: int, height: int) -> Image.Image:
    ramp = np.linspace(0, 255, width * height * 3).reshape(height, width, 3)
    return Image.fromarray(ramp.astype(np.uint8))


def jpeg_bytes() -> bytes:
    buffer = io.BytesIO()
    gradient(64, 48).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "status", "words"),
    [
        ("empty.jpg", b"", "decode_error", "empty"),
        ("page.jpg", b"<html><body>404</body></html>", "decode_error", "not an image"),
        ("cut.jpg", jpeg_bytes()[:-100], "decode_error", "truncated"),
        ("noise.png", b"\x89PNG\r\n\x1a\n" + bytes(range(200)), "decode_error", "fetch it again"),
    ],
)
def test_a_damaged_file_gets_a_status_and_a_remedy(
    tmp_path: Path, name: str, data: bytes, status: str, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    decoded = decode(tmp_path / name)
    assert decoded.status == status
    assert decoded.error is not None and words in decoded.error
    assert decoded.pixels is None


def test_an_absent_file_and_a_folder_are_missing(tmp_path: Path) -> None:
    assert decode(tmp_path / "no.jpg").status == "missing"
    assert decode(tmp_path).status == "missing"


def test_sixty_megapixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    Image.new("L", (10_000, 6_000)).save(tmp_path / "big.png")
    decoded = decode(tmp_path / "big.png")
    assert (decoded.status, decoded.pixels) == ("too_large", None)
    assert decoded.error is not None and "60 megapixels" in decoded.error


def test_a_decompression_bomb_is_too_large_and_no_warning_escapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (300, 300)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)  # Pillow raises above twice that
    assert decode(tmp_path / "bomb.png").status == "too_large"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60_000)  # ... and warns above it
    assert decode(tmp_path / "bomb.png").status == "ok", "the limit is ours, not Pillow's"


def test_damaged_exif_and_an_extreme_shape_are_rows_too(tmp_path: Path) -> None:
    gradient(40, 20).save(tmp_path / "exif.png", exif=b"garbage!")
    assert decode(tmp_path / "exif.png").status == "decode_error"
    Image.new("L", (1, 60_000)).save(tmp_path / "thread.png")
    decoded = decode_image(tmp_path / "thread.png", Framing("pad", 336), 50)
    assert decoded.status == "unsupported"
    assert decode(tmp_path / ("n" * 300 + ".jpg")).status in ("missing", "decode_error")


def test_sixteen_bit_images_are_unsupported(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(tmp_path / "deep.png")
    assert decode(tmp_path / "deep.png").status == "unsupported"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_eight_bit_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "image.tif"
    gradient(20, 10).convert(mode).save(path)
    decoded = decode(path)
    assert decoded.pixels is not None and decoded.pixels.shape == (10, 20, 3)


def test_transparent_pixels_become_white() -> None:
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    assert upright(clear).getpixel((0, 0)) == (255, 255, 255)


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    pixels = decode(tmp_path / "a.gif").pixels
    assert pixels is not None and tuple(pixels[0, 0]) == (255, 0, 0)


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees to see it upright
    image.save(tmp_path / "turned.png", exif=exif)
    decoded = decode(tmp_path / "turned.png")
    assert (decoded.width, decoded.height) == (20, 40)
    assert decoded.pixels is not None
    assert decoded.pixels[5].min() == 255 and decoded.pixels[35].max() == 0  # top white


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("framing", [None, Framing("thumbnail", 4)])
def test_a_turned_picture_of_any_format_has_the_size_of_the_upright_one(
    tmp_path: Path, suffix: str, framing: Framing | None
) -> None:
    for orientation, size in ((3, (40, 20)), (5, (20, 40)), (6, (20, 40)), (8, (20, 40))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"turned{orientation}.{suffix}"
        Image.new("RGB", (40, 20)).save(path, exif=exif)
        decoded = decode_image(path, framing, 50)
        assert (decoded.width, decoded.height) == size
        assert decoded.pixels is not None
        assert decoded.pixels.shape[:2] == ((4, 4) if framing else size[::-1])


def test_the_hash_is_of_the_bytes_in_the_file_even_if_they_are_no_image(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_bytes(b"abc")
    # printf abc | sha256sum
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert decode(tmp_path / "page.jpg").sha256 == abc


def test_padding_keeps_both_edges_of_a_wide_picture_and_cropping_loses_them() -> None:
    wide = Image.new("RGB", (640, 480), "black")
    wide.paste("white", (0, 0, 70, 480))
    wide.paste("white", (570, 0, 640, 480))
    fill = (0, 0, 0)
    padded = np.asarray(frame(wide, Framing("pad", 336, fill)))
    cropped = np.asarray(frame(wide, Framing("crop", 336, fill)))
    assert padded[168, :30].mean() == 255 == padded[168, -30:].mean()
    assert cropped.max() == 0


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (256, 341), (100, 100), (57, 200)])
def test_cropping_equals_what_the_clip_processor_does(size: tuple[int, int]) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    image = gradient(*size)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}
    )
    theirs = processor(image, return_tensors="np")["pixel_values"]
    framed = frame(image, Framing("crop", 56))
    ours = processor(framed, return_tensors="np", do_resize=False, do_center_crop=False)
    np.testing.assert_array_equal(ours["pixel_values"], theirs)


def test_hostile_names_are_only_paths(make_images: Callable[..., Path]) -> None:
    root = make_images(["-rf.jpg", "_a b;c.jpg", "ünï.jpg"])
    assert {decode(path).status for path in root.iterdir()} == {"ok"}


def test_a_thumbnail_is_all_of_the_picture_in_grey(tmp_path: Path) -> None:
    """Left half black, right half white; pixels of a coarse JPEG differ from it by little."""
    halves = np.zeros((240, 320), np.uint8)
    halves[:, 160:] = 255
    for name in ("a.jpg", "a.png"):
        Image.fromarray(halves).save(tmp_path / name)
        decoded = decode_image(tmp_path / name, Framing("thumbnail", 16), 50)
        assert decoded.pixels is not None and decoded.pixels.shape == (16, 16, 3)
        assert decoded.pixels[:, :7].max() < 8 and decoded.pixels[:, 9:].min() > 247
        assert (decoded.width, decoded.height) == (320, 240)


def test_a_thumbnail_shows_the_upright_picture(tmp_path: Path) -> None:
    halves = np.zeros((240, 320), np.uint8)
    halves[:, 160:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise: what was left is up
    Image.fromarray(halves).save(tmp_path / "a.jpg", exif=exif)
    decoded = decode_image(tmp_path / "a.jpg", Framing("thumbnail", 16), 50)
    assert (decoded.width, decoded.height) == (240, 320)
    assert decoded.pixels is not None
    assert decoded.pixels[:7].max() < 8 and decoded.pixels[9:].min() > 247


@pytest.mark.parametrize("form", ["JPEG", "progressive", "restarts", "CMYK", "PNG", "WEBP"])
def test_a_thumbnail_finds_the_damage_that_decoding_finds(tmp_path: Path, form: str) -> None:
    """Cut or overwritten at many places: coarse pixels are no excuse to read less of the file."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (60, 80, 3)).astype(np.uint8))
    more: dict[str, object] = {
        "progressive": {"progressive": True},
        "restarts": {"restart_marker_blocks": 4},
    }.get(form, {})
    buffer = io.BytesIO()
    kind = form if form in ("PNG", "WEBP") else "JPEG"
    (image.convert("CMYK") if form == "CMYK" else image).save(buffer, kind, **more)
    data = buffer.getvalue()
    path, damaged = tmp_path / "image", 0
    for _ in range(40):
        broken = bytearray(data[: rng.integers(1, len(data))] if rng.random() < 0.5 else data)
        for place in rng.integers(0, len(broken), 3):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(bytes(broken))
        whole = decode(path)
        small = decode_image(path, Framing("thumbnail", 16), 50)
        assert (small.status, small.error) == (whole.status, whole.error)
        assert (small.width, small.height) == (whole.width, whole.height)
        damaged += whole.status != "ok"
    assert 10 <= damaged <= 40


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_every_orientation_is_turned_as_pillow_turns_a_copy(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = io.BytesIO()
    gradient(40, 20).save(stored, "png", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(stored)).convert("RGB")
    assert np.array_equal(np.asarray(upright(Image.open(stored))), np.asarray(expected))
