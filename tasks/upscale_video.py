"""Upscale a video: UpscaleVideo."""

import functools
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import luigi

from data.errors import UserError
from data.file_identity import size_and_second
from data.file_names import escape_name, find_name_fault, is_file, is_folder
from data.imaging.decode import SUFFIXES
from data.imaging.foreign_content import OTHER_SUFFIXES, image_format
from data.records import RejectionReason
from data.user_paths import expand_home
from sr.models.box import BOX_MODELS, DEFAULT_MODEL
from sr.upscale.video.settings import (
    AUDIO,
    BIT_DEPTHS,
    CODECS,
    CONTAINERS,
    ENHANCEMENT,
    VideoUpscaleSettings,
)
from tasks.config import upscaling
from tasks.export import ExportOpenVINO
from tasks.made_ir import make_ir_of
from tasks.model_choice import identify_upscaler
from tasks.runtime.list_parameters import IntListParameter
from tasks.runtime.parameters import BoolParameter, ChoiceParameter, FloatParameter, IntParameter
from tasks.runtime.progress import stage
from tasks.runtime.record_target import RecordTarget
from tasks.runtime.store_task import INCOMPLETE_EXIT_CODE, WHOLE_MACHINE, StoreTask
from tasks.video_target import VideoTarget

BICUBIC = "bicubic"
_DEFAULTS = VideoUpscaleSettings()
_UNSEEN = ("leave_out", "audio", "progressive", "enhancement")
"""Settings that change no segment; enhancement does where it is off, and is then named on its own."""
_DEFAULT_CRFS = ", ".join(f"{one.crf} for {name}" for name, one in CODECS.items())
_PRESETS = "; ".join(f"{name}: {one.presets[0]} to {one.presets[-1]}" for name, one in CODECS.items())


