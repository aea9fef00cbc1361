"""What both sides of a parity check share: images, prompts and random weights. Runs in every environment."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

SIZES = (
    *((512, 512), (768, 512), (512, 768), (1024, 1024), (64, 64), (224, 224), (229, 337), (337, 229)),
    *((300, 1000), (1000, 300), (231, 224), (224, 231), (225, 227), (100, 37), (37, 100), (640, 480)),
)
"""Heights and widths of the images, in turn."""
PROMPTS = json.loads(Path(__file__).with_name("prompts.json").read_text(encoding="utf-8"))
NUM = len(PROMPTS)


def write_inputs(folder: Path) -> None:
    """PNG files of smooth colours with edges and some noise, one for each prompt."""
    for number in range(NUM):
        Image.fromarray(_picture(number)).save(folder / f"{number:02d}.png")


def _picture(number: int) -> np.ndarray:
    height, width = SIZES[number % len(SIZES)]
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j][..., None]
    waves = rng.uniform(1, 8, (2, 3)), rng.uniform(0, 6, 3)
    picture = 0.5 + 0.35 * np.sin(waves[0][0] * x + waves[0][1] * y + waves[1])
    inside = (x - rng.uniform(0.3, 0.7)) ** 2 + (y - rng.uniform(0.3, 0.7)) ** 2 < rng.uniform(0.02, 0.1)
    picture = np.where(inside, rng.uniform(0, 1, 3), picture) + 0.03 * rng.normal(size=(height, width, 3))
    return np.uint8(255 * picture.clip(0, 1))


def read_inputs(folder: Path) -> tuple[list[Path], list[str]]:
    """The images in `folder` and the prompts, in order."""
    return sorted(folder.glob("*.png")), PROMPTS


def randomised(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The network with random weights, large enough that images and prompts tell in the scores."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            if weight.ndim > 1:
                weight.copy_(drawn * (0.5 if "embed" in name else 1.0 / weight[0].numel() ** 0.5))
            else:
                weight.copy_(0.1 * drawn + float(name.endswith("weight") or name.endswith("logit_scale")))
    return network.float().eval()


def described(network: torch.nn.Module) -> dict[str, list[int]]:
    """Shapes of its tensors by name."""
    return {name: list(tensor.shape) for name, tensor in network.state_dict().items()}


def write_result(folder: Path, case: str, scores: list[float], tensors: dict[str, list[int]]) -> None:
    """tensors: names and shapes at the published size."""
    result = {"scores": [float(score) for score in scores], "tensors": tensors}
    (folder / f"{case}.json").write_text(json.dumps(result))
