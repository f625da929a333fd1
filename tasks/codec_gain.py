"""Measure whether half resolution and an upscaler beat full resolution: MeasureCodecGain."""

import itertools
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import luigi

from data.errors import UserError
from data.file_names import escape_name
from sr.models.box import BOX_MODELS
from sr.upscale.video.settings import CODECS
from tasks.codec_gain_points import FILTERS, FULL, HALF, NONE, PRESETS, MeasurePoint, clip_path
from tasks.runtime.list_parameters import IntListParameter, PathListParameter, StrListParameter
from tasks.runtime.parameters import ChoiceParameter
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask

DEFAULT_CRFS = {
    "x264": (18, 22, 26, 30, 34, 38, 42),
    "x265": (18, 22, 26, 30, 34, 38, 42),
    "svtav1": (23, 30, 37, 44, 51, 57, 62),
}


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
        default="", description=f"the encoder's preset, {PRESETS}; empty: the encoder's default"
    )
    crf: tuple[int, ...] = IntListParameter(
        default=(),
        description="constant rate factors, at least 6 for a reliable BD-rate; empty: "
        + "; ".join(f"{name}: {','.join(map(str, crfs))}" for name, crfs in DEFAULT_CRFS.items()),
    )
    half_crf: tuple[int, ...] = IntListParameter(
        default=(),
        description="constant rate factors of the half-size clips; empty: those of --crf. Lower ones give rates and "
        "qualities that have more in common with full size",
    )
    layers: tuple[int, ...] = IntListParameter(
        default=(),
        at_least=0,
        description="also measure each model with an enhancement layer, whose constant rate factor is that of the "
        "half-size clip plus each of these, separated by commas, such as 4,8,12; empty: none",
    )
    stage = "codec-gains"
    record = "codec-gain.json"

    def name(self) -> str:
        """Return the first clip's name, how many more there are, and the codec."""
        more = f"-and-{len(self.input) - 1}-more" if len(self.input) > 1 else ""
        return f"{self.input[0].stem}{more}-{self.codec}"

    @property
    def crfs(self) -> tuple[int, ...]:
        """The constant rate factors of full size, each once."""
        return tuple(sorted(set(self.crf or DEFAULT_CRFS[self.codec])))

    @property
    def half_crfs(self) -> tuple[int, ...]:
        """The constant rate factors of half size, each once."""
        return tuple(sorted(set(self.half_crf))) or self.crfs

    def requires(self) -> list[MeasurePoint]:
        """A measurement for each clip, size, constant rate factor and upscaler."""
        return [point for _, _, point in self._points]

    @cached_property
    def _points(self) -> list[tuple[str, str, MeasurePoint]]:
        """Clip and variant of each measurement."""
        if find_repeated([path.stem for path in self.input]):
            raise UserError(
                "Two clips of --input have one name", "Rename one: results have the names of clips"
            )
        if name := find_repeated([*FILTERS, *(Path(model).stem for model in self.models)]):
            raise UserError(
                f"Two of bicubic, lanczos and --models are called {escape_name(name)}",
                "Rename one, or leave it out: results have the names of models",
            )
        if self.layers and not self.models:
            raise UserError(
                "--layers is given without --models", "Name a model whose frames the layer completes"
            )
        return [(path.stem, *one) for path in self.input for one in self._points_of(path)]

    def _points_of(self, path: Path) -> Iterator[tuple[str, MeasurePoint]]:
        """Yield each point of a clip, with the name of its variant."""
        shared: dict[str, Any] = {"clip": str(path), "codec": self.codec, "preset": self.preset}
        for crf in self.crfs:
            yield FULL, MeasurePoint(**shared, crf=crf, size=FULL, upscaler=NONE)
        for crf in self.half_crfs:
            yield from self._half_points(shared | {"crf": crf}, crf)

    def _half_points(self, given: dict[str, Any], crf: int) -> Iterator[tuple[str, MeasurePoint]]:
        """Yield the points of a half-size clip at a constant rate factor."""
        for upscaler in (*FILTERS, *self.models):
            yield f"{HALF} + {Path(upscaler).stem}", MeasurePoint(**given, upscaler=upscaler)
        for model, coarser in itertools.product(self.models, self.layers):
            layer_crf = min(crf + coarser, CODECS[self.codec].max_crf)
            point = MeasurePoint(**given, upscaler=model, layer_crf=layer_crf)
            yield f"{HALF} + {Path(model).stem} + layer {coarser}", point

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
        settings = {"codec": self.codec, "preset": preset, "crfs": self.crfs, "half_crfs": self.half_crfs}
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


def find_repeated(names: Sequence[str]) -> str:
    """Return the first name that is there twice; empty if there is none."""
    return next((name for number, name in enumerate(names) if name in names[:number]), "")


def _describe_rate(label: str, percent: float | None) -> str:
    return f"{label} {'unknown' if percent is None else f'{percent:+.1f} %'}"
