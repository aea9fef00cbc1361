"""A prompt, and what a user chooses about a prompt set."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from goldennoise.errors import require
from goldennoise.runtime.seeding import prompt_id
from goldennoise.store.identity import digest_of_lines
from goldennoise.store.options import Options, either, one_of, option

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
    """Of a file: .txt (one prompt a line), .csv, .tsv, .jsonl or .json, in UTF-8; or a folder of .txt files, one prompt
    in each. `~` is the home folder."""
    text_column: str | None = None
    """Null takes the only column called prompt, prompts, caption or text."""
    category_column: str | None = None
    """The kind of each prompt; null leaves all of them without one."""
    category: str | None = None
    """Only prompts of this category; null for all."""
    duplicates: str = option("refuse", either("refuse", "keep_first", "keep"))
    """"refuse" suits a file of your own. "keep_first" suits published sets with repeated prompts, which the log counts.
    "keep" repeats a repeated prompt, for images that belong to the lines of the file."""
    empty: str = option("refuse", either("refuse", "leave_out"))
    """"refuse" suits a file of your own; "leave_out" suits published sets with empty prompts, which the log counts."""
    held_out: list[str] = field(default_factory=list)
    """Prompt files whose prompts are never collected from, because something is measured on them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.kind != "file" or bool(self.path), "path", self.path, "the path of a prompt file")
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
