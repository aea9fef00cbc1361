"""The network that comes with the world: found by name, of the world's sizes, and better than random noise."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from tiny import as_prompts

from goldennoise import GoldenNoise
from goldennoise.data.shapes.captions import benchmark
from goldennoise.data.shapes.locations import PIPELINE
from goldennoise.diffusion import families
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.networks.checkpoint import load_npnet
from goldennoise.networks.sources import PACKAGED, resolve_network
from goldennoise.runtime.seeding import derive_seed, gaussian_noise, prompt_id
from goldennoise.scorers import shapes_verifier
from goldennoise.store.artifacts import ArtifactStore


def test_it_is_found_by_its_name_and_fits_the_world() -> None:
    pipe = StableDiffusionPipeline.from_pretrained(PIPELINE, torch_dtype=torch.float32)
    golden = GoldenNoise.from_pretrained("packaged/shapes")
    source = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    noise = golden(pipe, ["a red circle left of a blue square", "two green rings"], latents=source)
    torch.testing.assert_close(noise.flatten(1).norm(dim=1), source.flatten(1).norm(dim=1))
    cosines = torch.nn.functional.cosine_similarity(noise.flatten(1), source.flatten(1))
    assert (cosines > 0.9).all()
    assert (cosines < 0.9999).all()


def test_a_method_that_names_it_uses_it_where_it_lies(tmp_path: Path) -> None:
    network = resolve_network(ArtifactStore(tmp_path), "packaged/shapes")
    assert (network.reference, network.path) == ("packaged/shapes", PACKAGED["packaged/shapes"])
    assert network.recorded("identity", "model", "path") == "shapes"
    assert network.recorded("config", "selected_by") == []
    network.check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_it_makes_more_images_right_on_captions_it_never_saw() -> None:
    """On the validation split: 120 captions, one noise each."""
    family = families.component("stable_diffusion")
    model = family.build(family.Config(num_steps=20, guidance=3.0), torch.device("cpu"))
    captions = benchmark(120, "validation")
    texts = [caption.text for caption in captions]
    source = gaussian_noise(model.latent_shape, [derive_seed(1, "packaged", prompt_id(text)) for text in texts])
    with torch.no_grad():
        golden = load_npnet("packaged/shapes")(source, model.encode(texts).cond)
        images = [model.decode(model.sample(SamplingPlan(noise), model.encode(texts))) for noise in (source, golden)]
    verifier = shapes_verifier.build(shapes_verifier.Config(), model.device)
    random_right, golden_right = (float(verifier.score(each, as_prompts(texts)).sum()) for each in images)
    assert golden_right > random_right
