import numpy as np
import pytest

from goldennoise.data.shapes.captions import Caption, WantedObject, all_captions
from goldennoise.data.shapes.renderer import render
from goldennoise.data.shapes.scenes import Scene, SceneObject, is_true, sample_scene
from goldennoise.data.shapes.verifier import read, verify
from goldennoise.data.shapes.vocabulary import COLOURS, KINDS, SHAPES

DARK = (30, 30, 30)


def drawn(*objects: tuple[str, str, float, float, float]) -> np.ndarray:
    return render(
        Scene(
            DARK,
            tuple(SceneObject(shape, colour, COLOURS[colour], x, y, half) for shape, colour, x, y, half in objects),
        )
    )


def test_at_least_995_of_1000_verdicts_on_true_renders_are_right() -> None:
    rng = np.random.default_rng(0)
    captions = list(all_captions())
    by_kind = {kind: [caption for caption in captions if caption.kind == kind] for kind in KINDS}
    right = []
    for index in rng.integers(len(captions), size=400):
        caption = captions[index]
        scene = sample_scene(caption, rng)
        image = render(scene)
        right.append(verify(image, caption).right)
        for other in rng.choice(len(by_kind[caption.kind]), size=2):
            asked = by_kind[caption.kind][other]
            right.append(verify(image, asked).right == is_true(asked, scene))
    assert np.mean(right) >= 0.995


def test_reads_every_object_of_random_scenes() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        shapes = rng.choice(SHAPES, size=rng.integers(1, 5))
        scene = sample_scene(Caption("free", tuple(WantedObject(str(shape)) for shape in shapes)), rng)
        wanted = sorted((item.shape, item.colour, item.size) for item in scene.objects)
        found = sorted((str(item.shape), str(item.colour), item.size) for item in read(render(scene)))
        assert found == wanted


CIRCLE = ("circle", "red", 18.0, 32.0, 8.0)
SQUARE = ("square", "blue", 45.0, 32.0, 12.0)
LEFT = Caption("position", (WantedObject("circle", "red"), WantedObject("square", "blue")), "left of")


@pytest.mark.parametrize(
    ("image", "caption", "wrong"),
    [
        (drawn(CIRCLE, SQUARE), LEFT, None),
        (drawn(CIRCLE, SQUARE), Caption("position", LEFT.objects, "right of"), "relation"),
        (drawn(CIRCLE), LEFT, "count"),
        (drawn(CIRCLE), Caption("colors", (WantedObject("circle", "green"),)), "colour"),
        (drawn(CIRCLE), Caption("single_object", (WantedObject("ring"),)), "shape"),
        (drawn(CIRCLE), Caption("single_object", (WantedObject("circle", size="large"),)), "size"),
    ],
)
def test_names_what_does_not_hold(image: np.ndarray, caption: Caption, wrong: str | None) -> None:
    verdict = verify(image, caption)
    assert verdict.right == (wrong is None)
    assert 0 <= verdict.soft <= 1
    if wrong:
        assert not verdict.checks[wrong]


def test_soft_score_grows_with_what_is_right() -> None:
    scores = [verify(image, LEFT).soft for image in (drawn(), drawn(CIRCLE), drawn(CIRCLE, SQUARE))]
    assert scores == sorted(scores)
    assert scores[0] == 0.0
    assert scores[2] > 0.85


def test_a_torn_object_is_no_shape_of_the_world() -> None:
    image = drawn(CIRCLE)
    image[28:36, 10:26] = DARK
    assert not verify(image, Caption("single_object", (WantedObject("circle"),))).right
