"""What a frozen text-to-image model offers the rest of the project."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from goldennoise.diffusion.plan import Features, SamplingPlan

if TYPE_CHECKING:
    from goldennoise.runtime.compute import ComputeConfig


@dataclass(frozen=True)
class PromptEmbedding:
    """Prompts as the denoiser takes them.

    cond, uncond: (B, tokens, dim), the prompts and the negative prompt (empty by default); for models guided without a
    second pass both are the prompts.
    extra: further inputs of the family, each (B, ...), split along the batch like the rest.
    """

    cond: Tensor
    uncond: Tensor
    extra: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.cond)

    def __getitem__(self, rows: slice | Tensor) -> "PromptEmbedding":
        return PromptEmbedding(
            self.cond[rows], self.uncond[rows], {key: part[rows] for key, part in self.extra.items()}
        )

    def repeat(self, num: int) -> "PromptEmbedding":
        """Every prompt `num` times in a row: (B * num, ...)."""
        rows = torch.arange(len(self)).repeat_interleave(num)
        return self[rows]


class DiffusionModel(Protocol):
    """A frozen text-to-image model with its recommended sampler. No method changes weights or needs gradients off.

    `num_evaluations` grows by one per sample and forward pass of the denoiser; classifier-free guidance takes two.
    """

    name: str
    num_steps: int
    guidance: float
    latent_shape: tuple[int, int, int]
    device: torch.device
    dtype: torch.dtype
    num_evaluations: int

    def run_with(self, compute: "ComputeConfig", device: torch.device) -> None:
        """Set up what saves memory or time. Raises `ConfigError` for what this model does not have.

        device: that an offloaded model, which has to be on the CPU, is computed on.
        """
        ...

    @property
    def is_toned(self) -> bool:
        """Whether `initial_noise` has the channel means of images."""
        ...

    @property
    def network(self) -> nn.Module:
        """The denoiser."""
        ...

    @property
    def is_stochastic(self) -> bool:
        """Whether the model's sampler draws noise at its steps. Raises `ModelError` where that is not known."""
        ...

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        """What sampling starts from, (B, C, h, w) of unit scale on the model's device; row i depends on seed i alone.

        Standard normal, with the channel means that an image leaves in it where the model is toned.
        """
        ...

    def encode(self, prompts: Sequence[str]) -> PromptEmbedding: ...

    def predict(
        self, latents: Tensor, position: int, embedding: PromptEmbedding, guidance: float, num_steps: int
    ) -> Tensor:
        """Guided prediction (epsilon, or velocity for flow models, or the image), shape of `latents` (B, C, h, w).

        position: 0 <= i < num_steps of the schedule of `num_steps`, where the network predicts at the noise level of
        i; the latents need not be there. Raises `ConfigError` if the model has no schedule of so many steps.
        """
        ...

    def first_output(self, noise: Tensor, embedding: PromptEmbedding, num_steps: int) -> Tensor:
        """What the denoiser itself gives for noise (B, C, h, w) at the first of `num_steps` of the model's sampler.

        At guidance 1, in one pass; of the noise's shape, with gradients where they are enabled.
        """
        ...

    def predicts_image(self, position: int, num_steps: int) -> bool:
        """Whether `predict` gives the image at a position: where a model that predicts v finds noise alone.

        Such a prediction is for steps from and to this position only.
        """
        ...

    def move(self, latents: Tensor, prediction: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        """Deterministic step from position `start` to position `end` of the schedule of `num_steps`.

        Position 0 is the initial noise, position num_steps the end of sampling. The noise level of position i is the
        model's own business; where the resolution shifts it, that of the latents at hand decides. Down (start < end)
        denoises, up (start > end) inverts; the same prediction down and up returns the start exactly.
        """
        ...

    def levels(self, num_steps: int, latents: Tensor, spacing: str = "uniform") -> list[float]:
        """A schedule of `num_steps` for latents (B, C, h, w) as `num_steps` + 1 levels, the last 0.

        spacing: one of `schedules.fixed.SPACINGS`, by default the model's own. Raises `ConfigError` for one that the
        model does not have.
        1 is the first noise level of training, 0 the end of sampling. Of a flow a level is sigma, of a schedule with
        betas (timestep + 1) / number of timesteps.
        """
        ...

    def levels_of(self, timesteps: Sequence[float]) -> list[float]:
        """The levels at which the network is told these falling timesteps, and the end, 0.

        Raises `ConfigError` for timesteps beyond those of training.
        """
        ...

    def levels_by(self, density: Any, num_steps: int) -> list[float]:
        """The levels at `num_steps` quantiles of a density of log SNR, from low log SNR to high, and the end, 0.

        density: Config of one of `goldennoise.diffusion.noise_levels`. The quantiles are those at (i + 0.5) / num_steps
        within the range of the model's training. Raises `ConfigError` where less than 1 % of the density lies there.
        """
        ...

    def alpha_bar_of_start(self) -> float:
        """Cumulative product at the first timestep of the model's own sampler, in (0, 1).

        Raises `ModelError` for a model that starts from pure noise.
        """
        ...

    def predict_at(self, latents: Tensor, level: Tensor, embedding: PromptEmbedding, guidance: float) -> Tensor:
        """As `predict`, with a level above 0 of its own for each row, (B,), float64 on the CPU."""
        ...

    def require_walked(self) -> None:
        """Raises `ModelError` where the steps of its sampler are not those that a plan's schedule is walked in."""
        ...

    @property
    def feature_width(self) -> int:
        """D of `predict_with_features`. Raises `ModelError` for a compiled denoiser, which shows no features."""
        ...

    def predict_with_features(
        self, latents: Tensor, level: Tensor, embedding: PromptEmbedding, guidance: float
    ) -> tuple[Tensor, Features]:
        """As `predict_at`, with the denoiser's features. Raises `ModelError` for a compiled denoiser."""
        ...

    def move_to(self, latents: Tensor, prediction: Tensor, here: Tensor, there: Tensor) -> Tensor:
        """As `move`, for each row from level `here` down to level `there`, (B,), along its prediction at `here`."""
        ...

    def diffuse(self, latents: Tensor, noise: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        """Back up from position `start` to the noisier `end` by the forward process, with fresh `noise` of unit scale.

        Unlike `move` it needs no prediction and forgets: latents and noise have the same shape (B, C, h, w).
        """
        ...

    def sample(self, plan: SamplingPlan, embedding: PromptEmbedding, step_seeds: Sequence[int] | None = None) -> Tensor:
        """Latents (B, C, h, w) at the end of sampling as `plan` has it.

        step_seeds: of the noise that a stochastic sampler draws at its steps, one for each row, so that equal noise
        and seed give equal images; a deterministic sampler needs none. Raises `ModelError` where they are missing.
        Differentiable where gradients are enabled; the denoiser is then computed again on the way back.
        """
        ...

    def previews(
        self, noise: Tensor, embedding: PromptEmbedding, step_seeds: Sequence[int] | None = None
    ) -> Iterator[Tensor]:
        """Clean latents (B, C, h, w) that the model's own sampler predicts, after each of its passes of the denoiser.

        The last preview is the result of `sample`. A pass runs when the iterator reaches it.
        """
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Images (B, 3, height, width), float32 in [0, 1]."""
        ...

    def encode_images(self, images: Sequence[Tensor]) -> Tensor:
        """Latents (B, C, h, w), float32, of images (3, height, width) in [0, 1]: `decode` backwards.

        An image of another size than the model's is cropped to its ratio, around the centre, and resized.
        """
        ...
