"""NPNet written a second time: numpy, fp64, one sample at a time, over tensors of the published names."""

from collections.abc import Callable, Mapping

import numpy as np
import torch

Arrays = Mapping[str, np.ndarray]
Factors = tuple[np.ndarray, np.ndarray, np.ndarray]


def matrix_of(noise: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """einops "(a c) h w -> (a h) (c w)"."""
    return np.block([[noise[row * grid[1] + column] for column in range(grid[1])] for row in range(grid[0])])


def factors_of(matrix: np.ndarray, canonical: bool) -> Factors:
    u, s, vh = np.linalg.svd(matrix, full_matrices=False)
    for k in range(len(s) if canonical else 0):
        if u[np.argmax(np.abs(u[:, k])), k] < 0:
            u[:, k], vh[k] = -u[:, k], -vh[k]
    return u, s, vh


def golden_noise(
    arrays: Arrays,
    swin: Callable[[torch.Tensor], torch.Tensor],
    noise: np.ndarray,
    text: np.ndarray,
    factors: Factors,
    grid: tuple[int, int],
    vector_mean: str = "before",
) -> np.ndarray:
    """noise (C, h, w), text (tokens, dim) to (C, h, w); attention is left out where its tensors are absent.

    vector_mean: whether the mean over the singular vectors is taken "before" MLP4 or "after" it.
    """
    scale, shift = np.split(_linear(arrays, "embeeding.linear", text.reshape(-1)), 2)
    normal = (noise - noise.mean()) / np.sqrt(noise.var() + 1e-6)
    embedding = normal * (1 + scale[:, None, None]) + shift[:, None, None]
    alpha, beta = arrays["alpha"].item(), arrays["beta"].item()
    gate = 2 / (1 + np.exp(-alpha)) - 1
    residual = _residual(arrays, swin, noise + embedding)
    return _singular(arrays, noise.shape, factors, grid, vector_mean) + gate * embedding + beta * residual


def _linear(arrays: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    bias = arrays.get(f"{name}.bias", np.zeros(1))
    return x @ arrays[f"{name}.weight"].T + bias


def _mlp(arrays: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    return _linear(arrays, f"{name}.2", np.maximum(_linear(arrays, f"{name}.0", x), 0))


def _singular(
    arrays: Arrays, shape: tuple[int, ...], factors: Factors, grid: tuple[int, int], vector_mean: str
) -> np.ndarray:
    u, s, vh = factors
    m = _mlp(arrays, "unet_svd.mlp1", u.T) + _mlp(arrays, "unet_svd.mlp2", vh) + _linear(arrays, "unet_svd.mlp3.0", s)
    if "unet_svd.attention.qkv.weight" in arrays:
        m = _attention(arrays, m, num_heads=int(arrays["num_heads"]))
    if vector_mean == "after":
        change = np.mean([_mlp(arrays, "unet_svd.mlp4", vector) for vector in m], axis=0)
    else:
        change = _mlp(arrays, "unet_svd.mlp4", m.mean(axis=0))
    matrix = u @ np.diag(change + s) @ vh
    channels, height, width = shape
    return np.stack(
        [
            matrix[i // grid[1] * height :, i % grid[1] * width :][:height, :width]
            for i in range(channels)
        ]
    )  # fmt: skip


def _attention(arrays: Arrays, m: np.ndarray, num_heads: int) -> np.ndarray:
    query, key, value = np.split(_linear(arrays, "unet_svd.attention.qkv", m), 3, axis=1)
    size, heads = m.shape[1] // num_heads, []
    for head in range(num_heads):
        columns = slice(head * size, (head + 1) * size)
        logits = query[:, columns] @ key[:, columns].T / np.sqrt(size)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        heads.append(weights / weights.sum(axis=1, keepdims=True) @ value[:, columns])
    return _linear(arrays, "unet_svd.attention.proj", np.concatenate(heads, axis=1))


def _convolution(arrays: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    weight = arrays[f"{name}.weight"][:, :, 0, 0]
    return np.einsum("oc,chw->ohw", weight, x) + arrays[f"{name}.bias"][:, None, None]


def _nearest(x: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = np.arange(height) * x.shape[1] // height
    columns = np.arange(width) * x.shape[2] // width
    return x[:, rows][:, :, columns]


def _residual(arrays: Arrays, swin: Callable[[torch.Tensor], torch.Tensor], x: np.ndarray) -> np.ndarray:
    side = int(arrays["image_size"])
    image = _nearest(_convolution(arrays, "unet_embedding.downconv", x), side, side)
    with torch.no_grad():
        features = swin(torch.from_numpy(image)[None])[0].numpy()
    return _convolution(arrays, "unet_embedding.upconv", _nearest(features, *x.shape[1:]))
