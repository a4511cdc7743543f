"""In which order examples come: shuffled anew each epoch, and known for every step without the steps before it."""

from __future__ import annotations

from collections.abc import Sequence

from model_runtime.training.world.streams import Streams
from schemas.errors import InvalidInput


class Order:
    """Batches of equal kind. What does not fill a batch is left out of its epoch; the next one shuffles it in again.

    Args:
        groups: indices that may share a batch.
        batch: examples per batch.
        seed: decides the shuffles.

    Raises:
        InvalidInput: no group fills a batch.
    """

    def __init__(self, groups: Sequence[Sequence[int]], *, batch: int, seed: int) -> None:
        self._groups = [tuple(group) for group in groups]
        self._batch = batch
        self._seed = seed
        self._shuffled: tuple[int, list[tuple[int, ...]]] | None = None
        self.per_epoch = sum(len(group) // batch for group in self._groups)
        if not self.per_epoch:
            sizes = " and ".join(str(len(group)) for group in self._groups) or "no"
            raise InvalidInput(
                f"{sizes} examples of a kind, expected at least one batch of {batch}",
                fix="take more examples or a smaller batch",
            )

    def indices(self, step: int) -> tuple[int, ...]:
        """The examples of batch `step`."""
        epoch, place = divmod(step, self.per_epoch)
        if self._shuffled is None or self._shuffled[0] != epoch:
            self._shuffled = epoch, self._shuffle(epoch)
        return self._shuffled[1][place]

    def _shuffle(self, epoch: int) -> list[tuple[int, ...]]:
        streams = Streams((self._seed, epoch))
        batches = []
        for number, group in enumerate(self._groups):
            row = [group[place] for place in streams.of(f"order/{number}").permutation(len(group))]
            batches += [
                tuple(row[start : start + self._batch]) for start in range(0, len(row) - self._batch + 1, self._batch)
            ]
        return [batches[place] for place in streams.of("order/batches").permutation(len(batches))]
