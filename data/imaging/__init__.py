"""Decode and encode images: `decode` as 8-bit sRGB for training, `original` unconverted for upscaling."""
