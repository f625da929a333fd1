"""How fast a video is upscaled, from file to file, against its model alone in the same run.

    PYTHONPATH=.:tests/support python tests/bench/video.py MODEL [--frames 240] [--rounds 3] [--preset ultrafast]

MODEL is an IR (or `bicubic`, which has no rate of its own). The clip is a synthetic 960x540 at 24 frames a second in
H.264; the model alone is run by as many threads as for the video, on frames that lie in memory. Medians.
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
from sr.upscale.video.settings import VideoSettings
from sr.upscale.video.upscale_video import upscale_video

HEIGHT, WIDTH = 540, 960


def model_alone(model: str, frames: int) -> tuple[float, str]:
    """Return frames a second of the model, and what it works on."""
    network = load_network(model, HEIGHT, WIDTH)
    channels = 1 if network.color == "luma" else 3
    lr_image = np.ascontiguousarray(numbered(1, HEIGHT, WIDTH)[..., :channels])
    with ThreadPoolExecutor(network.workers) as pool:
        list(pool.map(network.bytes, [lr_image] * 4 * network.workers))
        begun = time.perf_counter()
        list(pool.map(network.bytes, [lr_image] * frames))
        return frames / (time.perf_counter() - begun), f"{network.color}, {network.workers} at once"


def video(clip: Path, folder: Path, model: str, settings: VideoSettings, frames: int) -> float:
    """Return frames a second of the whole way; compiling the model is in it, as for a person."""
    begun = time.perf_counter()
    upscale_video(clip, folder / "out.mkv", folder / "store", model, settings)
    return frames / (time.perf_counter() - begun)


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
    parser.add_argument("--encoder-threads", type=int, default=VideoSettings().encoder_threads)
    given = parser.parse_args()
    settings = VideoSettings(given.codec, preset=given.preset, encoder_threads=given.encoder_threads)
    alone, whole, how = [], [], ""
    with tempfile.TemporaryDirectory() as scratch:
        clip = make_video(Path(scratch) / "in.mkv", lambda n: numbered(n, HEIGHT, WIDTH), given.frames)
        for number in range(given.rounds):
            if given.model != "bicubic":
                rate, how = model_alone(given.model, given.frames)
                alone.append(rate)
            folder = Path(scratch) / str(number)
            whole.append(video(clip, folder, given.model, settings, given.frames))
    print(f"{WIDTH}x{HEIGHT}, {given.frames} frames, {given.codec} {given.preset}, {given.rounds} rounds")
    end_to_end = statistics.median(whole)
    print(f"video to video: {end_to_end:.1f} frames/s ({min(whole):.1f} to {max(whole):.1f})")
    if alone:
        rate = statistics.median(alone)
        print(f"model alone ({how}): {rate:.1f} frames/s ({min(alone):.1f} to {max(alone):.1f})")
        print(f"share: {end_to_end / rate:.0%}")


if __name__ == "__main__":
    main()
