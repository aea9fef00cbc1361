"""collect: prompts -> pairs of source and golden noise with the scores of both images."""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise import methods, scorers
from goldennoise.data.pairs import PreferenceFilter
from goldennoise.data.pairs.index import merge, total_figures
from goldennoise.data.pairs.shards import part_path, read_index
from goldennoise.data.prompts import Prompt, load_training_prompts, prompts_digest
from goldennoise.diffusion import setup
from goldennoise.diffusion.identity import model_identity
from goldennoise.errors import ConfigError, require
from goldennoise.generation.collector import Collector, make_shards, missing_shards, num_shards
from goldennoise.generation.pair_progress import PairProgress
from goldennoise.methods.base import After
from goldennoise.methods.tools import MethodTools
from goldennoise.runtime.processes import Processes, joined
from goldennoise.scorers.protocol import Scorer, refuse_reporting_only
from goldennoise.stages.job import begin_together, complete, finish_together, resolve_together
from goldennoise.store.artifacts import ArtifactStore
from goldennoise.store.drafts import Draft
from goldennoise.store.identity import as_begun, deciding, undeciding
from goldennoise.store.record import Artifact

if TYPE_CHECKING:
    from goldennoise.config.compose import RunConfig


@dataclass(frozen=True)
class Config:
    """num_prompts: the first ones of the set, None for all; num_seeds: pairs of each.

    source_network: an npnet artifact whose golden noise the teacher starts from, None for the random noise itself; the
    source of a pair stays random, so NPNet learns both rounds as one. preference: the scorer that decides which pairs
    are kept, by more than `margin` in its unit; None keeps all of them and samples no image. seed_index: of a prompt's
    first pair; another one gives other noise for the same prompts.
    other_model: as in eval, "allow" takes a network that was trained for another model.
    """

    kind: str = "collect"
    num_prompts: int | None = None
    num_seeds: int = 1
    source_network: str | None = undeciding(default=None)
    preference: str | None = "shapes_clip"
    margin: float = 0.0
    prompts_per_shard: int = undeciding(default=64)
    seed_index: int = 0
    other_model: str = undeciding(default="refuse")

    def __post_init__(self) -> None:
        require(
            self.num_prompts is None or self.num_prompts >= 1, "num_prompts", self.num_prompts, "null or at least 1"
        )
        require(self.num_seeds >= 1, "num_seeds", self.num_seeds, "at least 1")
        network = self.source_network
        require(network != "", "source_network", repr(network), 'null or a reference such as "npnet/shapes@latest"')
        require(self.preference != "", "preference", repr(self.preference), "null or the name of a scorer")
        require(math.isfinite(self.margin), "margin", self.margin, "a finite number")
        require(self.prompts_per_shard >= 1, "prompts_per_shard", self.prompts_per_shard, "at least 1")
        require(self.seed_index >= 0, "seed_index", self.seed_index, "at least 0")
        require(self.other_model in ("refuse", "allow"), "other_model", self.other_model, "refuse or allow")


def run(config: "RunConfig") -> Artifact:
    """The pairs artifact of this config: complete already, resumed, repaired, or made, by all processes of the run."""
    chain = _chain(config)
    prompts, num_held_out = load_training_prompts(config.prompts, config.stage.num_prompts)
    store = ArtifactStore(config.outputs)
    with joined(config.compute) as processes, ExitStack() as held:
        networks = resolve_together(processes, store, config, chain)
        inputs, decides = [*networks.values()], partial(_identity, config, chain[-1], prompts)
        if done := complete(processes, store, "pairs", config, decides, inputs):
            return done
        judges = scorers.built(config.scorer, config.compute.torch_device())
        preference = _preference(config.stage, judges)

        def begin() -> Artifact | Draft:
            identity = decides(scorers.identities(config.scorer, judges))
            return store.begin("pairs", config.name, config.version, identity, inputs, asdict(config))

        begun = begin_together(processes, held, begin)
        if isinstance(begun, Artifact):
            return begun
        collector = partial(_collector, config, chain, judges, networks, preference)
        stage = as_begun(config.stage, begun.stage)
        _collect(begun.path, collector, prompts, stage, processes)
        return finish_together(processes, begun, lambda draft: _finish(draft, stage, len(prompts), num_held_out))


