"""Sweeps by Optuna through the command line: a stopped study goes on, and what cannot be swept is one sentence."""

import math
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldennoise import __main__ as command_line
from goldennoise.config.compose import RunConfig
from goldennoise.errors import ArtifactError, DataError
from goldennoise.store.drafts import Lock

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")

Sweep = Callable[..., tuple[int, str, str]]
METRIC = "stage.objective_metric=val_loss"
SPACE = "stage.learning_rate=tag(log, interval(1e-5, 1e-1))"
GOAL = 1e-3


def loss(config: RunConfig) -> float:
    return float(abs(math.log(config.stage.learning_rate / GOAL)))


class Trials:
    """In place of the stage: the learning rates that it was run with. end: raised by the run of this number."""

    def __init__(self, **end: BaseException) -> None:
        self.seen: list[float] = []
        self.ends = {int(number.removeprefix("run_")): error for number, error in end.items()}

    def __call__(self, config: RunConfig) -> float:
        self.seen.append(config.stage.learning_rate)
        if (error := self.ends.get(len(self.seen))) is not None:
            raise error
        return loss(config)


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Sweep]:
    def command(stage: Callable[[RunConfig], float], *overrides: str, num: int = 4) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(command_line, "run_stage", stage)
        own = ["-m", "stage=train", "hydra/sweeper=optuna", f"hydra.sweeper.n_trials={num}"]
        monkeypatch.setattr(sys, "argv", ["goldennoise", *own, *overrides])
        with pytest.raises(SystemExit) as left:
            command_line.main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    before = signal.getsignal(signal.SIGTERM)
    yield command
    signal.signal(signal.SIGTERM, before)


def databases() -> list[Path]:
    return sorted(Path("outputs/sweeps").glob("*.db"))


def test_the_best_of_all_trials_is_told_and_the_same_command_runs_no_more(sweep: Sweep) -> None:
    trials = Trials()
    code, out, _ = sweep(trials, METRIC, SPACE)
    assert (code, len(set(trials.seen))) == (0, 4)
    best = min(trials.seen, key=lambda rate: abs(math.log(rate / GOAL)))
    assert f"4 trials, the best has val_loss = {abs(math.log(best / GOAL)):.6g} with stage.learning_rate={best}" in out
    again = Trials()
    code, told, _ = sweep(again, METRIC, SPACE)
    assert (code, again.seen) == (0, [])
    assert told == out[out.index("study shapes-") :]
    more = Trials()
    sweep(more, METRIC, SPACE, "compute=cpu", num=6)
    assert len(more.seen) == 2
    assert not {*more.seen} & {*trials.seen}, "the sampler proposes nothing again"
    assert len(databases()) == 1


def test_a_stopped_study_runs_the_interrupted_trial_first_and_loses_none(sweep: Sweep) -> None:
    stopped, rest = Trials(run_3=KeyboardInterrupt()), Trials()
    assert sweep(stopped, METRIC, SPACE)[0] == 130
    code, out, _ = sweep(rest, METRIC, SPACE)
    assert code == 0
    assert rest.seen[0] == stopped.seen[-1]
    assert len(rest.seen) == 2
    assert len({*stopped.seen, *rest.seen}) == 4
    assert "4 trials" in out


def test_a_trial_that_fails_ends_the_sweep_and_is_not_run_again(sweep: Sweep) -> None:
    failing, rest = Trials(run_2=DataError("no prompts")), Trials()
    code, out, err = sweep(failing, METRIC, SPACE)
    assert (code, len(failing.seen), err.count("error: no prompts")) == (2, 2, 1)
    assert "1 trials, the best" in out
    assert sweep(rest, METRIC, SPACE)[0] == 0
    assert len({*failing.seen, *rest.seen}) == 5


