"""The tar parser finds every member and refuses damaged archives."""

import itertools
import tarfile

import pytest
from archives import encoded_image, make_tar, reader_of, sealed, tar_member
from hostile_archives import TAR_SIZES, with_size

from data.sources.tar_format import HOLE, ODD_PADDING, TarFault, walk

WHOLE = make_tar({f"{number}.png": encoded_image(number) for number in range(4)})
BARE = WHOLE[: WHOLE.rindex(b"IEND") // 512 * 512 + 512]
"""Without the end mark."""


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_dialect_gives_the_members_that_were_written(format):
    long = "a/" * 45 + "name.png" if format == tarfile.USTAR_FORMAT else "ü/" * 90 + "name.png"
    members = {"a.png": b"1" * 700, long: b"2" * 512, "c.png": b""}
    content = make_tar(members, format)
    found = list(walk(reader_of(content), 0, len(content)))
    assert {one.name: content[one.offset : one.offset + one.size] for one in found} == members


def test_a_size_beyond_octal_is_read():
    info = tarfile.TarInfo("large.png")
    info.size = 20 << 30
    assert next(walk(reader_of(info.tobuf(tarfile.GNU_FORMAT)), 0, None)).size == 20 << 30


@pytest.mark.parametrize("size", TAR_SIZES.values(), ids=TAR_SIZES)
@pytest.mark.parametrize("kind", [b"0", b"L", b"x"])
def test_an_invalid_size_is_a_fault_and_no_endless_loop(size, kind):
    info = tarfile.TarInfo("a.png")
    info.type = kind
    content = with_size(info.tobuf(tarfile.USTAR_FORMAT), size) + bytes(10_240)
    with pytest.raises(TarFault):
        list(itertools.islice(walk(reader_of(content), 0, len(content)), 5))


@pytest.mark.parametrize("body", [b"%d size=%s\n", b"0" * 5000 + b"%d size=%s\n"])
def test_numbers_of_thousands_of_digits_are_a_fault(body):
    record = body % (5011, b"9" * 5000)
    header = tarfile.TarInfo("long")
    header.type, header.size = b"x", len(record)
    content = header.tobuf(tarfile.USTAR_FORMAT) + record + bytes(-len(record) % 512) + WHOLE
    with pytest.raises(TarFault, match="damaged extended header"):
        list(walk(reader_of(content), 0, len(content)))


def test_a_tar_cut_off_anywhere_is_refused():
    end = len(BARE)
    for length in [
        0,
        1,
        511,
        512,
        513,
        *range(700, end, 997),
        end - 512,
        end,
        end + 511,
        end + 512,
        end + 1023,
    ]:
        with pytest.raises(TarFault, match="cut off"):
            list(walk(reader_of(WHOLE[:length]), 0, length))


def test_a_tar_appended_to_another_is_read_too():
    both = WHOLE + make_tar({"more.png": b"x"})
    assert [one.name for one in walk(reader_of(both), 0, len(both))][-2:] == ["3.png", "more.png"]
    bare = BARE + bytes(1024)
    assert len(list(walk(reader_of(bare + bare + WHOLE), 0, 2 * len(bare) + len(WHOLE)))) == 12


@pytest.mark.parametrize("record", [512, 1 << 16, 1 << 20])
def test_padding_to_a_whole_record_is_not_a_hole(record):
    padded = BARE + bytes(1024)
    padded += bytes(-len(padded) % record)
    assert len(list(walk(reader_of(padded), 0, len(padded)))) == 4
    assert len(list(walk(reader_of(padded), 0, None))) == 4


def test_zeros_over_a_header_are_never_taken_for_the_end():
    """A bad sector leaves such zeros, or a download whose space was allocated before its bytes came."""
    content = make_tar({f"{number}.png": b"x" * 3000 for number in range(1000)})
    step = 512 + 3072
    assert len(list(walk(reader_of(content), 0, len(content)))) == 1000
    for first, end in (
        (3, 3 * step + 512),
        (3, 7 * step),
        (3, 400 * step + 100),
        (3, len(content)),
        (3, len(content) - 20_480),
        (0, len(content)),
    ):
        start = first * step
        broken = content[:start] + bytes(end - start) + content[end:]
        for known in (len(broken), None):
            with pytest.raises(TarFault, match=f"zeros where a header should be, at byte {start}: a hole"):
                list(walk(reader_of(broken), 0, known))


def listed(content, end=None):
    """Return name, kind and content of each member."""
    found = walk(reader_of(content), 0, len(content) if end is None else end)
    return [(one.name, one.kind, content[one.offset : one.offset + one.size]) for one in found]


@pytest.mark.parametrize(
    ("name", "kind"), [("a/", b"0"), ("a/", b"\0"), ("a/", b"5"), ("a.png", b"1"), ("a.png", b"2")]
)
@pytest.mark.parametrize("size", [1, 512, 1024, 4096, 1 << 40])
def test_a_folder_or_link_with_a_size_does_not_swallow_the_members_behind_it(name, kind, size):
    after = tar_member("b.png", b"b" * 700) + tar_member("c.png", b"c")
    found = listed(tar_member(name, kind=kind, size=size) + after + bytes(1024))
    assert [one[::2] for one in found] == [(name, b""), ("b.png", b"b" * 700), ("c.png", b"c")]
    assert listed(tar_member(name, kind=kind, size=size) + bytes(1024)) == found[:1]
    if size < 5000:
        found = listed(tar_member(name, b"x" * size, kind) + after + bytes(1024))
        assert [one[::2] for one in found] == [(name, b"x" * size), ("b.png", b"b" * 700), ("c.png", b"c")]


@pytest.mark.parametrize("blocks", [2, 3])
def test_three_blocks_of_zeros_end_any_tar(blocks):
    for members in range(1, 40):
        content = b"".join(tar_member(f"{number}.png", b"x") for number in range(members)) + tar_member("e")
        assert len(listed(content + bytes(512 * blocks))) == members + 1


@pytest.mark.parametrize("factor", [1, 2, 3, 7, 13, 19, 20, 64, 128])
def test_padding_by_small_blocking_factors_is_the_end(factor):
    for members in range(1, 60):
        content = b"".join(tar_member(f"{number}.png", b"x") for number in range(members)) + bytes(1024)
        content += bytes(-len(content) % (512 * factor))
        assert [kind for _, kind, _ in listed(content)] == ["file"] * members


def test_padding_by_an_unusual_blocking_factor_is_said_and_is_no_hole():
    content = b"".join(tar_member(f"{number}.png", b"x") for number in range(10)) + bytes(1024)
    padded = content + bytes(-len(content) % (512 * 101))
    assert [kind for _, kind, _ in listed(padded)] == ["file"] * 10 + [ODD_PADDING]
    assert [kind for _, kind, _ in listed(padded + b"x")] == ["file"] * 10 + [HOLE]
    assert [kind for _, kind, _ in listed(padded + bytes(1))] == ["file"] * 10 + [HOLE]


@pytest.mark.parametrize("more", [0, 1, 3])
def test_a_sparse_file_of_gnu_tar_is_skipped_with_its_list_of_pieces(more):
    header = bytearray(tar_member("s.png", size=700)[:512])
    header[156:157], header[482] = b"S", min(more, 1)
    pieces = b"".join(bytes(504) + bytes([number < more - 1]) + bytes(7) for number in range(more))
    content = sealed(bytes(header)) + pieces + b"s" * 700 + bytes(324)
    found = listed(content + tar_member("b.png", b"b") + bytes(1024))
    assert found == [("s.png", "a sparse file", b"s" * 700), ("b.png", "file", b"b")]
    if more:
        with pytest.raises(TarFault, match="cut off"):
            listed(content[:1000])


def test_headers_of_other_programs_are_understood():
    records = b"22 path=named-by-x.png\n".replace(b"22", b"23")
    pax = {"GNU.sparse.major": "1", "GNU.sparse.name": "real.png"}
    found = listed(
        tar_member("label", kind=b"V")
        + tar_member("dump/", b"Ya.png\0", kind=b"D")
        + tar_member("x", records, kind=b"X")
        + tar_member("a.png", b"1")
        + tar_member("access", b"user::rwx", kind=b"A")
        + tar_member("b.png", b"2")
        + tar_member("GNUSparseFile.1/real.png", b"3", pax_headers=pax)
        + tar_member("half.png", b"4", kind=b"M")
        + tar_member("c.png", b"5")
        + bytes(1024)
    )
    assert found == [
        ("label", "a volume label", b""),
        ("dump/", "folder", b"Ya.png\0"),
        ("named-by-x.png", "file", b"1"),
        ("b.png", "file", b"2"),
        ("real.png", "a sparse file", b"3"),
        ("half.png", "the rest of a file that begins in another volume", b"4"),
        ("c.png", "file", b"5"),
    ]
