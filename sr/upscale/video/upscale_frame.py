"""Upscale one frame with any kind of model, in the video's own colors. Knows no files and no order of frames.

- A luma model gets the Y plane as it is decoded; chroma is upscaled by bicubic interpolation at its own location.
- An RGB model gets the frame converted by the video's matrix and range; its result is converted back the same way.
- Bicubic upscales every plane and converts nothing.

Videos of 8 bits use a model's uint8 input; those of 10 bits use its float input, in fractional levels.
"""

import threading
from fractions import Fraction
from typing import Any

import av.filter
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from data.errors import UserError
from data.video.pyav import build_filter_graph, plane_array
from sr.imaging.video_range import FULL_SPAN, to_full_range, to_limited_range
from sr.upscale.video.frame_network import FrameNetwork
from sr.upscale.video.upscale_plane import BICUBIC, round_samples, upscale_plane
from sr.upscale.video.video_info import VideoInfo

_SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:sws_dither=none"

_WHITE_16_BITS = 255 << 8
"""White of 16-bit RGB in the scale filter, and what it gives for white of limited range."""
_BT709_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_SUBSAMPLING = {"420": (2, 2), "422": (1, 2)}
"""Luma rows and columns for each chroma sample."""

Float32Array = npt.NDArray[np.float32]


