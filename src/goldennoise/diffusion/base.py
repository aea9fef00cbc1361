"""What every family on a diffusers pipeline can be told. Imports no torch: the command line reads Configs first."""

import math
from dataclasses import dataclass
from typing import ClassVar

from goldennoise.diffusion.schedules.schedulers import LCM_STEPS, SCHEDULERS, SPACINGS, TAKE_TIMESTEPS, check_option
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
    vae_tiling: decode images larger than the VAE was made for in overlapping tiles, whose seams change pixels.
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
    vae_tiling: bool = False

    @property
    def name(self) -> str:
        """As messages and reports call the model: its path, and that of what was merged into it."""
        return self.path if self.lora is None else f"{self.path} with {self.lora}"

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
        if not self.timestep_spacings:
            for option in ("timestep_spacing", "timesteps"):
                require(getattr(self, option) is None, option, getattr(self, option), "null for this family")
            return
        if self.scheduler == "lcm":
            require(self.num_steps <= LCM_STEPS, "num_steps", self.num_steps, f"at most {LCM_STEPS} for scheduler=lcm")
        if self.timestep_spacing is not None:
            allowed = f"null or one of {', '.join(self.timestep_spacings)}; lcm and timesteps of one's own have none"
            fits = (
                self.timestep_spacing in self.timestep_spacings and self.timesteps is None and self.scheduler != "lcm"
            )
            require(fits, "timestep_spacing", self.timestep_spacing, allowed)
        if self.timesteps is not None:
            taken = self.scheduler in TAKE_TIMESTEPS
            require(
                taken, "timesteps", self.timesteps, f"null for {self.scheduler}; {', '.join(TAKE_TIMESTEPS)} take any"
            )
            falling = (
                self.timesteps == sorted(set(self.timesteps), reverse=True) and min(self.timesteps, default=0) >= 0
            )
            allowed = f"null or num_steps={self.num_steps} falling numbers, the last at least 0"
            require(falling and len(self.timesteps) == self.num_steps, "timesteps", self.timesteps, allowed)

    def _check_guidance(self) -> None:
        # diffusers takes 0 for "no guidance", which is the prompt alone; the formula gives the pass without prompt.
        allowed = "a finite number above 0; 1 is the prompt alone, which diffusers samples at 0"
        require(0 < self.guidance < math.inf, "guidance", self.guidance, allowed)
