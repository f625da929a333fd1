"""Videos: which frames are taken, how they are decoded, how they become images. `data.sources.video` joins it together.

Nothing else imports PyAV. Only `settings` is imported before a video is at hand, so that nothing else waits for FFmpeg's
libraries to load.
"""
