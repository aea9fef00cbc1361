"""ImageReward's network: timm's ViT-L/16, BLIP's text encoder as transformers has it, and the reward head.

The published file names its tensors as BLIP's own code does, which named them after these two libraries' modules.
"""

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from transformers import BlipTextConfig, BlipTextModel

from goldennoise.scorers.networks.reward_head import RewardHead

VISION: dict[str, Any] = {"img_size": 224, "patch_size": 16, "embed_dim": 1024, "depth": 24, "num_heads": 16}
TEXT: dict[str, Any] = {
    "vocab_size": 30524,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 512,
}
UNUSED = (
    "blip.text_encoder.embeddings.position_ids",
    *(f"blip.{part}.{kind}" for part in ("vision_proj", "text_proj") for kind in ("weight", "bias")),
)
"""A buffer that needs no storing, and the projections of BLIP's contrastive loss."""


class BlipReward(nn.Module):
    """Tensors are named as published."""

    def __init__(self) -> None:
        super().__init__()
        text = BlipTextConfig(
            **TEXT,
            encoder_hidden_size=VISION["embed_dim"],
            layer_norm_eps=1e-12,
            # What gives its layers cross-attention; the text is still read in both directions.
            is_decoder=True,
            bos_token_id=None,
            eos_token_id=None,
            sep_token_id=None,
        )
        self.blip = nn.ModuleDict(
            {
                "visual_encoder": VisionTransformer(**VISION, num_classes=0, global_pool=""),
                "text_encoder": BlipTextModel(text, add_pooling_layer=False),
            }
        )
        self.mlp = RewardHead()
        self.side_px = VISION["img_size"]

    @property
    def device(self) -> torch.device:
        return self.blip["text_encoder"].device  # type: ignore[return-value]

    def forward(self, pixels: Tensor, tokens: Any) -> Tensor:
        """The head's output (B,) in float32. pixels: (B, 3, side_px, side_px); tokens: of BERT's tokenizer."""
        seen = self.blip["visual_encoder"](pixels.to(next(self.parameters()).dtype))
        read = self.blip["text_encoder"](
            input_ids=tokens.input_ids.to(self.device),
            attention_mask=tokens.attention_mask.to(self.device),
            encoder_hidden_states=seen,
        ).last_hidden_state
        return self.mlp(read[:, 0])[:, 0].float()
