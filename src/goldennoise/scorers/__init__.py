"""Scorers, one file each."""

from types import ModuleType

from goldennoise import registry

PARTS = (
    *("batch", "protocol", "options", "weights", "texts", "preprocess"),
    *("open_clip_towers", "transformers_clip", "reward_head", "mps_cross_model", "blip_reward"),
)
"""Modules that scorers share, or that are part of one; every other is a scorer."""


def kinds() -> list[str]:
    """Every scorer there is, by name."""
    return registry.kinds(__name__, parts=PARTS)


def component(kind: str) -> ModuleType:
    """The scorer's module, with its `Config` and `build(config, device)`; ConfigError for an unknown name."""
    return registry.component(__name__, "scorer", kind, kinds())
