"""Whether what a detector found in an image is what a prompt of GenEval demands: rules without any network.

Rules and thresholds are those of `evaluation/evaluate_images.py` of GitHub djghosh13/geneval, the evaluation of
arXiv 2310.11513, with its defaults. Its suppression of overlapping boxes is off by default (an overlap of 1.0 at most
is allowed, so nothing is suppressed) and is left out.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from goldennoise.scorers.geneval.tasks import Clause, Task

MIN_CONFIDENCE = 0.3
MIN_CONFIDENCE_COUNTING = 0.9
"""Only detections above these count. For counting the bar is higher, since there each false one is a mistake."""

MAX_OBJECTS = 16
"""Of each class, only so many of the most confident detections count."""

POSITION_SLACK = 0.1
"""Share of both objects' extents by which centres must lie further apart than zero to lie apart at all."""

MIN_DIRECTION = 0.5
MIN_OFFSET_PX = 1e-3


@dataclass(frozen=True)
class Detection:
    """An object a detector found. confidence: in [0, 1]; box_px: left, top, right, bottom, the last two exclusive.

    mask: (height, width) of the image, True on the object; what its colour is read from.
    """

    name: str
    confidence: float
    box_px: tuple[float, float, float, float]
    mask: NDArray[np.bool_] = field(compare=False, repr=False)


Colour = Callable[[Detection], str]
"""Names the colour of an object, one of `tasks.COLOURS`; called for objects whose colour decides."""


def is_right(task: Task, detections: Sequence[Detection], colour_of: Colour) -> bool:
    """Whether every clause of the task that must hold does, and none that must not."""
    found = _by_class(task, detections)
    chosen = [found[clause.name][: clause.count] for clause in task.include]
    for clause, objects in zip(task.include, chosen, strict=True):
        if len(objects) < clause.count or not _has_colour(clause, objects, colour_of):
            return False
        if clause.relation is not None and not _stands(clause.relation, objects, chosen[clause.target]):
            return False
    return all(len(found[clause.name]) < clause.count for clause in task.exclude)


def _by_class(task: Task, detections: Sequence[Detection]) -> dict[str, list[Detection]]:
    """The detections that count, the most confident first: clauses look at as many of those as they demand."""
    threshold = MIN_CONFIDENCE_COUNTING if task.tag == "counting" else MIN_CONFIDENCE
    found: dict[str, list[Detection]] = defaultdict(list)
    for detection in sorted(detections, key=lambda detection: -detection.confidence):
        if detection.confidence > threshold and len(found[detection.name]) < MAX_OBJECTS:
            found[detection.name].append(detection)
    return found


def _has_colour(clause: Clause, objects: Sequence[Detection], colour_of: Colour) -> bool:
    return clause.colour is None or all(colour_of(each) == clause.colour for each in objects)


def _stands(relation: str, objects: Sequence[Detection], targets: Sequence[Detection]) -> bool:
    return all(relation in relations(each, target) for each in objects for target in targets)


def relations(one: Detection, other: Detection) -> set[str]:
    """How `one` stands to `other`: left of or right of, above or below, both, or none where they overlap too much.

    The offset of the centres, less `POSITION_SLACK` of the sum of the extents along each axis, over the length of the
    whole offset: an axis counts where that exceeds `MIN_DIRECTION`. So objects that lie diagonally have both relations.
    """
    offsets = [_centre(one, axis) - _centre(other, axis) for axis in (0, 1)]
    apart = [
        math.copysign(max(abs(offset) - POSITION_SLACK * (_extent(one, axis) + _extent(other, axis)), 0), offset)
        for axis, offset in enumerate(offsets)
    ]
    if all(abs(distance) < MIN_OFFSET_PX for distance in apart):
        return set()
    x, y = (distance / math.hypot(*offsets) for distance in apart)
    holds = {
        "left of": x < -MIN_DIRECTION,
        "right of": x > MIN_DIRECTION,
        "above": y < -MIN_DIRECTION,
        "below": y > MIN_DIRECTION,
    }
    return {relation for relation, true in holds.items() if true}


def _centre(detection: Detection, axis: int) -> float:
    return (detection.box_px[axis] + detection.box_px[axis + 2]) / 2


def _extent(detection: Detection, axis: int) -> float:
    return detection.box_px[axis + 2] - detection.box_px[axis]
