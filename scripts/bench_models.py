"""Full-size text-to-image models with random weights: seconds, memory, and what NPNet adds to an image.

`python scripts/bench_models.py sdxl pixart_sigma` builds the denoiser, the VAE and NPNet in their published sizes, bf16
(NPNet fp32), on the GPU if there is one, and prints for a batch of one at 1024 px: seconds of one guided evaluation
of the denoiser, its FLOP and the FLOP/s reached, seconds of decoding and of NPNet, NPNet's share of an image, and the
peak memory. Text encoders, which run once a prompt, are left out. Medians over the rounds.
`--peak-tflops 989` also prints the share of that peak, here an H200's in dense bf16.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from goldennoise import diffusion
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.npnet.config import ArchitectureConfig, NPNetConfig
from goldennoise.npnet.network import seeded_npnet

NUM_ROUNDS = 3
GUIDANCE = 5.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+", choices=sorted(MODELS))
    parser.add_argument("--peak-tflops", type=float)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in arguments.models:
        measure(name, MODELS[name], device, arguments.peak_tflops)


@dataclass(frozen=True)
class FullSize:
    """text: tokens and width of the prompt embeddings; extra: what else the denoiser is told, by name, for one row."""

    make: Callable[[], object]
    num_steps: int
    text: tuple[int, int]
    extra: dict[str, Tensor]


@torch.no_grad()
def measure(name: str, full_size: FullSize, device: torch.device, peak_tflops: float | None) -> None:
    torch.set_default_dtype(torch.bfloat16)
    pipe = full_size.make()
    torch.set_default_dtype(torch.float32)
    model = diffusion.from_pipeline(pipe.to(device))  # type: ignore[attr-defined]
    latents = torch.randn(1, *model.latent_shape, device=device, dtype=model.dtype)
    text = torch.randn(1, *full_size.text, device=device, dtype=model.dtype)
    extra = {key: part.to(device) for key, part in full_size.extra.items()}
    embedding = PromptEmbedding(text, text, extra | {f"uncond_{key}": part for key, part in extra.items()})
    network = seeded_npnet(NPNetConfig(model.latent_shape, *full_size.text, ArchitectureConfig()), seed=0)
    network = network.eval().to(device)
    memory = _Memory(device)

    def evaluation() -> Tensor:
        return model.predict(latents, 1, embedding, GUIDANCE, full_size.num_steps)

    with FlopCounterMode(display=False) as counter:
        evaluation()
    tera_flop = counter.get_total_flops() / 1e12
    step_s = _median_s(evaluation, device)
    decode_s = _median_s(lambda: model.decode(latents), device)
    npnet_s = _median_s(lambda: network(latents.float(), text.float()), device)
    image_s = full_size.num_steps * step_s + decode_s
    rate = tera_flop / step_s
    share = f", {rate / peak_tflops:.0%} of {peak_tflops:g}" if peak_tflops else ""
    size = sum(weight.numel() for weight in model._network.parameters()) / 1e9
    print(f"{name}: {size:.2f} billion weights, latents {model.latent_shape}, {device}")
    print(f"  guided evaluation {step_s:.3f} s, {tera_flop:.1f} TFLOP, {rate:.2f} TFLOP/s{share}")
    print(f"  decoding {decode_s:.3f} s, NPNet {npnet_s:.3f} s: {npnet_s / image_s:.2%} of an image in ", end="")
    print(f"{full_size.num_steps} steps ({image_s:.1f} s); peak memory {memory.peak_gb():.1f} GB", flush=True)


def _median_s(run: Callable[[], Tensor], device: torch.device) -> float:
    seconds = []
    for _ in range(NUM_ROUNDS + 1):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


class _Memory:
    """Of the GPU, or of the whole process on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()

    def peak_gb(self) -> float:
        if self.on_gpu:
            return torch.cuda.max_memory_allocated() / 1e9
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _sdxl() -> object:
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
    absent = {name: nn.Identity() for name in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")}
    return StableDiffusionXLPipeline(
        vae=_vae(scaling_factor=0.13025), unet=unet, scheduler=_scheduler(), add_watermarker=False, **absent
    )


def _pixart_sigma() -> object:
    transformer = PixArtTransformer2DModel(sample_size=128, use_additional_conditions=False)
    return PixArtSigmaPipeline(
        vae=_vae(scaling_factor=0.13025),
        transformer=transformer,
        scheduler=_scheduler(),
        tokenizer=nn.Identity(),
        text_encoder=nn.Identity(),
    )


def _vae(scaling_factor: float) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=1024,
        scaling_factor=scaling_factor,
    )


def _scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, set_alpha_to_one=False,
        clip_sample=False,
    )  # fmt: skip


MODELS = {
    "sdxl": FullSize(_sdxl, 50, (77, 2048), {"pooled": torch.zeros(1, 1280, dtype=torch.bfloat16)}),
    "pixart_sigma": FullSize(_pixart_sigma, 20, (300, 4096), {"mask": torch.ones(1, 300, dtype=torch.long)}),
}


if __name__ == "__main__":
    main()
