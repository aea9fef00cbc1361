"""What is wrong with a command line, as one sentence with the full key, the value, what is allowed and the nearest.

What Hydra's grammar cannot read and is plain text, such as a path with an apostrophe, is put in quotes for it.
"""

import math
import re
import shlex
import types
from collections.abc import Iterable, Sequence
from typing import Any, Union, get_args, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, OverrideType, Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from goldennoise.config.files import options
from goldennoise.errors import ConfigError, GoldenNoiseError, nearest, one_line, shortened

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, ValueError, RecursionError)
"""What composing a command line raises; Hydra uses plain `ValueError` for some."""

MANY = ("scorer", "method")
"""Groups of which several options may be chosen."""
LONGEST = 10_000
"""Characters of an override: Hydra's parser takes seconds for more."""
LONGEST_OPTION = 200
"""Characters of the name of an option, which is a file."""
MOST_TOLD = 16
"""Options that a message lists."""
_PLUGINS = "; optuna and submitit are installed with uv pip install -e '.[sweeps]', ray with hydra-ray-launcher"
_TYPE_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def readable(overrides: Sequence[str], sweep: bool = False) -> list[str]:
    """The overrides in Hydra's grammar. sweep: whether commas separate the values of several runs.

    Raises `ConfigError` for what cannot be read, and for a group's value that is no option's name.
    """
    return [_readable(override, sweep) for override in overrides]


def _readable(override: str, sweep: bool) -> str:
    key, equal, value = override.partition("=")
    for text, limit, what in ((key, LONGEST_OPTION, "the name of an option"), (override, LONGEST, "an option")):
        if len(text) > limit:
            raise ConfigError(f"{shortened(override)}: {what} has at most {limit} characters, and this has {len(text)}")
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in override):
        raise ConfigError(f"{shortened(override)}: this has bytes that are no text; write it in UTF-8")
    if not key.strip("+~"):
        raise ConfigError(f"{shortened(override)}: this names no option; write KEY=VALUE")
    parsed = _parsed(override)
    is_text = parsed is None and equal != "" and value.lstrip()[:1] not in ("[", "{", "'", '"')
    if is_text or (parsed is not None and _is_respelt(parsed, value)):
        override = f"{key}={_quoted(value, sweep)}"
        parsed = _parsed(override)
    if parsed is None:
        raise ConfigError(_unreadable(override))
    if parsed.is_sweep_override() and not sweep:
        raise ConfigError(_several(override, parsed))
    _check_choice(parsed)
    return override


