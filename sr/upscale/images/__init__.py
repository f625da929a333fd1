"""Upscaling images: `upscale_images` takes a folder, resumes after a kill, and keeps formats, profiles, EXIF and alpha.

`jobs` lists the inputs and names the results, `journal` records what is finished, `upscale_image` processes one image
in tiles, `transparent_pixels` prepares images with alpha, and `writers` encode row by row.
"""
