"""Measure what reading videos costs, and print the table of docs/results.md.

    PYTHONPATH=.:tests/support python tests/bench/video_costs.py [SECONDS]

Two videos of SECONDS (default 20; several minutes of encoding) are made in a temporary directory. They are like those
on discs (a keyframe a second, three B-frames, grain, about 30 and 60 Mb/s): 1920x1080 H.264, and 3840x2160 HEVC in 10
bits with PQ. Times are CPU times of a single thread: divide them by the number of cores. The videos have just been
written, so the disk is not measured.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from videos import PQ, make_video

from data.hashing import generator
from data.imaging.dead_leaves import dead_leaves
from data.records import Box, SourceEntry
from data.sources.video import VideoSource
from data.video import tonemap
from data.video.color import to_rgb
from data.video.decode import VideoReader
from data.video.demux import read_frame_table
from data.video.sampling_settings import FrameSamplingSettings
from data.video.select_frames import FrameLocator

SHOT_S = 5
REPEATS = 7


def make_draw(height: int, width: int) -> Callable[[int], np.ndarray]:
    """Return a function that draws the frames: pans over four drawings, with grain."""
    stream = generator("video costs")
    drawings = [cv2.resize(dead_leaves(stream, 540, 960), (width, height)) for _ in range(4)]
    grain = [stream.normal(0, 3, (height, width, 1)).astype(np.int8) for _ in range(5)]

    def draw(number: int) -> np.ndarray:
        image = np.roll(drawings[number // (24 * SHOT_S) % 4], number * 3, axis=1)
        return np.clip(image + grain[number % 5].astype(np.int16), 0, 255).astype(np.uint8)

    return draw


def measure_ms(work: Callable[[], object]) -> float:
    """Return the median CPU time of several calls, after one to warm up."""
    work()
    taken = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        taken.append(1000 * (time.process_time() - start))
    return statistics.median(taken)


def print_row(what: str, value: str) -> None:
    """Print a row of the table."""
    print(f"| {what} | {value} |", flush=True)


def measure(path: Path, height: int, width: int) -> None:
    """Print the rows of one video."""
    size_mb = path.stat().st_size / 1e6
    taken_ms = measure_ms(lambda: read_frame_table(path))
    seconds = read_frame_table(path).seconds(int(read_frame_table(path).pts[-1]))
    print_row(f"{path.name}: size", f"{size_mb:.0f} MB, {8 * size_mb / seconds:.0f} Mb/s")
    print_row("reading all packets, without the disk", f"{taken_ms / size_mb:.2f} ms/MB")
    source = VideoSource(path, FrameSamplingSettings(0.4, 0.7, 1.0))
    start = time.process_time()
    entries = [one for one in source.scan() if isinstance(one, SourceEntry)]
    scan_s = time.process_time() - start - taken_ms / 1000
    print_row("inspecting a planned frame (index)", f"{1000 * scan_s / len(entries):.0f} ms")
    one_by_one = []
    for entry in entries:
        start = time.process_time()
        list(source.read([entry]))
        one_by_one.append(1000 * (time.process_time() - start))
    print_row("reading a frame (packing)", f"{statistics.median(one_by_one):.0f} ms")
    frame, _ = next(VideoReader(path).decode_from(FrameLocator.parse(entries[0].locator).keyframe_pts))
    print_row("of that, its colors", f"{measure_ms(lambda: to_rgb(frame, Box(0, 0, height, width))):.0f} ms")
    if frame.color_trc == PQ["color_trc"]:
        compare_with_lut3d(frame, height, width)


def compare_with_lut3d(frame: av.VideoFrame, height: int, width: int) -> None:
    """Print the time and error of FFmpeg's lut3d filter, with 65 points per channel, for the same tone curve."""
    code = frame.reformat(format="rgb48le", src_colorspace="bt2020").to_ndarray()
    # Saturated colors of BT.2020, as laser light and neon signs have them: what a grid finds hardest.
    noise = np.random.default_rng(0).integers(0, 40_000, (height, width, 3), dtype=np.uint16)
    exact = tonemap.ToneMap(tonemap.PQ, tonemap.DEFAULT_PEAK_NITS, 65535)
    print_row("of that, the tone curve", f"{measure_ms(lambda: exact(code)):.0f} ms")
    grid = np.linspace(0, 1, 65)
    blue, green, red = np.meshgrid(grid, grid, grid, indexing="ij")
    table = tonemap.to_sdr(np.stack([red, green, blue], axis=-1), tonemap.PQ, tonemap.DEFAULT_PEAK_NITS)
    with tempfile.NamedTemporaryFile("w", suffix=".cube") as cube:
        cube.write("LUT_3D_SIZE 65\n")
        np.savetxt(cube, table.reshape(-1, 3), fmt="%.6f")
        cube.flush()
        graph = av.filter.Graph()
        graph.threads = 1
        start = graph.add_buffer(
            width=width, height=height, format=av.VideoFormat("rgb48le"), time_base="1/25"
        )
        steps = [graph.add("format", "gbrp16le"), graph.add("lut3d", f"file={cube.name}:interp=tetrahedral")]
        graph.link_nodes(start, *steps, graph.add("buffersink"))
        graph.configure()

        def by_grid(image: np.ndarray) -> np.ndarray:
            graph.vpush(av.VideoFrame.from_ndarray(image, "rgb48le"))
            return graph.vpull().to_ndarray()

        taken_ms = measure_ms(lambda: by_grid(code))
        off = np.abs(by_grid(noise) / 257.0 - exact(noise))
    worst = f"{np.quantile(off, 0.99):.0f} levels off in 1% of saturated colors"
    print_row("the same by a 65-point table (lut3d)", f"{taken_ms:.0f} ms, {worst}")


def main() -> None:
    """Make the videos and measure."""
    frames = 24 * int(sys.argv[1] if len(sys.argv) > 1 else 20)
    print("| one thread | |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "bf": "3",
            "g": "24",
            "crf": "16",
            "maxrate": "30M",
            "bufsize": "30M",
            "preset": "superfast",
        }
        small = make_video(
            Path(folder, "hd.mkv"), make_draw(1080, 1920), frames, options=options, colors={"colorspace": 1}
        )
        measure(small, 1080, 1920)
        params = "log-level=none:keyint=24:bframes=3:bitrate=60000"
        large = make_video(
            Path(folder, "uhd-hdr.mkv"), make_draw(2160, 3840), frames,
            codec="libx265", pixels="yuv420p10le", options={"preset": "ultrafast", "x265-params": params}, colors=PQ,
        )  # fmt: skip
        measure(large, 2160, 3840)


if __name__ == "__main__":
    main()
