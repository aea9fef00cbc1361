"""Scenes: the exact content of an image, sampled so that a given caption is true of it."""

from dataclasses import dataclass

import numpy as np

from goldennoise.data.shapes.captions import Caption, WantedObject
from goldennoise.data.shapes.vocabulary import COLOURS, IMAGE_SIZE_PX, RELATIONS, SIZE_BOUNDARY_PX, SIZES, TONES

Rgb = tuple[int, int, int]

BORDER_PX = 3.0
GAP_PX = 3.0
COLOUR_JITTER = 12
RELATION_MARGIN = 1.3
"""Sampled scenes keep this far from the diagonal, where the relation would change."""
NUM_ATTEMPTS = 64


@dataclass(frozen=True)
class SceneObject:
    """A shape in a 64 x 64 px image: centre of its bounding box and half extent in px."""

    shape: str
    colour: str
    rgb: Rgb
    x_px: float
    y_px: float
    half_px: float

    @property
    def size(self) -> str:
        return "small" if self.half_px < SIZE_BOUNDARY_PX else "large"


@dataclass(frozen=True)
class Scene:
    background: Rgb
    objects: tuple[SceneObject, ...]


def sample_scene(caption: Caption, rng: np.random.Generator, tone: str | None = None) -> Scene:
    """A random scene of which `caption` is true, with free attributes drawn uniformly.

    tone: of the background, one of `TONES`; None for one of them at random.
    """
    while True:
        halves = [_half_extent(wanted, rng) for wanted in caption.objects]
        centres = _place(halves, caption.relation, rng)
        if centres is not None:
            break
    objects = tuple(
        _paint(wanted, half, centre, rng) for wanted, half, centre in zip(caption.objects, halves, centres, strict=True)
    )
    return Scene(_background(rng, tone), objects)


def is_true(caption: Caption, scene: Scene) -> bool:
    """Whether `caption` holds of `scene`, decided from the scene itself, without an image."""
    if len(caption.objects) != len(scene.objects):
        return False
    if caption.relation is None:
        return _assign(list(caption.objects), list(scene.objects))
    first, second = scene.objects
    for a, b in ((first, second), (second, first)):
        matches = fits(caption.objects[0], a) and fits(caption.objects[1], b)
        if matches and related(caption.relation, b.x_px - a.x_px, b.y_px - a.y_px):
            return True
    return False


def fits(wanted: WantedObject, found: SceneObject) -> bool:
    return wanted.shape == found.shape and wanted.colour in (None, found.colour) and wanted.size in (None, found.size)


def related(relation: str, dx_px: float, dy_px: float) -> bool:
    """Whether the offset from A to B makes A stand in `relation` to B: along the axis, and mainly so."""
    right, down = RELATIONS[relation]
    return dx_px * right + dy_px * down > abs(dx_px * down + dy_px * right)


def _assign(wanted: list[WantedObject], found: list[SceneObject]) -> bool:
    if not wanted:
        return True
    return any(
        fits(wanted[0], candidate) and _assign(wanted[1:], found[:index] + found[index + 1 :])
        for index, candidate in enumerate(found)
    )


def _half_extent(wanted: WantedObject, rng: np.random.Generator) -> float:
    size = wanted.size or str(rng.choice(list(SIZES)))
    return float(rng.uniform(*SIZES[size]))


def _place(halves: list[float], relation: str | None, rng: np.random.Generator) -> list[tuple[float, float]] | None:
    """Centres whose boxes keep a gap and fit the relation with a margin; None where chance finds none."""
    half = np.array(halves)[:, None]
    centres = rng.uniform(BORDER_PX + half, IMAGE_SIZE_PX - BORDER_PX - half, size=(NUM_ATTEMPTS, len(halves), 2))
    first, second = np.triu_indices(len(halves), k=1)
    offset = centres[:, second] - centres[:, first]
    reach = half[first] + half[second] + GAP_PX
    good = (np.abs(offset) >= reach).any(axis=2).all(axis=1)
    if relation is not None:
        along = offset[:, 0] @ np.array(RELATIONS[relation])
        across = np.abs(offset[:, 0] @ np.array(RELATIONS[relation][::-1]))
        good &= along > RELATION_MARGIN * across
    if not good.any():
        return None
    return [(float(x), float(y)) for x, y in centres[np.argmax(good)]]


def _paint(wanted: WantedObject, half: float, centre: tuple[float, float], rng: np.random.Generator) -> SceneObject:
    colour = wanted.colour or str(rng.choice(list(COLOURS)))
    jitter = rng.integers(-COLOUR_JITTER, COLOUR_JITTER + 1, size=3)
    red, green, blue = (int(np.clip(value, 0, 255)) for value in np.array(COLOURS[colour]) + jitter)
    return SceneObject(wanted.shape, colour, (red, green, blue), centre[0], centre[1], half)


def _background(rng: np.random.Generator, tone: str | None) -> Rgb:
    """A plain tone, dark or light, with a slight tint: far from every object colour."""
    level = rng.uniform(*TONES[tone or ("dark" if rng.random() < 0.5 else "bright")])
    red, green, blue = (int(np.clip(level + tint, 0, 255)) for tint in rng.uniform(-10, 10, size=3))
    return red, green, blue
