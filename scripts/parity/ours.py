"""goldennoise's side of a parity check: the scorers of the package, built from the files the references wrote."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import open_clip
import torch
from environments import BPE
from material import described, read_inputs
from PIL import Image
from torch import nn
from transformers import BertTokenizer, CLIPConfig, CLIPModel

from goldennoise import scorers
from goldennoise.data.images import read_image
from goldennoise.data.prompts import Prompt
from goldennoise.scorers.networks import blip_reward
from goldennoise.scorers.networks.mps_cross_model import CrossModel
from goldennoise.scorers.networks.reward_head import RewardHead

CLIP_FOLDER = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
SMALL = {
    "small-b": {
        "embed_dim": 768,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 224, "layers": 3, "width": 128, "head_width": 64, "patch_size": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
    },
    "small-h": {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 224, "layers": 3, "width": 160, "head_width": 80, "patch_size": 28},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
    },
}
TEXT = {"hidden_size": 768, "num_hidden_layers": 2, "num_attention_heads": 12, "intermediate_size": 128}
SMALLER: dict[str, dict[str, Any]] = {
    "clipscore": {"ARCHITECTURE": "small-b", "FILE": "clip.pt"},
    "aesthetic": {"ARCHITECTURE": "small-b", "FILE": "clip.pt"},
    "hpsv2": {"ARCHITECTURE": "small-h"},
    "networks.blip_reward": {
        "VISION": {"img_size": 224, "patch_size": 16, "embed_dim": 64, "depth": 3, "num_heads": 4},
        "TEXT": blip_reward.TEXT | TEXT,
    },
}
"""What stands in the modules for the published architectures."""
WORDS = ["a", "cat", "dog", "red", "blue", "circle", "photo", "of", "the", "two", "three", "harbour", "woman", "horse"]


def write_small(work: Path) -> None:
    """What the references build from: small open_clip architectures, vocabularies of CLIP and of BERT's kind."""
    for name, described_as in SMALL.items():
        (work / f"{name}.json").write_text(json.dumps(described_as))
        open_clip.add_model_config(work / f"{name}.json")
    (work / "bpe.txt.gz").write_bytes(BPE.read_bytes())
    letters = [*map(chr, range(33, 127)), *"éàèüß猫が窓рыжийкотقطة"]
    letters = list(dict.fromkeys(letter.lower() for letter in letters))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (work / "bert").mkdir()
    (work / "bert" / "vocab.txt").write_text("\n".join([*words, *WORDS[1:]]), encoding="utf-8")
    BertTokenizer.from_pretrained(work / "bert").save_pretrained(work / "bert")


def component(case: str) -> Any:
    """The module of the scorer that a case is of: clipscore_bare is clipscore without the words before the prompt."""
    return scorers.component(case.removesuffix("_bare"))


def scores(case: str, work: Path) -> list[float]:
    """Of the scorer built from the files in `work`, one by one, as the references score."""
    with ExitStack() as stack:
        for module, small in SMALLER.items():
            stack.enter_context(patch.multiple(f"goldennoise.scorers.{module}", **small))
        scorer = component(case).build(config_of(case, work), torch.device("cpu"))
    found = []
    for path, prompt in zip(*read_inputs(work), strict=True):
        image = torch.from_numpy(read_image(path)).permute(2, 0, 1)[None]
        with torch.no_grad():
            found += scorer.score(image, [Prompt.of(prompt)]).tolist()
    return found


def config_of(case: str, work: Path) -> Any:
    make = component(case).Config
    clip = str(work / CLIP_FOLDER)
    match case:
        case "clipscore_bare":
            return make(path=str(work), prefix="")
        case "aesthetic":
            return make(path=str(work), head_path=str(work), head_sha256=None)
        case "imagereward":
            return make(path=str(work), tokenizer_path=str(work / "bert"))
        case "pickscore":
            return make(path=str(work / "pickscore"), tokenizer_path=clip)
        case "mps":
            return make(path=str(work / "mps"), clip_path=clip)
    return make(path=str(work))


def tensors(case: str, work: Path) -> dict[str, list[int]]:
    """Names and shapes of what the scorer wants at the published size."""
    with torch.device("meta"):
        if case in ("clipscore", "clipscore_bare", "aesthetic", "hpsv2"):
            head = described(RewardHead()) if case == "aesthetic" else {}
            return described(open_clip.CLIP(**open_clip.get_model_config(component(case).ARCHITECTURE))) | head
        if case == "imagereward":
            return described(blip_reward.BlipReward())
        clip = described(CLIPModel(CLIPConfig.from_json_file(work / "clip.json")))
        if case == "pickscore":
            return clip
        return described(nn.ModuleDict({"cross_model": CrossModel(1024)})) | {f"model.{n}": s for n, s in clip.items()}


def comparable(case: str, work: Path) -> list[int]:
    """Pairs that the reference means to read as we do: all of them, but for torchmetrics.

    It cuts long prompts without an end, leaves characters as they are that OpenAI's tokenizer mends, and crops images
    as transformers does, where half a pixel is left over, not as OpenAI.
    """
    paths, prompts = read_inputs(work)
    if case != "clipscore_bare":
        return list(range(len(paths)))
    theirs = json.loads((work / "clipscore_bare_tokens.json").read_text())
    padded = open_clip.get_tokenizer(component(case).ARCHITECTURE)(prompts)
    same_tokens = [row[: len(tokens)].tolist() == tokens for row, tokens in zip(padded, theirs, strict=True)]
    same_crop = [_left_over(path) % 2 == 0 or _left_over(path) % 4 == 1 for path in paths]
    return [row for row in range(len(paths)) if same_tokens[row] and same_crop[row]]


def _left_over(path: Path) -> int:
    """Pixels of the longer side beyond the middle square, once the shorter is 224."""
    short, long = sorted(Image.open(path).size)
    return int(224 * long / short) - 224


def unused(case: str) -> Sequence[str]:
    """Tensors of a published file that the scorer knows and leaves out."""
    return blip_reward.UNUSED if case == "imagereward" else ()
