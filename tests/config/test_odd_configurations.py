"""Odd command lines end in one sentence of ours, or compose: no traceback, no bookkeeping of Hydra's."""

import random
import shlex
from pathlib import Path

import pytest

from goldennoise.config.compose import load
from goldennoise.config.files import options
from goldennoise.config.messages import readable
from goldennoise.errors import ConfigError, GoldenNoiseError

GROUPS = ("stage", "model", "prompts", "scorer", "noise_levels", "npnet", "method", "compute", "logger", "experiment")
NO_OPTION = (
    *("[1,2]", "null", "", "1", "1.5", "true", "nan", "???", "[[1]]", "[x,[y]]", "[null]", "[{a: 1}]", "{a: 1}"),
    *("a/b", "../x", "/x", "x" * 300, "x" * 10_000, "${name}", "${x}", "${x", "é", '"a\nb"', "9" * 5000, "[" * 500),
    *("bob's", "sort(3,1)", "range(1,3)", "\0", "\udc80"),
)
"""What no group has an option of."""

VALUES = (
    *NO_OPTION,
    *("-1", "0", "inf", "-inf", "1e400", "1e30", "9" * 20, "2147483648", "9223372036854775808", "1_0", '"nan"'),
    *("${seed}", "${stage}", "${oc.env:NO_SUCH_VARIABLE}", "[]", "{}", "{1: 2}", "{null: 1}", "{a: {b: {c: 1}}}"),
    *(
        "[???]",
        "{a: ???}",
        "a b",
        "a=b",
        '"a',
        "[a,b",
        "(",
        "a,b",
        "\\",
        "%",
        "\t",
        "~nobody/x",
        "con",
        "[1e400]",
        "[nan]",
    ),
)
KEYS = (
    *("seed", "name", "version", "outputs", "stage.kind", "stage.num_prompts", "stage.margin", "stage.preference"),
    *("model.guidance", "model.timesteps", "model.path", "prompts.path", "prompts.held_out", "npnet.depths"),
    *("npnet.svd_attention", "npnet.kind", "compute.device", "compute.batch_size", "logger.mode", "method.re_denoise"),
    *(
        "method.re_denoise.depth",
        "method.new",
        "method.new.kind",
        "scorer.shapes_clip",
        "scorer.a.b.c",
        "hydra.run.dir",
    ),
    *("hydra.mode", "hydra.nonsense", "hydra", "hydra/launcher", "model@x", "model/x", "defaults", "stage._target_"),
    *(
        "",
        ".",
        "stage.",
        ".stage",
        "stage..kind",
        "stage.kind.x",
        "stage.kind[0]",
        "a b",
        "é",
        "NAME",
        "-",
        "1",
        "@",
        "/",
    ),
    *("x" * 400, "$", "a@b@c"),
)


def mistake(*overrides: str) -> str:
    """The sentence for `overrides`, checked for what every sentence must be."""
    with pytest.raises(GoldenNoiseError) as caught:
        load(overrides)
    sentence = str(caught.value)
    assert sentence
    assert sentence.isprintable()
    assert len(sentence) <= 600
    assert not any(word in sentence for word in ("full_key", "object_type", "Traceback", "x" * 100, "9" * 100))
    return sentence


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_no_option_of_a_group(group: str) -> None:
    for value in NO_OPTION:
        sentence = mistake(f"{group}={value}")
        if value in ("1", "é", "null"):
            assert sentence.startswith(f"{group}={value}: there is no such {group}; choose from {options(group)[0]}, ")
    assert mistake(f"{group}=???").startswith(f"{group} is not set: give it with {group}=OPTION; choose from ")
    many = group in ("scorer", "method")
    assert ("takes one option" in mistake(f"{group}=[1,2]")) is not many
    assert f"write {group}={'[OPTION,OPTION]' if many else 'OPTION'}, without +" in mistake(f"++{group}=x")


