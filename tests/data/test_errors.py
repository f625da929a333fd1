from data.errors import UserError


def test_the_message_is_one_line_that_says_what_to_do():
    error = UserError("a folder", "nothing", "/x\n/y", "check the path")
    assert str(error) == "Expected a folder, got nothing in /x /y; check the path."
