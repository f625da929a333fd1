"""Random degradations of LR images: blur, noise, JPEG and video codecs.

    parser.py           what the text of the setting says
    degrade.py          carries it out on an image
    codec_artifacts.py  what a video codec leaves of an image

Importing this package loads none of its modules.
"""
