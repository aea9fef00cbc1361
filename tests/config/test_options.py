"""Every option and experiment on disk composes, and every YAML file lists exactly its dataclass's fields."""

import importlib
import runpy
import shlex
from dataclasses import asdict, fields, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from goldennoise.config.compose import FIXED, REGISTRIES, RunConfig, load
from goldennoise.config.files import conf_folder
from goldennoise.data.shapes.locations import PIPELINES
from goldennoise.errors import ConfigError
from goldennoise.networks.npnet import Config as ArchitectureConfig

CONF = conf_folder()
STAGES = sorted(path.stem for path in (CONF / "stage").glob("*.yaml"))
OPTIONS = [
    (path.parent.name, path.stem)
    for path in sorted(CONF.glob("*/*.yaml"))
    if path.parent.name not in ("stage", "experiment", "sweep")
]
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
ARMS = "training_noise_shapes"
"""A folder of trainings that are compared, each an experiment of its own."""
NEEDED = {
    ("prompts", "file"): ["prompts.path=mine.txt"],
    ("scorer", "weighted_sum"): ["scorer.weighted_sum.parts={shapes_clip: 1}"],
}


def config_class(group: str, kind: str) -> type:
    if group in REGISTRIES:
        return importlib.import_module(REGISTRIES[group]).component(kind).Config
    return FIXED[group]


def yaml_values(path: Path) -> DictConfig:
    values = OmegaConf.load(path)
    assert isinstance(values, DictConfig)
    return values


def test_noise_levels_are_uniform_timesteps_unless_chosen() -> None:
    assert load().noise_levels.kind == "uniform"
    chosen = load(["noise_levels=laplace", "noise_levels.scale=0.75"]).noise_levels
    assert (chosen.kind, chosen.mean, chosen.scale) == ("laplace", 0.0, 0.75)
    with pytest.raises(ConfigError, match=r"noise_levels\.scale=0\.0: scale must be a finite number above 0"):
        load(["noise_levels=cauchy", "noise_levels.scale=0"])


@pytest.mark.parametrize(
    ("written", "levels"), [("cosine", "cosine"), ("{kind: edm, std: 2.0}", {"kind": "edm", "std": 2.0})]
)
def test_a_fixed_schedule_takes_a_density_by_name_or_with_options(written: str, levels: object) -> None:
    config = load(["stage=eval", "method=[standard,fixed_schedule]", f"method.fixed_schedule.levels={written}"])
    assert config.method["fixed_schedule"].levels == levels
    with pytest.raises(ConfigError, match=r"method\.fixed_schedule\.levels=cosin: .*did you mean cosine?"):
        load(["method=[fixed_schedule]", "method.fixed_schedule.levels=cosin"])


def test_every_group_is_a_field_of_the_run() -> None:
    groups = {path.name for path in CONF.iterdir() if path.is_dir()} - {"experiment", "sweep"}
    root = set(yaml_values(CONF / "config.yaml")) - {"defaults", "hydra"}
    assert {field.name for field in fields(RunConfig)} == groups | root


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_option_composes(group: str, option: str) -> None:
    chosen = f"{group}=[{option}]" if group in ("scorer", "method") else f"{group}={option}"
    part = getattr(load([chosen, *NEEDED.get((group, option), [])]), group)
    if group in ("scorer", "method"):
        assert list(part) == [option]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_option_lists_every_field(group: str, option: str) -> None:
    values = yaml_values(CONF / group / f"{option}.yaml")
    base, *own = values.pop("defaults", ["_self_"])
    if own:
        values = OmegaConf.merge(yaml_values(CONF / group / f"{base}.yaml"), values)
        assert own == ["_self_"]
    assert set(values) == {field.name for field in fields(config_class(group, values.get("kind", "")))}


