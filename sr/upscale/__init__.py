"""Applying a model to folders of images and to videos."""
