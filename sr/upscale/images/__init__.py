"""sr/upscale/images."""
