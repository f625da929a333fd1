"""Measure how fast a video is upscaled, from file to file, compared with its model alone in the same run.

    PYTHONPATH=.:tests/support python tests/bench/video.py MODEL [--frames 240] [--rounds 3] [--preset ultrafast]

MODEL is an IR (or `bicubic`, which has no rate of its own). The clip is synthetic: 960x540, 24 frames/s, H.264. The
model alone is run by as many threads as for the video, on frames in memory. The results are medians.

Processor time is that of all threads, in milliseconds a frame. Unlike frames per second it hardly depends on what else
the machine does. Where all cores are busy, the share of the model in it is the share of its rate that is left: with a
decoder and an encoder beside it, at most model / (model + decoder + encoder).
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from videos import make_video, numbered

from sr.upscale.video.alpha import AlphaCounter
from sr.upscale.video.decode_frames import decode_frames
from sr.upscale.video.encode import SegmentEncoder
from sr.upscale.video.frame_network import load_network
from sr.upscale.video.probe import probe_video
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import load_frame_upscaler, upscale_video

HEIGHT, WIDTH = 540, 960
_CODED_FRAMES = 48


class Meter:
    """The frames per second and the processor time of some work, in several rounds."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.cpu_ms: list[float] = []

    @contextlib.contextmanager
    def round(self, frames: int) -> Iterator[None]:
        """Measure the block, which processes so many frames."""
        start, cpu_start = time.perf_counter(), time.process_time()
        yield
        self.rates.append(frames / (time.perf_counter() - start))
        self.cpu_ms.append(1000 * (time.process_time() - cpu_start) / frames)

    def rate(self) -> str:
        """Return the median and the extremes in words."""
        low, high = min(self.rates), max(self.rates)
        return f"{statistics.median(self.rates):.1f} frames/s ({low:.1f} to {high:.1f})"

    def cpu(self) -> float:
        """Return the median."""
        return statistics.median(self.cpu_ms)


def measure_model(model: str, frames: int, meter: Meter) -> str:
    """Measure the model alone; return a description of it."""
    network = load_network(model, HEIGHT, WIDTH)
    channels = 1 if network.color == "luma" else 3
    lr_image = np.ascontiguousarray(numbered(1, HEIGHT, WIDTH)[..., :channels])
    with ThreadPoolExecutor(network.workers) as pool:
        list(pool.map(network.upscale_uint8, [lr_image] * 4 * network.workers))
        with meter.round(frames):
            list(pool.map(network.upscale_uint8, [lr_image] * frames))
    return f"{network.color}, {network.workers} at once"


def measure_codecs(clip: Path, settings: VideoUpscaleSettings, decoder: Meter, encoder: Meter) -> None:
    """Measure decoding alone and encoding alone, of frames upscaled by bicubic interpolation."""
    video = probe_video(clip, False)
    with decoder.round(video.frame_count):
        frames = list(decode_frames(video, False, [], AlphaCounter()))
    upscaler, _ = load_frame_upscaler("bicubic", 2, video, settings)
    upscaled = [upscaler(frame) for frame in frames[:_CODED_FRAMES]]
    with encoder.round(len(upscaled)):
        segment = SegmentEncoder(video, settings, 2)
        for frame in upscaled:
            segment.add(frame)
        segment.finish()


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
    alone, whole, decoder, encoder, how = Meter(), Meter(), Meter(), Meter(), ""
    with tempfile.TemporaryDirectory() as scratch:
        clip = make_video(Path(scratch) / "in.mkv", lambda n: numbered(n, HEIGHT, WIDTH), arguments.frames)
        for number in range(arguments.rounds):
            if arguments.model != "bicubic":
                how = measure_model(arguments.model, arguments.frames, alone)
            measure_codecs(clip, settings, decoder, encoder)
            folder = Path(scratch) / str(number)
            with whole.round(arguments.frames):  # with the time to compile the model, as for a user
                upscale_video(clip, folder / "out.mkv", folder / "store", arguments.model, settings)
    codec = f"{arguments.codec} {arguments.preset}"
    print(f"{WIDTH}x{HEIGHT}, {arguments.frames} frames, {codec}, {arguments.rounds} rounds")
    print(f"video to video: {whole.rate()}")
    codecs_ms = decoder.cpu() + encoder.cpu()
    codecs = f"decoder {decoder.cpu():.1f} ms, encoder {encoder.cpu():.1f} ms"
    print(f"processor time a frame: {codecs}, all {whole.cpu():.1f} ms")
    if how:
        ratios = [ours / theirs for ours, theirs in zip(whole.rates, alone.rates, strict=True)]
        cpu_ratios = [theirs / ours for ours, theirs in zip(whole.cpu_ms, alone.cpu_ms, strict=True)]
        print(f"model alone ({how}): {alone.rate()}, {alone.cpu():.1f} ms of processor time a frame")
        print(f"share of the model's rate: {statistics.median(ratios):.0%}")
        print(f"share of processor time: {statistics.median(cpu_ratios):.0%}", end=", ")
        print(f"at most {alone.cpu() / (alone.cpu() + codecs_ms):.0%} with this decoder and encoder")


if __name__ == "__main__":
    main()
