"""score: any folder of images and their prompts -> every score of every image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise import scorers
from goldennoise.config.compose import RunConfig
from goldennoise.data.images import image_digests
from goldennoise.data.pairing import paired
from goldennoise.data.prompts import Prompt, prompts_digest
from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.runtime.progress import Progress
from goldennoise.scorers.protocol import DIRECTION, Scorer
from goldennoise.stages.job import ScoredBy, opened
from goldennoise.store.artifacts import Artifact
from goldennoise.store.files import whole
from goldennoise.store.identity import digest_of_lines
from goldennoise.store.options import Options, filled, number, option
from goldennoise.store.paths import given_path

if TYPE_CHECKING:
    import pandas as pd

    from goldennoise.generation.image_scores import ImagePart
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """A folder of images; `goldennoise.data.pairing` says which prompt each of them shows."""

    kind: str = "score"
    images: str = option(check=filled("a folder of images"))
    """The folder; `~` is the home folder."""
    images_per_prompt: int = option(1, number(least=1))
    """Neighbours in the order of names that belong to one prompt, where that order decides; at least 1."""
    images_per_part: int = option(256, number(least=1), identity=False)
    """What a killed run loses at most, at least 1."""


def run(config: RunConfig) -> Artifact:
    """The image_scores artifact of this config: complete already, resumed, repaired, or made."""
    _refuse_unfit(config)
    folder = given_path(config.stage.images)
    shown_by = paired(folder, config.prompts, config.stage.images_per_prompt)
    images, prompts = [*shown_by], [*shown_by.values()]
    identity = _identity(config, folder, shown_by)
    with opened(config, "image_scores") as job:
        done = job.begin(lambda scored_by: identity | {"scorers": scored_by(config.scorer)})
        # Torch loads here, when every mistake that can be seen without it has been reported.
        from goldennoise.generation.image_scores import ImageScoring, cut

        names = [*config.scorer]
        if done:
            table = _recorded(done, cut(images, prompts, names, len(images)))
        else:
            parts = cut(images, prompts, names, job.stage.images_per_part)
            job.make(parts, ImageScoring(job.loader, folder, job.path), "images")
            counts = {"images": len(images), "prompts": len({prompt.text for prompt in prompts}), "scorers": len(names)}
            table = _merge(job.path, parts)
            done = job.finish(lambda draft: draft.commit(counts))
        categories = [prompt.category for prompt in prompts]
        print("\n".join(_means(table, job.loader.scorers, categories)))
        return done


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the image_scores artifact, see `stages.dry_run`."""
    _refuse_unfit(config)
    folder = given_path(config.stage.images)
    shown_by = paired(folder, config.prompts, config.stage.images_per_prompt)

    def decides(scored_by: ScoredBy) -> dict[str, Any]:
        return _identity(config, folder, shown_by) | {"scorers": scored_by(config.scorer)}

    done = ahead.complete("image_scores", decides)
    texts = {prompt.text for prompt in shown_by.values()}
    counts = {"images": len(shown_by), "prompts": len(texts), "scorers": len(config.scorer)}
    return ahead.estimate("image_scores", done, counts | {"scores": len(shown_by) * len(config.scorer)})


def _identity(config: RunConfig, folder: Path, shown_by: Mapping[str, Prompt]) -> dict[str, Any]:
    """Without the scorers."""
    images, prompts = [*shown_by], [*shown_by.values()]
    digests = _digests(folder, images)
    identity = {
        "images": digest_of_lines(f"{name}\t{digest}" for name, digest in zip(images, digests, strict=True)),
        "prompts": digest_of_lines(prompt.text for prompt in prompts),
    }
    if columns := scorers.columns_read(config.scorer):
        identity["rows"] = prompts_digest(prompts, columns)
    return identity


def _refuse_unfit(config: RunConfig) -> None:
    """Raise ConfigError for what cannot be run, before anything is read or loaded."""
    if not config.scorer:
        raise ConfigError("scorer=[]: score needs at least one scorer, as in scorer=[shapes_clip]")
    for name in ("image", "prompt"):
        if name in config.scorer:
            raise ConfigError(f"scorer.{name}: a column of the table is called {name}; give the scorer another name")
    if config.compute.devices != 1:
        raise ConfigError(
            f"compute.devices={config.compute.devices}: score runs in one process on one device; set compute.devices=1"
        )


def _digests(folder: Path, images: Sequence[str]) -> list[str]:
    with Progress("check", len(images), "images") as progress:
        return image_digests(folder, images, progress.update)


def _merge(draft: Path, parts: "Sequence[ImagePart]") -> "pd.DataFrame":
    """The table of all parts, written as Parquet and for spreadsheets."""
    from goldennoise.generation.image_scores import for_spreadsheets, read_parts

    table = read_parts(draft, parts)
    with whole(draft / "scores.parquet") as beside:
        table.to_parquet(beside, index=False)
    with whole(draft / "scores.csv") as beside:
        for_spreadsheets(table).to_csv(beside, index=False)
    return table


def _recorded(artifact: Artifact, parts: "Sequence[ImagePart]") -> "pd.DataFrame":
    """The table of a complete artifact. parts: one of all its images. Raises `ArtifactError` for another table."""
    from goldennoise.generation.image_scores import scores_of

    file, (everything,) = artifact.path / "scores.parquet", parts
    table = scores_of(file, everything)
    if table is None:
        raise ArtifactError(
            f"{file} holds other scores than {artifact.reference} has: restore it, or delete {artifact.path} and run "
            "the same command again"
        )
    return table


def _means(table: "pd.DataFrame", built: Mapping[str, Scorer], categories: Sequence[str]) -> list[str]:
    """categories: kind of prompt of each row; where there are several, their means and the mean of those."""
    by_kind = table[list(built)].groupby(list(categories), sort=False).mean()
    lines = []
    for name, scorer in built.items():
        direction = DIRECTION[scorer.higher_is_better]
        lines.append(f"  {name}: mean {table[name].mean():.4f} {scorer.unit}, {direction}")
        if len(by_kind) > 1:
            lines += [f"    {kind}: {mean:.4f}" for kind, mean in by_kind[name].items()]
            lines.append(f"    mean of the kinds: {by_kind[name].mean():.4f}")
    return lines
