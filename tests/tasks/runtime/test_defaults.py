import luigi.configuration
import pytest

from tasks.runtime.defaults import SETTINGS, apply_defaults


@pytest.fixture
def config(monkeypatch):
    fresh = luigi.configuration.LuigiConfigParser()
    monkeypatch.setattr(luigi.configuration.LuigiConfigParser, "_instance", fresh)
    return fresh


def test_what_no_file_sets_is_set(config):
    apply_defaults()
    for section, options in SETTINGS.items():
        for option, value in options.items():
            assert config.get(section, option) == value


def test_a_scheduler_that_a_file_names_is_used(config):
    config.read_string("[core]\ndefault-scheduler-host = node1\n")
    apply_defaults()
    assert config.get("core", "local_scheduler") == "false"


def test_what_a_file_sets_stays(config):
    config.read_string("[core]\nlocal_scheduler = false\n[retcode]\ntask-failed = 7\n")
    apply_defaults()
    assert config.get("core", "local_scheduler") == "false"
    assert config.get("retcode", "task_failed") == "7"
    assert config.get("retcode", "missing_data") == "20"
