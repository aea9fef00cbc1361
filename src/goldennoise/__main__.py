"""The command line: `python -m goldennoise stage=collect|train|eval|report|...`, with Hydra's overrides."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from goldennoise.config import RunConfig, launch
from goldennoise.errors import ArtifactError, GoldenNoiseError, ModelError
from goldennoise.provenance import disk_full


@contextmanager
def machine_mistakes() -> Iterator[None]:
    """A full disk, a forbidden folder or a full GPU becomes an error of ours, whichever library meets it."""
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
        raise


def run_stage(config: RunConfig) -> None:
    from goldennoise.stages import component

    with machine_mistakes():
        artifact = component(config.stage.kind).run(config)
    if artifact is not None and os.environ.get("RANK", "0") == "0":
        print(f"{artifact.reference}  {artifact.path}")


def complain(error: GoldenNoiseError) -> None:
    print(f"error: {error}", file=sys.stderr)


def main() -> None:
    # A full disk would otherwise print a traceback for every line that cannot be logged.
    logging.raiseExceptions = False
    try:
        with machine_mistakes():
            done = launch(run_stage, complain)
    except GoldenNoiseError as error:
        complain(error)
        done = False
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)
    sys.exit(0 if done else 2)


if __name__ == "__main__":
    main()
