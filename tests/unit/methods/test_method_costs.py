"""What a method costs, told by its Config, against what the model counts."""

from pathlib import Path
from typing import Any

import pytest
from tiny import TinyModel
from unit.methods.test_methods import SETTINGS, make_batch, make_method, tools

from goldennoise import methods
from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.methods.time_prediction import LEVELS
from goldennoise.methods.tools import MethodTools
from goldennoise.networks import network_config
from goldennoise.networks.noise_lora import Config as NoiseLora
from goldennoise.networks.npnet import Config as NPNet
from goldennoise.store.files import write_json

__all__ = ["tools"]
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("standard", {"guidance": 1.0, "num_steps": 7}),
    ("standard", {"guidance": 2.5}),
    ("fixed_schedule", {"num_steps": None}),
    ("fixed_schedule", {"num_steps": None, "timesteps": [900.0, 500.0]}),
    ("re_denoise", {"denoise_guidance": 1.0, "invert_guidance": 0.0}),
    ("re_denoise", {"variant": "published", "num_rounds": 3}),
    ("re_paint", {"guidance": 1.0}),
    ("gradient", {"num_steps": None, "guidance": 1.0}),
    ("best_of_n", {"num_candidates": 1}),
]
BOUNDED = ("time_prediction",)


@pytest.mark.parametrize(("kind", "changed"), [*((kind, {}) for kind in SETTINGS), *OTHERS])
def test_a_method_costs_what_its_options_say(
    kind: str, changed: dict[str, Any], tools: MethodTools, tmp_path: Path
) -> None:
    model, batch = TinyModel(num_steps=4, guidance=3.0), make_batch()
    method = make_method(kind, tools, **changed)
    method.prepare(model)
    before = model.num_evaluations
    model.sample(method.plan(model, batch), batch.embedding, batch.step_seeds)
    counted = (model.num_evaluations - before) / len(batch.seeds)
    config = methods.component(kind).Config(**(SETTINGS[kind] | changed))
    networks = {reference: tmp_path / "npnet" / reference for reference in config.networks()}
    sampling = Sampling(model.num_steps, model.guidance, networks=networks)
    told = methods.golden_evaluations(config, {}, sampling) + config.image_evaluations(sampling)
    assert told.is_known == (kind not in BOUNDED)
    assert told.most is not None
    assert told.least <= counted <= told.most


def test_a_method_that_uses_another_costs_that_too() -> None:
    component = methods.component
    chosen = {"re": component("re_denoise").Config(), "scaled": component("scaled").Config(norm_of="re")}
    assert methods.golden_evaluations(chosen["scaled"], chosen, Sampling(4, 3.0)) == Amount.exactly(3)


def test_a_network_that_does_not_exist_may_be_a_lora(tmp_path: Path) -> None:
    config = methods.component("npnet").Config(artifact="npnet/mine@latest")
    assert config.golden_evaluations(Sampling(4, 3.0)) == Amount(0, 1)
    for number, (architecture, expected) in enumerate([(NPNet(attention_heads=1), 0), (NoiseLora(), 1)]):
        kind = network_config(architecture, (4, 8, 8), 3, 4).architecture.kind
        content = {"format": "goldennoise-npnet-1", "network": {"architecture": {"kind": kind}}}
        write_json(tmp_path / str(number) / "config.json", content)
        sampling = Sampling(4, 3.0, networks={config.artifact: tmp_path / str(number)})
        assert config.golden_evaluations(sampling) == Amount.exactly(expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mode": "adaptive", "max_steps": 5}, Amount(2, 10)),
        ({"mode": "adaptive"}, Amount(2, 18)),
        ({"mode": "shared"}, Amount(4, 4)),
        ({"mode": "shuffled"}, Amount(2, 6)),
    ],
)
def test_a_schedule_costs_what_its_artifact_says(options: dict[str, Any], expected: Amount, tmp_path: Path) -> None:
    network = {"width": 4, "max_steps": 9}
    write_json(tmp_path / "config.json", {"format": "goldennoise-time-predictor-1", "network": network})
    write_json(tmp_path / LEVELS, {"shared": [[1.0, 0.5, 0.0]], "chosen": [[1.0, 0.0], [1.0, 0.6, 0.3, 0.0]]})
    config = methods.component("time_prediction").Config(**options)
    there = Sampling(4, 3.0, networks={config.artifact: tmp_path})
    assert config.image_evaluations(there) == expected
    most = 10 if "max_steps" in options else None
    assert config.image_evaluations(Sampling(4, 3.0)) == Amount(2, most)
