"""demo_app: the stage sample as a page in the browser, for one model and the chosen methods."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from goldennoise.artifacts import ArtifactStore
from goldennoise.errors import ConfigError, GoldenNoiseError, require
from goldennoise.machine_mistakes import machine_mistakes
from goldennoise.stages import sample

if TYPE_CHECKING:
    from goldennoise.config import RunConfig

Built = TypeVar("Built")


@dataclass(frozen=True)
class Config:
    """other_model: as in eval, "allow" takes a network that was trained for another model."""

    kind: str = "demo_app"
    other_model: str = "refuse"

    def __post_init__(self) -> None:
        require(self.other_model in ("refuse", "allow"), "other_model", self.other_model, "refuse or allow")


def run(config: "RunConfig") -> None:
    """Serve the page until Ctrl-C. Raises `ConfigError` without gradio, and what the stage sample refuses."""
    if find_spec("gradio") is None:
        raise ConfigError("stage=demo_app: the page needs gradio, which is not installed; pip install goldennoise[app]")
    sample.refuse_unfit(config)
    from goldennoise.evaluation.networks import resolve_networks

    resolve_networks(ArtifactStore(config.outputs), config.method.values())
    page(config).launch()


def page(config: "RunConfig") -> Any:
    """The gradio page, not yet served."""
    import gradio
    from PIL import Image

    pair = sampler(config)

    def clicked(prompt: str, seed: int, num_seeds: int) -> Image.Image:
        try:
            with machine_mistakes(), Image.open(pair(prompt, seed, num_seeds)) as picture:
                return picture.convert("RGB")
        except GoldenNoiseError as error:
            raise gradio.Error(str(error), print_exception=False) from None

    return gradio.Interface(
        clicked,
        [
            gradio.Textbox(label="Prompt"),
            gradio.Number(0, label="Seed", precision=0, minimum=0),
            gradio.Slider(1, 8, 1, step=1, label="Rows"),
        ],
        gradio.Image(show_label=False, format="png"),  # a label would cover the picture's own words
        title=f"Golden noise: standard and {', '.join(name for name in config.method if name != 'standard')}",
        description=f"{config.model.name}, {config.model.num_steps} steps, guidance {config.model.guidance:g}; "
        "images of a row start from the same source noise",
        flagging_mode="never",
        analytics_enabled=False,
    )


def sampler(config: "RunConfig") -> Callable[[str, int, int], Path]:
    """What the page calls: (prompt, seed, rows) -> the picture of a samples artifact.

    The model and the scorers are loaded once, and equal inputs are found in the store again. Raises what the stage
    sample raises.
    """
    from goldennoise.evaluation.grid_run import built_model, built_scorers

    load, judges_of = once(built_model), once(built_scorers)

    def pair(prompt: str, seed: int, num_seeds: int) -> Path:
        stage = sample.Config(prompt=prompt, num_seeds=num_seeds, other_model=config.stage.other_model)
        return sample.make(replace(config, stage=stage, seed=seed), load, judges_of).path / sample.PICTURE

    return pair


def once(build: "Callable[[RunConfig], Built]") -> "Callable[[RunConfig], Built]":
    """`build`, called the first time alone."""
    built: list[Built] = []

    def get(config: "RunConfig") -> Built:
        if not built:
            built.append(build(config))
        return built[0]

    return get
