"""Sound and subtitles are copied where FFmpeg muxes them, converted if asked, and else refused with what helps."""

import dataclasses
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.resampler import AudioResampler
from clips import Clip, make_clip

from data.atomic_files import read_jsonl
from data.errors import UserError
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import upscale_video

QUICK = VideoUpscaleSettings(preset="ultrafast")


def upscale(source: Path, suffix: str, **settings) -> tuple[Path, dict]:
    """Upscale into `out` beside the source, with a store of its own for each suffix and codec of sound."""
    name = f"{settings.get('audio', 'copy')}{suffix}"
    output = source.parent / f"out-{name}"
    return output, upscale_video(
        source, output, source.parent / f"store-{name}", "bicubic", dataclasses.replace(QUICK, **settings)
    )


def packets(path: Path, number: int = 1) -> list[bytes]:
    with av.open(str(path)) as video:
        return [bytes(one) for one in video.demux(video.streams[number]) if one.size]


def decode(path: Path) -> tuple[float, np.ndarray]:
    """Return when the sound begins after the first image, in seconds, and its samples, channels x samples."""
    with av.open(str(path)) as video:
        first_image = next(frame.time for frame in video.decode(video=0))
    with av.open(str(path)) as video:
        frames = list(video.decode(audio=0))
    kind, channels = frames[0].format.packed.name, frames[0].layout.nb_channels
    packed = [one for frame in frames for one in AudioResampler(kind).resample(frame)]
    samples = np.concatenate([one.to_ndarray().reshape(-1, channels) for one in packed]).T
    scale = 1.0 if kind == "flt" else np.iinfo(samples.dtype).max
    return frames[0].time - first_image, samples / scale


def sound(path: Path) -> av.AudioStream:
    with av.open(str(path)) as video:
        return video.streams.audio[0].codec_context


@pytest.mark.parametrize(
    ("suffix", "video", "audio", "output"),
    [
        (".wmv", "wmv2", "wmav2", ".mkv"),
        (".avi", "mpeg4", "adpcm_ms", ".mkv"),
        (".avi", "mpeg4", "wmav1", ".mkv"),
        (".mov", "mpeg4", "pcm_mulaw", ".mkv"),
        (".avi", "mpeg4", "adpcm_yamaha", ".mkv"),
        (".flv", "flv", "adpcm_swf", ".mkv"),
    ],
)
def test_sound_that_pyavs_table_lacks_is_copied(suffix, video, audio, output, tmp_path):
    source = make_clip(tmp_path / f"in{suffix}", Clip(suffix, video, audio=audio))
    made, record = upscale(source, output)
    assert record["copied_streams"] == [1] and record["converted_streams"] == []
    assert packets(made) == packets(source)
    assert sound(made).name == sound(source).name
    assert decode(made)[0] == pytest.approx(decode(source)[0], abs=0.0015)


@pytest.mark.parametrize(
    ("suffix", "video", "audio", "output", "named"),
    [
        (".vob", "mpeg2video", "pcm_dvd", ".mkv", ""),
        (".m2ts", "mpeg2video", "pcm_bluray", ".mkv", ""),
        (".mov", "mpeg4", "pcm_s8", ".mkv", ".mov"),
        (".wmv", "wmv2", "wmav2", ".mov", ".mkv"),
        (".avi", "mpeg4", "adpcm_ms", ".mp4", ".mkv"),
    ],
)
def test_every_way_that_a_refusal_names_works(suffix, video, audio, output, named, tmp_path):
    source = make_clip(tmp_path / f"in{suffix}", Clip(suffix, video, audio=audio))
    with pytest.raises(UserError) as raised:
        upscale(source, output)
    assert f"{output} does not support stream 1 (audio, {audio})" in raised.value.message
    assert not list(tmp_path.glob("store*/segments/*.packets"))
    hint = raised.value.hint
    assert output not in hint and "--leave-out 1" in hint
    assert re.findall(r"the output (\.\w+)", hint) == ([named] if named else [])
    if named:
        assert upscale(source, named)[1]["copied_streams"] == [1]
    for codec in re.findall(r"--audio (\w+)", hint):
        made, record = upscale(source, output, audio=codec)
        assert record["converted_streams"] == [f"stream 1 (audio): {audio} to {codec}"]
        assert decode(made)[0] == pytest.approx(decode(source)[0], abs=0.025)
    assert upscale(source, output, leave_out=(1,))[1]["copied_streams"] == []


