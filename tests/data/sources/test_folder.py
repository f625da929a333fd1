from data.records import SourceEntry
from data.sources.folder import open_scikit_image_photos


def test_the_photographs_of_scikit_image_are_a_source():
    entries = list(open_scikit_image_photos().scan())
    assert len(entries) == 7 and all(isinstance(entry, SourceEntry) for entry in entries)
    assert {(one.height, one.width) for one in entries} >= {(512, 512), (300, 451), (400, 600)}
