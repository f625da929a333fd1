"""Runs of the toy DAG as a person starts them: what they read, and the exit code."""

import pytest

USER_LINE = "Expected a toy, got a tool in the box; look in another box."


@pytest.mark.parametrize("workers", ["1", "3"])
def test_the_last_words_are_the_summary(program, workers):
    for attempt in ("made", "made already"):
        done = program.luigi("ToySet", "--workers", workers)
        assert done.returncode == 0, attempt
        (place,) = program.directory.glob("work/toysets/*")
        where = place.relative_to(program.directory)
        printed = [] if attempt == "made already" else ["a line that a task prints"]
        assert done.stdout.splitlines() == [*printed, f"The set is in {where}.", "It has 3 parts."]
        told = done.stderr.splitlines()
        assert [line.split(" in ")[0] for line in told] == (
            ["ToyPlan Sample: 3 parts", "ToyPart Sample: 12 items"] if printed else []
        )
    assert list((program.directory / "tmp").glob("*/*")) == []


@pytest.mark.parametrize(
    ("fault", "code", "line"),
    [
        ("user", 30, f"ToyPlan: {USER_LINE}"),
        ("complete", 35, "ToyPair: Expected a toy, got none in the shop; buy one."),
        ("requires", 35, "ToyPair: Expected two toys, got one in the box; add another."),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_a_person_can_mend_is_one_line(program, fault, code, line, workers):
    failed = program.luigi("ToyPair", "--fault", fault, "--workers", workers, "--store-root", "store")
    told = [
        text
        for text in failed.stderr.splitlines()
        if not text.startswith(("ToyPlan Sample:", "ToyPart Sample:"))
    ]
    assert (failed.returncode, told) == (code, [line])
    assert "The set" not in failed.stdout
    assert not (program.directory / "store/toypairs").exists()


@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [
        ("bug", 30, ["ToyPlan(parts=", ") failed unexpectedly:", "ZeroDivisionError: a bug in run()"]),
        ("complete-bug", 35, ["ToyPair() failed unexpectedly:", "ZeroDivisionError: a bug in complete()"]),
        ("no record", 30, ["failed unexpectedly:", "complete() is still returning false"]),
    ],
)
def test_a_bug_is_told_with_its_traceback_once(program, fault, code, told):
    failed = program.luigi("ToyPair", "--fault", fault)
    assert failed.returncode == code
    assert all(text in failed.stderr for text in told)
    assert failed.stderr.count("Traceback") == 1


def test_a_killed_task_is_told_of(program):
    failed = program.luigi("ToyPlan", "--fault", "killed", "--workers", "2")
    assert failed.returncode == 30
    (line,) = failed.stderr.splitlines()
    assert line.startswith("ToyPlan: Task ToyPlan_")
    assert "exit code -9" in line


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ["ToyPlan", "--parts", "abc"],
            40,
            "luigi: Expected a whole number, got 'abc' in --parts; give another value.",
        ),
        (
            ["ToyPlan", "--toy-size", "1.5"],
            40,
            "luigi: Expected a whole number, got '1.5' in --toy-size; give another value.",
        ),
        (
            ["ToyPart", "--part", "1"],
            40,
            "luigi: Expected a value for parts, got nothing in --parts of ToyPart; add --parts to the comm",
        ),
        (["ToyPlan", "--toy-siez", "4"], 2, "unrecognized arguments: --toy-siez 4; did you mean --toy-size?"),
        (
            ["ToyPlam"],
            1,
            "Expected the name of a task, got 'ToyPlam' in the command line; choose one of ",
        ),
        (["ToyNeedsOutside"], 20, "ToyNeedsOutside did not finish: "),
        (["ToyPlan", "--store-root", "tmp/.."], 0, "ToyPlan Sample: 3 parts in "),
        (
            ["ToyPlan", "--store-root", "a-file"],
            30,
            "ToyPlan: Expected a directory that can be written, got ",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(program, arguments, code, line):
    (program.directory / "a-file").write_text("")
    failed = program.luigi(*arguments)
    (told,) = failed.stderr.splitlines()
    assert failed.returncode == code
    assert line in told
    assert not (program.directory / "work").exists()


def test_a_mistake_in_luigi_cfg_is_one_line(program):
    (program.directory / "luigi.cfg").write_text("[toy]\nsize = many\n")
    failed = program.luigi("ToyPlan")
    expected = "luigi: Expected a whole number, got 'many' in luigi.cfg, [toy] size; give another value.\n"
    assert (failed.returncode, failed.stderr) == (40, expected)


def test_the_luigi_program_is_closed_as_its_module_is(program):
    code = "import sys; from luigi.cmdline import luigi_run; sys.exit(luigi_run())"
    (program.directory / "a_luigi_program.py").write_text(code)
    failed = program.module("a_luigi_program", "--module", "toy_dag", "ToyPlan", "--fault", "user")
    assert (failed.returncode, failed.stderr) == (30, f"ToyPlan: {USER_LINE}\n")