def _finish(draft: Draft, stage: Config, num_prompts: int, num_held_out: int) -> Artifact:
    counts = _counts(draft.path, num_shards(num_prompts, stage.prompts_per_shard))
    artifact = draft.commit(counts | {"held_out_prompts": num_held_out})
    chosen = f"{counts['kept']} kept ({counts['acceptance']:.1%}), mean gain of {stage.preference} "
    chosen += f"{counts['mean_gain']:+.4g}"
    filtered = "not filtered" if stage.preference is None else chosen
    left_out = f"; held-out prompts left out: {num_held_out}" if num_held_out else ""
    print(f"{artifact.reference}: {counts['pairs']} pairs, {filtered}{left_out}")
    return artifact


def _preference(stage: Config, judges: dict[str, Scorer]) -> PreferenceFilter | None:
    if stage.preference is None:
        return None
    scorer = judges[stage.preference]
    refuse_reporting_only(scorer, "stage.preference")
    return PreferenceFilter(stage.preference, stage.margin, scorer.higher_is_better)


def _chain(config: "RunConfig") -> list[Any]:
    """Configs of the methods that make golden noise one after the other, the teacher last.

    Refuses what cannot be run before anything is read or loaded.
    """
    if len(config.method) != 1:
        chosen = ", ".join(config.method) or "none"
        raise ConfigError(
            f"method=[{chosen}]: collect takes exactly one method, the teacher, as in method=[re_denoise]"
        )
    if config.stage.preference not in (None, *config.scorer):
        known = ", ".join(config.scorer) or "none"
        raise ConfigError(
            f"stage.preference={config.stage.preference}: preference must be one of the scorers of this run ({known}), "
            "which scorer=[...] chooses"
        )
    first = config.stage.source_network
    before = [] if first is None else [methods.component("npnet").Config(artifact=first)]
    return [*before, *config.method.values()]


def _identity(config: "RunConfig", teacher: Any, prompts: list[Prompt], scored_by: Mapping[str, Any]) -> dict[str, Any]:
    # The artifact's inputs say which networks are used, whatever they are called.
    others = {"num_prompts": len(prompts), "source_network": config.stage.source_network is not None}
    return {
        "stage": deciding(config.stage) | others,
        "model": model_identity(config.model),
        "teacher": {key: value for key, value in methods.identity(teacher).items() if key != "artifact"},
        "scorers": dict(scored_by),
        "seed": config.seed,
        "prompts": prompts_digest(prompts),
    }


def _collector(
    config: "RunConfig",
    chain: list[Any],
    judges: dict[str, Scorer],
    networks: Mapping[str, Artifact],
    preference: PreferenceFilter | None,
) -> Collector:
    """Loads the model, so it is called only when there is a shard to make."""
    stage = config.stage
    tools = MethodTools(judges, lambda _, reference: networks[reference].path)
    return Collector(
        setup.load(config.model, config.compute),
        reduce(After, [methods.build(method, tools) for method in chain]),
        judges,
        preference,
        config.compute.batch_size,
        config.seed,
        stage.seed_index,
        stage.num_seeds,
    )


def _collect(
    folder: Path, collector: Callable[[], Collector], prompts: list[Prompt], stage: Config, processes: Processes
) -> None:
    size = stage.prompts_per_shard
    # Rank 0 says which are missing: by the time that another one looks, the first may be there.
    missing = processes.from_first(lambda: {"missing": missing_shards(folder, len(prompts), size)})["missing"]
    mine = missing[processes.rank :: processes.size]
    finished = sorted({*range(num_shards(len(prompts), size))} - {*missing})
    num_prompts = sum(len(prompts[number * size : (number + 1) * size]) for number in (*mine, *finished))
    progress = PairProgress(num_prompts * stage.num_seeds, filtered=stage.preference is not None)
    for number in finished:
        progress.add(read_index(part_path(folder, number)))

    def ready() -> Collector:
        loaded = collector()
        if processes.is_first:
            progress.start()
        return loaded

    try:
        processes.together(lambda: make_shards(ready, folder, prompts, size, mine, progress.add))
    finally:
        progress.close()


def _counts(folder: Path, num: int) -> dict[str, Any]:
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