def _parsed(override: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(override)
    except (HydraException, ValueError, RecursionError):
        return None


def _is_respelt(parsed: Override, value: str) -> bool:
    """Whether Hydra reads a number that is spelt otherwise than `value`, as 2026 for 20_26: no name, but good as text.

    A number's option takes the text too.
    """
    number = None if parsed.is_sweep_override() or parsed.key_or_group.startswith("hydra") else parsed.value()
    return type(number) in (int, float) and str(number) != value


def _quoted(text: str, sweep: bool = False) -> str:
    """Text in the quotes of Hydra's grammar, in a sweep each of the texts between commas."""
    return ",".join(QuotedString(part, Quote.double).with_quotes() for part in (text.split(",") if sweep else [text]))


def _unreadable(override: str) -> str:
    key, equal, value = override.partition("=")
    start = f"{shortened(override)}: this cannot be read as an option; "
    as_text = f"{key}={_quoted(value)}"
    if not equal or _parsed(as_text) is None:
        return f"{start}write KEY=VALUE"
    return f"{start}close its brackets and quotes, or put quotes around a text: {_to_type(key, value)}"


def _several(override: str, parsed: Override) -> str:
    """`override` has the values of several runs, and there is one."""
    key, _, value = override.partition("=")
    ways = ["-m, to run once with each"]
    is_group, choice = _is_group(parsed.key_or_group), parsed.value()
    takes_list = not is_group or parsed.key_or_group in MANY
    if takes_list and isinstance(choice, ChoiceSweep) and choice.simple_form:
        ways.append(f"brackets for a list: {shortened(key)}=[{shortened(value)}]")
    if not is_group:
        ways.append(f"quotes for a text: {_to_type(key, value)}")
    return f"{shortened(override)}: several values need {', or '.join(ways)}"


def _is_group(key: str) -> bool:
    """Whether an override of `key` chooses a file, of ours or as hydra/launcher is one."""
    return "/" in key or key == "hydra" or bool(options(key))


def _to_type(key: str, text: str) -> str:
    """How a shell takes an option whose value is `text`."""
    typed = f"{key}={_quoted(text)}"
    return shlex.quote(typed) if len(typed) <= 200 and typed.isprintable() else f"'{key}=\"TEXT\"'"


def _check_choice(override: Override) -> None:
    """Raise `ConfigError` for a value of a group that Hydra has no sentence for: numbers, lists, overlong names."""
    group = override.key_or_group
    known = options(group)
    if not _is_group(group) or override.is_delete():
        return
    text = shortened(override.input_line)
    if known and override.type != OverrideType.CHANGE and not isinstance(override.value(), dict):
        how = f"{group}=[OPTION,OPTION]" if group in MANY else f"{group}=OPTION"
        raise ConfigError(f"{text}: {group} is chosen already; write {how}, without +")
    for value in _chosen(override):
        if isinstance(value, dict) and group != "experiment":
            continue
        if isinstance(value, list) and group not in MANY:
            raise ConfigError(f"{text}: {group} takes one option; {_choices('', known)}")
        for name in value if isinstance(value, list) else [value]:
            if name == "???":
                raise ConfigError(f"{group} is not set: give it with {group}=OPTION; {_choices('', known)}")
            if not isinstance(name, str) or len(name) > LONGEST_OPTION or "${" in name:
                raise ConfigError(unknown_choice(group, name, known))


def _chosen(override: Override) -> list[Any]:
    """The value, or those of a sweep, as plain Python."""
    value = override.value()
    if not isinstance(value, ChoiceSweep):
        return [value]
    return [Override._convert_value(part) for part in value.list]


def as_sentence(error: BaseException, overrides: Sequence[str] = ()) -> str:
    """One sentence for one of `COMPOSITION_ERRORS`; `overrides` are where the value is looked up."""
    if isinstance(error, RecursionError):
        return "the options refer to each other in a circle, or are nested too deeply"
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if (ours := _ours(error)) is not None:
        return str(ours)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and "/" in error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.partition("/")
        if not options(group):
            group, _, option = error.missing_cfg_file.rpartition("/")
        own = f"; for a file of your own write prompts=file prompts.path={_short(option)}"
        further = {"prompts": own, "hydra/sweeper": _PLUGINS, "hydra/launcher": _PLUGINS}.get(group, "")
        return unknown_choice(group, option, options(group) or error.options or []) + further
    if isinstance(cause, MissingMandatoryValue) and cause.full_key:
        return not_set(cause.full_key)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        beside = cause.parent_node if isinstance(cause.parent_node, DictConfig) else OmegaConf.create()
        known = [str(key) for key in beside]
        if (group := cause.full_key) in MANY:
            return f"{group}: none is chosen; choose with {group}=[OPTION], {_choices('', options(group))}"
        sentence = unknown_option(cause.full_key, _value_of(cause.full_key, overrides), known)
        return sentence + _one_level_down(cause.full_key, beside)
    return _left_out(overrides) or _one_line(error, cause)


def _ours(error: BaseException | None) -> GoldenNoiseError | None:
    """What a resolver of ours raised, which OmegaConf and Hydra wrap in errors of theirs."""
    while error is not None:
        below = error.__cause__ or error.__context__
        if isinstance(error, InterpolationResolutionError) and isinstance(below, GoldenNoiseError):
            return below
        error = below
    return None


def _one_level_down(key: str, beside: DictConfig) -> str:
    """A hint if the unknown `key` is known inside one of the groups beside it, as images is in stage."""
    groups = OmegaConf.to_container(beside, resolve=False)
    assert isinstance(groups, dict)
    found = [f"{group!s}.{key}" for group, part in groups.items() if isinstance(part, dict) and key in part]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _left_out(overrides: Sequence[str]) -> str | None:
    """The sentence for a group that is left out and needed."""
    for override in overrides:
        group = override.lstrip("~").partition("=")[0]
        if override.startswith("~") and options(group):
            return f"{_short(override)}: {group} cannot be left out; {_choices('', options(group))}"
    return None


def _one_line(error: BaseException, cause: BaseException | None) -> str:
    """The words of Hydra and OmegaConf, without their own bookkeeping."""
    said = "; ".join(dict.fromkeys(str(part) for part in (error, cause) if part is not None))
    if there := re.search(r"An item is already at '(.+?)'", said):
        return f"{_short(there[1])} is there already: write {_short(there[1])}=VALUE, without +"
    if gone := re.search(r"Could not delete from config\. '(.+?)' does not exist", said):
        return f"~{_short(gone[1])}: there is nothing of this name to leave out"
    said = re.sub(r"(?m)^\s*(full_key:|object_type=|reference_type=|See http).*", "", said)
    said = re.sub(r"\w+Error raised while resolving interpolation: | expecting \{[^}]*\}", "", said)
    said = re.sub(r"\S{100,}", lambda word: shortened(word[0]), said)
    said = re.sub(r"[.\s]*\n\s*|\. +(?=[A-Z])", "; ", said).strip().rstrip("; .")
    key = getattr(cause, "full_key", None)
    return one_line(f"{_short(key)}: {said}" if key else said, 590)


def not_set(full_key: str) -> str:
    """`full_key` has no value, and no default."""
    key = _short(full_key.partition("[")[0])
    return f"{key} is not set: give it with {key}=VALUE"


def unknown_option(full_key: str, value: object, known: Iterable[str]) -> str:
    """`full_key` does not exist beside the options `known`."""
    parent, _, name = full_key.rpartition(".")
    start = f"{_short(full_key)}={_short(value)}"
    parent, name = _short(parent) if parent else "", _short(name)
    if parent and not known:
        return f"{start}: {parent} has no options of its own; set it with {parent}=VALUE"
    prefix = f"{parent}." if parent else ""
    return f"{start}: there is no option {name}{f' in {parent}' if parent else ''}; {_choices(name, known, prefix)}"


def unknown_choice(full_key: str, value: object, known: Iterable[str]) -> str:
    """`value` is not among the choices `known`."""
    key = _short(full_key)
    return f"{key}={_short(value)}: there is no such {key.rpartition('.')[2]}; {_choices(_short(value), known)}"


def must_be(full_key: str, value: object, hint: Any) -> str:
    """`value` has another type than `hint`."""
    return f"{_short(full_key)}={_short(value)}: {_short(full_key.rpartition('.')[2])} must be {_words(hint)}"


def refuse_number(key: str, value: object) -> None:
    """Raise `ConfigError` for a number that is not finite, or too large; lists and mappings have parts.

    A seed has 64 bits. No size or count of what fits into a machine has more than 32.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(must_be(key, value, "a finite number"))
    bits = 63 if key.rpartition(".")[2] == "seed" else 31
    if isinstance(value, int) and abs(value) >= 2**bits:
        raise ConfigError(must_be(key, value, f"a whole number below 2**{bits}"))
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        refuse_number(key, part)


def _choices(wrong: str, known: Iterable[str], prefix: str = "") -> str:
    names = sorted(known)
    told = ", ".join(names[:MOST_TOLD]) + (f", ... (--help lists all {len(names)})" if names[MOST_TOLD:] else "")
    return f"choose from {told or 'nothing'}{nearest(wrong, names, prefix)}"


def _value_of(full_key: str, overrides: Sequence[str]) -> str:
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key == full_key:
            return value
        if key.startswith(f"{full_key}."):
            return f"{{{key.removeprefix(full_key)[1:]}: {value}}}"
    return ""


def _short(value: object) -> str:
    return "null" if value is None else shortened(value)


def _words(hint: Any) -> str:
    if isinstance(hint, str):
        return hint
    parts = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_words(part) for part in parts)
    if get_origin(hint) in (list, tuple):
        return f"a list of values that are each {_words(parts[0])}"
    if get_origin(hint) is dict and parts[1] is Any:
        return "a mapping of names to values"
    if get_origin(hint) is dict:
        return f"a mapping of names to values that are each {_words(parts[1])}"
    return _TYPE_WORDS.get(hint, "a mapping")
