"""Four steps with a latent consistency model: the NPNet of SDXL as it is.

python examples/lcm.py stabilityai/stable-diffusion-xl-base-1.0 NPNET "a cat on a bench" [LORA]
LORA: such as latent-consistency/lcm-lora-sdxl; leave it out for a model with it merged in.
"""

import sys

import torch
from diffusers import LCMScheduler, StableDiffusionXLPipeline

from goldennoise import GoldenNoise

model, npnet, prompt, *lora = sys.argv[1:]
on_gpu = torch.cuda.is_available()
pipe = StableDiffusionXLPipeline.from_pretrained(model, torch_dtype=torch.float16 if on_gpu else torch.float32)
pipe = pipe.to("cuda" if on_gpu else "cpu")
pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
if lora:
    pipe.load_lora_weights(lora[0])
golden = GoldenNoise.from_pretrained(npnet)

# The scheduler draws noise of its own after each step: the same generator draws the same for both images.
for name in ("standard", "golden"):
    source = torch.Generator().manual_seed(0)
    latents = None if name == "standard" else golden(pipe, prompt, generator=source)
    settings = {"num_inference_steps": 4, "guidance_scale": 1.0, "generator": source}
    pipe(prompt, latents=latents, **settings).images[0].save(f"{name}.png")
