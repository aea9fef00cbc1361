"""The programs in examples/, each run as it is on tiny random pipelines."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from integration.command_line import ROOT
from PIL import Image
from tiny import NUM_TOKENS, TEXT_DIM, tiny_xl_pipeline
from unit.networks.small_npnet import SMALL

from goldennoise.data.shapes.captions import captions
from goldennoise.networks.checkpoint import save_npnet
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import build as seeded_npnet

EXAMPLES = ROOT / "examples"
PROMPT = "a cat on a bench"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_xl_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def npnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two networks, "untrained" and "trained"."""
    network, folder = (
        seeded_npnet(NPNetConfig((4, 8, 8), NUM_TOKENS, TEXT_DIM + 8, SMALL), seed=0),
        tmp_path_factory.mktemp("npnet"),
    )
    save_npnet(network, folder / "untrained", {})
    with torch.no_grad():
        network.alpha.fill_(1.0)
    save_npnet(network, folder / "trained", {})
    return folder


@pytest.mark.parametrize("name", ["sdxl_drop_in.py", "sdxl_controlnet.py", "lcm.py"])
@pytest.mark.parametrize("trained", [True, False])
def test_an_image_each_way(
    name: str, trained: bool, model: Path, npnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = npnet / ("trained" if trained else "untrained")
    if name == "sdxl_controlnet.py":
        controlnet = ControlNetModel.from_unet(tiny_xl_pipeline().unet, conditioning_embedding_out_channels=(4, 8, 8))
        controlnet.save_pretrained(tmp_path / "controlnet")
        Image.fromarray(np.eye(32, dtype=np.uint8) * 255).save(tmp_path / "edges.png")
        arguments = [model, "controlnet", network, "edges.png", PROMPT]
    else:
        arguments = [model, network, PROMPT]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    standard, golden = (np.asarray(Image.open(f"{way}.png"), dtype=int) for way in ("standard", "golden"))
    assert standard.shape == (32, 32, 3)
    # An untrained network is the identity: then all else is seen to be alike.
    differing = np.abs(standard - golden).max(axis=2) > 2
    assert differing.mean() > 0.5 if trained else not differing.any()


@pytest.mark.slow
def test_a_fine_tune_of_ones_own(model: Path, tmp_path: Path) -> None:
    prompts = [caption.text for caption in captions("train")[:8]]
    (tmp_path / "prompts.txt").write_text("\n".join(['a "quoted", odd circle', *prompts]) + "\n")
    smaller = ("npnet=shapes", "npnet.embed_dim=12", "npnet.heads=[2,2]", "model.num_steps=2", "model.dtype=float32")
    command = ["bash", str(EXAMPLES / "collect_your_fine_tune.sh"), str(model), "prompts.txt", *smaller, "compute=cpu"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stderr[-3000:]
    mine = [tmp_path / f"outputs/{kind}/mine/v1" for kind in ("pairs", "samples")]
    records = [json.loads((folder / "record.json").read_text()) for folder in mine]
    assert (records[0]["counts"]["pairs"], records[0]["counts"]["kept"]) == (9, 9)
    assert records[1]["config"]["stage"]["prompt"] == 'a "quoted", odd circle'
    assert (mine[1] / "side_by_side.png").is_file()


def test_every_example_is_short_and_run_here() -> None:
    names = sorted(path.name for path in EXAMPLES.iterdir())
    assert names == ["collect_your_fine_tune.sh", "lcm.py", "sdxl_controlnet.py", "sdxl_drop_in.py"]
    assert all(len((EXAMPLES / name).read_text().splitlines()) <= 30 for name in names)
