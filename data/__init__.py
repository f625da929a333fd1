"""What data is: the dataset catalog, image sources, shards, the records that stages exchange, and formats on disk.

It imports none of the other packages. Generated files never go in here.
"""
