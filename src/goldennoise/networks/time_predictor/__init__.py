"""The network that predicts a sampler's next noise level: the time prediction module of TPDM (arXiv 2412.01243).

It predicts no noise, so `npnet=` does not have it. Imports no torch.
"""

from dataclasses import dataclass

from goldennoise.store.options import FINITE, Options, either, number, option

LAYOUTS = ("raster", "published")
"""Of the tokens of a transformer as an image: row by row, or as the published code of Stable Diffusion 3 reads them."""


@dataclass(frozen=True)
class TimePredictorConfig(Options):
    """Sizes of `network.TimePredictor`, and the schedule that it predicts before it has learnt anything."""

    width: int = option(1, number(least=1))
    """D: channels of the first and of the last features of the denoiser, and of its time embedding."""
    init_alpha: float = option(2.5, FINITE)
    """Bias a of alpha = 1 + exp(a), as in the published launch script."""
    init_beta: float = option(1.0, FINITE)
    """Bias b of beta = 1 + exp(b). The mode of the ratio is then sigmoid(a - b), 0.8176 with the defaults."""
    layout: str = option("raster", either(*LAYOUTS))
    """How tokens lie in the image that the network reads, of `LAYOUTS`; "published" is for imported weights."""
