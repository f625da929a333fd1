"""A benchmark: the pictures that a model is judged on, each with its name, and its low picture where one is given.

Unlike a training set it must be whole: one picture that can't be read fails it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.catalogue import DatasetSpec
from data.errors import UserError
from data.images import SUFFIXES, ImageFault, decode
from data.records import Rejection, SourceEntry
from data.sources import Source


class Benchmark:
    """Iterates over (name, high) or (name, high, low); pixels uint8, height x width x 3, RGB; one at a time.

    Args:
        dataset: what it is; its `low_path` is the folder of the low pictures, if any.
        source: of the high pictures.
        entries: its index.
    """

    def __init__(self, dataset: DatasetSpec, source: Source, entries: list[SourceEntry]) -> None:
        self._dataset, self._source, self._entries = dataset, source, entries
        self._lows = self._match_lows() if dataset.low_path else {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray] | tuple[str, np.ndarray, np.ndarray]]:
        for entry, picture in self._source.read(self._entries):
            if isinstance(picture, Rejection):
                found = f"{picture.reason} ({picture.detail})"
                raise UserError(
                    "a picture that can be read", found, f"{self._dataset.name}/{entry.id}", "replace it"
                )
            name = Path(entry.id).with_suffix("").as_posix()
            if self._lows:
                yield name, picture, self._low(entry.id)
            else:
                yield name, picture

    def _match_lows(self) -> dict[str, Path]:
        """Find the low picture of every high one: the same name below LR/."""
        root = Path(self._dataset.low_path)
        lows = {entry.id: root / entry.id for entry in self._entries}
        missing = [entry for entry, path in lows.items() if not path.is_file()]
        there = {
            path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix.lower() in SUFFIXES
        }
        extra = sorted(there - set(lows))
        if missing or extra:
            found = f"missing {missing[:5] or 'none'}, without a high picture {extra[:5] or 'none'}"
            raise UserError(
                "one low picture for each high one, of the same name", found, str(root), "mend the names"
            )
        return lows

    def _low(self, entry_id: str) -> np.ndarray:
        path = self._lows[entry_id]
        try:
            return decode(path.read_bytes())
        except ImageFault as fault:
            raise UserError("a picture that can be read", str(fault), str(path), "replace it") from None
