"""Methods on a grid of prompts and seeds, as stages run it: what decides the result, and the parts not yet finished."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise import methods, scorers
from goldennoise.data.prompts import Prompt, prompts_digest
from goldennoise.diffusion import setup
from goldennoise.diffusion.identity import model_identity
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.errors import GoldenNoiseError
from goldennoise.generation.batch import warm_up
from goldennoise.generation.unit import embedder_of, evaluate_part
from goldennoise.generation.units import Part, is_finished
from goldennoise.methods.tools import MethodTools
from goldennoise.runtime.progress import Progress
from goldennoise.scorers.protocol import Scorer
from goldennoise.store.artifacts import Artifact
from goldennoise.store.drafts import DRAFT
from goldennoise.store.record import read_header

if TYPE_CHECKING:
    from goldennoise.config.compose import RunConfig

log = logging.getLogger(__name__)


def run_identity(
    config: "RunConfig",
    prompts: Sequence[Prompt],
    scored_by: Mapping[str, Any],
    networks: Mapping[str, Artifact],
) -> dict[str, Any]:
    """What decides the images and scores, beside the options of the stage.

    scored_by: `scorers.identities`. networks: by reference as written.
    """
    used = {name: methods.identity(method) for name, method in config.method.items()}
    for method in used.values():
        if "artifact" in method:
            # Which network is meant, whatever it is called and wherever it lies.
            method["artifact"] = networks[method["artifact"]].fingerprint
    return {
        "model": model_identity(config.model),
        "methods": used,
        "scorers": dict(scored_by),
        "prompts": prompts_digest(prompts),
        "seed": config.seed,
    }


def built_model(config: "RunConfig") -> DiffusionModel:
    """The model of a run, set up as it asks."""
    return setup.load(config.model, config.compute)


def built_scorers(config: "RunConfig") -> dict[str, Scorer]:
    """The scorers of a run, on its device."""
    return scorers.built(config.scorer, config.compute.torch_device())


def unfinished(folder: Path, parts: Sequence[Part], judges: Mapping[str, Scorer]) -> list[int]:
    """Positions in `parts` of those that are not finished in `folder`."""
    embeds = embedder_of(judges) is not None
    return [i for i, part in enumerate(parts) if not is_finished(folder, part, list(judges), embeds)]


def make_parts(
    config: "RunConfig",
    folder: Path,
    parts: Sequence[Part],
    judges: Mapping[str, Scorer],
    networks: Mapping[str, Artifact],
    load: "Callable[[RunConfig], DiffusionModel]" = built_model,
    num_done: int = 0,
    show: bool = True,
) -> None:
    """Make the parts, which are `unfinished`, in `folder`; the model is loaded, by `load`, only if there is one.

    show: a bar of the progress, which begins with the `num_done` images that are there.
    """
    if not parts:
        return
    # Methods first: what they cannot be built from shows before the large model is loaded.
    tools = MethodTools(judges, lambda _, reference: networks[reference].path)
    built = {name: methods.build(method, tools) for name, method in config.method.items()}
    model = load(config)
    fingerprint = read_header(folder / DRAFT)["fingerprint"]
    total = num_done + sum(len(part.samples) for part in parts)
    warm_up(model, parts[0].samples[: config.compute.batch_size], config.seed)
    with Progress(config.stage.kind, total, "images", num_done, show) as progress:
        for part in parts:
            progress.note(part.method)
            method, batch_size = built[part.method], config.compute.batch_size
            try:
                evaluate_part(
                    folder, part, model, method, judges, config.seed, batch_size, progress.update, fingerprint
                )
            except GoldenNoiseError as error:
                raise type(error)(f"method {part.method}: {error}") from error
            log.info("%s is finished", part.table_file(folder))
