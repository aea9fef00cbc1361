"""What a method works with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldennoise.errors import ConfigError
from goldennoise.methods.search.selector import Selector
from goldennoise.scorers.protocol import Scorer, refuse_reporting_only


@dataclass(frozen=True)
class MethodTools:
    """What a method may need beside its config: scorers and methods of the run, and where a named artifact lies."""

    scorers: Mapping[str, Scorer]
    artifact_folder: Callable[[str, str], Path]
    """(kind, reference) -> folder, for example ("npnet", "shapes@latest")."""
    methods: Mapping[str, Any] = field(default_factory=dict)
    """Configs of the run's methods, by name."""

    def selector(self, option: str, name: str) -> Selector:
        """The scorer `name`, chosen by `option`. Raises `ConfigError` if the run has none, or it only reports."""
        if name not in self.scorers:
            known = ", ".join(self.scorers) or "none"
            raise ConfigError(f"{option}={name}: this method needs a scorer of the run; the run has {known}")
        refuse_reporting_only(self.scorers[name], option)
        return Selector(self.scorers[name])
