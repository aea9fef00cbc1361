"""Pairs of source and golden noise: collected in shards, filtered by preference, read as a stream."""

from goldennoise.pairs.collector import Collector, make_shards, missing_shards, num_shards
from goldennoise.pairs.preference import PreferenceFilter
from goldennoise.pairs.reader import PairReader

__all__ = ["Collector", "PairReader", "PreferenceFilter", "make_shards", "missing_shards", "num_shards"]
