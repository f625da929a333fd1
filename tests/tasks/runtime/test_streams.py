"""Run commands whose standard streams are closed, full, or limited to ASCII."""

import os
import subprocess
import sys

import pytest

from tasks.runtime import streams

COMMANDS = {
    "run": ("luigi", "--module", "toy_dag", "ToySet"),
    "run with workers": ("luigi", "--module", "toy_dag", "ToySet", "--workers", "2"),
    "help": ("luigi", "--module", "toy_dag", "ToySet", "--help-all"),
    "list": ("tasks.cli",),
    "status": ("tasks.runtime.status", "--module", "toy_dag", "ToySet"),
}


@pytest.fixture
def broken_pipe():
    """Give the write end of a pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_reader_who_has_left_changes_nothing(program, broken_pipe, command):
    process = program.start(*command, stdout=broken_pipe, stderr=subprocess.PIPE)
    errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 0 and "rror" not in errors and "Broken pipe" not in errors


@pytest.mark.parametrize(("fault", "code"), [("", 0), ("user", 30), ("bug", 30)])
def test_the_exit_code_is_the_work_s_even_without_a_reader_of_errors(program, broken_pipe, fault, code):
    command = ("luigi", "--module", "toy_dag", "ToyPair", "--fault", fault, "--workers", "2")
    process = program.start(*command, stdout=broken_pipe, stderr=broken_pipe)
    assert process.wait(60) == code


def test_a_full_disk_behind_the_output_is_said_once(program):
    with open("/dev/full", "w") as full:
        process = program.start(*COMMANDS["status"], stdout=full, stderr=subprocess.PIPE)
        errors = process.communicate(timeout=60)[1].decode()
    assert (process.returncode, errors) == (0, "Standard output is cut short: No space left on device.\n")


def test_closed_descriptors_do_not_go_to_the_next_files(program):
    code = (
        "import os, sys; os.closerange(0, 3); sys.stdout = sys.__stdout__ = sys.stderr = sys.__stderr__ = None;"
        "from tasks.runtime.streams import prepare_streams; prepare_streams(); os._exit(os.open('a', os.O_CREAT))"
    )
    environment = program.environment
    ended = subprocess.run([sys.executable, "-c", code], cwd=program.directory, env=environment, check=False)
    assert ended.returncode > 2


@pytest.mark.parametrize("errors", ["", ":strict"])
def test_an_ascii_terminal_gets_lookalikes(program, errors):
    program.environment |= {"PYTHONIOENCODING": f"ascii{errors}"}
    program.luigi("ToyPlan")
    tree = program.module(*COMMANDS["status"])
    assert tree.returncode == 0 and "`-- ToyPlan Sample" in tree.stdout, tree.stderr
    assert tree.stdout.isascii()


def test_characters_without_a_lookalike_are_escaped():
    streams.prepare_streams()
    assert "└ü\udcff×".encode("ascii", "lookalike") == rb"`\xfc\udcffx"
    assert "ü\udcff".encode("utf-8", "lookalike") == "ü\\udcff".encode()
