"""Images per second of hpsv2's score(), called for one image and prompt after the other."""

import json
import statistics
import sys
import time
from pathlib import Path

import hpsv2.img_score as img_score
import numpy as np
from hpsv2.src.open_clip import create_model_and_transforms
from PIL import Image


def main(work: Path, side_px: int, prompts: list[str]) -> None:
    # As its initialize_model() makes it, without the weights it would fetch first and replace in every call.
    model, _, preprocess = create_model_and_transforms("ViT-H-14", output_dict=True, light_augmentation=True)
    img_score.model_dict.update(model=model, preprocess_val=preprocess)
    rng = np.random.default_rng(0)
    seconds = []
    for prompt in prompts:
        image = Image.fromarray(rng.integers(0, 256, (side_px, side_px, 3), dtype=np.uint8))
        start = time.perf_counter()
        img_score.score(image, prompt, cp=str(work / "HPS_v2.1_compressed.pt"))
        seconds.append(time.perf_counter() - start)
    print(1 / statistics.median(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
