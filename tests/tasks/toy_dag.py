"""A small DAG on tasks.runtime.store_task, for the tests of what stands under the real one."""

import os
import signal
from pathlib import Path

import luigi

from data.atomic_files import read_json, write_json
from data.errors import UserError
from data.progress import silent
from sr.training import launch
from tasks.runtime import hooks
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask

hooks.install()


class toy(luigi.Config):
    """A shared section, as luigi.cfg has them."""

    size = luigi.IntParameter(default=4, description="items in a part")


class ToyPlan(StoreTask):
    """A number of parts."""

    stage, record = "toyplans", "plan.json"
    parts = luigi.IntParameter(default=3, description="number of parts")
    fault = luigi.Parameter(default="", description="where to fail", significant=False)

    def name(self):
        if self.fault == "complete":
            raise UserError("a toy", "none", "the shop", "buy one")
        if self.fault == "complete-bug":
            raise ZeroDivisionError("a bug in complete()")
        return "Sample"

    def parameters(self):
        return {"parts": self.parts, "size": toy().size}

    def make(self):
        if self.fault == "user":
            raise UserError("a toy", "a tool", "the box", "look in another box")
        if self.fault == "bug":
            raise ZeroDivisionError("a bug in run()")
        if self.fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault != "no record":
            with stage(self, "parts") as progress:
                progress(self.parts, self.parts)
            write_json(self.directory() / self.record, {"parts": self.parts})


class ToyPart(StoreTask):
    """One part, in the directory of ToySet."""

    parts = luigi.IntParameter()
    part = luigi.IntParameter()

    @property
    def record(self):
        return f"manifest/part-{self.part}.json"

    def name(self):
        return "Sample"

    def home(self):
        return ToySet(parts=self.parts)

    def requires(self):
        return {"plan": ToyPlan(parts=self.parts)}

    def make(self):
        size = toy().size
        with stage(self, "items", whole=self.parts * size) as progress:
            for done in range(size + 1):
                progress(done, size)
        write_json(self.output().path, {"part": self.part})


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
        plan = Path(self.requires()["plan"].output().path)
        return (
            [ToyPart(self.parts, part) for part in range(read_json(plan)["parts"])] if plan.exists() else []
        )

    def make(self):
        yield self.dynamic_requires()
        print("a line that a task prints")
        write_json(self.output().path, {"parts": self.parts})

    def counts(self):
        return f"{self.parts} parts"

    def summary(self):
        return f"The set is in {self.directory()}.\nIt has {self.parts} parts."


class ToyPair(StoreTask):
    """Two plans that fail for one reason, and a set."""

    stage, record = "toypairs", "pair.json"
    fault = luigi.Parameter(default="", significant=False)

    def name(self):
        return "pair"

    def requires(self):
        if self.fault == "requires":
            raise UserError("two toys", "one", "the box", "add another")
        return [ToyPlan(parts=1, fault=self.fault), ToyPlan(parts=2, fault=self.fault), ToySet(parts=2)]

    def make(self):
        write_json(self.output().path, {})


class ToyBlock(StoreTask):
    """Starts, says so in a FIFO that it keeps open, and never ends."""

    stage, record = "toyblocks", "never.json"
    fifo = luigi.Parameter()
    number = luigi.IntParameter(default=0)

    def name(self):
        return "block"

    def parameters(self):
        return {"number": self.number}

    def make(self):
        with open(self.fifo, "wb", buffering=0) as said, stage(self, "things"):
            said.write(b"%d\n" % os.getpid())
            while True:
                signal.pause()


class ToyBlocks(luigi.WrapperTask):
    """Three of them."""

    fifo = luigi.Parameter()

    def requires(self):
        return [ToyBlock(fifo=self.fifo, number=number) for number in range(3)]


class ToyTraining(StoreTask):
    """Starts a program as TrainModel does its own; the program says so in a FIFO, and saves when it is told to end."""

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
        asked = launch._run(["sh", "-c", program], dict(os.environ), directory, silent)[1]
        if asked is not None:
            raise asked


class ToyTrainings(ToyBlocks):
    """Three of them."""

    def requires(self):
        return [ToyTraining(fifo=self.fifo, number=number) for number in range(3)]


class ToyOutside(luigi.ExternalTask):
    """Something that is not there."""

    def output(self):
        return luigi.LocalTarget("nowhere")


class ToyNeedsOutside(StoreTask):
    """Needs it."""

    stage, record = "toyneeds", "never.json"

    def name(self):
        return "need"

    def requires(self):
        return ToyOutside()
