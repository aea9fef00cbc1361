"""How far one set of images is from another, and how different the images of a set are, by their features.

All sums are float64. Features: (number of images, dim).
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goldennoise.evaluation.report.tables import Cell, Column, Section, Table
from goldennoise.store.files import write_json

Features = NDArray[np.float64]
KID_SCALE = 1000.0
"""By which tables multiply KID."""


@dataclass(frozen=True)
class ImageSet:
    """distance: mean of 1 - cosine over all pairs. vendi: effective number of different images (arXiv 2210.02410)."""

    num_images: int
    distance: float
    vendi: float


@dataclass(frozen=True)
class ImageQuality:
    """fid: Frechet distance (arXiv 1706.08500). kid, kid_deviation: mean and standard deviation over `num_subsets`
    subsets of `subset_size` images (arXiv 1801.01401). features: by what, of `dim` numbers.
    """

    features: str
    dim: int
    fid: float
    kid: float
    kid_deviation: float
    subset_size: int
    num_subsets: int
    images: ImageSet
    reference: ImageSet

    def write(self, file: Path) -> None:
        write_json(file, asdict(self))


def compare_images(
    name: str, images: Features, reference: Features, subset_size: int, num_subsets: int, seed: int
) -> ImageQuality:
    """name: of the features. subset_size: of KID, at most the size of the smaller set."""
    kids = kernel_distances(images, reference, subset_size, num_subsets, seed)
    return ImageQuality(
        name,
        images.shape[1],
        frechet_distance(images, reference),
        float(kids.mean()),
        float(kids.std()),
        subset_size,
        num_subsets,
        _described(images),
        _described(reference),
    )


def frechet_distance(one: Features, other: Features) -> float:
    """|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) of means and covariances, at least 2 rows each."""
    difference = one.mean(axis=0) - other.mean(axis=0)
    cov, cov2 = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (one, other))
    # S S' has the spectrum of R S' R with R = S^(1/2), which is symmetric: no complex root, whatever the rank.
    values, vectors = np.linalg.eigh(cov)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    spectrum = np.linalg.eigvalsh(root @ cov2 @ root).clip(min=0)
    return float((difference**2).sum() + np.trace(cov) + np.trace(cov2) - 2 * np.sqrt(spectrum).sum())


def kernel_distances(
    one: Features, other: Features, subset_size: int, num_subsets: int, seed: int
) -> NDArray[np.float64]:
    """Unbiased squared MMD with the kernel (x.y / dim + 1)^3 of `num_subsets` pairs of subsets, 2 rows at least."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(num_subsets):
        x, y = (rows[random.choice(len(rows), subset_size, replace=False)] for rows in (one, other))
        within = [_kernel(each, each) for each in (x, y)]
        pairs = subset_size * (subset_size - 1)
        found.append(sum((k.sum() - np.trace(k)) / pairs for k in within) - 2 * _kernel(x, y).mean())
    return np.array(found)


def _kernel(one: Features, other: Features) -> Features:
    kernel: Features = (one @ other.T / one.shape[1] + 1) ** 3
    return kernel


def _described(features: Features) -> ImageSet:
    """Both measures of `evaluation.diversity`, without a table of all pairs."""
    unit, num = features / np.linalg.norm(features, axis=1, keepdims=True), len(features)
    cosine = ((unit.sum(axis=0) ** 2).sum() - num) / (num * (num - 1))
    # Both products have the same spectrum but for zeros.
    products = unit @ unit.T if num <= features.shape[1] else unit.T @ unit
    spectrum = np.linalg.eigvalsh(products / num)
    spectrum = spectrum[spectrum > 1e-12]
    return ImageSet(num, float(1 - cosine), float(np.exp(-(spectrum * np.log(spectrum)).sum())))


def quality_table(found: ImageQuality) -> Table:
    columns = [
        Column("set", numeric=False),
        Column("images"),
        Column("FID"),
        Column(f"KID × {KID_SCALE:g}", "± deviation over subsets"),
        Column("Vendi score"),
        Column("mean distance"),
    ]
    kid, deviation = (f"{KID_SCALE * value:.3f}".replace("-", "−") for value in (found.kid, found.kid_deviation))
    rows = [
        [Cell("images"), *_cells(found.images, Cell(f"{found.fid:.3f}"), Cell(kid, f"± {deviation}"))],
        [Cell("reference"), *_cells(found.reference, Cell("–"), Cell("–"))],
    ]
    caption = f"Distance of the images to the reference, by {found.features} ({found.dim} numbers)"
    return Table(caption, columns, [Section("both sets", "", rows)], _notes(found))


def _cells(described: ImageSet, fid: Cell, kid: Cell) -> list[Cell]:
    return [
        Cell(f"{described.num_images:,}"),
        fid,
        kid,
        Cell(f"{described.vendi:.2f}"),
        Cell(f"{described.distance:.4f}"),
    ]


def _notes(found: ImageQuality) -> list[str]:
    fewest = min(found.images.num_images, found.reference.num_images)
    notes = [
        "FID falls with the number of images, whatever they show: compare it only between sets of the same size. "
        "Published values have 10,000 to 50,000 images.",
        f"KID has no such bias. Its subsets: {found.num_subsets} of {found.subset_size} images each; their deviation "
        "is not the error of the mean.",
        "Vendi score: effective number of different images of the whole set. Mean distance: 1 - cosine over all pairs.",
    ]
    if fewest <= found.dim:
        notes.insert(
            1,
            f"{fewest:,} images do not determine the covariance of {found.dim} numbers, so this FID says little: use "
            "KID.",
        )
    return notes
