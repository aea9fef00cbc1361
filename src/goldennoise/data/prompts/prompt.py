"""A prompt, and what a user chooses about a prompt set."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from goldennoise.errors import require
from goldennoise.runtime.seeding import prompt_id
from goldennoise.store.identity import digest_of_lines
from goldennoise.store.options import Check, Options, either, one_of, option

UNCATEGORISED = "uncategorised"
"""Category of the prompts of a file without a category column."""


@dataclass(frozen=True)
class Prompt:
    """A text, its id (`seeding.prompt_id`), and the kind of prompt that reports group it by."""

    text: str
    id: str
    category: str
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Column -> value of what its row in a prompt file holds beside the text, such as what a benchmark demands."""

    @classmethod
    def of(cls, text: str, category: str = UNCATEGORISED, metadata: Mapping[str, Any] | None = None) -> "Prompt":
        return cls(text, prompt_id(text), category, metadata or {})


@dataclass(frozen=True)
class PromptsConfig(Options):
    """Which prompts: a split of the shapes world, or a file."""

    kind: str = option("shapes", either("shapes", "file"))
    split: str = option("train", one_of("train", "validation", "benchmark"))
    """Of the shapes world: train, validation or benchmark."""
    tones: bool = False
    """Of the shapes world: each caption three times, as it is and with "dark" and with "bright" before it. Renders draw
    these; no scorer knows them, so they are for collect with stage.preference=null."""
    path: str | None = None
    """Of a file: .txt (one prompt a line), .csv, .tsv, .jsonl, .json or .parquet; or a folder. Texts are in UTF-8. `~`
    is the home folder."""
    folder: str = option("texts", either("texts", "lists"))
    """What a folder holds: "texts" are .txt files of one prompt each; "lists" are files of several prompts, and the
    column `list` is the name of the file."""
    text_column: str | None = None
    """Null takes the only column called prompt, prompts, caption or text."""
    category_column: str | None = None
    """The kind of each prompt, a text or a whole number; null leaves all of them without one."""
    category: str | None = None
    """Only prompts of this category; null for all."""
    duplicates: str = option("refuse", either("refuse", "keep_first", "keep"))
    """"refuse" suits a file of your own. "keep_first" suits published sets with repeated prompts, which the log counts.
    "keep" repeats a repeated prompt, for images that belong to the lines of the file."""
    empty: str = option("refuse", either("refuse", "leave_out"))
    """"refuse" suits a file of your own; "leave_out" suits published sets with empty prompts, which the log counts."""
    held_out: list[str] = field(default_factory=list)
    """Prompt files whose prompts are never trained on or collected from, because something is measured on them."""
    version: str | None = None
    """Of a published set, such as a commit; null for a file of your own. This and what follows decides no content."""
    source: str | None = None
    """Of a published set: its paper or repository, in words."""
    licence: str | None = None
    """Of a published set."""
    urls: tuple[str, ...] = ()
    """Where stage=fetch gets the file, or each file of a folder; none where no address is known."""
    sha256: str | None = option(None, Check(re.compile(r"[0-9a-f]{64}").fullmatch, "64 hex digits in lower case"))
    """Of the file, or of what `sha256sum *` prints in a folder; another content is refused. Null reads any content."""
    benchmark: bool = False
    """Whether results are published on the set: nothing is trained on it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.kind != "file" or bool(self.path),
            "path",
            self.path,
            "the path of a prompt file, as in prompts.path=FILE",
        )
        require(self.kind != "file" or not self.tones, "tones", self.tones, "false for a prompt file")


def prompts_digest(prompts: Iterable[Prompt], columns: Sequence[str] = ()) -> str:
    """SHA-256 in hex of texts and categories, in order: what of prompts decides an artifact.

    columns: of the metadata, which scorers of the run read; a prompt that has none of them adds nothing.
    """
    lines = []
    for prompt in prompts:
        read = {column: prompt.metadata[column] for column in columns if column in prompt.metadata}
        lines.append("\t".join([prompt.category, prompt.text, *([json.dumps(read, sort_keys=True)] if read else [])]))
    return digest_of_lines(lines)
