"""score: any folder of images and their prompts -> every score of every image."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldennoise import scorers
from goldennoise.errors import ArtifactError, ConfigError, require
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.identity import as_begun, digest_of_lines, undeciding
from goldennoise.store.paths import given_path

if TYPE_CHECKING:
    import pandas as pd

    from goldennoise.config.compose import RunConfig
    from goldennoise.generation.image_scores import ImagePart
    from goldennoise.scorers.protocol import Scorer

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Config:
    """images: a folder, `~` is the home folder; `goldennoise.data.pairing` says which prompt each of its images shows.

    images_per_prompt: neighbours in the order of names that belong to one prompt, where that order decides.
    images_per_part: what a killed run loses at most.
    """

    kind: str = "score"
    images: str
    images_per_prompt: int = 1
    images_per_part: int = undeciding(default=256)

    def __post_init__(self) -> None:
        require(bool(self.images), "images", repr(self.images), "a folder of images")
        require(self.images_per_prompt >= 1, "images_per_prompt", self.images_per_prompt, "at least 1")
        require(self.images_per_part >= 1, "images_per_part", self.images_per_part, "at least 1")


def run(config: "RunConfig") -> Artifact:
    """The image_scores artifact of this config: complete already, resumed, repaired, or made."""
    _refuse_unfit(config)
    from goldennoise.data.pairing import paired

    stage: Config = config.stage
    folder = given_path(stage.images)
    shown_by = paired(folder, config.prompts, stage.images_per_prompt)
    images = list(shown_by)
    prompts = [prompt.text for prompt in shown_by.values()]
    categories = [prompt.category for prompt in shown_by.values()]
    digests = _digests(folder, images)
    # Torch loads here, when every mistake that can be seen without it has been reported.
    judges = scorers.built(config.scorer, config.compute.torch_device())
    identity = {
        "images": digest_of_lines(f"{name}\t{digest}" for name, digest in zip(images, digests, strict=True)),
        "prompts": digest_of_lines(prompts),
        "scorers": scorers.identities(config.scorer, judges),
    }
    store = ArtifactStore(config.outputs)
    outcome = store.begin("image_scores", config.name, config.version, identity, [], asdict(config))
    if isinstance(outcome, Artifact):
        print(f"{outcome.reference} is complete.")
        print("\n".join(_means(_recorded(outcome, images, prompts, judges), judges, categories)))
        return outcome
    with outcome as draft:
        table = _score(config, draft, images, prompts, judges)
        artifact = draft.commit({"images": len(images), "prompts": len(set(prompts)), "scorers": len(judges)})
        print("\n".join(_means(table, judges, categories)))
        return artifact


def _refuse_unfit(config: "RunConfig") -> None:
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
    from goldennoise.data.images import image_digests
    from goldennoise.runtime.progress import Progress

    with Progress("check", len(images), "images") as progress:
        return image_digests(folder, images, progress.update)


def _score(
    config: "RunConfig", draft: Draft, images: Sequence[str], prompts: Sequence[str], judges: "Mapping[str, Scorer]"
) -> "pd.DataFrame":
    from goldennoise.generation.image_scores import cut, for_spreadsheets, read_parts
    from goldennoise.generation.units import whole

    parts = cut(images, prompts, as_begun(config.stage, draft.config["stage"]).images_per_part)
    _score_parts(config, draft, parts, judges)
    table = read_parts(draft.path, parts)
    with whole(draft.path / "scores.parquet") as beside:
        table.to_parquet(beside, index=False)
    with whole(draft.path / "scores.csv") as beside:
        for_spreadsheets(table).to_csv(beside, index=False)
    return table


def _recorded(
    artifact: Artifact, images: Sequence[str], prompts: Sequence[str], judges: "Mapping[str, Scorer]"
) -> "pd.DataFrame":
    """The table of a complete artifact. Raises `ArtifactError` for one of something else."""
    from goldennoise.generation.image_scores import scores_of

    file = artifact.path / "scores.parquet"
    table = scores_of(file, images, prompts, list(judges))
    if table is None:
        raise ArtifactError(
            f"{file} holds other scores than {artifact.reference} has: restore it, or delete {artifact.path} and run "
            "the same command again"
        )
    return table


def _score_parts(
    config: "RunConfig", draft: Draft, parts: "Sequence[ImagePart]", judges: "Mapping[str, Scorer]"
) -> None:
    from goldennoise.generation.image_scores import score_part
    from goldennoise.runtime.progress import Progress

    folder = given_path(config.stage.images)
    missing = [part for part in parts if not part.is_finished(draft.path, list(judges))]
    total, left = (sum(len(part.images) for part in some) for some in (parts, missing))
    with Progress("score", total, "images", total - left) as progress:
        for part in missing:
            score_part(draft.path, part, folder, judges, config.compute.batch_size, progress.update)
            log.info("%s: part %d is finished", draft.reference, part.number)


def _means(table: "pd.DataFrame", judges: "Mapping[str, Scorer]", categories: Sequence[str]) -> list[str]:
    """categories: kind of prompt of each row; where there are several, their means and the mean of those."""
    better = {True: "higher", False: "lower"}
    by_kind = table[list(judges)].groupby(list(categories), sort=False).mean()
    lines = []
    for name, judge in judges.items():
        direction = better[judge.higher_is_better]
        lines.append(f"  {name}: mean {table[name].mean():.4f} {judge.unit}, {direction} is better")
        if len(by_kind) > 1:
            lines += [f"    {kind}: {mean:.4f}" for kind, mean in by_kind[name].items()]
            lines.append(f"    mean of the kinds: {by_kind[name].mean():.4f}")
    return lines
