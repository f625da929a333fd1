"""One frame to an upscaled frame, by a model of any kind, in the video's own colors. Knows no files and no time.

- A luma model sees the Y plane as the decoder gives it; chroma is upscaled by bicubic interpolation where it lies.
- An RGB model sees the frame converted by the video's matrix and range; its result is converted back the same way.
- bicubic upscales every plane, and converts nothing.

8 bits go through a model's bytes, 10 through its fractional levels.
"""

import threading
from fractions import Fraction
from typing import Protocol

import av
import av.filter
import numpy as np
from av.video.frame import VideoFrame

from data.errors import UserError
from sr.imaging.video_range import FULL_SPAN, from_video, to_video
from sr.upscale.video.decode_frames import plane_of
from sr.upscale.video.upscale_plane import as_samples, upscale_plane
from sr.upscale.video.video_info import Video

_SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:sws_dither=none"

_WHITE_16_BITS = 255 << 8
"""What the filter takes for white in 16 bits of RGB, and gives for white of limited range."""
_BT709_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


class Network(Protocol):
    """A model as videos need it: of one color, called from several threads at once."""

    name: str
    scale: int
    color: str
    """luma or rgb."""
    workers: int
    """How many threads may call it at once with a gain."""

    def bytes(self, lr_image: np.ndarray) -> np.ndarray:
        """Upscale uint8 HWC (one channel or three) to uint8 HWC."""

    def levels(self, lr_image: np.ndarray) -> np.ndarray:
        """Upscale float32 HWC in levels 0 to 255 to float32 HWC, not rounded."""


