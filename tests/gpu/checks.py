"""All checks, in the order of work: what is quick first."""

from gpu import compiled, judges, lines, noises, options
from gpu.place import CHECKS

for part in (noises, judges, options, lines, compiled):
    part.register()

__all__ = ["CHECKS"]
