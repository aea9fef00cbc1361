"""A dry run of every stage: what it tells, against what the run makes, and that it makes nothing."""

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from safetensors import safe_open

from goldennoise import stages
from goldennoise.config.compose import load, located
from goldennoise.diffusion.evaluations import Amount
from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.stages.dry_run import estimated, told
from goldennoise.stages.estimate import Estimate, Size, num_batches, shown_bytes, total
from goldennoise.store.artifacts import Artifact

FEW = ("compute.device=cpu", "compute.batch_size=3", "stage.num_prompts=2", "stage.num_seeds=2", "model.num_steps=2")
METHODS = "method=[standard,re_denoise,re_paint,best_of_n,zero_order,gradient,npnet_packaged,scaled,fixed_schedule]"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def estimate(*overrides: str, earlier: Sequence[Estimate] = ()) -> Estimate:
    return estimated(load(overrides), earlier)


def run(*overrides: str) -> Artifact:
    config = located(load(overrides))
    artifact: Artifact = stages.component(config.stage.kind).run(config)
    return artifact


def test_every_stage_that_makes_an_artifact_can_be_estimated() -> None:
    for kind in stages.kinds():
        module = stages.component(kind)
        if kind != "all" and inspect.signature(module.run).return_annotation is not None:
            assert list(inspect.signature(module.estimate).parameters) == ["config", "ahead"], kind


def test_a_stage_without_an_artifact_says_so() -> None:
    assert told([load(["stage=selftest"])]) == "stage selftest makes no artifact"


def test_an_evaluation_costs_what_was_told(folder: Path) -> None:
    options = ("stage=eval", *FEW, METHODS, "method.scaled.norm_of=re_denoise", "method.gradient.num_iterations=1")
    before = estimate(*options)
    assert list(folder.iterdir()) == []
    artifact = run(*options)
    parts = pd.concat(map(pd.read_parquet, sorted((artifact.path / "parts").glob("*.parquet"))))
    assert before.evaluations == Amount.exactly(round(parts["num_evaluations"].sum()))
    assert before.counts["images"] == Amount.exactly(len(parts))
    pixels = sum(file.stat().st_size for file in artifact.path.rglob("*.png"))
    assert before.storage is not None
    assert before.storage.bytes is not None
    assert 0.7 < pixels / before.storage.bytes.least < 1.4
    assert (before.complete, estimate(*options).complete) == (None, artifact.reference)


@pytest.mark.parametrize(
    "stage", ["collect stage.preference=null", "eval stage.reference={0}", "sample stage.prompt=a"]
)
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (
            "early_stop",
            r"^method\.early_stop: num_steps=5: num_steps must be at most 2, the steps of the model's sampler",
        ),
        ("tone", r"^method\.tone: it adds the tone that model\.tone gives source noise already: set model\.tone=null"),
        ("one_more_step", r"^method\.one_more_step: it adds the tone that"),
        ("layout method.layout.part=tone method.layout.strength=null", r"^method\.layout: it adds the tone that"),
    ],
)
def test_a_method_that_does_not_fit_the_model_is_refused_before_anything_loads(
    stage: str, method: str, expected: str
) -> None:
    name, *further = method.split()
    options = [f"stage={part}" if i == 0 else part for i, part in enumerate(stage.format(name).split())]
    config = load([*options, f"method=[{name}]", *further, "model.num_steps=2"])
    for refused in (lambda: estimated(config), lambda: stages.component(config.stage.kind).run(config)):
        with pytest.raises(ConfigError, match=expected):
            refused()


@pytest.mark.parametrize("preference", ["shapes_clip", "null"])
def test_a_collection_costs_what_was_told(preference: str) -> None:
    options = ("stage=collect", *FEW, "method=[re_denoise]", f"stage.preference={preference}")
    options += ("stage.source_network=packaged/shapes", "stage.prompts_per_shard=1")
    before = estimate(*options)
    artifact = run(*options)
    counts = artifact.record["counts"]
    assert before.evaluations == Amount.exactly(counts["evaluations"])
    assert before.counts["pairs"] == Amount.exactly(counts["pairs"])
    stored = 0
    for file in artifact.path.glob("*.safetensors"):
        with safe_open(file, "numpy") as tensors:
            stored += sum(tensors.get_tensor(name).nbytes for name in ("source", "golden"))
    assert before.storage is not None
    assert before.storage.bytes == Amount.exactly(stored)
    assert estimate(*options).complete == artifact.reference


