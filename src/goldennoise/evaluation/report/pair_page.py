"""The page of pairs: cards with both images of a pair, which a visitor sorts and filters."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from goldennoise.evaluation.report.grids import embedded
from goldennoise.evaluation.report.numbers import signed
from goldennoise.evaluation.report.page import environment
from goldennoise.evaluation.report.results import readable
from goldennoise.generation.pair_images import SIDES, image_file


@dataclass(frozen=True)
class Card:
    """One pair. images: data URIs of source and golden. scores: lines below them."""

    prompt: str
    kind: str
    seed: int
    gain: float
    gain_shown: str
    kept: bool
    images: Sequence[str]
    scores: Sequence[str]


def pair_page(
    folder: Path, title: str, told: str, index: pd.DataFrame, rows: Sequence[int], preference: str | None
) -> str:
    """The HTML page of the pairs in `rows` of an index, in their order. folder: of their images. told: its heading.

    preference: the scorer that gave the gains; None where nothing filtered the pairs.
    """
    cards = [_card(folder, index.iloc[row], row) for row in rows]
    kinds = sorted({card.kind for card in cards})
    template = environment().get_template("pairs.html")
    return template.render(title=title, told=told, cards=cards, kinds=kinds, preference=preference, total=len(index))


def _card(folder: Path, pair: pd.Series, row: int) -> Card:
    names = [name.removesuffix("_source") for name in pair.index if name.endswith("_source")]
    scores = [f"{name} {pair[f'{name}_source']:.4g} → {pair[f'{name}_golden']:.4g}" for name in names]
    images = [embedded(image_file(folder, row, side)) for side in SIDES]
    gain = float(pair["gain"])
    kind = readable(pair["category"])
    return Card(pair["prompt"], kind, int(pair["seed"]), gain, signed(gain, 3), bool(pair["kept"]), images, scores)
