"""GenEval: an object detector decides whether an image shows what its prompt demands."""

from goldennoise.scorers.geneval.scorer import Config, build, reads, version

__all__ = ["Config", "build", "reads", "version"]
