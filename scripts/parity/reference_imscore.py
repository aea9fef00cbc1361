"""Scores of PickScore by the recipe its authors publish, on transformers' processor, and of MPS as imscore has it."""

import gzip
import json
import os
import sys
from pathlib import Path

import torch
from material import described, randomised, read_inputs, write_result
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizerFast
from transformers.models.clip.tokenization_clip import bytes_to_unicode

CLIP_FOLDER = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
"""imscore loads its CLIP by this name: here a folder."""
SMALL_TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL_VISION = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
LARGE_TEXT = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
LARGE_VISION = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16}


def main(work: Path) -> None:
    paths, prompts = read_inputs(work)
    pictures = [Image.open(path) for path in paths]
    folder = work / CLIP_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    processor = write_processor(folder, work / "bpe.txt.gz")
    pick_score(work, processor, pictures, prompts)
    multi_dimensional(work, processor, pictures, prompts)


def clip_config(text: dict, vision: dict, patch_size: int) -> CLIPConfig:
    text, vision = ({**part, "hidden_act": "gelu", "projection_dim": 1024} for part in (text, vision))
    # 2 is what the published configurations say; transformers then takes the largest token for the end.
    text |= {"eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1}
    return CLIPConfig(text_config=text, vision_config=vision | {"patch_size": patch_size}, projection_dim=1024)


def write_processor(folder: Path, bpe: Path) -> CLIPProcessor:
    """CLIP's own vocabulary, in the files of transformers."""
    merges = gzip.decompress(bpe.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    tokenizer = CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    processor = CLIPProcessor(CLIPImageProcessor(), tokenizer)
    processor.save_pretrained(folder)
    return processor


def pick_score(work: Path, processor: CLIPProcessor, pictures: list[Image.Image], prompts: list[str]) -> None:
    model = randomised(CLIPModel(clip_config(SMALL_TEXT, SMALL_VISION, 32)))
    folder = work / "pickscore"
    folder.mkdir(exist_ok=True)
    model.config.to_json_file(folder / "config.json", use_diff=False)
    save_file(model.state_dict(), folder / "model.safetensors")
    scores = []
    with torch.no_grad():
        for picture, prompt in zip(pictures, prompts, strict=True):
            options = {"padding": True, "truncation": True, "max_length": 77, "return_tensors": "pt"}
            image = model.get_image_features(**processor(images=picture, return_tensors="pt"))
            text = model.get_text_features(**processor(text=prompt, **options))
            image, text = (features / features.norm(dim=-1, keepdim=True) for features in (image, text))
            scores.append((model.logit_scale.exp() * (text @ image.T)[0]).item())
    large = clip_config(LARGE_TEXT, LARGE_VISION, 14)
    large.to_json_file(work / "clip.json", use_diff=False)
    with torch.device("meta"):
        write_result(work, "pickscore", scores, described(CLIPModel(large)))


def multi_dimensional(work: Path, processor: CLIPProcessor, pictures: list[Image.Image], prompts: list[str]) -> None:
    """imscore's network on the pixels of transformers' image processor, which is what the authors of MPS publish."""
    # The networks cast to half precision on their way; this check is in float32.
    torch.Tensor.half = lambda self: self
    os.chdir(work)
    from imscore.mps.model import MPS

    model = build_mps(work, MPS, clip_config(SMALL_TEXT, SMALL_VISION, 56))
    randomised(model)
    folder = work / "mps"
    folder.mkdir(exist_ok=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    model._process = lambda pixels: pixels
    scores = []
    with torch.no_grad():
        for picture, prompt in zip(pictures, prompts, strict=True):
            pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
            scores.append(model.score(pixels, [prompt]).item())
    with torch.device("meta"):
        large = CLIPModel(clip_config(LARGE_TEXT, LARGE_VISION, 14))
    rest = {name: shape for name, shape in described(model).items() if not name.startswith("mps.model.")}
    tensors = {f"mps.model.{name}": shape for name, shape in described(large).items()} | rest
    # The scorer leaves out what every name begins with, and a level of modules.
    tensors = {name.removeprefix("mps.").replace(".fn.", "."): shape for name, shape in tensors.items()}
    write_result(work, "mps", scores, tensors)


def build_mps(work: Path, network: type, config: CLIPConfig) -> torch.nn.Module:
    folder = work / CLIP_FOLDER
    CLIPModel(config).save_pretrained(folder)
    return network()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
