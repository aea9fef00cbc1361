"""Prompt sets: the splits of the shapes world, and files read strictly."""

from goldennoise.data.prompts.held_out import load_training_prompts, refuse_shared, shared_with, without
from goldennoise.data.prompts.prompt import Prompt, PromptsConfig, prompts_digest
from goldennoise.data.prompts.source import all_prompts, load_prompts

__all__ = [
    "Prompt",
    "PromptsConfig",
    "all_prompts",
    "load_prompts",
    "load_training_prompts",
    "prompts_digest",
    "refuse_shared",
    "shared_with",
    "without",
]