class UpscaleVideo(StoreTask):
    """Video and model → upscaled video, with all other streams of the video; or a preview of it."""

    input: str = luigi.Parameter(description="the video")  # type: ignore[assignment]  # hides Task.input(), unused here
    output_file: str = luigi.Parameter(
        default="", description=f"the upscaled video; its name ends in {', '.join(CONTAINERS)}"
    )
    model: str = luigi.Parameter(
        default=DEFAULT_MODEL,
        description=f"{', '.join(BOX_MODELS)}, trained, bicubic, or a path to .pth .safetensors .onnx .xml",
    )
    scale: int = IntParameter(default=2, at_least=1, description="scale of bicubic; a network has its own")
    codec: str = ChoiceParameter(default=_DEFAULTS.codec, choices=CODECS, description="video encoder")
    crf: int = IntParameter(
        default=_DEFAULTS.crf,
        at_least=-1,
        description=f"constant rate factor, lower is better; -1: {_DEFAULT_CRFS}",
    )
    preset: str = luigi.Parameter(
        default=_DEFAULTS.preset,
        description=f"the encoder's preset, {_PRESETS}; empty: the encoder's default",
    )
    bits: str = ChoiceParameter(
        default=_DEFAULTS.bits,
        choices=BIT_DEPTHS,
        description="bit depth of the upscaled video; same: that of the input",
    )
    segment_s: float = FloatParameter(
        default=_DEFAULTS.segment_s,
        at_least=0.5,
        at_most=600,
        description="length of the segments that are encoded one after another, seconds; an interruption "
        "costs at most one",
    )
    encoder_threads: int = IntParameter(
        default=_DEFAULTS.encoder_threads,
        at_least=1,
        at_most=64,
        description="threads of the encoder; x264 gives other bytes with another number",
    )
    deinterlace: bool = BoolParameter(description="deinterlace; without it, interlaced videos are refused")
    progressive: bool = BoolParameter(
        description="take a video that is marked as interlaced as it is: its frames are whole (PsF)"
    )
    leave_out: tuple[int, ...] = IntListParameter(
        default=(), description="numbers of the input's streams that are not copied, separated by commas"
    )
    allow_truncated: bool = BoolParameter(
        description="exit with 0 also if the video is cut short or damaged; the result is the same"
    )
    audio: str = ChoiceParameter(
        default=_DEFAULTS.audio,
        choices=AUDIO,
        description="copy the sound, or convert it to this codec where it is another one",
    )
    enhancement: str = ChoiceParameter(
        default=_DEFAULTS.enhancement,
        choices=ENHANCEMENT,
        description="on: add the enhancement layer that the video has; off: upscale without it",
    )
    preview: int = IntParameter(
        default=0,
        at_least=0,
        description="write this many comparison images (bicubic left, the model right) instead of a video; 0: a video",
    )
    stage = "videos"
    record = "video.json"
    format_version = 3
    resources = WHOLE_MACHINE

    def record_path(self) -> Path:
        """Return the path of the record, which for a preview has another name."""
        return self.directory() / ("preview.json" if self.preview else self.record)

    def name(self) -> str:
        """Return the video's name."""
        return f"{self.source().stem}-preview" if self.preview else self.source().stem

    def source(self) -> Path:
        """Return the path of the video.

        Raises:
            UserError: there is no such file.
        """
        path = expand_home(self.input)
        if not is_file(path):
            problem = "is a folder" if is_folder(path) else "does not exist"
            raise UserError(f"--input {self.input} {problem}", "Give the path of a video")
        with open(path, "rb") as file:
            is_image = path.suffix.lower() in (*SUFFIXES, *OTHER_SUFFIXES) or image_format(file.read(16))
        if is_image:
            raise UserError(f"--input {self.input} is an image", "Use UpscaleImages --input … --output-dir …")
        return path

    def video(self) -> Path:
        """Return the path of the upscaled video.

        Raises:
            UserError: it is missing, its suffix names no container, or it is the input.
        """
        path = expand_home(self.output_file)
        if path.suffix.lower() not in CONTAINERS:
            raise UserError(
                f"--output-file is {self.output_file!r}, but must end in {', '.join(CONTAINERS)}",
                "Give such a file name",
            )
        path = Path(os.path.abspath(path))
        if fault := find_name_fault(path):
            raise UserError(f"--output-file {path} would have {fault}", "Choose a shorter one")
        if path.exists() and path.samefile(self.source()):
            raise UserError(f"--output-file {path} is the input", "Choose another file name")
        return path

    def settings(self) -> VideoUpscaleSettings:
        """Return how the video is encoded.

        Raises:
            UserError: the codec does not take a value.
        """
        settings = VideoUpscaleSettings(
            codec=self.codec,
            crf=self.crf,
            preset=self.preset,
            bits=self.bits,
            segment_s=self.segment_s,
            encoder_threads=self.encoder_threads,
            deinterlace=self.deinterlace,
            progressive=self.progressive,
            leave_out=self.leave_out,
            audio=self.audio,
            enhancement=self.enhancement,
            device=upscaling().device,
        )
        settings.check()
        return settings

    def requires(self) -> dict[str, ExportOpenVINO]:
        """The model as an IR, of luma where the network is; nothing for bicubic, a graph file or a model in the box."""
        return make_ir_of(self.model, for_video=True)

    def parameters(self) -> dict[str, Any]:
        """Return the video by name, size and time, the model, the settings and the version of the codecs.

        Streams that are left out, the sound's codec and --progressive change no segment: the same work continues.
        """
        settings = vars(self.settings())
        without = {} if self.enhancement == _DEFAULTS.enhancement else {"enhancement": self.enhancement}
        return {
            **without,
            "source": [self.source().name, *size_and_second(self.source().stat())],
            "model": identify_upscaler(self.model, self.scale, (BICUBIC,)),
            "settings": {name: value for name, value in settings.items() if name not in _UNSEEN}
            | {"leave_out": ()},
            "pyav": version("av"),
            "preview": self.preview,
        }

    def output(self) -> RecordTarget:
        """Return the record."""
        if self.preview:
            return super().output()
        return VideoTarget(self.record_path(), self.video(), self.settings())

    def make(self) -> None:
        """Upscale the segments that are not finished, and write the video; or write a preview."""
        from sr.upscale.load import find_ir

        made = self.requires().get("model")
        model = made.directory() if made else find_ir(self.model, for_video=True)
        source, settings = self.source(), self.settings()
        if self.preview:
            from sr.upscale.video.preview import preview_video

            with stage(self, "images") as progress:
                preview_video(source, self.directory(), model, self.preview, settings, self.scale, progress)
            return
        from sr.upscale.video.upscale_video import upscale_video

        with stage(self, "frames", resumes=True) as progress:
            upscale_video(
                source,
                self.video(),
                self.directory(),
                model,
                settings,
                self.scale,
                progress=progress,
                tell=functools.partial(print, file=sys.stderr, flush=True),
                stall_timeout_s=upscaling().stall_timeout_s,
            )

    def save_partial(self) -> str:
        """Join the finished segments of an interrupted run into a video that plays; return a message about it."""
        from sr.upscale.video.output_file import partial_path
        from sr.upscale.video.upscale_video import save_partial

        if self.preview or not self.directory().exists():
            return ""
        frames = save_partial(self.source(), self.video(), self.directory(), self.settings())
        return f"The first {frames} frames: {partial_path(self.video())}" if frames else ""

    def exit_code(self) -> int:
        """Return 3 if frames of the video are missing in the result, or sound; 0 if not, or if that is allowed."""
        is_incomplete = not self.preview and bool(self._losses())
        return INCOMPLETE_EXIT_CODE if is_incomplete and not self.allow_truncated else 0

    def counts(self) -> str:
        """Return frames, size, what was lost and streams that were left out."""
        record = self.load_record()
        if self.preview:
            return f"{len(record['images'])} images"
        parts = [f"{record['frames']} frames of {record['width']}x{record['height']}"]
        parts[0] += "".join(f", {loss}" for loss in self._losses())
        parts += ["enhancement layer added"] if record.get("enhancement") else []
        parts += [f"converted: {one}" for one in record.get("converted_streams", ())]
        if record["not_copied"]:
            parts.append(f"left out: {'; '.join(record['not_copied'])}")
        return "; ".join([*parts, *record["times"]])

    def _losses(self) -> list[str]:
        """Return what the result lacks of the video, as text."""
        record = self.load_record()
        lost = record.get("lost_frames", 0)
        places = record["rejections"].get(RejectionReason.UNREADABLE, 0)
        losses = ["cut short or damaged"] if record["source"]["truncation"] else []
        if concealed := record.get("concealed_frames", 0):
            losses.append(f"{concealed} of them damaged, with parts made up")
        if lost:
            losses.append(f"{lost} more that could not be decoded")
        elif places:
            losses.append(f"{places} places that could not be decoded or copied")
        return losses

    def summary(self) -> str:
        """Return where the video or the preview is, and what the video lacks."""
        if self.preview:
            truncation = self.load_record().get("truncation", "")
            damage = f"\nThe video is cut short or damaged: {truncation}." if truncation else ""
            layer = self.load_record().get("without_enhancement")
            without = "\nThe preview is without the video's enhancement layer." if layer else ""
            return (
                f"Preview: {self.directory()}\n{self.counts()}: bicubic on the left, the model on the right."
                f"{damage}{without}"
            )
        lines = [f"Video: {escape_name(str(self.video()))}", f"{self.counts()}."]
        truncation = self.load_record()["source"]["truncation"]
        if truncation:
            lines.append(f"{escape_name(str(self.source()))} is cut short or damaged: {truncation}.")
        lines += [f"Changed midway: {change}." for change in self.load_record().get("changes", [])]
        if self._losses():
            lines.append(self._advice())
        return "\n".join(lines)

    def _advice(self) -> str:
        """Return what to do about a result that lacks something."""
        where = f"{self.directory() / 'rejections.jsonl'} lists what is missing."
        if self.allow_truncated:
            return f"{where} That is accepted (--allow-truncated)."
        return (
            f"{where} Get the whole file, delete {escape_name(str(self.video()))} and run again; or accept what is"
            f" there with --allow-truncated. Exit code {INCOMPLETE_EXIT_CODE}."
        )
