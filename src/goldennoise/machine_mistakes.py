"""What the machine refuses, in the user's words."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from goldennoise.errors import ArtifactError, ModelError, shortened
from goldennoise.provenance import disk_full

NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EROFS, errno.ELOOP)
"""What comes of a file where a folder should be, an overlong path, a read-only disk, a link to itself."""


@contextmanager
def machine_mistakes() -> Iterator[None]:
    """A full disk, memory or GPU, or a forbidden folder becomes an error of ours, whichever library meets it."""
    try:
        yield
    except Exception as error:
        # Only a library that has loaded torch can raise torch's error.
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(error, torch.OutOfMemoryError):
            raise ModelError(
                "no memory left on the GPU: set a smaller compute.batch_size, compute.decode_batch_size=1, "
                "model.dtype=bfloat16, compute.offload=true, or model.vae_tiling=true for large images; finished work "
                "is kept"
            ) from error
        if disk_full(error):
            hint = "free some and run the same command again, finished work is kept"
            raise ArtifactError(f"no space left on the disk: {hint}") from error
        if isinstance(error, PermissionError):
            raise ArtifactError(
                f"no permission for {error.filename}: choose another folder with outputs=DIR"
            ) from error
        if isinstance(error, OSError) and error.errno in NO_FOLDER and error.filename is not None:
            raise ArtifactError(
                f"{shortened(error.filename)}: {error.strerror}; choose another folder with outputs=DIR"
            ) from error
        if isinstance(error, MemoryError):
            raise ModelError(
                "no memory left: set smaller counts, such as stage.num_prompts and stage.num_seeds, or a smaller "
                "compute.batch_size; finished work is kept"
            ) from error
        raise
