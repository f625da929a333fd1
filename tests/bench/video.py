"""Measure how fast a video is upscaled, from file to file, compared with its model alone in the same run.

    PYTHONPATH=.:tests/support python tests/bench/video.py MODEL [--frames 240] [--rounds 3] [--preset ultrafast]

MODEL is an IR (or `bicubic`, which has no rate of its own). The clip is synthetic: 960x540, 24 frames/s, H.264. The
model alone is run by as many threads as for the video, on frames in memory. The results are medians.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from videos import make_video, numbered

from sr.upscale.video.frame_network import load_network
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import upscale_video

HEIGHT, WIDTH = 540, 960


def measure_model(model: str, frames: int) -> tuple[float, str]:
    """Return the frames per second of the model alone, and a description of it."""
    network = load_network(model, HEIGHT, WIDTH)
    channels = 1 if network.color == "luma" else 3
    lr_image = np.ascontiguousarray(numbered(1, HEIGHT, WIDTH)[..., :channels])
    with ThreadPoolExecutor(network.workers) as pool:
        list(pool.map(network.upscale_uint8, [lr_image] * 4 * network.workers))
        start = time.perf_counter()
        list(pool.map(network.upscale_uint8, [lr_image] * frames))
        return frames / (time.perf_counter() - start), f"{network.color}, {network.workers} at once"


def measure_video(clip: Path, folder: Path, model: str, settings: VideoUpscaleSettings, frames: int) -> float:
    """Return the frames per second from file to file, with the time to compile the model, as for a user."""
    start = time.perf_counter()
    upscale_video(clip, folder / "out.mkv", folder / "store", model, settings)
    return frames / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="ultrafast")
    parser.add_argument("--codec", default="x264")
    parser.add_argument("--encoder-threads", type=int, default=VideoUpscaleSettings().encoder_threads)
    arguments = parser.parse_args()
    settings = VideoUpscaleSettings(
        arguments.codec, preset=arguments.preset, encoder_threads=arguments.encoder_threads
    )
    alone, whole, how = [], [], ""
    with tempfile.TemporaryDirectory() as scratch:
        clip = make_video(Path(scratch) / "in.mkv", lambda n: numbered(n, HEIGHT, WIDTH), arguments.frames)
        for number in range(arguments.rounds):
            if arguments.model != "bicubic":
                rate, how = measure_model(arguments.model, arguments.frames)
                alone.append(rate)
            folder = Path(scratch) / str(number)
            whole.append(measure_video(clip, folder, arguments.model, settings, arguments.frames))
    encoder = f"{arguments.codec} {arguments.preset}"
    print(f"{WIDTH}x{HEIGHT}, {arguments.frames} frames, {encoder}, {arguments.rounds} rounds")
    end_to_end = statistics.median(whole)
    print(f"video to video: {end_to_end:.1f} frames/s ({min(whole):.1f} to {max(whole):.1f})")
    if alone:
        rate = statistics.median(alone)
        print(f"model alone ({how}): {rate:.1f} frames/s ({min(alone):.1f} to {max(alone):.1f})")
        print(f"share: {end_to_end / rate:.0%}")


if __name__ == "__main__":
    main()
