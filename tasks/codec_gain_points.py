"""Encode a clip and measure what comes back: EncodePoint, EncodeLayer, MeasurePoint."""

from pathlib import Path
from typing import Any

import luigi

from data.errors import UserError
from data.file_identity import size_and_second
from data.file_names import escape_name, is_file
from data.user_paths import expand_home
from sr.models.box import BOX_MODELS, DEFAULT_MODEL
from sr.upscale.video.settings import CODECS
from tasks.config import evaluation, upscaling
from tasks.download import LPIPS_WEIGHTS, Download
from tasks.export import ExportOpenVINO
from tasks.made_ir import make_ir_of
from tasks.model_choice import identify_upscaler
from tasks.runtime.parameters import ChoiceParameter, IntParameter
from tasks.runtime.progress import stage
from tasks.runtime.store_task import WHOLE_MACHINE, StoreTask

FULL, HALF, NONE = "full", "half", "none"
FILTERS = ("bicubic", "lanczos")
NO_LAYER = -1
_SCALE = 2
_UPSCALERS = f"bicubic, lanczos, trained, {', '.join(BOX_MODELS)}, or a path to .pth .safetensors .onnx .xml"
PRESETS = "; ".join(f"{name}: {one.presets[0]} to {one.presets[-1]}" for name, one in CODECS.items())


