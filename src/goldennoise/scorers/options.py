"""What every scorer with published weights can be told. Imports no torch: the command line reads Configs first."""

import re
from dataclasses import dataclass

from goldennoise.errors import require
from goldennoise.scorers import undeciding

DTYPES = ("float32", "bfloat16", "float16")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class WeightsConfig:
    """path: a local folder that holds the file of weights, or a hub id (with `revision`).

    sha256: what that file must hash to, in hex; null checks nothing. dtype: of the networks; scores are float32.
    """

    kind: str = ""
    # The version holds the hash of the file; where it lies decides nothing.
    path: str = undeciding(default="")
    revision: str | None = undeciding(default=None)
    sha256: str | None = undeciding(default=None)
    dtype: str = "float32"

    def __post_init__(self) -> None:
        require(bool(self.path), "path", repr(self.path), "a folder or a hub id")
        require_sha256("sha256", self.sha256)
        require(self.dtype in DTYPES, "dtype", self.dtype, f"one of {', '.join(DTYPES)}")


def require_sha256(option: str, value: str | None) -> None:
    """Raise `ConfigError` unless `value` is null or a SHA-256."""
    require(value is None or bool(SHA256.fullmatch(value)), option, value, "null or 64 hex digits")
