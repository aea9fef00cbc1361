"""Full-size text-to-image models with random weights: seconds and memory by option, and what NPNet adds to an image.

`python scripts/bench_models.py sdxl pixart_sigma` builds the denoiser, the VAE and NPNet (float32) in their published
sizes, on the GPU if there is one, each option in a process of its own. For each it prints the seconds of one guided
evaluation of the denoiser, of decoding a batch of two and of NPNet, all medians over the rounds, and the peak memory:
allocated on the GPU, or of the process. Text encoders, which run once a prompt, are left out.
`--options` chooses among the rows, `--decoding-only` measures nothing else, for sizes at which denoisers take long, and
`--peak-tflops 989` also prints the share of that peak, here an H200's in dense bfloat16.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.pipeline import LatentPipeline
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.diffusion.setup import enable_tiling
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import build as seeded_npnet
from goldennoise.runtime.compute import ComputeConfig

GUIDANCE = 5.0
NUM_DECODED = 2


@dataclass(frozen=True)
class FullSize:
    """make: its pipeline, with networks that have shapes and no memory yet. text: tokens and width of the prompt
    embeddings. extra: shapes of what else the denoiser is told."""

    make: Callable[[], Any]
    num_steps: int
    text: tuple[int, int]
    extra: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Option:
    """num_images: evaluated at once. evaluates, decodes: whether that is measured; some options do not act on it."""

    dtype: torch.dtype = torch.bfloat16
    compute: dict[str, Any] = field(default_factory=dict)
    vae_tiling: bool = False
    num_images: int = 1
    evaluates: bool = True
    decodes: bool = True


@dataclass(frozen=True)
class Measured:
    evaluation_s: float | None
    decoding_s: float | None
    npnet_s: float | None
    peak_gb: float


@dataclass(frozen=True)
class Figures:
    """What follows from a measurement, None without it. Shares are of the seconds of an image and of the peak."""

    tera_flop_per_s: float | None
    images_per_s: float | None
    npnet_share: float | None
    peak_share: float | None


OPTIONS = {
    "model.dtype=bfloat16": Option(),
    "model.dtype=float32": Option(dtype=torch.float32),
    "bfloat16, compute.batch_size=8": Option(num_images=8, decodes=False),
    "bfloat16, compute.channels_last=true": Option(compute={"channels_last": True}),
    "bfloat16, compute.compile=true": Option(compute={"compile": True}, decodes=False),
    "bfloat16, compute.decode_batch_size=1": Option(compute={"decode_batch_size": 1}),
    "bfloat16, model.vae_tiling=true": Option(vae_tiling=True, evaluates=False),
    "bfloat16, compute.offload=true": Option(compute={"offload": True}),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+", choices=sorted(MODELS))
    parser.add_argument("--side", type=int, default=1024, help="of the image, in px")
    parser.add_argument("--rounds", type=int, default=3, help="after one that is not counted")
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=list(OPTIONS), metavar="OPTION")
    parser.add_argument("--decoding-only", action="store_true")
    parser.add_argument("--peak-tflops", type=float)
    arguments = parser.parse_args()
    for name in arguments.models:
        full_size = MODELS[name]
        size, tera_flop = work(full_size, arguments.side)
        print(
            f"{name}: {size:.2f} billion weights, random; a guided evaluation of one image of {arguments.side} px has"
        )
        print(f"{tera_flop:.1f} TFLOP; {where()}", flush=True)
        for text in arguments.options:
            option = OPTIONS[text]
            if option.compute.get("offload") and not torch.cuda.is_available():
                continue
            if arguments.decoding_only:
                option = replace(option, evaluates=False)
            with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
                measured = process.submit(measure, full_size, option, arguments.side, arguments.rounds).result()
            print(
                f"  {text}: {described(measured, option, tera_flop, full_size.num_steps, arguments.peak_tflops)}",
                flush=True,
            )


def figures(
    measured: Measured, option: Option, tera_flop: float, num_steps: int, peak_tflops: float | None = None
) -> Figures:
    """tera_flop: of a guided evaluation of one image. num_steps: of an image."""
    evaluation_s, decoding_s, npnet_s = measured.evaluation_s, measured.decoding_s, measured.npnet_s
    rate = None if evaluation_s is None else option.num_images * tera_flop / evaluation_s
    image_s = None
    if evaluation_s is not None and decoding_s is not None:
        image_s = num_steps * evaluation_s / option.num_images + decoding_s / NUM_DECODED
    return Figures(
        rate,
        None if image_s is None else 1 / image_s,
        None if image_s is None or npnet_s is None else npnet_s / option.num_images / image_s,
        None if rate is None or peak_tflops is None else rate / peak_tflops,
    )


def described(measured: Measured, option: Option, tera_flop: float, num_steps: int, peak_tflops: float | None) -> str:
    found = figures(measured, option, tera_flop, num_steps, peak_tflops)
    parts = []
    if measured.evaluation_s is not None:
        share = "" if found.peak_share is None else f", {found.peak_share:.0%} of peak"
        parts.append(f"evaluation {measured.evaluation_s:.3f} s ({found.tera_flop_per_s:.2f} TFLOP/s{share})")
    if measured.decoding_s is not None:
        parts.append(f"decoding {NUM_DECODED} images {measured.decoding_s:.3f} s")
    if measured.npnet_s is not None:
        parts.append(f"NPNet {measured.npnet_s:.3f} s")
    if found.images_per_s is not None and found.npnet_share is not None:
        parts.append(f"{found.images_per_s:.2g} images/s in {num_steps} steps, NPNet {found.npnet_share:.2%} of one")
    return ", ".join([*parts, f"peak memory {measured.peak_gb:.1f} GB"])


def work(full_size: FullSize, side_px: int) -> tuple[float, float]:
    """Billions of weights of the denoiser, and TFLOP of a guided evaluation, which shapes alone tell."""
    model = from_pipeline(full_size.make().to("meta"))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        evaluate(model, full_size, torch.empty(1, *model.shape_of(side_px, side_px), device="meta"))
    return sum(weight.numel() for weight in model._network.parameters()) / 1e9, counter.get_total_flops() / 1e12


@torch.no_grad()
def measure(full_size: FullSize, option: Option, side_px: int, num_rounds: int) -> Measured:
    compute = ComputeConfig(**option.compute)
    device = compute.torch_device()
    torch.manual_seed(0)
    pipe = full_size.make()
    denoiser = getattr(pipe, "unet", None) or pipe.transformer
    for network in (pipe.vae, denoiser):
        network.to(option.dtype).to_empty(device="cpu" if compute.offload else device).eval()
        if network is pipe.vae or option.evaluates:  # on the CPU weights that nobody touches take no memory
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.normal_(std=0.02)
    if option.vae_tiling:
        enable_tiling(pipe.vae)
    model = from_pipeline(pipe if compute.offload else pipe.to(device))
    model.run_with(compute, device)
    shape = model.shape_of(side_px, side_px)
    num = max(NUM_DECODED, option.num_images)
    latents = torch.randn(num, *shape, device=device, dtype=option.dtype)
    evaluation_s = decoding_s = npnet_s = None
    if option.evaluates:
        npnet = seeded_npnet(NPNetConfig(shape, *full_size.text, ArchitectureConfig()), seed=0).eval().to(device)
        text = torch.randn(1, *full_size.text, device=device)
        chosen = latents[: option.num_images]
        text = text.expand(len(chosen), -1, -1)
        evaluation_s = median_s(lambda: evaluate(model, full_size, chosen), num_rounds)
        npnet_s = median_s(lambda: npnet(chosen.float(), text), num_rounds)
    if option.decodes:
        decoding_s = median_s(lambda: model.decode(latents[:NUM_DECODED]), num_rounds)
    return Measured(evaluation_s, decoding_s, npnet_s, peak_gb())


def evaluate(model: LatentPipeline, full_size: FullSize, latents: Tensor) -> Tensor:
    parts = {"text": full_size.text, **full_size.extra}
    given = {
        key: torch.ones(len(latents), *shape, device=latents.device, dtype=model.dtype) for key, shape in parts.items()
    }
    text = given.pop("text")
    embedding = PromptEmbedding(text, text, given | {f"uncond_{key}": part for key, part in given.items()})
    return model.predict(latents, 1, embedding, GUIDANCE, full_size.num_steps)


def median_s(run: Callable[[], Tensor], num_rounds: int) -> float:
    seconds = []
    for _ in range(num_rounds + 1):
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def peak_gb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def where() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"


def sdxl() -> Any:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=128,
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )
    unused = {
        "text_encoder": encoder(),
        "text_encoder_2": encoder(),
        "tokenizer": Tokenizer(),
        "tokenizer_2": Tokenizer(),
    }
    return StableDiffusionXLPipeline(vae=vae(), unet=unet, scheduler=scheduler(), add_watermarker=False, **unused)


def pixart_sigma() -> Any:
    with torch.device("meta"):
        transformer = PixArtTransformer2DModel(sample_size=128, caption_channels=4096, use_additional_conditions=False)
    unused = {"text_encoder": encoder(), "tokenizer": Tokenizer()}
    return PixArtSigmaPipeline(vae=vae(), transformer=transformer, scheduler=scheduler(), **unused)


class Tokenizer:
    """In the place of one, which a pipeline needs."""


def encoder() -> CLIPTextModel:
    """A small one in the place of a text encoder."""
    return CLIPTextModel(CLIPTextConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1))


def vae() -> AutoencoderKL:
    with torch.device("meta"):
        return AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            sample_size=1024,
            scaling_factor=0.13025,
            force_upcast=False,
        )


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, set_alpha_to_one=False,
        clip_sample=False,
    )  # fmt: skip


MODELS = {
    "sdxl": FullSize(sdxl, 50, (77, 2048), {"pooled": (1280,)}),
    "pixart_sigma": FullSize(pixart_sigma, 50, (300, 4096), {"mask": (300,)}),
}


if __name__ == "__main__":
    main()
