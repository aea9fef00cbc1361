import numpy as np
import pytest
import torch

from goldennoise.evaluation.diversity import compare_diversity, distance, vendi
from goldennoise.generation.thumbnails import thumbnails


def test_equal_images_have_no_diversity_and_orthogonal_ones_all() -> None:
    equal = np.ones((5, 8)) * np.arange(1, 6)[:, None]
    assert distance(equal) == pytest.approx(0)
    assert vendi(equal) == pytest.approx(1)
    assert distance(3 * np.eye(5)) == pytest.approx(1)
    assert vendi(3 * np.eye(5)) == pytest.approx(5)


def test_thumbnails_hold_the_colours_of_areas() -> None:
    images = torch.full((2, 3, 64, 32), 0.25)
    images[1, 0, :4, :2] = 1.0
    features = thumbnails(images).view(2, 3, 16, 16)
    assert torch.all(features[0] == -0.25)
    assert (float(features[1, 0, 0, 0]), float(features[1, 0, 0, 1]), float(features[1, 1, 0, 0])) == (
        0.5,
        -0.25,
        -0.25,
    )


def test_two_groups_count_as_two() -> None:
    assert vendi(np.repeat(np.eye(2), 3, axis=0)) == pytest.approx(2)


def test_methods_are_paired_on_prompts() -> None:
    random = np.random.default_rng(0)
    wide = random.normal(size=(18, 6))
    narrow = wide + 5 * np.repeat(random.normal(size=(6, 6)), 3, axis=0)
    found = compare_diversity({"a": wide, "b": narrow}, np.repeat(list("uvwxyz"), 3), "a", 500, 0)
    assert found is not None
    for measure, name in ((distance, "distance"), (vendi, "vendi")):
        gaps = [measure(narrow[i : i + 3]) - measure(wide[i : i + 3]) for i in range(0, 18, 3)]
        comparison = getattr(found["b"], name)
        assert comparison.difference == pytest.approx(np.mean(gaps))
        assert comparison.high < 0
        assert comparison.num_prompts == 6


def test_one_seed_per_prompt_has_no_diversity() -> None:
    assert compare_diversity({"a": np.eye(3)}, ["x", "y", "z"], "a", 500, 0) is None
