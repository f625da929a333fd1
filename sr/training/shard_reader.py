"""What a reader of shards offers to the training, whichever library it uses. See `readers` for the readers."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from data.errors import UserError

if TYPE_CHECKING:  # a command line is checked without torch
    from torch import Tensor

Image = npt.NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""

LoadImage = Callable[[], tuple[Image, str]]
"""Returns an image and its location, tar:offset:member. May be called from any thread."""


class ShardReader(Protocol):
    """Reads the images of a split, a fixed number at a time."""

    def read(self) -> list[LoadImage]:
        """Return functions that load the next images. Earlier ones must not be called anymore: buffers are reused."""

    def position(self) -> bytes:
        """Return the position after the last `read`, in the form that `open_reader` takes."""


@runtime_checkable
class DeviceReader(ShardReader, Protocol):
    """A reader that can also decode on a GPU."""

    def read_on_device(self) -> "tuple[Tensor, tuple[str, ...]]":
        """Return the next images as uint8 [n,h,w,3] on the GPU, valid until the next call, and their locations."""


def damaged_sample(tar: str, member: str, problem: str) -> UserError:
    """Return the error for a sample of a shard that has changed since it was packed."""
    message = f"The shard {tar} is damaged: {member} {problem}"
    return UserError(
        message, "Run VerifyDataset with --rebuild on its dataset, then start the training again"
    )
