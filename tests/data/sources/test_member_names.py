from data.sources.member_names import escape_name, leads_outside


def test_names_become_printable():
    assert escape_name("héllo wörld.png") == "héllo wörld.png"
    assert escape_name("a\nb\udce9\x7f.png") == "a\\x0ab\\xe9\\x7f.png"


def test_names_that_lead_outside_are_recognized():
    assert not any(map(leads_outside, ["a/b.png", "..a/b..png", "a..b", "c:d/e"]))
    assert all(map(leads_outside, ["../a", "/a", "a/../b", "..\\a", "\\a", "C:\\a", "C:/a", ".."]))
