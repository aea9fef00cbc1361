"""Sizes that a configuration or a few tensors claim cost neither memory nor time before they are refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from small_npnet import make_network

from goldennoise.errors import ConfigError
from goldennoise.networks.checkpoint import save_npnet
from goldennoise.networks.layouts import Config as LayoutArchitecture
from goldennoise.networks.layouts import NetworkConfig as LayoutNPNetConfig
from goldennoise.networks.layouts.network import build as seeded_layout_npnet
from goldennoise.networks.published import load_published

EXTRA_BYTES = 2 * 1024**3
HUGE = 10**9
PUBLISHED: dict[str, dict[str, Any]] = {
    "text_dim": {"text_dim": HUGE},
    "num_tokens": {"num_tokens": HUGE},
    "latents": {"latent_shape": [4, HUGE, HUGE]},
    "latents within the count": {"latent_shape": [4, 9000, 9000]},
    "text within the count": {"text_dim": 9000, "num_tokens": 9000},
    "a prime number of channels": {"latent_shape": [10**18 + 9, 1, 1]},
    "embed_dim": {"embed_dim": 3 * HUGE},
    "depths": {"depths": [HUGE, 2]},
    "depths within the count": {"depths": [9000, 2]},
    "stages": {"depths": [1] * 10**6, "heads": [1] * 10**6},
    "window": {"window": HUGE},
    "image_size": {"image_size": 4 * HUGE},
    "vector_hidden": {"vector_hidden": HUGE},
    "value_hidden": {"value_hidden": HUGE},
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "text_dim": {"text_dim": HUGE},
    "text_dim within the count": {"text_dim": 9000},
    "latents": {"latent_shape": [4, HUGE, HUGE]},
    "rank": {"rank": HUGE, "latent_shape": [4, HUGE, HUGE]},
    "width": {"width": 4 * HUGE},
    "depth": {"depth": HUGE},
    "hidden": {"hidden": HUGE},
    "num_layouts": {"num_layouts": 10**30},
    "hidden within the count": {"hidden": 9000, "num_layouts": 9000},
}
SHAPES: dict[str, dict[str, list[int]]] = {
    "wide": {"unet_svd.mlp1.0.weight": [1, 10**6], "unet_svd.mlp2.0.weight": [1, 10**6]},
    "much text": {"embeeding.linear.weight": [1, 77 * 10**5]},
    "no latents": {"unet_svd.mlp1.0.weight": [64, 0]},
    "no text": {"embeeding.linear.weight": [8, 0]},
    "no rows": {"unet_svd.mlp1.0.weight": [0, 16]},
    "a vector": {"unet_svd.mlp2.0.weight": [16]},
    "a cube": {"unet_svd.mlp2.0.weight": [64, 16, 2]},
    "odd": {"unet_svd.mlp1.0.weight": [64, 17], "unet_svd.mlp2.0.weight": [64, 17]},
    "indivisible by the heads": {"unet_svd.mlp1.0.weight": [64, 18], "unet_svd.mlp2.0.weight": [64, 20]},
}
PROGRAM = """
import pathlib, resource, sys
from goldennoise.errors import ModelError
from goldennoise.networks.checkpoint import load_npnet

used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]),) * 2)
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        load_npnet(path)
    except ModelError as error:
        print(path.name, error, sep=": ")
    else:
        sys.exit(f"{path} loads")
"""


def edited(folder: Path, changes: dict[str, Any]) -> None:
    content = json.loads((folder / "config.json").read_text())
    for name, value in changes.items():
        part = content["network"] if name in content["network"] else content["network"]["architecture"]
        assert name in part
        part[name] = value
    (folder / "config.json").write_text(json.dumps(content))


def write_all(folder: Path) -> None:
    layouts = seeded_layout_npnet(LayoutNPNetConfig((4, 6, 8), 5, 6, LayoutArchitecture(rank=20, width=16)), seed=3)
    for kind, cases, network in (("npnet", PUBLISHED, make_network()), ("layouts", LAYOUTS, layouts)):
        for name, changes in cases.items():
            save_npnet(network, folder / f"{kind} {name}", {})
            edited(folder / f"{kind} {name}", changes)
    for name, shapes in SHAPES.items():
        usual = {"unet_svd.mlp1.0.weight": [64, 16], "unet_svd.mlp2.0.weight": [64, 16]}
        wanted = usual | {"embeeding.linear.weight": [8, 77 * 6]} | shapes
        tensors = {tensor: torch.zeros(shape) for tensor, shape in wanted.items()}
        save_file(tensors, folder / f"file {name}.safetensors")


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is kept on Linux alone")
def test_sizes_that_the_tensors_do_not_have_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    write_all(tmp_path)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(EXTRA_BYTES)]
    outcome = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    refused = outcome.stdout.splitlines()
    assert len(refused) == len(PUBLISHED) + len(LAYOUTS) + len(SHAPES), "each is one line"
    assert max(map(len, refused)) < 700
    for case in ("npnet text_dim", "npnet num_tokens", "npnet embed_dim", "npnet window", "layouts width"):
        field = case.split()[1]
        assert any(line.startswith(f"{case}: ") and f"{field}=" in line for line in refused)


def test_no_tokens_of_text_are_refused(tmp_path: Path) -> None:
    save_file({"alpha": torch.zeros(1)}, tmp_path / "net.safetensors")
    with pytest.raises(ConfigError, match="num_tokens=0: num_tokens must be at least 1"):
        load_published(tmp_path / "net.safetensors", num_tokens=0)
