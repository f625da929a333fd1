"""Hosts that share a luigid, each a worker in this process: the scheduler is Luigi's own, the DAG is the toy one."""

import configparser
import contextlib
import errno
import itertools
import os
import socket
import tempfile
import threading
from pathlib import Path

import luigi
import pytest
import toy_dag
from luigi.rpc import RequestsFetcher, URLLibFetcher
from luigi.task_register import Register
from luigi.worker import GetWorkResponse
from luigid_here import LuigidHere, serve

from data.errors import UserError
from tasks.runtime import cluster_config, machine_lock, progress_board
from tasks.runtime.cluster.admission import HostIdentity, check_same
from tasks.runtime.cluster.errors import RefusedHost, SchedulerLost, Unplannable
from tasks.runtime.cluster.factory import ClusterFactory
from tasks.runtime.cluster.host_progress import HostProgress
from tasks.runtime.cluster.store_identity import FILE, ensure_identity, read_identity
from tasks.runtime.every_run_task import EveryRunTask
from tasks.runtime.progress_board import State, run_board
from tasks.runtime.record_target import RecordTarget
from tasks.runtime.store_task import WHOLE_MACHINE


class ToyTraining(toy_dag.ToyPlan):
    """Needs a GPU and the whole machine."""

    stage = "toytraining"
    trains = True
    resources = WHOLE_MACHINE


