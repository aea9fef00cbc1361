"""What something is measured on is never trained on: training and benchmark prompts do not overlap."""

import logging
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import MappingProxyType

from goldennoise.data.prompts.content import refuse_other_content
from goldennoise.data.prompts.defects import shown
from goldennoise.data.prompts.files import numbered_prompts, prompts_of_file
from goldennoise.data.prompts.prompt import Prompt, PromptsConfig
from goldennoise.data.prompts.readers import read_rows
from goldennoise.data.prompts.source import distinct_prompts, first
from goldennoise.data.shapes.captions import captions
from goldennoise.errors import ConfigError, DataError
from goldennoise.runtime.seeding import normalised
from goldennoise.store.paths import given_path

log = logging.getLogger(__name__)

Benchmarks = Mapping[str, PromptsConfig]
"""Published test sets in files, by name."""
NONE: Benchmarks = MappingProxyType({})


def without(prompts: Sequence[Prompt], held_out: Iterable[str]) -> list[Prompt]:
    """The prompts whose words are those of none of the held-out texts, in order."""
    forbidden = {_words(text) for text in held_out}
    return [prompt for prompt in prompts if _words(prompt.text) not in forbidden]


def _words(text: str) -> str:
    """A text as it is compared here: `normalised`, without invisible characters and the punctuation at its end."""
    visible = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    return normalised(visible).rstrip(" .,;:!?")


def load_training_prompts(
    config: PromptsConfig, num_prompts: int | None = None, benchmarks: Benchmarks = NONE
) -> tuple[list[Prompt], int]:
    """The first `num_prompts` prompts that may be trained on, and how many held-out ones were taken out of the set.

    Held out are the benchmark split of the shapes world and every prompt of the files `config.held_out`.
    Raises `ConfigError` for a benchmark itself, `DataError` for prompts of `benchmarks` among those that are left, and
    what `load_prompts` raises.
    """
    if config.kind == "shapes" and config.split == "benchmark":
        raise ConfigError(
            "prompts.split=benchmark: nothing may be trained on the benchmark prompts; use train or validation"
        )
    if config.benchmark:
        raise ConfigError(
            "prompts.benchmark=true: results are published on this set, so nothing may be trained on it; choose "
            "another, as in prompts=file prompts.path=FILE"
        )
    prompts = distinct_prompts(config)
    kept = without(prompts, _held_out_texts(config))
    if not kept:
        raise DataError(f"all {len(prompts)} prompts are held out; take the file out of prompts.held_out")
    num_held_out = len(prompts) - len(kept)
    if num_held_out and config.kind == "file":
        log.warning(
            "%s: left out %d of %d prompts, which are benchmark captions of the shapes world or in prompts.held_out",
            *(config.path, num_held_out, len(prompts)),
        )
    chosen = first(kept, num_prompts)
    if config.kind == "file":
        found = shared_with([prompt.text for prompt in chosen], benchmarks)
        files = [*config.held_out, *(str(benchmarks[name].path) for name in found)]
        refuse_shared(str(config.path), found, f"leave them out with prompts.held_out=[{','.join(files)}]")
    return chosen, num_held_out


def shared_with(texts: Iterable[str], benchmarks: Benchmarks) -> dict[str, list[str]]:
    """Name of a benchmark whose file is on this machine -> those of `texts` that are its prompts; none without any.

    Raises `DataError` for a file that is not the published set: it could hide a prompt.
    """
    of_text = {_words(text): text for text in texts}
    shared = {}
    for name, config in benchmarks.items():
        try:
            shared[name] = [of_text[text] for text in _texts(config) if text in of_text]
        except DataError as error:
            raise DataError(f"training prompts are compared with the benchmark {name}, but {error}") from None
    return {name: found for name, found in shared.items() if found}


def refuse_shared(source: str, found: Mapping[str, Sequence[str]], mend: str) -> None:
    """Raise `DataError` for prompts that `shared_with` found in a source of training prompts."""
    if not found:
        return
    num = len({text for texts in found.values() for text in texts})
    told = "; ".join(f"{len(texts)} of {name} ({shown(texts, 3)})" for name, texts in found.items())
    hold = "1 prompt of benchmarks" if num == 1 else f"{num} prompts of benchmarks"
    raise DataError(f"{source} holds {hold}, on which nothing may be trained: {told}; {mend}")


def _texts(config: PromptsConfig) -> list[str]:
    """As `_words` has them, of a benchmark; none where its file is not there. A line that is damaged has none."""
    path = given_path(config.path or "")
    if not path.exists():
        return []
    refuse_other_content(path, config)
    rows = read_rows(path, config.folder)
    numbered, _ = numbered_prompts(path, rows, replace(config, empty="refuse"))
    return list(dict.fromkeys(_words(prompt.text) for _, prompt in numbered if prompt is not None))


def _held_out_texts(config: PromptsConfig) -> list[str]:
    texts = list(_benchmark_texts())
    for path in config.held_out:
        # A published set is held out as it is: a repeated or empty prompt in it does no harm here, and a folder of one
        # text a file reads as one of lists.
        source = PromptsConfig("file", path=path, folder="lists", duplicates="keep_first", empty="leave_out")
        texts += [prompt.text for prompt in prompts_of_file(source)]
    return texts


@cache
def _benchmark_texts() -> tuple[str, ...]:
    return tuple(caption.text for caption in captions("benchmark"))
