"""Count bytes over time, in slots that grow with the run."""

from __future__ import annotations

from itertools import accumulate, pairwise

MOST_SLOTS = 4096


class ByteCounts:
    """Bytes by slots of time. A long run has wider slots instead of more of them.

    Attributes:
        width: Seconds of one slot.
        total: All bytes.
    """

    def __init__(self) -> None:
        self.width = 0.05
        self.total = 0
        self._slots: list[int] = []

    def add(self, count: int, at: float) -> None:
        """Count bytes that came at a time, in seconds of the run."""
        while at / self.width >= MOST_SLOTS:
            slots = self._slots
            self._slots = [sum(slots[number : number + 2]) for number in range(0, len(slots), 2)]
            self.width *= 2
        slot = int(at / self.width)
        self._slots += [0] * (slot + 1 - len(self._slots))
        self._slots[slot] += count
        self.total += count

    def in_bins(self, width: float, count: int) -> list[float]:
        """Return the bytes in each of `count` bins of `width` seconds; the last takes the rest.

        A slot that lies in two bins is divided between them.
        """
        until = [0, *accumulate(self._slots)]

        def before(at: float) -> float:
            slot, share = divmod(at / self.width, 1.0)
            if slot >= len(self._slots):
                return self.total
            return until[int(slot)] + share * self._slots[int(slot)]

        edges = [before(number * width) for number in range(count)]
        return [after - earlier for earlier, after in pairwise([*edges, self.total])]
