"""Measures models on compressed video: PSNR on Y after H.264 at half the size, decoded and upscaled.

    PYTHONPATH=. python tests/bench/compressed.py DIR… CLIP.mp4… [--models realtime-x2 OTHER…] [--crf 28]

From each image of each folder it makes a clip: a window that pans over the image. Of each video it takes the first
frames. A clip is halved, encoded by x264, decoded, and upscaled by each model; bicubic stands beside them. Nothing
should be there that a model was trained on. The first model is what the others are compared with.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from data.imaging.decode import SUFFIXES, decode
from sr.evaluation.degradation import degrade
from sr.evaluation.metrics import crop_border, luma, psnr
from sr.runtime.upscaler import Upscaler
from sr.upscale.load import open_upscaler

HEIGHT_PX, WIDTH_PX = 384, 512
FRAMES, STEP_PX = 12, (2, 3)
VIDEO_FRAMES = 60
"""Of a video, so many frames are taken at most."""
FIRST_MEASURED, MEASURED_STEP = 3, 4
"""Frames that are measured; the first of a clip is an intra frame, which has more bits."""
Frame = npt.NDArray[np.uint8]


def pan(image: Frame) -> list[Frame]:
    """Return the frames of a clip: a window that moves over the image as far as it goes; one of even sides."""
    height, width = (
        min(most, size) // 4 * 4 for most, size in zip((HEIGHT_PX, WIDTH_PX), image.shape, strict=False)
    )
    most = image.shape[0] - height, image.shape[1] - width
    places = [
        [min(at * step, limit) for step, limit in zip(STEP_PX, most, strict=True)] for at in range(FRAMES)
    ]
    return [np.ascontiguousarray(image[top : top + height, left : left + width]) for top, left in places]


def read_video(path: Path) -> list[Frame]:
    """Return the first frames of a video, cut to sides of a multiple of 4."""
    with av.open(str(path)) as container:
        frames = [
            frame.to_ndarray(format="rgb24")
            for frame in itertools.islice(container.decode(video=0), VIDEO_FRAMES)
        ]
    height, width = (side // 4 * 4 for side in frames[0].shape[:2])
    return [np.ascontiguousarray(frame[:height, :width]) for frame in frames]


def clips_of(source: Path) -> Iterator[list[Frame]]:
    """Yield the frames of each clip: a video, or pans over the images of a folder."""
    if source.is_file():
        yield read_video(source)
        return
    for path in sorted(one for one in source.rglob("*") if one.suffix.lower() in SUFFIXES):
        yield pan(decode(path.read_bytes()))


def encode_and_decode(frames: list[Frame], crf: int) -> Iterator[Frame]:
    """Yield the frames as they come out of an H.264 stream of 25 frames a second."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width, encoder.pix_fmt = *frames[0].shape[:2], "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = {"crf": str(crf), "preset": "medium", "x264-params": "log-level=none"}
    packets = []
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709"
        )
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create("h264", "r")
    decoded = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    for frame in decoded:
        yield frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()


def measure(hr_frames: list[Frame], lr_frames: list[Frame], upscaler: Upscaler) -> float:
    """Return the mean PSNR on Y of the measured frames, in dB."""
    measured = range(FIRST_MEASURED, len(hr_frames), MEASURED_STEP)
    pairs = [(hr_frames[at], upscaler(lr_frames[at])) for at in measured]
    return sum(psnr(*(crop_border(luma(one), 4) for one in pair)) for pair in pairs) / len(pairs)


def main(argv: list[str]) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="+", type=Path, help="folders of images, and videos")
    parser.add_argument("--models", nargs="+", default=["realtime-x2"])
    parser.add_argument("--crf", type=int, default=28)
    options = parser.parse_args(argv)
    upscalers = {name: open_upscaler(name) for name in ("bicubic", *options.models)}
    for source in options.sources:
        figures: dict[str, list[float]] = {name: [] for name in upscalers}
        for hr_frames in clips_of(source):
            lr_frames = [degrade(frame, 2, "pillow-bicubic") for frame in hr_frames]
            decoded = list(encode_and_decode(lr_frames, options.crf))
            for name, upscaler in upscalers.items():
                figures[name].append(measure(hr_frames, decoded, upscaler))
        print(f"{source}: {len(figures['bicubic'])} clips, H.264 at CRF {options.crf}, PSNR on Y")
        for name, values in figures.items():
            gain_db = np.mean(values) - np.mean(figures[options.models[0]])
            print(
                f"  {name:24} {np.mean(values):.3f} dB, {gain_db:+.3f} over {options.models[0]}", flush=True
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
