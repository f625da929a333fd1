"""The cases of the matrix of videos: every container, codec, pixel format, sound and subtitle that PyAV muxes."""

import dataclasses
from collections.abc import Iterator

import av
from clips import Clip
from video_cases import (
    CONTAINERS,
    COUNTED,
    OUTPUTS,
    PRESETS,
    REFUSED,
    RIGHT,
    UNREAD,
    Bench,
    Case,
    Outcome,
    carrier,
    encoders,
    pixel_formats,
)  # fmt: skip

CONVERTIBLE = {
    ".mkv": ("aac", "flac", "opus"),
    ".mp4": ("aac", "flac", "opus"),
    ".mov": ("aac",),
    ".webm": ("opus",),
}
"""What `--audio` takes, by the output."""
_SOUND = {
    ".webm": "libopus",
    ".ogv": "libopus",
    ".wmv": "wmav2",
    ".mxf": "pcm_s16le",
    ".mpg": "mp2",
    ".vob": "ac3",
}
"""The sound of a container's usual clip; AAC in the others."""
_PIXEL_CONTAINERS = (".mkv", ".mov", ".avi", ".mp4", ".flv", ".wmv", ".mxf")
_FORMATS_OF_ALL = ("ffv1", "rawvideo")
"""Codecs that take nearly every pixel format: with these all encoders are tried."""


def label(encoder: str) -> str:
    """Return FFmpeg's name of an encoder's codec."""
    return str(av.Codec(encoder, "w").canonical_name)


def output_cases() -> Iterator[Case]:
    """Yield each container as input, with its usual sound, for each output and encoder."""
    for container in CONTAINERS:
        clip = Clip(container, carrier(container), audio=_SOUND.get(container, "aac"))
        for output in OUTPUTS:
            audio = "copy" if output == ".mkv" else CONVERTIBLE[output][0]
            yield from (Case(clip, output, codec, audio) for codec in PRESETS)


def codec_cases() -> Iterator[Case]:
    """Yield each video codec in each container."""
    for encoder in encoders("video"):
        for container in CONTAINERS:
            yield Case(Clip(container, encoder, pixel_formats(encoder)[0], frames=6), ".mkv")


def pixel_cases(bench: Bench) -> Iterator[Case]:
    """Yield each pixel format of each video codec, in the first container that takes it."""
    for encoder in encoders("video"):
        for pixels in pixel_formats(encoder):
            clips = (Clip(container, encoder, pixels, frames=3) for container in _PIXEL_CONTAINERS)
            clip = next((one for one in clips if bench.can_make(one)), None)
            codecs = PRESETS if encoder in _FORMATS_OF_ALL else ("x264",)
            if clip:
                yield from (Case(clip, ".mkv", codec) for codec in codecs)


def sound_cases() -> Iterator[Case]:
    """Yield each codec of sound in each container, copied to each output."""
    for encoder in encoders("audio"):
        for container in CONTAINERS:
            clip = Clip(container, carrier(container), audio=encoder, frames=4)
            for output in OUTPUTS:
                yield Case(clip, output, "svtav1" if output == ".webm" else "x264")


def conversion_cases(bench: Bench) -> Iterator[Case]:
    """Yield each codec of sound, in the first container that is read as it was made, converted in each way."""
    for encoder in encoders("audio"):
        clips = (Clip(one, carrier(one), audio=encoder, frames=6) for one in CONTAINERS)
        clip = next((one for one in clips if bench.can_make(one) and bench.is_read()), None)
        if clip:
            for output, codecs in CONVERTIBLE.items():
                video = "svtav1" if output == ".webm" else "x264"
                yield from (Case(clip, output, video, audio) for audio in codecs)


def subtitle_cases() -> Iterator[Case]:
    """Yield each codec of subtitles in each container, copied to each output."""
    for encoder in encoders("subtitle"):
        for container in CONTAINERS:
            clip = Clip(container, carrier(container), subtitle=encoder, frames=6)
            for output in OUTPUTS:
                yield Case(clip, output, "svtav1" if output == ".webm" else "x264")


Results = list[tuple[Case, Outcome]]