@pytest.mark.parametrize("stage", STAGES)
def test_stage_lists_every_field(stage: str) -> None:
    values = yaml_values(CONF / "stage" / f"{stage}.yaml")
    bases = [base for base in values.get("defaults", []) if isinstance(base, str) and base != "_self_"]
    # Without a base it is a stage's own file, with one it changes some options of that.
    own, kind = values["stage"], bases[0] if bases else stage
    known = {field.name for field in fields(config_class("stage", kind))}
    assert set(own) <= known if bases else (own.kind, set(own)) == (stage, known)
    if bases:
        assert stage.startswith(f"{kind}_")


@pytest.mark.parametrize(
    ("stage", "methods", "scorers", "split"),
    [
        ("collect", ["re_denoise"], ["shapes_verifier", "shapes_clip"], "train"),
        ("train", [], [], "train"),
        ("eval", ["standard", "re_denoise", "npnet", "best_of_n"], ["shapes_verifier", "shapes_clip"], "benchmark"),
        ("report", [], [], "train"),
    ],
)
def test_stage_chooses_what_it_needs(stage: str, methods: list[str], scorers: list[str], split: str) -> None:
    config = load([f"stage={stage}"])
    assert (list(config.method), list(config.scorer), config.prompts.split) == (methods, scorers, split)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_sets_its_values_in_every_stage(experiment: str) -> None:
    folder = CONF / "experiment"
    for stage, *own in entries(experiment):
        config = load([f"experiment={experiment}", f"stage={stage}", *own])
        assert stage.startswith(config.stage.kind)
        left_out = {"defaults", *(override.partition("=")[0] for override in own)}
        for path in (folder / f"{experiment}.yaml", folder / experiment / f"{stage}.yaml"):
            if path.exists():
                values = {key: part for key, part in container(path).items() if key not in left_out}
                assert values == overlap(asdict(config), values)


def entries(experiment: str) -> list[list[str]]:
    """The stages of an experiment in their order, each with its own overrides."""
    return [entry.split() for entry in load([f"experiment={experiment}"]).stage.stages]


def container(path: Path) -> dict[str, Any]:
    values = OmegaConf.to_container(yaml_values(path))
    assert isinstance(values, dict)
    return {str(key): part for key, part in values.items()}


def overlap(whole: Any, pattern: Any) -> Any:
    """The part of `whole` that has the keys of `pattern`."""
    if isinstance(pattern, dict):
        return {key: overlap(whole[key], part) for key, part in pattern.items()}
    if isinstance(whole, list) and isinstance(pattern, str):
        (whole,) = whole  # A single name may stand for a list of one.
    return list(whole) if isinstance(whole, tuple) else whole


def test_every_experiment_has_all_stages() -> None:
    for experiment in EXPERIMENTS:
        files = [path.stem for path in (CONF / "experiment" / experiment).glob("*.yaml")]
        assert {*files} <= {"all", *(stage for stage, *_ in entries(experiment))}, "a file that no stage reads"
    assert {path.name for path in (CONF / "experiment").iterdir() if path.is_dir()} == {*EXPERIMENTS, ARMS}


def test_make_tables_runs_the_twin_of_every_published_table() -> None:
    listed = runpy.run_path(str(CONF.parent / "scripts/make_tables.py"))["TWINS"]
    assert {*listed} == {
        *(f"{name}_shapes" for name in EXPERIMENTS if f"{name}_shapes" in EXPERIMENTS),
        "prediction_shapes",
    }
    kinds = {"report": "report", "compare": "comparison", "predict": "prediction"}
    for name, kind in listed.items():
        last, *_ = entries(name)[-1]
        assert kinds[last] == kind, name


def test_arms_differ_in_noise_levels_and_loss_alone() -> None:
    names = [path.stem for path in (CONF / "experiment" / ARMS).glob("*.yaml") if path.stem != "shared"]
    assert len(names) == 5
    arms = [load([f"experiment={ARMS}/{name}"]) for name in names]
    for arm in arms:
        assert arm.stage.kind == "train_model"
        assert replace(arm.stage, loss_weight="none", loss_levels=None) == replace(
            arms[0].stage, loss_weight="none", loss_levels=None
        )
        shared, first = (asdict(each) for each in (arm, arms[0]))
        for name in ("stage", "name", "noise_levels"):
            del shared[name], first[name]
        assert shared == first
    assert len({(str(arm.noise_levels), arm.stage.loss_weight, str(arm.stage.loss_levels)) for arm in arms}) == 5


