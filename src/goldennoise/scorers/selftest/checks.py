"""What is checked of one scorer: finite, alone as in a batch, with a gradient, and as the known values say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from goldennoise.data.images import read_image
from goldennoise.data.prompts import Prompt
from goldennoise.errors import ScorerError
from goldennoise.scorers.batch import Canary, score_batch
from goldennoise.scorers.protocol import Scorer

FOLDER = Path(__file__).parent
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """images: (B, 3, 64, 64) in [0, 1]; right, wrong: of each image a prompt that it shows, and one that it does not.

    called: the images' names.
    """

    images: Tensor
    right: Sequence[Prompt]
    wrong: Sequence[Prompt]
    called: Sequence[str]


def examples() -> Examples:
    """Renders of the shapes world; each prompt also has what GenEval asks for, whose scorer reads it."""
    rows = yaml.safe_load((FOLDER / "examples.yaml").read_text("utf-8"))
    task = {"tag": "single_object", "include": [{"class": "sports ball", "count": 1}]}
    right, wrong = ([Prompt.of(row[key], metadata=task) for row in rows] for key in ("right", "wrong"))
    names = [row["image"] for row in rows]
    pixels = np.stack([read_image(FOLDER / "images" / name) for name in names])
    return Examples(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), right, wrong, names)


def check(name: str, scorer: Scorer, tolerance: float) -> str:
    """What was found, in words. tolerance: of a score alone against the same in a batch, relative above 1.

    Raises `ScorerError` for the first thing that is wrong.
    """
    given = examples()
    right = score_batch({name: scorer}, given.images, given.right, given.called)
    Canary({name: scorer})(given.images, right, given.called)
    wrong = score_batch({name: scorer}, given.images, given.wrong, given.called)
    found = ["finite, alone as in a batch"]
    _refuse_other_alone(name, scorer, given, right[name], tolerance)
    if scorer.differentiable:
        _refuse_no_gradient(name, scorer, given)
        found.append("with a gradient")
    return ", ".join([*found, *_as_known(name, scorer, right[name], wrong[name])])


def _refuse_other_alone(name: str, scorer: Scorer, given: Examples, together: Scores, tolerance: float) -> None:
    for place, called in enumerate(given.called):
        one = slice(place, place + 1)
        alone = score_batch({name: scorer}, given.images[one], given.right[one], [called])[name][0]
        if abs(alone - together[place]) > tolerance * max(1.0, abs(alone)):
            raise ScorerError(
                f"scorer {name} gives {called} {alone:g} alone and {together[place]:g} in a batch: a score must not "
                "depend on the images beside it"
            )


def _refuse_no_gradient(name: str, scorer: Scorer, given: Examples) -> None:
    images = given.images.clone().requires_grad_()
    scores = scorer.score(images, given.right)
    if scores.requires_grad:
        scores.sum().backward()
    if images.grad is None or not bool(images.grad.isfinite().all()) or not bool(images.grad.any()):
        raise ScorerError(f"scorer {name} says that it is differentiable, and its images get no finite gradient")


def _as_known(name: str, scorer: Scorer, right: Scores, wrong: Scores) -> list[str]:
    """What the known values say. Raises `ScorerError` for a score that differs from its value."""
    known: dict[str, Any] | None = yaml.safe_load((FOLDER / "values.yaml").read_text("utf-8")).get(scorer.name)
    above = int(((right > wrong) if scorer.higher_is_better is not False else (right < wrong)).sum())
    order = [f"right prompt above wrong one: {above} of {len(right)}"] if (right != wrong).any() else []
    if known is None or known["version"] != scorer.version:
        return [*order, "no value is known" if known is None else f"no value is known of version {scorer.version}"]
    if known["right_above_wrong"] and above < len(right):
        raise ScorerError(
            f"scorer {name} scores the right prompt above a wrong one in {above} of {len(right)} images, not in all"
        )
    for what, found in (("right", right), ("wrong", wrong)):
        off = np.abs(found - np.array(known[what]))
        if off.max() > known["tolerance"]:
            place = int(off.argmax())
            raise ScorerError(
                f"scorer {name} gives {found[place]:g} to image {place} with its {what} prompt, and the known value is "
                f"{known[what][place]:g} (tolerance {known['tolerance']:g}; {known['source']})"
            )
    return [*order, "known values met"]
