"""Compare the frames of a video with the original: PSNR, SSIM, MS-SSIM, XPSNR, VMAF and VMAF-NEG.

PSNR is computed here, from exact sums of squares. All others come from one run of the ffmpeg program that the package
imageio-ffmpeg brings, whose libvmaf is its authors' own: the figures are those that others publish.
"""

import contextlib
import json
import math
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from data.errors import UserError
from data.video.pyav import plane_array
from sr.upscale.video.video_info import VideoInfo

LPIPS = "lpips_similarity"
"""1 less LPIPS: only where its weights are asked for."""
METRICS = ("psnr_y_db", "psnr_yuv_db", "ssim_y", "ms_ssim_y", "xpsnr_y_db", "vmaf", "vmaf_neg", LPIPS)
"""All of them: higher is better."""
MS_SSIM_MIN_SIDE_PX = 176
"""MS-SSIM halves the frames four times; libvmaf refuses smaller ones."""
MS_SSIM_EVERY = 5
"""Which frames MS-SSIM is computed of: every fifth. Of all, it would take more time than all other metrics together."""
INFINITE_DB = 100.0
"""What stands for the PSNR of equal frames, which is infinite; a level of one sample in a frame gives less."""
_VMAF_MODELS = "version=vmaf_v0.6.1\\:name=vmaf|version=vmaf_v0.6.1neg\\:name=vmaf_neg"
_SSIM_LINE = re.compile(r"n:\d+ Y:([\d.]+)")
_XPSNR_LINE = re.compile(r"n:\s*\d+\s+XPSNR y:\s*([\d.]+|inf)")
_XPSNR_MEAN = re.compile(r"XPSNR average.*?y:\s*([\d.]+|inf)")


@dataclass(frozen=True)
class Comparison:
    """What was measured of a video."""

    mean: dict[str, float]
    """Of all frames, by the names of METRICS. PSNR is that of the mean squared error, as ffmpeg's filter has it."""
    frames: list[dict[str, float]]
    """psnr_y_db, ssim_y and vmaf of each frame."""


