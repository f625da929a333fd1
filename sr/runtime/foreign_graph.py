"""ONNX files of other programs, recognized by their input and output: one image of floats, 0 to 1, in RGB or luma.

So do chaiNNer, traiNNer-redux, Real-ESRGAN and `ExportOnnx --signature interchange` write them. What such a file does
not say is found out by running it once on a gray image: its scale, and whether it works on values of 0 to 1 at all.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from sr.imaging.video_range import BLACK, SPAN
from sr.models.metadata import HALO_PX
from sr.runtime.ports import Port, describe_ports

if TYPE_CHECKING:
    import onnxruntime

SIGNATURE = "interchange"
"""Value of "signature" in the metadata of such files that this project exported: they have size_multiple, halo_px."""
_FLOATS: dict[str, type[np.floating[Any]]] = {"float": np.float32, "float16": np.float16}
_PROBE_PX = 64
_MULTIPLE = 16
"""To what sides are padded where the file does not say: what chaiNNer pads to."""
_GRAY, _GRAY_TOLERANCE = 0.5, 0.25
_SCALES = range(1, 17)


@dataclasses.dataclass(frozen=True)
class ForeignGraph:
    """How to call the graph of another program."""

    name: str
    """Of the input."""
    dtype: type[np.floating[Any]]
    channels: int
    """3 (RGB) or 1 (luma; 0 is black and 1 is white)."""
    is_nhwc: bool
    fixed_size: tuple[int, int] | None
    """The only height and width that it takes; None if it takes any."""
    scale: int
    size_multiple: int
    halo_px: int

    def to_input(self, levels: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
        """Convert levels [n,h,w,c] (0 to 255; luma in video range) to the graph's input."""
        black, span = (BLACK, SPAN) if self.channels == 1 else (0, 255)
        values = ((levels.astype(np.float32) - np.float32(black)) / np.float32(span)).astype(self.dtype)
        return values if self.is_nhwc else np.ascontiguousarray(values.transpose(0, 3, 1, 2))

    def to_levels(self, output: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """Convert the graph's output to levels [n,h,w,c], clamped to 0 to 255, not rounded."""
        black, span = (BLACK, SPAN) if self.channels == 1 else (0, 255)
        values = output if self.is_nhwc else output.transpose(0, 2, 3, 1)
        levels: npt.NDArray[np.float32] = values.astype(np.float32) * np.float32(span) + np.float32(black)
        return levels.clip(0.0, 255.0)


def recognize_graph(
    session: "onnxruntime.InferenceSession", metadata: Mapping[str, str], path: Path
) -> ForeignGraph:
    """Find out how to call a graph.

    Args:
        session: the file in ONNX Runtime.
        metadata: of the file.
        path: the file, for the error.

    Raises:
        UserError: it does not take and give one image of floats, or its values are not 0 to 1.
    """
    inputs, outputs = [
        [Port(one.name, one.type.removeprefix("tensor(").removesuffix(")"), one.shape) for one in ports]
        for ports in (session.get_inputs(), session.get_outputs())
    ]
    layouts = _find_layouts(inputs, outputs)
    if len(layouts) != 1:
        raise UserError(
            f"{path} is a graph of another program, without the metadata of an exported model; it takes "
            f"{describe_ports(inputs)} and gives {describe_ports(outputs)}. Of other programs, graphs of one image are "
            "run: float or float16, 1 x 3 x h x w or 1 x h x w x 3 (luma: 1 in place of 3), values 0 to 1",
            "Give the .pth or .safetensors file that it was made from, or run it in the program that it was made for",
        )
    is_nhwc, channels = layouts[0]
    sides = inputs[0].shape[1:3] if is_nhwc else inputs[0].shape[2:]
    fixed = (int(sides[0]), int(sides[1])) if all(isinstance(size, int) for size in sides) else None
    graph = ForeignGraph(
        inputs[0].name,
        _FLOATS[inputs[0].type],
        channels,
        is_nhwc,
        fixed,
        scale=1,
        size_multiple=1 if fixed else _read_number(metadata, "size_multiple", _MULTIPLE),
        halo_px=_read_number(metadata, "halo_px", HALO_PX),
    )
    return dataclasses.replace(graph, scale=_find_scale(graph, session, path))


def _find_layouts(inputs: Sequence[Port], outputs: Sequence[Port]) -> list[tuple[bool, int]]:
    """Return the layouts that fit, as (is it NHWC, channels): one, unless the graph is of another kind."""
    if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type not in _FLOATS:
        return []
    shape = list(inputs[0].shape)
    if len(shape) != 4 or (isinstance(shape[0], int) and shape[0] != 1):
        return []
    return [(axis == 3, int(shape[axis])) for axis in (1, 3) if shape[axis] in (1, 3)]


def _read_number(metadata: Mapping[str, str], name: str, default: int) -> int:
    text = metadata.get(name, "")
    known = metadata.get("signature") == SIGNATURE and text.isdecimal() and 0 < int(text) <= _PROBE_PX
    return int(text) if known else default


def _find_scale(graph: ForeignGraph, session: "onnxruntime.InferenceSession", path: Path) -> int:
    """Run the graph on gray, and return how many times taller and wider the result is.

    Raises:
        UserError: it fails, the two sides differ, or gray does not stay gray.
    """
    height, width = graph.fixed_size or (_PROBE_PX, _PROBE_PX)
    gray = np.full((1, height, width, graph.channels), _GRAY, graph.dtype)
    try:
        output = session.run(None, {graph.name: gray if graph.is_nhwc else gray.transpose(0, 3, 1, 2)})[0]
    except Exception as error:  # onnxruntime's errors share no other base class
        words = " ".join(str(error).split())[:200]
        message = f"{path} does not run on an image of {height}x{width}: {words}"
        raise UserError(message, "Export it again with free height and width") from None
    shape = (
        output.shape if graph.is_nhwc or output.ndim != 4 else tuple(output.shape[i] for i in (0, 2, 3, 1))
    )
    scale = shape[1] // height if len(shape) == 4 else 0
    if scale not in _SCALES or shape != (1, height * scale, width * scale, graph.channels):
        message = f"{path} turns an image of {height}x{width} into {' x '.join(map(str, output.shape))}"
        raise UserError(message, "Give a model that upscales by a whole number")
    mean = float(output.astype(np.float64).mean())
    if not abs(mean - _GRAY) < _GRAY_TOLERANCE:  # not: NaN too
        message = f"{path} turns gray (0.5 of 0 to 1) into {mean:.4g}, so its values are not 0 to 1"
        raise UserError(message, "Export it for images of 0 to 1, or give its .pth or .safetensors file")
    return int(scale)
