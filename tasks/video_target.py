"""When an upscaled video counts as made: its record and the file are there, with the streams that are asked for."""

from pathlib import Path

from sr.upscale.video.output_file import OutputFile
from sr.upscale.video.settings import VideoUpscaleSettings
from tasks.runtime.record_target import RecordTarget


class VideoTarget(RecordTarget):
    """The record of an upscaled video, which counts while the video exists as it was written.

    Args:
        record: path of the record.
        video: path of the upscaled video.
        settings: which streams it has, and in which codec its sound is.
    """

    def __init__(self, record: Path, video: Path, settings: VideoUpscaleSettings) -> None:
        super().__init__(record)
        self.leave_out, self.audio = sorted(settings.leave_out), settings.audio
        self.place = OutputFile(record.parent, video)

    def exists(self) -> bool:
        """Return whether record and video exist, and the video has the streams that are asked for.

        Raises:
            UserError: another file has the video's name.
        """
        self.place.check()
        if not self.place.video.exists() or not super().exists():
            return False
        record = self.load()
        return (record["leave_out"], record.get("audio", VideoUpscaleSettings.audio)) == (
            self.leave_out,
            self.audio,
        )