class VideoComparer:
    """Takes pairs of frames, and gives in the end how close they were. A context manager.

    Args:
        video: size, chroma and frame rate of the frames.
        bit_depth: 8 or 10.
        threads: of libvmaf.

    Raises:
        UserError: the package imageio-ffmpeg, or the program in it, does not work here.
    """

    def __init__(self, video: VideoInfo, bit_depth: int, threads: int = 2) -> None:
        self._max_value = (1 << bit_depth) - 1
        self._errors: list[list[float]] = []
        """Mean squared error of each frame and plane."""
        self._has_ms_ssim = min(video.height, video.width) >= MS_SSIM_MIN_SIDE_PX
        self._folder = tempfile.TemporaryDirectory(prefix="sr-metrics-")
        self._log = open(Path(self._folder.name) / "log", "w+b")  # noqa: SIM115  # as long as the program
        self._program = subprocess.Popen(
            self._command(video, video.planar_format(bit_depth), threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            cwd=self._folder.name,
        )

    def __enter__(self) -> "VideoComparer":
        return self

    def __exit__(self, *error: object) -> None:
        self._program.kill()
        self._program.wait()
        if self._program.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._program.stdin.close()
        self._log.close()
        self._folder.cleanup()

    def add(self, original: VideoFrame, other: VideoFrame) -> None:
        """Compare the next pair of frames of equal size and format."""
        errors = []
        for number in range(len(original.planes)):
            first, second = plane_array(original, number), plane_array(other, number)
            errors.append(mean_squared_error(first, second))
            for plane in (first, second):  # one above the other: see _command
                self._write(np.ascontiguousarray(plane))
        self._errors.append(errors)

    def finish(self) -> Comparison:
        """Return the figures.

        Raises:
            UserError: the program failed.
        """
        if self._program.stdin:
            self._program.stdin.close()
        if self._program.wait():
            raise self._failure()
        folder = Path(self._folder.name)
        vmaf = json.loads((folder / "vmaf.json").read_text())
        ssim = [float(one) for one in _SSIM_LINE.findall((folder / "ssim.log").read_text())]
        if not len(ssim) == len(vmaf["frames"]) == len(self._errors):
            raise UserError(
                f"ffmpeg compared {len(ssim)} frames of {len(self._errors)}", "Run again, and report it"
            )
        return Comparison(self._mean(vmaf, ssim, folder), self._each(vmaf, ssim))

    def _mean(self, vmaf: dict[str, Any], ssim: list[float], folder: Path) -> dict[str, float]:
        pooled = vmaf["pooled_metrics"]
        y, u, v = (self._psnr_db(one) for one in np.mean(self._errors, axis=0))
        mean = {
            "psnr_y_db": y,
            "psnr_yuv_db": (6 * y + u + v) / 8,
            "ssim_y": float(np.mean(ssim)),
            "xpsnr_y_db": read_xpsnr(folder / "xpsnr.log", self._log),
            "vmaf": pooled["vmaf"]["mean"],
            "vmaf_neg": pooled["vmaf_neg"]["mean"],
        }
        if self._has_ms_ssim:
            found = json.loads((folder / "ms_ssim.json").read_text())
            mean["ms_ssim_y"] = found["pooled_metrics"]["float_ms_ssim"]["mean"]
        return {name: mean[name] for name in METRICS if name in mean}

    def _each(self, vmaf: dict[str, Any], ssim: list[float]) -> list[dict[str, float]]:
        return [
            {"psnr_y_db": self._psnr_db(errors[0]), "ssim_y": similarity, "vmaf": frame["metrics"]["vmaf"]}
            for errors, similarity, frame in zip(self._errors, ssim, vmaf["frames"], strict=True)
        ]

    def _psnr_db(self, error: float) -> float:
        return 10 * math.log10(self._max_value**2 / error) if error else INFINITE_DB

    def _write(self, plane: npt.NDArray[Any]) -> None:
        if self._program.stdin is None:
            raise TypeError("the program has no input")
        try:
            self._program.stdin.write(plane.tobytes())
        except BrokenPipeError:
            self._program.wait()
            raise self._failure() from None

    def _failure(self) -> UserError:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return UserError(
            f"ffmpeg failed to compare the frames: {lines[-1] if lines else 'it says nothing'}",
            "pip install --force-reinstall imageio-ffmpeg brings the program anew",
        )

    def _command(self, video: VideoInfo, pixel_format: str, threads: int) -> list[str]:
        """Return the command: one raw video comes in, with original and other frame one above the other."""
        shared = f"n_threads={threads}:log_fmt=json:log_path"
        filters = [
            f"libvmaf=model='{_VMAF_MODELS}':{shared}=vmaf.json",
            "ssim=stats_file=ssim.log",
            "xpsnr=stats_file=xpsnr.log",
        ]
        if self._has_ms_ssim:
            often = f"n_subsample={MS_SSIM_EVERY}"
            filters.append(f"libvmaf=feature='name=float_ms_ssim':{often}:{shared}=ms_ssim.json")
        half, numbers = "crop=iw:ih/2:0", range(len(filters))
        branches = [
            f"[{name}]{half}:{top},split={len(filters)}{''.join(f'[{name}{number}]' for number in numbers)}"
            for name, top in (("r", "0"), ("d", "ih/2"))
        ]
        compared = [f"[d{number}][r{number}]{filters[number]}[o{number}]" for number in numbers]
        graph = ";".join(["[0:v]split[r][d]", *branches, *compared])
        size = f"{video.width}x{video.height * 2}"
        raw = ["-f", "rawvideo", "-pixel_format", pixel_format, "-video_size", size]
        outputs = [word for number in numbers for word in ("-map", f"[o{number}]", "-f", "null", "-")]
        quiet = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "info"]
        rate = ["-framerate", str(video.frame_rate), "-i", "pipe:0"]
        return [find_ffmpeg(), *quiet, *raw, *rate, "-filter_complex", graph, *outputs]


def mean_squared_error(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Return the mean squared error of two planes of uint8 or uint16: exact before the division."""
    difference = first.astype(np.int32) - second.astype(np.int32)
    return float(np.sum(difference * difference, dtype=np.int64)) / difference.size


def read_xpsnr(stats: Path, log: IO[bytes]) -> float:
    """Return XPSNR of luma over all frames as the filter gives it, in dB."""
    log.seek(0)
    found = _XPSNR_MEAN.search(stats.read_text()) or _XPSNR_MEAN.search(log.read().decode(errors="replace"))
    if found is None:
        raise UserError("ffmpeg gave no XPSNR", "Install the pinned imageio-ffmpeg (constraints.txt)")
    return INFINITE_DB if found[1] == "inf" else float(found[1])


def find_ffmpeg() -> str:
    """Return the path of the ffmpeg program that imageio-ffmpeg brings.

    Raises:
        UserError: it has none for this machine.
    """
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise UserError(f"imageio-ffmpeg has no program for this machine: {error}") from error
