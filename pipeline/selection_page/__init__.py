"""The page of a selection: what its thresholds do, and the images nearest to them."""
