import re


def tree(program, *arguments: str) -> list[str]:
    shown = program.module("tasks.runtime.status", "--module", "toy_dag", *arguments)
    assert (shown.returncode, shown.stderr) == (0, "")
    return [
        re.sub(r"[0-9a-f]{12}", "HASH", re.sub(r" {2,}", "  ", line)) for line in shown.stdout.splitlines()
    ]


def test_the_tree_shows_each_task_once(program):
    assert tree(program, "ToyPair") == [
        "ToyPair pair  to do  work/toypairs/pair-HASH/pair.json",
        "├── ToyPlan Sample  to do  work/toyplans/Sample-HASH/plan.json",
        "├── ToyPlan Sample  to do  work/toyplans/Sample-HASH/plan.json",
        "└── ToySet Sample  to do  work/toysets/Sample-HASH/dataset.json",
        "  └── ToyPlan Sample  see above",
        "0 of 4 done",
    ]
    assert not (program.directory / "work").exists()


def test_parts_share_a_line_once_the_plan_exists(program):
    assert program.luigi("ToySet").returncode == 0
    (last,) = program.directory.glob("work/toysets/*/manifest/part-2.json")
    assert tree(program, "ToySet")[:2] == [
        "ToySet Sample  done  work/toysets/Sample-HASH/dataset.json  3 parts",
        "├── ToyPlan Sample  done  work/toyplans/Sample-HASH/plan.json",
    ]
    last.unlink()
    assert tree(program, "ToySet")[2:] == [
        "└── ToyPart Sample × 3  2 of 3  work/toysets/Sample-HASH",
        "  └── ToyPlan Sample  see above",
        "2 of 3 done",
    ]


def test_mistakes_are_one_line(program):
    for arguments, line in [
        (["ToyPai"], "tasks.runtime.status: There is no task 'ToyPai'"),
        (
            ["ToyPair", "--fault", "complete"],
            "tasks.runtime.status: The shop has no toy. Buy one elsewhere.",
        ),
        (["ToyPair", "--fualt", "x"], "unrecognized arguments: --fualt x; did you mean --fault?"),
    ]:
        failed = program.module("tasks.runtime.status", "--module", "toy_dag", *arguments)
        (printed,) = failed.stderr.splitlines()
        assert failed.returncode == 2
        assert line in printed


def test_only_terminals_get_colors(program):
    assert "\x1b" not in "".join(tree(program, "ToyPair"))


def test_nothing_heavy_is_imported(program):
    heavy = ("torch", "deepspeed", "nvidia.dali", "openvino", "onnx", "nncf")
    code = f"import sys, tasks.runtime.status; print([name for name in {heavy} if name in sys.modules])"
    (program.directory / "imports.py").write_text(code)
    assert program.module("imports").stdout == "[]\n"