class Upscaler:
    """Upscales the frames of one video; safe to call from several threads."""

    def __init__(self, network: Network | None, video: Video, scale: int, pixels: str) -> None:
        """Prepare.

        Args:
            network: the model; None for bicubic interpolation.
            video: what the frames come from.
            scale: how many times.
            pixels: the planar format of the upscaled frames.

        Raises:
            UserError: the video's colors cannot be converted to RGB and back.
        """
        self.network, self.video, self.scale, self.pixels = network, video, scale, pixels
        self.bits = 10 if pixels.endswith("10le") else 8
        self._low_pixels = video.planar(self.bits)
        self._in_rgb = network is not None and network.color == "rgb"
        if self._in_rgb and video.chroma not in ("rgb", "gray") and not video.matrix:
            found = f"matrix {video.tags['colorspace']} or transfer {video.tags['color_trc']} of H.273"
            raise UserError("colors that can be converted to RGB", found, str(video.path), "use a luma model")
        self._local = threading.local()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Upscale a frame (planar, of the video's chroma and depth); its time goes with it."""
        hr_image = self._rgb(frame) if self._in_rgb else self._planes(frame)
        hr_image.pts, hr_image.time_base = frame.pts, self.video.time_base
        return hr_image

    def _planes(self, frame: VideoFrame) -> VideoFrame:
        video, scale, top = self.video, self.scale, (1 << self.bits) - 1
        if frame.format.name.replace("yuvj", "yuv") != self._low_pixels:
            if video.chroma == "rgb" and video.bits > 8:
                frame = self._from_levels(self._to_levels(frame))
            else:
                frame = self._converted(frame, self._low_pixels)
        hr_image = VideoFrame(video.width * scale, video.height * scale, self.pixels)
        luma = plane_of(frame, 0)
        plane_of(hr_image, 0)[:] = (
            upscale_plane(luma, scale, top) if self.network is None else self._luma(luma, top)
        )
        shared = {"420": (2, 2), "422": (1, 2)}.get(video.chroma, (1, 1))
        for number in range(1, len(frame.planes)):
            chroma = upscale_plane(plane_of(frame, number), scale, top, shared, video.siting)
            place = plane_of(hr_image, number)
            place[:] = chroma[: place.shape[0], : place.shape[1]]  # odd sides have half a sample more
        return hr_image

    def _luma(self, luma: np.ndarray, top: int) -> np.ndarray:
        if self.video.is_full_range:  # reaches the top of 8 bits and of 10; a luma model takes 16 to 235
            step = np.float32(top / FULL_SPAN)
            hr_image = from_video(self.network.levels(to_video(luma[..., None] / step)))
            return as_samples(hr_image[..., 0] * step, luma.dtype, top)
        if self.bits == 8:
            return self.network.bytes(luma[..., None])[..., 0]
        step = np.float32(4)  # limited range is the same in 10 bits, times four
        return as_samples(self.network.levels(luma[..., None] / step)[..., 0] * step, luma.dtype, top)

    def _rgb(self, frame: VideoFrame) -> VideoFrame:
        if self.bits > 8 or self.video.chroma == "gray":
            lr_image = self._to_levels(frame)
            if self.bits == 8:
                return self._from_levels(self.network.bytes(as_samples(lr_image, np.dtype(np.uint8), 255)))
            return self._from_levels(self.network.levels(lr_image))
        # FFmpeg converts to planes far faster than to packed pixels, and to the same values.
        hr_image = self.network.bytes(self._converted(frame, "gbrp").to_ndarray())
        return self._converted(VideoFrame.from_ndarray(np.ascontiguousarray(hr_image), "rgb24"), self.pixels)

    def _to_levels(self, frame: VideoFrame) -> np.ndarray:
        """Return float32 height x width x 3 RGB, 0 to 255."""
        video, bits = self.video, frame.format.components[0].bits
        top = (1 << bits) - 1
        if video.chroma == "gray":  # the filter takes gray for full range always
            gray = plane_of(frame, 0)[..., None].astype(np.float32)
            gray *= np.float32(255 / (top if video.is_full_range else 219 << bits - 8))
            gray -= np.float32(0 if video.is_full_range else 16 * 255 / 219)
            return np.repeat(np.clip(gray, 0, 255, out=gray), 3, axis=2)
        if video.chroma == "rgb":
            return frame.to_ndarray() * np.float32(255 / top)
        white = (
            top << 16 - bits if video.is_full_range else _WHITE_16_BITS
        )  # the filter's scalings are shifts
        return self._converted(frame, "gbrp16le").to_ndarray() * np.float32(255 / white)

    def _from_levels(self, levels: np.ndarray) -> VideoFrame:
        """Return a planar frame of what a model gave, uint8 or float32."""
        video, scaled = self.video, levels.astype(np.float32)
        if video.chroma == "gray":
            top = (1 << self.bits) - 1
            luma = (scaled @ _BT709_LUMA) * np.float32(
                (top if video.is_full_range else 219 << self.bits - 8) / 255
            )
            luma += np.float32(0 if video.is_full_range else 16 << self.bits - 8)
            hr_image = VideoFrame(luma.shape[1], luma.shape[0], self.pixels)
            place = plane_of(hr_image, 0)
            place[:] = as_samples(luma, place.dtype, top)
            return hr_image
        scaled *= np.float32(_WHITE_16_BITS / 255)
        made = VideoFrame.from_ndarray(as_samples(scaled, np.dtype(np.uint16), 65535), "rgb48le")
        return self._full_range(made) if video.is_full_range else self._converted(made, self.pixels)

    def _full_range(self, made: VideoFrame) -> VideoFrame:
        """Convert RGB by way of 16 bits of limited range: to full range the filter itself is off by up to 3 of 1023."""
        exact = self._converted(made, self.video.planar(16))
        hr_image, top = VideoFrame(made.width, made.height, self.pixels), (1 << self.bits) - 1
        for number in range(3):
            zero, span, middle = (128, 224, top + 1 >> 1) if number else (16, 219, 0)
            place, values = plane_of(hr_image, number), plane_of(exact, number).astype(np.float32)
            values = (values / 256 - zero) * np.float32(top / span) + middle
            place[:] = as_samples(values, place.dtype, top)
        return hr_image

    def _converted(self, frame: VideoFrame, pixels: str) -> VideoFrame:
        """Convert by a filter of this thread's own."""
        graphs = self._local.__dict__.setdefault("graphs", {})
        key = (frame.format.name, pixels)
        if key not in graphs:
            graphs[key] = self._graph(frame, pixels)
        frame.pts = frame.pts or 0
        graphs[key].vpush(frame)
        return graphs[key].vpull()

    def _graph(self, frame: VideoFrame, pixels: str) -> av.filter.Graph:
        video, options = self.video, _SCALE
        own = "pc" if video.is_full_range and pixels != video.planar(16) else "tv"
        to_rgb, from_rgb = pixels.startswith("gbrp"), frame.format.is_rgb
        if not from_rgb:
            options += f":in_range={own}:in_chroma_loc={video.siting}"
            options += f":in_color_matrix={video.matrix}" if video.matrix else ""
        if to_rgb:
            options += ":out_range=pc"
        else:
            options += f":out_range={own}:out_chroma_loc={video.siting}"
            options += f":out_color_matrix={video.matrix}" if video.matrix else ""
        graph = av.filter.Graph()
        graph.threads = 1
        start = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=video.time_base or Fraction(1),
        )
        graph.link_nodes(
            start, graph.add("scale", options), graph.add("format", pixels), graph.add("buffersink")
        )
        graph.configure()
        return graph
