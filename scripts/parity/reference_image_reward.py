"""Scores of image-reward: ImageReward and the aesthetic predictor; and CLIPScore by OpenAI's CLIP beside it."""

import json
import sys
from pathlib import Path

import clip
import ImageReward.models.BLIP.blip_pretrain as blip_pretrain
import torch
from clip.model import CLIP
from ImageReward.ImageReward import ImageReward
from ImageReward.models.AestheticScore import AestheticScore
from ImageReward.models.BLIP.vit import VisionTransformer
from material import described, randomised, read_inputs, write_result
from PIL import Image
from transformers import BertTokenizer

SMALL_VISION = {"embed_dim": 64, "depth": 3, "num_heads": 4}
SMALL_TEXT = {"hidden_size": 768, "num_hidden_layers": 2, "num_attention_heads": 12, "intermediate_size": 128}
MED = {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "vocab_size": 30524}
MED |= {"pad_token_id": 0, "add_cross_attention": True, "type_vocab_size": 2, "initializer_range": 0.02}
LARGE_TEXT = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
# width, layers, patch size, width of the text encoder, its heads, its layers, dimension of the features
VIT_B_32 = (768, 12, 32, 512, 8, 12, 512)
VIT_L_14 = (1024, 24, 14, 768, 12, 12, 768)
SMALL_CLIP = (128, 3, 32, 64, 4, 2, 768)


def main(work: Path) -> None:
    paths, prompts = read_inputs(work)
    pictures = [Image.open(path) for path in paths]
    image_reward(work, pictures, prompts)
    towers = randomised(openai_clip(*SMALL_CLIP))
    clip_score(work, towers, pictures, prompts)
    aesthetic(work, towers, paths)


def image_reward(work: Path, pictures: list[Image.Image], prompts: list[str]) -> None:
    # The package builds its tokenizer from the hub's name for it: here a folder of that name.
    blip_pretrain.init_tokenizer = lambda: BertTokenizer(str(work / "bert" / "vocab.txt"))
    # Its constructor reads values, which tensors without memory do not have.
    large = described(reward_network(work, {"embed_dim": 1024, "depth": 24, "num_heads": 16}, LARGE_TEXT))
    model = randomised(reward_network(work, SMALL_VISION, SMALL_TEXT))
    torch.save(model.state_dict(), work / "ImageReward.pt")
    with torch.no_grad():
        scores = [model.score(prompt, picture) for picture, prompt in zip(pictures, prompts, strict=True)]
    write_result(work, "imagereward", scores, large)


def reward_network(work: Path, vision: dict, text: dict) -> ImageReward:
    (work / "med.json").write_text(json.dumps(MED | text))
    blip_pretrain.create_vit = lambda *_: (
        VisionTransformer(img_size=224, patch_size=16, **vision),
        vision["embed_dim"],
    )
    return ImageReward(med_config=str(work / "med.json"), device="cpu")


def openai_clip(width: int, layers: int, patch: int, text_width: int, heads: int, text_layers: int, dim: int) -> CLIP:
    return CLIP(dim, 224, layers, width, patch, 77, 49408, text_width, heads, text_layers)


def clip_score(work: Path, towers: CLIP, pictures: list[Image.Image], prompts: list[str]) -> None:
    """As the paper's code: its prefix, OpenAI's preprocessing and tokenizer, w max(cosine, 0) with w = 2.5."""
    preprocess = clip.clip._transform(224)
    with torch.no_grad():
        images = torch.cat([towers.encode_image(preprocess(picture)[None]) for picture in pictures])
        tokens = clip.tokenize([f"A photo depicts {prompt}" for prompt in prompts], truncate=True)
        cosines = torch.cosine_similarity(images, towers.encode_text(tokens))
        # Random features agree or disagree in general; were they to disagree, all scores would be 0.
        towers.text_projection *= cosines.mean().sign()
        scores = 2.5 * (cosines * cosines.mean().sign()).clamp(min=0)
    torch.save(towers.state_dict(), work / "clip.pt")
    with torch.device("meta"):
        write_result(work, "clipscore", scores.tolist(), described(openai_clip(*VIT_B_32)))


def aesthetic(work: Path, towers: CLIP, paths: list[Path]) -> None:
    # The package would download OpenAI's weights.
    clip.load = lambda *_, **__: (towers, clip.clip._transform(224))
    model = AestheticScore(str(work), "cpu")
    randomised(model.mlp, seed=1)
    torch.save(model.mlp.state_dict(), work / "sac+logos+ava1-l14-linearMSE.pth")
    with torch.no_grad():
        scores = [model.eval().score("", str(path)) for path in paths]
    with torch.device("meta"):
        tensors = described(openai_clip(*VIT_L_14)) | described(model.mlp)
    write_result(work, "aesthetic", scores, tensors)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
