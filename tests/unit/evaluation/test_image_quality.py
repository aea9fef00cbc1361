"""FID, KID, Vendi score and distance of sets: by hand, by the published package, and by the formulas per prompt."""

import json
from pathlib import Path

import numpy as np
import pytest

from goldennoise.evaluation import diversity
from goldennoise.evaluation.image_quality import compare_images, frechet_distance, kernel_distances, quality_table
from goldennoise.evaluation.report.tables import to_text

RANDOM = np.random.default_rng(0)
ONE = RANDOM.normal(size=(120, 6)) @ RANDOM.normal(size=(6, 6)) + 1.0
OTHER = RANDOM.normal(size=(90, 6)) @ RANDOM.normal(size=(6, 6))


def test_the_distance_of_two_gaussians_is_the_one_known() -> None:
    # Exactly mean 0 and covariance 1, then stretched by 3 and moved by 2 along each of 4 axes.
    white = RANDOM.normal(size=(500, 4))
    white -= white.mean(axis=0)
    white @= np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    assert frechet_distance(white, 3 * white + 2) == pytest.approx(4 * 2**2 + 4 * (3 - 1) ** 2)
    assert frechet_distance(white, white) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(white[:, :1], white[:, :1] + 2) == pytest.approx(4)


@pytest.mark.parametrize("num", [90, 4])
def test_numbers_are_those_of_torch_fidelity(num: int) -> None:
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    one, other = ONE[:num], OTHER[:num]
    statistics = [{"mu": rows.mean(axis=0), "sigma": np.cov(rows, rowvar=False)} for rows in (one, other)]
    expected = fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)
    whole = kernel_distances(one, other, num, 1, seed=0)
    products = [kid.kernel_poly(x, y) for x, y in ((one, one), (one, other), (other, other))]
    assert whole[0] == pytest.approx(kid.mmd2(*products), rel=1e-9)


def test_kid_of_two_halves_of_one_set_is_zero_on_average() -> None:
    random, found = np.random.default_rng(1), []
    for _ in range(400):
        rows = random.normal(size=(24, 5))
        found.append(kernel_distances(rows[:12], rows[12:], 12, 1, seed=0)[0])
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    # The diagonal alone would add more than 1 to a biased estimate.
    assert error < 0.1


def test_subsets_are_drawn_by_the_seed_without_repetition() -> None:
    first, again, another = (kernel_distances(ONE, OTHER, 30, 8, seed=seed) for seed in (3, 3, 4))
    assert first.tolist() == again.tolist()
    assert first.tolist() != another.tolist()
    assert len(set(first.tolist())) == 8
    whole = kernel_distances(ONE[:20], OTHER[:20], 20, 3, seed=0)
    np.testing.assert_allclose(whole, whole[0])


@pytest.mark.parametrize("num", [5, 60])
def test_diversity_of_a_set_is_that_of_its_rows(num: int) -> None:
    found = compare_images("clip", ONE[:num], OTHER[:num], 3, 2, seed=0)
    assert found.images.distance == pytest.approx(diversity.distance(ONE[:num]))
    assert found.images.vendi == pytest.approx(diversity.vendi(ONE[:num]))
    assert found.reference.vendi == pytest.approx(diversity.vendi(OTHER[:num]))


def test_the_table_warns_of_too_few_images_and_the_summary_is_plain(tmp_path: Path) -> None:
    found = compare_images("clip", ONE, OTHER[:6], 3, 2, seed=0)
    few = to_text(quality_table(found))
    assert "6 images do not determine the covariance of 6 numbers, so this FID says little" in few
    enough = to_text(quality_table(compare_images("clip", ONE, OTHER[:7], 3, 2, seed=0)))
    assert "do not determine" not in enough
    assert "2 of 3 images each" in enough
    found.write(tmp_path / "summary.json")
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written["fid"] == found.fid
    assert written["images"]["num_images"] == 120
