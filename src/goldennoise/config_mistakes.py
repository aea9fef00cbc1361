"""What Hydra and OmegaConf object to, as one sentence with the full key, the value, what is allowed and the nearest."""

import difflib
import re
import types
from collections.abc import Iterable, Sequence
from typing import Any, Union, get_args, get_origin

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from goldennoise.conf_files import options

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, ValueError)
"""What composing a command line raises; Hydra uses plain `ValueError` for some."""

_TYPE_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def as_sentence(error: Exception, overrides: Sequence[str] = ()) -> str:
    """One sentence for one of `COMPOSITION_ERRORS`; `overrides` are where the value is looked up."""
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override}: this cannot be read as an option; write KEY=VALUE, and put quotes around a value with "
            "spaces, commas, brackets or '='"
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and "/" in error.missing_cfg_file:
        if error.missing_cfg_file.startswith("prompts/"):
            # The name of a file has slashes and dots of its own.
            path = error.missing_cfg_file.removeprefix("prompts/")
            sentence = unknown_choice("prompts", path, options("prompts"))
            return f"{sentence}; for a file of your own write prompts=file prompts.path={path}"
        group, _, option = error.missing_cfg_file.rpartition("/")
        return unknown_choice(group, option, error.options or options(group))
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        beside = cause.parent_node if isinstance(cause.parent_node, DictConfig) else OmegaConf.create()
        known = [str(key) for key in beside]
        sentence = unknown_option(cause.full_key, _value_of(cause.full_key, overrides), known)
        return sentence + _one_level_down(cause.full_key, beside)
    return _known_message(str(error), overrides) or _one_line(error, cause)


def _one_level_down(key: str, beside: DictConfig) -> str:
    """A hint if the unknown `key` is known inside one of the groups beside it, as images is in stage."""
    groups = OmegaConf.to_container(beside, resolve=False)
    assert isinstance(groups, dict)
    found = [f"{group!s}.{key}" for group, part in groups.items() if isinstance(part, dict) and key in part]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _known_message(message: str, overrides: Sequence[str]) -> str | None:
    """Mistakes that Hydra tells apart by its words only."""
    several = re.search(r"argument '([^']+)'|parameters '([^']+)'", message)
    if several is not None:
        key, _, value = (several[1] or several[2]).partition("=")
        return f"{key}={value}: several values need -m, to run once with each, or brackets for a list: {key}=[{value}]"
    for override in overrides:
        group, _, value = override.lstrip("+~").partition("=")
        if not options(group):
            continue
        if override.startswith("+") and "Multiple values" in message:
            return f"{override}: {group} is chosen already; write {group}=OPTION, without +"
        if override.startswith("~"):
            return f"{override}: {group} cannot be left out; {_choices('', options(group))}"
        if value not in options(group) and "must be a string or a list" in message:
            return unknown_choice(group, value, options(group))
    return None


def _one_line(*parts: BaseException | None) -> str:
    words = [" ".join(str(part).split()) for part in parts if part is not None]
    return "; ".join(dict.fromkeys(text for text in words if text))


def unknown_option(full_key: str, value: object, known: Iterable[str]) -> str:
    """`full_key` does not exist beside the options `known`."""
    parent, _, name = full_key.rpartition(".")
    start = f"{full_key}={_short(value)}"
    if parent and not known:
        return f"{start}: {parent} has no options of its own; set it with {parent}=VALUE"
    prefix = f"{parent}." if parent else ""
    return f"{start}: there is no option {name}{f' in {parent}' if parent else ''}; {_choices(name, known, prefix)}"


def unknown_choice(full_key: str, value: str, known: Iterable[str]) -> str:
    """`value` is not among the choices `known`."""
    return f"{full_key}={_short(value)}: there is no such {full_key.rpartition('.')[2]}; {_choices(value, known)}"


def must_be(full_key: str, value: object, hint: Any) -> str:
    """`value` has another type than `hint`."""
    return f"{full_key}={_short(value)}: {full_key.rpartition('.')[2]} must be {_words(hint)}"


def _choices(wrong: str, known: Iterable[str], prefix: str = "") -> str:
    names = sorted(known)
    near = difflib.get_close_matches(wrong, names, n=1)
    return f"choose from {', '.join(names) or 'nothing'}" + (f"; did you mean {prefix}{near[0]}?" if near else "")


def _value_of(full_key: str, overrides: Sequence[str]) -> str:
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key == full_key:
            return value
        if key.startswith(f"{full_key}."):
            return f"{{{key.removeprefix(full_key)[1:]}: {value}}}"
    return ""


def _short(value: object, limit: int = 80) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def _words(hint: Any) -> str:
    parts = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_words(part) for part in parts)
    if get_origin(hint) in (list, tuple):
        return f"a list of values that are each {_words(parts[0])}"
    if get_origin(hint) is dict:
        return f"a mapping of names to values that are each {_words(parts[1])}"
    return _TYPE_WORDS.get(hint, "a mapping")