def run_cases(bench: Bench, cases: Iterator[Case]) -> Iterator[tuple[Case, Outcome]]:
    """Yield the cases whose clip FFmpeg muxes and reads, and how they ended."""
    for case in cases:
        if bench.can_make(case.clip):
            outcome = bench.run(case)
            if outcome.kind != UNREAD:
                yield case, outcome


def output_table(results: Results) -> list[str]:
    """Return a table: for each container the encoders of each output."""
    lines = ["| input | " + " | ".join(OUTPUTS) + " |", "|---" * (len(OUTPUTS) + 1) + "|"]
    for container in CONTAINERS:
        cells = [
            ", ".join(
                case.codec
                for case, outcome in results
                if (case.clip.container, case.output, outcome.kind) == (container, output, RIGHT)
            )
            for output in OUTPUTS
        ]
        lines.append(f"| {container} | {' | '.join(cell or 'refused' for cell in cells)} |")
    return lines


def codec_table(results: Results) -> list[str]:
    """Return a table: from which containers each video codec is upscaled, and where it is refused."""
    rows: dict[str, dict[str, list[str]]] = {}
    for case, outcome in results:
        kinds = rows.setdefault(label(case.clip.video), {RIGHT: [], REFUSED: []})
        kinds.setdefault(outcome.kind, []).append(case.clip.container)
    lines = ["| codec | upscaled from | refused from |", "|---|---|---|"]
    return lines + [
        f"| {name} | {_list(kinds[RIGHT] + kinds.get(COUNTED, []))} | {_list(kinds[REFUSED])} |"
        for name, kinds in sorted(rows.items())
    ]


def pixel_table(results: Results) -> list[str]:
    """Return a table: what becomes of each pixel format with each encoder."""
    rows: dict[str, dict[str, set[str]]] = {}
    for case, outcome in results:
        becomes = outcome.pixels if outcome.kind == RIGHT else outcome.kind
        rows.setdefault(case.clip.pixels, {}).setdefault(case.codec, set()).add(becomes)
    lines = ["| pixel format | " + " | ".join(PRESETS) + " |", "|---" * (len(PRESETS) + 1) + "|"]
    return lines + [
        f"| {name} | {' | '.join(_list(sorted(row.get(codec, set()))) for codec in PRESETS)} |"
        for name, row in sorted(rows.items())
    ]


def stream_table(results: Results, conversions: Results, kind: str) -> list[str]:
    """Return a table: what becomes of each codec of sound or subtitles in each output."""
    rows: dict[str, dict[str, dict[str, set[str]]]] = {}
    for case, outcome in results:
        outputs = rows.setdefault(label(getattr(case.clip, kind)), {})
        outputs.setdefault(case.output, {}).setdefault(outcome.kind, set()).add(case.clip.container)
    lines = [f"| codec | {' | '.join(OUTPUTS)} |", "|---" * (len(OUTPUTS) + 1) + "|"]
    if conversions:
        lines = [f"| codec | {' | '.join(OUTPUTS)} | `--audio` |", "|---" * (len(OUTPUTS) + 2) + "|"]
    for name, outputs in sorted(rows.items()):
        cells = [_copied(outputs.get(output, {})) for output in OUTPUTS]
        if conversions:
            ends: dict[str, set[str]] = {}
            for case, outcome in conversions:
                if label(case.clip.audio) == name:
                    ends.setdefault(case.audio, set()).add(outcome.kind)
            cells.append(
                _list([f"({way})" if COUNTED in kinds else way for way, kinds in sorted(ends.items())])
            )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _copied(kinds: dict[str, set[str]]) -> str:
    copied, refused = kinds.get(RIGHT, set()) | kinds.get(COUNTED, set()), kinds.get(REFUSED, set())
    if not copied or not refused:
        return "copied" if copied else "refused"
    return f"copied; refused from {_list(sorted(refused))}"


def _list(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or "–"


@dataclasses.dataclass(frozen=True)
class Matrix:
    """The results of all cases, by what they are about."""

    outputs: Results
    codecs: Results
    pixels: Results
    sound: Results
    conversions: Results
    subtitles: Results
