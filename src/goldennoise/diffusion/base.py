"""What every family on a diffusers pipeline can be told. Imports no torch: the command line reads Configs first."""

import math
from dataclasses import dataclass
from typing import ClassVar

from goldennoise.diffusion.schedulers import SCHEDULERS, SPACINGS, check_option
from goldennoise.errors import require

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class PipelineConfig:
    """path: "shapes" for the packaged world, a local diffusers folder, or a hub id (with `revision`). variant: of the
    weight files, such as "fp16" for a repository that names them so; None for the plain names.

    num_steps, guidance, scheduler: the recommended sampler, which every method is compared at; re-denoise steps by
    DDIM, or straight along a flow's velocity, whatever the scheduler. height, width: of the image in px, None for the
    model's own.
    timestep_spacing: of the schedule, None for the model's own. timesteps: of the sampler, in place of those the
    schedule gives for `num_steps`, as `pipe(timesteps=...)`; for samplers that take any.
    negative_prompt: what guidance leads away from; None where the pipeline itself decides.
    lora: merged into the weights: a safetensors file, a folder, or a hub id; see `goldennoise.diffusion.lora`.
    """

    side_multiple_px: ClassVar[int] = 8
    """Height and width are multiples of it: px per latent, times the side of a transformer's patch."""

    schedulers: ClassVar[tuple[str, ...]] = tuple(SCHEDULERS)
    """Samplers to choose from."""

    timestep_spacings: ClassVar[tuple[str, ...]] = SPACINGS
    """Spacings to choose from; a flow's noise levels are its model's own."""

    kind: str = ""
    path: str = ""
    revision: str | None = None
    variant: str | None = None
    lora: str | None = None
    num_steps: int = 50
    guidance: float = 7.5
    scheduler: str = "ddim"
    dtype: str = "float32"
    height: int | None = None
    width: int | None = None
    negative_prompt: str | None = None
    timestep_spacing: str | None = None
    timesteps: list[int] | None = None

    def __post_init__(self) -> None:
        require(bool(self.path), "path", repr(self.path), 'a folder, a hub id or "shapes"')
        require(self.lora != "", "lora", repr(self.lora), "null, a file, a folder or a hub id")
        require(self.num_steps >= 1, "num_steps", self.num_steps, "at least 1")
        self._check_guidance()
        check_option(self.scheduler, self.schedulers)
        self._check_timesteps()
        require(self.dtype in DTYPES, "dtype", self.dtype, f"one of {', '.join(DTYPES)}")
        for option, side_px in (("height", self.height), ("width", self.width)):
            multiple = self.side_multiple_px
            fits = side_px is None or (side_px > 0 and side_px % multiple == 0)
            require(fits, option, side_px, f"null or a multiple of {multiple} px")

    def _check_timesteps(self) -> None:
        spacings = self.timestep_spacings
        allowed = f"null or one of {', '.join(spacings)}" if spacings else "null for this family"
        require(self.timestep_spacing in (None, *spacings), "timestep_spacing", self.timestep_spacing, allowed)
        if self.timesteps is not None:
            allowed = (
                f"null or num_steps={self.num_steps} falling numbers, the last at least 0" if spacings else allowed
            )
            falling = (
                self.timesteps == sorted(set(self.timesteps), reverse=True) and min(self.timesteps, default=0) >= 0
            )
            fits = bool(spacings) and falling and len(self.timesteps) == self.num_steps
            require(fits, "timesteps", self.timesteps, allowed)

    def _check_guidance(self) -> None:
        # diffusers takes 0 for "no guidance", which is the prompt alone; the formula gives the pass without prompt.
        allowed = "a finite number above 0; 1 is the prompt alone, which diffusers samples at 0"
        require(0 < self.guidance < math.inf, "guidance", self.guidance, allowed)