def test_an_experiment_alone_is_the_whole_pipeline() -> None:
    for experiment in EXPERIMENTS:
        assert load([f"experiment={experiment}"]).stage.kind == "all"


def test_a_network_that_draws_layouts_has_stages_of_its_own() -> None:
    collect, train = load(["stage=collect_layouts"]), load(["stage=train_layouts", "name=mine"])
    assert (list(collect.method), collect.stage.kind, collect.stage.preference) == (["layout"], "collect", None)
    assert (train.npnet.kind, train.stage.objective, train.stage.pairs) == (
        "layouts",
        "layout_likelihood",
        "pairs/mine@latest",
    )
    assert list(load(["stage=collect_layouts", "method=[re_denoise]"]).method) == ["re_denoise"]
    assert load(["stage=train_layouts", "npnet=shapes"]).npnet.kind == "npnet"
    with pytest.raises(ConfigError, match=r"npnet\.kind=layout: .*layouts"):
        load(["npnet.kind=layout"])


def test_no_default_needs_instructions_that_only_some_cpus_have() -> None:
    runs = [[f"stage={stage}"] for stage in ("collect", "collect_layouts", "train", "train_layouts", "eval")]
    for experiment in EXPERIMENTS:
        runs += [[f"experiment={experiment}", f"stage={stage}", *own] for stage, *own in entries(experiment)]
    for config in map(load, runs):
        assert getattr(config.stage, "precision", "32-true") == "32-true"
        if config.model.path in ("shapes", "shapes_turbo"):
            assert config.model.dtype == "float32"
        assert not config.compute.compile


@pytest.mark.parametrize("stages", ["[]", "[all]", "['all name=mine']", "['']"])
def test_all_needs_other_stages(stages: str) -> None:
    with pytest.raises(ConfigError, match=r"stage\.stages="):
        load(["stage=all", f"stage.stages={stages}"])


def test_command_line_is_stronger_than_stage_and_experiment() -> None:
    config = load(["stage=eval", "experiment=smoke", "method=[standard]", "stage.num_prompts=7", "prompts=own_words"])
    assert list(config.method) == ["standard"]
    assert (config.stage.num_prompts, config.stage.num_seeds) == (7, 2)
    assert config.prompts.path == "data/prompts/own_words.txt"


def test_artifacts_follow_the_name() -> None:
    assert load(["stage=train", "name=mine"]).stage.pairs == "pairs/mine@latest"
    assert load(["stage=report", "name=mine"]).stage.scores == "scores/mine@latest"
    assert load(["stage=eval", "name=mine"]).method["npnet"].artifact == "npnet/mine@latest"


def test_same_method_twice_with_other_values() -> None:
    config = load(["stage=eval", "+method.deep={kind: re_denoise, depth: 5}"])
    assert (config.method["deep"].depth, config.method["re_denoise"].depth) == (5, 1)


def test_parts_of_a_weighted_sum_are_those_given_and_no_others() -> None:
    parts = "scorer.weighted_sum.parts={shapes_verifier: 0.5, shapes_clip: 1}"
    config = load(["scorer=[weighted_sum]", parts, "+scorer.other={kind: weighted_sum, parts: {shapes_clip: 2}}"])
    assert config.scorer["weighted_sum"].parts == {"shapes_verifier": 0.5, "shapes_clip": 1.0}
    assert config.scorer["other"].parts == {"shapes_clip": 2.0}