class ClipTask(StoreTask):
    """A task about one clip, encoded at one size and one constant rate factor."""

    extra = "gain"
    clip: str = luigi.Parameter(description="the clip")
    codec: str = ChoiceParameter(default="x264", choices=CODECS, description="video encoder")
    preset: str = luigi.Parameter(
        default="", description=f"the encoder's preset, {PRESETS}; empty: the encoder's default"
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


class EncodeLayer(ClipTask):
    """Clip at half its size, and model → the same with an enhancement layer: what the model does not restore."""

    upscaler: str = luigi.Parameter(default=DEFAULT_MODEL, description=_UPSCALERS)
    layer_crf: int = IntParameter(at_least=0, description="constant rate factor of the enhancement layer")
    stage = "encoded-clips"
    record = "point.json"

    @property
    def base(self) -> EncodePoint:
        """The clip at half its size."""
        return EncodePoint(clip=self.clip, codec=self.codec, preset=self.preset, crf=self.crf, size=HALF)

    def requires(self) -> dict[str, StoreTask]:
        """The clip at half its size, and the model where a task makes it."""
        return {"base": self.base, **made_model(self.upscaler)}

    def name(self) -> str:
        """Return the name of the half-size clip, the upscaler's, and the constant rate factor of the layer."""
        return f"{super().name()}-{Path(self.upscaler).stem}-{self.layer_crf}"

    def parameters(self) -> dict[str, Any]:
        """Return the upscaler and the constant rate factor of the layer.

        Raises:
            UserError: there is no such model, the codec does not take a value, or the size is not half.
        """
        from sr.codec_gain.encode_point import EncodeSettings

        if self.size != HALF:
            raise UserError(
                f"--size is {self.size}, but a layer belongs to a clip of half size", "Leave it out"
            )
        EncodeSettings(self.codec, self.preset, self.layer_crf, self.size).video_settings()
        return {
            "upscaler": identify_upscaler(self.upscaler, _SCALE, FILTERS),
            "layer_crf": self.layer_crf,
        }

    def make(self) -> None:
        """Encode what the upscaled frames lack, and write both streams into one file."""
        from sr.codec_gain.clip import open_clip
        from sr.codec_gain.encode_layer import encode_layer

        clip, upscaler = open_clip(clip_path(self.clip)), upscaler_of(self.upscaler)
        base, device = self.base.directory(), upscaling().device
        with stage(self, "frames") as progress:
            encode_layer(clip, base, upscaler, self.layer_crf, self.directory(), device, progress)

    def counts(self) -> str:
        """Return the bitrate, and the share of it that the layer takes."""
        record = self.load_record()
        share = record["layer"]["bytes"] / record["bytes"]
        return f"{record['kbps']:.4g} kbit/s, {share:.0%} of them the enhancement layer"

    def summary(self) -> str:
        """Return where the video is, and what plays it."""
        video = self.directory() / "stream.mkv"
        return f"Video: {video}\n{self.counts()}. UpscaleVideo --input {video} --model {self.upscaler} adds the layer."


class MeasurePoint(ClipTask):
    """Encoded clip and upscaler → how close the result is to the original, frame by frame."""

    upscaler: str = luigi.Parameter(default=NONE, description=f"none at full size; {_UPSCALERS}")
    layer_crf: int = IntParameter(
        default=NO_LAYER,
        at_least=NO_LAYER,
        description=f"constant rate factor of the enhancement layer; {NO_LAYER}: without one",
    )
    stage = "measured-clips"
    record = "measured.json"
    format_version = 2

    @property
    def encoded(self) -> EncodePoint | EncodeLayer:
        """The encoded clip."""
        given = {name: getattr(self, name) for name in ("clip", "codec", "preset", "crf", "size")}
        if self.layer_crf == NO_LAYER:
            return EncodePoint(**given)
        return EncodeLayer(**given, upscaler=self.upscaler, layer_crf=self.layer_crf)

    def requires(self) -> dict[str, StoreTask]:
        """The encoded clip, the model where a task makes it, and the weights of LPIPS where it is measured."""
        lpips = {"lpips": self.lpips_weights} if self.lpips_weights else {}
        return {"encoded": self.encoded, **made_model(self.upscaler), **lpips}

    @property
    def lpips_weights(self) -> Download | None:
        """The download of the weights of LPIPS; None where [evaluation] says that it is not measured."""
        return Download(dataset=LPIPS_WEIGHTS) if evaluation().lpips else None

    def name(self) -> str:
        """Return the encoded clip's name and the upscaler's."""
        if self.layer_crf != NO_LAYER:
            return self.encoded.name()
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
        if self.layer_crf != NO_LAYER and self.size == FULL:
            raise UserError("--layer-crf is given with --size full", "A layer belongs to half size")
        upscaler = (
            NONE if self.upscaler == NONE else identify_upscaler(self.upscaler, _SCALE, (NONE, *FILTERS))
        )
        return {"upscaler": upscaler, "ffmpeg": version("imageio-ffmpeg")}

    def make(self) -> None:
        """Decode, upscale, and compare each frame with the original."""
        from sr.codec_gain.clip import open_clip
        from sr.codec_gain.measure_point import measure_point

        upscaler = NONE if self.upscaler == NONE else upscaler_of(self.upscaler)
        with stage(self, "frames") as progress:
            measure_point(
                open_clip(clip_path(self.clip)),
                self.encoded.directory(),
                upscaler,
                self.directory(),
                upscaling().device,
                progress,
                self.lpips_weights.directory() if self.lpips_weights else None,
            )

    def counts(self) -> str:
        """Return the bitrate, PSNR and VMAF."""
        record = self.load_record()
        mean = record["mean"]
        rate = record["point"]["kbps"]
        return f"{rate:.4g} kbit/s, PSNR Y {mean['psnr_y_db']:.2f} dB, VMAF {mean['vmaf']:.1f}"


def made_model(upscaler: str) -> dict[str, ExportOpenVINO]:
    """Return the task that makes a model as an IR; nothing for a filter, a graph file or a model in the box."""
    return {} if upscaler in (NONE, *FILTERS) else make_ir_of(upscaler, for_video=True)


def upscaler_of(name: str) -> str | Path:
    """Return what upscales as UpscaleVideo does: a filter's name, a graph file, or the directory of an IR."""
    from sr.upscale.load import find_ir

    made = make_ir_of(name, for_video=True).get("model")
    return made.directory() if made else find_ir(name, for_video=True)


def clip_path(clip: str) -> Path:
    """Return the path of a clip.

    Raises:
        UserError: there is no such file.
    """
    path = expand_home(clip)
    if not is_file(path):
        raise UserError(f"There is no video {escape_name(clip)}", "Give the path of a clip")
    return path
