"""From a film to an enlarged film: UpscaleVideo."""

import dataclasses
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import luigi

from data.errors import UserError
from data.files import read_json
from sr.upscale.film.placing import Place
from sr.upscale.film.settings import CODECS, CONTAINERS, MODES, FilmSettings
from tasks.base import StoreTask
from tasks.chosen import identity_of, requires_of
from tasks.config import upscaling
from tasks.deliver import ExportOpenVINO, luma_only
from tasks.learn import TRAINED, WHOLE_MACHINE, find_preset_name
from tasks.progress import stage

BICUBIC = "bicubic"
_FILM = FilmSettings()


class FilmTarget(luigi.LocalTarget):
    """The record of an enlarged film, which counts while the film stands where it was put, as it was put there."""

    def __init__(self, record: str, film: Path, leave_out: tuple[int, ...]) -> None:
        super().__init__(record)
        self.leave_out = sorted(leave_out)
        self.place = Place(Path(record).parent, film)

    def exists(self) -> bool:
        """Return whether both are there, without the streams that are to be left out.

        Raises:
            UserError: another file stands in the film's place.
        """
        self.place.check()
        if not self.place.film.exists() or not super().exists():
            return False
        return read_json(self.path)["leave_out"] == self.leave_out


class UpscaleVideo(StoreTask):
    """Film and model → enlarged film, with all else that the film holds; or a preview of it."""

    input = luigi.Parameter(description="the film")
    output_file = luigi.Parameter(default="", description=f"where to; ends in {', '.join(CONTAINERS)}")
    model = luigi.Parameter(
        default=TRAINED, description="trained, bicubic, or a path to .pth .safetensors .onnx .xml"
    )
    scale = luigi.IntParameter(default=2, description="of bicubic; a network has its own")
    codec = luigi.ChoiceParameter(default=_FILM.codec, choices=list(CODECS), description="the encoder")
    crf = luigi.IntParameter(
        default=_FILM.crf,
        description="quality, less is better; -1: "
        + ", ".join(f"{one.crf} for {name}" for name, one in CODECS.items()),
    )
    preset = luigi.Parameter(
        default=_FILM.preset,
        description="; ".join(
            f"{name}: {one.presets[0]} to {one.presets[-1]}" for name, one in CODECS.items()
        ),
    )
    bits = luigi.ChoiceParameter(default=_FILM.bits, choices=list(MODES), description="of the enlarged film")
    segment_s = luigi.FloatParameter(
        default=_FILM.segment_s, description="seconds that are encoded as one piece: what a kill can cost"
    )
    encoder_threads = luigi.IntParameter(
        default=_FILM.encoder_threads,
        description="of the encoder; x264 gives other bytes with another number",
    )
    deinterlace = luigi.BoolParameter(description="make whole pictures of interlaced fields")
    leave_out = luigi.Parameter(default="", description="numbers of streams not to copy, with commas")
    preview = luigi.IntParameter(
        default=0, description="make no film, but this many pictures: bicubic left, model right"
    )
    stage = "films"
    format_version = 2
    resources = WHOLE_MACHINE

    @property
    def record(self) -> str:
        """Return which file says that all is done."""
        return "preview.json" if self.preview else "film.json"

    def name(self) -> str:
        """Return the film's name."""
        return f"{self.source().stem}-preview" if self.preview else self.source().stem

    def source(self) -> Path:
        """Return the film.

        Raises:
            UserError: there is no such file.
        """
        path = Path(self.input).expanduser()
        if not path.is_file():
            raise UserError(
                "a film", "nothing" if not path.exists() else "a folder", self.input, "check --input"
            )
        return path

    def film(self) -> Path:
        """Return where the enlarged film goes.

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

    def settings(self) -> FilmSettings:
        """Return how it is encoded.

        Raises:
            UserError: a value is none that there is.
        """
        try:
            leave_out = tuple(int(one) for one in self.leave_out.split(",") if one.strip())
        except ValueError:
            raise UserError("numbers", repr(self.leave_out), "--leave-out", "give 2,3 for example") from None
        settings = FilmSettings(
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
        """Return the film by name, size and time, the model by its bytes, the settings and the codecs' version.

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
            else FilmTarget(record, self.film(), self.settings().leave_out)
        )

    def make(self) -> None:
        """Enlarge, or go on enlarging."""
        model = self.requires()["model"].directory() if self.requires() else self.model
        source, settings = self.source(), self.settings()
        if self.preview:
            from sr.upscale.film.preview import preview_film

            with stage(self, "pictures") as progress:
                preview_film(source, self.directory(), model, self.preview, settings, self.scale, progress)
            return
        from sr.upscale.film.upscale_film import upscale_film

        with stage(self, "frames", resumes=True) as progress:
            upscale_film(
                source,
                self.film(),
                self.directory(),
                model,
                settings,
                self.scale,
                progress=progress,
            )

    def salvage(self) -> str:
        """Join what is finished of an interrupted run into a film that plays; return what to say of it."""
        from sr.upscale.film.upscale_film import partial_path, salvage

        if self.preview or not self.directory().exists():
            return ""
        frames = salvage(self.source(), self.film(), self.directory(), self.settings())
        return f"The first {frames} frames: {partial_path(self.film())}" if frames else ""

    def counts(self) -> str:
        """Return frames, size, and what went wrong."""
        record = read_json(self.directory() / self.record)
        if self.preview:
            return f"{len(record['pictures'])} pictures"
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
        return f"Film: {self.film()}\n{self.counts()}."
