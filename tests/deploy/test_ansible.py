"""deploy/ansible: the linter has nothing to say, every template renders, and systemd accepts the units."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ANSIBLE = Path(__file__).parents[2] / "deploy" / "ansible"
ROLES = ANSIBLE / "roles"


def test_the_linter_accepts_the_playbook():
    beside = Path(sys.executable).parent
    program = shutil.which("ansible-lint", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("ansible-lint is not installed: pip install -c constraints.txt -e '.[deploy]'")
    command = [program, "--offline", "--profile", "production", "--nocolor"]
    found = subprocess.run(command, cwd=ANSIBLE, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.fixture(scope="module")
def settings():
    """The defaults as one host has them that is all in one."""
    yaml = pytest.importorskip("yaml")
    values = yaml.safe_load((ROLES / "sr" / "defaults" / "main.yml").read_text())
    return values | {
        "ansible_managed": "Ansible managed",
        "playbook_dir": str(ANSIBLE),
        "sr_scheduler_host": "node1",
        "sr_store_server": "node1",
        "item": {"name": "div2k", "arguments": "MakeCrops --dataset DIV2K --workers 100%"},
    }


def render(path: Path, values: dict) -> str:
    """Render a template with the two functions of Ansible that the templates use."""
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["regex_replace"] = lambda text, pattern, new: re.sub(pattern, new, text)
    environment.globals["lookup"] = lambda plugin, name: Path(name).read_text()
    return environment.from_string(path.read_text()).render(values)


@pytest.mark.parametrize(
    "name", ["scheduler/templates/luigid.service.j2", "tasks/templates/task.service.j2",
             "tensorboard/templates/tensorboard.service.j2", "store/templates/store.mount.j2"],
)  # fmt: skip
def test_systemd_accepts_the_units(name, settings, tmp_path):
    text = render(ROLES / name, settings | {"sr_user": "root", "sr_home": str(tmp_path)})
    for line in re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE):
        program = Path(line)
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    assert "{{" not in text and "None" not in text
    unit = tmp_path / ("srv-srf-store.mount" if name.startswith("store/") else "srf-one.service")
    unit.write_text(text)
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    found = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert unit.name not in found.stderr, found.stderr


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("environment/templates/luigi.cfg.j2", {"core": "scheduler_host", "store": "root"}),
        ("scheduler/templates/luigid.cfg.j2", {"scheduler": "state_path"}),
    ],
)
def test_the_files_of_the_repository_get_the_values_of_the_cluster(name, changed, settings):
    if not (ANSIBLE.parents[1] / "luigi.cluster.cfg").is_file():
        pytest.skip("luigi.cluster.cfg is not there")
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(render(ROLES / name, settings))
    for section, key in changed.items():
        assert parser[section][key] in ("node1", settings["sr_store"], "/var/lib/srf-luigid/state.pickle")


def test_every_setting_of_the_roles_has_a_default(settings):
    used = set()
    for path in [*ROLES.rglob("*.j2"), *ROLES.rglob("tasks/*.yml"), *ROLES.rglob("handlers/*.yml")]:
        used |= set(re.findall(r"\bsr_\w+", path.read_text()))
    assert used - set(settings) == set()


@pytest.mark.parametrize("path", ["/srv/srf/store", "/mnt/fast-disk/store"])
def test_the_mount_has_the_name_that_systemd_wants(path, settings, tmp_path):
    if not shutil.which("systemd-escape"):
        pytest.skip("systemd-escape is not installed")
    (tmp_path / "name.j2").write_text(settings["sr_store_unit"])
    name = render(tmp_path / "name.j2", settings | {"sr_store": path})
    wanted = ["systemd-escape", "--path", "--suffix=mount", path]
    assert name == subprocess.run(wanted, capture_output=True, text=True, check=True).stdout.strip()
