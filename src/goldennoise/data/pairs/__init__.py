"""Pairs of source and golden noise: stored in shards, filtered by preference, read as a stream."""

from goldennoise.data.pairs.preference import PreferenceFilter
from goldennoise.data.pairs.reader import PairReader

__all__ = ["PairReader", "PreferenceFilter"]
