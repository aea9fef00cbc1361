"""Models as a run asks for them: on its device, with what saves memory or time."""

from typing import TYPE_CHECKING, Any

import torch

from goldennoise import diffusion
from goldennoise.errors import ConfigError

if TYPE_CHECKING:
    from goldennoise.compute import ComputeConfig
    from goldennoise.diffusion.latent_pipeline import LatentPipeline


def load(config: Any, compute: "ComputeConfig") -> "LatentPipeline":
    """The model of a config. Raises `ModelError` for one that is not to be had, `ConfigError` for what it cannot do."""
    device = compute.torch_device()
    if compute.offload and device.type == "cpu":
        raise ConfigError("compute.offload=true: networks wait on the CPU for a GPU, and this machine has none")
    # An offloaded model never is on the GPU as a whole, where it may not fit.
    model = diffusion.component(config.kind).build(config, torch.device("cpu") if compute.offload else device)
    model.run_with(compute, device)
    return model


def tune(pipe: Any, denoiser: Any, compute: "ComputeConfig") -> None:
    """Set a pipeline's networks up. Raises `ConfigError` for an attention backend or tiling that it does not have."""
    if compute.channels_last:
        denoiser.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    if compute.vae_tiling:
        if not hasattr(pipe.vae, "enable_tiling"):
            raise ConfigError(f"compute.vae_tiling=true: a {type(pipe.vae).__name__} decodes whole images only")
        pipe.vae.enable_tiling()
    if compute.attention is not None:
        _set_attention(denoiser, compute.attention)
    if compute.compile:
        denoiser.compile()


def _set_attention(denoiser: Any, backend: str) -> None:
    name = type(denoiser).__name__
    takes_any = any(hasattr(getattr(part, "processor", None), "_attention_backend") for part in denoiser.modules())
    if not takes_any:
        raise ConfigError(f"compute.attention={backend}: a {name} has torch's attention alone; set null")
    try:
        denoiser.set_attention_backend(backend)
    except (ValueError, RuntimeError, ImportError) as error:
        raise ConfigError(
            f"compute.attention={backend}: {name} cannot run it ({str(error).splitlines()[0]})"
        ) from error
