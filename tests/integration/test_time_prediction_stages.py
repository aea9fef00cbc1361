"""A learned schedule through the command line on the shapes world, from captions to the page."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from integration.in_process import Ended, run

from goldennoise.config.compose import load
from goldennoise.stages.demo_app import sampler

TINY = ("name=tiny", "compute=cpu", "scorer=[shapes_clip,shapes_verifier]")
BRIEF = (
    "stage.num_updates=2",
    "stage.prompts_per_update=2",
    "stage.num_rollouts=2",
    "stage.num_prompts=8",
    "stage.num_validation=3",
    "stage.max_steps=5",
    "stage.init_alpha=0",
    "stage.min_level=0.05",
)
FEW = ("stage.num_prompts=6", "stage.num_seeds=1", "stage.num_bootstrap=100")


def ended(folder: Path, *arguments: str) -> Ended:
    done = run([*TINY, *arguments], folder)
    assert done.code in (0, None), done.stderr
    assert not done.faults(), done.faults()
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A schedule."""
    folder = tmp_path_factory.mktemp("time_prediction")
    done = ended(folder, "stage=train_schedule", *BRIEF)
    assert "steps for 3 held-out prompts, the shared schedule has" in done.stdout
    return folder


def test_a_schedule_is_its_network_its_progress_and_its_levels(folder: Path) -> None:
    artifact = folder / "outputs/schedule/tiny/v1"
    record = json.loads((artifact / "record.json").read_text())
    assert {*record["files"]} == {
        *("config.json", "levels.json", "model.safetensors", "progress.parquet", "training.json")
    }
    levels = json.loads((artifact / "levels.json").read_text())
    assert [len(levels[name]) for name in ("shared", "chosen")] == [1, 3]
    assert all(chain[0] == 1 and chain[-1] == 0 for chain in levels["chosen"])
    assert record["counts"]["mean_steps"] == pytest.approx(sum(len(chain) - 1 for chain in levels["chosen"]) / 3)
    assert record["counts"]["prompts"] == 5
    assert len(pd.read_parquet(artifact / "progress.parquet")) == 2
    assert not (artifact / "work").exists()


def test_a_killed_training_goes_on_and_a_finished_one_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from goldennoise.training.time_prediction import loop

    def killed(*arguments: object) -> object:
        if arguments[6] == 1:
            raise KeyboardInterrupt
        return rollouts(*arguments)  # type: ignore[arg-type]

    rollouts = loop.rollouts
    with monkeypatch.context() as patched:
        patched.setattr(loop, "rollouts", killed)
        run([*TINY, "stage=train_schedule", *BRIEF, "name=killed"], folder)
    assert not (folder / "outputs/schedule/killed/v1/record.json").exists()
    ended(folder, "stage=train_schedule", *BRIEF, "name=killed")
    ours, whole = (folder / "outputs/schedule" / name / "v1" for name in ("killed", "tiny"))
    for name in ("model.safetensors", "progress.parquet", "levels.json"):
        assert (ours / name).read_bytes() == (whole / name).read_bytes()
    ended(folder, "stage=train_schedule", *BRIEF)
    assert not (folder / "outputs/schedule/tiny/v2").exists()


