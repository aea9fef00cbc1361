"""What every scorer with published weights can be told. Imports no torch: the command line reads Configs first."""

import re
from dataclasses import dataclass

from goldennoise.store.hub import digest
from goldennoise.store.options import Check, Options, filled, one_of, option

DTYPES = ("float32", "bfloat16", "float16")
TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json")
SOURCE = filled("a folder or a hub id")
SHA256 = Check(re.compile(r"[0-9a-f]{64}").fullmatch, "64 hex digits")


@dataclass(frozen=True)
class WeightsConfig(Options):
    """What every scorer with published weights takes."""

    kind: str = ""
    path: str = option("", SOURCE, identity=False)
    """A local folder that holds the file of weights, or a hub id."""
    revision: str | None = option(None, identity=False)
    """Branch, tag or commit of a hub repository; null for the newest."""
    sha256: str | None = option(None, SHA256, identity=False)
    """What the file of weights must hash to, 64 hex digits; null checks nothing."""
    dtype: str = option("float32", one_of(*DTYPES))
    """Of the networks: float32, bfloat16 or float16. Scores are float32."""

    def digest(self, file: str) -> str | None:
        """Of a file in `path`, see `goldennoise.store.hub.digest`; `sha256` is that of the file of weights."""
        return digest(self.path, file, revision=self.revision, sha256=self.sha256)


def of_tokenizer(path: str, revision: str | None) -> str | None:
    """Digests of a tokenizer's files; None where one is not on this machine."""
    return joined(*(digest(path, file, revision=revision) for file in TOKENIZER_FILES))


def joined(*versions: str | None) -> str | None:
    """One version of several; None if one is not known."""
    return " ".join(map(str, versions)) if all(versions) else None
