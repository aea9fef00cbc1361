"""The pinned packages and the Python that `make setup` takes, for machines other than this one."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
MAC = {"sys_platform": "darwin", "platform_machine": "arm64"}
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64"}


def names(environment: dict[str, str], python: str) -> set[str]:
    """What the lock file installs on such a machine."""
    told = environment | {"python_version": python, "python_full_version": f"{python}.1"}
    pins = map(Requirement, LINES)
    return {pin.name for pin in pins if pin.marker is None or pin.marker.evaluate(told)}


def test_the_lock_file_holds_names_and_versions_only() -> None:
    for line in LINES:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+( ; [^@/]+)?", line), line


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_what_needs_a_gpu_of_nvidia_is_pinned_for_linux_alone(python: str) -> None:
    gpu = {name for name in names(LINUX, python) if re.match("nvidia-|cuda-|triton", name)}
    assert len(gpu) > 10
    assert names(MAC, python) >= names(LINUX, python) - gpu
    assert not gpu & names(MAC, python)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_setup_takes_whichever_python_there_is(tmp_path: Path, version: str) -> None:
    (tmp_path / f"python{version}").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    for file in tmp_path.iterdir():
        file.chmod(0o755)
    make = ["/usr/bin/make", "-n", "--assume-new=requirements.lock", "setup"]
    steps = subprocess.run(make, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert f"python{version} -m venv .venv" in steps.stdout


def test_setup_without_a_fitting_python_says_so() -> None:
    make = ["make", "--assume-new=requirements.lock", "setup", "PYTHON=false"]
    tried = subprocess.run(make, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, check=False)
    assert tried.returncode != 0
    assert "false is no Python from 3.11 to 3.13: name one with PYTHON=PATH" in tried.stdout


def test_setup_for_the_cpu_leaves_out_what_a_gpu_needs() -> None:
    make = ["make", "-n", "--assume-new=requirements.lock", "setup", "TORCH_BACKEND=cpu"]
    steps = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--torch-backend cpu -r .venv/requirements.txt" in steps
    (chosen,) = (line.partition(" > ")[0] for line in steps.splitlines() if line.startswith("grep"))
    kept = subprocess.run(chosen, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert kept.splitlines() == [line for line in LINES if not re.match("nvidia-|cuda-|triton", line)]
