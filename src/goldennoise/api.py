"""The public API: golden noise for a diffusers pipeline, from a trained NPNet or by re-denoise."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor

from goldennoise import diffusion
from goldennoise.diffusion import re_denoise as re_denoising
from goldennoise.diffusion.eval_mode import in_eval_mode
from goldennoise.diffusion.latent_pipeline import LatentPipeline
from goldennoise.errors import ModelError, require
from goldennoise.hub import upload
from goldennoise.npnet.checkpoint import find_npnet, load_npnet, read_record, save_npnet
from goldennoise.npnet.model_card import CARD, model_card
from goldennoise.npnet.networks import GoldenNetwork

__all__ = ["GoldenNoise", "load_npnet", "re_denoise"]


class GoldenNoise:
    """A trained NPNet, applied to the noise a pipeline would start from.

    >>> golden = GoldenNoise.from_pretrained("outputs/npnet/shapes/v1")
    >>> latents = golden(pipe, prompts, generator=generator)
    >>> images = pipe(prompts, latents=latents).images
    """

    def __init__(self, network: GoldenNetwork, record: Mapping[str, Any] | None = None) -> None:
        """network: copied, so that it may go on training. record: where it comes from, for those it is given to; see
        `goldennoise.npnet.model_card`.
        """
        self.network = copy.deepcopy(network).eval()
        self.record = dict(record or {})

    @classmethod
    def from_pretrained(
        cls, path: str | Path, revision: str | None = None, svd_attention: bool = True
    ) -> "GoldenNoise":
        """From what `load_npnet` takes: an npnet artifact, a folder, a hub id, a published file or "packaged/shapes".

        revision: branch, tag or commit of a hub repository. svd_attention: of a published file; False runs the network
        that the published SDXL trainer trains, without attention and with the mean over singular vectors last.
        Raises `ModelError` for a network that is not to be had, `ConfigError` for a folder without svd_attention.
        """
        found = find_npnet(path, revision)
        return cls(load_npnet(found, svd_attention=svd_attention), read_record(found) if found.is_dir() else None)

    def save_pretrained(self, folder: str | Path, license: str | None = None) -> None:
        """Write what `push_to_hub` uploads: weights, configuration with the record, and a README made from both.

        license: as in `push_to_hub`. Raises `ConfigError` for one that is no name of a licence.
        """
        card = model_card(self.network.config, self.record, license)
        save_npnet(self.network, Path(folder), self.record)
        (Path(folder) / CARD).write_text(card, encoding="utf-8")

    def push_to_hub(self, repository: str, license: str | None = None) -> str:
        """Upload the network to "owner/name", made if there is none, and give the address of the commit.

        license: of the weights, by the hub's name for it, such as "apache-2.0"; not stated if None.
        Raises `ConfigError` for a name that is none, `ModelError` when the hub refuses or cannot be reached.
        """
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, license)
            return upload(Path(folder), repository)

    @torch.no_grad()
    def __call__(
        self,
        pipe: Any,
        prompt: str | Sequence[str],
        generator: Generator | list[Generator] | None = None,
        latents: Tensor | None = None,
        height: int | None = None,
        width: int | None = None,
    ) -> Tensor:
        """Golden noise, one row per prompt, for `pipe(prompt, latents=...)`: unit scale, in the dtype pipe draws.

        (B, C, h, w); for FLUX packed as its pipeline takes it, (B, h/2 w/2, 4 C).
        pipe: any supported diffusers pipeline; generator: as the pipeline takes it; latents: source noise (B, C, h, w)
        of unit scale instead of what the pipeline itself would draw; height, width: of the image in px, where not the
        default.
        Raises `ModelError` when the network was made for another latent shape or text encoder, `ConfigError` for
        arguments that do not fit.
        """
        model = diffusion.from_pipeline(pipe)
        prompts = _prompts(prompt)
        _check_noise(latents)
        config = self.network.config
        if latents is not None and height is None and width is None:
            shape = tuple(latents.shape[1:])
        else:
            shape = model.shape_of(height, width)
        if shape != config.latent_shape:
            raise ModelError(
                f"This NPNet is made for latents {config.latent_shape}, but the noise has {shape}: use the network "
                f"trained for this model and image size."
            )
        source = _source_noise(model, len(prompts), shape, generator, latents)
        with in_eval_mode(pipe):
            embedding = model.encode(prompts)
            pipe.maybe_free_model_hooks()  # offloaded, the text encoders are not to stay where the denoiser will be
        text_shape = tuple(embedding.cond.shape[1:])
        if text_shape != (config.num_tokens, config.text_dim):
            raise ModelError(
                f"This NPNet is made for prompt embeddings of {config.num_tokens} tokens x {config.text_dim}, but the "
                f"pipeline gives {' x '.join(map(str, text_shape))}: use the network trained for this model."
            )
        network = self.network.to(source.device)
        return model.for_pipeline(network(source.float(), embedding.cond.float()).to(source.dtype))


@torch.no_grad()
def re_denoise(
    pipe: Any,
    prompt: str | Sequence[str],
    latents: Tensor | None = None,
    generator: Generator | list[Generator] | None = None,
    denoise_guidance: float = 5.5,
    invert_guidance: float = 1.0,
    num_steps: int = 10,
    num_rounds: int = 1,
    depth: int = 1,
    negative_prompt: str | None = None,
) -> Tensor:
    """Golden noise by re-denoise sampling (arXiv 2411.09502, section 3.1), no trained network needed.

    Goes `depth` steps of a schedule of `num_steps` down under `denoise_guidance` and back up under `invert_guidance`,
    `num_rounds` times. negative_prompt: one text for all prompts, to be given to the pipeline as well; FLUX.1 takes
    none. The other arguments and the result are those of `GoldenNoise`.
    """
    is_text = negative_prompt is None or isinstance(negative_prompt, str)
    require(is_text, "negative_prompt", f"a {type(negative_prompt).__name__}", "one text for all prompts")
    model = diffusion.from_pipeline(pipe, negative_prompt)
    prompts = _prompts(prompt)
    _check_noise(latents)
    shape = model.latent_shape if latents is None else tuple(latents.shape[1:])
    channels, patch = model.latent_shape[0], model.patch_size
    if len(shape) != 3 or shape[0] != channels or any(side % patch for side in shape[1:]):
        sides = f" with h and w multiples of {patch}" if patch > 1 else ""
        raise ModelError(f"The noise must be (B, {channels}, h, w){sides}, not {(len(prompts), *shape)}.")
    source = _source_noise(model, len(prompts), shape, generator, latents)
    with in_eval_mode(pipe):
        golden = re_denoising.re_denoise(
            model,
            source,
            model.encode(prompts),
            denoise_guidance=denoise_guidance,
            invert_guidance=invert_guidance,
            num_steps=num_steps,
            num_rounds=num_rounds,
            depth=depth,
        )
        pipe.maybe_free_model_hooks()  # offloaded, the denoiser is not to stay where the text encoders will be
    return model.for_pipeline(golden.to(source.dtype))


def _prompts(prompt: str | Sequence[str]) -> list[str]:
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    require(len(prompts) > 0, "prompt", prompt, "a text or a list of at least one")
    return prompts


def _check_noise(latents: Any) -> None:
    """Raises `ConfigError` for anything but None and a tensor of noise."""
    if latents is None:
        return
    is_noise = isinstance(latents, Tensor) and latents.is_floating_point()
    found = f"a tensor of {latents.dtype}" if isinstance(latents, Tensor) else f"a {type(latents).__name__}"
    require(is_noise, "latents", found, "a floating-point tensor (B, C, h, w)")


def _source_noise(
    model: LatentPipeline,
    num_prompts: int,
    shape: tuple[int, ...],
    generator: Generator | list[Generator] | None,
    latents: Tensor | None,
) -> Tensor:
    """The noise given, or the noise the pipeline would draw with this generator, in that dtype on its device.

    Noise of another floating-point dtype or on another device is converted, as the pipeline itself does.
    """
    if latents is not None:
        require(
            len(latents) == num_prompts,
            "latents",
            f"a batch of {len(latents)}",
            f"one noise for each of the {num_prompts} prompts; repeat the prompts for several images of each",
        )
        return latents.to(model.device, model.noise_dtype)
    require(
        not isinstance(generator, list) or len(generator) == num_prompts,
        "generator",
        f"a list of {len(generator) if isinstance(generator, list) else 1}",
        f"one generator, or one for each of the {num_prompts} prompts",
    )
    return randn_tensor((num_prompts, *shape), generator=generator, device=model.device, dtype=model.noise_dtype)
