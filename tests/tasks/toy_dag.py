"""A small DAG of StoreTasks, for the tests of tasks/runtime."""

import os
import signal
from pathlib import Path

import luigi

from data.atomic_files import write_json
from data.errors import UserError
from sr.distributed.supervised import run_supervised
from tasks.runtime import hooks
from tasks.runtime.parameters import IntParameter
from tasks.runtime.progress import stage
from tasks.runtime.store import store
from tasks.runtime.store_task import StoreTask

hooks.install()


class toy(luigi.Config):
    """A section of luigi.cfg."""

    size = IntParameter(default=4, at_least=1, description="items in a part")


class ToyPlan(StoreTask):
    """A number of parts."""

    stage, record = "toyplans", "plan.json"
    parts = luigi.IntParameter(default=3, description="number of parts")
    fault = luigi.Parameter(default="", description="where to fail", significant=False)

    def name(self):
        if self.fault == "complete":
            raise UserError("The shop has no toy", "Buy one elsewhere")
        if self.fault == "complete-bug":
            raise ZeroDivisionError("a bug in complete()")
        return "Sample"

    def parameters(self):
        return {"parts": self.parts, "size": toy().size}

    def make(self):
        if self.fault == "user":
            raise UserError("The box has a tool, but no toy", "Look in another box")
        if self.fault == "bug":
            raise ZeroDivisionError("a bug in run()")
        if self.fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "moved":
            Path(store().root).rename("away")
        if self.fault != "no record":
            with stage(self, "parts") as progress:
                progress(self.parts, self.parts)
            write_json(self.directory() / self.record, {"parts": self.parts})


class ToyPart(StoreTask):
    """One part, in the directory of ToySet."""

    stage = "toysets"
    parts = luigi.IntParameter()
    part = luigi.IntParameter()

    def record_path(self):
        return self.directory() / f"manifest/part-{self.part}.json"

    def name(self):
        return "Sample"

    def home(self):
        return ToySet(parts=self.parts)

    def requires(self):
        return {"plan": ToyPlan(parts=self.parts)}

    def make(self):
        size = toy().size
        with stage(self, "items", group_total=self.parts * size) as progress:
            for done in range(size + 1):
                progress(done, size)
        write_json(self.record_path(), {"part": self.part})


class ToySet(StoreTask):
    """All parts."""

    stage, record = "toysets", "dataset.json"
    parts = luigi.IntParameter(default=3)
    fault = luigi.Parameter(default="", significant=False)

    def name(self):
        return "Sample"

    def requires(self):
        return {"plan": self.clone(ToyPlan)}

    def dynamic_requires(self):
        plan = self.requires()["plan"]
        if not plan.is_done():
            return []
        return [ToyPart(parts=self.parts, part=part) for part in range(plan.load_record()["parts"])]

    def make(self):
        yield self.dynamic_requires()
        print("a line that a task prints")
        write_json(self.record_path(), {"parts": self.parts})

    def counts(self):
        return f"{self.parts} parts"

    def summary(self):
        return f"The set is in {self.directory()}.\nIt has {self.parts} parts."


class ToyPair(StoreTask):
    """Two plans that fail for the same reason, and a set."""

    stage, record = "toypairs", "pair.json"
    fault = luigi.Parameter(default="", significant=False)

    def name(self):
        return "pair"

    def requires(self):
        if self.fault == "requires":
            raise UserError("The box has one toy, but two are needed", "Add another")
        return [ToyPlan(parts=1, fault=self.fault), ToyPlan(parts=2, fault=self.fault), ToySet(parts=2)]

    def make(self):
        write_json(self.record_path(), {})


class ToyBlock(StoreTask):
    """Writes its process id to a FIFO that it keeps open, and never ends."""

    stage, record = "toyblocks", "never.json"
    fifo = luigi.Parameter()
    number = luigi.IntParameter(default=0)

    def name(self):
        return "block"

    def parameters(self):
        return {"number": self.number}

    def make(self):
        with open(self.fifo, "wb", buffering=0) as fifo, stage(self, "things"):
            fifo.write(b"%d\n" % os.getpid())
            while True:
                signal.pause()


class ToyBlocks(luigi.WrapperTask):
    """Three ToyBlocks."""

    fifo = luigi.Parameter()

    def requires(self):
        return [ToyBlock(fifo=self.fifo, number=number) for number in range(3)]


class ToyTraining(StoreTask):
    """Starts a program as TrainModel does; it writes its process id to a FIFO, and saves when it is asked to end."""

    stage, record = "toytrainings", "never.json"
    fifo = luigi.Parameter()
    number = luigi.IntParameter(default=0)

    def name(self):
        return "training"

    def parameters(self):
        return {"number": self.number}

    def make(self):
        directory = self.directory().resolve()
        (directory / "run").mkdir()
        program = f'trap "echo saved; exit 0" TERM; exec > {self.fifo}; echo $$; while :; do sleep 0.05; done'
        asked = run_supervised(["sh", "-c", program], dict(os.environ), directory, lambda: False)[1]
        if asked is not None:
            raise asked


class ToyTrainings(ToyBlocks):
    """Three ToyTrainings."""

    def requires(self):
        return [ToyTraining(fifo=self.fifo, number=number) for number in range(3)]


class ToyOutside(luigi.ExternalTask):
    """Something that does not exist."""

    def output(self):
        return luigi.LocalTarget("nowhere")


class ToyNeedsOutside(StoreTask):
    """Requires ToyOutside."""

    stage, record = "toyneeds", "never.json"

    def name(self):
        return "need"

    def requires(self):
        return ToyOutside()
