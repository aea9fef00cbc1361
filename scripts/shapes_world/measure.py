"""What the shipped world reaches, by the verifier: every figure of its record."""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from goldennoise.config.compose import load
from goldennoise.data.prompts import Prompt
from goldennoise.data.shapes.captions import Caption, all_captions, benchmark
from goldennoise.data.shapes.locations import PIPELINE
from goldennoise.data.shapes.renderer import render
from goldennoise.data.shapes.scenes import is_true, sample_scene
from goldennoise.data.shapes.verifier import judge, read, verify
from goldennoise.data.shapes.vocabulary import KINDS
from goldennoise.diffusion import families
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.runtime.seeding import derive_seed, prompt_id
from goldennoise.scorers.shapes_clip import ShapesClip

GUIDANCES = (1.0, 1.5, 2.0, 3.0, 4.5, 6.5)
NUM_VALIDATION = 120
NUM_BENCHMARK = 1000
NUM_BEST_OF = 8
NUM_BEST_OF_PROMPTS = 240
BATCH = 50

Rng = np.random.Generator


@torch.inference_mode()
def all_figures(folder: Path) -> dict:
    """Every figure, each measured once and kept in `folder`, so that a killed run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    config = load().model
    model = families.component(config.kind).build(config, torch.device("cpu"))
    figures = {
        "verifier": _once(folder, "verifier", lambda: verifier_accuracy(np.random.default_rng(1))),
        "autoencoder": _once(folder, "autoencoder", lambda: autoencoder_keeps(np.random.default_rng(2))),
    }
    guidance = _once(folder, "guidance", lambda: choose_guidance(model))
    sampling = _once(folder, "sampling", lambda: alignment(model, guidance["chosen"]))
    best_of = _once(folder, "best_of", lambda: selection(model, guidance["chosen"]))
    return figures | {"guidance": guidance, "sampling": sampling, "best_of": best_of}


def verifier_accuracy(rng: Rng, num_scenes: int = 2000) -> dict:
    """Share of right verdicts on true renders: of a caption that holds, and of captions drawn from the same kind."""
    captions = list(all_captions())
    by_kind = {kind: [caption for caption in captions if caption.kind == kind] for kind in KINDS}
    held, others = [], []
    for index in rng.integers(len(captions), size=num_scenes):
        caption = captions[index]
        scene = sample_scene(caption, rng)
        found = read(render(scene))
        held.append(judge(found, caption).right)
        for other in rng.choice(len(by_kind[caption.kind]), size=3):
            asked = by_kind[caption.kind][other]
            others.append(judge(found, asked).right == is_true(asked, scene))
    return {
        "true_captions_right": float(np.mean(held)),
        "other_captions_right": float(np.mean(others)),
        "num_scenes": num_scenes,
    }


def autoencoder_keeps(rng: Rng, num_scenes: int = 1000) -> dict:
    """Share of true renders that are still verified after encode and decode."""
    vae = AutoencoderKL.from_pretrained(PIPELINE, subfolder="vae", torch_dtype=torch.float32)
    captions = benchmark(num_scenes)
    verified = []
    for start in range(0, num_scenes, BATCH):
        part = captions[start : start + BATCH]
        pixels = np.stack([render(sample_scene(caption, rng)) for caption in part])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        decoded = vae.decode(vae.encode(images).latent_dist.mean).sample
        decoded = ((decoded + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1).numpy()
        verified += [verify(image, caption).right for image, caption in zip(decoded, part, strict=True)]
    return {"still_verified": float(np.mean(verified)), "num_scenes": num_scenes}


def choose_guidance(model: DiffusionModel) -> dict:
    """Share right on validation captions per guidance scale; the best is used ever after."""
    captions = benchmark(NUM_VALIDATION, split="validation")
    shares = {}
    for guidance in GUIDANCES:
        images = generate(model, captions, [0] * len(captions), guidance)
        shares[str(guidance)] = _share_right(images, captions)
    best = max(GUIDANCES, key=lambda guidance: shares[str(guidance)])
    return {"chosen": best, "share_right": shares, "num_captions": len(captions), "split": "validation"}


def alignment(model: DiffusionModel, guidance: float) -> dict:
    """Share of benchmark captions fully right with plain sampling, one seed each, all and per kind."""
    captions = benchmark(NUM_BENCHMARK)
    right = _right(generate(model, captions, [0] * len(captions), guidance), captions)
    return {"num_steps": model.num_steps, "num_captions": len(captions), **_per_kind(right, captions)}


def selection(model: DiffusionModel, guidance: float) -> dict:
    """Best-of-n by the preference model against the mean draw, by the verifier, and the preference model's ROC AUC."""
    captions = benchmark(NUM_BEST_OF_PROMPTS)
    repeated = [caption for caption in captions for _ in range(NUM_BEST_OF)]
    seeds = list(range(NUM_BEST_OF)) * len(captions)
    images = generate(model, repeated, seeds, guidance)
    scores = ShapesClip(torch.device("cpu")).score(images, [Prompt.of(caption.text) for caption in repeated]).numpy()
    right = _right(images, repeated).reshape(-1, NUM_BEST_OF)
    scores = scores.reshape(-1, NUM_BEST_OF)
    chosen = right[np.arange(len(right)), scores.argmax(axis=1)]
    return {
        "num_candidates": NUM_BEST_OF,
        "num_captions": len(captions),
        "standard": _per_kind(right.mean(axis=1), captions),
        "chosen_by_preference": _per_kind(chosen, captions),
        "any_right": _per_kind(right.any(axis=1), captions),
        "preference_roc_auc_within_prompt": _within_prompt_auc(scores, right),
    }


def generate(model: DiffusionModel, captions: list[Caption], seeds: list[int], guidance: float) -> torch.Tensor:
    """Images (n, 3, 64, 64) in [0, 1] by the world's default sampler at this guidance."""
    parts = []
    for start in range(0, len(captions), BATCH):
        texts = [caption.text for caption in captions[start : start + BATCH]]
        noise_seeds = [
            derive_seed(0, "world", prompt_id(text), seed)
            for text, seed in zip(texts, seeds[start : start + BATCH], strict=True)
        ]
        plan = SamplingPlan(model.initial_noise(noise_seeds), guidance)
        parts.append(model.decode(model.sample(plan, model.encode(texts))))
    return torch.cat(parts)


def _once(folder: Path, name: str, figure) -> dict:  # type: ignore[no-untyped-def]
    file = folder / f"{name}.json"
    if not file.exists():
        file.write_text(json.dumps(figure(), indent=2))
    print(name, file.read_text(), flush=True)
    return json.loads(file.read_text())


def _right(images: torch.Tensor, captions: list[Caption]) -> np.ndarray:
    pixels = (images * 255).permute(0, 2, 3, 1).numpy()
    return np.array([verify(each, caption).right for each, caption in zip(pixels, captions, strict=True)])


def _share_right(images: torch.Tensor, captions: list[Caption]) -> float:
    return float(_right(images, captions).mean())


def _per_kind(right: np.ndarray, captions: list[Caption]) -> dict:
    kinds = np.array([caption.kind for caption in captions])
    return {"all": float(right.mean())} | {kind: float(right[kinds == kind].mean()) for kind in KINDS}


def _within_prompt_auc(scores: np.ndarray, right: np.ndarray) -> float:
    """Probability that a right image outscores a wrong one of the same prompt, over all such pairs."""
    wins = []
    for row_scores, row_right in zip(scores, right, strict=True):
        good, bad = row_scores[row_right], row_scores[~row_right]
        wins += [(a > b) + 0.5 * (a == b) for a in good for b in bad]
    return float(np.mean(wins))
