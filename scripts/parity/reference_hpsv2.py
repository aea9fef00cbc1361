"""Scores of hpsv2's own score(), with a small architecture of its own open_clip in the place of ViT-H-14."""

import sys
from pathlib import Path

import hpsv2.img_score as img_score
import torch
from hpsv2.src.open_clip import add_model_config, create_model, create_model_and_transforms
from material import described, randomised, read_inputs, write_result
from PIL import Image


def main(work: Path) -> None:
    paths, prompts = read_inputs(work)
    add_model_config(work / "small-h.json")
    model, _, preprocess = create_model_and_transforms("small-h", output_dict=True, light_augmentation=True)
    torch.save({"state_dict": randomised(model).state_dict()}, work / "HPS_v2.1_compressed.pt")
    img_score.model_dict.update(model=model, preprocess_val=preprocess)
    scores = [
        img_score.score(Image.open(path), prompt, cp=str(work / "HPS_v2.1_compressed.pt"))[0]
        for path, prompt in zip(paths, prompts, strict=True)
    ]
    with torch.device("meta"):
        tensors = described(create_model("ViT-H-14", device="meta"))
    write_result(work, "hpsv2", scores, tensors)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
