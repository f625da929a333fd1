"""Upscaling what people have: images and videos."""
