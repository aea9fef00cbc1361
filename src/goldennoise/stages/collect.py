"""collect: prompts -> pairs of source and golden noise with the scores of both images."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise import methods, scorers
from goldennoise.config.benchmarks import benchmark_sets
from goldennoise.config.compose import RunConfig
from goldennoise.data.prompts import Prompt, load_training_prompts, prompts_digest
from goldennoise.diffusion.identity import model_identity
from goldennoise.errors import ConfigError
from goldennoise.scorers.protocol import refuse_reporting_only
from goldennoise.stages.estimate import num_batches
from goldennoise.stages.job import Job, ScoredBy, opened
from goldennoise.stages.networks import refuse_unfit_methods
from goldennoise.store.artifacts import Artifact, Draft
from goldennoise.store.identity import deciding
from goldennoise.store.options import FINITE, Options, either, filled, number, option

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate


@dataclass(frozen=True)
class Config(Options):
    """Which pairs to make, and which of them to keep."""

    kind: str = "collect"
    num_prompts: int | None = option(None, number(least=1))
    """The first prompts of the set, at least 1; null for all."""
    num_seeds: int = option(1, number(least=1))
    """Pairs of each prompt, at least 1."""
    source_network: str | None = option(None, filled('a reference such as "npnet/shapes@latest"'), identity=False)
    """A trained network whose golden noise the method starts from; null for the source noise. The source of a pair
    stays random, so a network learns both rounds as one."""
    preference: str | None = option("shapes_clip", filled("the name of a scorer"))
    """The scorer that decides which pairs are kept; null keeps all of them and samples no image."""
    margin: float = option(0.0, FINITE)
    """By how much it has to prefer the golden image, in its unit."""
    prompts_per_shard: int = option(64, number(least=1), identity=False)
    """What a killed run loses at most, at least 1."""
    seed_index: int = option(0, number(least=0))
    """Of a prompt's first pair, at least 0; another one gives other noise for the same prompts."""
    other_model: str = option("refuse", either("refuse", "allow"), identity=False)
    """Of a network trained for another model, such as SDXL's for a model distilled from it: refuse or allow."""


def run(config: RunConfig) -> Artifact:
    """The pairs artifact of this config: complete already, resumed, repaired, or made, by all processes of the run."""
    chain = _chain(config)
    prompts, num_held_out = load_training_prompts(config.prompts, config.stage.num_prompts, benchmark_sets())
    with opened(config, "pairs") as job:
        networks = job.networks(chain)
        decides = partial(_identity, config, chain[-1], prompts)
        if done := job.begin(decides, networks.values(), refuse_unfit=lambda: _refuse_unfit_preference(job)):
            return done
        # Torch loads here, when every mistake that can be seen without it has been reported.
        from goldennoise.generation.collector import ShardMaker, cut

        shards = cut(prompts, config.stage.num_seeds, job.stage.prompts_per_shard)
        folders = {reference: network.path for reference, network in networks.items()}
        job.make(shards, ShardMaker(job.loader, chain, folders, job.path), "pairs")
        return job.finish(lambda draft: _finish(draft, config.stage, len(shards), num_held_out))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the pairs artifact, see `stages.dry_run`."""
    chain, stage = _chain(config), config.stage
    prompts = ahead.prompts(lambda: load_training_prompts(config.prompts, stage.num_prompts, benchmark_sets())[0])
    networks = ahead.networks(chain)
    done = ahead.complete("pairs", partial(_identity, config, chain[-1], prompts), networks.values())
    pairs, sampling = len(prompts) * stage.num_seeds, ahead.sampling(networks)
    images = 0 if stage.preference is None else 2
    each = sum((methods.golden_evaluations(one, {}, sampling) for one in chain), sampling.image() * images)
    counts = {"prompts": len(prompts), "pairs": pairs, "images": pairs * images}
    counts["batches"] = num_batches(pairs, stage.prompts_per_shard * stage.num_seeds, config.compute.batch_size)
    stored = ahead.latents(2 * pairs)
    return ahead.estimate("pairs", done, counts, evaluations=each * pairs, storage=stored, memory=ahead.memory)


def _finish(draft: Draft, stage: Config, num_shards: int, num_held_out: int) -> Artifact:
    counts = _counts(draft.path, num_shards)
    artifact = draft.commit(counts | {"held_out_prompts": num_held_out})
    chosen = f"{counts['kept']} kept ({counts['acceptance']:.1%}), mean gain of {stage.preference} "
    chosen += f"{counts['mean_gain']:+.4g}"
    filtered = "not filtered" if stage.preference is None else chosen
    left_out = f"; held-out prompts left out: {num_held_out}" if num_held_out else ""
    print(f"{artifact.reference}: {counts['pairs']} pairs, {filtered}{left_out}")
    return artifact


def _refuse_unfit_preference(job: Job) -> None:
    chosen = job.config.stage.preference
    if chosen is not None:
        refuse_reporting_only(job.loader.scorer(chosen), "stage.preference")


def _chain(config: RunConfig) -> list[Any]:
    """Configs of the methods that make golden noise one after the other, the run's own last.

    Refuses what cannot be run before anything is read or loaded.
    """
    if len(config.method) != 1:
        chosen = ", ".join(config.method) or "none"
        raise ConfigError(f"method=[{chosen}]: collect takes exactly one method, as in method=[re_denoise]")
    if config.stage.preference not in (None, *config.scorer):
        known = ", ".join(config.scorer) or "none"
        raise ConfigError(
            f"stage.preference={config.stage.preference}: preference must be one of the scorers of this run ({known}), "
            "which scorer=[...] chooses"
        )
    for name, method in config.method.items():
        if method.control == "schedule" or method.artifact_kind == "schedule":
            raise ConfigError(
                f"method=[{name}]: it changes the schedule of sampling and not the noise, and pairs hold noise alone; "
                "choose a method that changes the noise"
            )
    refuse_unfit_methods(config)
    first = config.stage.source_network
    before = [] if first is None else [methods.component("npnet").Config(artifact=first)]
    return [*before, *config.method.values()]


def _identity(config: RunConfig, method: Any, prompts: list[Prompt], scored_by: ScoredBy) -> dict[str, Any]:
    # The artifact's inputs say which networks are used, whatever they are called.
    others = {"num_prompts": len(prompts), "source_network": config.stage.source_network is not None}
    return {
        "stage": deciding(config.stage) | others,
        "model": model_identity(config.model),
        "method": methods.identity(method),
        "scorers": scored_by(config.scorer),
        "seed": config.seed,
        "prompts": prompts_digest(prompts, scorers.columns_read(config.scorer)),
    }


def _counts(folder: Path, num: int) -> dict[str, Any]:
    from goldennoise.data.pairs.index import merge, total_figures

    index, figures = merge(folder, num), total_figures(folder, num)
    return {
        "pairs": len(index),
        "kept": int(index["kept"].sum()),
        "acceptance": float(index["kept"].mean()),
        "mean_gain": float(index["gain"].mean()),
        "evaluations": int(figures["evaluations"]),
        "truncated_prompts": int(figures["truncated"]),
        "seconds": round(figures["seconds"], 3),
    }
