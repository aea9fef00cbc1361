"""Seeds are part of every artifact's meaning: the values here may never change."""

import itertools

import pytest
import torch

from goldennoise.runtime.seeding import derive_seed, gaussian_noise, normalised, prompt_id


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("A Red  Circle", "a red circle"),
        ("\ta red\ncircle ", "a red circle"),
        ("ﬁne cafe\u0301", "fine caf\u00e9"),
        ("STRASSE Straße", "strasse strasse"),
        ("a red circle.", "a red circle."),
    ],
)
def test_normalised_ignores_case_spaces_and_unicode_forms(text: str, plain: str) -> None:
    assert normalised(text) == plain
    assert prompt_id(text) == prompt_id(plain)


def test_known_prompt_ids() -> None:
    assert prompt_id("a red circle") == "a1e4a280d27cad5b"
    assert prompt_id("a blue circle") != prompt_id("a red circle")


@pytest.mark.parametrize(
    ("arguments", "seed"),
    [
        ((0, "evaluation", "a1e4a280d27cad5b"), 5533541157761243900),
        ((0, "evaluation", "a1e4a280d27cad5b", 1), 4516229210369823667),
        ((0, "collect", "a1e4a280d27cad5b"), 5506412390103442653),
        ((7, "evaluation", "a1e4a280d27cad5b"), 4218932588554698452),
    ],
)
def test_known_seeds(arguments: tuple, seed: int) -> None:
    assert derive_seed(*arguments) == seed


def test_every_part_gives_another_seed() -> None:
    parts = itertools.product((0, 1, 11), ("evaluation", "collect"), ("0123", "123", ""), (0, 1, 11))
    seeds = [derive_seed(*part) for part in parts]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_known_noise() -> None:
    noise = gaussian_noise((2, 2), [derive_seed(0, "evaluation", prompt_id("a red circle"))])
    torch.testing.assert_close(noise, torch.tensor([[[1.097946, -1.015763], [-1.933731, 0.768373]]]), rtol=0, atol=1e-6)


def test_a_row_depends_on_its_seed_alone() -> None:
    rows = gaussian_noise((4, 8, 8), [3, 1, 2])
    assert rows.shape == (3, 4, 8, 8)
    assert rows.dtype == torch.float32
    for row, seed in zip(rows, (3, 1, 2), strict=True):
        assert torch.equal(row, gaussian_noise((4, 8, 8), [seed])[0])


def test_the_global_random_state_neither_matters_nor_changes() -> None:
    before = torch.random.get_rng_state()
    first = gaussian_noise((16,), [5])
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(gaussian_noise((16,), [5]), first)
    torch.random.set_rng_state(before)


def test_noise_is_standard_normal_across_seeds_and_purposes() -> None:
    seeds = [derive_seed(0, purpose, prompt_id(f"prompt {i}")) for purpose in ("a", "b") for i in range(500)]
    noise = gaussian_noise((64,), seeds)
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
    correlation = (noise[:500] * noise[500:]).mean()
    assert abs(float(correlation)) < 0.02
