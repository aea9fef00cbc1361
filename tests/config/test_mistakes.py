"""Every mistake in the options is one sentence with the full key, the value, what is allowed and the nearest."""

import pytest

from goldennoise.config.compose import load
from goldennoise.errors import ConfigError

MISTAKES = [
    # misspelt and unknown keys
    ("stage.marginn=1", "stage.marginn=1: there is no option marginn in stage; choose from kind, margin, "),
    ("stage.marginn=1", "did you mean stage.margin?"),
    ("sed=1", "sed=1: there is no option sed; choose from compute, "),
    ("sed=1", "did you mean seed?"),
    ("method.npnet.artifact=x", "there is no option npnet in method; choose from re_denoise"),
    (
        "margin=1",
        "noise_levels, npnet, outputs, prompts, scorer, seed, stage, version; did you mean stage.margin?",
    ),
    ("seed.x=1", "seed.x=1: seed has no options of its own"),
    # + does not open the config
    ("+new.key=1", "new={'key': 1}: there is no option new; choose from compute, "),
    ("+stage.foo=1", "stage.foo=1: there is no option foo in stage; choose from kind, margin, "),
    ("++npnet.window_size=7", "npnet.window_size=7: there is no option window_size in npnet"),
    ("++npnet.window_size=7", "did you mean npnet.window?"),
    ("+method.mine=1", "method.mine=1: method.mine has no kind; choose it with method=OPTION, one of best_of_n, "),
    ("+stage=train", "+stage=train: stage is chosen already; write stage=OPTION"),
    # unknown choices
    ("stage=evall", "stage=evall: there is no such stage; choose from all, all_demo, all_eval, all_layouts, "),
    ("stage=evall", "); did you mean eval?"),
    ("method=[re_denois]", "method=re_denois: there is no such method; choose from best_of_n, early_stop, find, "),
    ("method=re_denois", "did you mean re_denoise?"),
    ("experiment=dem", "experiment=dem: there is no such experiment; choose from demo, "),
    ("model=3", "model=3: there is no such model; choose from dreamshaper_xl_turbo, "),
    ("model=sdxll", "did you mean sdxl?"),
    ("prompts=data/my.txt", "prompts=data/my.txt: there is no such prompts; choose from dpg, drawbench, file, "),
    ("prompts=data/my.txt", "; for a file of your own write prompts=file prompts.path=data/my.txt"),
    ("stage=null", "stage=null: there is no such stage; choose from all, all_demo, "),
    ("~model", "model is not chosen: set it with model=OPTION, one of dreamshaper_xl_turbo, "),
    ("~stage", "~stage: stage cannot be left out; choose from all, all_demo, "),
    ("stage.kind=colect", "stage.kind=colect: there is no such kind; choose from all, browse, collect, "),
    ("stage.kind=colect", "did you mean collect?"),
    ("method.re_denoise.kind=re_denois", "method.re_denoise.kind=re_denois: there is no such kind"),
    ("noise_levels=lapalce", "noise_levels=lapalce: there is no such noise_levels; choose from cauchy, "),
    ("noise_levels=lapalce", "did you mean laplace?"),
    ("noise_levels.scale=1", "noise_levels.scale=1: there is no option scale in noise_levels; choose from kind"),
    # wrong types
    ("seed=abc", "seed=abc: seed must be a whole number"),
    ("seed=1.5", "seed=1.5: seed must be a whole number"),
    ("stage.margin=much", "stage.margin=much: margin must be a number"),
    ("stage.margin=", "stage.margin=: margin must be a number"),
    ("stage.margin={a: 1}", "margin must be a number"),
    ("stage.num_prompts=2.5", "stage.num_prompts=2.5: num_prompts must be a whole number or null"),
    ("compute.batch_size=null", "compute.batch_size=null: batch_size must be a whole number"),
    ("npnet.svd_attention=3", "npnet.svd_attention=3: svd_attention must be true or false"),
    ("npnet.depths=2", "npnet.depths=2: depths must be a list of values that are each a whole number"),
    ("npnet.depths=[a,b]", "npnet.depths=['a', 'b']: depths must be a list of values that are each a whole number"),
    # out of range, checked by the dataclasses
    ("seed=-1", "seed=-1: seed must be at least 0"),
    ("name=a/b", "name=a/b: name must be letters, digits"),
    ("version=3", "version=3: version must be auto, or v1, v2, ..."),
    ("stage.prompts_per_shard=0", "stage.prompts_per_shard=0: prompts_per_shard must be at least 1"),
    ("compute.device=gpu", "compute.device=gpu: device must be auto, cpu, cuda or mps"),
    ("compute.num_threads=0", "compute.num_threads=0: num_threads must be null or at least 1"),
    ("model.scheduler=eular", "model.scheduler=eular: scheduler must be one of ddim, euler, "),
    ("model.scheduler=eular", "did you mean euler?"),
    (
        "model.timestep_spacing=trailling",
        "model.timestep_spacing=trailling: timestep_spacing must be null or one of leading, linspace",
    ),
    ("model.timesteps=[999,400]", "model.timesteps=[999, 400]: timesteps must be null for ddim; euler, dpmpp_2m, heun"),
    ("method.re_denoise.depth=30", "method.re_denoise.depth=30: depth must be from 1 to 10"),
    ("prompts=file", "prompts.path=None: path must be the path of a prompt file"),
    # a weighted sum's parts
    ("scorer=[weighted_sum]", "scorer.weighted_sum.parts is not set: give it with scorer.weighted_sum.parts=VALUE"),
    (
        "+scorer.mine={kind: weighted_sum, parts: {shapes_clip: -1}}",
        "scorer.mine.parts.shapes_clip=-1.0: shapes_clip must be a finite weight above 0",
    ),
    (
        "+scorer.mine={kind: weighted_sum, parts: {shapes_clip: much}}",
        "parts must be a mapping of names to values that are each a number",
    ),
    (
        "+scorer.mine={kind: weighted_sum, parts: [shapes_clip]}",
        "scorer.mine.parts=['shapes_clip']: parts must be a mapping of names to values that are each a number",
    ),
    # values that refer to nothing, and what cannot be read
    ("name=${nam}", "nam"),
    ("stage margin=[1", "stage margin=[1: this cannot be read as an option; write KEY=VALUE"),
    ("=x", "=x: this names no option; write KEY=VALUE"),
    ("+=x", "+=x: this names no option; write KEY=VALUE"),
    ("stage.margin", "stage.margin: this cannot be read as an option"),
    ("seed=1,2", "seed=1,2: several values need -m, to run once with each, or brackets for a list: seed=[1,2]"),
    ("methods@x=npnet", "methods@x"),
]


@pytest.mark.parametrize(("override", "expected"), MISTAKES)
def test_mistake_is_one_sentence(override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([override])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_long_values_are_cut() -> None:
    with pytest.raises(ConfigError) as caught:
        load([f"+new={'x' * 500}"])
    assert "x" * 80 + "...: there is no option new" in str(caught.value)


def test_a_mistake_leaves_hydra_usable() -> None:
    with pytest.raises(ConfigError):
        load(["stage=evall"])
    assert load(["stage=report"]).stage.kind == "report"
