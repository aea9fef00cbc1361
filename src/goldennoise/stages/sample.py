"""sample: one prompt -> its images from source noise and from golden noise, side by side."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from goldennoise import methods, scorers
from goldennoise.errors import ConfigError, require
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.identity import undeciding

if TYPE_CHECKING:
    import pandas as pd

    from goldennoise.config.compose import RunConfig
    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.generation.units import Part
    from goldennoise.scorers.protocol import Scorer

PICTURE = "side_by_side.png"


@dataclass(frozen=True, kw_only=True)
class Config:
    """prompt: one text. num_seeds: source noises, a row of the picture each; those of eval for the same prompt.

    seeds: their indices, such as [3] for the fourth alone; None for the first `num_seeds`. An image is the same bit for
    bit whichever others are made with it.
    other_model: as in eval, "allow" takes a network that was trained for another model.
    """

    kind: str = "sample"
    prompt: str
    num_seeds: int = 1
    seeds: list[int] | None = None
    other_model: str = undeciding(default="refuse")

    def __post_init__(self) -> None:
        require(bool(self.prompt.strip()), "prompt", repr(self.prompt), "a text")
        require(self.num_seeds >= 1, "num_seeds", self.num_seeds, "at least 1")
        given = self.seeds
        distinct = given is None or (bool(given) and min(given) >= 0 and len(set(given)) == len(given))
        require(distinct, "seeds", given, "null or a list of different whole numbers, at least 0")
        require(self.other_model in ("refuse", "allow"), "other_model", self.other_model, "refuse or allow")


def run(config: "RunConfig") -> Artifact:
    """The samples artifact of this config: complete already, resumed, repaired, or made."""
    refuse_unfit(config)
    # Torch loads here, when every mistake that can be seen without it has been reported.
    from goldennoise.generation.grid import built_model, built_scorers

    return make(config, built_model, built_scorers)


def make(
    config: "RunConfig",
    load: "Callable[[RunConfig], DiffusionModel]",
    judges_of: "Callable[[RunConfig], Mapping[str, Scorer]]",
) -> Artifact:
    """The same with the model and the scorers that these give; `load` is called only if there is an image to make.

    The method standard, the source noise as it is, always comes first.
    """
    from goldennoise.data.prompts import Prompt
    from goldennoise.generation.batch import Sample
    from goldennoise.generation.grid import make_parts, run_identity, unfinished
    from goldennoise.generation.units import cut
    from goldennoise.stages.networks import refuse_other_models, resolve_networks

    refuse_unfit(config)
    config = replace(config, method={"standard": methods.component("standard").Config()} | dict(config.method))
    stage: Config = config.stage
    prompt = Prompt.of(stage.prompt)
    store = ArtifactStore(config.outputs)
    networks = resolve_networks(store, config.method.values())
    refuse_other_models(config, networks)
    judges = judges_of(config)
    seeds = list(range(stage.num_seeds)) if stage.seeds is None else stage.seeds
    identity = {"stage": {"kind": stage.kind, "prompt": stage.prompt, "seeds": seeds}}
    identity |= run_identity(config, [prompt], scorers.identities(config.scorer, judges), networks)
    inputs = list({network.fingerprint: network for network in networks.values()}.values())
    outcome = store.begin("samples", config.name, config.version, identity, inputs, asdict(config))
    if isinstance(outcome, Artifact):
        print(f"{outcome.reference} is complete: {outcome.path / PICTURE}")
        return outcome
    with outcome as draft:
        parts = cut([Sample(prompt, seed) for seed in seeds], list(config.method), len(seeds))
        missing = [parts[i] for i in unfinished(draft.path, parts, judges)]
        num_done = (len(parts) - len(missing)) * len(seeds)
        # One at a time: how many are computed at once decides the last bits.
        alone = replace(config, compute=replace(config.compute, batch_size=1))
        make_parts(alone, draft.path, missing, judges, networks, load, num_done)
        _show(draft, _table(draft, parts, judges), judges, config)
        artifact = draft.commit({"seeds": len(seeds), "methods": len(config.method), "scorers": len(judges)})
    print(f"{artifact.reference}: {artifact.path / PICTURE}")
    return artifact


def refuse_unfit(config: "RunConfig") -> None:
    """Raise ConfigError for what cannot be run, before anything is read or loaded."""
    if not set(config.method) - {"standard"}:
        raise ConfigError(
            f"method=[{', '.join(config.method)}]: the source noise is set beside what another method makes of it; "
            "choose one, as in method=[re_denoise]"
        )
    if config.compute.devices != 1:
        raise ConfigError(
            f"compute.devices={config.compute.devices}: {config.stage.kind} runs in one process on one device; set "
            "compute.devices=1"
        )


def _table(draft: Draft, parts: "list[Part]", judges: "Mapping[str, Scorer]") -> "pd.DataFrame":
    """`samples.csv`, written whole: a row per image with its file, what it cost and a column per scorer."""
    from goldennoise.generation.units import PREFIX, image_file, read_parts, whole

    rows = read_parts(draft.path, parts)
    table = rows[["method", "seed", "num_evaluations"]].copy()
    cells = zip(rows["method"], rows["prompt_id"], rows["seed"], strict=True)
    table.insert(2, "image", [image_file(draft.path, *cell).relative_to(draft.path).as_posix() for cell in cells])
    for name in judges:
        table[name] = rows[PREFIX + name]
    with whole(draft.path / "samples.csv") as beside:
        table.to_csv(beside, index=False)
    return table


def _show(draft: Draft, table: "pd.DataFrame", judges: "Mapping[str, Scorer]", config: "RunConfig") -> None:
    from goldennoise.evaluation.side_by_side import Cell, side_by_side
    from goldennoise.generation.units import png_metadata, whole

    rows = [
        [
            Cell(
                draft.path / image["image"],
                [f"{image['method']}, seed {seed}", *(f"{name} {image[name]:.4g}" for name in judges)],
            )
            for image in images.to_dict("records")
        ]
        for seed, images in table.groupby("seed")
    ]
    fields = {"prompt": config.stage.prompt, "model": config.model.name, "root_seed": str(config.seed)}
    fields |= {"fingerprint": draft.fingerprint, "seed": _listed(table["seed"]), "method": _listed(table["method"])}
    with whole(draft.path / PICTURE) as beside:
        side_by_side(config.stage.prompt, rows).save(beside, format="PNG", pnginfo=png_metadata(fields))


def _listed(values: "pd.Series[Any]") -> str:
    return ", ".join(map(str, values.unique()))
