"""fetch: a published prompt set from its addresses, or from a copy at hand, to where the other stages read it."""

from dataclasses import dataclass

from goldennoise.config.compose import RunConfig
from goldennoise.data.prompts.fetching import fetch
from goldennoise.store.options import Options, filled, option


@dataclass(frozen=True)
class Config(Options):
    """Where from, and whether it may replace what is there."""

    kind: str = "fetch"
    source: str | None = option(None, filled("a file or folder"))
    """A copy of the set, a file or folder; null for the addresses of prompts.urls."""
    replace: bool = False
    """Whether the set takes the place of another content at prompts.path."""


def run(config: RunConfig) -> None:
    """Put the set of prompts to prompts.path, and say what it is. Raises what `fetch` raises."""
    fetched, wanted = fetch(config.prompts, config.stage.source, config.stage.replace), config.prompts
    categories = len({prompt.category for prompt in fetched.prompts})
    of = f" of {categories} categories" if categories > 1 else ""
    unread = "" if config.stage.source is None else ", stage.source is not read"
    there = f"is there already{unread}: " if fetched.was_there else ""
    checked = "as published" if wanted.sha256 else "not checked, for no published one is known"
    print(f"{fetched.path}  {there}{len(fetched.prompts)} prompts{of}")
    print(f"SHA-256 {fetched.sha256} ({checked})")
    told = {"version": wanted.version, "source": wanted.source, "licence": wanted.licence}
    print("; ".join(f"{name}: {value}" for name, value in told.items() if value) or "a file of your own")
