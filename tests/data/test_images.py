"""Reading pictures: what people's folders really hold, from sixteen bits a channel to a text file with a picture's name."""

from __future__ import annotations

import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from mella_retrieval.data.images import read_image
from mella_retrieval.errors import DataError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(size: tuple[int, int] = (64, 32)) -> Image.Image:
    """Red, green / blue, white: every turn and flip of it looks different."""
    picture = Image.new("RGB", size)
    half = (size[0] // 2, size[1] // 2)
    for place, colour in (((0, 0), RED), ((half[0], 0), GREEN), ((0, half[1]), BLUE), (half, WHITE)):
        picture.paste(colour, (*place, place[0] + half[0], place[1] + half[1]))
    return picture


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2, between: bytes = b"") -> bytes:
    """A PNG written by hand, so that its header may claim anything."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + between + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def near(picture: Image.Image, expected: Image.Image, tolerance: int = 0) -> bool:
    assert (picture.mode, picture.size) == ("RGB", expected.size)
    difference = np.abs(np.asarray(picture, np.int16) - np.asarray(expected.convert("RGB"), np.int16))
    return int(difference.max()) <= tolerance


@pytest.mark.parametrize(("form", "tolerance"), [("PNG", 0), ("BMP", 0), ("TIFF", 0), ("PPM", 0), ("JPEG", 6)])
def test_common_formats_from_file_and_from_bytes(tmp_path: Path, form: str, tolerance: int):
    data = encoded(quarters(), form, **({"subsampling": 0, "quality": 95} if form == "JPEG" else {}))
    path = tmp_path / "no-extension"
    path.write_bytes(data)
    assert near(read_image(path), quarters(), tolerance)
    assert near(read_image(data), quarters(), tolerance)


def test_lossless_webp():
    assert near(read_image(encoded(quarters(), "WEBP", lossless=True)), quarters())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_once(form: str, orientation: int):
    inverse = {5: 5, 6: 8, 7: 7, 8: 6}  # stored sideways so that the orientation brings it upright
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    step = turned.get(inverse.get(orientation, orientation))
    stored = quarters() if step is None else quarters().transpose(step)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(form, {})
    upright = read_image(encoded(stored, form, exif=exif, **options))
    assert near(upright, quarters(), 6 if form == "JPEG" else 0)
    assert near(ImageOps.exif_transpose(upright), quarters(), 6 if form == "JPEG" else 0)


def test_orientation_is_applied_to_converted_modes_too():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    assert read_image(encoded(Image.new("L", (6, 2), 9), "PNG", exif=exif)).size == (2, 6)


def test_broken_exif_does_not_cost_the_picture():
    data = encoded(quarters(), "JPEG", quality=95, subsampling=0, exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff garbage")
    assert near(read_image(data), quarters(), 6)


def test_cmyk_jpeg():
    cmyk = Image.merge("CMYK", [Image.new("L", (16, 16), value) for value in (0, 255, 255, 0)])  # red in ink
    data = encoded(cmyk, "JPEG", quality=95)
    assert b"Adobe" in data
    assert near(read_image(data), Image.new("RGB", (16, 16), RED), 4)


def test_adobe_ycck_jpeg():
    # The same colours stored as YCCK: libjpeg decides by the transform byte of the Adobe marker.
    cmyk = Image.merge("CMYK", [Image.new("L", (16, 16), value) for value in (0, 0, 0, 128)])
    data = bytearray(encoded(cmyk, "JPEG", quality=95))
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    plain = np.asarray(read_image(bytes(data)))
    assert abs(int(plain.mean()) - 127) <= 3
    data[transform] = 2
    shown = np.asarray(read_image(bytes(data)), np.float64).mean(axis=(0, 1))
    # Stored are Y = Cb = Cr = 255 and K = 127, all inverted: the JFIF matrix gives the inks C M Y, the black ink is 128.
    chroma = 255 - 128
    inks = np.clip([255 + 1.402 * chroma, 255 - (0.344136 + 0.714136) * chroma, 255 + 1.772 * chroma], 0, 255)
    assert np.abs(shown - (255 - inks) * (255 - 128) / 255).max() <= 2


@pytest.mark.parametrize("value", [0, 1, 255, 256, 4096, 32768, 65535])
def test_sixteen_bit_grey_is_scaled_not_clipped(value: int):
    rows = b"".join(b"\x00" + struct.pack(">H", value) * 4 for _ in range(3))
    level = round(value / 257)
    assert near(read_image(png(4, 3, rows, depth=16, colour=0)), Image.new("RGB", (4, 3), (level, level, level)))


def test_sixteen_bit_grey_with_a_transparent_value():
    rows = b"\x00" + struct.pack(">HH", 1000, 2000)
    picture = read_image(png(2, 1, rows, depth=16, colour=0, between=png_chunk(b"tRNS", struct.pack(">H", 1000))))
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [WHITE, (8, 8, 8)]


def test_sixteen_bit_grey_tiff_and_colour_png():
    grey = Image.fromarray(np.full((3, 4), 51400, np.uint16))
    assert near(read_image(encoded(grey, "TIFF")), Image.new("RGB", (4, 3), (200, 200, 200)))
    rows = b"\x00" + struct.pack(">HHH", 65535, 0, 32768) * 2
    assert near(read_image(png(2, 1, rows, depth=16)), Image.new("RGB", (2, 1), (255, 0, 128)))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_grey_of_unknown_range_is_stretched(dtype: type):
    picture = read_image(encoded(Image.fromarray(np.array([[-1000, 0, 1000]], dtype)), "TIFF"))
    assert [picture.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


def test_float_tiff_with_nan_and_of_one_value():
    picture = read_image(encoded(Image.fromarray(np.array([[np.nan, 0, 5]], np.float32)), "TIFF"))
    assert [picture.getpixel((x, 0))[0] for x in range(3)] == [0, 0, 255]
    assert near(read_image(encoded(Image.new("F", (2, 2), 7), "TIFF")), Image.new("RGB", (2, 2), (7, 7, 7)))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(form: str):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=50, **options)
    with Image.open(io.BytesIO(data)) as check:
        assert check.n_frames == 3
    assert near(read_image(data), frames[0])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_on_white(mode: str):
    picture = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    picture.putpixel((1, 0), (0, 0, 0, 255))
    picture.putpixel((2, 0), (0, 0, 0, 127))
    data = encoded(picture.convert(mode), "TIFF" if mode == "PA" else "PNG")
    shown = [read_image(data).getpixel((x, 0))[0] for x in range(3)]
    assert shown[:2] == [255, 0]
    assert abs(shown[2] - 128) <= 1


def test_palette_with_a_transparent_colour_and_with_alpha_for_each():
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, *BLUE])
    picture.putpixel((1, 0), 1)
    for transparency in (0, bytes([0, 255])):
        shown = read_image(encoded(picture, "PNG", transparency=transparency))
        assert [shown.getpixel((x, 0)) for x in (0, 1)] == [WHITE, BLUE]
    shown = read_image(encoded(picture, "GIF", transparency=1))
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [RED, WHITE]
    assert read_image(encoded(picture, "PNG")).getpixel((0, 0)) == RED


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (10, 20, 30)), ("L", 77)])
def test_one_transparent_colour_without_a_palette(mode: str, colour: object):
    data = encoded(Image.new(mode, (2, 2), colour), "PNG", transparency=colour)
    assert near(read_image(data), Image.new("RGB", (2, 2), WHITE))


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_black_and_white_grey_and_palette(mode: str):
    white = read_image(encoded(Image.new("RGB", (3, 3), WHITE).convert(mode), "PNG"))
    assert near(white, Image.new("RGB", (3, 3), WHITE))


def test_one_pixel_is_a_picture():
    for form in ("PNG", "JPEG", "GIF"):
        assert read_image(encoded(Image.new("RGB", (1, 1), WHITE), form)).getpixel((0, 0)) == WHITE


def test_the_result_outlives_its_file(tmp_path: Path):
    path = tmp_path / "a.png"
    quarters().save(path)
    picture = read_image(path)
    path.unlink()
    assert near(picture, quarters())
    assert picture.info == {}


# What cannot be read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("kept", [0.05, 0.5])
def test_cut_short(tmp_path: Path, form: str, kept: float):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, form)
    path = tmp_path / "short.bin"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(DataError, match=r"short\.bin cannot be read as a picture"):
        read_image(path)


def test_garbage_inside_a_jpeg():
    with pytest.raises(DataError, match="cannot be read as a picture"):
        read_image(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4)


def test_png_with_a_damaged_chunk():
    data = bytearray(encoded(quarters(), "PNG"))
    data[data.index(b"IDAT") + 8] ^= 0xFF
    with pytest.raises(DataError, match="damaged or cut short"):
        read_image(bytes(data))


def test_any_cut_of_a_file_is_a_data_error_or_a_picture():
    for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "ICO"):
        data = encoded(quarters((32, 32)), form)
        for end in range(0, len(data), max(1, len(data) // 60)):
            with suppress(DataError):
                assert read_image(data[:end]).mode == "RGB"


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_are_a_data_error_or_a_picture(seed: int):
    random = np.random.default_rng(seed)
    form = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "ICO")[seed % 8]
    data = np.frombuffer(encoded(quarters((32, 32)), form), np.uint8).copy()
    data[random.integers(0, len(data), 8)] = random.integers(0, 256, 8)
    with suppress(DataError):
        assert read_image(data.tobytes(), max_pixels=10**6).mode == "RGB"


def test_text_named_as_a_picture(tmp_path: Path):
    path = tmp_path / "page.jpg"
    path.write_text("<html>404 Not Found</html>")
    with pytest.raises(DataError, match=r"page\.jpg cannot be read as a picture"):
        read_image(path)


def test_programs_are_not_pictures():
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    with pytest.raises(DataError, match="a format outside"):
        read_image(program)


def test_a_bomb_in_a_text_chunk():
    text = b"Comment\x00\x00" + zlib.compress(b"x" * (4 << 20))
    with pytest.raises(DataError, match="damaged or cut short"):
        read_image(png(1, 1, b"\x00abc", between=png_chunk(b"zTXt", text)))


def test_empty_missing_folder_and_pipe(tmp_path: Path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    reasons = {"empty": r"empty \(0 bytes\)", "folder": "not a file", "pipe": "not a file", "gone": "does not exist"}
    for name, reason in reasons.items():
        with pytest.raises(DataError, match=rf"{name}\.jpg .*{reason}"):
            read_image(tmp_path / f"{name}.jpg")
    with pytest.raises(DataError, match=r"empty \(0 bytes\)"):
        read_image(b"")
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path / ("x" * 300))


def test_a_file_that_may_not_be_read(tmp_path: Path):
    path = tmp_path / "secret.png"
    quarters().save(path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(DataError, match="cannot be read"):
        read_image(path)


def test_decompression_bombs_are_refused_before_decoding():
    bomb = png(60_000, 60_000, b"\x00")
    with pytest.raises(DataError, match=r"decompression bomb.*pixels"):
        read_image(bomb)
    with pytest.raises(DataError, match=r"11 x 10 pixels, the limit is 100 pixels \(max_pixels\)"):
        read_image(encoded(Image.new("RGB", (11, 10)), "PNG"), max_pixels=100)
    assert read_image(encoded(Image.new("RGB", (10, 10)), "PNG"), max_pixels=100).size == (10, 10)


@pytest.mark.filterwarnings("error")
def test_pillows_warning_as_an_error_is_a_data_error():
    with pytest.raises(DataError, match="decompression bomb"):
        read_image(png(10_000, 10_000, b"\x00"))


def test_a_header_that_promises_more_than_the_data_holds():
    with pytest.raises(DataError, match="damaged or cut short"):
        read_image(png(3000, 3000, b"\x00\x01\x02"))


def test_many_threads_at_once(tmp_path: Path):
    good, bad = tmp_path / "good.jpg", tmp_path / "bad.jpg"
    quarters((256, 128)).save(good, quality=90)
    bad.write_bytes(good.read_bytes()[:300])
    expected = read_image(good).tobytes()

    def work(number: int) -> bool:
        if number % 3:
            return read_image(good).tobytes() == expected
        with pytest.raises(DataError):
            read_image(bad)
        return True

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(300)))
