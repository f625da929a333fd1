"""Write a realtime network as an mpv user shader: one compute pass for each convolution.

The plane or image is read in cells of 2x2 pixels, as the network does. A pass computes all features of one cell and
stores them in groups of four, side by side, in a texture that is as many cells tall and wide as a cell has groups. The
last pass computes the residual of a cell, adds it to the bicubic upscaling, and writes the HR pixels.

Source: the format of user shaders is described in mpv's manual, "--glsl-shaders".
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from sr.imaging.resize import cubic_kernel
from sr.models.realtime import CELL_PX, LUMA

Weights = npt.NDArray[np.floating]

HOOKS = {"luma": "LUMA", "rgb": "MAIN"}
"""The texture that a shader replaces, by the planes of the export."""
THREADS = 8
"""Rows and columns of cells that one workgroup computes."""
_MIN_UPSCALING = 1.2
"""The shader runs where the player upscales at least this much; below, the player's own scaler does as well."""
_HALF = """#ifdef GL_EXT_shader_explicit_arithmetic_types_float16
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : enable
#define V4 f16vec4
#define M4 f16mat4
#else
#define V4 vec4
#define M4 mat4
#endif"""
_SINGLE = "#define V4 vec4\n#define M4 mat4"


@dataclasses.dataclass(frozen=True)
class ShaderNetwork:
    """A realtime network whose first layer takes, and whose last layer gives, the values of the texture."""

    name: str
    scale: int
    colors: int
    """Of the texture: 3, or 1 for luma."""
    planes: int
    """What the residual is computed from and added to: 3 for R, G and B; 1 for luma."""
    layers: Sequence[tuple[Weights, Weights]]
    """Kernel [outputs, inputs, 3, 3] and bias [outputs] of each convolution."""
    precision: str
    """fp32, or fp16 where the GPU computes in it."""

    @property
    def hook(self) -> str:
        """The texture that is replaced."""
        return HOOKS["luma" if self.colors == 1 else "rgb"]


def write_shader(network: ShaderNetwork, comment: str) -> str:
    """Return the text of the shader.

    Args:
        network: what it computes.
        comment: lines about the file for its reader; without slashes.
    """
    head = "".join(f"// {line}\n" for line in comment.splitlines())
    last = len(network.layers) - 1
    passes = [_write_hidden(network, number) for number in range(last)]
    return "\n".join([head, *passes, _write_last(network)])


