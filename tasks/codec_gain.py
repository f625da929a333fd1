"""Measure whether half resolution and an upscaler beat full resolution: EncodePoint, MeasurePoint, MeasureCodecGain."""

from functools import cached_property
from pathlib import Path
from typing import Any

import luigi

from data.errors import UserError
from data.file_identity import size_and_second
from data.file_names import escape_name, is_file
from data.user_paths import expand_home
from sr.models.box import BOX_MODELS
from sr.upscale.video.settings import CODECS
from tasks.config import upscaling
from tasks.export import ExportOpenVINO
from tasks.made_ir import make_ir_of
from tasks.model_choice import identify_upscaler
from tasks.runtime.list_parameters import IntListParameter, PathListParameter, StrListParameter
from tasks.runtime.parameters import ChoiceParameter, IntParameter
from tasks.runtime.progress import stage
from tasks.runtime.store_task import WHOLE_MACHINE, StoreTask

FULL, HALF, NONE = "full", "half", "none"
FILTERS = ("bicubic", "lanczos")
DEFAULT_CRFS = {
    "x264": (18, 22, 26, 30, 34, 38, 42),
    "x265": (18, 22, 26, 30, 34, 38, 42),
    "svtav1": (23, 30, 37, 44, 51, 57, 62),
}
_SCALE = 2
_PRESETS = "; ".join(f"{name}: {one.presets[0]} to {one.presets[-1]}" for name, one in CODECS.items())


class ClipTask(StoreTask):
    """A task about one clip, encoded at one size and one constant rate factor."""

    extra = "gain"
    clip: str = luigi.Parameter(description="the clip")
    codec: str = ChoiceParameter(default="x264", choices=CODECS, description="video encoder")
    preset: str = luigi.Parameter(
        default="", description=f"the encoder's preset, {_PRESETS}; empty: the encoder's default"
    )
    crf: int = IntParameter(at_least=0, description="constant rate factor, lower is better")
    size: str = ChoiceParameter(
        default=HALF, choices=[FULL, HALF], description="encode the clip as it is, or at half its sides"
    )
    resources = WHOLE_MACHINE

    def name(self) -> str:
        """Return the clip's name, the codec, the size and the constant rate factor."""
        return f"{clip_path(self.clip).stem}-{self.codec}-{self.size}-{self.crf}"


class EncodePoint(ClipTask):
    """Clip → the clip encoded at one size and one constant rate factor."""

    stage = "encoded-clips"
    record = "point.json"

    def parameters(self) -> dict[str, Any]:
        """Return the clip by name, size and time, and the settings.

        Raises:
            UserError: there is no such clip, or the codec does not take a value.
        """
        from importlib.metadata import version

        from sr.codec_gain.encode_point import EncodeSettings

        EncodeSettings(self.codec, self.preset, self.crf, self.size).video_settings()
        path = clip_path(self.clip)
        return {
            "clip": [path.name, *size_and_second(path.stat())],
            "settings": [self.codec, self.preset or CODECS[self.codec].preset, self.crf, self.size],
            "pyav": version("av"),
        }

    def make(self) -> None:
        """Halve the frames where that is asked for, and encode them."""
        from sr.codec_gain.clip import open_clip
        from sr.codec_gain.encode_point import EncodeSettings, encode_point

        settings = EncodeSettings(self.codec, self.preset, self.crf, self.size)
        with stage(self, "frames") as progress:
            encode_point(open_clip(clip_path(self.clip)), settings, self.directory(), progress)

    def counts(self) -> str:
        """Return the bitrate."""
        return f"{self.load_record()['kbps']:.4g} kbit/s"


class MeasurePoint(ClipTask):
    """Encoded clip and upscaler → how close the result is to the original, frame by frame."""

    upscaler: str = luigi.Parameter(
        default=NONE,
        description="none at full size; bicubic, lanczos, or a path to .pth .safetensors .onnx .xml",
    )
    stage = "measured-clips"
    record = "measured.json"

    @property
    def encoded(self) -> EncodePoint:
        """The encoded clip."""
        given = {name: getattr(self, name) for name in ("clip", "codec", "preset", "crf", "size")}
        return EncodePoint(**given)

    @property
    def model(self) -> dict[str, ExportOpenVINO]:
        """The model as an IR; nothing for a filter or a graph file."""
        return {} if self.upscaler in (NONE, *FILTERS) else make_ir_of(self.upscaler, for_video=True)

    def requires(self) -> dict[str, StoreTask]:
        """The encoded clip, and the model where a task makes it."""
        return {"encoded": self.encoded, **self.model}

    def name(self) -> str:
        """Return the encoded clip's name and the upscaler's."""
        return f"{self.encoded.name()}-{Path(self.upscaler).stem}"

    def parameters(self) -> dict[str, Any]:
        """Return the upscaler, and the version of the program that compares.

        Raises:
            UserError: there is no such model, or the size needs another upscaler.
        """
        from importlib.metadata import version

        if (self.size == FULL) != (self.upscaler == NONE):
            raise UserError(
                f"--size {self.size} is given with --upscaler {self.upscaler}",
                "Full size goes with none, half with any other upscaler",
            )
        upscaler = (
            NONE if self.upscaler == NONE else identify_upscaler(self.upscaler, _SCALE, (NONE, *FILTERS))
        )
        return {"upscaler": upscaler, "ffmpeg": version("imageio-ffmpeg")}

    def make(self) -> None:
        """Decode, upscale, and compare each frame with the original."""
        from sr.codec_gain.clip import open_clip
        from sr.codec_gain.measure_point import measure_point

        made = self.model.get("model")
        upscaler = made.directory() if made else self.upscaler
        with stage(self, "frames") as progress:
            measure_point(
                open_clip(clip_path(self.clip)),
                self.encoded.directory(),
                upscaler,
                self.directory(),
                upscaling().device,
                progress,
            )

    def counts(self) -> str:
        """Return the bitrate, PSNR and VMAF."""
        record = self.load_record()
        mean = record["mean"]
        rate = record["point"]["kbps"]
        return f"{rate:.4g} kbit/s, PSNR Y {mean['psnr_y_db']:.2f} dB, VMAF {mean['vmaf']:.1f}"


