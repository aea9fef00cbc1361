"""What every family on a diffusers pipeline can be told. Imports no torch: the command line reads Configs first."""

from dataclasses import dataclass
from typing import ClassVar

from goldennoise.diffusion.schedules.schedulers import LCM_STEPS, SCHEDULERS, SPACINGS, TAKE_TIMESTEPS, check_option
from goldennoise.errors import require
from goldennoise.store.options import POSITIVE, Check, Options, filled, number, one_of, option

# diffusers takes 0 for "no guidance", which is the prompt alone; the formula gives the pass without prompt.
GUIDANCE = Check(POSITIVE.allows, f"{POSITIVE.words}; 1 is the prompt alone, which diffusers samples at 0")

FALLING = Check(
    lambda timesteps: timesteps and timesteps == sorted(set(timesteps), reverse=True) and timesteps[-1] >= 0,
    "falling numbers, the last at least 0",
)


@dataclass(frozen=True)
class PipelineConfig(Options):
    """A diffusers pipeline and its recommended sampler, which every method is compared at.

    Re-denoise steps by DDIM, or straight along a flow's velocity, whatever the scheduler.
    """

    side_multiple_px: ClassVar[int] = 8
    """Height and width are multiples of it: px per latent, times the side of a transformer's patch."""

    schedulers: ClassVar[tuple[str, ...]] = tuple(SCHEDULERS)
    """Samplers to choose from."""

    timestep_spacings: ClassVar[tuple[str, ...]] = SPACINGS
    """Spacings to choose from; a flow's noise levels are its model's own."""

    is_guided_by_input: ClassVar[bool] = False
    """Whether the network takes the scale of guidance as an input, so that guidance costs no second pass."""

    kind: str = ""
    path: str = option("", filled('a model artifact, a folder, a hub id or "shapes"'))
    """"shapes" or "shapes_turbo" for the packaged world, a model artifact such as "model/NAME@v1", a local diffusers
    folder, or a hub id."""
    revision: str | None = None
    """Branch, tag or commit of a hub repository; null for the newest."""
    variant: str | None = None
    """Of the weight files, such as "fp16" for a repository that names them so; null for the plain names."""
    lora: str | None = None
    """Merged into the weights: a safetensors file, a folder, or a hub id; see `goldennoise.diffusion.lora`. Null for
    none."""
    num_steps: int = option(50, number(least=1))
    """Steps of the sampler, at least 1."""
    guidance: float = option(7.5, GUIDANCE)
    """Guidance scale, above 0; 1 is the prompt alone."""
    scheduler: str = "ddim"
    """Sampler: one of the family."""
    dtype: str = option("float32", one_of("float32", "bfloat16", "float16"))
    """Number format of the networks: float32, bfloat16 or float16."""
    height: int | None = None
    """Of the image in px; null for the model's own."""
    width: int | None = None
    """Of the image in px; null for the model's own."""
    negative_prompt: str | None = None
    """What guidance leads away from; null where the pipeline itself decides."""
    timestep_spacing: str | None = None
    """Of the schedule; null for the model's own."""
    timesteps: list[int] | None = None
    """Of the sampler, in place of those the schedule gives for `num_steps`, as `pipe(timesteps=...)`; for samplers that
    take any. Null for none."""
    tone: str | None = None
    """Whose channel means source noise has: a .safetensors file of tones, see `goldennoise.diffusion.tone`, or "shapes"
    for that of the packaged world. Each noise takes those of an image drawn at random. Null for noise without."""
    vae_tiling: bool = False
    """Decode images larger than the VAE was made for in overlapping tiles, whose seams change pixels."""

    @property
    def name(self) -> str:
        """As messages and reports call the model: its path, and that of what was merged into it."""
        return self.path if self.lora is None else f"{self.path} with {self.lora}"

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.tone in (None, "shapes") or str(self.tone).endswith(".safetensors")
        require(fits, "tone", repr(self.tone), 'null, "shapes" or a .safetensors file of tones')
        is_flow = not self.timestep_spacings
        require(
            not is_flow or self.tone is None, "tone", self.tone, "null for this family, which starts from pure noise"
        )
        require(self.lora != "", "lora", repr(self.lora), "null, a file, a folder or a hub id")
        check_option(self.scheduler, self.schedulers)
        self._check_timesteps()
        for name, side_px in (("height", self.height), ("width", self.width)):
            multiple = self.side_multiple_px
            fits = side_px is None or (side_px > 0 and side_px % multiple == 0)
            require(fits, name, side_px, f"null or a multiple of {multiple} px")

    def _check_timesteps(self) -> None:
        spacing, listed = self.timestep_spacing, self.timesteps
        if not self.timestep_spacings:
            require(spacing is None, "timestep_spacing", spacing, "null for this family")
            require(listed is None, "timesteps", listed, "null for this family")
            return
        if self.scheduler == "lcm":
            require(self.num_steps <= LCM_STEPS, "num_steps", self.num_steps, f"at most {LCM_STEPS} for scheduler=lcm")
        if spacing is not None:
            fits = spacing in self.timestep_spacings and listed is None and self.scheduler != "lcm"
            allowed = f"null or one of {', '.join(self.timestep_spacings)}; lcm and timesteps of one's own have none"
            require(fits, "timestep_spacing", spacing, allowed)
        if listed is not None:
            allowed = f"null for {self.scheduler}; {', '.join(TAKE_TIMESTEPS)} take any"
            require(self.scheduler in TAKE_TIMESTEPS, "timesteps", listed, allowed)
            fits = bool(FALLING.allows(listed)) and len(listed) == self.num_steps
            require(fits, "timesteps", listed, f"null or num_steps={self.num_steps} {FALLING.words}")
