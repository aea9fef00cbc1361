"""The images of a folder: which there are, in which order, and how each is read. Loads no torch."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from goldennoise.data.prompts.folder import natural_order
from goldennoise.errors import DataError, shortened
from goldennoise.store.files import file_digest

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
FORMATS = ("PNG", "JPEG", "WEBP")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16")
"""Pillow's modes that are read; the colours of CMYK, for example, depend on a printing profile."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by EXIF's orientation."""

_GRID = re.compile(r"grid(-\d+)?|.+-grid-\d{5}|side_by_side")
"""Stems of files that GenEval, Stable Diffusion's scripts, T2I-CompBench and stage=sample lay several images out in."""


def find_files(folder: Path) -> list[str]:
    """Paths, relative to `folder`, of every file in it and its folders, hidden ones too, in natural order.

    Links to folders are followed; one that leads back to a folder above it counts as a file.
    Raises `DataError` if there is no such folder, or one in it cannot be opened.
    """
    found: list[str] = []
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    try:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of images; give it with stage.images=FOLDER")
        while pending:
            inside, above = pending.pop()
            status = (folder / inside).stat()
            here = (status.st_dev, status.st_ino)
            if here in above:
                found.append(inside)
                continue
            for entry in (folder / inside).iterdir():
                name = (PurePosixPath(inside) / entry.name).as_posix()
                if entry.is_dir():
                    pending.append((name, above | {here}))
                else:
                    found.append(name)
    except OSError as error:
        raise DataError(f"{shortened(error.filename, 200)} cannot be opened ({error.strerror})") from None
    return sorted(found, key=natural_order)


def find_images(folder: Path) -> list[str]:
    """Paths, relative to `folder`, of the images in it and its folders, in natural order.

    Names that begin with a dot are left out, and so are grids, which show several images.
    Raises `DataError` as `find_files` does, and for no image or a name that is not UTF-8.
    """
    names = [name for name in find_files(folder) if _is_image(PurePosixPath(name))]
    if not names:
        raise DataError(f"{folder} holds no images; those that are read end in {', '.join(SUFFIXES)} and are no grids")
    for name in names:
        # Python reads bytes that are no UTF-8 as lone surrogates, which no table can hold.
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise DataError(f"{folder}: the file name {name!a} is not UTF-8; rename the file")
    return names


def _is_image(path: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden and _GRID.fullmatch(path.stem) is None


def missing_number(names: Sequence[str]) -> tuple[str, str] | None:
    """The first two neighbours in `names` whose last numbers leave one out, as 2.png and 4.png do; None without a gap.

    Only names that are alike but for that number can tell.
    """
    for before, after in itertools.pairwise(names):
        one, other = (re.fullmatch(r"(.*?)(\d+)(\D*)", name) for name in (before, after))
        if one and other and one.group(1, 3) == other.group(1, 3) and int(other[2]) > int(one[2]) + 1:
            return before, after
    return None


def image_digests(folder: Path, names: Sequence[str], on_image: Callable[[], object]) -> list[str]:
    """SHA-256 of every image file, in order; `on_image` is called after each.

    Every image is decoded, because nothing else shows that a JPEG or WebP is cut short: found while scoring, it would
    cost the work until then, since a mended image is another one to the artifact.
    Raises `DataError` if any cannot be read: the first in full and the names of the others.
    """
    digests, refused = [], {}
    for name in names:
        try:
            read_image(folder / name)
            digests.append(file_digest(folder / name))
        except DataError as error:
            refused[name] = str(error)
        on_image()
    if refused:
        first, *others = refused
        more = f" (and {len(others)} more: {', '.join(others[:5])}{', ...' if others[5:] else ''})" if others else ""
        raise DataError(refused[first] + more)
    return digests


def read_image(path: Path, upright: bool = False) -> NDArray[np.float32]:
    """An image, (height, width, 3) in [0, 1]; EXIF orientation is left alone, as scorers' own readers do.

    upright: turn it as EXIF says.

    Grey gives three equal channels, and what is transparent lies on white. 16-bit grey keeps its depth; of 16-bit
    colour Pillow gives the upper 8 bits.
    Raises `DataError` naming a file that cannot be read.
    """
    with _opened(path) as stored:
        # ImageOps.exif_transpose also writes the metadata again, and fails on tags that have nothing to do with it.
        turn = _TURNS.get(stored.getexif().get(_ORIENTATION, 1)) if upright else None
        image = stored if turn is None else stored.transpose(turn)
        if image.mode == "I;16":
            grey = np.asarray(image, dtype=np.float32) / np.float32(65535)
            return np.repeat(grey[:, :, None], 3, axis=2)
        flat: Image.Image = image
        if image.has_transparency_data:
            flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return np.asarray(flat.convert("RGB"), dtype=np.float32) / np.float32(255)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image, its header read; whatever Pillow objects to, then or later in the block, becomes a `DataError`."""
    mend = "replace the file, or take it out together with its prompt"
    try:
        if path.exists() and not path.is_file():
            # Opening a pipe would wait for ever.
            raise DataError(f"{path} is no file; {mend}")
        with Image.open(path, formats=FORMATS) as image:
            if image.mode not in MODES:
                raise DataError(f"{path} has the colour mode {image.mode}, which is not read; convert it to RGB")
            num_frames = getattr(image, "n_frames", 1)
            if num_frames > 1:
                raise DataError(f"{path} holds {num_frames} frames, and one is needed; save the one that is meant")
            yield image
    except UnidentifiedImageError:
        what = "is no PNG, JPEG or WebP image" if path.stat().st_size else "is empty"
        raise DataError(f"{path} {what}; {mend}") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # A SyntaxError is Pillow's word for metadata that is none.
        raise DataError(f"{path} cannot be read ({error}); {mend}") from None
