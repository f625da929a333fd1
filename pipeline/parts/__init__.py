"""Find images that show a part of another: local features, an index of them, and the geometry of their matches."""
