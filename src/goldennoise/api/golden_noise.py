"""Golden noise for a diffusers pipeline, from a trained NPNet or by re-denoise."""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Generator, Tensor

from goldennoise.api.arguments import check_negative, check_noise, check_numbers, prompts_of, source_noise
from goldennoise.diffusion import re_denoise as re_denoising
from goldennoise.diffusion.eval_mode import in_eval_mode
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.text_options import read_options
from goldennoise.errors import ModelError, require
from goldennoise.networks.base import NetworkInputs
from goldennoise.networks.checkpoint import load_npnet, save_npnet
from goldennoise.networks.model_card import CARD, model_card
from goldennoise.networks.network import GoldenNetwork
from goldennoise.networks.sources import find_npnet, read_record
from goldennoise.store.hub import upload


class GoldenNoise:
    """A trained NPNet, applied to the noise a pipeline would start from.

    >>> golden = GoldenNoise.from_pretrained("outputs/npnet/shapes/v1")
    >>> latents = golden(pipe, prompts, generator=generator)
    >>> images = pipe(prompts, latents=latents).images
    """

    def __init__(self, network: GoldenNetwork, record: Mapping[str, Any] | None = None) -> None:
        """network: copied, so that it may go on training. record: where it comes from, for those it is given to; see
        `goldennoise.networks.model_card`.
        """
        # By its config: a network compiled by torch is none of our classes.
        is_network = isinstance(getattr(network, "config", None), NetworkInputs)
        allowed = "an NPNet, as load_npnet gives it; GoldenNoise.from_pretrained takes the path of one"
        require(is_network, "network", f"a {type(network).__name__}", allowed)
        network.config.refuse_images()
        self.network = copy.deepcopy(network).eval()
        self.record = dict(record or {})

    @classmethod
    def from_pretrained(
        cls, path: str | Path, revision: str | None = None, svd_attention: bool = True
    ) -> "GoldenNoise":
        """From what `load_npnet` takes: an npnet artifact, a folder, a hub id, a published file or "packaged/shapes".

        revision: branch, tag or commit of a hub repository. svd_attention: of a published file; False runs the network
        that the published SDXL trainer trains, without attention and with the mean over singular vectors last.
        Raises `ModelError` for a missing network, `ConfigError` for a folder without svd_attention.
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
        prompt: str | Iterable[str],
        generator: Generator | list[Generator] | None = None,
        latents: Tensor | None = None,
        height: int | None = None,
        width: int | None = None,
        **text_options: Any,
    ) -> Tensor:
        """Golden noise, one row per prompt, for `pipe(prompt, latents=...)`: unit scale, in the dtype pipe draws.

        (B, C, h, w); for FLUX packed as its pipeline takes it, (B, h/2 w/2, 4 C).
        pipe: any supported diffusers pipeline, which is left as it was; generator: as the pipeline takes it; latents:
        source noise (B, C, h, w) of unit scale instead of what the pipeline itself would draw, with neither from
        torch's global generator; height, width: of the image in px, where not the default. text_options: those of the
        pipeline's call that change what the text encoders give the denoiser, such as prompt_2 and clip_skip.
        Raises `ModelError` when the network was made for another latent shape or text encoder, `ConfigError` for
        arguments that do not fit.
        """
        model = from_pipeline(pipe)
        prompts = prompts_of(prompt)
        taken = [name for name in model.text_options if not name.startswith("negative_")]
        options = read_options(text_options, taken, "GoldenNoise", len(prompts))
        check_noise(latents, generator, len(prompts))
        if latents is not None and height is None and width is None:
            shape = tuple(latents.shape[1:])
        else:
            shape = model.shape_of(height, width)
        self._check_latents(shape)
        with in_eval_mode(pipe):
            embedding = model.encode(prompts, options)
            pipe.maybe_free_model_hooks()  # offloaded, the text encoders are not to stay where the denoiser will be
            self._check_text(tuple(embedding.cond.shape[1:]))
            source = source_noise(model, len(prompts), shape, generator, latents)
            golden = self.network.to(source.device).predict(model, source.float(), embedding)
            if self.network.config.architecture.needs_model:
                pipe.maybe_free_model_hooks()
        return model.for_pipeline(golden.to(source.dtype))

    def _check_latents(self, shape: tuple[int, ...]) -> None:
        made_for = self.network.config.latent_shape
        if shape != made_for:
            raise ModelError(
                f"This NPNet is made for latents {made_for}, but the noise has {shape}: use the network trained for "
                "this model and image size."
            )

    def _check_text(self, shape: tuple[int, ...]) -> None:
        config = self.network.config
        if shape != (config.num_tokens, config.text_dim):
            raise ModelError(
                f"This NPNet is made for prompt embeddings of {config.num_tokens} tokens x {config.text_dim}, but the "
                f"pipeline gives {' x '.join(map(str, shape))}: use the network trained for this model."
            )


@torch.no_grad()
def re_denoise(
    pipe: Any,
    prompt: str | Iterable[str],
    latents: Tensor | None = None,
    generator: Generator | list[Generator] | None = None,
    denoise_guidance: float = 5.5,
    invert_guidance: float = 1.0,
    num_steps: int = 10,
    num_rounds: int = 1,
    depth: int = 1,
    negative_prompt: str | None = None,
    **text_options: Any,
) -> Tensor:
    """Golden noise by re-denoise sampling (arXiv 2411.09502, section 3.1), no trained network needed.

    Goes `depth` steps of a schedule of `num_steps` down under `denoise_guidance` and back up under `invert_guidance`,
    `num_rounds` times. negative_prompt: one text for all prompts, to be given to the pipeline as well; FLUX.1 takes
    none. text_options: negative_prompt_2 and negative_prompt_3 too, one text each. The other arguments and the result
    are those of `GoldenNoise`.
    """
    check_negative(negative_prompt)
    check_numbers(
        {"denoise_guidance": denoise_guidance, "invert_guidance": invert_guidance},
        {"num_steps": num_steps, "num_rounds": num_rounds, "depth": depth},
    )
    model = from_pipeline(pipe, negative_prompt)
    prompts = prompts_of(prompt)
    options = read_options(text_options, model.text_options, "re_denoise", len(prompts))
    check_noise(latents, generator, len(prompts))
    shape = model.latent_shape if latents is None else tuple(latents.shape[1:])
    channels, patch = model.latent_shape[0], model.patch_size
    if len(shape) != 3 or shape[0] != channels or any(side % patch for side in shape[1:]):
        sides = f" with h and w multiples of {patch}" if patch > 1 else ""
        raise ModelError(f"The noise must be (B, {channels}, h, w){sides}, not {(len(prompts), *shape)}.")
    with in_eval_mode(pipe):
        embedding = model.encode(prompts, options)
        source = source_noise(model, len(prompts), shape, generator, latents)
        golden = re_denoising.re_denoise(
            model,
            source,
            embedding,
            denoise_guidance=denoise_guidance,
            invert_guidance=invert_guidance,
            num_steps=num_steps,
            num_rounds=num_rounds,
            depth=depth,
        )
        pipe.maybe_free_model_hooks()  # offloaded, the denoiser is not to stay where the text encoders will be
    return model.for_pipeline(golden.to(source.dtype))
