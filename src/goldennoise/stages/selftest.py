"""selftest: the run's scorers on drawn images that come with the package -> a line for each; no artifact."""

from dataclasses import dataclass

from goldennoise.config.compose import RunConfig
from goldennoise.errors import ConfigError, GoldenNoiseError, ScorerError
from goldennoise.generation.loader import Loader
from goldennoise.store.options import Options

TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "float16": 3e-2}
"""By the data type of a scorer's networks: how far a score may move with the images beside it."""


@dataclass(frozen=True)
class Config(Options):
    """The scorers of the run are all it takes."""

    kind: str = "selftest"


def run(config: RunConfig) -> None:
    """Print what is right and wrong of every scorer. Raises `ScorerError` if any cannot be loaded or fails."""
    _refuse_unfit(config)
    # Torch loads here, when every mistake that can be seen without it has been reported.
    from goldennoise.scorers.selftest.checks import check

    loader, failed = Loader(config), dict[str, GoldenNoiseError]()
    for name, chosen in config.scorer.items():
        try:
            scorer = loader.scorer(name)
            found = check(name, scorer, TOLERANCE[getattr(chosen, "dtype", "float32")])
            print(f"{name} {scorer.version}: ok; {found}")
        except GoldenNoiseError as error:
            failed[name] = error
            print(f"{name}: FAILED; {error}")
    if failed:
        raise ScorerError(f"{len(failed)} of {len(config.scorer)} scorers failed, as told above: {', '.join(failed)}")


def _refuse_unfit(config: RunConfig) -> None:
    if not config.scorer:
        raise ConfigError("scorer=[]: selftest needs at least one scorer, as in scorer=[shapes_clip]")
    if config.compute.devices != 1:
        raise ConfigError(
            f"compute.devices={config.compute.devices}: selftest runs in one process on one device; set "
            "compute.devices=1"
        )
