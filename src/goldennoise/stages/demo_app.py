"""demo_app: the stage sample as a page in the browser, for one model and the chosen methods."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise.config.compose import RunConfig
from goldennoise.diffusion.evaluations import ZERO
from goldennoise.diffusion.identity import shown_name
from goldennoise.errors import ConfigError, GoldenNoiseError, require
from goldennoise.generation.loader import Loader
from goldennoise.runtime.resources import machine_errors
from goldennoise.stages import sample
from goldennoise.stages.estimate import image_costs
from goldennoise.stages.networks import resolve_networks
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.store.options import Options, either, option

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate

LONGEST_PROMPT = 1000
"""In characters; text encoders cut far earlier."""
MOST_ROWS = 8
MOST_WAITING = 16
"""Clicks that wait for their turn; further ones are refused."""
NUM_KEPT = 100
"""Pictures of the page that stay in the store; the oldest is removed for a further one."""


@dataclass(frozen=True)
class Config(Options):
    """What the page may use."""

    kind: str = "demo_app"
    other_model: str = option("refuse", either("refuse", "allow"))
    """Of a network trained for another model, such as SDXL's for a model distilled from it: refuse or allow."""


def run(config: RunConfig) -> None:
    """Serve the page until Ctrl-C. Raises `ConfigError` without gradio, and what the stage sample refuses."""
    _refuse_unfit(config)
    resolve_networks(ArtifactStore(config.outputs), config.method.values())
    page(config).queue(max_size=MOST_WAITING, default_concurrency_limit=1).launch()


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of one row of the page, see `stages.dry_run`."""
    _refuse_unfit(config)
    config = sample.beside_standard(config)
    costs = image_costs(config.method, ahead.sampling(ahead.networks(config.method.values(), may_be_others=True)))
    notes = {"each row of the page": f"{len(costs)} images, {sum(costs.values(), ZERO)} model evaluations"}
    stored = ahead.images(2 * len(costs))
    return ahead.estimate("samples", None, {}, evaluations=None, storage=stored, memory=ahead.memory, notes=notes)


def _refuse_unfit(config: RunConfig) -> None:
    if find_spec("gradio") is None:
        raise ConfigError(
            "stage=demo_app: the page needs gradio, which is not installed; install it with pip install gradio"
        )
    sample.refuse_unfit(config)


def page(config: RunConfig) -> Any:
    """The gradio page, not yet served."""
    import gradio
    from PIL import Image

    pair = sampler(config)

    def clicked(prompt: object, seed: object, num_seeds: object) -> Image.Image:
        try:
            with machine_errors(), Image.open(pair(prompt, seed, num_seeds)) as picture:
                return picture.convert("RGB")
        except GoldenNoiseError as error:
            raise gradio.Error(str(error), print_exception=False) from None

    return gradio.Interface(
        clicked,
        [
            gradio.Textbox(label="Prompt", max_length=LONGEST_PROMPT),
            gradio.Number(0, label="Seed", precision=0, minimum=0),
            gradio.Slider(1, MOST_ROWS, 1, step=1, label="Rows"),
        ],
        gradio.Image(show_label=False, format="png"),  # a label would cover the picture's own words
        title=f"Golden noise: standard and {', '.join(name for name in config.method if name != 'standard')}",
        description=f"{shown_name(config.model)}, {config.model.num_steps} steps, guidance {config.model.guidance:g}; "
        "images of a row start from the same source noise",
        flagging_mode="never",
        analytics_enabled=False,
        delete_cache=(3600, 3600),  # seconds: gradio keeps copies of its own
    )


def sampler(config: RunConfig) -> Callable[[object, object, object], Path]:
    """What the page calls: (prompt, seed, rows) -> the picture of a samples artifact.

    The model and the scorers are loaded once, and equal inputs are found in the store again. Of the artifacts that it
    made, the last `NUM_KEPT` stay. Raises `ConfigError` for inputs out of range, and what the stage sample raises.
    """
    loader = Loader(config)
    store, made = ArtifactStore(config.outputs), dict[str, Artifact]()

    def pair(prompt: object, seed: object, num_seeds: object) -> Path:
        text, rows = _text(prompt), _whole("rows", num_seeds, 1, MOST_ROWS)
        stage = sample.Config(prompt=text, num_seeds=rows, other_model=config.stage.other_model)
        known = {path.name for path in (store.root / "samples" / config.name).glob("v*")}
        artifact = sample.make(replace(config, stage=stage, seed=_whole("seed", seed, 0, 2**63 - 1)), loader)
        if artifact.version not in known or artifact.version in made:
            made[artifact.version] = made.pop(artifact.version, artifact)
        for version in [*made][:-NUM_KEPT]:
            store.remove(made.pop(version))
        return artifact.path / sample.PICTURE

    return pair


def _text(prompt: object) -> str:
    text = prompt if isinstance(prompt, str) else ""
    allowed = f"a text of 1 to {LONGEST_PROMPT} characters"
    require(bool(text.strip()), "prompt", repr(prompt)[:80], allowed)
    require(len(text) <= LONGEST_PROMPT, "prompt", f"{text[:40]}...", f"{allowed}, not of {len(text)}")
    return text


def _whole(name: str, value: object, least: int, most: int) -> int:
    """A number of a field of the page: a browser may send anything."""
    whole = value if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1 else None
    fits = whole is not None and least <= whole <= most
    require(fits, name, repr(value)[:80], f"a whole number from {least} to {most}")
    assert whole is not None
    return int(whole)
