"""Summaries to report on, written down by hand."""

from dataclasses import replace

from goldennoise.evaluation.diversity import Diversity
from goldennoise.evaluation.statistics import Comparison
from goldennoise.evaluation.summary import MethodResult, Result, ScorerInfo, Spread, Summary
from goldennoise.generation.noise import STATISTICS

NOTHING = Comparison(0.6, 0.55, 0.65, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 100, 200)
GAIN = Comparison(0.631, 0.58, 0.68, 0.031, 0.002, 0.06, 0.2, 0.631, 0.169, 100, 200)
CLIP = Comparison(31.25, 31.0, 31.5, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 100, 200)
CLIP_GAIN = replace(CLIP, mean=31.75, difference=0.5, low=-0.1, high=1.1, wins=0.7, ties=0.0, losses=0.3)


def summary(gain: Comparison = GAIN, clip_gain: Comparison = CLIP_GAIN) -> Summary:
    """standard and npnet on two kinds of prompts, judged by clip (selecting) and verifier (reporting)."""

    def result(kind: str, evaluations: float, clip: Comparison, right: Comparison) -> MethodResult:
        kinds = {"two_object": right, "a|b_c & 100 %": right}
        scorers = {"clip": Result(clip, dict.fromkeys(kinds, clip)), "verifier": Result(right, kinds)}
        noise = dict.fromkeys(STATISTICS, Spread(1.0, 0.95, 1.05))
        diversity = dict.fromkeys(("thumbnails", "clip"), Diversity(CLIP, clip))
        return MethodResult(kind, evaluations, 0.25, 300 * 2**20, scorers, noise, diversity, {})

    return Summary(
        reference="standard",
        model={"name": "shapes", "num_steps": 20, "guidance": 4.0},
        num_prompts=100,
        num_seeds=2,
        num_resamples=10_000,
        memory="resident memory of the process",
        scorers={
            "clip": ScorerInfo(True, "cosine", "1", "selecting", 2.0),
            "verifier": ScorerInfo(True, "share right", "1", "reporting", 0.49),
        },
        methods={
            "standard": result("standard", 40.0, CLIP, NOTHING),
            "npnet": result("npnet", 40.0, clip_gain, gain),
        },
    )
