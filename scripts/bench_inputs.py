"""What `stage.frozen_inputs` trades in the published sizes: SDXL at 1024 px, and NPNet with its published training.

Random weights, on the GPU if there is one. It prints medians over the rounds, after one that is not counted: seconds of
an optimiser step whose inputs are at hand, of the factors of the noises of its batch, and of the embeddings of its
prompts by SDXL's two text encoders. The last two are what `compute` adds to a step. Then it prints what `disk` writes
of each pair, and of each different prompt.
"""

import argparse

import torch
from bench_models import MODELS, median_s, where
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import build as seeded_npnet
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.training.engine.options import TrainingOptions

LATENTS = (4, 128, 128)
NUM_TOKENS, TEXT_DIM = MODELS["sdxl"].text
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch-size", type=int, default=TrainingOptions().batch_size, help="pairs of a step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--text-dtype", choices=DTYPES, default="float32", help="of the text encoders")
    arguments = parser.parse_args()
    if arguments.batch_size < 1 or arguments.rounds < 1:
        parser.error("--batch-size and --rounds are at least 1")
    num, dtype = arguments.batch_size, DTYPES[arguments.text_dtype]
    device = ComputeConfig().torch_device()
    torch.manual_seed(0)
    noise = torch.randn(num, *LATENTS, device=device)
    embeds = torch.randn(num, NUM_TOKENS, TEXT_DIM, device=device)
    network = seeded_npnet(NPNetConfig(LATENTS, NUM_TOKENS, TEXT_DIM, ArchitectureConfig()), seed=0).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=TrainingOptions().learning_rate)
    with torch.no_grad():
        frozen = network.frozen_inputs(noise)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = (network(noise, embeds, *frozen) - noise).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def factors() -> Tensor:
        return network.frozen_inputs(noise)[0]

    encoders = [encoder.to(device, dtype).eval() for encoder in text_encoders()]
    tokens = torch.randint(1000, (num, NUM_TOKENS), device=device)

    @torch.no_grad()
    def texts() -> Tensor:
        states = [encoder(tokens, output_hidden_states=True).hidden_states[-2] for encoder in encoders]
        return torch.cat(states, dim=-1)

    assert texts().shape == embeds.shape, "SDXL's embeddings"
    seconds = {"an optimiser step": median_s(step, arguments.rounds)}
    seconds["factors of its noises"] = median_s(factors, arguments.rounds)
    seconds[f"embeddings of its prompts, {arguments.text_dtype}"] = median_s(texts, arguments.rounds)
    print(f"NPNet for SDXL, {num} pairs a step, {where()}")
    whole, *_ = seconds.values()
    for name, value in seconds.items():
        print(f"  {name}: {value:.3f} s, {value / whole:.1%} of a step")
    stored = sum(part.numel() * part.element_size() for part in frozen) / num
    of_prompt = NUM_TOKENS * TEXT_DIM * (2 if dtype == torch.float16 else 4)
    print(f"  on the disk: {stored / 1000:.0f} kB a pair, {of_prompt / 1000:.0f} kB a prompt")


def text_encoders() -> list[CLIPTextModel]:
    """CLIP ViT-L and OpenCLIP ViT-bigG, as in SDXL."""
    sizes = [(768, 3072, 12, 12), (1280, 5120, 32, 20)]
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    return [CLIPTextModel(CLIPTextConfig(**dict(zip(names, size, strict=True)))) for size in sizes]


if __name__ == "__main__":
    main()
