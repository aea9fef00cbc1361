"""How often a model is evaluated, told ahead: against diffusers' own schedulers."""

import pytest
from tiny import tiny_scheduler

from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.diffusion.schedules.schedulers import SCHEDULERS, make_scheduler


@pytest.mark.parametrize("option", SCHEDULERS)
@pytest.mark.parametrize("num_steps", [1, 2, 5, 20])
def test_a_sampler_evaluates_once_a_timestep(option: str, num_steps: int) -> None:
    scheduler = make_scheduler(option, tiny_scheduler().config)
    scheduler.set_timesteps(num_steps)
    assert Sampling(num_steps, 1.0, option).image() == Amount.exactly(len(scheduler.timesteps))


def test_guidance_takes_a_second_pass() -> None:
    sampling = Sampling(10, 7.5, "ddim")
    assert [sampling.passes(scale) for scale in (None, 1.5, 1.0, 0.0)] == [2, 2, 1, 1]
    assert sampling.image() == Amount.exactly(20)
    assert sampling.image(4, 1.0) == Amount.exactly(4)
    assert sampling.steps(3) == Amount.exactly(6)
    assert Sampling(10, 7.5, is_guided_by_input=True).image() == Amount.exactly(10)


def test_amounts_add_up_and_are_shown() -> None:
    bounded, open_ended = Amount(2, 1500), Amount(3, None)
    assert bounded + open_ended == Amount(5, None)
    assert bounded * 2 == Amount(4, 3000)
    assert open_ended * 3 == Amount(9, None)
    assert [str(Amount.exactly(1280)), str(bounded), str(open_ended)] == ["1,280", "2 to 1,500", "at least 3"]
