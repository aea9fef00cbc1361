"""Folders as the published weights have them, with tiny random networks: a Mask2Former and a CLIP."""

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

from goldennoise.scorers.geneval.tasks import CLASSES

ARCHITECTURE = "tiny-geneval"
NUM_QUERIES = 6


def save_detector(folder: Path, num_classes: int = len(CLASSES), seed: int = 0) -> None:
    """config.json and model.safetensors; group norms have 32 groups, so 32 features are the fewest."""
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = SwinConfig(
        image_size=32, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=2, out_features=stages
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = Mask2FormerConfig(
            backbone_config=backbone,
            feature_size=32,
            mask_feature_size=32,
            hidden_dim=32,
            encoder_feedforward_dim=8,
            encoder_layers=1,
            decoder_layers=2,
            num_attention_heads=2,
            dim_feedforward=8,
            num_queries=NUM_QUERIES,
            num_labels=num_classes,
        )
        network = Mask2FormerForUniversalSegmentation(config)
    with torch.no_grad():
        # Freshly initialised, no class is likelier than another, and nothing would be detected.
        network.class_predictor.weight.mul_(30)
    network.save_pretrained(folder)


def save_clip(folder: Path, seed: int = 0) -> None:
    """open_clip_model.safetensors of `ARCHITECTURE`, which open_clip knows from then on."""
    tower = {"layers": 1, "width": 16, "heads": 2}
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "layers": 1, "width": 16, "head_width": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408} | tower,
    }
    folder.mkdir(exist_ok=True)
    (folder / f"{ARCHITECTURE}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{ARCHITECTURE}.json")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = open_clip.create_model(ARCHITECTURE)
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
