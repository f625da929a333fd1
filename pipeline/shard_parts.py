"""Divide the shards of a plan into parts, so that jobs of a batch system need not talk to each other."""

import dataclasses
import re
from collections.abc import Sequence

_MAX_DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Part:
    """Part `number` of `count`: every `count`-th shard, from the `number`-th on."""

    number: int
    """From 1. A part past the last shard, or past `count`, is empty."""
    count: int
    """At least 1."""

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read I/N, e.g. 7/64.

        Raises:
            ValueError: the text is anything else, or a number is 0: a job whose index begins with 0 adds 1, or the
                last part would never be packed.
        """
        match = re.fullmatch(rf"([0-9]{{1,{_MAX_DIGITS}}})/([0-9]{{1,{_MAX_DIGITS}}})", text, re.ASCII)
        if match is None or not int(match[1]) or not int(match[2]):
            raise ValueError(f"{text!r} is not a part")
        return cls(int(match[1]), int(match[2]))

    def take(self, shards: Sequence[str]) -> list[str]:
        """Return the shards of this part. All parts together have each shard once; sizes differ by at most one."""
        return list(shards[self.number - 1 :: self.count]) if self.number <= self.count else []
