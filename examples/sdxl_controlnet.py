"""Golden noise under a ControlNet: the NPNet of the base model, the control image for the sampler alone.

python examples/sdxl_controlnet.py stabilityai/stable-diffusion-xl-base-1.0 diffusers/controlnet-canny-sdxl-1.0 \
    NPNET edges.png "a cat on a bench"
The control image has the size of the image to make, the one that NPNET was trained for (1024 px).
"""

import sys

import torch
from diffusers import ControlNetModel, StableDiffusionXLControlNetPipeline
from PIL import Image

from goldennoise import GoldenNoise

model, controlnet, npnet, control, prompt = sys.argv[1:]
dtype = torch.float16 if torch.cuda.is_available() else torch.float32
net = ControlNetModel.from_pretrained(controlnet, torch_dtype=dtype)
pipe = StableDiffusionXLControlNetPipeline.from_pretrained(model, controlnet=net, torch_dtype=dtype)
pipe = pipe.to("cuda" if torch.cuda.is_available() else "cpu")
settings = {"image": Image.open(control).convert("RGB"), "num_inference_steps": 30, "guidance_scale": 5.5}

pipe(prompt, generator=torch.Generator().manual_seed(0), **settings).images[0].save("standard.png")

latents = GoldenNoise.from_pretrained(npnet)(pipe, prompt, generator=torch.Generator().manual_seed(0))
pipe(prompt, latents=latents, **settings).images[0].save("golden.png")