@pytest.mark.parametrize("late_s", [0, Fraction(3, 25), -Fraction(1, 25)])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_flac_has_each_sample_at_its_time(suffix, late_s, tmp_path):
    clip = Clip(".mkv", "mpeg4", audio="pcm_s16le", rate=44100, late_s=Fraction(late_s))
    source = make_clip(tmp_path / "in.mkv", clip)
    made, _ = upscale(source, suffix, audio="flac")
    (offset, samples), (kept_offset, kept) = decode(source), decode(made)
    assert sound(made).name == "flac" and sound(made).format.name == "s16"
    assert kept_offset == pytest.approx(offset, abs=0.0015)
    assert np.array_equal(kept, samples)


@pytest.mark.parametrize("codec", ["aac", "opus"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_the_encoders_delay_is_not_heard(suffix, codec, tmp_path):
    """The click that begins the sound stays where it is, within a millisecond."""
    source = make_clip(tmp_path / "in.avi", Clip(".avi", "mpeg4", audio="adpcm_ms", rate=48000, frames=10))
    made, _ = upscale(source, suffix, audio=codec)
    clicks = []
    for path in (source, made):
        offset, samples = decode(path)
        step = np.abs(np.diff(samples[0][4000:4400]))
        clicks.append(offset + (4000 + int(step.argmax())) / 48000)
    assert clicks[0] == pytest.approx(clicks[1], abs=0.0015)


def test_a_gap_becomes_silence_and_what_follows_stays_in_time(tmp_path):
    clip = Clip(".mkv", "mpeg4", audio="pcm_s16le", frames=20, gap=range(8, 20))
    source = make_clip(tmp_path / "in.mkv", clip)
    whole = make_clip(tmp_path / "whole.mkv", dataclasses.replace(clip, gap=range(0)))
    made, record = upscale(source, ".mkv", audio="flac")
    samples, complete = decode(made)[1], decode(whole)[1]
    assert abs(samples.shape[1] - complete.shape[1]) <= 48  # Matroska's times are rounded to a millisecond
    assert not samples[:, 8 * 1024 + 100 : 20 * 1024 - 100].any()
    assert np.abs(samples[:, -18000:] - complete[:, -18000:]).max() < 1e-4
    [lost] = read_jsonl(tmp_path / "store-flac.mkv" / "rejections.jsonl")
    assert "stream 1 (audio) has gaps: 0.256 s of silence" in lost["detail"]
    assert record["rejections"] == {"unreadable": 1}


@pytest.mark.parametrize(
    ("audio", "rate", "layout", "codec", "channels", "kept_rate"),
    [
        ("flac", 192000, "stereo", "aac", "stereo", 96000),
        ("pcm_s16le", 22050, "mono", "opus", "mono", 48000),
        ("ac3", 48000, "5.1(side)", "opus", "5.1", 48000),
        ("flac", 48000, "7.1", "aac", "7.1", 48000),
        ("pcm_s24le", 48000, "quad", "flac", "quad", 48000),
    ],
)
def test_rates_and_channels_are_kept_as_far_as_the_encoder_takes_them(
    audio, rate, layout, codec, channels, kept_rate, tmp_path
):
    source = make_clip(tmp_path / "in.mkv", Clip(".mkv", "mpeg4", audio=audio, rate=rate, layout=layout))
    made, _ = upscale(source, ".mkv", audio=codec)
    assert (sound(made).layout.name, sound(made).sample_rate) == (channels, kept_rate)
    assert decode(made)[0] == pytest.approx(decode(source)[0], abs=0.0015)


def test_sound_that_is_in_the_codec_already_is_copied(tmp_path):
    source = make_clip(tmp_path / "in.mkv", Clip(".mkv", "mpeg4", audio="aac"))
    made, record = upscale(source, ".mp4", audio="aac")
    assert record["copied_streams"] == [1] and packets(made) == packets(source)


@pytest.mark.parametrize(("suffix", "audio"), [(".mkv", "alac"), (".avi", "flac")])
def test_the_last_packet_is_heard_in_mp4(suffix, audio, tmp_path):
    """These containers give its packets no duration, and MP4 plays a packet for as long as it says."""
    source = make_clip(tmp_path / f"in{suffix}", Clip(suffix, "mpeg4", audio=audio, frames=4))
    made, _ = upscale(source, ".mp4")
    samples = decode(source)[1]
    assert np.array_equal(decode(made)[1][:, : samples.shape[1] - 200], samples[:, :-200])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("audio", ["copy", "flac"])
def test_damaged_sound_costs_its_packets_and_is_counted(suffix, audio, tmp_path):
    whole = make_clip(tmp_path / "whole.ts", Clip(".ts", "mpeg2video", audio="aac", frames=50)).read_bytes()
    source, half = tmp_path / "in.ts", len(whole) * 6 // 10
    source.write_bytes(
        whole[:half] + whole[half:].replace(b"\xff\xf1", b"\x11\x22")
    )  # no more headers of AAC
    made, record = upscale(source, suffix, audio=audio)
    assert record["frames"] == 50 and record["rejections"]["unreadable"] >= 1
    assert sum(map(len, packets(made))) > 2000 and len(packets(made, 0)) == 50
    [lost] = read_jsonl(tmp_path / f"store-{audio}{suffix}" / "rejections.jsonl")
    assert "stream 1 (audio): " in lost["detail"]


def test_a_webm_takes_opus_alone(tmp_path):
    source = make_clip(tmp_path / "in.mkv", Clip(".mkv", "mpeg4", audio="aac"))
    quick = {"codec": "svtav1", "preset": "13"}
    with pytest.raises(UserError, match=r"\.webm does not support stream 1 .*--audio opus") as raised:
        upscale(source, ".webm", **quick)
    assert "flac" not in raised.value.hint
    with pytest.raises(UserError, match=r"\.webm does not support --audio aac.*Use opus"):
        upscale(source, ".webm", audio="aac", **quick)
    made, _ = upscale(source, ".webm", audio="opus", **quick)
    assert sound(made).name == "opus" and decode(made)[0] == pytest.approx(0, abs=0.0015)


def test_subtitles_that_the_container_lacks_are_refused_with_what_helps(tmp_path):
    source = make_clip(tmp_path / "in.mp4", Clip(".mp4", "mpeg4", subtitle="mov_text", audio="aac"))
    with pytest.raises(UserError, match=r"\.mkv does not support stream 2 \(subtitle, mov_text\)") as raised:
        upscale(source, ".mkv")
    assert raised.value.hint == "Name the output .mp4 or .mov or add --leave-out 2"
    for suffix in (".mp4", ".mov"):
        assert packets(upscale(source, suffix)[0], 2)[:1] != []
    assert upscale(source, ".mkv", leave_out=(2,))[1]["copied_streams"] == [1]


def test_all_streams_that_are_refused_are_named_at_once(tmp_path):
    source = make_clip(tmp_path / "in.mkv", Clip(".mkv", "mpeg4", subtitle="ass", audio="wavpack"))
    with pytest.raises(
        UserError, match=r"\.mp4 does not support stream 1 .*, stream 2 \(subtitle, ssa\)"
    ) as raised:
        upscale(source, ".mp4")
    assert raised.value.hint == "Name the output .mkv or add --leave-out 1,2"


def test_sound_in_avi_has_no_gaps(tmp_path):
    """AVI does not say when sound is heard. FFmpeg counts G.722 wrongly, so that each packet seems to be far later."""
    source = make_clip(tmp_path / "in.avi", Clip(".avi", "mpeg4", audio="g722", frames=20))
    with pytest.raises(UserError, match=r"its copy would have gaps: \.avi does not say.*--audio") as raised:
        upscale(source, ".mkv")
    assert "output" not in raised.value.hint
    made, record = upscale(source, ".mkv", audio="flac")
    assert record["rejections"] == {}
    assert np.array_equal(decode(made)[1], decode(source)[1])


def test_sound_that_cannot_be_decoded_is_not_to_be_converted(tmp_path):
    """A codec that FFmpeg has no decoder for, here by a name that no decoder has."""
    plain = make_clip(tmp_path / "plain.mkv", Clip(".mkv", "mpeg4", audio="pcm_s16le")).read_bytes()
    assert plain.count(b"A_PCM/INT/LIT") == 1
    source = tmp_path / "in.mkv"
    source.write_bytes(plain.replace(b"A_PCM/INT/LIT", b"A_UNKNOWN/XXX"))
    with pytest.raises(UserError, match=r"does not support stream 1 \(audio, an unknown codec\)") as raised:
        upscale(source, ".mp4")
    assert raised.value.hint == "Add --leave-out 1"
    with pytest.raises(UserError, match=r"stream 1 \(audio, an unknown codec\) .* cannot be decoded"):
        upscale(source, ".mkv", audio="flac")
    assert upscale(source, ".mp4", leave_out=(1,))[1]["copied_streams"] == []
