"""Where the world's trained weights lie inside the package."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
PIPELINE = WEIGHTS / "pipeline"
"""A diffusers folder that `StableDiffusionPipeline.from_pretrained` loads."""
TURBO = WEIGHTS / "turbo"
"""The same of the student of few steps that was distilled from it."""
PIPELINES = {"shapes": PIPELINE, "shapes_turbo": TURBO}
"""Packaged models by what `path` of a model's config calls them."""
TONES = WEIGHTS / "tones.safetensors"
"""Tones of renders, see `goldennoise.diffusion.tone`."""
CLIP = WEIGHTS / "clip"
"""The preference model: open_clip config, tokenizer and weights."""
CLIP_WEIGHTS = "open_clip_model.safetensors"
RECORD = WEIGHTS / "record.json"
"""How the weights were made and what they reach."""
