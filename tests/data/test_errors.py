import pickle

from data.errors import UserError


def test_the_text_is_one_line_of_sentences():
    error = UserError("no folder at /x\n/y", "Check the path")
    assert str(error) == "no folder at /x /y. Check the path."


def test_a_hint_is_optional_and_sentences_keep_their_own_ends():
    assert str(UserError("the disk is full")) == "the disk is full."
    assert str(UserError("Is it mounted?", "See mount(8)!")) == "Is it mounted? See mount(8)!"


def test_it_crosses_processes():
    error = pickle.loads(pickle.dumps(UserError("the disk is full", "Free 3 GB")))
    assert (error.message, error.hint) == ("the disk is full", "Free 3 GB")


def test_a_name_in_it_cannot_write_to_the_terminal():
    assert str(UserError("a\x1b[2J\udce9 is missing")) == r"a\x1b[2J\xe9 is missing."
