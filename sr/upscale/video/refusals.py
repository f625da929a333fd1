"""Say which streams a container does not support, and what would help: every way that is named has been tried."""

from pathlib import Path

from av.stream import Stream

from data.errors import UserError
from sr.upscale.video.convert_audio import AUDIO_CODECS
from sr.upscale.video.settings import CONTAINERS
from sr.upscale.video.stream_trials import LOSS, StreamTrials, codec_name

_SUFFIXES = (".mkv", ".mp4", ".mov")
"""Containers to recommend, which all encoders of video know."""


def refusal(output: Path, refused: list[tuple[Stream, str]], trials: StreamTrials, source: Path) -> UserError:
    """Return the error for streams that an output does not support.

    Args:
        output: whose suffix names the container.
        refused: the streams, and why a trial failed.
        trials: with the source's streams.
        source: the video.
    """
    suffix = output.suffix.lower()
    described = [f"stream {one.index} ({one.type}, {codec_name(one)})" for one, _ in refused]
    losses = "".join(f"; {why}" for why in dict.fromkeys(why for _, why in refused) if why.startswith(LOSS))
    can_convert = all(trials.can_decode(one) for one, _ in refused)
    names = [
        other
        for other in _SUFFIXES
        if CONTAINERS[other] != CONTAINERS[suffix]
        and not any(trials.failure(one.index, CONTAINERS[other]) for one, _ in refused)
    ]
    codecs = [f"--audio {name}" for name, one in AUDIO_CODECS.items() if suffix in one.containers]
    ways = [f"add {' or '.join(codecs)} to convert it"] if can_convert else []
    ways += [f"name the output {' or '.join(names)}"] if names else []
    ways.append(f"add --leave-out {','.join(str(one.index) for one, _ in refused)}")
    hint = f"{', '.join(ways[:-1])} or {ways[-1]}" if len(ways) > 1 else ways[0]
    return UserError(
        f"{output.suffix} does not support {', '.join(described)} of {source}{losses}",
        hint[0].upper() + hint[1:],
    )
