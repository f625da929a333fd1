import json
from pathlib import Path
from typing import ClassVar

import luigi
import pytest
from luigi.event import Event

from data.errors import UserError
from data.hashing import spec_hash
from tasks.runtime.store import store
from tasks.runtime.store_task import StoreTask, remove_empty_directory


class Stone(StoreTask):
    stage, record = "stones", "stone.json"
    weight = luigi.IntParameter(default=1)
    threads = luigi.IntParameter(default=1, significant=False)

    def name(self):
        return "../a stone"

    def parameters(self):
        return {"weight": self.weight}

    def make(self):
        (self.directory() / self.record).write_text("{}")


class Wall(StoreTask):
    stage, record = "walls", "wall.json"
    named = luigi.BoolParameter(default=False)

    def name(self):
        return "wall"

    def requires(self):
        stones = [Stone(weight=1), Stone(weight=2)]
        return {"foot": stones[0], "top": stones} if self.named else [*stones, Yard()]


class Crack(StoreTask):
    stage, record = "walls", "cracks/one.json"

    def home(self):
        return Wall()


class Yard(luigi.ExternalTask):
    def output(self):
        return luigi.LocalTarget("yard")


class Deep(StoreTask):
    stage, record = "deep", "deep.json"
    level = luigi.IntParameter()
    asked: ClassVar[list[int]] = []

    def name(self):
        return "deep"

    def parameters(self):
        self.asked.append(self.level)
        return {"level": self.level}

    def requires(self):
        return {"left": Deep(self.level - 1), "right": Deep(self.level - 1)} if self.level else {}


class Broken(StoreTask):
    stage, record = "broken", "broken.json"

    def name(self):
        raise UserError("The task has no name", "Give it one")


@pytest.fixture(autouse=True)
def in_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_directory_is_named_by_stage_name_and_hash_of_its_spec():
    stone = Stone(weight=3)
    spec = {"stage": "stones", "format_version": 1, "parameters": {"weight": 3}, "made_from": {}}
    assert stone.spec() == spec
    assert stone.directory() == Path("work/stones") / f"a-stone-{spec_hash(spec)}"
    assert stone.output().path == str(stone.directory() / "stone.json")


def test_only_what_changes_the_output_changes_the_name():
    assert Stone(weight=1).directory() != Stone(weight=2).directory()
    assert Stone(weight=1, threads=1).directory() == Stone(weight=1, threads=8).directory()


def test_made_from_goes_by_task_or_by_key():
    one, two = Stone(weight=1).directory_name, Stone(weight=2).directory_name
    assert Wall().made_from() == {"Stone": [one, two]}
    assert Wall(named=True).made_from() == {"foot": one, "top": [one, two]}


def test_a_part_is_written_into_the_directory_of_its_home():
    assert Crack().output().path == str(Wall().directory() / "cracks/one.json")


def test_a_deep_diamond_computes_each_hash_once():
    assert Deep(40).directory().parent == Path("work/deep")
    assert sorted(Deep.asked) == list(range(41))


def test_run_writes_the_spec_and_makes_the_result_once(monkeypatch):
    stone = Stone(weight=4)
    assert not stone.complete()
    stone.run()
    assert json.loads((stone.directory() / "spec.json").read_text()) == stone.spec()
    assert stone.complete()
    monkeypatch.setattr(Stone, "make", lambda self: pytest.fail("made twice"))
    stone.run()


def test_a_store_that_is_a_file_is_a_users_error(in_store):
    (in_store / store().root).write_text("")
    with pytest.raises(UserError, match="cannot be used"):
        Stone(weight=5).run()


def test_an_error_in_complete_fires_an_event():
    events = []
    listener = Broken.event_handler(Event.BROKEN_TASK)(lambda task, error: events.append((task, error)))
    try:
        with pytest.raises(UserError) as raised:
            Broken().complete()
    finally:
        Broken.remove_event_handler(Event.BROKEN_TASK, listener)
    assert events == [(Broken(), raised.value)]


def test_a_store_that_vanishes_while_luigi_asks_is_a_users_error(monkeypatch):
    stone = Stone(weight=8)
    monkeypatch.setattr(Stone, "is_done", lambda self: bool((self.directory() / "list").read_text()))
    with pytest.raises(UserError, match="was there when the run began and is gone"):
        stone.complete()


def test_where_the_store_is_gone_no_file_of_it_is_blamed(monkeypatch):
    stone, root = Stone(weight=9), Path(store().root)

    def make(self):
        root.rename("away")
        raise UserError("index/train-000001.idx is missing", "Run MakeCrops again")

    monkeypatch.setattr(Stone, "make", make)
    with pytest.raises(UserError, match="The store .* was there when the run began and is gone"):
        stone.run()


def test_a_failed_task_leaves_its_directory_only_if_it_has_made_something():
    empty, begun = Stone(weight=6), Stone(weight=7)
    for stone in (begun, empty):
        stone.directory().mkdir(parents=True)
        (stone.directory() / "spec.json").write_text("{}")
    (begun.directory() / "half").write_text("")
    remove_empty_directory(empty, ValueError())
    remove_empty_directory(begun, ValueError())
    assert not empty.directory().exists()
    assert (begun.directory() / "spec.json").exists()
