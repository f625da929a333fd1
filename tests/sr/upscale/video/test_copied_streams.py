"""Copied streams are complete, whatever times the source gives their packets."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from odd_videos import tone
from PIL import Image
from videos import numbered

from data.atomic_files import read_jsonl
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import upscale_video

QUICK = VideoUpscaleSettings(preset="ultrafast")


def image(number: int, time: int) -> av.VideoFrame:
    small = np.ascontiguousarray(numbered(number, 192, 320)[:64, :96])
    frame = av.VideoFrame.from_ndarray(small, "rgb24").reformat(format="yuv420p")
    frame.pts, frame.time_base = time, Fraction(1, 25)
    return frame


def cover(kind: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (32, 32), (9, 200, 3)).save(content, kind)
    return content.getvalue()


def make(path: Path, late: int = 0, covers: tuple[str, ...] = (), sounds: int = 1, videos: int = 1) -> Path:
    """Encode 12 frames that begin `late` frames after their audio; covers are attachments."""
    with av.open(str(path), "w") as video:
        images = [video.add_stream("libx264", rate=25, options={"bf": "3", "g": "6"}) for _ in range(videos)]
        for one in images:
            one.width, one.height, one.pix_fmt = 96, 64, "yuv420p"
        audio = [video.add_stream("aac", rate=48000) for _ in range(sounds)]
        for kind in covers:
            video.add_attachment(f"cover.{kind}", f"image/{kind}", cover(kind))
        for number in range(12):
            for one in images:
                video.mux(one.encode(image(number, number + late)))
        for number in range((12 + late) * 2):
            for place, one in enumerate(audio):
                video.mux(one.encode(tone(number * 1024, 20 + place)))
        for one in [*images, *audio]:
            video.mux(one.encode())
    return path


def packets(path: Path, number: int) -> list[bytes]:
    with av.open(str(path)) as video:
        return [bytes(one) for one in video.demux(video.streams[number]) if one.size]


def upscale(source: Path, suffix: str) -> tuple[Path, dict]:
    output = source.parent / f"out{suffix}"
    return output, upscale_video(source, output, source.parent / f"store{suffix}", "bicubic", QUICK)


@pytest.mark.parametrize(
    ("suffix", "left"),
    [
        (".mkv", []),
        (".mp4", [(4, "gif")]),
        (".m4v", [(4, "gif")]),
        (".mov", [(2, "png"), (3, "mjpeg"), (4, "gif")]),
    ],
)
def test_covers_are_kept_or_reported_and_cost_no_audio(suffix, left, tmp_path):
    source = make(tmp_path / "in.mkv", late=10, covers=("png", "jpeg", "gif"))
    output, record = upscale(source, suffix)
    assert record["not_copied"] == [
        f"stream {n} (cover, {kind}): {suffix} does not support it" for n, kind in left
    ]
    assert packets(output, 1) == packets(source, 1) and len(packets(source, 1)) > 40
    kept = [number for number in (2, 3, 4) if number not in [one for one, _ in left]]
    with av.open(str(output)) as video:
        assert [one.index for one in video.streams if one.disposition & 1024] == kept
        kinds = [video.streams[number].codec_context.name for number in kept]
    assert kinds == ["png", "mjpeg", "gif"][: len(kept)]
    assert [packets(output, number) for number in kept] == [packets(source, number) for number in kept]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_second_video_and_a_second_audio_stream_are_copied_completely(suffix, tmp_path):
    """Matroska gives the first packets of a stream with B-frames no decoding time."""
    source = make(tmp_path / "in.mkv", sounds=2, videos=2)
    output, record = upscale(source, suffix)
    assert record["copied_streams"] == [1, 2, 3] and record["rejections"] == {}
    for number in (1, 2, 3):
        assert packets(output, number) == packets(source, number) != []
    assert packets(source, 2) != packets(source, 3)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_audio_that_goes_back_in_time_is_counted_and_the_video_is_made(suffix, tmp_path):
    """The second part has no video, whose clock would tell of the joint."""
    once, sound = make(tmp_path / "once.ts"), tmp_path / "sound.ts"
    with av.open(str(once)) as given, av.open(str(sound), "w") as made:
        streams = [made.add_stream_from_template(one, opaque=True) for one in given.streams]
        for packet in given.demux(audio=0):
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                made.mux(packet)
    source = tmp_path / "in.ts"
    source.write_bytes(once.read_bytes() + sound.read_bytes())
    output, record = upscale(source, suffix)
    assert record["frames"] == 12 and record["rejections"]["unreadable"] >= 1
    assert len(packets(output, 1)) >= len(packets(once, 1))
    details = [one["detail"] for one in read_jsonl(tmp_path / f"store{suffix}" / "rejections.jsonl")]
    assert any(one.startswith("stream 1 (audio) goes back in time: ") for one in details)
