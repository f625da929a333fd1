"""The text of ncnn's .param files: what pnnx writes, with the blobs and sizes that programs on ncnn expect."""

import dataclasses

from data.errors import UserError
from sr.models.metadata import ModelMetadata

INPUT, OUTPUT = "data", "output"
"""The names that realesrgan-ncnn-vulkan and the programs made of it call."""
_MAGIC = "7767517"


def conversion_error(metadata: ModelMetadata, reason: str) -> UserError:
    """Return the error for a network that ncnn cannot have."""
    return UserError(
        f"The network {metadata.preset} cannot be converted to ncnn: {reason}",
        "Use ExportOnnx --signature interchange",
    )


def finish_param(param: str, metadata: ModelMetadata) -> str:
    """Rename the input and the output of pnnx, and complete odd sides where the network works on cells.

    Raises:
        UserError: a layer is of another program than ncnn, or there are other inputs and outputs.
    """
    magic, _, *lines = param.strip().splitlines()
    layers = [_Layer.parse(line) for line in lines]
    blobs = {blob for layer in layers for blob in (*layer.inputs, *layer.outputs)}
    foreign = sorted({layer.kind for layer in layers if "." in layer.kind or "::" in layer.kind})
    if magic != _MAGIC or foreign or not {"in0", "out0"} <= blobs or {"in1", "out1"} & blobs:
        raise conversion_error(metadata, f"ncnn has no layers for {', '.join(foreign) or 'its interface'}")
    if metadata.size_multiple == 1:
        renamed = [layer.rename({"in0": INPUT, "out0": OUTPUT}) for layer in layers]
    else:
        renamed = _complete_sides(layers, metadata)
    count = len({blob for layer in renamed for blob in layer.outputs})
    return "\n".join([_MAGIC, f"{len(renamed)} {count}", *(layer.text() for layer in renamed), ""])


@dataclasses.dataclass(frozen=True)
class _Layer:
    """A line of a .param file."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: tuple[str, ...] = ()

    @classmethod
    def parse(cls, line: str) -> "_Layer":
        """Read a line: kind, name, the numbers of inputs and outputs, their names, settings."""
        kind, name, inputs, outputs, *rest = line.split()
        first, last = int(inputs), int(inputs) + int(outputs)
        return cls(kind, name, tuple(rest[:first]), tuple(rest[first:last]), tuple(rest[last:]))

    def rename(self, blobs: dict[str, str]) -> "_Layer":
        """Return the layer with other names of blobs."""
        inputs, outputs = (tuple(blobs.get(one, one) for one in some) for some in (self.inputs, self.outputs))
        return dataclasses.replace(self, inputs=inputs, outputs=outputs)

    def text(self) -> str:
        """Return the line."""
        counts = f"{len(self.inputs)} {len(self.outputs)}"
        return " ".join([self.kind, self.name, counts, *self.inputs, *self.outputs, *self.settings])


def _complete_sides(layers: list[_Layer], metadata: ModelMetadata) -> list[_Layer]:
    """Repeat the last pixels before the network, and cut the result to the size that belongs to the input.

    A strided convolution leaves out what does not fill a cell, so that even sides are as before.
    """
    missing, scale = metadata.size_multiple - 1, float(metadata.scale)
    # 0 to 3: pixels above, below, at the left, at the right; 4=1: repeat the edge.
    edges = ("0=0", f"1={missing}", "2=0", f"3={missing}", "4=1")
    inside = [
        layer.rename({"in0": "whole_cells", "out0": "whole_output"})
        for layer in layers
        if layer.kind != "Input"
    ]
    return [
        _Layer("Input", INPUT, (), (INPUT,)),
        _Layer("Split", "two_uses", (INPUT,), ("to_complete", "to_measure")),
        _Layer("Padding", "complete", ("to_complete",), ("whole_cells",), edges),
        *inside,
        # 0=1: nearest; only the size of the result is used.
        _Layer("Interp", "measure", ("to_measure",), ("size",), ("0=1", f"1={scale:e}", f"2={scale:e}")),
        _Layer("Crop", "cut", ("whole_output", "size"), (OUTPUT,)),
    ]
