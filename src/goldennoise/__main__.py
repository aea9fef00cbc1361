"""The command line: `python -m goldennoise stage=collect|train|eval|report|...`, with Hydra's overrides."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from goldennoise.config import RunConfig, launch
from goldennoise.errors import ArtifactError, GoldenNoiseError
from goldennoise.provenance import disk_full


@contextmanager
def storage_mistakes() -> Iterator[None]:
    """A full disk or a forbidden folder becomes an `ArtifactError`, whichever library meets it."""
    try:
        yield
    except Exception as error:
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

    with storage_mistakes():
        artifact = component(config.stage.kind).run(config)
    if artifact is not None and os.environ.get("RANK", "0") == "0":
        print(f"{artifact.reference}  {artifact.path}")


def complain(error: GoldenNoiseError) -> None:
    print(f"error: {error}", file=sys.stderr)


def main() -> None:
    # A full disk would otherwise print a traceback for every line that cannot be logged.
    logging.raiseExceptions = False
    try:
        with storage_mistakes():
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
