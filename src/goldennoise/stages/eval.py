"""eval: methods on the same prompts and seeds -> images, every score, and what the comparison shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from goldennoise import scorers as scorer_kinds
from goldennoise.config.compose import RunConfig
from goldennoise.data.prompts import Prompt, load_prompts
from goldennoise.data.prompts.content import described
from goldennoise.data.prompts.source import first
from goldennoise.diffusion.evaluations import ZERO
from goldennoise.diffusion.identity import shown_name
from goldennoise.errors import ConfigError
from goldennoise.scorers.protocol import Scorer
from goldennoise.stages.estimate import image_costs, num_batches
from goldennoise.stages.job import Job, ScoredBy, opened, run_identity
from goldennoise.stages.networks import refuse_unfit_methods, selected_with
from goldennoise.stages.objective import ObjectiveOptions
from goldennoise.store.artifacts import Artifact, Draft
from goldennoise.store.files import whole
from goldennoise.store.identity import deciding
from goldennoise.store.options import either, filled, number, option

if TYPE_CHECKING:
    from goldennoise.evaluation.summary import Summary
    from goldennoise.generation.units import Part
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate


@dataclass(frozen=True)
class Config(ObjectiveOptions):
    """What is compared, on how many prompts and seeds."""

    kind: str = "eval"
    num_prompts: int | None = option(None, number(least=1))
    """The first prompts of the set, at least 1; null for all."""
    num_seeds: int = option(5, number(least=1))
    """Source noises of each prompt, at least 1."""
    reference: str = option("standard", filled("the name of one of the methods"))
    """The method that every other one is compared with."""
    num_bootstrap: int = option(10_000, number(least=100))
    """Resamples behind an interval, at least 100."""
    prompts_per_part: int = option(16, number(least=1), identity=False)
    """What a killed run loses at most, per method; at least 1."""
    other_model: str = option("refuse", either("refuse", "allow"), identity=False)
    """Of a network trained for another model, such as SDXL's for a model distilled from it: refuse or allow."""


