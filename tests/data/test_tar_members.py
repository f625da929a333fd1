import tarfile

import pytest

from data.tar_members import member_header


@pytest.mark.parametrize(("name", "size"), [("0123-1-0000.png", 1), ("a" * 100, 8**11 - 1), ("k.json", 0)])
def test_a_member_header_is_the_one_that_tarfile_writes(name, size):
    information = tarfile.TarInfo(name)
    information.size, information.mode = size, 0o644
    assert member_header(name, size) == information.tobuf(tarfile.USTAR_FORMAT)


def test_a_name_that_does_not_fit_the_header_is_refused():
    for name in ("a" * 101, "ä.png"):
        with pytest.raises(ValueError):
            member_header(name, 1)