def test_score_takes_a_folder_and_a_file_and_chooses_no_scorer() -> None:
    config = load(["stage=score", "stage.images=pictures", "prompts.path=mine.txt"])
    assert (config.stage.images, config.prompts.path, config.scorer, config.method) == ("pictures", "mine.txt", {}, {})
    assert config.prompts.duplicates == "keep"
    assert load(["stage=score", "stage.images=pictures", "prompts=pickapic"]).prompts.duplicates == "keep"
    assert load(["stage=score", "stage.images=pictures"]).prompts.path == "pictures"
    assert load(["stage=score", "stage.images=pictures", "prompts=geneval"]).prompts.path.endswith("_metadata.jsonl")
    for given in ([], ["prompts.path=mine.txt"]):
        with pytest.raises(ConfigError, match=r"stage\.images is not set"):
            load(["stage=score", *given])


def test_convert_takes_a_source_and_published_files_are_for_sdxl() -> None:
    config = load(["stage=convert", "stage.npnet=sdxl.pth"])
    assert (config.stage.npnet, config.stage.layout, config.scorer, config.method) == (
        "sdxl.pth",
        "goldennoise",
        {},
        {},
    )
    assert config.model.path == "stabilityai/stable-diffusion-xl-base-1.0"
    assert load(["stage=convert", "stage.npnet=sdxl.pth", "model=shapes"]).model.path == "shapes"
    with pytest.raises(ConfigError, match=r"stage\.npnet is not set"):
        load(["stage=convert"])


def test_sample_takes_a_prompt_and_works_without_a_network_or_a_scorer() -> None:
    config = load(["stage=sample", 'stage.prompt="a cat, sleeping"'])
    assert (config.stage.prompt, list(config.method), config.scorer) == ("a cat, sleeping", ["re_denoise"], {})
    assert list(load(["stage=demo_app", "method=[npnet]"]).method) == ["npnet"]
    with pytest.raises(ConfigError, match=r"stage\.prompt is not set"):
        load(["stage=sample"])


def test_several_scorers_score_side_by_side_each_with_its_options() -> None:
    chosen = ["scorer=[hpsv2,pickscore]", "+scorer.old={kind: hpsv2, release: v2.0}", "scorer.pickscore.path=here"]
    scorer = load(["stage=score", "stage.images=pictures", "prompts.path=mine.txt", *chosen]).scorer
    assert list(scorer) == ["hpsv2", "pickscore", "old"]
    assert (scorer["hpsv2"].release, scorer["old"].release, scorer["pickscore"].path) == ("v2.1", "v2.0", "here")


def test_published_network_is_the_default_one() -> None:
    assert load(["npnet=published"]).npnet == ArchitectureConfig()


def test_ddp_takes_the_number_of_processes_from_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert load(["compute=ddp"]).compute.devices == 4


def test_the_commands_of_the_documents_compose() -> None:
    root = Path(__file__).parents[2]
    for page in (root / "README.md", root / "docs" / "models.md"):
        text = page.read_text().replace("\\\n", " ")
        commands = [
            line.partition("#")[0] for line in text.splitlines() if line.startswith("    python -m goldennoise ")
        ]
        assert commands
        for command in commands:
            arguments = [word for word in shlex.split(command)[3:] if word != "-m"]
            if "1e-4,3e-4,1e-3" not in command:  # a sweep
                load(arguments)


def test_the_table_of_models_is_that_of_their_files() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "models.md").read_text().splitlines()
    start = lines.index("| `model=` | family (`model.kind`) | path | image | steps, sampler | guidance |")
    rows = [line.replace("`", "").strip("| ").split(" | ") for line in takewhile(str.strip, lines[start + 2 :])]
    assert sorted(name for name, *_ in rows) == sorted(option for group, option in OPTIONS if group == "model")
    for name, family, path, _, sampler, guidance in rows:
        model = load([f"model={name}"]).model
        assert family.split(",")[0] == model.kind
        assert path == ("packaged" if model.path in PIPELINES else model.path)
        assert sampler == f"{model.num_steps}, {model.scheduler}"
        assert float(guidance) == model.guidance
