"""What is known of a model before it is loaded: from its Config, its JSON files and the headers of its weights.

Imports no torch and fetches nothing.
"""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldennoise.data.shapes.locations import PIPELINES
from goldennoise.diffusion.evaluations import Sampling
from goldennoise.diffusion.identity import weights_of
from goldennoise.diffusion.published_sizes import PUBLISHED
from goldennoise.store.hub import HUB_ID, local_path

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Of a number in each of a model's formats."""
DENOISERS = ("unet", "transformer")
"""What a pipeline calls its denoiser."""
DENOISER = "denoiser"
"""What it is called where the files are not here."""
FLUX_SIDE = 128
"""Side of the latents of FLUX.1, which its pipeline knows and its network does not."""


@dataclass(frozen=True)
class Description:
    """None and empty where nobody says.

    latent_shape: (C, h, w). image_px: (height, width). text_shape: (tokens, dim) of a prompt. parameters: their number
    in each network by name. source: who says so; empty for the files themselves. takes_guidance: whether the denoiser
    takes its scale as an input.
    """

    latent_shape: tuple[int, int, int] | None = None
    image_px: tuple[int, int] | None = None
    text_shape: tuple[int, int] | None = None
    parameters: Mapping[str, int] = field(default_factory=dict)
    source: str = ""
    takes_guidance: bool = False


def sampling_of(config: Any, networks: Mapping[str, Path] | None = None) -> Sampling:
    """The sampler of a model's Config. networks: folders of trained networks that exist, by reference."""
    # Families of installed packages may have no samplers to choose from, and need not say how they are guided.
    in_one_pass = getattr(config, "is_guided_by_input", False) or described(config).takes_guidance
    scheduler = getattr(config, "scheduler", None)
    return Sampling(config.num_steps, config.guidance, scheduler, in_one_pass, networks or {})


def described(config: Any) -> Description:
    """The model of a Config, by its files where they are on this machine, else as it was published."""
    path = str(getattr(config, "path", ""))
    folder = _folder(path, getattr(config, "revision", None))
    if folder is not None:
        return _of_files(config, folder)
    if path not in PUBLISHED:
        return Description()
    known = PUBLISHED[path]
    shape, px = _sized(config, known.latent_shape, known.px_per_latent)
    return Description(shape, px, parameters={DENOISER: known.num_parameters}, source=known.source)


def _folder(path: str, revision: str | None) -> Path | None:
    """Of a pipeline that is packaged, a folder here, or in the hub's own cache."""
    folder = PIPELINES.get(path) or local_path(path)
    if folder is None and HUB_ID.fullmatch(path):
        from goldennoise.diffusion.weight_files import cached

        folder = cached(path, revision)
    return folder if folder is not None and folder.is_dir() else None


def _of_files(config: Any, folder: Path) -> Description:
    denoiser = next((name for name in DENOISERS if (folder / name).is_dir()), DENOISERS[0])
    network, vae = (_json(folder / name / "config.json") for name in (denoiser, "vae"))
    shape, px = None, None
    # What is wrong with the files is said by the run that loads them.
    with suppress(KeyError, TypeError, ValueError):
        shape, px = _sized(config, _own_shape(network, vae), _px_per_latent(vae))
    return Description(
        shape,
        px,
        _text_shape(folder) if denoiser == "unet" else None,
        _parameters(folder, getattr(config, "variant", None)),
        takes_guidance=network.get("time_cond_proj_dim") is not None,
    )


def _own_shape(network: Mapping[str, Any], vae: Mapping[str, Any]) -> tuple[int, int, int]:
    """As `LatentPipeline.latent_shape` has it for no height and width."""
    if network["_class_name"] == "FluxTransformer2DModel":
        return network["in_channels"] // 4, FLUX_SIDE, FLUX_SIDE
    size = network["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    # A UNet made for inpainting takes the mask and the masked image as further channels.
    channels = vae["latent_channels"] if network["_class_name"] == "UNet2DConditionModel" else network["in_channels"]
    return channels, height, width


def _px_per_latent(vae: Mapping[str, Any]) -> int:
    """As the pipelines' `vae_scale_factor`."""
    widths = vae["encoder_block_out_channels"] if "encoder_block_out_channels" in vae else vae["block_out_channels"]
    return 2 ** (len(widths) - 1)


def _sized(config: Any, shape: tuple[int, int, int], px: int) -> tuple[tuple[int, int, int], tuple[int, int]]:
    """The shape of the latents and the size of the image, of a Config that may choose its own."""
    channels, *own = shape
    chosen = (getattr(config, "height", None), getattr(config, "width", None))
    height, width = (side if one is None else one // px for side, one in zip(own, chosen, strict=True))
    return (channels, height, width), (height * px, width * px)


def _text_shape(folder: Path) -> tuple[int, int] | None:
    """Of Stable Diffusion: the widths of its CLIP encoders side by side."""
    encoders = [_json(file) for file in sorted(folder.glob("text_encoder*/config.json"))]
    try:
        return encoders[0]["max_position_embeddings"], sum(encoder["hidden_size"] for encoder in encoders)
    except (IndexError, KeyError, TypeError):
        return None


def _parameters(folder: Path, variant: str | None) -> dict[str, int]:
    """By the headers of the weight files, which alone are read."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, int] = {}
    for file in weights_of(folder, variant):
        if file.parent.name == "safety_checker":
            continue  # It is never loaded.
        try:
            with safe_open(file, framework="numpy") as tensors:
                num = sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
        except (OSError, SafetensorError):
            return {}
        found[file.parent.name] = found.get(file.parent.name, 0) + num
    return found


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
