"""A video with an enhancement layer: UpscaleVideo adds it, and says in words where it cannot."""

import dataclasses
from fractions import Fraction

import av
import numpy as np
import pytest
from videos import make_video, numbered

from data.errors import UserError
from sr.codec_gain.clip import open_clip
from sr.codec_gain.decode_point import PointDecoder
from sr.codec_gain.encode_layer import encode_layer
from sr.codec_gain.encode_point import EncodeSettings, encode_point
from sr.upscale.video.enhancement import LAYER_TAG, add_residual, find_layer, subtract
from sr.upscale.video.preview import preview_video
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import upscale_video

FRAMES = 20
LOSSLESS = VideoUpscaleSettings(preset="ultrafast", crf=0, segment_s=0.5)


def make_layered(folder, **options):
    """Encode a clip at half its size, with a layer for bicubic; return the clip and the record of both streams."""
    path = make_video(folder / "clip.mkv", lambda n: numbered(n, 96, 240), frames=FRAMES, **options)
    clip = open_clip(path)
    encode_point(clip, EncodeSettings("x264", "veryfast", 30, "half"), folder / "base")
    record = encode_layer(clip, folder / "base", "bicubic", 24, folder / "layered", "CPU")
    return clip, record


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layered")
    clip, record = make_layered(folder, options={"bf": "2", "crf": "8"}, times=[*range(9), *range(12, 23)])
    return folder / "layered" / "stream.mkv", clip, record


