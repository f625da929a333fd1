"""Run a user shader in ffmpeg's libplacebo filter, on whatever Vulkan device there is: a software one will do."""

import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from data.errors import UserError
from sr.export.parity import ImageBatch

_FFMPEG = "ffmpeg"
_TIMEOUT_S = 300
_DEVICE = ("-init_hw_device", "vulkan=vk", "-filter_hw_device", "vk")


@functools.cache
def find_fault() -> str:
    """Return why shaders cannot be run on this machine; empty if they can."""
    if shutil.which(_FFMPEG) is None:
        return "ffmpeg is not installed"
    filters = _run(["-hide_banner", "-filters"])
    if b" libplacebo " not in filters.stdout:
        return "ffmpeg has no libplacebo filter"
    source = [
        "-f",
        "lavfi",
        "-i",
        "color=size=16x16:duration=0.04",
        "-vf",
        "format=yuv420p,hwupload,libplacebo",
    ]
    tried = _run([*_DEVICE, *source, "-f", "null", "-"])
    return "" if tried.returncode == 0 else "ffmpeg finds no Vulkan device that libplacebo can use"


def _run(arguments: list[str], images: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [_FFMPEG, "-nostdin", *arguments] if not images else [_FFMPEG, *arguments],
        input=images or None,
        stdin=None if images else subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


class ShaderPlayer:
    """Runs a shader on images, as a player does: with no scaling or dithering besides it.

    Args:
        shader: the content of the file; a luma shader gets video with gray chroma.
        scale: of the shader.

    Attributes:
        device: the name of the Vulkan device of the last run.
    """

    def __init__(self, shader: bytes, scale: int) -> None:
        self._shader, self._scale = shader, scale
        self.device = "?"

    def run(self, lr_image: ImageBatch) -> ImageBatch:
        """Upscale uint8 NHWC: RGB, or luma from 16 to 235. The shader is compiled once for a batch.

        Raises:
            UserError: ffmpeg fails.
        """
        count, height, width, channels = lr_image.shape
        size = (count, height * self._scale, width * self._scale, channels)
        layout = "yuv420p" if channels == 1 else "rgba"
        frames = b"".join(_to_frame(image) for image in lr_image)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.glsl"
            path.write_bytes(self._shader)
            chain = (
                f"format={layout},hwupload,libplacebo=w=iw*{self._scale}:h=ih*{self._scale}:dithering=none:"
                f"custom_shader_path={path},hwdownload,format={layout}"
            )
            source = ["-f", "rawvideo", "-pix_fmt", layout, "-s", f"{width}x{height}", "-i", "-"]
            done = _run(["-v", "verbose", *_DEVICE, *source, "-vf", chain, "-f", "rawvideo", "-"], frames)
        log = done.stderr.decode(errors="replace")
        if done.returncode or len(done.stdout) != count * _frame_bytes(*size[1:]):
            words = " ".join(log.split()[-40:])
            raise UserError(f"ffmpeg cannot run the shader: {words}", "Report this with the graphics driver")
        if named := re.search(r"Device \d+ selected: (.+?) \(", log):
            self.device = named[1]
        return _from_frames(done.stdout, size)


def _frame_bytes(height: int, width: int, channels: int) -> int:
    """Return the size of a frame of yuv420p or rgba."""
    if channels == 1:
        return height * width + 2 * (-(-height // 2) * -(-width // 2))
    return 4 * height * width


def _to_frame(image: ImageBatch) -> bytes:
    """Return the bytes of an HWC image as a frame: luma with gray chroma, or opaque RGBA."""
    height, width, channels = image.shape
    if channels == 1:
        chroma = np.full(_frame_bytes(height, width, 1) - height * width, 128, np.uint8)
        content: bytes = np.concatenate([image.ravel(), chroma]).tobytes()
        return content
    content = np.concatenate([image, np.full_like(image[..., :1], 255)], axis=2).tobytes()
    return content


def _from_frames(content: bytes, size: tuple[int, int, int, int]) -> ImageBatch:
    """Return the luma or RGB of frames as NHWC of this size."""
    count, height, width, channels = size
    frames = np.frombuffer(content, np.uint8).reshape(count, -1)
    if channels == 1:
        return frames[:, : height * width].reshape(size)
    return frames.reshape(count, height, width, 4)[..., :3]
