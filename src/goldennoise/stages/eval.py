"""eval: methods on the same prompts and seeds -> images, every score, and what the comparison shows."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from goldennoise import scorers
from goldennoise.errors import ConfigError, require
from goldennoise.runtime.processes import joined
from goldennoise.stages.job import begin_together, complete, finish_together, resolve_together
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.identity import as_begun, deciding, undeciding

if TYPE_CHECKING:
    from goldennoise.config.compose import RunConfig
    from goldennoise.evaluation.summary import Summary
    from goldennoise.generation.units import Part
    from goldennoise.scorers.protocol import Scorer


@dataclass(frozen=True)
class Config:
    """num_prompts: the first ones of the set, None for all. num_seeds: source noises per prompt.

    reference: the method that every other one is compared with. num_bootstrap: resamples behind an interval.
    prompts_per_part: what a killed run loses at most, per method. other_model: "allow" takes a network that was trained
    for another model, such as SDXL's for a model distilled from it.
    """

    kind: str = "eval"
    num_prompts: int | None = None
    num_seeds: int = 5
    reference: str = "standard"
    num_bootstrap: int = 10_000
    prompts_per_part: int = undeciding(default=16)
    other_model: str = undeciding(default="refuse")

    def __post_init__(self) -> None:
        num_prompts = self.num_prompts
        require(num_prompts is None or num_prompts >= 1, "num_prompts", num_prompts, "null or at least 1")
        require(self.num_seeds >= 1, "num_seeds", self.num_seeds, "at least 1")
        require(bool(self.reference), "reference", repr(self.reference), "the name of one of the methods")
        require(self.num_bootstrap >= 100, "num_bootstrap", self.num_bootstrap, "at least 100")
        require(self.prompts_per_part >= 1, "prompts_per_part", self.prompts_per_part, "at least 1")
        require(self.other_model in ("refuse", "allow"), "other_model", self.other_model, "refuse or allow")


def run(config: "RunConfig") -> Artifact:
    """The scores artifact of this config: complete already, resumed, repaired, or made, by all processes of the run."""
    _refuse_unfit(config)
    # Torch loads here, when every mistake that can be seen without it has been reported.
    from goldennoise.data.prompts import load_prompts
    from goldennoise.generation.batch import grid
    from goldennoise.generation.grid import built_scorers, make_parts, run_identity, unfinished
    from goldennoise.generation.reuse import adopt
    from goldennoise.generation.units import cut

    prompts = load_prompts(config.prompts, config.stage.num_prompts)
    store = ArtifactStore(config.outputs)
    with joined(config.compute) as processes, ExitStack() as held:
        networks = resolve_together(processes, store, config, config.method.values())
        inputs = list({network.fingerprint: network for network in networks.values()}.values())

        def decides(scored_by: Mapping[str, Any]) -> dict[str, Any]:
            stage = deciding(config.stage) | {"num_prompts": len(prompts)}
            return {"stage": stage} | run_identity(config, prompts, scored_by, networks)

        if done := complete(processes, store, "scores", config, decides, inputs):
            return done
        judges = built_scorers(config)

        def begin() -> Artifact | Draft:
            identity = decides(scorers.identities(config.scorer, judges))
            return store.begin("scores", config.name, config.version, identity, inputs, asdict(config))

        begun = begin_together(processes, held, begin)
        if isinstance(begun, Artifact):
            return begun
        samples = grid(prompts, config.stage.num_seeds)
        prompts_per_part = as_begun(config.stage, begun.stage).prompts_per_part
        parts = cut(samples, list(config.method), prompts_per_part * config.stage.num_seeds)

        def left() -> dict[str, Any]:
            adopt(begun.path, parts, judges)
            return {"missing": unfinished(begun.path, parts, judges)}

        # Rank 0 says which are missing: by the time that another one looks, the first may be there.
        missing = processes.from_first(left)["missing"]
        # All methods on the same prompts fall to the same process.
        numbers = sorted({parts[i].number for i in missing})[processes.rank :: processes.size]
        mine = [parts[i] for i in missing if parts[i].number in numbers]
        num_done = sum(len(part.samples) for i, part in enumerate(parts) if i not in missing)
        make = partial(make_parts, config, begun.path, mine, judges, networks)
        processes.together(lambda: make(num_done=num_done, show=processes.is_first))
        return finish_together(
            processes, begun, lambda draft: _finish(config, draft, store, parts, len(prompts), judges, networks)
        )


def _refuse_unfit(config: "RunConfig") -> None:
    """Raise ConfigError for what cannot be run, before anything is read or loaded."""
    stage, chosen = config.stage, ", ".join(config.method) or "none"
    if stage.reference not in config.method:
        raise ConfigError(
            f"stage.reference={stage.reference}: reference must be one of the methods of this run ({chosen}), which "
            "method=[...] chooses"
        )
    if not config.scorer:
        raise ConfigError("scorer=[]: eval needs at least one scorer, as in scorer=[shapes_verifier]")


def _finish(
    config: "RunConfig",
    draft: Draft,
    store: ArtifactStore,
    parts: "list[Part]",
    num_prompts: int,
    judges: Mapping[str, "Scorer"],
    networks: Mapping[str, Artifact],
) -> Artifact:
    from goldennoise.evaluation.report.results import result_table
    from goldennoise.evaluation.report.tables import to_text
    from goldennoise.generation.units import read_parts, score_rows, whole
    from goldennoise.stages.networks import selected_with

    table = read_parts(draft.path, parts)
    with whole(draft.path / "scores.parquet") as beside:
        score_rows(table, list(judges)).to_parquet(beside, index=False)
    selecting = selected_with(store, networks, config.method, config.scorer)
    summary = _summary(config, table, num_prompts, judges, selecting)
    summary.write(draft.path / "summary.json")
    counts = {"prompts": num_prompts, "seeds": config.stage.num_seeds, "methods": len(config.method)}
    artifact = draft.commit(counts | {"scorers": len(judges), "images": len(table)})
    print(to_text(result_table(summary)))
    return artifact


def _summary(
    config: "RunConfig", table: Any, num_prompts: int, judges: Mapping[str, "Scorer"], selecting: set[str] | None
) -> "Summary":
    from goldennoise.evaluation.summary import Summary, method_results, scorer_info
    from goldennoise.generation.unit import embedder_of

    stage: Config = config.stage
    embedder = embedder_of(judges)
    reference = table[table["method"] == stage.reference]
    return Summary(
        reference=stage.reference,
        model={
            "name": config.model.name,
            "num_steps": config.model.num_steps,
            "guidance": config.model.guidance,
        },
        num_prompts=num_prompts,
        num_seeds=stage.num_seeds,
        num_resamples=stage.num_bootstrap,
        memory=", ".join(sorted(table["memory"].unique())),
        scorers={name: scorer_info(judge, name, selecting, reference) for name, judge in judges.items()},
        methods=method_results(
            table,
            {name: method.kind for name, method in config.method.items()},
            stage.reference,
            {name: judge.higher_is_better for name, judge in judges.items()},
            embedder[0] if embedder else None,
            stage.num_bootstrap,
            config.seed,
        ),
    )