def remux(source, target, keep, spoil=None):
    """Copy streams of a video, with their tags; `spoil` changes the packets of the last one."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        streams = {}
        for one in keep:
            streams[one] = after.add_stream_from_template(before.streams[one], opaque=True)
            streams[one].metadata.update(before.streams[one].metadata)
        count = 0
        for packet in before.demux([before.streams[one] for one in keep]):
            if not packet.size:
                continue
            index = packet.stream.index
            if spoil and index == keep[-1]:
                content, count = spoil(count, bytes(packet)), count + 1
                if content is None:
                    continue
                copy = av.Packet(content)
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, packet = packet.is_keyframe, copy
            packet.stream = streams[index]
            after.mux(packet)
    return target


def luma(frames):
    return [frame.to_ndarray()[: frame.height].astype(np.int32) for frame in frames]


def decode(path):
    with av.open(str(path)) as container:
        return [(frame.pts, frame) for frame in container.decode(video=0)]


def error_of(clip, frames):
    pairs = zip(luma(clip.frames()), luma(frames), strict=True)
    return np.mean([np.mean((one - other) ** 2) for one, other in pairs])


def test_what_is_subtracted_is_added_again():
    rng = np.random.default_rng(0)
    original, upscaled = (
        av.VideoFrame.from_ndarray(rng.integers(64, 190, (96, 64), np.uint8), "yuv420p") for _ in range(2)
    )
    for frame in (original, upscaled):
        frame.pts, frame.time_base = 0, Fraction(1, 25)
    assert (add_residual(upscaled, subtract(original, upscaled)).to_ndarray() == original.to_ndarray()).all()


def test_the_layer_is_added_and_is_no_stream_of_the_result(layered, tmp_path):
    path, clip, record = layered
    assert 0 < record["layer"]["bytes"] < record["bytes"]
    assert find_layer(path).model == "bicubic"
    said = []
    with_layer = upscale_video(
        path, tmp_path / "on.mkv", tmp_path / "on", "bicubic", LOSSLESS, tell=said.append
    )
    off = dataclasses.replace(LOSSLESS, enhancement="off")
    without = upscale_video(path, tmp_path / "off.mkv", tmp_path / "off", "bicubic", off)
    assert "stream.mkv has an enhancement layer, which is added" in said
    assert with_layer["enhancement"] and not without["enhancement"]
    assert with_layer["not_copied"] == []
    assert without["not_copied"] == ["stream 1 (enhancement layer), as asked"]
    times, frames = zip(*decode(tmp_path / "on.mkv"), strict=True)
    assert list(times) == [time for time, _ in decode(path)] and len(times) == FRAMES
    plain = [frame for _, frame in decode(tmp_path / "off.mkv")]
    assert error_of(clip, frames) < 0.5 * error_of(clip, plain)
    assert find_layer(tmp_path / "off.mkv") is None, "the result doesn't say that it has a layer"
    with av.open(str(tmp_path / "on.mkv")) as result:
        assert len(result.streams) == 1
        assert not [name for name in result.streams[0].metadata if name.startswith("SR_")]
    measured = PointDecoder(clip, path, "bicubic", "CPU").frames()
    assert all((one == other).all() for one, other in zip(luma(frames), luma(measured), strict=True))


def test_a_run_that_is_interrupted_gives_the_same_frames(layered, tmp_path):
    path, _, _ = layered

    def stop(done, total, note=""):
        if done > 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscale_video(path, tmp_path / "out.mkv", tmp_path / "a", "bicubic", LOSSLESS, progress=stop)
    upscale_video(path, tmp_path / "out.mkv", tmp_path / "a", "bicubic", LOSSLESS)
    upscale_video(path, tmp_path / "whole.mkv", tmp_path / "b", "bicubic", LOSSLESS)
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


def test_ten_bits_are_enhanced_too(tmp_path):
    clip, _ = make_layered(tmp_path, pixels="yuv420p10le", options={"crf": "8"})
    path = tmp_path / "layered" / "stream.mkv"
    plain = PointDecoder(clip, tmp_path / "base" / "stream.mkv", "bicubic", "CPU").frames()
    frames = list(PointDecoder(clip, path, "bicubic", "CPU").frames())
    assert frames[0].format.name == "yuv420p10le"
    assert error_of(clip, frames) < 0.5 * error_of(clip, plain)


def drop_one(number, content):
    return None if number == 7 else content


def cut_short(number, content):
    return content if number < 12 else None


def overwrite(number, content):
    """Change a byte, of which the decoder notices nothing."""
    return content[:-1] + bytes([content[-1] ^ 1]) if number == 5 else content


@pytest.mark.parametrize(
    ("keep", "spoil", "words"),
    [
        ((0,), None, "says that it has an enhancement layer, but the stream is not there"),
        ((0, 1), cut_short, "enhancement layer of .* is damaged: its packets"),
        ((0, 1), drop_one, "enhancement layer of .* is damaged: its packets"),
        ((0, 1), overwrite, "enhancement layer of .* is damaged: its packets"),
    ],
    ids=["missing", "cut short", "a packet missing", "a packet overwritten"],
)
def test_a_layer_that_is_missing_or_broken_is_an_error_in_words(layered, keep, spoil, words, tmp_path):
    path = remux(layered[0], tmp_path / "broken.mkv", keep, spoil)
    with pytest.raises(UserError, match=words) as raised:
        upscale_video(path, tmp_path / "out.mkv", tmp_path / "store", "bicubic", LOSSLESS)
    assert "--enhancement off" in raised.value.hint and not (tmp_path / "out.mkv").exists()
    off = dataclasses.replace(LOSSLESS, enhancement="off")
    assert upscale_video(path, tmp_path / "off.mkv", tmp_path / "off", "bicubic", off)["frames"] == FRAMES


def test_a_layer_of_another_model_or_size_is_refused(layered, tmp_path):
    path, clip, _ = layered
    with pytest.raises(UserError, match=r"made for another model \(bicubic\)"):
        PointDecoder(clip, path, "lanczos", "CPU")
    ten_bits = dataclasses.replace(LOSSLESS, bits="10", codec="x265")
    for changes in ({"scale": 3}, {"settings": ten_bits}):
        settings = changes.pop("settings", LOSSLESS)
        with pytest.raises(UserError, match="but the upscaled video"):
            upscale_video(path, tmp_path / "out.mkv", tmp_path / "s", "bicubic", settings, **changes)


def test_a_layer_of_another_version_is_refused_and_a_preview_says_that_it_is_without(layered, tmp_path):
    path = layered[0]
    preview_video(path, tmp_path / "preview", "bicubic", 2, LOSSLESS)
    assert '"without_enhancement": true' in (tmp_path / "preview" / "preview.json").read_text()
    newer = tmp_path / "newer.mkv"
    with av.open(str(path)) as before, av.open(str(newer), "w") as after:
        for number, stream in enumerate(before.streams):
            copy = after.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(stream.metadata)
            if number:
                copy.metadata[LAYER_TAG] = "9"
        for packet in before.demux():
            if packet.size:
                packet.stream = after.streams[packet.stream.index]
                after.mux(packet)
    with pytest.raises(UserError, match=r"this program does not know: 1 streams, versions 1, 9"):
        find_layer(newer)
