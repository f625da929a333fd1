"""Run the toy DAG from the command line: what is printed, and the exit code."""

import pytest

USER_LINE = "The box has a tool, but no toy. Look in another box."


@pytest.mark.parametrize("workers", ["1", "3"])
def test_the_summary_is_printed_last(program, workers):
    for attempt in ("made", "made already"):
        done = program.luigi("ToySet", "--workers", workers)
        assert done.returncode == 0, attempt
        (place,) = program.directory.glob("work/toysets/*")
        where = place.relative_to(program.directory)
        printed = [] if attempt == "made already" else ["a line that a task prints"]
        assert done.stdout.splitlines() == [*printed, f"The set is in {where}.", "It has 3 parts."]
        closing = done.stderr.splitlines()
        assert [line.split(" in ")[0] for line in closing] == (
            ["ToyPlan Sample: 3 parts", "ToyPart Sample: 12 items"] if printed else []
        )
    assert list((program.directory / "tmp").glob("*/*")) == []


@pytest.mark.parametrize(
    ("fault", "code", "line"),
    [
        ("user", 30, f"ToyPlan: {USER_LINE}"),
        ("complete", 35, "ToyPair: The shop has no toy. Buy one elsewhere."),
        ("requires", 35, "ToyPair: The box has one toy, but two are needed. Add another."),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_error_that_the_user_can_fix_is_one_line(program, fault, code, line, workers):
    failed = program.luigi("ToyPair", "--fault", fault, "--workers", workers, "--store-root", "store")
    errors = [
        text
        for text in failed.stderr.splitlines()
        if not text.startswith(("ToyPlan Sample:", "ToyPart Sample:"))
    ]
    assert (failed.returncode, errors) == (code, [line])
    assert "The set" not in failed.stdout
    assert not (program.directory / "store/toypairs").exists()


def test_no_second_store_is_made_where_the_first_was(program):
    failed = program.luigi("ToyPair", "--fault", "moved")
    assert failed.returncode == 30
    assert "The store work ([store] root) was there when the run began and is gone" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (program.directory / "work").exists()
    (program.directory / "away").rename(program.directory / "work")
    assert program.luigi("ToyPair").returncode == 0


@pytest.mark.parametrize(
    ("fault", "code", "texts"),
    [
        ("bug", 30, ["ToyPlan(parts=", ") failed unexpectedly:", "ZeroDivisionError: a bug in run()"]),
        ("complete-bug", 35, ["ToyPair() failed unexpectedly:", "ZeroDivisionError: a bug in complete()"]),
        ("no record", 30, ["failed unexpectedly:", "complete() is still returning false"]),
    ],
)
def test_a_bug_is_printed_once_with_its_traceback(program, fault, code, texts):
    failed = program.luigi("ToyPair", "--fault", fault)
    assert failed.returncode == code
    assert all(text in failed.stderr for text in texts)
    assert failed.stderr.count("Traceback") == 1


def test_a_killed_task_is_reported(program):
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
            "luigi: --parts is 'abc', but it must be a whole number.",
        ),
        (
            ["ToyPlan", "--toy-size", "1.5"],
            40,
            "luigi: --toy-size is '1.5', but it must be a whole number of 1 or more.",
        ),
        (
            ["ToyPlan", "--toy-size", "0"],
            40,
            "luigi: --toy-size is '0', but it must be a whole number of 1 or more.",
        ),
        (
            ["ToyPart", "--part", "1"],
            40,
            "luigi: ToyPart needs --parts. Add --parts to the command.",
        ),
        (["ToyPlan", "--toy-siez", "4"], 2, "unrecognized arguments: --toy-siez 4; did you mean --toy-size?"),
        (
            ["ToyPlam"],
            1,
            "There is no task 'ToyPlam'. Choose one of ",
        ),
        (["ToyNeedsOutside"], 20, "ToyNeedsOutside did not finish: "),
        (["ToyPlan", "--store-root", "tmp/.."], 0, "ToyPlan Sample: 3 parts in "),
        (
            ["ToyPlan", "--store-root", "a-file"],
            30,
            "ToyPlan: The store a-file ([store] root) cannot be used: ",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(program, arguments, code, line):
    (program.directory / "a-file").write_text("")
    failed = program.luigi(*arguments)
    (printed,) = failed.stderr.splitlines()
    assert failed.returncode == code
    assert line in printed
    assert not (program.directory / "work").exists()


def test_a_mistake_in_luigi_cfg_is_one_line(program):
    (program.directory / "luigi.cfg").write_text("[toy]\nsize = many\n")
    failed = program.luigi("ToyPlan")
    expected = "luigi: [toy] size in luigi.cfg is 'many', but it must be a whole number of 1 or more.\n"
    assert (failed.returncode, failed.stderr) == (40, expected)


def test_the_program_luigi_ends_like_its_module(program):
    code = "import sys; from luigi.cmdline import luigi_run; sys.exit(luigi_run())"
    (program.directory / "a_luigi_program.py").write_text(code)
    failed = program.module("a_luigi_program", "--module", "toy_dag", "ToyPlan", "--fault", "user")
    assert (failed.returncode, failed.stderr) == (30, f"ToyPlan: {USER_LINE}\n")
