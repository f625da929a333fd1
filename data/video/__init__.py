"""Videos: read the container, decode frames, choose which ones to use, and convert them to RGB.

`data.sources.video` puts the steps together. Only `sampling_settings` is imported before there is a video to read, so
that no other command waits for FFmpeg's libraries to load.
"""
