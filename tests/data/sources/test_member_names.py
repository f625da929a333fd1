from data.file_names import escape_name
from data.sources.member_names import UniqueIds, clean_name, leads_outside, normalize_path


def test_names_become_printable():
    assert escape_name("héllo wörld.png") == "héllo wörld.png"
    assert escape_name("a\nb\udce9\x7f.png") == "a\\x0ab\\xe9\\x7f.png"


def test_names_that_lead_outside_are_recognized():
    assert not any(map(leads_outside, ["a/b.png", "..a/b..png", "a..b", "c:d/e"]))
    assert all(map(leads_outside, ["../a", "/a", "a/../b", "..\\a", "\\a", "C:\\a", "C:/a", ".."]))


def test_the_escape_of_a_byte_is_no_separator():
    assert clean_name(b"\xe9t\xe9.png") == "\\xe9t\\xe9.png" and not leads_outside("\\xe9t\\xe9.png")
    assert clean_name(b"..\\a\xe9.png") == "../a\\xe9.png" and leads_outside("../a\\xe9.png")


def test_paths_are_normalized_but_what_leads_outside_stays_visible():
    same = {
        "a.png": "a.png",
        "a/b.png": "a/b.png",
        "../a": "../a",
        "/a": "/a",
        "C:/a": "C:/a",
        "a..b/c": "a..b/c",
    }
    other = {
        "a\\b": "a/b",
        "./a": "a",
        "././a": "a",
        ".//a//b/./c": "a/b/c",
        "a\\": "a/",
        "\\a": "/a",
        "//a": "/a",
    }
    for path, expected in (same | other).items():
        assert normalize_path(path) == expected
        assert normalize_path(expected) == expected


def test_ids_are_unique_even_if_names_look_like_ids():
    ids = UniqueIds("x/")
    names = ["a", "a", "a#2", "a", "a#3", "a#2", "b#2", "b", "b"]
    found = [ids.assign(name) for name in names]
    assert len(set(found)) == len(names)
    assert found[:2] == ["x/a", "x/a#2"]
