"""What the machine refuses, in the user's words."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from goldennoise.errors import ArtifactError, GoldenNoiseError, ModelError, shortened
from goldennoise.store.files import disk_full

UNITS = ("bytes", "KiB", "MiB", "GiB")
"""Each 1,024 of the one before."""

NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EROFS, errno.ELOOP)
"""What comes of a file where a folder should be, an overlong path, a read-only disk, a link to itself."""


NO_MEMORY = ("can't allocate memory", "Storage size calculation overflowed")
"""What torch says in a plain RuntimeError, without a number."""

NO_GPU_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What comes of a full GPU in place of torch's own error where its libraries, or its driver, ask for memory."""


def shown_size(num_bytes: int) -> str:
    """In the largest unit that makes it at least 1, such as "1.4 GiB"."""
    power = next((power for power in (3, 2, 1) if num_bytes >= 1024**power), 0)
    return f"{num_bytes / 1024**power:,.1f} {UNITS[power]}" if power else f"{num_bytes} {UNITS[0]}"


@contextmanager
def machine_errors() -> Iterator[None]:
    """A full disk, memory or GPU, or a forbidden folder becomes an error of ours, whichever library meets it."""
    try:
        yield
    except Exception as error:
        ours = _ours(error)
        if ours is None:
            raise
        raise ours from error


def _ours(error: Exception) -> GoldenNoiseError | None:
    # Only a library that has loaded torch can raise torch's error.
    torch = sys.modules.get("torch")
    is_torchs = torch is not None and isinstance(error, torch.OutOfMemoryError)
    if is_torchs or any(words in str(error) for words in NO_GPU_MEMORY):
        return ModelError(
            "no memory left on the GPU: set a smaller compute.batch_size (in training stage.batch_size), "
            "compute.decode_batch_size=1, model.dtype=bfloat16, compute.offload=true, or model.vae_tiling=true for "
            "large images; finished work is kept"
        )
    if disk_full(error):
        hint = "free some and run the same command again, finished work is kept"
        return ArtifactError(f"no space left on the disk: {hint}")
    if isinstance(error, PermissionError):
        return ArtifactError(f"no permission for {error.filename}: choose another folder with outputs=DIR")
    if isinstance(error, OSError) and error.errno in NO_FOLDER and error.filename is not None:
        return ArtifactError(f"{shortened(error.filename)}: {error.strerror}; choose another folder with outputs=DIR")
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
        return ModelError(
            "no memory left: set smaller sizes and counts, such as model.width, stage.num_seeds or "
            "compute.batch_size; finished work is kept"
        )
    return None
