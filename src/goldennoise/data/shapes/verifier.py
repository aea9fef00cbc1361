"""Reads an image of the world without any network, and says what of a caption holds in it.

Segmentation against the plain background, connected components, colour by the palette, shape and
size by template fit. It reports; it never filters pairs and never trains anything.
"""

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage

from goldennoise.data.shapes.captions import Caption, WantedObject
from goldennoise.data.shapes.renderer import coverage
from goldennoise.data.shapes.scenes import related
from goldennoise.data.shapes.vocabulary import COLOURS, SHAPES, SIZE_BOUNDARY_PX

Array = np.ndarray

BORDER_PX = 2
MIN_CONTRAST = 55.0
"""RGB distance from the background at which a pixel counts as foreground; palette and backgrounds differ by more."""
MIN_AREA_PX = 14
MAX_COLOUR_DISTANCE = 85.0
"""RGB distance from every palette colour beyond which an object has no colour of the world."""
MIN_FIT = 0.72
"""Overlap with the best template below which an object has no shape of the world."""
MAX_ASSIGNED = 6
"""Of more objects than this only the largest are tried: the count is wrong anyway, and assignments grow factorially."""
HALVES_PX = np.arange(5.5, 15.25, 0.25)
PATCH_PX = 34


@dataclass(frozen=True)
class FoundObject:
    """An object read from an image; shape or colour is None where it is none of the world's.

    fit: overlap (intersection over union, in [0, 1]) with the best template.
    """

    shape: str | None
    colour: str | None
    x_px: float
    y_px: float
    half_px: float
    fit: float

    @property
    def size(self) -> str:
        return "small" if self.half_px < SIZE_BOUNDARY_PX else "large"


@dataclass(frozen=True)
class Verdict:
    """What of a caption holds: `checks` maps each wanted attribute to whether it holds, `soft` is in [0, 1]."""

    checks: dict[str, bool]
    soft: float

    @property
    def right(self) -> bool:
        return all(self.checks.values())


def verify(pixels: Array, caption: Caption) -> Verdict:
    """The verdict on an image, pixels (64, 64, 3) in [0, 255]."""
    return judge(read(pixels), caption)


def read(pixels: Array) -> list[FoundObject]:
    """All objects in an image, pixels (64, 64, 3) in [0, 255]."""
    pixels = pixels.astype(np.float64)
    frame = np.ones(pixels.shape[:2], dtype=bool)
    frame[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = False
    background = np.median(pixels[frame], axis=0)
    contrast = np.linalg.norm(pixels - background, axis=2)
    labels, num_labels = ndimage.label(contrast > MIN_CONTRAST)
    areas = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(1, num_labels + 1))
    return [
        _describe(pixels, contrast, labels == label) for label, area in enumerate(areas, start=1) if area >= MIN_AREA_PX
    ]


def judge(found: list[FoundObject], caption: Caption) -> Verdict:
    """The verdict under the assignment of found to wanted objects that serves the caption best."""
    wanted = caption.objects
    count = len(found) == len(wanted)
    best = Verdict({"count": count} | _unmet(caption), 0.0)
    largest = sorted(found, key=lambda item: item.half_px, reverse=True)[:MAX_ASSIGNED]
    for chosen in itertools.permutations(largest, min(len(largest), len(wanted))):
        pairs = list(zip(wanted, chosen, strict=False))
        checks = [_checks(*pair) for pair in pairs]
        complete = len(pairs) == len(wanted)
        names = dict.fromkeys(name for one in wanted for name in _attribute_names(one))
        verdict = {"count": count} | {name: complete and all(c.get(name, True) for c in checks) for name in names}
        parts = [float(np.mean(list(c.values()))) * o.fit for c, (_, o) in zip(checks, pairs, strict=True)]
        parts += [0.0] * (len(wanted) - len(pairs))
        parts.append(1 - min(1.0, abs(len(found) - len(wanted)) / len(wanted)))
        if caption.relation is not None:
            verdict["relation"] = complete and _related(caption.relation, chosen)
            parts.append(float(verdict["relation"]))
        candidate = Verdict(verdict, float(np.mean(parts)))
        if (candidate.right, candidate.soft) > (best.right, best.soft):
            best = candidate
    return best


def _describe(pixels: Array, contrast: Array, component: Array) -> FoundObject:
    level = np.quantile(contrast[component], 0.8)
    reach = ndimage.binary_dilation(component, iterations=2)
    alpha = np.where(reach, np.clip(contrast / level, 0, 1), 0)
    solid = alpha > 0.5
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    y, x = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
    core = alpha > 0.85
    shape, half, fit = _best_template(_patch(alpha, x, y), x % 1, y % 1)
    return FoundObject(
        shape=shape if fit >= MIN_FIT else None,
        colour=_nearest_colour(np.median(pixels[core], axis=0)),
        x_px=x,
        y_px=y,
        half_px=half,
        fit=fit,
    )


def _patch(alpha: Array, x: float, y: float) -> Array:
    """The square of `PATCH_PX` around the pixel corner below (x, y), zero outside the image."""
    half = PATCH_PX // 2
    padded = np.pad(alpha, half)
    top, left = int(y), int(x)
    return padded[top : top + PATCH_PX, left : left + PATCH_PX]


def _best_template(patch: Array, shift_x: float, shift_y: float) -> tuple[str, float, float]:
    templates = _templates(shift_x, shift_y)
    overlap = np.minimum(templates, patch).sum(axis=(2, 3)) / np.maximum(templates, patch).sum(axis=(2, 3))
    shape, half = np.unravel_index(np.argmax(overlap), overlap.shape)
    return SHAPES[shape], float(HALVES_PX[half]), float(overlap[shape, half])


@cache
def _templates(shift_x: float, shift_y: float) -> Array:
    """Coverage of every shape and half extent, (shapes, halves, patch, patch); box centres lie on half pixels."""
    y, x = np.mgrid[0:PATCH_PX, 0:PATCH_PX] + 0.5 - PATCH_PX // 2
    halves = HALVES_PX[:, None, None]
    drawn = [coverage(shape, x - shift_x, y - shift_y, halves) for shape in SHAPES]
    return np.stack(drawn).astype(np.float32)


def _nearest_colour(rgb: Array) -> str | None:
    distances = np.linalg.norm(np.array(list(COLOURS.values())) - rgb, axis=1)
    nearest = int(np.argmin(distances))
    return list(COLOURS)[nearest] if distances[nearest] <= MAX_COLOUR_DISTANCE else None


def _attribute_names(wanted: WantedObject) -> list[str]:
    return ["shape"] + ["colour"] * (wanted.colour is not None) + ["size"] * (wanted.size is not None)


def _unmet(caption: Caption) -> dict[str, bool]:
    names = [name for wanted in caption.objects for name in _attribute_names(wanted)]
    return dict.fromkeys(names + ["relation"] * (caption.relation is not None), False)


def _checks(wanted: WantedObject, found: FoundObject) -> dict[str, bool]:
    return {name: getattr(wanted, name) == getattr(found, name) for name in _attribute_names(wanted)}


def _related(relation: str, chosen: tuple[FoundObject, ...]) -> bool:
    first, second = chosen[:2]
    return related(relation, second.x_px - first.x_px, second.y_px - first.y_px)
