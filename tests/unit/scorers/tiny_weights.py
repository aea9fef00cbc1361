"""Folders of random weights, small but of the published architectures and names, that scorers build from."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tiny import ALPHABET, tiny_text_config, tiny_tokenizer
from torch import Tensor, nn
from transformers import BertTokenizer, CLIPConfig, CLIPModel, CLIPVisionConfig

from goldennoise import scorers
from goldennoise.scorers import aesthetic, clipscore, hpsv2, imagereward, mps, pickscore
from goldennoise.scorers.networks import blip_reward
from goldennoise.scorers.networks.mps_cross_model import CrossModel
from goldennoise.scorers.networks.reward_head import RewardHead
from goldennoise.scorers.protocol import Scorer

CPU = torch.device("cpu")
OPEN_CLIP = "goldennoise-tiny"
VISION = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
TEXT = {
    "vocab_size": 60,
    "hidden_size": 768,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 12,
    "max_position_embeddings": 40,
}


def shrink(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Put small architectures in place of the published ones. folder: where open_clip's is described."""
    described = {
        "embed_dim": 768,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    (folder / f"{OPEN_CLIP}.json").write_text(json.dumps(described))
    open_clip.add_model_config(folder / f"{OPEN_CLIP}.json")
    for module in (clipscore, hpsv2, aesthetic):
        patch.setattr(module, "ARCHITECTURE", OPEN_CLIP)
    patch.setattr(blip_reward, "VISION", VISION)
    patch.setattr(blip_reward, "TEXT", TEXT)


def randomise(network: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Its tensors, drawn large enough that prompts and images tell in the scores."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, tensor in network.state_dict().items():
        drawn = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim > 1:
            tensors[name] = drawn * (1.0 if "embedding" in name else 1.5 / tensor[0].numel() ** 0.5)
        else:
            tensors[name] = 0.1 * drawn + (1.0 if name.endswith("weight") or name == "logit_scale" else 0.0)
    return tensors


def _clip_tensors(seed: int) -> dict[str, Tensor]:
    return randomise(open_clip.CLIP(**open_clip.get_model_config(OPEN_CLIP)), seed)


def _clip_model() -> Any:
    text = tiny_text_config(tiny_tokenizer(), 16, num_layers=2, projection_dim=24)
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=24,
    )
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=24))


def _describe_clip(folder: Path) -> Any:
    model = _clip_model()
    (folder / "config.json").write_text(json.dumps(model.config.to_dict()))
    tiny_tokenizer().save_pretrained(folder)
    return model


def write_clipscore(folder: Path, seed: int = 0) -> Any:
    save_file(_clip_tensors(seed), folder / clipscore.FILE)
    return clipscore.Config(path=str(folder))


def write_hpsv2(folder: Path, seed: int = 0) -> Any:
    torch.save({"epoch": 3, "state_dict": _clip_tensors(seed)}, folder / hpsv2.FILES["v2.1"])
    return hpsv2.Config(path=str(folder))


def write_aesthetic(folder: Path, seed: int = 0) -> Any:
    save_file(_clip_tensors(seed), folder / aesthetic.FILE)
    torch.save(randomise(RewardHead(), seed), folder / aesthetic.HEAD_FILE)
    return aesthetic.Config(path=str(folder), head_path=str(folder), head_sha256=None)


def write_pickscore(folder: Path, seed: int = 0) -> Any:
    save_file(randomise(_describe_clip(folder), seed), folder / pickscore.FILE)
    return pickscore.Config(path=str(folder), tokenizer_path=str(folder))


def write_mps(folder: Path, seed: int = 0) -> Any:
    model = _describe_clip(folder)
    cross = CrossModel(model.config.projection_dim)
    tensors = {f"mps.model.{name}": tensor for name, tensor in randomise(model, seed).items()}
    for name, tensor in (randomise(cross, seed) | {k: v for k, v in cross.state_dict().items() if "inv" in k}).items():
        layer, place, rest = name.removeprefix("layers.").split(".", 2)
        tensors[f"mps.cross_model.layers.{layer}.{place}.fn.{rest}"] = tensor
    save_file(tensors, folder / mps.FILE)
    return mps.Config(path=str(folder), clip_path=str(folder))


def write_imagereward(folder: Path, seed: int = 0) -> Any:
    tensors = randomise(blip_reward.BlipReward(), seed)
    unused = {name: torch.zeros(1) for name in blip_reward.UNUSED}
    torch.save(tensors | unused, folder / imagereward.FILE)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [letter for letter in ALPHABET if letter not in "',-?"]
    words = [*special, *letters[:20], *(f"##{letter}" for letter in letters[:20])]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    return imagereward.Config(path=str(folder), tokenizer_path=str(folder))


WRITERS: Mapping[str, Callable[..., Any]] = {
    "clipscore": write_clipscore,
    "hpsv2": write_hpsv2,
    "aesthetic": write_aesthetic,
    "pickscore": write_pickscore,
    "mps": write_mps,
    "imagereward": write_imagereward,
}
FILES = {
    "clipscore": clipscore.FILE,
    "hpsv2": hpsv2.FILES["v2.1"],
    "aesthetic": aesthetic.HEAD_FILE,
    "pickscore": pickscore.FILE,
    "mps": mps.FILE,
    "imagereward": imagereward.FILE,
}


def built(config: Any) -> Scorer:
    scorer: Scorer = scorers.component(config.kind).build(config, CPU)
    return scorer