def test_from_a_schedule_to_the_page(folder: Path) -> None:
    listed = "+method.leading_3={kind: fixed_schedule, timesteps: [999, 499.5, 0]}"
    ended(folder, "stage=eval_schedule", *FEW, listed)
    scores = folder / "outputs/scores/tiny/v1"
    summary = json.loads((scores / "summary.json").read_text())
    assert summary["reference"] == "time_prediction_shared"
    assert summary["scorers"]["shapes_clip"]["role"] == "selecting"
    assert summary["scorers"]["shapes_verifier"]["role"] == "reporting"
    levels = pd.read_parquet(scores / "levels.parquet")
    for method, rows in levels.groupby("method"):
        steps = rows["levels"].map(len) - 1
        assert summary["methods"][method]["evaluations_per_image"] == pytest.approx(2 * steps.mean())
        assert len(rows) == 6
    chosen = json.loads((folder / "outputs/schedule/tiny/v1/levels.json").read_text())
    of = {method: [tuple(row) for row in rows["levels"]] for method, rows in levels.groupby("method")}
    assert {*of["time_prediction_shared"]} == {tuple(chosen["shared"][0])}
    assert {*of["time_prediction_shuffled"]} <= {tuple(chain) for chain in chosen["chosen"]}
    assert len({*of["time_prediction_shuffled"]}) > 1
    assert min(map(len, of["time_prediction_untrained"])) > max(map(len, of["time_prediction"]))
    ended(folder, "stage=report", "scorer=[]")
    page = (folder / "outputs/report/tiny/v1/index.html").read_text()
    for words in (
        "Levels chosen for each image (time_prediction) change shapes_verifier by",
        "against the same levels for every image (time_prediction_shared), at",
        "against levels chosen for other prompts (time_prediction_shuffled), at",
        "What the levels are worth",
        "of trailing_20",
        "The levels that time_prediction chose",
        "Training of schedule/tiny@v1",
    ):
        assert words in page
    assert "What the levels are worth" in (folder / "outputs/report/tiny/v1/tables.md").read_text()


def test_a_sampler_of_other_steps_is_refused_before_an_image(folder: Path) -> None:
    odd = ("model.scheduler=dpmpp_2m", "method.time_prediction.artifact=schedule/tiny@v1", "stage.other_model=allow")
    for stage in (("stage=sample", "stage.prompt=a"), ("stage=eval", *FEW)):
        done = run([*TINY, *stage, "method=[standard,time_prediction]", *odd, "name=refused"], folder)
        assert (done.code, done.faults()) == (2, [])
        assert "is walked in DDIM steps" in done.sentences[0]
    assert not list((folder / "outputs").rglob("refused/**/*.png"))


def test_one_prompt_is_sampled_on_its_own_levels(folder: Path) -> None:
    ended(folder, "stage=sample", "stage.prompt=a red circle", "method=[time_prediction]", "stage.num_seeds=2")
    table = pd.read_csv(folder / "outputs/samples/tiny/v1/samples.csv")
    assert table.groupby("method")["num_evaluations"].mean()["time_prediction"] < 40


def test_the_page_to_try_prompts_on_takes_it(folder: Path) -> None:
    options = ["stage=demo_app", "method=[time_prediction]", "method.time_prediction.artifact=schedule/tiny@v1"]
    config = load([*options, *TINY[1:], "name=tried", f"outputs={folder / 'outputs'}"])
    assert sampler(config)("a red circle", 3, 1).is_file()


def test_an_npnet_may_be_called_by_the_same_name(folder: Path) -> None:
    """What kind of artifact a method takes is the method's to say."""
    done = run([*TINY, "stage=eval", *FEW, "method=[standard,npnet]"], folder)
    assert (done.code, done.faults()) == (2, [])
    assert "npnet" in done.sentences[0]
    assert "schedule" not in done.sentences[0].split(": ", 1)[1].split(";")[0]


