"""One SDXL image from source noise and one from golden noise, everything else alike.

python examples/sdxl_drop_in.py stabilityai/stable-diffusion-xl-base-1.0 NPNET "a cat on a bench"
MODEL: a folder or a hub id; NPNET: an npnet artifact, a folder, a hub id or a published file such as sdxl.pth.
"""

import sys

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionXLPipeline

from goldennoise import GoldenNoise

model, npnet, prompt = sys.argv[1:]
on_gpu = torch.cuda.is_available()
pipe = StableDiffusionXLPipeline.from_pretrained(model, torch_dtype=torch.float16 if on_gpu else torch.float32)
pipe = pipe.to("cuda" if on_gpu else "cpu")
pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
settings = {"num_inference_steps": 50, "guidance_scale": 5.5}  # as in arXiv 2411.09502

pipe(prompt, generator=torch.Generator().manual_seed(0), **settings).images[0].save("standard.png")

golden = GoldenNoise.from_pretrained(npnet)
latents = golden(pipe, prompt, generator=torch.Generator().manual_seed(0))
pipe(prompt, latents=latents, **settings).images[0].save("golden.png")
