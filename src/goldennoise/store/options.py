"""Options of Configs: what each allows is declared beside its default, and checked when the Config is made."""

import math
import operator
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_args

from goldennoise.errors import require

_BOUNDS = {
    "least": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "most": ("at most", operator.le),
    "below": ("below", operator.lt),
}


@dataclass(frozen=True)
class Check:
    """What an option allows: values for which `allows` gives something true.

    words: end the message "path must be ...". shown: how the message writes the value.
    """

    allows: Callable[[Any], object]
    words: str
    shown: Callable[[Any], str] = str


FINITE = Check(math.isfinite, "a finite number")
POSITIVE = Check(lambda number: 0 < number < math.inf, "a finite number above 0")
NOT_NEGATIVE = Check(lambda number: 0 <= number < math.inf, "a finite number >= 0")


def number(**bounds: float) -> Check:
    """A number within `bounds`: least, above, most, below."""
    words = " and ".join(f"{_BOUNDS[name][0]} {bound}" for name, bound in bounds.items())
    return Check(lambda value: all(_BOUNDS[name][1](value, bound) for name, bound in bounds.items()), words)


def one_of(*names: str) -> Check:
    """One of `names`, which the message lists."""
    return Check(names.__contains__, f"one of {', '.join(names)}")


def either(*names: str) -> Check:
    """The same for a few: "refuse or allow"."""
    return Check(names.__contains__, f"{', '.join(names[:-1])} or {names[-1]}")


def filled(words: str) -> Check:
    """A text that is not empty. words: what it names, such as "a folder"."""
    return Check(bool, words, repr)


def option(default: Any = MISSING, check: Check | None = None, *, identity: bool | str = True) -> Any:
    """`dataclasses.field` of a Config that derives from `Options`.

    check: None allows all values of the type. identity: False for an option that decides no content: how, where or in
    which pieces work is done. "unless default" for one that was added later: what was made without it stays the same.
    """
    return field(default=default, metadata={"check": check, "identity": identity})


class Options:
    """Base of Configs. A class that gives an option another default keeps the check of its base."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for the first value that is not allowed; null is where the type of the option has it."""
        for one in fields(self):  # type: ignore[arg-type]
            check, value = _check_of(type(self), one.name), getattr(self, one.name)
            has_null = "None" in one.type if isinstance(one.type, str) else type(None) in get_args(one.type)
            if check is not None and not (value is None and has_null):
                words = f"null or {check.words}" if has_null else check.words
                require(bool(check.allows(value)), one.name, check.shown(value), words)


def _check_of(config: type, name: str) -> Check | None:
    declared = [getattr(base, "__dataclass_fields__", {}).get(name) for base in config.__mro__]
    checks = (one.metadata.get("check") for one in declared if one is not None)
    return next((check for check in checks if check is not None), None)
