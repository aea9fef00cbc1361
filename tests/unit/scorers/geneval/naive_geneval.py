"""GenEval's rules once more, from the reference's description: on raw metadata and arrays, clause by clause."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldennoise.scorers.geneval.rules import Detection

STEP = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
"""Relation -> axis and direction."""


def is_right(metadata: dict[str, Any], detections: Sequence[Detection], colours: Sequence[str]) -> bool:
    """metadata: a line of the published file. colours: of each detection."""
    names = np.array([each.name for each in detections], dtype=object)
    confidences = np.array([each.confidence for each in detections])
    boxes = np.array([each.box_px for each in detections]).reshape(-1, 4)
    counted = confidences > {"counting": 0.9}.get(metadata["tag"], 0.3)
    order = np.argsort(-confidences, kind="stable")

    def of(name: str) -> NDArray[np.intp]:
        return order[(names[order] == name) & counted[order]][:16]

    verdicts = []
    for clause in metadata["include"]:
        chosen = of(clause["class"])[: clause["count"]]
        verdicts.append(len(chosen) == clause["count"])
        if "color" in clause:
            verdicts.append(sum(colours[i] == clause["color"] for i in chosen) == clause["count"])
        if "position" in clause:
            relation, index = clause["position"]
            target = metadata["include"][index]
            for j in of(target["class"])[: target["count"]]:
                verdicts += [_related(relation, boxes[i], boxes[j]) for i in chosen]
    for clause in metadata.get("exclude", []):
        verdicts.append(len(of(clause["class"])) < clause["count"])
    return all(verdicts)


def _related(relation: str, one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    (from_one, to_one), (from_other, to_other) = one.reshape(2, 2), other.reshape(2, 2)
    offset = (from_one + to_one - from_other - to_other) / 2
    slack = 0.1 * (to_one - from_one + to_other - from_other)
    apart = np.clip(np.abs(offset) - slack, 0, None)
    axis, direction = STEP[relation]
    far_enough = bool((apart >= 1e-3).any()) and apart[axis] > 0.5 * np.sqrt((offset**2).sum())
    return far_enough and np.sign(offset[axis]) == direction
