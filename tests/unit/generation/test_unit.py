from typing import Any

from torch import Tensor

from goldennoise.generation.unit import embedder_of


class Embedding:
    def embed(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def test_diversity_is_measured_by_the_same_scorer_whatever_their_order() -> None:
    plain: Any = object()
    first, second = Embedding(), Embedding()
    scorers: dict[str, Any] = {"plain": plain, "b": second, "c": Embedding(), "a": first}
    assert embedder_of(scorers) == ("a", first)
    assert embedder_of(dict(reversed(scorers.items()))) == ("a", first)
    assert embedder_of({"plain": plain}) is None
