"""A key or option of an earlier version is refused, and the message names the one in its place."""

import luigi
import pytest

import tasks  # noqa: F401  (declares the sections)
from tasks.runtime.renamed_keys import _RENAMED, find_renamed, find_renamed_option


@pytest.mark.parametrize(("section", "key"), sorted(_RENAMED))
def test_a_key_of_an_earlier_version_leads_to_one_that_exists(section, key):
    known = {name for name, _ in luigi.task_register.Register.get_task_cls(section).get_params()}
    new, _ = _RENAMED[section, key]
    assert key not in known and new in known
    assert find_renamed(section, key).startswith(f"Write {new}")


def test_the_configuration_file_and_the_command_line_name_it(program):
    del program.environment["LUIGI_CONFIG_PATH"]
    (program.directory / "luigi.cfg").write_text("[crops]\nmax-blockiness = 0.75\n")
    failed = program.module("luigi", "--module", "toy_dag", "ToyPlan")
    assert (
        "sets [crops] max-blockiness, which nothing reads. Write max_bhi_blockiness, in another unit"
        in failed.stderr
    )
    assert failed.returncode == 40
    (program.directory / "luigi.cfg").unlink()
    failed = program.module("luigi", "--module", "toy_dag", "ToyPlan", "--crops-max-blockiness", "0.75")
    assert "write --crops-max-bhi-blockiness, in another unit" in failed.stderr and failed.returncode == 2


def test_other_names_have_no_replacement():
    assert find_renamed("crops", "size_px") is None and find_renamed_option("--crops-size-px") is None
