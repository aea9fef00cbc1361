"""What something is measured on is never collected from: training and benchmark prompts do not overlap."""

from collections.abc import Iterable, Sequence
from functools import cache

from goldennoise.data.prompts.files import prompts_of_file
from goldennoise.data.prompts.prompt import Prompt, PromptsConfig
from goldennoise.data.prompts.source import distinct_prompts, first
from goldennoise.data.shapes.captions import captions
from goldennoise.errors import ConfigError, DataError
from goldennoise.runtime.seeding import normalised


def without(prompts: Sequence[Prompt], held_out: Iterable[str]) -> list[Prompt]:
    """The prompts whose normalised text is none of the held-out texts, in order."""
    forbidden = {normalised(text) for text in held_out}
    return [prompt for prompt in prompts if normalised(prompt.text) not in forbidden]


def load_training_prompts(config: PromptsConfig, num_prompts: int | None = None) -> tuple[list[Prompt], int]:
    """The first `num_prompts` prompts that may be trained on, and how many held-out ones were taken out of the set.

    Held out are the benchmark split of the shapes world and every prompt of the files `config.held_out`.
    Raises `ConfigError` for the benchmark split itself, and what `load_prompts` raises.
    """
    if config.kind == "shapes" and config.split == "benchmark":
        raise ConfigError(
            "prompts.split=benchmark: nothing may be trained on the benchmark prompts; use train or validation"
        )
    prompts = distinct_prompts(config)
    kept = without(prompts, _held_out_texts(config))
    if not kept:
        raise DataError(f"all {len(prompts)} prompts are held out; take the file out of prompts.held_out")
    return first(kept, num_prompts), len(prompts) - len(kept)


def _held_out_texts(config: PromptsConfig) -> list[str]:
    texts = list(_benchmark_texts())
    for path in config.held_out:
        # A published set is held out as it is: a repeated or empty prompt in it does no harm here.
        source = PromptsConfig("file", path=path, duplicates="keep_first", empty="leave_out")
        texts += [prompt.text for prompt in prompts_of_file(source)]
    return texts


@cache
def _benchmark_texts() -> tuple[str, ...]:
    return tuple(caption.text for caption in captions("benchmark"))