def test_odd_overrides() -> None:
    dice = random.Random(0)
    composed = 0
    for _ in range(60):
        key = dice.choice(KEYS)
        override = f"{dice.choice(['', '', '', '+', '++', '~'])}{key}"
        override += f"={dice.choice(VALUES)}" if dice.random() < 0.9 else ""
        try:
            load([override])
            composed += 1
        except GoldenNoiseError:
            mistake(override)
    assert composed < 20


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed=???", "seed is not set: give it with seed=VALUE"),
        ("stage.margin='???'", "stage.margin is not set: give it with stage.margin=VALUE"),
        ("npnet.depths=[2,???]", "npnet.depths is not set: give it with npnet.depths=VALUE"),
        ("stage.margin=nan", "stage.margin=nan: margin must be a finite number"),
        ('method.re_denoise.denoise_guidance="inf"', "must be a finite number"),
        ("model.guidance=1e400", "model.guidance=inf: guidance must be "),
        ("seed=1e30", "seed=1e30: seed must be a whole number"),
        (f"seed={10**30}", "seed must be at least 0 and below 2**63"),
        (f"stage.num_prompts={'9' * 20}", "num_prompts must be a whole number below 2**31"),
        (f"npnet.depths=[{10**20},2]", "depths must be a whole number below 2**31"),
        (f"stage.num_seeds={2**31}", "num_seeds must be a whole number below 2**31"),
        (f"stage.seed_index={2**63}", "seed_index must be a whole number below 2**31"),
        ("compute.num_threads=2000000000", "num_threads must be null or at least 1 and at most 1024"),
        ("compute.num_workers=5000", "num_workers must be at least 0 and at most 1024"),
        (f"seed={'9' * 5000}", "seed must be a whole number"),
        ("npnet.depths=[[1]]", "npnet.depths=[[1]]: depths must be a list of values that are each a whole number"),
        ("name=${name}", "name: Recursive interpolation detected"),
        ("name=${nam}", "name: Interpolation key 'nam' not found"),
        (f"name={'[' * 3000}", "cannot be read as an option"),
        ("stage.prompt=caf\udce9", "stage.prompt=caf\\udce9: this has bytes that are no text; write it in UTF-8"),
        ("outputs=", "outputs='': outputs must be a folder"),
        ("outputs=~no_such_user/x", "~no_such_user/x: nobody called ~no_such_user has a home folder here"),
        ("+name=x", "name is there already: write name=VALUE, without +"),
        ("scorer.shapes_clip=[]", "Cannot merge DictConfig with ListConfig"),
        ("stage.margin", "stage.margin: this cannot be read as an option; write KEY=VALUE"),
        ("model=a,b", "model=a,b: several values need -m, to run once with each"),
        (
            "stage.prompt=a, b",
            "brackets for a list: stage.prompt=[a, b], or quotes for a text: 'stage.prompt=\"a, b\"'",
        ),
    ],
)
def test_sentence(override: str, expected: str) -> None:
    assert expected in mistake(override)


@pytest.mark.parametrize("override", ["prompts.path=[cat] 1.txt", 'prompts.path="a" 1.txt', "prompts.path='til.txt"])
def test_advice_can_be_typed(override: str) -> None:
    """Where text begins as a list or quotes do, the sentence shows what a shell takes as that very text."""
    advice = mistake(override).partition("put quotes around a text: ")[2]
    assert load(["prompts=file", *shlex.split(advice)]).prompts.path == override.partition("=")[2]


@pytest.mark.parametrize(
    "path",
    [
        "/tmp/é/bob's & co #1.txt",
        "/tmp/日本 (2).txt",
        "~/a=b.txt",
        'say "a\\".txt',
        "a\\",
        "2026_11",
        "007",
        "1e5",
        "a!;b",
    ],
)
def test_text_is_taken_as_it_is(path: str) -> None:
    assert load(["prompts=file", f"prompts.path={path}"]).prompts.path == path


def test_commas_part_the_values_of_a_sweep_alone() -> None:
    assert readable(["prompts.path=é,bob's"], sweep=True) == ['prompts.path="é","bob\'s"']
    assert readable(["prompts.path=é,bob's"]) == ['prompts.path="é,bob\'s"']


NAMES = ("../../../escaped", "a/b", "a\\b", "", ".", "..", "é", "a b", "-a", "x" * 101, "con", "NUL.txt", "a.", "a.tmp")


@pytest.mark.parametrize("name", [*NAMES, "a.lock", "v.Partial", "a\n"])
def test_names_are_no_paths(name: str) -> None:
    quoted = '"' + name.replace("\\", "\\\\") + '"' if name != "a\n" else '"a\n"'
    assert "name must be " in mistake(f"name={quoted}")
    for group, kind in (("method", "standard"), ("scorer", "shapes_clip")):
        with pytest.raises(ConfigError, match=f"the name of a {group} must be "):
            named(group, name, kind)


def named(group: str, name: object, kind: str) -> None:
    """As `++method={name: {kind: kind}}`; Hydra's grammar has no quotes for keys, a file of an experiment has."""
    from goldennoise.config.compose import _named

    _named(group, {name: {"kind": kind}})


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "++method={../../../escaped: {kind: standard}}",
            "method.../../../escaped: the name of a method must be letters",
        ),
        ("++method={1: {kind: standard}}", "method.1: the name of a method must be letters"),
        ("++method={a: {kind: standard}, A: {kind: standard}}", "method.A: there is method.a, which some systems take"),
        ("++scorer={seed: {kind: shapes_clip}}", "scorer.seed: the name of a scorer must be another: a column"),
        ("++scorer={a/b: {kind: shapes_clip}}", "scorer.a/b: the name of a scorer must be letters"),
        ("version=v" + "9" * 300, "version must be auto, or v1, v2, ..."),
        ("version=v1/../..", "version must be auto, or v1, v2, ..."),
    ],
)
def test_keys_are_names(override: str, expected: str) -> None:
    assert expected in mistake(override)


def test_outputs_are_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(["outputs=~/noise"]).outputs == str(Path.home() / "noise")
    # Not the folder of the package, in which files to read are looked for.
    assert load(["outputs=data"]).outputs == "data"
