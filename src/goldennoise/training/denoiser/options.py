"""What a user chooses about training a denoiser. Imports no torch: the command line reads it before anything loads."""

from dataclasses import dataclass
from typing import Any

from goldennoise.errors import ConfigError, nearest, require, shortened
from goldennoise.store.options import Options, either, filled, number, one_of, option

SIZES = (
    "attention_head_dim",
    "block_out_channels",
    "down_block_types",
    "layers_per_block",
    "mid_block_type",
    "norm_num_groups",
    "num_attention_heads",
    "only_cross_attention",
    "transformer_layers_per_block",
    "up_block_types",
)
"""What `unet` may set: names of a diffusers `UNet2DConditionModel` that fit neither its latents nor its text."""


@dataclass(frozen=True)
class ModelTraining(Options):
    """What every training of a denoiser has: images, an optimiser, checkpoints."""

    images: str = option("renders", filled('"renders", or a folder with metadata.csv'))
    """What it learns from: "renders", scenes of the shapes world, or a folder of images whose metadata.csv has the
    columns file_name and text."""
    num_images: int = option(60_000, number(least=1))
    """Renders to learn from, at least 1; of a folder all images are."""
    num_validation: int = option(256, number(least=1))
    """Images that are held out, at least 1; of a folder at most a tenth."""
    images_per_part: int = option(500, number(least=1), identity=False)
    """Latents that a killed run loses at most, at least 1."""
    lora_rank: int | None = option(None, number(least=1))
    """Train a LoRA of this rank on the UNet's attention in place of its weights; null for the weights."""
    num_steps: int = option(8_000, number(least=1))
    """Optimiser steps."""
    batch_size: int = option(32, number(least=1))
    """Images per optimiser step, over all devices together."""
    learning_rate: float = option(8e-4, number(above=0, most=1))
    """Of AdamW, in (0, 1]; it falls linearly to 0 at the last step."""
    warmup_steps: int = option(300, number(least=1))
    """Steps over which the learning rate first rises linearly."""
    weight_decay: float = option(0.01, number(least=0, most=1))
    """Of AdamW, in [0, 1]."""
    gradient_clip: float | None = 1.0
    """Largest L2 norm of the gradient, null for none."""
    ema_decay: float = option(0.9985, number(least=0, below=1))
    """Of the moving average of the weights, which is what is kept; at step k at most (1 + k) / (10 + k)."""
    precision: str = option("32-true", one_of("32-true", "bf16-mixed"))
    """32-true or bf16-mixed."""
    save_every_steps: int = option(250, number(least=1))
    """Steps between two checkpoints, each with a row of training.csv and a validation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        clip = self.gradient_clip
        require(clip is None or clip > 0, "gradient_clip", clip, "above 0, or null for no clipping")

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        return self.learning_rate * warm * (1 - step / self.num_steps)

    def decay(self, step: int) -> float:
        """Of the moving average after a step, counted from 0."""
        return min(self.ema_decay, (1 + step) / (10 + step))


@dataclass(frozen=True)
class DistilOptions(ModelTraining):
    """The defaults are the recipe of the packaged few-step world."""

    student_steps: int | None = option(None, number(least=1))
    """Deterministic DDIM steps of a student that is a multistep consistency model (arXiv 2403.06807), at least 1; null
    for a latent consistency model (arXiv 2310.04378), which samples in 1 to 8 steps that draw noise."""
    solver_steps: int = option(50, number(least=2))
    """DDIM steps of the teacher, at least 2; the student learns that each leads to the same image, or to the same end
    of its own step, which lies on these."""
    num_images: int = option(30_000, number(least=1))
    """Renders to learn from, at least 1; of a folder all images are."""
    num_validation: int = option(64, number(least=1))
    """Images that are held out, at least 1; of a folder at most a tenth."""
    num_steps: int = option(1_400, number(least=1))
    """Optimiser steps."""
    batch_size: int = option(24, number(least=1))
    """Images per optimiser step, over all devices together."""
    learning_rate: float = option(1e-4, number(above=0, most=1))
    """Of AdamW, in (0, 1]; it falls linearly to 0 at the last step."""
    warmup_steps: int = option(50, number(least=1))
    """Steps over which the learning rate first rises linearly."""
    ema_decay: float = option(0.95, number(least=0, below=1))
    """Of the moving average of the weights, which is the student's target and what is kept."""


@dataclass(frozen=True)
class DenoiserOptions(ModelTraining):
    """The defaults are the recipe of the packaged world's denoiser."""

    init: str = option("scratch", either("scratch", "weights"))
    """What the denoiser begins with: scratch, new weights, or weights, those of the model."""
    unet: dict[str, Any] | None = None
    """Of a UNet from scratch: sizes that differ from the model's own, such as block_out_channels; null for none."""
    train_text_encoder: bool = True
    """Train the text encoder with the UNet, from the same beginning; of Stable Diffusion 1.x and 2.x."""
    prediction: str | None = option(None, one_of("epsilon", "v_prediction"))
    """What the UNet predicts: epsilon or v_prediction; null for what the model's own predicts."""
    zero_terminal: bool = False
    """Train with zero terminal SNR (arXiv 2305.08891): alpha-bar is rescaled to 0 at the last timestep, the UNet
    predicts v, and sampling begins at the last timestep."""
    weighting: str = option("none", either("none", "keep"))
    """What other noise levels than uniform timesteps change. none: the loss too, whose mean is over the noise levels as
    they are drawn. keep: how often a level is seen alone; each error is weighted by how much rarer uniform timesteps
    have its log SNR."""
    loss_levels: dict[str, Any] | None = None
    """A density, such as {kind: laplace, scale: 0.5}, whose expected loss is learnt: each error is weighted by it over
    the density that was drawn from. Null for what `weighting` says."""
    loss_weight: str = option("inverse_root_snr", either("none", "inverse_root_snr"))
    """Of the squared error at a noise level: none, or inverse_root_snr, SNR^-1/2 (arXiv 2310.08442)."""
    empty_prompt_share: float = option(0.1, number(least=0, most=1))
    """Share of the captions that are replaced by the empty prompt, for classifier-free guidance."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_start()
        allowed = "null, or a mapping with the kind of a density, and with weighting=none"
        fits = self.loss_levels is None or ("kind" in self.loss_levels and self.weighting == "none")
        require(fits, "loss_levels", self.loss_levels, allowed)
        if self.zero_terminal:
            allowed = "null or v_prediction with zero_terminal=true: pure noise is no target that tells of an image"
            require(self.prediction != "epsilon", "prediction", self.prediction, allowed)
            allowed = "none with zero_terminal=true, whose last timestep has SNR 0"
            require(self.loss_weight == "none", "loss_weight", self.loss_weight, allowed)

    def _check_start(self) -> None:
        for name, value in (self.unet or {}).items():
            if name not in SIZES:
                raise ConfigError(
                    f"unet.{shortened(name)}: no size of a UNet that can be set; choose from {', '.join(SIZES)}"
                    f"{nearest(str(name), SIZES)}"
                )
            sizes = value if isinstance(value, list | tuple) else [value]
            fits = all(size > 0 for size in sizes if type(size) is int)
            require(fits, f"unet.{name}", value, "sizes above 0")
        require(not self.unet or self.init == "scratch", "unet", self.unet, "null with init=weights")
        rank = self.lora_rank
        require(rank is None or self.init == "weights", "lora_rank", rank, "null with init=scratch")
        require(rank is None or not self.train_text_encoder, "lora_rank", rank, "null with train_text_encoder=true")
