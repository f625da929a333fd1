"""Videos: decoded, upscaled and encoded at once, in segments that survive a kill, and joined with all else they hold."""
