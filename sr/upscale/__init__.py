"""Enlarging what people have: pictures and films."""
