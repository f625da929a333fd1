"""Films: which frames are taken, how they are decoded, how they become pictures. `data.sources.film` joins it together.

Nothing else imports PyAV. Only `settings` is imported before a film is at hand, so that nothing else waits for FFmpeg's
libraries to load.
"""
