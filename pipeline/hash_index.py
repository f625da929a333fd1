"""Find perceptual hashes that are nearly equal, without comparing every pair."""

import itertools

_HASH_BITS = 64


class HashIndex:
    """Find perceptual hashes within a few bits of each other.

    If two hashes differ in at most k bits, they agree in at least one of k + 1 bands of bits. So only hashes that share
    a band are compared.

    Args:
        bits: largest number of bits in which a match may differ.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        edges = [_HASH_BITS * band // (bits + 1) for band in range(bits + 2)]
        self._bands = [(first, (1 << (end - first)) - 1) for first, end in itertools.pairwise(edges)]
        self._tables: list[dict[int, list[tuple[int, str]]]] = [{} for _ in self._bands]

    def find(self, phash: str) -> str | None:
        """Return the name of an added hash within `bits` of this one, or None."""
        value = int(phash, 16)
        for (shift, mask), table in zip(self._bands, self._tables, strict=True):
            for other, name in table.get(value >> shift & mask, ()):
                if (value ^ other).bit_count() <= self.bits:
                    return name
        return None

    def add(self, phash: str, name: str) -> None:
        """Add a hash under a name."""
        value = int(phash, 16)
        item = (value, name)
        for (shift, mask), table in zip(self._bands, self._tables, strict=True):
            table.setdefault(value >> shift & mask, []).append(item)
