"""The command line: exit codes, no traceback, sweeps, where Hydra writes."""

import contextlib
import errno
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from goldennoise import stages
from goldennoise.__main__ import main
from goldennoise.config.compose import RunConfig
from goldennoise.errors import DataError
from goldennoise.stages import report

Run = Callable[..., tuple[int, str, str]]
FINISHED = SimpleNamespace(reference="report/shapes@v1", path="outputs/report/shapes/v1")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The command line in this process, with a stage that does what `stage` says; exit code, stdout, stderr."""

    def command(*overrides: str, stage: Callable[[RunConfig], object]) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr(logging, "raiseExceptions", True)
        monkeypatch.setattr(sys, "argv", ["goldennoise", "stage=report", *overrides])
        monkeypatch.setattr(stages, "component", lambda _: SimpleNamespace(Config=report.Config, run=stage))
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    before = signal.getsignal(signal.SIGTERM)
    yield command
    signal.signal(signal.SIGTERM, before)


def failing(error: BaseException) -> Callable[[RunConfig], object]:
    def stage(_: RunConfig) -> object:
        raise error

    return stage


def in_a_process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "goldennoise", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("stage.marginn=1", "did you mean stage.margin?"),
        ("stage=evall", "did you mean eval?"),
        ("method=[re_denois", "cannot be read as an option"),
    ],
)
def test_mistake_ends_with_code_2(tmp_path: Path, override: str, expected: str) -> None:
    result = in_a_process(tmp_path, override)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_missing_input_ends_with_code_2(tmp_path: Path) -> None:
    result = in_a_process(tmp_path, "stage=report", "name=nothing")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: no scores artifact called nothing")
    assert result.stderr.count("\n") == 1


def test_config_is_shown_and_help_lists_the_options(tmp_path: Path) -> None:
    shown = in_a_process(tmp_path, "--cfg", "job", "stage=eval", "experiment=paper_recipe_shapes")
    assert shown.returncode == 0
    assert "num_prompts: 32" in shown.stdout
    helped = in_a_process(tmp_path, "--help")
    assert helped.returncode == 0
    assert "stage: all, all_demo, all_eval, all_layouts, all_one_more_step, all_predict, " in helped.stdout
    assert "noise_levels: cauchy, cosine, " in helped.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_an_experiment_has_by_another_name_is_refused(tmp_path: Path) -> None:
    result = in_a_process(tmp_path, "experiment=demo", "stage=train")
    assert result.returncode == 2
    assert result.stderr == "error: stage=train: experiment=demo has this stage as stage=train_layouts\n"
    result = in_a_process(tmp_path, "experiment=demo", "stage=all")
    assert result.returncode == 2
    assert result.stderr == "error: stage=collect: experiment=demo has this stage as stage=collect_layouts\n"


def test_a_mistake_in_one_of_several_stages_is_one_sentence(tmp_path: Path) -> None:
    for chosen, expected in (("[report,colect]", "stage=colect: there is no such stage"), ("[[1]]", "stage.stages=")):
        result = in_a_process(tmp_path, "stage=all", f"stage.stages={chosen}")
        assert result.returncode == 2
        assert result.stderr.startswith(f"error: {expected}")
        assert result.stderr.count("\n") == 1


def test_composing_loads_no_torch() -> None:
    script = (
        "import sys\nfrom goldennoise.config.compose import load\nfrom goldennoise.errors import ConfigError\n"
        "try:\n    load(['stage.marginn=1'])\nexcept ConfigError:\n    sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=300).returncode == 0


def test_success_prints_the_artifact(run: Run, tmp_path: Path) -> None:
    seen: list[RunConfig] = []

    def stage(config: RunConfig) -> object:
        seen.append(config)
        return FINISHED

    code, out, err = run("seed=3", stage=stage)
    assert (code, out, err) == (0, "report/shapes@v1  outputs/report/shapes/v1\n", "")
    assert [config.seed for config in seen] == [3]
    written = [path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*") if path.is_file()]
    assert set(written) <= {("outputs", "logs")}


def test_only_the_first_process_prints(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run(stage=lambda _: FINISHED)[:2] == (0, "")


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (DataError("prompts.csv: line 3 is empty"), 2, "error: prompts.csv: line 3 is empty\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: no space left on the disk: free some "),
        (RuntimeError("Error: No space left on device (os error 28)"), 2, "error: no space left on the disk"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), 2, "error: no memory left on the GPU: set a smaller"),
        (torch.AcceleratorError("CUDA error: out of memory"), 2, "error: no memory left on the GPU: set a smaller"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"), 2, "error: no memory left on the GPU: set a"),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), 2, "error: no permission for /data"),
        (KeyboardInterrupt(), 130, "\nStopped; the same command goes on from here.\n"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "outputs/pairs"), 2, "error: outputs/pairs: Not a dir"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 999), 2, f"error: {'x' * 80}...: File name too long"),
        (MemoryError("Unable to allocate 7 TiB"), 2, "error: no memory left: set smaller sizes"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            2,
            "error: no memory left: set smaller",
        ),
        (DataError("line 1\nline 2"), 2, "error: line 1 line 2\n"),
    ],
)
def test_what_goes_wrong_in_a_stage(run: Run, error: BaseException, code: int, expected: str) -> None:
    left, out, err = run(stage=failing(error))
    assert (left, out) == (code, "")
    assert err.startswith(expected)
    assert "Traceback" not in err


def test_a_long_message_keeps_its_beginning_and_its_end(run: Run) -> None:
    _, _, err = run(stage=failing(DataError(f"prompts.csv: {'x' * 9999}; write it in UTF-8")))
    assert len(err) < 620
    assert err.startswith("error: prompts.csv: xxx")
    assert err.endswith("xxx; write it in UTF-8\n")


@pytest.mark.parametrize("meanwhile", [None, RuntimeError("DataLoader worker is killed by signal: Terminated")])
def test_sigterm_ends_as_ctrl_c_does(run: Run, meanwhile: Exception | None) -> None:
    def stage(_: RunConfig) -> object:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            if meanwhile is not None:
                raise meanwhile
        return FINISHED

    code, out, err = run(stage=stage)
    assert (code, out) == (143, "")
    assert "Traceback" not in err
    assert err.endswith("\nStopped; the same command goes on from here.\n")


def test_sigterm_is_told_where_a_server_takes_it_for_its_own_end(run: Run) -> None:
    def stage(_: RunConfig) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)

    assert run(stage=stage) == (143, "", "\nStopped; the same command goes on from here.\n")


def test_a_defect_of_ours_keeps_its_traceback(run: Run) -> None:
    with pytest.raises(ZeroDivisionError):
        run(stage=failing(ZeroDivisionError()))


def test_a_value_error_of_ours_is_no_mistake_of_the_user(run: Run) -> None:
    with pytest.raises(ValueError, match="ours"):
        run(stage=failing(ValueError("ours")))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--nonsense"], "--nonsense: there is no such flag; --help lists them"),
        (["--cfg"], "--cfg: argument --cfg/-c: expected one argument; --help lists the flags"),
        (["--experimental-rerun=job.pickle"], "--experimental-rerun reads a pickle, which could run code"),
        (["--config-dir=nowhere"], "Additional config directory '"),
        (["model=shapes", "stage.margin"], "stage.margin: this cannot be read as an option; write KEY=VALUE"),
        (["-m", "model=[1],[2]"], "model=[1],[2]: model takes one option; choose from "),
        (["-m", "seed=1,2", "model=shapes,nonsense"], "model=nonsense: there is no such model; choose from "),
        (["outputs="], "outputs='': outputs must be a folder"),
        (
            ["outputs=" + "x" * 300],
            "x" * 80 + "... cannot be made (File name too long): choose a folder with outputs=DIR",
        ),
        (["stage.kind=../../../../escaped"], "../../../../escaped: the name of a folder must be letters"),
        (["name=caf\udce9"], "name=caf\\udce9: this has bytes that are no text; write it in UTF-8"),
    ],
)
def test_what_is_wrong_on_the_command_line(run: Run, tmp_path: Path, arguments: list[str], expected: str) -> None:
    code, out, err = run(*arguments, stage=failing(AssertionError("must not run")))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert len(err) < 620
    assert {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*")} <= {("outputs",), ("outputs", "logs")}


@pytest.mark.parametrize("option", ["hydra.run='???'", "hydra.verbose=null"])
def test_what_hydra_cannot_use_of_its_own_options(run: Run, option: str) -> None:
    code, _, stderr = run(option, stage=lambda _: pytest.fail("no stage runs"))
    assert code == 2
    assert stderr == f"error: {option}: Hydra cannot use its own options so; leave them out\n"


def test_flags_stand_anywhere(tmp_path: Path) -> None:
    for flags, expected in ((["--cfg", "job"], "seed: 3"), (["--info"], "Config search path")):
        shown = in_a_process(tmp_path, "stage=eval", *flags, "seed=3")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert expected in shown.stdout


def test_a_relative_path_means_the_folder_of_the_start(run: Run, tmp_path: Path) -> None:
    seen: list[Path] = []
    run("hydra.job.chdir=true", stage=lambda config: seen.append(Path(config.outputs).absolute()))
    assert seen == [tmp_path / "outputs"]


def test_home_is_expanded_for_logs_too(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    seen: list[str] = []
    run("outputs=~/noise", stage=lambda config: seen.append(config.outputs))
    assert seen == [str(tmp_path / "home" / "noise")]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["noise"]


def test_outputs_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run("outputs=file", stage=lambda _: FINISHED)
    assert code == 2
    assert err.startswith("error: file/logs")
    assert "choose a folder with outputs=DIR" in err


def test_sweep_runs_once_per_value_and_goes_on_after_a_mistake(run: Run) -> None:
    seen: list[int] = []

    def stage(config: RunConfig) -> object:
        seen.append(config.seed)
        if config.seed == 1:
            raise DataError("no prompts")
        return FINISHED

    code, out, err = run("-m", "seed=1,2", stage=stage)
    assert seen == [1, 2]
    assert code == 2
    assert "report/shapes@v1" in out
    assert err.count("error: no prompts") == 1


def test_a_defect_in_a_job_of_a_sweep_keeps_its_traceback(run: Run) -> None:
    with pytest.raises(ValueError, match="ours") as raised:
        run("-m", "seed=1,2", stage=failing(ValueError("ours")))
    assert "Raised by a job of the sweep." in raised.value.__notes__


@pytest.mark.parametrize("group", ["hydra/sweeper", "hydra/launcher"])
def test_a_plugin_that_is_not_installed_is_told_how_to_install(run: Run, group: str) -> None:
    code, _, err = run("-m", "seed=1,2", f"{group}=nonsense", stage=lambda _: pytest.fail("no stage runs"))
    assert code == 2
    assert err.startswith(f"error: {group}=nonsense: there is no such {group}; choose from ")
    assert err.endswith("are installed with uv pip install -e '.[sweeps]', ray with hydra-ray-launcher\n")


@pytest.mark.parametrize("chosen", ["hydra/sweeper=basic", "hydra/launcher=basic"])
def test_a_plugin_without_a_sweep_is_refused(run: Run, chosen: str) -> None:
    code, _, err = run(chosen, stage=lambda _: pytest.fail("no stage runs"))
    assert (code, err) == (2, f"error: {chosen}: it acts on a sweep; add -m\n")


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_stage_that_ray_cannot_deal_out_is_refused_before_the_first(tmp_path: Path, dry_run: bool) -> None:
    done = in_a_process(tmp_path, "stage=all", "compute=ray", f"dry_run={dry_run}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: compute.ray=auto: train has no units that Ray could deal out; run it with")
    assert not (tmp_path / "outputs/pairs").exists()


def test_sweep_on_several_devices_is_refused(run: Run) -> None:
    code, _, err = run("compute.devices=2", "seed=1,2", "-m", stage=failing(AssertionError("must not run")))
    assert code == 2
    assert err.count("error: ") == 1
    assert "torchrun --nproc-per-node 2 -m goldennoise stage=report compute.devices=2 seed=1" in err


def test_log_file_holds_the_error(run: Run, tmp_path: Path) -> None:
    run(stage=failing(DataError("no prompts")))
    (log,) = tmp_path.glob("outputs/logs/*_report/goldennoise.log")
    assert "error: no prompts" in log.read_text()


@pytest.mark.parametrize(
    ("before", "after"),
    [({}, "10000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None), ({"GOMP_SPINCOUNT": "7"}, "7")],
)
def test_threads_that_wait_leave_the_cores_to_others(
    run: Run, monkeypatch: pytest.MonkeyPatch, before: dict[str, str], after: str | None
) -> None:
    for variable in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        # What the command line sets is taken back at the end of the test.
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    for variable, value in before.items():
        monkeypatch.setenv(variable, value)
    seen: list[str | None] = []
    run(stage=lambda _: seen.append(os.environ.get("GOMP_SPINCOUNT")))
    assert seen == [after]
