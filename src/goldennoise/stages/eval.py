"""eval: methods on the same prompts and seeds -> images, every score, and what the comparison shows."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from goldennoise import diffusion, methods, scorers
from goldennoise.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.diffusion.identity import model_identity
from goldennoise.errors import ConfigError, require

if TYPE_CHECKING:
    from goldennoise.config import RunConfig
    from goldennoise.evaluation.parts import Part
    from goldennoise.evaluation.summary import Summary
    from goldennoise.prompts import Prompt
    from goldennoise.scorers.protocol import Scorer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    """num_prompts: the first ones of the set, None for all. num_seeds: source noises per prompt.

    reference: the method that every other one is compared with. num_bootstrap: resamples behind an interval.
    prompts_per_part: what a killed run loses at most, per method. other_model: "allow" takes a network that was trained
    for another model, such as SDXL's for a model distilled from it.
    """

    kind: str = "eval"
    num_prompts: int | None = None
    num_seeds: int = 1
    reference: str = "standard"
    num_bootstrap: int = 10_000
    prompts_per_part: int = 16
    other_model: str = "refuse"

    def __post_init__(self) -> None:
        num_prompts = self.num_prompts
        require(num_prompts is None or num_prompts >= 1, "num_prompts", num_prompts, "null or at least 1")
        require(self.num_seeds >= 1, "num_seeds", self.num_seeds, "at least 1")
        require(bool(self.reference), "reference", repr(self.reference), "the name of one of the methods")
        require(self.num_bootstrap >= 100, "num_bootstrap", self.num_bootstrap, "at least 100")
        require(self.prompts_per_part >= 1, "prompts_per_part", self.prompts_per_part, "at least 1")
        require(self.other_model in ("refuse", "allow"), "other_model", self.other_model, "refuse or allow")


def run(config: "RunConfig") -> Artifact:
    """The scores artifact of this config: complete already, resumed, repaired, or made."""
    _refuse_unfit(config)
    # Torch loads here, when every mistake that can be seen without it has been reported.
    from goldennoise.evaluation.networks import refuse_other_model, resolve_networks
    from goldennoise.prompts import load_prompts

    prompts = load_prompts(config.prompts, config.stage.num_prompts)
    store = ArtifactStore(config.outputs)
    networks = resolve_networks(store, config.method)
    if config.stage.other_model == "refuse":
        for network in networks.values():
            refuse_other_model(network, config.model)
    device = config.compute.torch_device()
    judges = {name: scorers.component(part.kind).build(part, device) for name, part in config.scorer.items()}
    inputs = list({network.fingerprint: network for network in networks.values()}.values())
    identity = _identity(config, prompts, judges, networks)
    outcome = store.begin("scores", config.name, config.version, identity, inputs, asdict(config))
    if isinstance(outcome, Artifact):
        print(f"{outcome.reference} is complete.")
        return outcome
    with outcome as draft:
        return _evaluate(config, draft, store, prompts, judges, networks)


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
    if config.compute.devices != 1:
        raise ConfigError(
            f"compute.devices={config.compute.devices}: eval runs in one process on one device; set compute.devices=1"
        )


def _identity(
    config: "RunConfig", prompts: list["Prompt"], judges: Mapping[str, "Scorer"], networks: Mapping[str, Artifact]
) -> dict[str, Any]:
    told_apart = "\n".join(f"{prompt.category}\t{prompt.text}" for prompt in prompts)
    used = {name: asdict(method) for name, method in config.method.items()}
    for method in used.values():
        if "artifact" in method:
            # Which network is meant, whatever it is called and wherever it lies.
            method["artifact"] = networks[method["artifact"]].fingerprint
    return {
        "stage": asdict(config.stage) | {"num_prompts": len(prompts)},
        "model": model_identity(config.model),
        "methods": used,
        "scorers": {name: scorers.identity(part, judges[name]) for name, part in config.scorer.items()},
        "prompts": hashlib.sha256(told_apart.encode()).hexdigest(),
        "seed": config.seed,
    }


def _evaluate(
    config: "RunConfig",
    draft: Draft,
    store: ArtifactStore,
    prompts: list["Prompt"],
    judges: Mapping[str, "Scorer"],
    networks: Mapping[str, Artifact],
) -> Artifact:
    from goldennoise.evaluation.generate import grid
    from goldennoise.evaluation.networks import selected_with
    from goldennoise.evaluation.parts import cut, read_parts, score_rows, whole
    from goldennoise.report.results import result_table
    from goldennoise.report.tables import to_text

    stage: Config = config.stage
    samples = grid(prompts, stage.num_seeds)
    parts = cut(samples, list(config.method), stage.prompts_per_part * stage.num_seeds)
    _make_parts(config, draft, parts, judges, networks)
    table = read_parts(draft.path, parts)
    with whole(draft.path / "scores.parquet") as beside:
        score_rows(table, list(judges)).to_parquet(beside, index=False)
    selecting = selected_with(store, networks, config.method, config.scorer)
    summary = _summary(config, table, len(prompts), judges, selecting)
    summary.write(draft.path / "summary.json")
    counts = {"prompts": len(prompts), "seeds": stage.num_seeds, "methods": len(config.method)}
    artifact = draft.commit(counts | {"scorers": len(judges), "images": len(table)})
    print(to_text(result_table(summary)))
    return artifact


def _make_parts(
    config: "RunConfig",
    draft: Draft,
    parts: list["Part"],
    judges: Mapping[str, "Scorer"],
    networks: Mapping[str, Artifact],
) -> None:
    """Make the parts that are not finished; the model is loaded only if there is one."""
    from tqdm import tqdm

    from goldennoise.evaluation.evaluate import embedder_of, evaluate_part
    from goldennoise.evaluation.generate import warm_up
    from goldennoise.evaluation.parts import is_finished
    from goldennoise.methods.protocol import MethodTools

    embeds = embedder_of(judges) is not None
    missing = [part for part in parts if not is_finished(draft.path, part, list(judges), embeds)]
    if not missing:
        return
    # Methods first: what they cannot be built from shows before the large model is loaded.
    tools = MethodTools(judges, lambda _, reference: networks[reference].path)
    built = {name: methods.build(method, tools) for name, method in config.method.items()}
    model = diffusion.component(config.model.kind).build(config.model, config.compute.torch_device())
    total, left = (sum(len(part.samples) for part in some) for some in (parts, missing))
    warm_up(model, missing[0].samples[: config.compute.batch_size], config.seed)
    with tqdm(total=total, initial=total - left, unit="image", desc="eval") as bar:
        for part in missing:
            bar.set_postfix_str(part.method)
            evaluate_part(
                draft.path, part, model, built[part.method], judges, config.seed, config.compute.batch_size, bar.update
            )
            log.info("%s: part %d of %s is finished", draft.reference, part.number, part.method)


def _summary(
    config: "RunConfig", table: Any, num_prompts: int, judges: Mapping[str, "Scorer"], selecting: set[str] | None
) -> "Summary":
    from goldennoise.evaluation.evaluate import embedder_of
    from goldennoise.evaluation.summary import Summary, method_results, scorer_info

    stage: Config = config.stage
    embedder = embedder_of(judges)
    reference = table[table["method"] == stage.reference]
    return Summary(
        reference=stage.reference,
        model={"name": config.model.path, "num_steps": config.model.num_steps, "guidance": config.model.guidance},
        num_prompts=num_prompts,
        num_seeds=stage.num_seeds,
        num_resamples=stage.num_bootstrap,
        memory=", ".join(sorted(table["memory"].unique())),
        embedder=embedder[0] if embedder else None,
        scorers={name: scorer_info(judge, name, selecting, reference) for name, judge in judges.items()},
        methods=method_results(
            table,
            {name: method.kind for name, method in config.method.items()},
            stage.reference,
            {name: judge.higher_is_better for name, judge in judges.items()},
            stage.num_bootstrap,
            config.seed,
        ),
    )
