"""Hard negatives for the preference model: groups of scenes that differ by one edit of the caption."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from goldennoise.data.shapes.captions import Caption, WantedObject
from goldennoise.data.shapes.renderer import render
from goldennoise.data.shapes.scenes import Scene, SceneObject, is_true, sample_scene
from goldennoise.data.shapes.training_scenes import caption_pools, draw_caption
from goldennoise.data.shapes.vocabulary import COLOURS, COUNTS, OPPOSITE, RELATIONS, SHAPES, SIZES

NUM_EDITS = 4
NUM_SPOILED = 3
"""Scenes in a group that fit no caption, with the faults of generated images: see `spoiled`."""
NUM_CAPTIONS = 2 + NUM_EDITS
GROUP_SIZE = NUM_CAPTIONS + NUM_SPOILED
CHUNK = 100

Rng = np.random.Generator


@dataclass(frozen=True)
class Groups:
    """pixels: (n, GROUP_SIZE, 64, 64, 3) uint8; texts: n x NUM_CAPTIONS; truth: (n, NUM_CAPTIONS, GROUP_SIZE).

    Image j is drawn for caption j; the last NUM_SPOILED images have no caption.
    """

    pixels: np.ndarray
    texts: list[list[str]]
    truth: np.ndarray


def training_groups(num_groups: int, folder: Path) -> Groups:
    """Rendered once, in parallel, into one array on disk."""
    pixels_file, texts_file = folder / "groups.npy", folder / "groups.json"
    if not texts_file.exists():
        with ProcessPoolExecutor() as pool:
            chunks = list(pool.map(_render_chunk, range(0, num_groups, CHUNK)))
        np.save(pixels_file, np.concatenate([pixels for pixels, _, _ in chunks]))
        np.save(folder / "groups_truth.npy", np.concatenate([truth for _, _, truth in chunks]))
        texts_file.write_text(json.dumps([texts for _, chunk, _ in chunks for texts in chunk]))
    truth = np.load(folder / "groups_truth.npy")
    return Groups(np.load(pixels_file, mmap_mode="r"), json.loads(texts_file.read_text()), truth)


def scene_group(caption: Caption, unrelated: Caption, rng: Rng) -> tuple[np.ndarray, list[str], np.ndarray]:
    """One row of `Groups`: the caption, its edits and an unrelated caption, each with a scene of its own."""
    captions = [caption, *(edited(caption, rng) for _ in range(NUM_EDITS)), unrelated]
    scenes = [sample_scene(each, rng) for each in captions]
    pixels = [render(scene) for scene in scenes]
    pixels += [spoiled(caption, rng) for _ in range(NUM_SPOILED)]
    truth = [[is_true(each, scene) for scene in scenes] + [False] * NUM_SPOILED for each in captions]
    return np.stack(pixels), [each.text for each in captions], np.array(truth)


def _render_chunk(start: int) -> tuple[np.ndarray, list[list[str]], np.ndarray]:
    rng = np.random.default_rng([11, start])
    pools = caption_pools("train")
    groups = [scene_group(draw_caption(pools, rng), draw_caption(pools, rng), rng) for _ in range(CHUNK)]
    pixels, texts, truth = zip(*groups, strict=True)
    return np.stack(pixels), list(texts), np.stack(truth)


def edited(caption: Caption, rng: Rng) -> Caption:
    """The caption with one edit: another colour, shape, size or count, a turned relation or swapped attributes."""
    edits = [_other_object]
    if caption.kind == "counting":
        edits.append(_other_count)
    if caption.relation is not None:
        edits += [_other_relation] * 2
    if len(caption.objects) == 2 and caption.kind != "counting":
        edits.append(_swapped)
    while True:
        changed = edits[rng.integers(len(edits))](caption, rng)
        if changed.key != caption.key:
            return changed


def spoiled(caption: Caption, rng: Rng) -> np.ndarray:
    """An image of the caption with one fault: an object missing, too many or torn, or a speckled background."""
    fault = rng.choice(["missing", "too many", "torn", "torn", "speckled"])
    if fault == "too many" and len(caption.objects) < max(COUNTS):
        return render(sample_scene(_crowded(caption, rng), rng))
    scene = sample_scene(caption, rng)
    if fault == "torn":
        return torn(scene, rng)
    if fault == "speckled":
        return speckled(scene, rng)
    kept = list(scene.objects)
    del kept[rng.integers(len(kept))]
    return render(replace(scene, objects=tuple(kept)))


def _crowded(caption: Caption, rng: Rng) -> Caption:
    """The caption with one object more: one of its own, or any."""
    extra = WantedObject(str(rng.choice(SHAPES)))
    if rng.random() < 0.5:
        extra = caption.objects[rng.integers(len(caption.objects))]
    return replace(caption, objects=(*caption.objects, extra), relation=None)


def speckled(scene: Scene, rng: Rng) -> np.ndarray:
    """The scene under blobs of a colour, a few pixels wide, that cover a tenth to a half of it."""
    blobs = ndimage.gaussian_filter(rng.standard_normal((64, 64)), sigma=rng.uniform(1, 3))
    share = (blobs > np.quantile(blobs, rng.uniform(0.5, 0.9)))[..., None] * rng.uniform(0.3, 1)
    colour = np.array(COLOURS[str(rng.choice(list(COLOURS)))])
    return np.round(render(scene) * (1 - share) + colour * share).astype(np.uint8)


def torn(scene: Scene, rng: Rng) -> np.ndarray:
    """The scene with one object torn between two shapes or two colours along a line through its centre."""
    index = int(rng.integers(len(scene.objects)))
    item = scene.objects[index]
    other = render(replace(scene, objects=_with(scene.objects, index, _changed(item, rng))))
    y, x = np.mgrid[0:64, 0:64] + 0.5
    angle = rng.uniform(0, 2 * np.pi)
    side = (x - item.x_px) * np.cos(angle) + (y - item.y_px) * np.sin(angle)
    share = np.clip(side / rng.uniform(0.5, 6) + 0.5, 0, 1)[..., None]
    return np.round(render(scene) * (1 - share) + other * share).astype(np.uint8)


def _changed(item: SceneObject, rng: Rng) -> SceneObject:
    if rng.random() < 0.5:
        return replace(item, shape=_other(SHAPES, item.shape, rng))
    return replace(item, rgb=COLOURS[_other(COLOURS, item.colour, rng)])


def _other_object(caption: Caption, rng: Rng) -> Caption:
    """Another colour, shape or size of one object, or of all where the caption counts them."""
    index = int(rng.integers(len(caption.objects)))
    asked = caption.objects[index]
    names = ["shape", "colour", "colour"] + ["size"] * (asked.size is not None)
    name = names[rng.integers(len(names))]
    choices = {"shape": SHAPES, "colour": tuple(COLOURS), "size": tuple(SIZES)}[name]
    change = replace(asked, **{name: _other(choices, getattr(asked, name), rng)})
    if caption.kind == "counting":
        return replace(caption, objects=(change,) * len(caption.objects))
    return replace(caption, objects=_with(caption.objects, index, change))


def _other_count(caption: Caption, rng: Rng) -> Caption:
    count = int(_other((1, *COUNTS), len(caption.objects), rng))
    kind = "counting" if count > 1 else "colors"
    return replace(caption, kind=kind, objects=(caption.objects[0],) * count)


def _other_relation(caption: Caption, rng: Rng) -> Caption:
    assert caption.relation is not None
    if rng.random() < 0.5:
        return replace(caption, relation=OPPOSITE[caption.relation])
    return replace(caption, relation=str(_other(tuple(RELATIONS), caption.relation, rng)))


def _swapped(caption: Caption, rng: Rng) -> Caption:  # noqa: ARG001
    first, second = caption.objects
    swapped = (
        WantedObject(first.shape, second.colour, second.size),
        WantedObject(second.shape, first.colour, first.size),
    )
    return replace(caption, objects=swapped)


def _other(choices, present, rng: Rng):  # type: ignore[no-untyped-def]
    rest = [choice for choice in choices if choice != present]
    return rest[rng.integers(len(rest))]


def _with(items: tuple, index: int, item: object) -> tuple:
    return (*items[:index], item, *items[index + 1 :])
