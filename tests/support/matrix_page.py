"""The page of the matrix of videos."""

from pathlib import Path

import av
from matrix_of_videos import Matrix, codec_table, output_table, pixel_table, stream_table
from video_cases import COUNTED, RIGHT

PAGE = Path(__file__).parents[2] / "docs/reference/video-formats.md"
_PAGE = """\
# Video formats

Which videos `UpscaleVideo` takes, and what becomes of their parts. All of it was tried: a short clip of each kind was
upscaled by bicubic, and the result held against what FFmpeg alone decodes of the clip (number and times of the frames,
colors, when the sound is heard and its waveform, subtitles). What is refused is refused before the work begins, in
words that say what would help.

The tables are generated with PyAV {version}: {right} of {total} cases are upscaled, the others are refused. They list
what this PyAV can write, so that it could be tried. It reads more than that.

```sh
PYTHONPATH=tests/support python tests/faults/video_matrix.py --check  # compares this page with the code
```

## Containers

The encoders (`--codec`) that each output takes, by the input's container.

{outputs}

## Video codecs

A container that is in neither column does not take the codec, or FFmpeg does not read back what it wrote.

{codecs}

## Pixel formats

What the result has, with `--bits same`. [Alpha](../explanation/videos.md#what-becomes-of-each-part) is not kept.
A dash: not tried with this encoder.

{pixels}

## Sound

What becomes of sound with `--audio copy`, by the output, and to what `--audio` converts it. In brackets: the clip's
container states times with gaps, which become silence and are counted.

{sound}

## Subtitles

{subtitles}
"""


def page(matrix: Matrix) -> str:
    """Return the page, as Markdown."""
    cases = [one for part in vars(matrix).values() for one in part]
    tables = {
        "outputs": output_table(matrix.outputs),
        "codecs": codec_table(matrix.codecs),
        "pixels": pixel_table(matrix.pixels),
        "sound": stream_table(matrix.sound, matrix.conversions, "audio"),
        "subtitles": stream_table(matrix.subtitles, [], "subtitle"),
    }
    return _PAGE.format(
        version=av.__version__,
        right=sum(outcome.kind in (RIGHT, COUNTED) for _, outcome in cases),
        total=len(cases),
        **{name: "\n".join(lines) for name, lines in tables.items()},
    )
