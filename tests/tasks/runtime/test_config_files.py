"""Mistakes in luigi.cfg: each is one line that names the file or the key, or simply works."""

from pathlib import Path

import pytest

from data.errors import UserError
from tasks.runtime.config_names import _check_file

LUIGI = ("luigi", "--module", "toy_dag", "ToyPlan")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            "[crop]\nsize_px = 3\n",
            "luigi.cfg has a section [crop], which nothing reads. Did you mean [crops]?",
        ),
        ("[Toy]\nsize = 3\n", "luigi.cfg has a section [Toy], which nothing reads. Did you mean [toy]?"),
        ("[zzz]\nsize = 3\n", "luigi.cfg has a section [zzz], which nothing reads. Remove it; "),
        ("[toy]\nsise = 3\n", "luigi.cfg sets [toy] sise, which nothing reads. Did you mean size?"),
        ("[toy]\nroot = a\n", "luigi.cfg sets [toy] root, which nothing reads. root belongs to [store]."),
        ("[toyplan]\nparts = 2\n", "has a section [toyplan], which nothing reads. Did you mean [ToyPlan]?"),
        (
            "[ToyPlan]\nprats = 2\n",
            "luigi.cfg sets [ToyPlan] prats, which nothing reads. Did you mean parts?",
        ),
        ("[store]\nroot = 50%off\n", "[store] root in luigi.cfg has a single %. Write %% for each %."),
        ("[store]\nroot = %(a)s\n", "[store] root in luigi.cfg can't be resolved: "),
        ("[store]\nroot = ${NO_SUCH}/a\n", "[store] root in luigi.cfg can't be resolved: "),
    ],
)
def test_what_nothing_reads_or_resolves_is_one_line(program, content, line):
    del program.environment["LUIGI_CONFIG_PATH"]
    (program.directory / "luigi.cfg").write_text(content)
    failed = program.module(*LUIGI)
    (printed,) = failed.stderr.splitlines()
    assert failed.returncode == 40 and line in printed


def test_keys_of_older_versions_name_what_replaced_them(tmp_path):
    path = tmp_path / "luigi.cfg"
    path.write_text("[training]\ngradient_accumulation_steps = 4\n")
    with pytest.raises(UserError, match="Write batch_size, the patches of a step over all devices"):
        _check_file(str(path), {"training": {"batch_size"}})


def test_status_refuses_what_a_run_refuses(program):
    (program.directory / "luigi.cfg").write_text("[crop]\nsize_px = 3\n[retcode]\nnot_run = 3\n")
    status = program.module("tasks.runtime.status", *LUIGI[1:])
    assert status.returncode == 2 and "[crop]" in status.stderr and len(status.stderr.splitlines()) == 1
    (program.directory / "luigi.cfg").write_text("[retcode]\nnot_run = 3\n")
    assert program.module("tasks.runtime.status", *LUIGI[1:]).returncode == 0


def test_every_kind_of_known_name_is_accepted(program):
    del program.environment["LUIGI_CONFIG_PATH"]
    (program.directory / "luigi.cfg").write_text(
        "[DEFAULT]\nhome = there\n[store]\nroot = %(home)s/50%%\n[toy]\nsize = 3\n[ToyPlan]\nparts = 2\n"
        "[crops]\nsize-px = 256\n[core]\nno_lock = true\n[resources]\nmachine = 1\n[worker]\nkeep_alive = true\n"
    )
    made = program.module(*LUIGI)
    assert made.returncode == 0 and "ToyPlan Sample: 2 parts" in made.stderr
    assert (program.directory / "there" / "50%" / "toyplans").is_dir()


@pytest.mark.parametrize(
    "name", ["luigi.cfg", "luigi.cluster.cfg", "luigi.demo.cfg", "luigi.recipe.cfg", "luigi.codec.cfg"]
)
def test_the_files_of_the_repository_have_known_names_alone(program, name):
    program.environment["LUIGI_CONFIG_PATH"] = str(Path(__file__).parents[3] / name)
    assert program.module("tasks.runtime.status", *LUIGI[1:]).returncode == 0


def test_a_home_directory_is_found(program):
    (program.directory / "luigi.cfg").write_text("[store]\nroot = ~/store\n")
    program.environment |= {"HOME": str(program.directory / "home")}
    del program.environment["LUIGI_CONFIG_PATH"]
    assert program.module(*LUIGI).returncode == 0
    assert [path.name for path in (program.directory / "home").iterdir()] == ["store"]
    assert not (program.directory / "~").exists()


def test_a_missing_file_is_named(program):
    program.environment["LUIGI_CONFIG_PATH"] = "no.cfg"
    failed = program.module(*LUIGI)
    assert failed.returncode == 40
    assert "luigi: LUIGI_CONFIG_PATH names no.cfg, which is not a file. Correct or unset it." in failed.stderr


@pytest.mark.parametrize(
    ("content", "line", "luigis_own"),
    [
        (
            b"\xef\xbb\xbf[store]\nroot = a\n",
            "luigi.cfg begins with a byte order mark.",
            ["File contains no section headers", "\\ufeff"],
        ),
        (
            b"[crops]\nsize_px = 9\nsize_px = 8\n",
            "luigi.cfg, line 3: [crops] size_px is set twice.",
            ["option 'size_px' in section 'crops' already exists"],
        ),
        (
            b"[crops]\nsize_px = 9\n[crops]\n",
            "luigi.cfg, line 3: the section [crops] is there twice.",
            ["section 'crops' already exists"],
        ),
        (
            b"root = a\n",
            "luigi.cfg, line 1: 'root = a' is above the first [section].",
            ["File contains no section headers"],
        ),
        (
            b"[store]\nroot a\n",
            "luigi.cfg, line 2: 'root a\\n' is not of the form key = value.",
            ["Source contains parsing errors"],
        ),
        (b"[store]\nroot = \xff\n", "luigi.cfg is not valid text", ["UnicodeDecodeError"]),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(program, content, line, luigis_own):
    """`sr-factory` says it; the program `luigi` reads the file before it loads anything of this project."""
    del program.environment["LUIGI_CONFIG_PATH"]
    (program.directory / "luigi.cfg").write_bytes(content)
    program.environment["PYTHONUTF8"] = "1"
    failed = program.module("tasks.cli", "MakeCrops", "--dataset", "Sample_tiny")
    (printed,) = failed.stderr.splitlines()
    assert failed.returncode == 1 and printed.startswith(line)
    page = (Path(__file__).parents[3] / "docs" / "reference" / "command-line.md").read_text()
    failed = program.module(*LUIGI)
    assert failed.returncode == 1 and all(f"`{one}`" in page for one in luigis_own)
    assert all(one in failed.stderr for one in luigis_own), failed.stderr
