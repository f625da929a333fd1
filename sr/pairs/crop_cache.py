"""Keeps decoded crops, so that each is decoded once in a session: in memory, in a file of the run, or not at all.

The ranks of a host share one file. It has no name anymore once all of them have opened it, so it disappears with them,
however they end, and never outlives a change of the shards.
"""

import os
import shutil
import socket
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.memory import available_memory_bytes
from sr.distributed.ranks import Rank
from sr.pairs.crop_reader import CropReader, Image
from sr.pairs.sampler import Numbers
from sr.pairs.settings import AUTO, CACHE_PLACES

_SHARE = 0.5
"""The share of the available memory, or of the free disk space, that the decoded crops may take by themselves."""


class CropCache:
    """The crops of a split, decoded when they are first needed."""

    def __init__(self, reader: CropReader, pixels: npt.NDArray[np.uint8] | None) -> None:
        """Keep crops in `pixels`.

        Args:
            reader: decodes them.
            pixels: uint8 [crops, side, side, 3] of zeros, followed by one byte per crop that says whether it is there,
                all in one dimension (see `size_bytes`); None to keep none.
        """
        self.reader, self.crops, self.side_px = reader, reader.crops, reader.side_px
        self._pixels: npt.NDArray[np.uint8] | None = None
        self._filled = np.zeros(reader.crops, np.uint8)
        self.keeps = pixels is not None
        """Whether a crop is decoded only once."""
        if pixels is not None:
            self._pixels = pixels[: -reader.crops].reshape(-1, reader.side_px, reader.side_px, 3)
            self._filled = pixels[-reader.crops :]

    def describe(self) -> str:
        """Return where the crops are kept, after "are"."""
        if self._pixels is None:
            return "decoded anew each time: they have no room in memory or on the disk"
        place = "in a file of the run" if isinstance(self._pixels, np.memmap) else "in memory"
        return f"decoded once and kept {place} ({self._pixels.nbytes / 1e9:,.2f} GB)"

    def load(self, numbers: Numbers) -> list[Image]:
        """Return crops, uint8 [side, side, 3] each; they must not be changed.

        Raises:
            UserError: one of them is damaged.
        """
        if self._pixels is None:
            needed, places = np.unique(numbers, return_inverse=True)
            images = self.reader.read(needed)
            return [images[place] for place in places.tolist()]
        missing = np.unique(numbers[self._filled[numbers] == 0])
        if missing.size:
            self._pixels[missing] = self.reader.read(missing)
            # Not before the pixels are there: another rank may be reading. Two that decode one crop write the same.
            self._filled[missing] = 1
        return [self._pixels[number] for number in numbers.tolist()]


def size_bytes(reader: CropReader) -> int:
    """Return the bytes that a cache of all crops takes."""
    return reader.crops * (reader.side_px**2 * 3 + 1)


def choose_place(wanted: str, needed_bytes: int, scratch: Path, rank: Rank) -> str:
    """Return where to keep crops: memory, disk or off. All ranks must call it together; each gets the same answer.

    Args:
        wanted: a name in settings.CACHE_PLACES. auto: the first that has room on every host, of memory, disk and off.
        needed_bytes: what they take.
        scratch: the directory of the file.
        rank: this process.
    """
    if wanted != AUTO:
        return wanted
    on_disk = needed_bytes <= _SHARE * shutil.disk_usage(scratch).free
    # Several ranks share memory through a file.
    in_memory = needed_bytes <= _SHARE * available_memory_bytes() and (on_disk or rank.processes_here == 1)
    (worst,) = rank.maximum([0.0 if in_memory else 1.0 if on_disk else 2.0])
    return CACHE_PLACES[1 + int(worst)]


def open_cache(reader: CropReader, wanted: str, scratch: Path, rank: Rank) -> CropCache:
    """Open the cache of this host. All ranks must call it together.

    Args:
        reader: decodes the crops.
        wanted: a name in settings.CACHE_PLACES, see `choose_place`.
        scratch: the directory for the file that several ranks share, or that takes what memory does not.
        rank: this process.

    Raises:
        UserError: the disk has no room.
    """
    scratch.mkdir(exist_ok=True)
    place = choose_place(wanted, size_bytes(reader), scratch, rank)
    if place == "off":
        return CropCache(reader, None)
    if place == "memory" and rank.processes_here == 1:
        return CropCache(reader, np.zeros(size_bytes(reader), np.uint8))
    path = scratch / f"crops-{socket.gethostname()}.u8"
    if rank.local_number == 0:
        _reserve(path, size_bytes(reader))
    rank.wait_for_all()
    pixels = np.memmap(path, np.uint8, "r+")
    rank.wait_for_all()
    if rank.local_number == 0:
        path.unlink()
    return CropCache(reader, pixels)


def _reserve(path: Path, size: int) -> None:
    """Make a file of zeros.

    Raises:
        UserError: the disk has no room.
    """
    path.unlink(missing_ok=True)
    with open(path, "wb") as file:
        try:
            # A file with holes would end the process by a signal when the disk is full.
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            path.unlink()
            message = f"The decoded crops take {size:,} bytes, which {path.parent} has no room for: {error}"
            raise UserError(message, "Free some space, or set [training] crop_cache to off") from error
