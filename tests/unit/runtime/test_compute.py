"""Devices, and telling a full disk from other failures."""

import errno
import os
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from goldennoise.errors import ConfigError
from goldennoise.generation.noise import noise_statistics
from goldennoise.runtime.compute import ComputeConfig, computes_natively
from goldennoise.store.files import disk_full


@pytest.fixture(autouse=True)
def _without_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a choice of the GPU sets is put back, too."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")


@pytest.mark.parametrize(
    ("device", "available", "variable", "expected"),
    [
        ("cpu", True, "LOCAL_RANK", "cpu"),
        ("auto", False, "LOCAL_RANK", "cpu"),
        ("auto", True, "LOCAL_RANK", "cuda:3"),
        ("cuda", True, "SLURM_LOCALID", "cuda:3"),
        ("cuda", True, "NOTHING", "cuda:0"),
    ],
)
def test_device(monkeypatch: pytest.MonkeyPatch, device: str, available: bool, variable: str, expected: str) -> None:
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert str(ComputeConfig(device=device).torch_device()) == expected


def test_matrix_products_on_a_gpu_are_set_deterministic_before_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    ComputeConfig(device="cpu").torch_device()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    ComputeConfig().torch_device()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    ComputeConfig().torch_device()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_more_processes_than_gpus_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="process 3 of this machine sees 1 GPU: start no more processes"):
        ComputeConfig().torch_device()


def test_missing_cuda_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"compute\.device=cuda: this machine has no CUDA device"):
        ComputeConfig(device="cuda").torch_device()


def test_mps_is_taken_where_it_is_and_refused_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert str(ComputeConfig(device="mps").torch_device()) == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"compute\.device=mps: this machine has no Metal device"):
        ComputeConfig(device="mps").torch_device()
    for refused in ({"devices": 2}, {"offload": True}):
        with pytest.raises(ConfigError, match="on mps"):
            ComputeConfig(device="mps", **refused)


class NoFloat64(TorchFunctionMode):
    """As MPS refuses it, on a device that every machine has."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.Tensor.double and args[0].is_meta:
            raise TypeError("MPS has no float64")
        if function is torch.Tensor.cpu and args[0].is_meta:
            return torch.ones(args[0].shape)
        return function(*args, **(kwargs or {}))


def test_statistics_of_noise_need_no_float64_on_the_device() -> None:
    with NoFloat64():
        found = noise_statistics(torch.empty(2, 4, 8, 8, device="meta"))
    assert {(tensor.dtype, tensor.device.type) for tensor in found.values()} == {(torch.float64, "cpu")}


def test_number_of_threads_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    ComputeConfig(device="cpu").torch_device()
    ComputeConfig(device="cpu", num_threads=2).torch_device()
    assert asked == [2]


@pytest.mark.parametrize(
    ("dtype", "device", "features", "expected"),
    [
        ("float32", "cpu", {}, True),
        ("bfloat16", "cpu", {"avx2": True, "avx512_f": True}, False),
        ("bfloat16", "cpu", {"avx512_bf16": True}, True),
        ("bfloat16", "cpu", {"amx_bf16": True}, True),
        ("float16", "cpu", {"avx512_bf16": True}, False),
        ("bfloat16", "cuda", {}, True),
        ("bfloat16", "cpu", {"architecture": "aarch64"}, True),
    ],
)
def test_number_formats_without_instructions(
    monkeypatch: pytest.MonkeyPatch, dtype: str, device: str, features: dict[str, object], expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64"} | features)
    assert computes_natively(dtype, torch.device(device)) is expected


def test_disk_full_is_told_from_other_errors() -> None:
    assert disk_full(OSError(errno.ENOSPC, "No space left on device"))
    assert disk_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert not disk_full(OSError(errno.EACCES, "Permission denied"))