def test_other_options_are_another_study_and_scores_are_maximised(sweep: Sweep) -> None:
    sweep(Trials(), METRIC, SPACE, num=1)
    sweep(Trials(), METRIC, SPACE, "seed=1", num=1)
    assert len(databases()) == 2
    rates = Trials()
    metric = "stage.objective_metric=shapes_clip of npnet"
    own = ["stage=eval", "prompts=shapes_validation", metric, "model.num_steps=range(1, 9)"]

    def steps(config: RunConfig) -> float:
        rates.seen.append(config.model.num_steps)
        return float(config.model.num_steps)

    code, out, _ = sweep(steps, *own, num=3)
    assert code == 0
    assert f"shapes_clip of npnet = {max(rates.seen)} with model.num_steps={max(rates.seen)}" in out


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([SPACE], "hydra/sweeper=optuna: needs a number to optimise; set stage.objective_metric="),
        ([METRIC, SPACE, "dry_run=true"], "dry_run=true: hydra/sweeper=optuna needs results"),
        ([METRIC, SPACE, "hydra/sweeper/sampler=grid"], "hydra/sweeper/sampler=grid: -m alone runs every"),
        ([METRIC, SPACE, "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: n_trials must be at least 1"),
        ([METRIC, SPACE, "hydra.sweeper.n_jobs=0"], "hydra.sweeper.n_jobs=0: n_jobs must be at least 1"),
        ([METRIC, SPACE, "hydra.sweeper.direction=up"], "hydra.sweeper.direction=up: direction must be minimize or"),
        ([METRIC, SPACE, "hydra.sweeper.storage=nowhere"], "hydra.sweeper.storage=nowhere: Optuna cannot open"),
        ([METRIC, SPACE, "hydra.sweeper.study_name=../x"], "hydra.sweeper.study_name=../x: study_name must be"),
        ([METRIC, "stage.learning_rat=choice(1,2)"], "there is no option learning_rat in stage"),
        ([METRIC, "stage.learning_rat=interval(1,2)"], "there is no option learning_rat in stage"),
        ([METRIC, "stage.batch_size=interval(1,8)"], "stage.batch_size=4.5: batch_size must be a whole number"),
        ([METRIC, "stage.learning_rate=interval(1e-2,1e-5)"], "an interval has two numbers, the lower one first"),
        ([METRIC, "stage.learning_rate=tag(log,interval(0,1))"], "an interval has two numbers, above 0, the lower one"),
        ([METRIC, "npnet=glob(*)"], "there is no such npnet; choose from "),
        (["stage.objective_metric=val_los", SPACE], "stage=train gives no such number; choose from val_loss; did you"),
        ([METRIC], "hydra/sweeper=optuna: no option is swept; give one a space"),
        ([METRIC, "stage.validation_share=choice(0.1,0.2)"], "stage.validation_share: it changes what val_loss is"),
        ([METRIC, SPACE, "outputs=/proc/nope"], "/proc/nope/sweeps cannot be made (No such file or directory): choose"),
        ([METRIC, SPACE, "compute=ray"], "compute.ray=auto: train has no units that Ray could deal out"),
        (
            ["stage=eval", "stage.objective_metric=shapes_clip of npnet", "model.guidance=interval(1,5)"],
            "the prompts are those of a benchmark (prompts=shapes_benchmark)",
        ),
    ],
)
def test_what_cannot_be_swept_is_one_sentence(sweep: Sweep, overrides: list[str], expected: str) -> None:
    trials = Trials()
    code, _, err = sweep(trials, *overrides)
    assert (code, trials.seen) == (2, [])
    (sentence,) = err.splitlines()
    assert expected in sentence
    assert databases() == [], "no study is left behind"


def test_another_command_of_the_same_study_waits(sweep: Sweep) -> None:
    refused: list[float] = []

    def stage(config: RunConfig) -> float:
        with pytest.raises(ArtifactError, match=r"is being written by process"):
            Lock(next(Path("outputs/sweeps").glob(".*.lock")))
        refused.append(loss(config))
        return loss(config)

    assert sweep(stage, METRIC, SPACE, num=1)[0] == 0
    assert refused
