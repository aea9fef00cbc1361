"""From a config to prompts."""

from collections.abc import Sequence
from functools import cache

from goldennoise.data.prompts.defects import shown
from goldennoise.data.prompts.files import prompts_of_file
from goldennoise.data.prompts.prompt import Prompt, PromptsConfig
from goldennoise.data.shapes.captions import benchmark, captions, with_tones
from goldennoise.errors import ConfigError, DataError


def load_prompts(config: PromptsConfig, num_prompts: int | None = None) -> list[Prompt]:
    """The first `num_prompts` prompts of the set (None: all), each text once, always in the same order.

    The benchmark split is `shapes.captions.benchmark()`; the other splits are whole, shuffled by a fixed seed, with
    the kinds taking turns. Raises `DataError` for a file that cannot be read as it is or a category that is not
    there, `ConfigError` when the set has fewer than `num_prompts` or would repeat prompts.
    """
    return first(distinct_prompts(config), num_prompts)


def distinct_prompts(config: PromptsConfig) -> list[Prompt]:
    """Every prompt of the set once; `ConfigError` if the config would repeat prompts."""
    if config.duplicates == "keep":
        raise ConfigError(
            "prompts.duplicates=keep: this stage tells prompts apart by their text, so none may be repeated; choose "
            "refuse or keep_first"
        )
    return all_prompts(config)


def all_prompts(config: PromptsConfig) -> list[Prompt]:
    """The prompts of the set, of `config.category` if that is given; repeated only with `duplicates` "keep"."""
    prompts = prompts_of_file(config) if config.kind == "file" else _of_the_world(config)
    return of_category(prompts, config.category)


def of_category(prompts: list[Prompt], category: str | None) -> list[Prompt]:
    """Those of this category, None for all. Raises `DataError` with the categories there are if no prompt has it."""
    if category is None:
        return prompts
    chosen = [prompt for prompt in prompts if prompt.category == category]
    if not chosen:
        known = shown(sorted({prompt.category for prompt in prompts}))
        raise DataError(f"prompts.category={shown([category])} is not among the categories there: {known}")
    return chosen


def _of_the_world(config: PromptsConfig) -> list[Prompt]:
    prompts = shapes_prompts(config.split)
    if not config.tones:
        return list(prompts)
    return [Prompt.of(text, prompt.category) for prompt in prompts for text in with_tones(prompt.text)]


@cache
def shapes_prompts(split: str) -> tuple[Prompt, ...]:
    """Prompts of a split of the shapes world, category = kind of caption."""
    chosen = benchmark() if split == "benchmark" else benchmark(len(captions(split)), split)
    return tuple(Prompt.of(caption.text, caption.kind) for caption in chosen)


def first(prompts: Sequence[Prompt], num_prompts: int | None) -> list[Prompt]:
    """The first `num_prompts`, None for all; `ConfigError` if there are fewer."""
    if num_prompts is not None and num_prompts > len(prompts):
        raise ConfigError(
            f"stage.num_prompts={num_prompts}: the prompt set has {len(prompts)}; set that many at most, or null"
        )
    return list(prompts[:num_prompts])
