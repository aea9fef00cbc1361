"""Prompt sets: the splits of the shapes world, and files read strictly."""

from goldennoise.prompts.held_out import load_training_prompts, without
from goldennoise.prompts.prompt import Prompt, PromptsConfig
from goldennoise.prompts.source import load_prompts

__all__ = ["Prompt", "PromptsConfig", "load_prompts", "load_training_prompts", "without"]
