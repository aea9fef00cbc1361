"""One picture of several images of a prompt: a row per seed, a column per method, captions below."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SMALLEST_PX = 256
"""Narrower images are enlarged by a whole factor, so that captions fit below them and pixels stay what they are."""

_FONT_PX, _LINE_PX, _GAP_PX = 16, 22, 12


@dataclass(frozen=True)
class Cell:
    """An image file and the lines below it."""

    image: Path
    caption: Sequence[str]


def side_by_side(title: str, rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """The picture. Images all have one size, captions all have as many lines; what is too wide is broken or cut."""
    first = _enlarged(rows[0][0].image)
    cell_width, cell_height = first.width + _GAP_PX, first.height + _LINE_PX * len(rows[0][0].caption) + _GAP_PX
    width = cell_width * len(rows[0]) + _GAP_PX
    font = ImageFont.load_default(_FONT_PX)
    lines = _broken(title, font, width - 2 * _GAP_PX)
    top = _LINE_PX * len(lines) + 2 * _GAP_PX
    picture = Image.new("RGB", (width, top + cell_height * len(rows)), "white")
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((_GAP_PX, _GAP_PX + number * _LINE_PX), line, "black", font)
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            left, upper = _GAP_PX + column * cell_width, top + row * cell_height
            picture.paste(_enlarged(cell.image), (left, upper))
            for number, line in enumerate(cell.caption):
                fitting = _broken(line, font, first.width)[0]
                draw.text((left, upper + first.height + number * _LINE_PX), fitting, "black", font)
    return picture


def _enlarged(file: Path) -> Image.Image:
    with Image.open(file) as image:
        factor = max(1, math.ceil(SMALLEST_PX / image.width))
        return image.convert("RGB").resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _broken(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Lines of whole words at most `width` px wide; a single word that is wider stays as it is."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