class MeasureCodecGain(StoreTask):
    """Clips, models, an encoder → from which bitrate down half resolution and an upscaler beat full resolution."""

    extra = "gain"
    input: tuple[Path, ...] = PathListParameter(  # type: ignore[assignment]  # hides Task.input(), unused here
        min_items=1, description="the clips, separated by commas"
    )
    models: tuple[str, ...] = StrListParameter(
        default=(),
        description="networks of scale 2 to compare beside bicubic and Lanczos, separated by commas: trained, "
        f"{', '.join(BOX_MODELS)}, or paths to .pth .safetensors .onnx .xml",
    )
    codec: str = ChoiceParameter(default="x264", choices=CODECS, description="video encoder")
    preset: str = luigi.Parameter(
        default="", description=f"the encoder's preset, {_PRESETS}; empty: the encoder's default"
    )
    crf: tuple[int, ...] = IntListParameter(
        default=(),
        description="constant rate factors, at least 6 for a reliable BD-rate; empty: "
        + "; ".join(f"{name}: {','.join(map(str, crfs))}" for name, crfs in DEFAULT_CRFS.items()),
    )
    stage = "codec-gains"
    record = "codec-gain.json"

    def name(self) -> str:
        """Return the first clip's name, how many more there are, and the codec."""
        more = f"-and-{len(self.input) - 1}-more" if len(self.input) > 1 else ""
        return f"{self.input[0].stem}{more}-{self.codec}"

    @property
    def crfs(self) -> tuple[int, ...]:
        """The constant rate factors, each once."""
        return tuple(sorted(set(self.crf or DEFAULT_CRFS[self.codec])))

    def requires(self) -> list[MeasurePoint]:
        """A measurement for each clip, size, constant rate factor and upscaler."""
        return [point for _, _, point in self._points]

    @cached_property
    def _points(self) -> list[tuple[str, str, MeasurePoint]]:
        """Clip and variant of each measurement."""
        stems = [path.stem for path in self.input]
        if len(set(stems)) < len(stems):
            raise UserError(
                "Two clips of --input have one name", "Rename one: results have the names of clips"
            )
        points = []
        for path in self.input:
            for crf in self.crfs:
                for upscaler in (NONE, *FILTERS, *self.models):
                    size = FULL if upscaler == NONE else HALF
                    variant = FULL if upscaler == NONE else f"{HALF} + {Path(upscaler).stem}"
                    point = MeasurePoint(
                        clip=str(path),
                        codec=self.codec,
                        preset=self.preset,
                        crf=crf,
                        size=size,
                        upscaler=upscaler,
                    )
                    points.append((path.stem, variant, point))
        return points

    def make(self) -> None:
        """Compute Bjøntegaard deltas and crossovers, and write the page."""
        from sr.codec_gain.clip import open_clip
        from sr.codec_gain.compare_points import Measured
        from sr.codec_gain.gain_report import write_gain

        measured = [
            Measured(clip, variant, point.directory(), point.encoded.directory())
            for clip, variant, point in self._points
        ]
        cuts = {path.stem: open_clip(clip_path(str(path))).cut_px for path in self.input}
        preset = self.preset or CODECS[self.codec].preset
        settings = {"codec": self.codec, "preset": preset, "crfs": list(self.crfs)}
        with stage(self, "pages") as progress:
            write_gain(measured, settings, cuts, self.directory())
            progress(1, 1)

    def counts(self) -> str:
        """Return the BD-rates by VMAF-NEG and PSNR."""
        means = self.load_record()["mean_bd_rate_percent"]
        return "; ".join(
            f"{variant}: "
            + ", ".join(_describe_rate(label, means[metric][variant]) for metric, label in _SHOWN)
            for variant in means["vmaf"]
        )

    def summary(self) -> str:
        """Return where the page is, and the verdict of each metric."""
        lines = [
            f"Page: {self.directory() / 'codec-gain.html'}",
            f"BD-rate against full size. {self.counts()}.",
        ]
        lines += [
            line for line in self.load_record()["verdicts"] if ", VMAF, " in line or ", PSNR Y, " in line
        ]
        return "\n".join(lines)


_SHOWN = (("psnr_y_db", "PSNR Y"), ("vmaf", "VMAF"), ("vmaf_neg", "VMAF-NEG"))


def clip_path(clip: str) -> Path:
    """Return the path of a clip.

    Raises:
        UserError: there is no such file.
    """
    path = expand_home(clip)
    if not is_file(path):
        raise UserError(f"There is no video {escape_name(clip)}", "Give the path of a clip")
    return path


def _describe_rate(label: str, percent: float | None) -> str:
    return f"{label} {'unknown' if percent is None else f'{percent:+.1f} %'}"
