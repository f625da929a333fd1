"""Finished directories of the store by URL: publish them, fetch them, and keep a cache of shards of selections."""