class Hosts:
    """Joins hosts to one run."""

    def __init__(self, tmp_path, monkeypatch):
        self.luigid = LuigidHere()
        self.said: list[str] = []
        self.store = tmp_path / "store"
        self._monkeypatch = monkeypatch

    def set(self, section, key, value):
        luigi.configuration.get_config().set(section, key, str(value))
        Register.clear_instance_cache()

    def join(self, root=None, host="a"):
        """Return the worker of a new host, which has added the run's tasks."""
        self._monkeypatch.setattr("socket.gethostname", lambda: host)
        factory = ClusterFactory(root or toy_dag.ToySet())
        factory._say = self.said.append
        scheduler = factory.create_remote_scheduler("http://luigid:8082")
        scheduler._fetcher, scheduler.sleep = self.luigid, lambda seconds: None
        worker = factory.create_worker(scheduler, worker_processes=1)
        worker.add(factory.root)
        return worker

    def do_next(self, worker):
        """Let a host do one task; return its name."""
        response = worker._get_work()
        worker._run_task(response.task_id)
        while response.task_id in worker._running_tasks:  # its result comes through a pipe
            worker._handle_next_task()
        return response.task_id.partition("_")[0]


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    fresh = luigi.configuration.LuigiConfigParser()
    monkeypatch.setattr(luigi.configuration.LuigiConfigParser, "_instance", fresh)
    for section, key, value in [
        ("store", "root", tmp_path / "store"),
        ("worker", "wait_interval", "0.001"),
        ("worker", "wait_jitter", "0"),
        ("worker", "no_install_shutdown_handler", "true"),
        ("worker", "check_complete_on_run", "true"),
        ("worker", "task_process_context", "tasks.runtime.processes.DiesWithParent"),
        ("cluster", "look_again_s", "0.000001"),
    ]:
        fresh.set(section, key, str(value))
    monkeypatch.setattr(cluster_config, "_is_cluster", True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Register.clear_instance_cache()
    yield Hosts(tmp_path, monkeypatch)
    Register.clear_instance_cache()


def test_a_host_takes_the_parts_that_another_has_planned(hosts):
    first, second = hosts.join(), hosts.join(host="b")
    assert [hosts.do_next(first), hosts.do_next(first)] == ["ToyPlan", "ToySet"]  # it yields the parts
    hosts.do_next(first)
    # The first host does nothing more, and is not lost. Luigi's own second worker would leave: "not run", exit code 25.
    assert second.run()
    assert second.count_made() == "This host made 2 of 3 parts."


def test_a_host_that_was_busy_while_the_parts_were_planned_takes_some(hosts):
    first, second = hosts.join(), hosts.join(host="b")
    assert [hosts.do_next(first), hosts.do_next(first)] == ["ToyPlan", "ToySet"]
    second.parts.find(second._scheduled_tasks.values())  # as when a task of its own ends
    assert second.run()
    assert second.count_made() == "This host made 3 of 3 parts."


def test_a_host_whose_part_another_has_done_ends_well(hosts):
    first, second = hosts.join(), hosts.join(host="b")
    assert first.run()
    assert second.run()
    assert (second.made, second.exit_code) == ([], None)


def test_parts_that_are_planned_already_need_no_yielding(hosts):
    toy_dag.ToyPlan().run()
    first, second = hosts.join(), hosts.join(host="b")
    done = [hosts.do_next(worker) for worker in (first, second, first)]
    assert done == ["ToyPart"] * 3
    assert second.run()
    assert second.made == [second.made[0], toy_dag.ToySet().task_id]


def test_a_luigid_without_its_state_is_given_everything_again(hosts):
    worker = hosts.join()
    hosts.do_next(worker)
    hosts.luigid.restart()
    assert worker.run()
    assert hosts.luigid.scheduler.task_list("DONE", "")


def test_a_host_that_luigid_gave_up_comes_back(hosts):
    worker = hosts.join()
    hosts.do_next(worker)
    hosts.luigid.scheduler._state.inactivate_workers([worker._id])
    assert worker.run()


def test_a_host_that_was_away_says_what_it_is_doing(hosts):
    """Otherwise luigid, which was started without its state, would give that task to an idle host."""
    worker, other = hosts.join(), hosts.join(host="b")
    response = worker._get_work()
    worker._running_tasks[response.task_id] = None
    hosts.luigid.restart()
    worker._scheduler.returns += 1
    worker._return()
    other._return()
    assert other._get_work().task_id is None


def test_luigid_is_waited_for_in_words(hosts):
    worker = hosts.join()
    hosts.luigid.failing = 30
    assert worker.run()
    assert [line.split(" at ")[0] for line in hosts.said] == ["luigid", "luigid"]
    assert "does not answer (connection refused). Waiting for it" in hosts.said[0]
    assert "answers again" in hosts.said[1]


def test_a_luigid_that_stays_away_ends_the_run_in_one_line(hosts, monkeypatch):
    worker = hosts.join()
    hosts.luigid.failing = 10**9
    clock = itertools.count(0, 600)
    monkeypatch.setattr("tasks.runtime.cluster.scheduler_client._clock", lambda: next(clock))
    with pytest.raises(SchedulerLost, match="has not answered for 3600 s"):
        worker.run()


def test_a_run_that_others_finished_ends_well_without_luigid(hosts):
    worker, other = hosts.join(), hosts.join(host="b")
    assert other.run()
    hosts.luigid.failing = 10**9
    assert worker.run()


def test_a_host_with_other_settings_is_refused_and_harms_no_other(hosts):
    worker = hosts.join()
    hosts.set("toy", "size", 5)
    with pytest.raises(RefusedHost) as refused:
        hosts.join(host="b")
    assert str(refused.value).startswith(
        "This host is refused: it differs from host a, which runs the same task: [toy] size is '5' here and '4' there."
    )
    hosts.set("toy", "size", 4)
    assert worker.run()


def test_of_two_hosts_that_begin_at_once_the_later_one_is_refused(hosts):
    """Neither sees the other before both are registered."""

    def join_another():
        hosts.set("toy", "size", 5)
        hosts.join(host="b")
        hosts.set("toy", "size", 4)

    hosts.luigid.before["add_worker"] = join_another
    with pytest.raises(RefusedHost, match="differs from host b"):
        hosts.join()
    workers = hosts.luigid.scheduler.worker_list()
    assert sorted(one["state"] for one in workers) == ["active", "disabled"]


def test_a_host_without_the_store_is_refused_and_makes_none(hosts, tmp_path):
    hosts.join()
    (tmp_path / "elsewhere").mkdir()
    hosts.set("store", "root", tmp_path / "elsewhere")
    with pytest.raises(
        RefusedHost, match="is not mounted here, or empty; host a runs the same task on its own"
    ):
        hosts.join(host="b")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    ensure_identity(tmp_path / "elsewhere")
    with pytest.raises(RefusedHost, match="is another one"):
        hosts.join(host="b")


def test_a_host_with_other_code_is_refused(hosts, monkeypatch):
    hosts.join()
    monkeypatch.setattr("tasks.runtime.cluster.admission.hash_code", lambda: "another")
    with pytest.raises(RefusedHost, match="the program's files"):
        hosts.join(host="b")


def test_libraries_and_versions_that_differ_are_named():
    one = HostIdentity("a", "root", "crops/x", "1", "s", "0.1", {"av": "1"})
    other = HostIdentity("b", "root", "crops/x", "2", "s", "0.2", {"av": "2"})
    with pytest.raises(RefusedHost, match="version 0.2 here and 0.1 there; av 2 here and 1 there"):
        check_same(other, one)


def test_a_host_that_left_stands_in_no_ones_way(hosts):
    with hosts.join() as worker:
        assert worker.run()
    hosts.set("toy", "size", 5)
    assert hosts.join(host="b").run()


class ToyCheck(EveryRunTask):
    """A task that each host does for itself."""

    stage, record = "toychecks", "check.json"

    def name(self):
        return "check"


def test_what_each_run_does_anew_each_host_does(hosts):
    known = []
    for name in ("a", "b"):
        Register.clear_instance_cache()
        known.append(hosts.join(ToyCheck(), host=name)._scheduler.ids.register(ToyCheck()))
    assert known[0] != known[1]


def test_luigids_ids_differ_with_settings(hosts):
    ids = []
    for size in (4, 5):
        hosts.set("toy", "size", size)
        hosts.luigid.restart()
        hosts.join()
        ids.append(set(hosts.luigid.scheduler._state._tasks))
    assert not ids[0] & ids[1]


def test_a_host_whose_store_vanished_leaves(hosts):
    worker = hosts.join()
    hosts.do_next(worker)
    hosts.luigid.restart()
    (hosts.store / FILE).unlink()
    assert not worker.run()
    assert worker.exit_code == 30
    assert "its store is no longer there" in hosts.said[-1]


def test_the_first_host_names_the_store_for_all(tmp_path):
    assert read_identity(tmp_path) is None
    first = ensure_identity(tmp_path)
    assert ensure_identity(tmp_path) == first == read_identity(tmp_path)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(OSError, match="cannot be read"):
        ensure_identity(tmp_path)


def test_a_host_on_which_everything_fails_leaves_before_it_ends_the_run_for_all(hosts):
    worker = hosts.join(toy_dag.ToySet(fault="user"))
    assert not worker.run()
    assert worker.exit_code == 30
    assert hosts.said[-1].startswith("This host leaves: its last 3 tasks failed.")
    worker._note_end("another that still ran", "FAILED")
    assert len(hosts.said) == 1
    statuses = {task.family: task.status for task in hosts.luigid.scheduler._state.get_active_tasks()}
    assert statuses["ToyPlan"] != "DISABLED"


def test_a_host_that_lacks_the_inputs_says_so_before_it_takes_part(hosts):
    with pytest.raises(Unplannable, match="The box has one toy, but two are needed"):
        hosts.join(toy_dag.ToyPair(fault="requires"))


@pytest.mark.parametrize("times", [2, 10**9])
def test_a_store_that_cannot_be_read_is_looked_at_again_before_the_host_leaves(hosts, monkeypatch, times):
    worker, is_done, failing = hosts.join(), toy_dag.ToyPlan.is_done, iter(range(times))
    hosts.luigid.restart()

    def is_done_at_last(plan):
        if next(failing, None) is not None:
            raise OSError(errno.ESTALE, "Stale file handle")
        return is_done(plan)

    monkeypatch.setattr(toy_dag.ToyPlan, "is_done", is_done_at_last)
    assert worker.run() == (times == 2)
    if times > 2:
        assert (worker.exit_code, len(hosts.said)) == (35, 1)
        assert "it cannot find out what is to be done" in hosts.said[0]


def test_a_task_that_failed_too_often_ends_all_hosts_by_name_and_the_next_run_tries_again(hosts):
    hosts.set("cluster", "max_failures", 9)
    root = toy_dag.ToySet(fault="user")
    worker, other = hosts.join(root), hosts.join(root, host="b")
    for one in (worker, other):
        assert not one.run()
        assert one.exit_code == 30
        assert "ToyPlan(" in hosts.said[-1] and "The box has a tool, but no toy" in hosts.said[-1]
    later = hosts.join(root, host="c")
    assert not later.run()
    assert later._failures == 5


def test_trainings_are_left_to_hosts_with_a_gpu(hosts):
    hosts.set("cluster", "train", "no")
    without = hosts.join(ToyTraining())
    assert without._get_work().task_id is None
    assert "ToyTraining is left to hosts that have a GPU" in hosts.said[0]
    hosts.set("cluster", "train", "yes")
    hosts.join(ToyTraining(), host="b").run()
    assert without.run()


def test_a_run_in_which_no_host_has_work_says_so(hosts):
    hosts.set("cluster", "train", "no")
    worker = hosts.join(ToyTraining())
    times = itertools.count(int(worker.clock()) + 100, 5)
    worker.clock = lambda: next(times)
    for _ in range(9):
        worker._look_again(GetWorkResponse(None, [], 1, 0, 0, "active"))
    (line,) = [line for line in hosts.said if line.startswith("No host has work")]
    assert "1 tasks wait for another try" in line


def test_a_host_whose_view_of_the_store_is_old_looks_again_before_it_works(hosts, monkeypatch):
    """NFS answers from memory that a file is not there, until its folder is opened."""
    absent, exists, listdir = set(), RecordTarget.exists, os.listdir

    def exists_by_memory(target):
        if target.record in absent or not exists(target):
            absent.add(target.record)
        return target.record not in absent

    def listdir_anew(folder):
        absent.difference_update([path for path in absent if path.parent == Path(folder)])
        return listdir(folder)

    first, second = hosts.join(), hosts.join(host="b")
    with monkeypatch.context() as patched:
        patched.setattr(RecordTarget, "exists", exists_by_memory)
        second.add(second.root)
    assert [hosts.do_next(first) for _ in range(4)] == ["ToyPlan", "ToySet", "ToyPart", "ToyPart"]
    monkeypatch.setattr(RecordTarget, "exists", exists_by_memory)
    monkeypatch.setattr("data.mounts.os.listdir", listdir_anew)
    assert second.run()
    assert second._failures == 0


def test_the_whole_machine_is_counted_by_each_host(hosts, tmp_path):
    """luigid would count it for all hosts together."""
    hosts.set("cluster", "train", "yes")
    worker = hosts.join(ToyTraining())
    (task,) = hosts.luigid.scheduler._state.get_active_tasks()
    assert task.resources == {}
    with machine_lock.machine_for(ToyTraining()), pytest.raises(BlockingIOError):
        _lock_at_once(progress_board.runs_directory() / "machine.lock")
    _lock_at_once(progress_board.runs_directory() / "machine.lock")
    assert worker.run()


def _lock_at_once(path):
    import fcntl

    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_all_hosts_progress_is_on_luigids_page_and_in_the_bar(hosts, capfd):
    toy_dag.ToyPlan().run()
    worker = hosts.join()
    hosts.do_next(worker)
    response = worker._get_work()
    part = worker._scheduled_tasks[response.task_id]
    worker._running_tasks[part.task_id] = None
    board = run_board()
    with board.locked() as sheet:
        sheet.states[part.task_id] = State("ToyPart", "Sample", "items", 0, done=3, total=4, pid=os.getpid())
    times = itertools.count(0, 100)
    progress = HostProgress(worker, worker._scheduler, board, lambda: next(times))
    progress.tick()
    known = next(
        task for task in hosts.luigid.scheduler._state.get_active_tasks() if task.status == "RUNNING"
    )
    assert (known.status_message, known.progress_percentage) == ("a: 3 of 4 items", 75)
    with board.locked() as sheet:
        bar = sheet.states["ToySet/Sample, all hosts/parts"]
        assert (bar.done, bar.total, bar.note) == (1, 3, "1 host")
    for number in (0, 1, 2):
        toy_dag.ToyPart(parts=3, part=number).run()
    progress.tick()
    progress.tick()
    assert "ToySet Sample, all hosts: 3 parts in" in capfd.readouterr().err
    with board.locked() as sheet:
        assert not [key for key in sheet.states if "all hosts" in key]


def test_a_luigid_that_forgot_this_host_is_noticed(hosts):
    worker = hosts.join()
    hosts.luigid.restart()
    HostProgress(worker, worker._scheduler, run_board()).tick()
    assert worker._scheduler.returns == 1


def test_hosts_with_one_tmpdir_keep_their_sheets_apart(hosts, monkeypatch):
    mine = progress_board.run_directory()
    mine.mkdir(parents=True)
    stale = mine.with_name("999999999-1")
    stale.mkdir()
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    progress_board.remove_stale_runs()
    assert mine.exists() and stale.exists()
    monkeypatch.undo()


def test_what_is_no_luigid_is_named(hosts):
    class WebServer(LuigidHere):
        def fetch(self, url, body, timeout):
            return "<html>"

    hosts.luigid = WebServer()
    with pytest.raises(SchedulerLost, match="http://luigid:8082 is not a luigid: its answer is not JSON"):
        hosts.join()


@pytest.mark.parametrize("fetcher", [URLLibFetcher, RequestsFetcher])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "connection refused"),
        (b"", "connection closed"),
        (b"HTTP/1.0 500 Fault\r\n\r\n", "it answers 500"),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "is not a luigid: it answers 404"),
    ],
    ids=["refused", "closed", "500", "404"],
)
def test_every_way_in_which_luigid_does_not_answer_is_in_words(hosts, monkeypatch, fetcher, answer, words):
    clock = itertools.count(0, 2000)
    monkeypatch.setattr("tasks.runtime.cluster.scheduler_client._clock", lambda: next(clock))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve_all():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.recv(65536)
                    connection.sendall(answer)
                    connection.close()

        if answer is None:
            server.close()
        else:
            threading.Thread(target=serve_all, daemon=True).start()
        client = ClusterFactory(toy_dag.ToySet()).create_remote_scheduler(f"http://127.0.0.1:{port}")
        client._fetcher, client.sleep, client.say = fetcher(), lambda seconds: None, hosts.said.append
        with pytest.raises(SchedulerLost) as lost:
            client.worker_list()
        server.close()
    assert words in " ".join([*hosts.said, str(lost.value)])


def test_luigids_configuration_has_known_keys_alone():
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[4] / "luigid.cfg")
    assert config.sections() == ["scheduler"]
    known = dict(luigi.scheduler.scheduler.get_params())
    for key, value in config["scheduler"].items():
        known[key].parse(value)


def test_two_engines_are_refused(hosts):
    hosts.set("cluster", "engine", "ray")
    with pytest.raises(UserError, match="A luigid is named, and \\[cluster\\] engine is ray"):
        cluster_config.choose_scheduler({"core_scheduler_host": "node1"})


def test_naming_a_scheduler_is_all_that_a_host_does(program):
    server = serve(LuigidHere())
    named = ["--scheduler-host", "127.0.0.1", "--scheduler-port", str(server.server_port)]
    try:
        done = program.luigi("ToySet", *named, "--workers", "2")
    finally:
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert "The set is in " in done.stdout
    assert "This host made 3 of 3 parts." in done.stderr
    assert "ToyPart Sample, this host: 12 items in " in done.stderr
