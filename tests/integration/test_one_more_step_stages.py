"""One More Step through the command line on the shapes world, from captions to the page."""

import json
from pathlib import Path

import pandas as pd
import pytest
from integration.in_process import Ended, run

TINY = (
    "experiment=one_more_step_shapes",
    "model.num_steps=2",
    "scorer=[shapes_verifier,shapes_tone]",
    "compute=cpu",
)


def ended(folder: Path, *arguments: str) -> Ended:
    done = run([*TINY, *arguments], folder)
    assert done.code in (0, None), done.stderr
    assert not done.faults(), done.faults()
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs and a network."""
    folder = tmp_path_factory.mktemp("one_more_step")
    ended(folder, "stage=collect_one_more_step", "stage.num_prompts=12", "stage.prompts_per_shard=6")
    small = ("stage.num_epochs=2", "stage.batch_size=4", "npnet.block_out_channels=[16,16]")
    ended(folder, "stage=train_one_more_step", "stage.validation_share=0.25", *small)
    return folder


@pytest.mark.slow
def test_from_captions_to_scores(folder: Path) -> None:
    pairs = pd.read_parquet(next((folder / "outputs/pairs/one_more_step_shapes/v1").glob("*.parquet")))
    assert [prompt.split()[0] for prompt in pairs["prompt"][:3]][1:] == ["dark", "bright"]
    record = json.loads((folder / "outputs/npnet/one_more_step_shapes/v1/record.json").read_text())
    assert record["counts"]["val_loss"] > 0
    tiny = ("stage.num_prompts=2", "stage.num_seeds=1", "stage.num_bootstrap=100")
    ended(folder, "stage=eval_one_more_step", *tiny, "method=[standard,one_more_step]")
    scores = pd.read_parquet(folder / "outputs/scores/one_more_step_shapes/v1/scores.parquet")
    assert set(scores["method"]) > {"standard", "trailing", "tone", "one_more_step", "one_more_step_dark"}
    summary = json.loads((folder / "outputs/scores/one_more_step_shapes/v1/summary.json").read_text())
    assert {method["evaluations_per_image"] for method in summary["methods"].values()} == {4.0}
    assert not scores["prompt"].str.startswith("dark").any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("stage=eval", "stage.num_prompts=2", "method=[standard,npnet]"),
            "predicts an image, not noise: give it to method=[one_more_step]",
        ),
        (
            (
                "stage=eval",
                "stage.num_prompts=2",
                "method=[standard,one_more_step]",
                "method.one_more_step.artifact=packaged/shapes",
                "model.tone=null",
            ),
            "packaged/shapes predicts noise, not an image: give it to method=[npnet]",
        ),
        (
            (
                "stage=eval",
                "stage.num_prompts=2",
                "method=[standard,one_more_step]",
                "method.one_more_step.prompt=dark",
            ),
            "a text with {prompt}",
        ),
        (
            ("stage=train_one_more_step", "stage.objective=regression"),
            "with npnet.kind=one_more_step: networks that draw images learn by one_more_step",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run(["name=one_more_step_shapes", "compute=cpu", *arguments], folder)
    assert done.code == 2
    assert not done.faults()
    assert words in done.sentences[0]
