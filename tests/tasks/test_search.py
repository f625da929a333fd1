"""SearchArchitecture: its settings, and when it is done."""

from pathlib import Path

import luigi
import pytest

from data.atomic_files import write_json
from data.errors import UserError
from tasks import SearchArchitecture


@pytest.fixture
def settings(tmp_path):
    """Give a function that sets keys of [search]; the store is empty."""
    config, changed = luigi.configuration.get_config(), []

    def change(section: str, **values: str) -> None:
        for name, value in values.items():
            config.set(section, name, value)
            changed.append((section, name))
        luigi.task_register.Register.clear_instance_cache()

    change("store", root=str(tmp_path))
    change("selection", datasets="Sample")
    yield change
    for section, name in changed:
        config.remove_option(section, name)
    luigi.task_register.Register.clear_instance_cache()


def test_more_trials_continue_in_the_same_directory_and_other_settings_do_not(settings):
    settings("search", trials="12")
    before = SearchArchitecture().directory_name
    assert before.startswith("searches/realtime-x2-")
    settings("search", trials="24")
    assert SearchArchitecture().directory_name == before
    settings("search", steps="100")
    assert SearchArchitecture().directory_name != before
    settings("training", patch_px="64")
    budget = SearchArchitecture().settings().budget
    candidate = next(SearchArchitecture().settings().space.candidates())
    job = budget.job(candidate, Path("trials"))
    assert (job.patch_px, job.max_steps, job.steps_per_epoch, job.warmup_steps) == (64, 100, 25, 20)


def test_a_search_is_done_when_it_has_tried_as_many_as_are_asked_for(settings):
    settings("search", trials="12")
    counts = {"tried": 12, "complete": 9, "pruned": 2, "failed": 1, "lost": 1}
    record = {"settings": {"trials": 12}, "counts": counts, "front": ["realtime-x2"]}
    row = {"name": "realtime-x2", "psnr_db": 31.0, "ms": 3.5, "problem": ""}
    failed = {"name": "realtime-9x9-x2", "psnr_db": None, "ms": None, "problem": "The loss is not finite"}
    task = SearchArchitecture()
    assert not task.is_done()
    write_json(task.record_path(), record | {"rows": [row, failed]})
    assert task.is_done() and task.exit_code() == 3
    assert "realtime-x2: 31.000 dB, 3.5 ms" in task.summary() and "The loss is not finite" in task.summary()
    assert "12 networks: 9 trained, 2 given up, 1 failed, 1 repeated after a kill" in task.summary()
    settings("search", trials="13")
    assert not SearchArchitecture().is_done()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("unshuffle", "3", "unshuffle must be 2 or 4"), ("layers", "4,4", "each value once")],
)
def test_networks_that_do_not_exist_are_refused_before_anything_runs(settings, name, value, message):
    settings("search", **{name: value})
    with pytest.raises(UserError, match=message):
        SearchArchitecture().parameters()
