"""Reading a picture from anywhere: every file becomes an upright 8-bit RGB picture, or a `DataError` with the reason.

Colours are the stored numbers: ICC profiles are not applied, because the towers' own training pipelines did not.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from mella_retrieval.errors import DataError

MAX_PIXELS = 89_478_485
"""Pillow's own limit: a quarter of a GiB as 24-bit RGB. Pillow refuses twice as much whatever the caller allows."""

# Only formats with a signature and a decoder inside Pillow: EPS would start Ghostscript, TGA has no signature.
_WANTED = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM", "ICO", "QOI")
Image.init()
_FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture completely; safe to call from many threads at once.

    The first frame of an animation; EXIF orientation applied; transparency laid on white; 16-bit grey scaled to 8 bits;
    integer and floating-point grey of unknown range (TIFF) stretched from its minimum to its maximum; CMYK converted
    (JPEGs of four colours count as inverted, as Adobe writes them and browsers read them).

    Returns:
        Mode RGB, without metadata, so that nothing downstream turns it a second time.

    Raises:
        DataError: missing, not a file, empty, no picture, damaged or cut short, or more than `max_pixels` pixels.
    """
    where = "the picture" if isinstance(source, bytes) else str(source)
    with _opened(source, where) as file:
        with _explained(where):
            image = Image.open(file, formats=_FORMATS)
        with image:
            if image.width * image.height > max_pixels:
                raise DataError(_too_large(where, f"{image.width} x {image.height} pixels", max_pixels))
            return upright_rgb(image, where)


def upright_rgb(image: Image.Image, where: str = "the picture") -> Image.Image:
    """An opened picture as `read_image` gives it; `where` names it in messages.

    Raises:
        DataError: its file is damaged or cut short.
    """
    with _explained(where):
        image.load()
        upright = _turned(_to_rgb(image), image)
    upright.info = {}
    return upright


@contextmanager
def _opened(source: Path | bytes, where: str) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        if not source:
            raise DataError(f"{where} is empty (0 bytes).")
        yield io.BytesIO(source)
        return
    try:
        if source.exists() and not source.is_file():  # opening a named pipe would wait for ever
            raise DataError(f"{where} is not a file.")
        if source.stat().st_size == 0:
            raise DataError(f"{where} is empty (0 bytes).")
        file = source.open("rb")
    except FileNotFoundError:
        raise DataError(f"{where} does not exist.") from None
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}.") from error
    with file:
        yield file


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn whatever decoders raise on hostile bytes (OSError, SyntaxError, struct.error, ...) into a `DataError`."""
    try:
        yield
    except (MemoryError, DataError):
        raise
    except UnidentifiedImageError:
        reason = f"it is damaged, no picture, or of a format outside {', '.join(_FORMATS)}"
        raise DataError(f"{where} cannot be read as a picture: {reason}.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(where, str(error), MAX_PIXELS)) from None
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{where} cannot be read as a picture: it is damaged or cut short ({reason}).") from error


def _too_large(where: str, size: str, limit: int) -> str:
    return f"{where} is refused as a possible decompression bomb: {size}, the limit is {limit} pixels (max_pixels)."


def _turned(picture: Image.Image, original: Image.Image) -> Image.Image:
    try:
        orientation = original.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # broken EXIF says nothing about the orientation; the picture itself has been decoded
        return picture
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    """A new RGB picture (never `image` itself, whose file is about to be closed)."""
    if image.mode.startswith("I;16"):
        return _from_16_bit(np.asarray(image), image.info.get("transparency"))
    if image.mode == "I" and image.format in {"PNG", "PPM"}:  # Pillow's older releases widen 16-bit files to 32 bits
        return _from_16_bit(np.asarray(image), image.info.get("transparency"))
    if image.mode in {"I", "F"}:
        return _stretched(np.asarray(image))
    palette = image.palette.mode if image.palette else ""
    if "transparency" in image.info or palette == "RGBA" or {"A", "a"} & set(image.getbands()):
        picture = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        return white
    return image.convert("RGB")


def _from_16_bit(grey: NDArray[Any], transparent: object) -> Image.Image:
    pixels = ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 = 255 * 257
    if isinstance(transparent, int):
        pixels[grey == transparent] = 255
    return Image.fromarray(pixels).convert("RGB")


def _stretched(grey: NDArray[Any]) -> Image.Image:
    values = np.nan_to_num(grey.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / (high - low)) if high > low else np.clip(values, 0, 255)
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")
