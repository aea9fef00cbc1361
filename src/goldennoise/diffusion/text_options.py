"""Arguments of a pipeline's call that change what its text encoders give, as golden noise takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from goldennoise.errors import ConfigError, require

TextOptions = Mapping[str, Any]
"""Name -> value as `read_options` gives it: texts in lists, what the pipeline takes for "not given" left out."""

INSTRUCTION = "complex_human_instruction"


def read_options(given: Mapping[str, Any], taken: Sequence[str], call: str, num_prompts: int) -> TextOptions:
    """The options of a call, checked. taken: those of the pipeline that have a meaning here; call: as messages name it.

    Raises `ConfigError` for an option that is not taken, by its name, and for a value that the pipeline cannot take.
    """
    for name in given:
        if name not in taken:
            others = f"of the pipeline's own options it takes {', '.join(taken) or 'none'}"
            raise ConfigError(f"{call} takes no {name}: {others}")
    read: dict[str, Any] = {}
    for name, value in given.items():
        if name == INSTRUCTION:
            fits = not value or (isinstance(value, list | tuple) and all(isinstance(line, str) for line in value))
            require(fits, name, repr(value), "a list of texts, or None for no instruction")
            read[name] = value or []
        elif name in ("clip_skip", "max_sequence_length"):
            least = int(name == "max_sequence_length")
            fits = value is None or (type(value) is int and value >= least)
            require(fits, name, repr(value), f"None or a whole number, at least {least}")
            if value is not None:
                read[name] = value
        elif value:
            read[name] = _texts(name, value, num_prompts)
    return read


def of_negative(options: TextOptions) -> TextOptions:
    """What holds for the negative prompt: its further texts, and the length; layers are skipped for prompts alone."""
    texts = {name.removeprefix("negative_"): value for name, value in options.items() if name.startswith("negative_")}
    return texts | {name: value for name, value in options.items() if name == "max_sequence_length"}


def _texts(name: str, value: Any, num_prompts: int) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    negative = name.startswith("negative_")
    fits = isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts)
    fits = fits and (isinstance(value, str) if negative else len(texts) == num_prompts)
    allowed = "one text for all prompts" if negative else f"one text for each of the {num_prompts} prompts"
    require(fits, name, repr(value), allowed)
    return list(texts)
