"""Flow-matching transformers that are guided by two passes: Stable Diffusion 3, SANA."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import SanaPipeline
from torch import Tensor
from torch.nn.functional import pad

from goldennoise.diffusion.conditioning import Conditioning, each_row
from goldennoise.diffusion.features import Taps
from goldennoise.diffusion.latent_texts import hidden_states
from goldennoise.diffusion.pipeline import LatentPipeline, steered
from goldennoise.diffusion.schedules.flow import FlowSchedule
from goldennoise.diffusion.schedules.schedulers import check_flow, make_flow_scheduler
from goldennoise.diffusion.text_options import INSTRUCTION, TextOptions

SANA_TOKENS, T5_TOKENS = 300, 256
"""What SANA, and Stable Diffusion 3 for T5, reads of a prompt's tokens where the pipeline is told no number."""


class LatentFlow(LatentPipeline):
    """A pipeline whose denoiser is a transformer that predicts velocities."""

    denoiser = "transformer"
    samplers: tuple[str, ...] = ("flow_euler",)

    @classmethod
    def scheduler_of(cls, option: str, scheduler: Any, spacing: str | None = None) -> Any:  # noqa: ARG003
        check_flow(scheduler, cls.samplers)
        return make_flow_scheduler(option, scheduler)

    def _make_schedule(self) -> FlowSchedule:
        return FlowSchedule(self._pipe.scheduler, self.patch_size)

    def _check(self, pipe: Any) -> None:
        super()._check(pipe)
        # The noise levels of golden noise are the scheduler's too.
        check_flow(pipe.scheduler, self.samplers)

    @property
    def is_stochastic(self) -> bool:
        """Raises `ModelError` for a sampler that is, or that does not sample this flow."""
        check_flow(self._pipe.scheduler, self.samplers)
        return False

    def _unscaled(self, latents: Tensor) -> Tensor:
        return super()._unscaled(latents) + (self._pipe.vae.config.get("shift_factor") or 0.0)


class StableDiffusion3(LatentFlow):
    """Stable Diffusion 3 and 3.5: the penultimate hidden states and pooled outputs of two CLIP encoders, and T5.

    The text is CLIP's tokens, filled up with zeros to the width of T5, followed by T5's: zeros in a pipeline that was
    loaded without T5 to save its memory.
    """

    taps = Taps("pos_embed", "proj_out", "time_text_embed")
    tokenizers: tuple[str, ...] = ("tokenizer", "tokenizer_2", "tokenizer_3")
    text_encoders: tuple[str, ...] = ("text_encoder", "text_encoder_2", "text_encoder_3")
    text_options = (
        "prompt_2",
        "prompt_3",
        "clip_skip",
        "max_sequence_length",
        "negative_prompt_2",
        "negative_prompt_3",
    )

    def __init__(self, pipe: Any, **settings: Any) -> None:
        if pipe.text_encoder_3 is None:
            self.tokenizers, self.text_encoders = self.tokenizers[:2], self.text_encoders[:2]
        super().__init__(pipe, **settings)

    def _encode(self, prompts: Sequence[str], options: TextOptions) -> Conditioning:
        length, skip = options.get("max_sequence_length", T5_TOKENS), options.get("clip_skip", 0)
        tokens = self._tokens(prompts, options, (77, 77, length)[: len(self.tokenizers)])
        first, second = (
            getattr(self._pipe, name)(part.input_ids, output_hidden_states=True)
            for name, part in zip(self.text_encoders[:2], tokens[:2], strict=True)
        )
        if len(tokens) == 3:
            long = self._pipe.text_encoder_3(tokens[2].input_ids)[0]
        else:
            width = self._network.config.joint_attention_dim
            long = first.text_embeds.new_zeros(len(prompts), length, width)
        short = torch.cat([hidden_states(output, skip, last=-2) for output in (first, second)], dim=-1)
        text = torch.cat([pad(short, (0, long.shape[-1] - short.shape[-1])), long], dim=1)
        pooled = torch.cat([first.text_embeds, second.text_embeds], dim=-1)
        return {"text": text.to(self.dtype), "pooled": pooled.to(self.dtype)}

    def _run(self, latents: Tensor, timestep: float | Tensor, conditioning: Conditioning) -> Tensor:
        if getattr(self._network, "image_proj", None) is not None:
            raise steered(self._network, "the image of an IP-Adapter")
        return self._network(
            hidden_states=latents,
            timestep=each_row(timestep, latents),
            encoder_hidden_states=conditioning["text"],
            pooled_projections=conditioning["pooled"],
            return_dict=False,
        )[0]


class Sana(LatentFlow):
    """SANA: the last hidden states of Gemma, which reads the pipeline's own instruction before the prompt.

    Of instruction and prompt the network gets the first token and the last 299; the negative prompt has no instruction.
    The prompt is lowercased and stripped, as the pipeline does by default.
    """

    taps = Taps("patch_embed", "proj_out", "time_embed")
    samplers = ("flow_euler", "flow_dpmpp_2m")
    padding_side = "right"
    text_options = ("max_sequence_length", INSTRUCTION)

    def __init__(self, pipe: Any, **settings: Any) -> None:
        super().__init__(pipe, **settings)
        self.noise_dtype = torch.float32  # the pipeline draws its noise so, whatever its own dtype

    def _encode(self, prompts: Sequence[str], options: TextOptions) -> Conditioning:
        lines = options.get(INSTRUCTION, inspect.signature(SanaPipeline.__call__).parameters[INSTRUCTION].default)
        instruction = "\n".join(lines)
        length = options.get("max_sequence_length", SANA_TOKENS)
        read = length + len(self._pipe.tokenizer.encode(instruction)) - 2 if lines else length
        (tokens,) = self._tokens([instruction + prompt.lower().strip() for prompt in prompts], options, [read])
        text = self._pipe.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
        kept = [0, *range(1 - length, 0)]
        return {"text": text[:, kept].to(self.dtype), "mask": tokens.attention_mask[:, kept]}

    def _encode_negative(self, given: Conditioning, options: TextOptions) -> Conditioning:
        return super()._encode_negative(given, {**options, INSTRUCTION: []})

    def _run(self, latents: Tensor, timestep: float | Tensor, conditioning: Conditioning) -> Tensor:
        return self._network(
            latents,
            encoder_hidden_states=conditioning["text"],
            encoder_attention_mask=conditioning["mask"],
            timestep=each_row(timestep, latents) * self._network.config.timestep_scale,
            return_dict=False,
        )[0]