def run(config: RunConfig) -> Artifact:
    """The scores artifact of this config: complete already, resumed, repaired, or made, by all processes of the run."""
    _refuse_unfit(config)
    available = load_prompts(config.prompts, None)
    prompts = first(available, config.stage.num_prompts)
    protocol = _protocol(config, len(prompts), len(available))
    with opened(config, "scores") as job:
        networks = job.networks(config.method.values())

        if done := job.begin(partial(_identity, config, prompts, networks), networks.values()):
            return done
        # Torch loads here, when every mistake that can be seen without it has been reported.
        from goldennoise.generation.batch import grid
        from goldennoise.generation.reuse import take_finished
        from goldennoise.generation.unit import PartMaker
        from goldennoise.generation.units import cut

        num_seeds = config.stage.num_seeds
        samples_per_part = job.stage.prompts_per_part * num_seeds
        parts = cut(grid(prompts, num_seeds), [*config.method], [*config.scorer], samples_per_part)
        reads_rows = bool(scorer_kinds.columns_read(config.scorer))
        job.executor.decide(lambda: take_finished(job.path, parts, reads_rows))
        folders = {reference: network.path for reference, network in networks.items()}
        job.make(parts, PartMaker(config, job.loader, folders, job.path, config.compute.batch_size), "images")
        return job.finish(lambda draft: _finish(job, draft, parts, networks, prompts, protocol))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the scores artifact, see `stages.dry_run`."""
    _refuse_unfit(config)
    stage, chosen = config.stage, config.method
    prompts = ahead.prompts(partial(load_prompts, config.prompts, stage.num_prompts))
    networks = ahead.networks(chosen.values())
    done = ahead.complete("scores", partial(_identity, config, prompts, networks), networks.values())
    samples = len(prompts) * stage.num_seeds
    counts = {"prompts": len(prompts), "seeds": stage.num_seeds, "methods": len(chosen), "scorers": len(config.scorer)}
    counts["images"] = samples * len(chosen)
    batches = num_batches(samples, stage.prompts_per_part * stage.num_seeds, config.compute.batch_size)
    counts["batches"] = batches * len(chosen)
    costs = image_costs(chosen, ahead.sampling(networks))
    return ahead.estimate(
        "scores",
        done,
        counts,
        evaluations=sum(costs.values(), ZERO) * samples,
        storage=ahead.images(counts["images"]),
        memory=ahead.memory,
        notes={f"of {name}": f"{cost} an image" for name, cost in costs.items()},
    )


def _identity(
    config: RunConfig, prompts: Sequence[Prompt], networks: Mapping[str, Artifact], scored_by: ScoredBy
) -> dict[str, Any]:
    stage = deciding(config.stage) | {"num_prompts": len(prompts)}
    return {"stage": stage} | run_identity(config, prompts, scored_by, networks)


def _refuse_unfit(config: RunConfig) -> None:
    """Raise ConfigError for what cannot be run, before anything is read or loaded."""
    stage, chosen = config.stage, ", ".join(config.method) or "none"
    if stage.reference not in config.method:
        raise ConfigError(
            f"stage.reference={stage.reference}: reference must be one of the methods of this run ({chosen}), which "
            "method=[...] chooses"
        )
    for name, method in config.method.items():
        if missing := [other for other in method.methods() if other not in config.method]:
            raise ConfigError(
                f"method.{name} uses {missing[0]}, which is none of the methods of this run ({chosen}), which "
                "method=[...] chooses"
            )
    refuse_unfit_methods(config)
    if not config.scorer:
        raise ConfigError("scorer=[]: eval needs at least one scorer, as in scorer=[shapes_verifier]")


def _protocol(config: RunConfig, num_prompts: int, num_available: int) -> dict[str, str]:
    model, last = config.model, config.stage.num_seeds - 1
    return {
        "prompts": f"{num_prompts} of {num_available} prompts of {described(config.prompts)}",
        "seeds": f"{f'seeds 0 to {last}' if last else 'seed 0'} of root seed {config.seed}",
        "sampler": f"{shown_name(model)} by {model.scheduler}, {model.num_steps} steps, guidance {model.guidance:g}",
    }


def _finish(
    job: Job,
    draft: Draft,
    parts: "list[Part]",
    networks: Mapping[str, Artifact],
    prompts: Sequence[Prompt],
    protocol: dict[str, str],
) -> Artifact:
    from goldennoise.evaluation.report.results import result_table
    from goldennoise.evaluation.report.tables import to_text
    from goldennoise.generation.units import LEVELS, level_rows, read_parts, score_rows

    config = job.config
    table = read_parts(draft.path, parts)
    with whole(draft.path / "scores.parquet") as beside:
        score_rows(table, [*config.scorer]).to_parquet(beside, index=False)
    if LEVELS in table:
        with whole(draft.path / "levels.parquet") as beside:
            level_rows(table).to_parquet(beside, index=False)
    selecting = selected_with(job.store, networks, config.method, config.scorer)
    summary = replace(_summary(config, table, job.loader.scorers, selecting, prompts), protocol=protocol)
    summary.write(draft.path / "summary.json")
    counts = {"prompts": summary.num_prompts, "seeds": summary.num_seeds, "methods": len(config.method)}
    artifact = draft.commit(counts | {"scorers": len(config.scorer), "images": len(table)})
    print(to_text(result_table(summary)))
    return artifact


def _summary(
    config: RunConfig,
    table: Any,
    scorers: Mapping[str, Scorer],
    selecting: set[str] | None,
    prompts: Sequence[Prompt],
) -> "Summary":
    from goldennoise.evaluation.summary import Design, Summary, method_results, scorer_info
    from goldennoise.generation.unit import embedder_of

    stage: Config = config.stage
    embedder = embedder_of(scorers)
    reference = table[table["method"] == stage.reference]
    kinds = {name: method.kind for name, method in config.method.items()}
    return Summary(
        reference=stage.reference,
        model={
            "name": shown_name(config.model),
            "num_steps": config.model.num_steps,
            "guidance": config.model.guidance,
        },
        num_prompts=table["prompt_id"].nunique(),
        num_seeds=stage.num_seeds,
        num_resamples=stage.num_bootstrap,
        memory=", ".join(sorted(table["memory"].unique())),
        scorers={name: scorer_info(scorer, name, selecting, reference, prompts) for name, scorer in scorers.items()},
        methods=method_results(
            table,
            {name: scorer.higher_is_better for name, scorer in scorers.items()},
            embedder[0] if embedder else None,
            Design(kinds, stage.reference, stage.num_bootstrap, config.seed),
        ),
    )