def test_samples_cost_what_was_told() -> None:
    options = ("stage=sample", "stage.prompt=a red circle", "method=[re_denoise]", "stage.seeds=[3]", *FEW[:2])
    before, artifact = estimate(*options), run(*options)
    table = pd.read_csv(artifact.path / "samples.csv")
    assert before.evaluations == Amount.exactly(int(table["num_evaluations"].sum()))
    assert estimate(*options).complete == artifact.reference


def test_a_schedule_is_bounded_by_its_longest_chains() -> None:
    options = ("stage=train_schedule", "stage.num_prompts=20", "stage.num_validation=4", "stage.num_updates=3")
    options += ("stage.prompts_per_update=2", "stage.num_rollouts=5", "stage.max_steps=7", "model.guidance=1")
    found = estimate(*options)
    assert found.evaluations == Amount(3 * 2 * 5 + 4, 7 * (3 * 2 * 5 + 4))
    assert found.counts["chains"] == Amount.exactly(30)


def test_what_an_earlier_stage_makes_is_no_missing_input() -> None:
    parts = [load([f"stage={stage}", "experiment=smoke"]) for stage in ("collect", "train", "eval", "report")]
    collect, train, evaluation, report = (text.splitlines() for text in told(parts).split("\n\n")[:4])
    assert collect[0] == "stage collect -> pairs/smoke (not made yet)"
    assert [line.split() for line in train if line.startswith("  input")] == [
        ["input", "pairs/smoke@latest", "made", "by", "stage", "collect", "before"]
    ]
    assert "made by stage train before" in "".join(evaluation)
    assert "made by stage eval before" in "".join(report)
    alone = told(parts[1:2])
    assert "missing: no pairs artifact called smoke" in alone
    assert "total" not in alone
    assert told(parts).splitlines()[-4] == "total of 4 stages to run"


def test_the_pairs_of_an_earlier_stage_say_what_training_takes() -> None:
    options = ("stage=train", "stage.num_epochs=2", "stage.validation_share=0.1", "stage.sample_every_epochs=0")
    for preference, expected in (("null", Amount(36, 36)), ("shapes_clip", Amount(0, 36))):
        collect = estimate(
            "stage=collect", "stage.num_prompts=20", "stage.num_seeds=2", f"stage.preference={preference}"
        )
        found = estimate(*options, earlier=[collect])
        assert found.counts["pairs to learn from"] == expected
        assert found.evaluations == Amount(0, 0)
    assert estimate(*options).evaluations is None


def test_the_disk_that_training_takes_is_told_with_the_option_that_takes_none() -> None:
    collect = estimate("stage=collect", "stage.num_prompts=20", "stage.preference=null", "scorer=[]")
    told = [
        estimate("stage=train", f"stage.frozen_inputs={kind}", earlier=[collect]).notes["work files"]
        for kind in ("disk", "compute")
    ]
    assert re.match(r"[\d.]+ [KM]iB, which stage\.frozen_inputs=compute does without, and checkpoints", told[0])
    assert told[1] == "checkpoints, while it trains"


def test_a_model_that_is_trained_before_is_no_missing_one() -> None:
    train = estimate("stage=train_model", "name=mine", "stage.num_images=4", "stage.num_validation=2")
    assert train.notes["passes of the UNet"] == "256,000 in training, 256,000 of them there and back"
    found = estimate("stage=eval", "model.path=model/mine@latest", "method=[standard]", earlier=[train])
    assert found.inputs == {"model/mine@latest": "made by stage train_model before"}
    assert found.storage is not None
    assert found.storage.bytes is None
    assert "missing: no model artifact called mine" in str(estimate("stage=eval", "model.path=model/mine@latest"))


