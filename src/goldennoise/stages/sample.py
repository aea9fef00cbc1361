"""sample: one prompt -> its images from source noise and from golden noise, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from goldennoise import methods
from goldennoise.config.compose import RunConfig
from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.evaluations import ZERO
from goldennoise.diffusion.identity import shown_name
from goldennoise.errors import ConfigError
from goldennoise.generation.loader import Loader
from goldennoise.stages.estimate import image_costs
from goldennoise.stages.job import ScoredBy, opened, run_identity
from goldennoise.stages.networks import refuse_unfit_methods
from goldennoise.store.artifacts import Artifact, Draft
from goldennoise.store.files import whole
from goldennoise.store.options import Check, Options, either, number, option

if TYPE_CHECKING:
    import pandas as pd

    from goldennoise.generation.units import Part
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate

PICTURE = "side_by_side.png"
_SEEDS = Check(
    lambda seeds: min(seeds, default=-1) >= 0 and len(set(seeds)) == len(seeds),
    "a list of different whole numbers, at least 0",
)


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """One prompt, and the seeds of its images."""

    kind: str = "sample"
    prompt: str = option(check=Check(str.strip, "a text", repr))
    """One text."""
    num_seeds: int = option(1, number(least=1))
    """Source noises, a row of the picture each, at least 1; those of eval for the same prompt."""
    seeds: list[int] | None = option(None, _SEEDS)
    """Their indices, such as [3] for the fourth alone; null for the first `num_seeds`. An image is the same bit for bit
    whichever others are made with it."""
    other_model: str = option("refuse", either("refuse", "allow"), identity=False)
    """Of a network trained for another model, such as SDXL's for a model distilled from it: refuse or allow."""


def run(config: RunConfig) -> Artifact:
    """The samples artifact of this config: complete already, resumed, repaired, or made."""
    return make(config, Loader(config))


def make(config: RunConfig, loader: Loader) -> Artifact:
    """The same with the model and the scorers of `loader`, which loads the model only if there is an image to make.

    The method standard, the source noise as it is, always comes first.
    """
    refuse_unfit(config)
    config = beside_standard(config)
    seeds = _seeds(config.stage)
    with opened(config, "samples", loader) as job:
        networks = job.networks(config.method.values())
        if done := job.begin(partial(_identity, config, networks), networks.values(), PICTURE):
            return done
        # Torch loads here, when every mistake that can be seen without it has been reported.
        from goldennoise.generation.batch import Sample
        from goldennoise.generation.unit import PartMaker
        from goldennoise.generation.units import cut

        prompt = Prompt.of(config.stage.prompt)
        parts = cut([Sample(prompt, seed) for seed in seeds], [*config.method], [*config.scorer], len(seeds))
        folders = {reference: network.path for reference, network in networks.items()}
        # One at a time: how many are computed at once decides the last bits.
        job.make(parts, PartMaker(config, loader, folders, job.path, batch_size=1), "images")
        artifact = job.finish(lambda draft: _finish(draft, parts, config))
    print(f"{artifact.reference}: {artifact.path / PICTURE}")
    return artifact


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the samples artifact, see `stages.dry_run`."""
    refuse_unfit(config)
    config = beside_standard(config)
    networks = ahead.networks(config.method.values())
    done = ahead.complete("samples", partial(_identity, config, networks), networks.values())
    costs, num = image_costs(config.method, ahead.sampling(networks)), len(_seeds(config.stage))
    return ahead.estimate(
        "samples",
        done,
        {"seeds": num, "methods": len(costs), "images": num * len(costs)},
        evaluations=sum(costs.values(), ZERO) * num,
        storage=ahead.images(2 * num * len(costs)),  # each by itself and in the picture
        memory=ahead.memory,
    )


def beside_standard(config: RunConfig) -> RunConfig:
    """The config with the method standard before those that were chosen."""
    return replace(config, method={"standard": methods.component("standard").Config()} | dict(config.method))


def _seeds(stage: Config) -> list[int]:
    return list(range(stage.num_seeds)) if stage.seeds is None else stage.seeds


def _identity(config: RunConfig, networks: Mapping[str, Artifact], scored_by: ScoredBy) -> dict[str, Any]:
    stage: Config = config.stage
    identity = {"stage": {"kind": stage.kind, "prompt": stage.prompt, "seeds": _seeds(stage)}}
    return identity | run_identity(config, [Prompt.of(stage.prompt)], scored_by, networks)


def _finish(draft: Draft, parts: "list[Part]", config: RunConfig) -> Artifact:
    table = _table(draft, parts, config)
    _show(draft, table, config)
    counts = {"seeds": table["seed"].nunique(), "methods": len(config.method), "scorers": len(config.scorer)}
    return draft.commit(counts)


def refuse_unfit(config: RunConfig) -> None:
    """Raise ConfigError for what cannot be run, before anything is read or loaded."""
    if not set(config.method) - {"standard"}:
        raise ConfigError(
            f"method=[{', '.join(config.method)}]: the source noise is set beside what another method makes of it; "
            "choose one, as in method=[re_denoise]"
        )
    refuse_unfit_methods(config)
    if config.compute.devices != 1:
        raise ConfigError(
            f"compute.devices={config.compute.devices}: {config.stage.kind} runs in one process on one device; set "
            "compute.devices=1"
        )


def _table(draft: Draft, parts: "list[Part]", config: RunConfig) -> "pd.DataFrame":
    """`samples.csv`, written whole: a row per image with its file, what it cost and a column per scorer."""
    from goldennoise.generation.units import PREFIX, image_file, read_parts

    rows = read_parts(draft.path, parts)
    table = rows[["method", "seed", "num_evaluations"]].copy()
    cells = zip(rows["method"], rows["prompt_id"], rows["seed"], strict=True)
    table.insert(2, "image", [image_file(draft.path, *cell).relative_to(draft.path).as_posix() for cell in cells])
    for name in config.scorer:
        table[name] = rows[PREFIX + name]
    with whole(draft.path / "samples.csv") as beside:
        table.to_csv(beside, index=False)
    return table


def _show(draft: Draft, table: "pd.DataFrame", config: RunConfig) -> None:
    from goldennoise.evaluation.side_by_side import Cell, side_by_side
    from goldennoise.generation.units import png_metadata

    rows = [
        [
            Cell(
                draft.path / image["image"],
                [f"{image['method']}, seed {seed}", *(f"{name} {image[name]:.4g}" for name in config.scorer)],
            )
            for image in images.to_dict("records")
        ]
        for seed, images in table.groupby("seed")
    ]
    fields = {"prompt": config.stage.prompt, "model": shown_name(config.model), "root_seed": str(config.seed)}
    fields |= {"fingerprint": draft.fingerprint, "seed": _listed(table["seed"]), "method": _listed(table["method"])}
    with whole(draft.path / PICTURE) as beside:
        side_by_side(config.stage.prompt, rows).save(beside, format="PNG", pnginfo=png_metadata(fields))


def _listed(values: "pd.Series[Any]") -> str:
    return ", ".join(map(str, values.unique()))
