"""Upscale videos: decode, upscale and encode in segments that survive a kill, then mux them with all other streams."""
