"""Models set up for a run: on its device, with what saves memory or time."""

import logging
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.attention_dispatch import attention_backend

from goldennoise.diffusion import families
from goldennoise.errors import ConfigError, ModelError
from goldennoise.runtime.compute import computes_natively

if TYPE_CHECKING:
    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.runtime.compute import ComputeConfig

log = logging.getLogger(__name__)


def load(config: Any, compute: "ComputeConfig") -> "DiffusionModel":
    """The model of a config. Raises `ModelError` for a missing one, `ConfigError` for what it cannot do."""
    device = compute.torch_device()
    # An offloaded model never is on the GPU as a whole, where it may not fit.
    model = families.component(config.kind).build(config, torch.device("cpu") if compute.offload else device)
    if not computes_natively(dtype := str(model.dtype).removeprefix("torch."), device):
        log.warning("model.dtype=%s: no instructions for it on this CPU; float32 is 10 times as fast", dtype)
    model.run_with(compute, device)
    return model


def tune(pipe: Any, denoiser: Any, compute: "ComputeConfig") -> None:
    """Set a pipeline's networks up. Raises `ConfigError` for an attention backend that they do not have."""
    if compute.channels_last:
        denoiser.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
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
        # diffusers makes the backend every other network's too; the context puts back what was there.
        with attention_backend("native"):
            denoiser.set_attention_backend(backend)
    except (ValueError, RuntimeError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"compute.attention={backend}: {name} cannot run it here ({reason})") from error


def enable_tiling(vae: Any) -> None:
    """Let a VAE decode large images in tiles. Raises `ModelError` for one that cannot."""
    if not hasattr(vae, "enable_tiling"):
        raise ModelError(f"model.vae_tiling=true: a {type(vae).__name__} decodes whole images only; set false")
    vae.enable_tiling()
