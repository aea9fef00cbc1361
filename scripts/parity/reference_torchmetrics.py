"""CLIPScore of torchmetrics, on transformers' CLIP: 100 x cosine with the bare prompt, divided by 40."""

import json
import sys
from itertools import count
from pathlib import Path

import torch
from material import randomised, read_inputs, write_result
from reference_imscore import write_processor
from torchmetrics.functional.multimodal import clip_score
from torchvision.io import ImageReadMode, read_image
from transformers import CLIPConfig, CLIPModel

SMALL_TEXT = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL_VISION = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 2}
LARGE_TEXT = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
LARGE_VISION = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
PARTS = {
    "text_model.embeddings.token_embedding": "token_embedding",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.encoder.layers": "transformer.resblocks",
    "text_model.final_layer_norm": "ln_final",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding": "visual.conv1",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.encoder.layers": "visual.transformer.resblocks",
    "vision_model.pre_layrnorm": "visual.ln_pre",
    "vision_model.post_layernorm": "visual.ln_post",
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
"""Names of transformers -> names of OpenAI's files."""


def main(work: Path) -> None:
    paths, prompts = read_inputs(work)
    folder = work / "torchmetrics"
    folder.mkdir()
    processor = write_processor(folder, work / "bpe.txt.gz")
    images = [read_image(str(path), ImageReadMode.RGB) for path in paths]
    # A score that is cut off at 0 tests nothing: the first weights under which nearly all pairs agree.
    for seed in count():
        model = randomised(clip(SMALL_TEXT, SMALL_VISION, 768), seed)
        scores = scores_of(model, processor, images, prompts)
        if sum(score > 0 for score in scores) > 0.9 * len(scores):
            break
    torch.save(openai(model.state_dict()), work / "clip.pt")
    with torch.device("meta"):
        large = openai(clip(LARGE_TEXT, LARGE_VISION, 512).state_dict())
    write_result(work, "clipscore_bare", scores, {name: list(tensor.shape) for name, tensor in large.items()})
    tokens = [processor.tokenizer(prompt).input_ids for prompt in prompts]
    (work / "clipscore_bare_tokens.json").write_text(json.dumps(tokens))


def clip(text: dict, vision: dict, dim: int) -> CLIPModel:
    text, vision = ({**part, "hidden_act": "quick_gelu", "projection_dim": dim} for part in (text, vision))
    text |= {"eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1}  # as the published configurations
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision | {"patch_size": 32}, projection_dim=dim))


def scores_of(model: CLIPModel, processor: object, images: list[torch.Tensor], prompts: list[str]) -> list[float]:
    with torch.no_grad():
        return [
            clip_score(image, prompt, model_name_or_path=lambda: (model, processor)).item() / 40
            for image, prompt in zip(images, prompts, strict=True)
        ]


def openai(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a transformers CLIP under the names, and in the layout, of OpenAI's."""
    renamed = {}
    for name, tensor in state.items():
        if name.endswith("position_ids"):
            continue
        for theirs, other in PARTS.items():
            name = name.replace(theirs, other)
        renamed[name] = tensor
    for name in [name for name in renamed if ".q_proj." in name]:
        parts = [renamed.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        renamed[name.replace("self_attn.q_proj.", "attn.in_proj_")] = torch.cat(parts)
    renamed["text_projection"] = renamed.pop("text_projection.weight").T.contiguous()
    renamed["visual.proj"] = renamed.pop("visual_projection.weight").T.contiguous()
    return renamed


if __name__ == "__main__":
    main(Path(sys.argv[1]))
