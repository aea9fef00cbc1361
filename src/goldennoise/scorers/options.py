"""What every scorer with published weights can be told. Imports no torch: the command line reads Configs first."""

import re
from dataclasses import dataclass

from goldennoise.errors import require
from goldennoise.store.hub import digest
from goldennoise.store.identity import undeciding

DTYPES = ("float32", "bfloat16", "float16")
TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class WeightsConfig:
    """What every scorer with published weights takes."""

    kind: str = ""
    path: str = undeciding(default="")
    """A local folder that holds the file of weights, or a hub id."""
    revision: str | None = undeciding(default=None)
    """Branch, tag or commit of a hub repository; null for the newest."""
    sha256: str | None = undeciding(default=None)
    """What the file of weights must hash to, 64 hex digits; null checks nothing."""
    dtype: str = "float32"
    """Of the networks: float32, bfloat16 or float16. Scores are float32."""

    def __post_init__(self) -> None:
        require(bool(self.path), "path", repr(self.path), "a folder or a hub id")
        require_sha256("sha256", self.sha256)
        require(self.dtype in DTYPES, "dtype", self.dtype, f"one of {', '.join(DTYPES)}")

    def digest(self, file: str) -> str | None:
        """Of a file in `path`, see `goldennoise.store.hub.digest`; `sha256` is that of the file of weights."""
        return digest(self.path, file, revision=self.revision, sha256=self.sha256)


def of_tokenizer(path: str, revision: str | None) -> str | None:
    """Digests of a tokenizer's files; None where one is not on this machine."""
    return joined(*(digest(path, file, revision=revision) for file in TOKENIZER_FILES))


def joined(*versions: str | None) -> str | None:
    """One version of several; None if one is not known."""
    return " ".join(map(str, versions)) if all(versions) else None


def require_sha256(option: str, value: str | None) -> None:
    """Raise `ConfigError` unless `value` is null or a SHA-256."""
    require(value is None or bool(SHA256.fullmatch(value)), option, value, "null or 64 hex digits")
