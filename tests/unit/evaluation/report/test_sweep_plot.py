"""Parallel coordinates of a sweep."""

import pytest

from goldennoise.evaluation.report.sweep_plot import _axis


@pytest.mark.parametrize(
    ("rates", "expected"),
    [([1e-4, 1e-3, 1e-2], [0, 0.5, 1]), ([1.0, 2.0, 5.0], [0, 0.25, 1]), ([0.0, 0.1, 100.0], [0, 0.001, 1])],
)
def test_an_option_over_orders_of_magnitude_has_a_logarithmic_axis(rates: list[float], expected: list[float]) -> None:
    axis = _axis("stage.learning_rate", {f"npnet/a@v{number}": rate for number, rate in enumerate(rates)})
    assert [*axis.places.values()] == pytest.approx(expected)
    assert [*axis.ticks.values()] == pytest.approx(expected)
