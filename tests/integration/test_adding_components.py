"""What it takes to add a network, an objective, a scorer and a model family: the files here, and no line elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
FILES = {
    # A network: its light config, its module and its options.
    "src/goldennoise/networks/shift/__init__.py": """
from dataclasses import dataclass, field

from goldennoise.networks.base import Architecture, NetworkInputs


@dataclass(frozen=True)
class Config(Architecture):
    kind: str = "shift"
    scale: float = 0.1


@dataclass(frozen=True)
class NetworkConfig(NetworkInputs):
    architecture: Config = field(default_factory=Config)
""",
    "src/goldennoise/networks/shift/network.py": """
from torch import nn

from goldennoise.networks.network import GoldenNetwork
from goldennoise.runtime.seeding import seeded


class Shift(GoldenNetwork):
    def __init__(self, config):
        super().__init__(config)
        self.shift = nn.Linear(config.text_dim, config.latent_shape[0])

    def forward(self, noise, prompt_embeds):
        self.config.check(noise, prompt_embeds)
        shift = self.shift(prompt_embeds.mean(dim=1))[:, :, None, None]
        return noise + self.config.architecture.scale * shift


def build(config, seed):
    with seeded(seed):
        return Shift(config)
""",
    "conf/npnet/shift.yaml": "kind: shift\nscale: 0.2\n",
    # An objective: one file.
    "src/goldennoise/training/objectives/absolute.py": """
from goldennoise.training.objectives.base import NoiseObjective


class Loss(NoiseObjective):
    label = "mean absolute error"
    sentence = "Mean absolute error to the golden noise of the pairs"

    def losses(self, predicted, batch):
        return (predicted.float() - batch.golden).abs().flatten(1).mean(1)
""",
    # A scorer: one file and its options.
    "src/goldennoise/scorers/brightness.py": """
from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    kind: str = "brightness"


class Brightness:
    name, version, unit = "brightness", "1", "brightness, 0 to 1"
    higher_is_better = differentiable = may_select = True

    def score(self, images, prompts):
        return images.flatten(1).mean(dim=1).cpu()


def version(config):
    return Brightness.version


def build(config, device):
    return Brightness()
""",
    "conf/scorer/brightness.yaml": "# @package scorer.brightness\nkind: brightness\n",
    # A model family: one file and its options.
    "src/goldennoise/diffusion/families/negative.py": """
from dataclasses import dataclass

from goldennoise.diffusion.base import PipelineConfig

PIPELINES = ()


@dataclass(frozen=True)
class Config(PipelineConfig):
    kind: str = "negative"
    path: str = "shapes"
    negative_prompt: str = ""


def build(config, device):
    from goldennoise.diffusion.families.latent_unet import StableDiffusion

    class Negative(StableDiffusion):
        def decode(self, latents):
            return 1 - super().decode(latents)

    return Negative.load(config, ("StableDiffusionPipeline",), device)
""",
    "conf/model/negative.yaml": (ROOT / "conf/model/shapes.yaml")
    .read_text(encoding="utf-8")
    .replace("kind: stable_diffusion", "kind: negative"),
}
COMMANDS = (
    "stage=collect scorer=[brightness] stage.preference=brightness stage.margin=-1.0 stage.num_prompts=8",
    "stage=train npnet=shift stage.objective=absolute stage.num_epochs=2 stage.batch_size=4 stage.num_samples=0",
    "stage=eval method=[standard,npnet] scorer=[brightness,shapes_verifier] stage.num_prompts=2 stage.num_seeds=1",
    "stage=report",
)
"""A run that uses all of them by name."""
PROGRAM = """
import sys

from goldennoise.__main__ import run_stage
from goldennoise.config.compose import load

for command in sys.argv[1:]:
    own = [] if command == "stage=report" else ["model=negative", "model.num_steps=2"]
    run_stage(load([*command.split(), *own, "name=added", "compute=cpu"]))
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the four stages in a copy of the tree with the files."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in ("src", "conf"):
        shutil.copytree(ROOT / folder, tree / folder)
    for file, text in FILES.items():
        (tree / file).parent.mkdir(exist_ok=True)
        assert not (tree / file).exists()
        (tree / file).write_text(text, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tree / "src"), os.environ["PYTHONPATH"]])}
    done = subprocess.run(
        (sys.executable, "-c", PROGRAM, *COMMANDS),
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return tree / "outputs"


def test_the_pairs_are_of_the_model_family_and_kept_by_the_scorer(outputs: Path) -> None:
    index = pd.read_parquet(outputs / "pairs/added/v1/index.parquet")
    assert len(index) == index["kept"].sum() == 8
    assert index["brightness_golden"].between(0, 1).all()
    assert '"kind": "negative"' in (outputs / "pairs/added/v1/record.json").read_text()


def test_the_network_is_trained_for_the_objective(outputs: Path) -> None:
    config = (outputs / "npnet/added/v1/config.json").read_text()
    assert '"kind": "shift"' in config
    assert '"objective": "absolute"' in config


def test_all_of_them_are_in_the_report(outputs: Path) -> None:
    scores = pd.read_parquet(outputs / "scores/added/v1/scores.parquet").set_index(["method", "scorer"])["score"]
    assert set(scores.index) == {(m, s) for m in ("standard", "npnet") for s in ("brightness", "shapes_verifier")}
    assert (scores["standard", "brightness"].to_numpy() != scores["npnet", "brightness"].to_numpy()).any()
    assert "Mean absolute error to the golden noise of the pairs" in (outputs / "report/added/v1/index.html").read_text(
        encoding="utf-8"
    )
