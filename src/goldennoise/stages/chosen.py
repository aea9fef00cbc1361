"""Which artifacts a stage looks at that writes none."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldennoise.errors import ArtifactError, ConfigError, nearest, shortened
from goldennoise.store.listing import Entry, everything, is_meant
from goldennoise.store.options import Check, Options, option
from goldennoise.store.record import STAGE_OF_KIND


def _texts(chosen: Any) -> list[str]:
    """One text or several, as a list; empty for anything else."""
    listed = list(chosen) if isinstance(chosen, list | tuple) else [chosen]
    return listed if all(isinstance(one, str) and one for one in listed) else []


@dataclass(frozen=True, kw_only=True)
class ChoiceOptions(Options):
    """Artifacts of the outputs folder."""

    artifacts: Any = option(
        None, Check(lambda chosen: chosen is None or _texts(chosen), "null, KIND, KIND/NAME or a list")
    )
    """KIND, KIND/NAME or KIND/NAME@VERSION, with the wildcards of a shell, or a list of these; null for all."""


def chosen_entries(outputs: str, artifacts: Any) -> list[Entry]:
    """The versions meant by the option `artifacts`, in the order of `everything`.

    Raises `ConfigError` for a kind that does not exist, `ArtifactError` for a choice that means no version.
    """
    patterns = [] if artifacts is None else _texts(artifacts)
    for pattern in patterns:
        kind = pattern.partition("/")[0]
        if not any(is_meant(Entry(known, "", "", "damaged", {}), kind) for known in STAGE_OF_KIND):
            raise ConfigError(
                f"stage.artifacts={shortened(pattern)}: there is no kind {shortened(kind)}; choose from "
                f"{', '.join(STAGE_OF_KIND)}{nearest(kind, STAGE_OF_KIND)}"
            )
    there = list(everything(Path(outputs)))
    for pattern in patterns:
        if not any(is_meant(entry, pattern) for entry in there):
            raise ArtifactError(
                f"stage.artifacts={shortened(pattern)}: there is no such artifact in {outputs}; stage=list shows all"
            )
    return [entry for entry in there if not patterns or any(is_meant(entry, pattern) for pattern in patterns)]
