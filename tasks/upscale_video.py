"""From a video to an upscaled video: UpscaleVideo."""

import dataclasses
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import luigi

from data.atomic_files import read_json
from data.errors import UserError
from sr.upscale.video.output_file import Place
from sr.upscale.video.settings import CODECS, CONTAINERS, MODES, VideoSettings
from tasks.config import upscaling
from tasks.export import ExportOpenVINO, luma_only
from tasks.model_choice import identity_of, requires_of
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask
from tasks.train import TRAINED, WHOLE_MACHINE, find_preset_name

BICUBIC = "bicubic"
_VIDEO = VideoSettings()


class VideoTarget(luigi.LocalTarget):
    """The record of an upscaled video, which counts while the video stands where it was put, as it was put there."""

    def __init__(self, record: str, video: Path, leave_out: tuple[int, ...]) -> None:
        super().__init__(record)
        self.leave_out = sorted(leave_out)
        self.place = Place(Path(record).parent, video)

    def exists(self) -> bool:
        """Return whether both are there, without the streams that are to be left out.

        Raises:
            UserError: another file stands in the video's place.
        """
        self.place.check()
        if not self.place.video.exists() or not super().exists():
            return False
        return read_json(self.path)["leave_out"] == self.leave_out


class UpscaleVideo(StoreTask):
    """Video and model → upscaled video, with all else that the video holds; or a preview of it."""

    input = luigi.Parameter(description="the video")
    output_file = luigi.Parameter(default="", description=f"where to; ends in {', '.join(CONTAINERS)}")
    model = luigi.Parameter(
        default=TRAINED, description="trained, bicubic, or a path to .pth .safetensors .onnx .xml"
    )
    scale = luigi.IntParameter(default=2, description="of bicubic; a network has its own")
    codec = luigi.ChoiceParameter(default=_VIDEO.codec, choices=list(CODECS), description="the encoder")
    crf = luigi.IntParameter(
        default=_VIDEO.crf,
        description="quality, less is better; -1: "
        + ", ".join(f"{one.crf} for {name}" for name, one in CODECS.items()),
    )
    preset = luigi.Parameter(
        default=_VIDEO.preset,
        description="; ".join(
            f"{name}: {one.presets[0]} to {one.presets[-1]}" for name, one in CODECS.items()
        ),
    )
    bits = luigi.ChoiceParameter(
        default=_VIDEO.bits, choices=list(MODES), description="of the upscaled video"
    )
    segment_s = luigi.FloatParameter(
        default=_VIDEO.segment_s, description="seconds that are encoded as one piece: what a kill can cost"
    )
    encoder_threads = luigi.IntParameter(
        default=_VIDEO.encoder_threads,
        description="of the encoder; x264 gives other bytes with another number",
    )
    deinterlace = luigi.BoolParameter(description="make whole images of interlaced fields")
    leave_out = luigi.Parameter(default="", description="numbers of streams not to copy, with commas")
    preview = luigi.IntParameter(
        default=0, description="make no video, but this many images: bicubic left, model right"
    )
    stage = "videos"
    format_version = 2
    resources = WHOLE_MACHINE

    @property
    def record(self) -> str:
        """Return which file says that all is done."""
        return "preview.json" if self.preview else "video.json"

    def name(self) -> str:
        """Return the video's name."""
        return f"{self.source().stem}-preview" if self.preview else self.source().stem

    def source(self) -> Path:
        """Return the video.

        Raises:
            UserError: there is no such file.
        """
        path = Path(self.input).expanduser()
        if not path.is_file():
            raise UserError(
                "a video", "nothing" if not path.exists() else "a folder", self.input, "check --input"
            )
        return path

    def video(self) -> Path:
        """Return where the upscaled video goes.

        Raises:
            UserError: nowhere, no container is named so, or it is the input.
        """
        path = Path(self.output_file).expanduser()
        if path.suffix.lower() not in CONTAINERS:
            expected = f"a file name ending in {', '.join(CONTAINERS)}"
            raise UserError(expected, repr(self.output_file), "--output-file", "name one")
        if path.exists() and path.samefile(self.source()):
            raise UserError("another file than the input", str(path), "--output-file", "name another")
        return Path(os.path.abspath(path))

    def settings(self) -> VideoSettings:
        """Return how it is encoded.

        Raises:
            UserError: a value is none that there is.
        """
        try:
            leave_out = tuple(int(one) for one in self.leave_out.split(",") if one.strip())
        except ValueError:
            raise UserError("numbers", repr(self.leave_out), "--leave-out", "give 2,3 for example") from None
        settings = VideoSettings(
            codec=self.codec,
            crf=self.crf,
            preset=self.preset,
            bits=self.bits,
            segment_s=self.segment_s,
            encoder_threads=self.encoder_threads,
            deinterlace=self.deinterlace,
            leave_out=leave_out,
            device=upscaling().device,
        )
        settings.check()
        return settings

    def requires(self) -> dict[str, StoreTask]:
        """The model as an IR, of luma where the preset is; none for bicubic, and for a file that is a graph already."""
        if self.model == TRAINED and luma_only(find_preset_name()):
            return {"model": ExportOpenVINO(model=self.model, planes="luma")}
        return requires_of(self.model)

    def parameters(self) -> dict[str, Any]:
        """Return the video by name, size and time, the model by its bytes, the settings and the codecs' version.

        Streams that are left out change no segment: with others, the same work goes on.
        """
        status = self.source().stat()
        return {
            "source": [self.source().name, status.st_size, status.st_mtime_ns],
            "model": identity_of(self.model, self.scale, (BICUBIC,)),
            "settings": vars(dataclasses.replace(self.settings(), leave_out=())),
            "pyav": version("av"),
            "preview": self.preview,
        }

    def output(self) -> luigi.LocalTarget:
        """Return the record."""
        record = str(self.directory() / self.record)
        return (
            luigi.LocalTarget(record)
            if self.preview
            else VideoTarget(record, self.video(), self.settings().leave_out)
        )

    def make(self) -> None:
        """Upscale, or go on upscaling."""
        model = self.requires()["model"].directory() if self.requires() else self.model
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
            )

    def salvage(self) -> str:
        """Join what is finished of an interrupted run into a video that plays; return what to say of it."""
        from sr.upscale.video.upscale_video import partial_path, salvage

        if self.preview or not self.directory().exists():
            return ""
        frames = salvage(self.source(), self.video(), self.directory(), self.settings())
        return f"The first {frames} frames: {partial_path(self.video())}" if frames else ""

    def counts(self) -> str:
        """Return frames, size, and what went wrong."""
        record = read_json(self.directory() / self.record)
        if self.preview:
            return f"{len(record['images'])} images"
        lost = sum(record["rejections"].values())
        said = f", {lost} places that could not be decoded" if lost else ""
        left = f"; left out: {'; '.join(record['left_out'])}" if record["left_out"] else ""
        return f"{record['frames']} frames of {record['width']}x{record['height']}{said}{left}"

    def summary(self) -> str:
        """Say where it is."""
        if self.preview:
            return (
                f"Preview: {self.directory()}\n{self.counts()}: bicubic on the left, the model on the right."
            )
        return f"Video: {self.video()}\n{self.counts()}."