def test_a_folder_of_images_is_counted(folder: Path) -> None:
    (folder / "images").mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8)).save(folder / f"images/{number}.png")
    (folder / "prompts.txt").write_text("a ring\na dog\na cat\n")
    options = ("stage=score", "stage.images=images", "prompts=file", "prompts.path=prompts.txt", "scorer=[shapes_clip]")
    assert estimate(*options).counts["scores"] == Amount.exactly(3)


def test_networks_to_convert_and_scores_to_compare_are_told() -> None:
    found = estimate("stage=convert", "stage.npnet=packaged/shapes", "stage.layout=flat")
    assert (found.artifact, list(found.inputs)) == ("checkpoint/shapes", ["packaged/shapes"])
    compared = estimate("stage=compare", "stage.scores={a:scores/a@v1,b:scores/b@v1}")
    assert all(known.startswith("missing: ") for known in compared.inputs.values())
    assert compared.counts["runs"] == Amount.exactly(2)
    assert estimate("stage=convert", "stage.npnet=owner/name").inputs == {
        "owner/name": "on the hub, or in its cache here"
    }


@pytest.mark.parametrize(
    "options",
    [
        ("stage=collect", "method=[standard,re_denoise]"),
        ("stage=collect", "stage.preference=hps"),
        ("stage=eval", "scorer=[]"),
        ("stage=eval", "stage.reference=npne"),
        ("stage=eval", "stage.num_prompts=2000"),
        ("stage=train", "stage.objective=layout_likelihood"),
        ("stage=train_schedule", "scorer=[]"),
        ("stage=train_schedule", "stage.num_prompts=10"),
        ("stage=train_model", "model=flux_dev"),
        ("stage=sample", "stage.prompt=a ring", "method=[standard]"),
        ("stage=score", "stage.images=nowhere", "scorer=[]"),
        ("stage=eval", "method=[standard,npnet]", "method.npnet.artifact=packaged/shapes", "model=shapes_turbo"),
    ],
)
def test_a_mistake_is_refused_in_the_words_of_the_run(options: Sequence[str]) -> None:
    words = []
    for what in (run, estimate):
        with pytest.raises((ConfigError, ArtifactError)) as raised:
            what(*options)
        words.append(str(raised.value))
    assert words[0] == words[1]


def made(**known: Any) -> Estimate:
    return Estimate("eval", "scores/shapes", **known)


def test_the_total_leaves_out_what_is_complete() -> None:
    size, unknown = Size(Amount(2**30, 2**31), "PNG"), Size(None, "nobody says")
    ahead = [
        made(evaluations=Amount.exactly(1000), storage=size, memory=Size(Amount(2**20, None))),
        made(evaluations=Amount.exactly(5), complete="scores/shapes@v1", storage=size),
        made(evaluations=Amount(1, 500), memory=Size(Amount(3 * 2**30, None))),
    ]
    lines = [line.split(maxsplit=1) for line in total(ahead).splitlines()]
    assert lines[0] == ["total", "of 2 stages to run"]
    assert [value for _, value in lines[1:]] == [
        "evaluations  1,001 to 1,500",
        "1.0 GiB to 2.0 GiB",
        "at least 3.0 GiB",
    ]
    assert "at least 1.0 GiB" in total([*ahead, made(storage=unknown)])
    assert "scores/shapes@v1 (complete, the run makes nothing)" in str(ahead[1])


def test_sizes_are_shown_in_their_unit() -> None:
    shown = [shown_bytes(Amount.exactly(num)) for num in (0, 1023, 1536, 5 * 2**20, 3 * 2**40)]
    assert shown == ["0 bytes", "1023 bytes", "1.5 KiB", "5.0 MiB", "3,072.0 GiB"]


def test_no_batch_reaches_into_two_pieces() -> None:
    assert [num_batches(num, 10, 4) for num in (0, 1, 10, 12, 25)] == [0, 1, 3, 4, 8]