def _write_hidden(network: ShaderNetwork, number: int) -> str:
    """Write the pass of a layer with a ReLU."""
    kernel, bias = network.layers[number]
    columns, rows = _tile(len(bias))
    hook = network.hook
    size = [
        f"//!SAVE layer{number}",
        f"//!WIDTH {hook}.w {hook}.w {CELL_PX} % + {CELL_PX} / {columns} *",
        f"//!HEIGHT {hook}.h {hook}.h {CELL_PX} % + {CELL_PX} / {rows} *",
        "//!COMPONENTS 4",
    ]
    groups = -(-len(bias) // 4)
    stores = [
        f"imageStore(out_image, cell * ivec2({columns}, {rows}) + ivec2({group % columns}, {group // columns}), "
        f"vec4(max(sum{group}, V4(0.0))));"
        for group in range(groups)
    ]
    body = [*_write_convolution(network, number, kernel, bias), *stores]
    return _write_pass(network, number, size, (columns, rows), _functions(network, number), body)


def _write_last(network: ShaderNetwork) -> str:
    """Write the pass of the last layer, with the bicubic upscaling and the pixel shuffle."""
    number = len(network.layers) - 1
    kernel, bias = network.layers[number]
    side, hook = CELL_PX * network.scale, network.hook
    size = [f"//!WIDTH {hook}.w {network.scale} *", f"//!HEIGHT {hook}.h {network.scale} *"]
    body = [*_write_convolution(network, number, kernel, bias), *_write_pixels(network)]
    functions = [*_functions(network, number), _write_cubic(network.scale)]
    return _write_pass(network, number, size, (side, side), functions, body)


def _write_pass(
    network: ShaderNetwork,
    number: int,
    size: list[str],
    cell: tuple[int, int],
    functions: list[str],
    body: list[str],
) -> str:
    """Put a pass together; `cell` is the width and height in its output of one cell."""
    hook = network.hook
    reads = [f"//!BIND layer{number - 1}"] if number else []
    wanted = f"OUTPUT.w {hook}.w {_MIN_UPSCALING} * > OUTPUT.h {hook}.h {_MIN_UPSCALING} * > *"
    head = [
        f"//!DESC {network.name} ({network.precision}), layer {number + 1} of {len(network.layers)}",
        f"//!HOOK {hook}",
        f"//!BIND {hook}",
        *reads,
        *size,
        f"//!WHEN {wanted}",
        f"//!COMPUTE {cell[0] * THREADS} {cell[1] * THREADS} {THREADS} {THREADS}",
        _HALF if network.precision == "fp16" else _SINGLE,
    ]
    start = [
        "ivec2 cell = ivec2(gl_GlobalInvocationID.xy);",
        f"ivec2 cells = (ivec2({hook}_size) + {CELL_PX - 1}) / {CELL_PX};",
        "if (any(greaterThanEqual(cell, cells))) return;",
    ]
    main = ["void hook() {", *(f"  {line}" for line in (*start, *body)), "}"]
    return "\n".join([*head, *functions, *main, ""])


def _functions(network: ShaderNetwork, number: int) -> list[str]:
    """Return the functions that a pass calls: they read a pixel, or the values of a cell."""
    hook, kind, parts = network.hook, *(("float", "x") if network.colors == 1 else ("vec3", "rgb"))
    pixel = (
        f"{kind} pixel(ivec2 place) {{\n"
        f"  vec2 inside = vec2(clamp(place, ivec2(0), ivec2({hook}_size) - 1));\n"
        f"  return {hook}_tex((inside + 0.5) * {hook}_pt).{parts};\n}}"
    )
    return [pixel] if number in (0, len(network.layers) - 1) else []


def _write_convolution(network: ShaderNetwork, number: int, kernel: Weights, bias: Weights) -> Iterator[str]:
    """Yield the lines that sum up a 3x3 convolution into sum0, sum1 …, four channels in each."""
    outputs, inputs = -(-len(bias) // 4), -(-kernel.shape[1] // 4)
    padded = np.zeros((4 * outputs, 4 * inputs, 3, 3))
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    biases = np.zeros(4 * outputs)
    biases[: len(bias)] = bias
    for group in range(outputs):
        yield f"V4 sum{group} = V4({_numbers(network, biases[4 * group : 4 * group + 4])});"
    for tap in range(9):
        y, x = divmod(tap, 3)
        yield "{"
        yield f"  ivec2 near = cell + ivec2({x - 1}, {y - 1});"
        if number:  # beyond its edges, a layer sees zeros; the first one sees repeated pixels
            yield "  if (all(greaterThanEqual(near, ivec2(0))) && all(lessThan(near, cells))) {"
        for source, value in enumerate(_read_cell(network, number, inputs)):
            yield f"    V4 v{source} = {value};"
            for group in range(outputs):
                part = padded[4 * group : 4 * group + 4, 4 * source : 4 * source + 4, y, x]
                yield f"    sum{group} += M4({_numbers(network, part.T.ravel())}) * v{source};"
        yield "  }}" if number else "}"


def _read_cell(network: ShaderNetwork, number: int, inputs: int) -> Iterator[str]:
    """Yield an expression for every four inputs of the cell at `near`."""
    if number:
        columns, rows = _tile(len(network.layers[number - 1][1]))
        for source in range(inputs):
            place = f"near * ivec2({columns}, {rows}) + ivec2({source % columns}, {source // columns})"
            yield f"V4(texelFetch(layer{number - 1}_raw, {place}, 0))"
        return
    pixels = [f"pixel(near * {CELL_PX} + ivec2({x}, {y}))" for y in range(CELL_PX) for x in range(CELL_PX)]
    if network.colors == 1:
        yield f"V4({', '.join(pixels)})"
    elif network.planes == 1:
        weights = f"vec3({', '.join(str(share) for share in LUMA)})"
        yield "V4(" + ", ".join(f"dot({pixel}, {weights})" for pixel in pixels) + ")"
    else:
        for color in "rgb":
            yield "V4(" + ", ".join(f"{pixel}.{color}" for pixel in pixels) + ")"


def _write_pixels(network: ShaderNetwork) -> Iterator[str]:
    """Yield the lines that add the residual to the bicubic upscaling, and write the HR pixels of a cell."""
    side = CELL_PX * network.scale
    kind = "float" if network.colors == 1 else "vec3"
    yield f"ivec2 first = cell * {CELL_PX} - {CELL_PX};"
    yield f"{kind} wide[{3 * CELL_PX} * {side}];"
    yield f"for (int y = 0; y < {3 * CELL_PX}; y++) {{"
    yield f"  {kind} row[{3 * CELL_PX}];"
    yield f"  for (int x = 0; x < {3 * CELL_PX}; x++) row[x] = pixel(first + ivec2(x, y));"
    yield f"  for (int x = 0; x < {side}; x++) {{"
    yield f"    {kind} value = {kind}(0.0);"
    yield f"    for (int tap = 0; tap < {3 * CELL_PX}; tap++) value += row[tap] * CUBIC[x * {3 * CELL_PX} + tap];"
    yield f"    wide[y * {side} + x] = value;"
    yield "  }"
    yield "}"
    for place in range(side**2):
        y, x = divmod(place, side)
        taps = " + ".join(
            f"wide[{tap * side + x}] * CUBIC[{y * 3 * CELL_PX + tap}]" for tap in range(3 * CELL_PX)
        )
        channels = [plane * side**2 + place for plane in range(network.planes)]
        parts = [f"float(sum{channel // 4}.{'xyzw'[channel % 4]})" for channel in channels]
        residual = parts[0] if len(parts) == 1 else f"vec3({', '.join(parts)})"
        value = f"{taps} + {residual}"
        pixel = f"vec4({value}, 0.0, 0.0, 1.0)" if network.colors == 1 else f"vec4({value}, 1.0)"
        yield f"imageStore(out_image, cell * {side} + ivec2({x}, {y}), {pixel});"


def _write_cubic(scale: int) -> str:
    """Write the weights of six LR pixels in a row for each HR pixel of a cell."""
    side = CELL_PX * scale
    taps = np.arange(-CELL_PX, 2 * CELL_PX)
    positions = (2 * np.arange(side) + 1 - scale) / (2 * scale)
    weights = cubic_kernel(positions[:, None] - taps).ravel()  # [side·6]
    numbers = ", ".join(_number(weight) for weight in weights)
    return f"const float CUBIC[{len(weights)}] = float[{len(weights)}]({numbers});"


def _tile(channels: int) -> tuple[int, int]:
    """Return the columns and rows of the groups of four channels that a cell has in a texture."""
    groups = -(-channels // 4)
    columns = min(groups, 4)
    return columns, -(-groups // columns)


def _numbers(network: ShaderNetwork, values: Weights) -> str:
    kind = np.float16 if network.precision == "fp16" else np.float32
    return ", ".join(_number(value, kind) for value in values)


def _number(value: float, kind: type[np.floating] = np.float32) -> str:
    """Return the shortest decimal number that is `value` in this type."""
    text = str(kind(value))
    return text if "." in text or "e" in text else f"{text}.0"
