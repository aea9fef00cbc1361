"""browse: pairs -> a page of source and golden images, sorted and filtered by gain."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.config.compose import RunConfig, fill
from goldennoise.diffusion import families
from goldennoise.stages.headlines import headline
from goldennoise.stages.job import opened
from goldennoise.store.artifacts import Artifact, Draft
from goldennoise.store.options import Options, filled, number, option

if TYPE_CHECKING:
    import pandas as pd

    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate


@dataclass(frozen=True)
class Config(Options):
    """Pairs, and how many of them are shown."""

    kind: str = "browse"
    pairs: str = option("pairs/shapes@latest", filled("the name of a pairs artifact"))
    """The pairs artifact, such as "pairs/shapes@v1"."""
    num_pairs: int = option(48, number(least=1))
    """How many pairs are shown, at least 1: those of the lowest and the highest gain, and the others between them at
    equal distances in the order of gain."""


def run(config: RunConfig) -> Artifact:
    """The browser artifact: index.html and the images, which the model that collected the pairs samples again.

    Raises `ArtifactError` or `DataError` for pairs that cannot be used, `ModelError` for their model. Of several
    processes rank 0 does it.
    """
    stage: Config = config.stage
    with opened(config, "browser") as job:
        pairs = job.store.resolve(stage.pairs, "pairs")
        pairs.check()
        model = _model(pairs)
        if done := job.begin(lambda _: _identity(stage), [pairs], "index.html"):
            return done
        return job.finish(lambda draft: _write(draft, pairs, model, config))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the browser artifact, see `stages.dry_run`."""
    stage, done = config.stage, None
    if (pairs := ahead.input(stage.pairs, "pairs")) is not None:
        done = ahead.complete("browser", lambda _: _identity(stage), [pairs])
    cost = "those of one sampling an image, by the model that collected the pairs"
    counts = {"images, at most": 2 * stage.num_pairs}
    return ahead.estimate("browser", done, counts, evaluations=None, notes={"model evaluations": cost})


def _identity(stage: Config) -> dict[str, Any]:
    return {"num_pairs": stage.num_pairs}


def _model(pairs: Artifact) -> Any:
    """The config of the model that the pairs were collected with."""
    kind = pairs.recorded("config", "model", "kind", kind=str)
    return fill("model", families.component(kind).Config, pairs.recorded("config", "model", kind=dict))


def _write(draft: Draft, pairs: Artifact, model: Any, config: RunConfig) -> Artifact:
    # Torch loads here, when every mistake that can be seen without it has been reported.
    from goldennoise.data.pairs import PairReader
    from goldennoise.diffusion import setup
    from goldennoise.evaluation.report.pair_page import pair_page
    from goldennoise.generation.pair_images import write_images

    reader = PairReader(pairs.path)
    rows = spread(reader.index, config.stage.num_pairs)
    root_seed = pairs.recorded("config", "seed", kind=int)
    write_images(draft.path, setup.load(model, config.compute), reader, rows, root_seed, config.compute.batch_size)
    title, told = draft.reference, f"{headline(pairs)} ({pairs.reference})"
    page = pair_page(draft.path, title, told, reader.index, rows, pairs.recorded("config", "stage", "preference"))
    (draft.path / "index.html").write_text(page, encoding="utf-8")
    artifact = draft.commit({"shown": len(rows), "pairs": len(reader)})
    print(f"{artifact.reference} is written: {artifact.path / 'index.html'}")
    return artifact


def spread(index: "pd.DataFrame", num_pairs: int) -> list[int]:
    """Positions in the index, from the highest gain to the lowest, which are among them."""
    import numpy as np

    order = np.argsort(-index["gain"].to_numpy(), kind="stable")
    chosen = np.unique(np.linspace(0, len(order) - 1, min(num_pairs, len(order))).round().astype(int))
    return [int(row) for row in order[chosen]]
