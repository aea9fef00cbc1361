"""Images per second of every scorer at its published size, with random weights; and of hpsv2's own score() loop.

Each scorer is loaded once and scores batches of different images for different prompts, as in collect and eval, in
float32 and in bfloat16. The loop calls hpsv2's score() as its readme shows, once for each image and prompt, in the
environment that `make parity` makes. Medians over the rounds; takes minutes, 10 GB of memory and 4 GB of disk.
"""

import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import ours
import torch
from environments import REFERENCES, make_environment, run
from safetensors.torch import save_file
from transformers import BertTokenizer, CLIPConfig, CLIPTokenizer

from goldennoise import scorers
from goldennoise.data.prompts import Prompt

CASES = ("clipscore", "aesthetic", "imagereward", "hpsv2", "pickscore", "mps")
DTYPES = ("float32", "bfloat16")
PROMPTS = [f"a photo of {number} red circles beside a blue star, in the style of an old poster" for number in range(4)]
NUM_ROUNDS = 3
SIDE_PX = 512
TEXT = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
VISION = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16}
"""Of CLIP ViT-H/14, which PickScore and MPS start from."""


def main() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{len(PROMPTS)} images of {SIDE_PX} px at once, random weights, {device}")
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            config = write_full_size(case, work)
            rates = {}
            for dtype in DTYPES:
                start = time.perf_counter()
                scorer = scorers.component(case).build(replace(config, dtype=dtype), device)
                loading = time.perf_counter() - start
                rates[dtype] = images_per_s(scorer)
                print(f"{case:12s} {dtype:9s} {rates[dtype]:6.2f} images/s, loaded in {loading:.0f} s", flush=True)
                del scorer
            if case == "hpsv2":
                loop = reference_rate(work)
                times = ", ".join(f"{rate / loop:.1f} times in {dtype}" for dtype, rate in rates.items())
                print(f"{'':22s} {loop:6.2f} images/s by the package's score() loop: {times}", flush=True)


def images_per_s(scorer) -> float:  # type: ignore[no-untyped-def]
    seconds = []
    generator = torch.Generator().manual_seed(0)
    for number in range(NUM_ROUNDS + 1):
        images = torch.rand(len(PROMPTS), 3, SIDE_PX, SIDE_PX, generator=generator)
        prompts = [Prompt.of(f"{prompt}, number {number}") for prompt in PROMPTS]  # none that it already knows
        start = time.perf_counter()
        with torch.no_grad():
            scorer.score(images, prompts).tolist()
        seconds.append(time.perf_counter() - start)
    return len(PROMPTS) / statistics.median(seconds[1:])


def write_full_size(case: str, work: Path):  # type: ignore[no-untyped-def]
    """Random weights of the published shapes in the published files; the config of a scorer that reads them."""
    clip = work / ours.CLIP_FOLDER
    for folder in (clip, work / "pickscore", work / "mps", work / "bert"):
        folder.mkdir(parents=True)
    text, vision = ({**part, "hidden_act": "gelu", "projection_dim": 1024} for part in (TEXT, VISION))
    described = CLIPConfig(text_config=text, vision_config=vision | {"patch_size": 14}, projection_dim=1024)
    for path in (work / "clip.json", clip / "config.json", work / "pickscore" / "config.json"):
        described.to_json_file(path, use_diff=False)
    write_tokenizers(clip, work / "bert")
    generator = torch.Generator().manual_seed(0)
    tensors = {name: 0.02 * torch.randn(shape, generator=generator) for name, shape in ours.tensors(case, work).items()}
    module = scorers.component(case)
    match case:
        case "clipscore":
            save_file(tensors, work / module.FILE)
        case "aesthetic":
            head = {name: tensors.pop(name) for name in [*tensors] if name.startswith("layers.")}
            save_file(tensors, work / module.FILE)
            torch.save(head, work / module.HEAD_FILE)
        case "imagereward":
            torch.save(tensors, work / module.FILE)
        case "hpsv2":
            torch.save({"state_dict": tensors}, work / module.FILES["v2.1"])
        case "pickscore" | "mps":
            save_file(tensors, work / case / module.FILE)
    return ours.config_of(case, work)


def write_tokenizers(clip: Path, bert: Path) -> None:
    """Of letters alone: the networks see 77 tokens, or 35, whatever these are."""
    letters = [chr(number) for number in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (clip / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (clip / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer.from_pretrained(clip, model_max_length=77).save_pretrained(clip)
    (bert / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]))
    BertTokenizer.from_pretrained(bert).save_pretrained(bert)


def reference_rate(work: Path) -> float:
    """Images per second of hpsv2's score() on the same weights, in its own environment."""
    (reference,) = (one for one in REFERENCES if one.name == "hpsv2")
    make_environment(reference)
    script = Path(__file__).with_name("bench_reference_hpsv2.py")
    printed = run([str(reference.python), str(script), str(work), str(SIDE_PX), json.dumps(PROMPTS)])
    return float(printed.split()[-1])


if __name__ == "__main__":
    main()