class FrameUpscaler:
    """Upscales the frames of one video; safe to call from several threads.

    Args:
        network: the model; None for bicubic interpolation.
        video: the video of the frames.
        scale: how many times taller and wider the result is.
        pixel_format: planar format of the result.
        kernel: what upscales planes that no network does, see `upscale_plane`.

    Raises:
        UserError: the video's colors cannot be converted to RGB and back.
    """

    def __init__(
        self,
        network: FrameNetwork | None,
        video: VideoInfo,
        scale: int,
        pixel_format: str,
        kernel: str = BICUBIC,
    ) -> None:
        self.network, self.video, self.scale, self.pixel_format = network, video, scale, pixel_format
        self.kernel = kernel
        self.bit_depth = 10 if pixel_format.endswith("10le") else 8
        self._input_format = video.planar_format(self.bit_depth)
        is_rgb_model = network is not None and network.color == "rgb"
        if is_rgb_model and video.chroma not in ("rgb", "gray") and not video.matrix:
            tags = video.color_tags
            raise UserError(
                f"The colors of {video.path} cannot be converted to RGB:"
                f" matrix {tags['colorspace']} or transfer {tags['color_trc']} of H.273 is not supported",
                "Use a luma model",
            )
        self._local = threading.local()

    @property
    def identity(self) -> str:
        """What its frames depend on: that of the network, or the name of the kernel."""
        return self.network.identity if self.network is not None else self.kernel

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Upscale a frame (planar, with the video's chroma and bit depth); the result has the same time."""
        if self.network is not None and self.network.color == "rgb":
            upscaled = self._upscale_rgb(self.network, frame)
        else:
            upscaled = self._upscale_planes(frame)
        upscaled.pts, upscaled.time_base = frame.pts, self.video.time_base
        return upscaled

    def _upscale_planes(self, frame: VideoFrame) -> VideoFrame:
        """Upscale luma with the model or bicubic, and chroma with bicubic."""
        video, scale, max_value = self.video, self.scale, (1 << self.bit_depth) - 1
        if frame.format.name.replace("yuvj", "yuv") != self._input_format:
            if video.chroma == "rgb" and video.bit_depth > 8:
                frame = self._from_levels(self._to_levels(frame))
            else:
                frame = self._convert(frame, self._input_format)
        upscaled = VideoFrame(video.width * scale, video.height * scale, self.pixel_format)
        luma = plane_array(frame, 0)
        plane_array(upscaled, 0)[:] = (
            upscale_plane(luma, scale, max_value, kernel=self.kernel)
            if self.network is None
            else self._upscale_luma(self.network, luma, max_value)
        )
        subsampling = _SUBSAMPLING.get(video.chroma, (1, 1))
        for number in range(1, len(frame.planes)):
            chroma = upscale_plane(
                plane_array(frame, number), scale, max_value, subsampling, video.chroma_location, self.kernel
            )
            target = plane_array(upscaled, number)
            target[:] = chroma[: target.shape[0], : target.shape[1]]  # odd sides have half a sample more
        return upscaled

    def _upscale_luma(
        self, network: FrameNetwork, luma: npt.NDArray[Any], max_value: int
    ) -> npt.NDArray[Any]:
        if self.video.is_full_range:  # 0 to the largest value; a luma model takes 16 to 235
            step = np.float32(max_value / FULL_SPAN)
            levels = to_full_range(network.upscale_levels(to_limited_range(luma[..., None] / step)))
            return round_samples(levels[..., 0] * step, luma.dtype, max_value)
        if self.bit_depth == 8:
            return network.upscale_uint8(luma[..., None])[..., 0]
        step = np.float32(4)  # limited range is the same in 10 bits, times four
        levels = network.upscale_levels(np.asarray(luma[..., None] / step, np.float32))
        return round_samples(levels[..., 0] * step, luma.dtype, max_value)

    def _upscale_rgb(self, network: FrameNetwork, frame: VideoFrame) -> VideoFrame:
        if self.bit_depth > 8 or self.video.chroma == "gray":
            levels = self._to_levels(frame)
            if self.bit_depth == 8:
                rgb = round_samples(levels, np.dtype(np.uint8), 255)
                return self._from_levels(network.upscale_uint8(rgb))
            return self._from_levels(network.upscale_levels(levels))
        # FFmpeg converts to planes far faster than to packed pixels, and to the same values.
        planar = self._convert(frame, "gbrp").to_ndarray().view(np.uint8)
        upscaled = np.ascontiguousarray(network.upscale_uint8(planar))
        # The frame shares the model's buffer, which is read before this thread calls the model again.
        return self._convert(VideoFrame.from_numpy_buffer(upscaled, "rgb24"), self.pixel_format)

    def _to_levels(self, frame: VideoFrame) -> Float32Array:
        """Return float32 height x width x 3 RGB, 0 to 255."""
        video, bits = self.video, frame.format.components[0].bits
        max_value = (1 << bits) - 1
        if video.chroma == "gray":  # the filter always takes gray for full range
            gray: Float32Array = plane_array(frame, 0)[..., None].astype(np.float32)
            gray *= np.float32(255 / (max_value if video.is_full_range else 219 << bits - 8))
            gray -= np.float32(0 if video.is_full_range else 16 * 255 / 219)
            return np.repeat(np.clip(gray, 0, 255, out=gray), 3, axis=2)
        if video.chroma == "rgb":
            return np.asarray(frame.to_ndarray() * np.float32(255 / max_value), np.float32)
        # The filter scales by shifting, so white is not 65535.
        white = max_value << 16 - bits if video.is_full_range else _WHITE_16_BITS
        return np.asarray(self._convert(frame, "gbrp16le").to_ndarray() * np.float32(255 / white), np.float32)

    def _from_levels(self, levels: npt.NDArray[np.uint8] | Float32Array) -> VideoFrame:
        """Return a planar frame of a model's RGB result, in levels."""
        if self.video.chroma == "gray":
            return self._gray_from_levels(levels.astype(np.float32))
        scaled = levels.astype(np.float32)
        scaled *= np.float32(_WHITE_16_BITS / 255)
        rgb = VideoFrame.from_ndarray(round_samples(scaled, np.dtype(np.uint16), 65535), "rgb48le")
        return self._to_full_range(rgb) if self.video.is_full_range else self._convert(rgb, self.pixel_format)

    def _gray_from_levels(self, levels: Float32Array) -> VideoFrame:
        is_full_range, shift = self.video.is_full_range, self.bit_depth - 8
        max_value = (1 << self.bit_depth) - 1
        luma = (levels @ _BT709_LUMA) * np.float32((max_value if is_full_range else 219 << shift) / 255)
        luma += np.float32(0 if is_full_range else 16 << shift)
        frame = VideoFrame(luma.shape[1], luma.shape[0], self.pixel_format)
        target = plane_array(frame, 0)
        target[:] = round_samples(luma, target.dtype, max_value)
        return frame

    def _to_full_range(self, rgb: VideoFrame) -> VideoFrame:
        """Convert RGB by way of 16 bits of limited range: to full range the filter itself is off by up to 3 of 1023."""
        limited = self._convert(rgb, self.video.planar_format(16))
        frame, max_value = VideoFrame(rgb.width, rgb.height, self.pixel_format), (1 << self.bit_depth) - 1
        for number in range(3):
            zero, span, middle = (128, 224, max_value + 1 >> 1) if number else (16, 219, 0)
            target = plane_array(frame, number)
            values: Float32Array = plane_array(limited, number).astype(np.float32)
            values = (values / np.float32(256) - np.float32(zero)) * np.float32(max_value / span)
            target[:] = round_samples(values + np.float32(middle), target.dtype, max_value)
        return frame

    def _convert(self, frame: VideoFrame, pixel_format: str) -> VideoFrame:
        """Convert a frame with a filter graph of this thread's own."""
        graphs: dict[tuple[str, str], av.filter.Graph] = self._local.__dict__.setdefault("graphs", {})
        key = (frame.format.name, pixel_format)
        if key not in graphs:
            graphs[key] = self._build_graph(frame, pixel_format)
        frame.pts = frame.pts or 0
        graphs[key].vpush(frame)
        return graphs[key].vpull()

    def _build_graph(self, frame: VideoFrame, pixel_format: str) -> av.filter.Graph:
        video, options = self.video, _SCALE
        is_full_range = video.is_full_range and pixel_format != video.planar_format(16)
        range_name = "pc" if is_full_range else "tv"
        if not frame.format.is_rgb:
            options += f":in_range={range_name}:in_chroma_loc={video.chroma_location}"
            options += f":in_color_matrix={video.matrix}" if video.matrix else ""
        if pixel_format.startswith("gbrp"):
            options += ":out_range=pc"
        else:
            options += f":out_range={range_name}:out_chroma_loc={video.chroma_location}"
            options += f":out_color_matrix={video.matrix}" if video.matrix else ""
        time_base = video.time_base or Fraction(1)
        return build_filter_graph(frame, time_base, ("scale", options), ("format", pixel_format))
