"""One frame to an enlarged frame, by a model of any kind, in the film's own colours. Knows no files and no time.

- A luma model sees the Y plane as the decoder gives it; chroma is enlarged by bicubic interpolation where it lies.
- An RGB model sees the frame converted by the film's matrix and range; its result is converted back the same way.
- bicubic enlarges every plane, and converts nothing.

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
from sr.upscale.film.description import Film
from sr.upscale.film.frames import plane_of
from sr.upscale.film.planes import as_samples, enlarge_plane
from sr.video_range import FULL_SPAN, from_video, to_video

_SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:sws_dither=none"

_WHITE_16_BITS = 255 << 8
"""What the filter takes for white in 16 bits of RGB, and gives for white of limited range."""
_BT709_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


class Network(Protocol):
    """A model as films need it: of one colour, called from several threads at once."""

    name: str
    scale: int
    colour: str
    """luma or rgb."""
    workers: int
    """How many threads may call it at once with a gain."""

    def bytes(self, low: np.ndarray) -> np.ndarray:
        """Enlarge uint8 HWC (one channel or three) to uint8 HWC."""

    def levels(self, low: np.ndarray) -> np.ndarray:
        """Enlarge float32 HWC in levels 0 to 255 to float32 HWC, not rounded."""


class Enlarger:
    """Enlarges the frames of one film; safe to call from several threads."""

    def __init__(self, network: Network | None, film: Film, scale: int, pixels: str) -> None:
        """Prepare.

        Args:
            network: the model; None for bicubic interpolation.
            film: what the frames come from.
            scale: how many times.
            pixels: the planar format of the enlarged frames.

        Raises:
            UserError: the film's colours cannot be converted to RGB and back.
        """
        self.network, self.film, self.scale, self.pixels = network, film, scale, pixels
        self.bits = 10 if pixels.endswith("10le") else 8
        self._low_pixels = film.planar(self.bits)
        self._in_rgb = network is not None and network.colour == "rgb"
        if self._in_rgb and film.chroma not in ("rgb", "gray") and not film.matrix:
            found = f"matrix {film.tags['colorspace']} or transfer {film.tags['color_trc']} of H.273"
            raise UserError("colours that can be converted to RGB", found, str(film.path), "use a luma model")
        self._local = threading.local()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Enlarge a frame (planar, of the film's chroma and depth); its time goes with it."""
        high = self._rgb(frame) if self._in_rgb else self._planes(frame)
        high.pts, high.time_base = frame.pts, self.film.time_base
        return high

    def _planes(self, frame: VideoFrame) -> VideoFrame:
        film, scale, top = self.film, self.scale, (1 << self.bits) - 1
        if frame.format.name.replace("yuvj", "yuv") != self._low_pixels:
            if film.chroma == "rgb" and film.bits > 8:
                frame = self._from_levels(self._to_levels(frame))
            else:
                frame = self._converted(frame, self._low_pixels)
        high = VideoFrame(film.width * scale, film.height * scale, self.pixels)
        luma = plane_of(frame, 0)
        plane_of(high, 0)[:] = (
            enlarge_plane(luma, scale, top) if self.network is None else self._luma(luma, top)
        )
        shared = {"420": (2, 2), "422": (1, 2)}.get(film.chroma, (1, 1))
        for number in range(1, len(frame.planes)):
            chroma = enlarge_plane(plane_of(frame, number), scale, top, shared, film.siting)
            place = plane_of(high, number)
            place[:] = chroma[: place.shape[0], : place.shape[1]]  # odd sides have half a sample more
        return high

    def _luma(self, luma: np.ndarray, top: int) -> np.ndarray:
        if self.film.is_full_range:  # reaches the top of 8 bits and of 10; a luma model takes 16 to 235
            step = np.float32(top / FULL_SPAN)
            high = from_video(self.network.levels(to_video(luma[..., None] / step)))
            return as_samples(high[..., 0] * step, luma.dtype, top)
        if self.bits == 8:
            return self.network.bytes(luma[..., None])[..., 0]
        step = np.float32(4)  # limited range is the same in 10 bits, times four
        return as_samples(self.network.levels(luma[..., None] / step)[..., 0] * step, luma.dtype, top)

    def _rgb(self, frame: VideoFrame) -> VideoFrame:
        if self.bits > 8 or self.film.chroma == "gray":
            low = self._to_levels(frame)
            if self.bits == 8:
                return self._from_levels(self.network.bytes(as_samples(low, np.dtype(np.uint8), 255)))
            return self._from_levels(self.network.levels(low))
        # FFmpeg converts to planes far faster than to packed pixels, and to the same values.
        high = self.network.bytes(self._converted(frame, "gbrp").to_ndarray())
        return self._converted(VideoFrame.from_ndarray(np.ascontiguousarray(high), "rgb24"), self.pixels)

    def _to_levels(self, frame: VideoFrame) -> np.ndarray:
        """Return float32 height x width x 3 RGB, 0 to 255."""
        film, bits = self.film, frame.format.components[0].bits
        top = (1 << bits) - 1
        if film.chroma == "gray":  # the filter takes grey for full range always
            grey = plane_of(frame, 0)[..., None].astype(np.float32)
            grey *= np.float32(255 / (top if film.is_full_range else 219 << bits - 8))
            grey -= np.float32(0 if film.is_full_range else 16 * 255 / 219)
            return np.repeat(np.clip(grey, 0, 255, out=grey), 3, axis=2)
        if film.chroma == "rgb":
            return frame.to_ndarray() * np.float32(255 / top)
        white = top << 16 - bits if film.is_full_range else _WHITE_16_BITS  # the filter's scalings are shifts
        return self._converted(frame, "gbrp16le").to_ndarray() * np.float32(255 / white)

    def _from_levels(self, levels: np.ndarray) -> VideoFrame:
        """Return a planar frame of what a model gave, uint8 or float32."""
        film, scaled = self.film, levels.astype(np.float32)
        if film.chroma == "gray":
            top = (1 << self.bits) - 1
            luma = (scaled @ _BT709_LUMA) * np.float32(
                (top if film.is_full_range else 219 << self.bits - 8) / 255
            )
            luma += np.float32(0 if film.is_full_range else 16 << self.bits - 8)
            high = VideoFrame(luma.shape[1], luma.shape[0], self.pixels)
            place = plane_of(high, 0)
            place[:] = as_samples(luma, place.dtype, top)
            return high
        scaled *= np.float32(_WHITE_16_BITS / 255)
        made = VideoFrame.from_ndarray(as_samples(scaled, np.dtype(np.uint16), 65535), "rgb48le")
        return self._full_range(made) if film.is_full_range else self._converted(made, self.pixels)

    def _full_range(self, made: VideoFrame) -> VideoFrame:
        """Convert RGB by way of 16 bits of limited range: to full range the filter itself is off by up to 3 of 1023."""
        exact = self._converted(made, self.film.planar(16))
        high, top = VideoFrame(made.width, made.height, self.pixels), (1 << self.bits) - 1
        for number in range(3):
            zero, span, middle = (128, 224, top + 1 >> 1) if number else (16, 219, 0)
            place, values = plane_of(high, number), plane_of(exact, number).astype(np.float32)
            values = (values / 256 - zero) * np.float32(top / span) + middle
            place[:] = as_samples(values, place.dtype, top)
        return high

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
        film, options = self.film, _SCALE
        own = "pc" if film.is_full_range and pixels != film.planar(16) else "tv"
        to_rgb, from_rgb = pixels.startswith("gbrp"), frame.format.is_rgb
        if not from_rgb:
            options += f":in_range={own}:in_chroma_loc={film.siting}"
            options += f":in_color_matrix={film.matrix}" if film.matrix else ""
        if to_rgb:
            options += ":out_range=pc"
        else:
            options += f":out_range={own}:out_chroma_loc={film.siting}"
            options += f":out_color_matrix={film.matrix}" if film.matrix else ""
        graph = av.filter.Graph()
        graph.threads = 1
        start = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=film.time_base or Fraction(1),
        )
        graph.link_nodes(
            start, graph.add("scale", options), graph.add("format", pixels), graph.add("buffersink")
        )
        graph.configure()
        return graph
