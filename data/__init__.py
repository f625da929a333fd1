"""What data is: the catalog, the records that cross boundaries, and the formats on disk.

Imports nothing of the other packages; generated files never go in here.
"""
