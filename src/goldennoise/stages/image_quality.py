"""image_quality: two sets of images -> FID, KID, and how different the images of each set are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise.config.compose import RunConfig
from goldennoise.data.images import find_images, image_digests
from goldennoise.errors import ConfigError, DataError
from goldennoise.runtime.progress import Progress
from goldennoise.stages.job import Job, ScoredBy, opened
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.files import file_digest
from goldennoise.store.identity import digest_of_lines
from goldennoise.store.options import Options, filled, number, option
from goldennoise.store.paths import given_path

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate

LARGEST_SUBSET = 1000


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """Two sets of images, by what they are compared, and the subsets of KID."""

    kind: str = "image_quality"
    images: str = option(check=filled("a folder of images, or a scores artifact with stage.method"))
    """A folder, or a scores artifact such as "scores/demo@v1" with `method`."""
    method: str | None = None
    """Of a scores artifact: whose images; null for a folder."""
    reference_images: str = option(check=filled("a folder of images, or a scores artifact with stage.reference_method"))
    """What they are compared with: a folder, or a scores artifact with `reference_method`."""
    reference_method: str | None = None
    """Of a scores artifact: whose images; null for a folder."""
    features: str = option("inception", filled("inception, or one of the run's scorers"))
    """inception for published FID (needs goldennoise[fidelity]), or the name of one of the run's scorers that embeds
    images, such as shapes_clip."""
    inception_path: str | None = option(None, identity=False)
    """torch-fidelity's file of weights; null for torch's cache of downloads, into which it is fetched."""
    num_subsets: int = option(100, number(least=1))
    """Of KID, at least 1."""
    subset_size: int | None = option(None, number(least=2))
    """Images of a subset, at least 2; null for 1,000, or half of the smaller set where that is less."""
    images_per_part: int = option(256, number(least=1), identity=False)
    """What a killed run loses at most, at least 1."""


@dataclass(frozen=True)
class _Set:
    """Its files and what decides them; the scores artifact that they are of, if they are."""

    files: Sequence[Path]
    digest: str
    scores: Sequence[Artifact]


def run(config: RunConfig) -> Artifact:
    """The image_quality artifact of this config: summary.json, tables.md, tables.tex and the features in parts/."""
    _refuse_unfit(config)
    stage: Config = config.stage
    images = _found(config, "images", stage.images, stage.method)
    reference = _found(config, "reference_images", stage.reference_images, stage.reference_method)
    size = _subset_size(stage, min(len(images.files), len(reference.files)))
    with opened(config, "image_quality") as job:
        decides, inputs = partial(_identity, config, images, reference), [*images.scores, *reference.scores]
        if done := job.begin(decides, inputs, "tables.md", _refusal(job)):
            return done
        # Torch loads here, when every mistake that can be seen without it has been reported.
        from goldennoise.generation.image_features import FeatureMaker, cut

        parts = [
            cut(chosen, found.files, job.stage.images_per_part)
            for chosen, found in (("images", images), ("reference", reference))
        ]
        maker = FeatureMaker(job.loader, stage.features, stage.inception_path, job.path)
        job.make([part for of_set in parts for part in of_set], maker, "images")
        return job.finish(lambda draft: _write(draft, parts, size, config))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the image_quality artifact, see `stages.dry_run`."""
    _refuse_unfit(config)
    stage = config.stage
    of_method = {stage.images: stage.method, stage.reference_images: stage.reference_method}
    scores = [ahead.input(given, "scores") for given, method in of_method.items() if method is not None]
    if None in scores:
        return ahead.estimate("image_quality", None, {})
    images = _found(config, "images", stage.images, stage.method)
    reference = _found(config, "reference_images", stage.reference_images, stage.reference_method)
    inputs = [*images.scores, *reference.scores]
    done = ahead.complete("image_quality", partial(_identity, config, images, reference), inputs)
    counts = {"images": len(images.files), "reference images": len(reference.files)}
    return ahead.estimate("image_quality", done, counts)