OTHER = ("name=other", "method.time_prediction.artifact=schedule/tiny@v1")
REFUSED: list[tuple[Sequence[str], str]] = [
    (
        ("stage=eval", *FEW, "method=[standard,npnet]", "method.npnet.artifact=schedule/tiny@v1"),
        "schedule/tiny@v1",
    ),
    (
        ("stage=eval", *FEW, "method=[standard,time_prediction]", "method.time_prediction.artifact=packaged/shapes"),
        "packaged/shapes",
    ),
    (
        ("stage=eval", *FEW, "method=[standard,time_prediction]", "model.guidance=2", "model=shapes_turbo"),
        "schedule/tiny@v1 was trained for another model",
    ),
    (
        ("stage=eval", *FEW, "method=[standard,time_prediction]", "model.scheduler=dpmpp_2m"),
        "method time_prediction: A schedule of a method's own is walked in DDIM steps",
    ),
    (
        ("stage=eval", *FEW, "method=[standard,time_prediction]", "compute.compile=true", *OTHER),
        "A compiled denoiser does not show its features",
    ),
    (
        ("stage=eval", *FEW, "method=[standard,time_prediction]", "method.time_prediction.min_level=1"),
        "min_level must be null or above 0 and below 1",
    ),
    (
        ("stage=eval", *FEW, "method=[standard,time_prediction]", "method.time_prediction.max_steps=0"),
        "max_steps must be null or at least 1",
    ),
    (
        ("stage=eval", *FEW, "method=[standard,time_prediction_shared]", "method.time_prediction_shared.artifact=null"),
        "mode must be adaptive without an artifact",
    ),
    (
        ("stage=collect", "method=[time_prediction]"),
        "it changes the schedule of sampling and not the noise",
    ),
    (("stage=train_schedule", *BRIEF, "stage.reward_scorer=clipscore"), "must be one of the scorers of this run"),
    (
        ("stage=train_schedule", *BRIEF, "stage.reward_scorer=shapes_verifier", "name=other"),
        "shapes_verifier",
    ),
    (
        ("stage=train_schedule", *BRIEF, "stage.discount=1.5", "stage.step_price=null"),
        "discount must be null or above 0 and at most 1",
    ),
    (("stage=train_schedule", *BRIEF, "stage.discount=0.97"), "step_price must be null beside a discount"),
    (("stage=train_schedule", *BRIEF, "stage.num_rollouts=1"), "num_rollouts must be at least 2"),
    (("stage=train_schedule", *BRIEF, "stage.num_validation=8"), "of 8 prompts none is left to learn from"),
    (("stage=train_schedule", *BRIEF, "stage.prompts_per_update=6"), "only 5 prompts are left to learn from"),
    (("stage=train_schedule", *BRIEF, "stage.init_alpha=-20"), "init_alpha must be at least -10 and at most 10"),
    (("stage=train_schedule", *BRIEF, "stage.max_steps=1"), "max_steps must be at least 2"),
    (("stage=train_schedule", *BRIEF, "stage.min_level=nan"), "min_level must be"),
    (("stage=train_schedule", *BRIEF, "compute.compile=true"), "set it to false"),
    (("stage=train_schedule", *BRIEF, "compute.devices=2"), "in one process on one device"),
    (("stage=train_schedule", *BRIEF, "model.scheduler=dpmpp_2m", "name=other"), "ddim"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_what_does_not_fit_is_one_sentence(folder: Path, arguments: Sequence[str], words: str) -> None:
    done = run([*TINY, *arguments], folder)
    assert done.code == 2, done.stderr
    assert not done.faults(), done.faults()
    assert words in done.sentences[0]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("levels.json", b"{}", "levels.json"),
        ("model.safetensors", b"x", "model.safetensors"),
        ("config.json", b"{}", "config.json"),
    ],
)
def test_a_damaged_schedule_is_named(folder: Path, name: str, content: bytes, words: str) -> None:
    artifact = folder / "outputs/schedule/tiny/v1"
    kept = (artifact / name).read_bytes()
    copy = folder / "copy"
    shutil.copytree(artifact, copy, dirs_exist_ok=True)
    (copy / name).write_bytes(content)
    method = "method.time_prediction_shared.artifact" if name == "levels.json" else "method.time_prediction.artifact"
    chosen = (
        "method=[standard,time_prediction_shared]" if name == "levels.json" else "method=[standard,time_prediction]"
    )
    done = run([*TINY, "stage=eval", *FEW, chosen, f"{method}={copy}", "name=damaged"], folder)
    assert (done.code, done.faults()) == (2, [])
    assert words in done.sentences[0]
    assert (artifact / name).read_bytes() == kept