def _identity(config: RunConfig, images: _Set, reference: _Set, scored_by: ScoredBy) -> dict[str, Any]:
    stage: Config = config.stage
    own = {"inception": "2015-12-05" if stage.inception_path is None else _weights(stage.inception_path)}
    return {
        "sets": [images.digest, reference.digest],
        "features": own if stage.features == "inception" else scored_by([stage.features]),
        "subsets": [_subset_size(stage, min(len(images.files), len(reference.files))), stage.num_subsets, config.seed],
    }


def _refuse_unfit(config: RunConfig) -> None:
    """Raise ConfigError for what cannot be run, before anything is read or loaded."""
    chosen = config.stage.features
    if chosen != "inception" and chosen not in config.scorer:
        raise ConfigError(
            f"stage.features={chosen}: features must be inception or one of the scorers of this run "
            f"({', '.join(config.scorer) or 'none'}), which scorer=[...] chooses"
        )
    if config.compute.devices != 1:
        raise ConfigError(
            f"compute.devices={config.compute.devices}: image_quality runs in one process on one device; set "
            "compute.devices=1"
        )


def _refusal(job: Job) -> Callable[[], None]:
    def refuse() -> None:
        from goldennoise.generation.image_features import FeatureMaker

        FeatureMaker(job.loader, job.config.stage.features, job.config.stage.inception_path, Path()).embed()

    return refuse


def _found(config: RunConfig, name: str, given: str, method: str | None) -> _Set:
    """Raises `DataError` for images that cannot be read or are fewer than 2, `ArtifactError` for scores."""
    scores = []
    if method is None:
        folder = given_path(given)
        if not folder.is_dir():
            of_method = "method" if name == "images" else "reference_method"
            raise DataError(
                f"stage.{name}={given}: there is no such folder of images; for the images of a scores artifact set "
                f"stage.{of_method} too"
            )
    else:
        artifact = ArtifactStore(config.outputs).resolve(given, "scores")
        known = artifact.recorded("config", "method", kind=dict)
        if method not in known:
            raise ConfigError(f"{artifact.reference} has no method {method}; choose from {', '.join(known)}")
        artifact.check()
        folder, scores = artifact.path / "images" / method, [artifact]
    names = find_images(folder)
    if len(names) < 2:
        raise DataError(f"stage.{name}: {folder} holds one image; a set has at least 2")
    with Progress("check", len(names), "images") as progress:
        digests = image_digests(folder, names, progress.update)
    digest = digest_of_lines(f"{image}\t{digest}" for image, digest in zip(names, digests, strict=True))
    return _Set([folder / image for image in names], digest, scores)


def _subset_size(stage: Config, smaller: int) -> int:
    if stage.subset_size is None:
        return max(2, min(LARGEST_SUBSET, smaller // 2))
    if stage.subset_size > smaller:
        raise ConfigError(
            f"stage.subset_size={stage.subset_size}: the smaller set has {smaller} images; choose at most that"
        )
    return stage.subset_size


def _weights(path: str) -> str | None:
    file = given_path(path)
    return file_digest(file)[:12] if file.is_file() else None


def _write(draft: Draft, parts: Sequence[Sequence[Any]], size: int, config: RunConfig) -> Artifact:
    from goldennoise.evaluation.image_quality import compare_images, quality_table
    from goldennoise.evaluation.report.tables import to_latex, to_markdown, to_text
    from goldennoise.generation.image_features import read_features

    images, reference = (read_features(draft.path, of_set) for of_set in parts)
    stage: Config = config.stage
    found = compare_images(stage.features, images, reference, size, stage.num_subsets, config.seed)
    found.write(draft.path / "summary.json")
    table = quality_table(found)
    for name, form in (("tables.md", to_markdown), ("tables.tex", to_latex)):
        (draft.path / name).write_text(form(table), encoding="utf-8")
    artifact = draft.commit({"images": len(images), "reference_images": len(reference)})
    print(to_text(table))
    return artifact
