"""Counts what a step asks of a device: nothing in it may wait for results, or copy to the device by itself.

A GPU runs behind the program. Whatever needs a value of a tensor on the host (`item`, `tolist`, a comparison in an
`if`) waits until the GPU has caught up, and so does a copy from memory that is not pinned. Here the tensors are on the
CPU, and every such call is counted, in torch's Python functions and in its operations.
"""

import collections
import dataclasses

import pytest
import torch
from selections import SELECTION_HASH, write_selection
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from data.selection import open_split
from sr.distributed.ranks import Rank
from sr.models.presets import describe
from sr.models.registry import build_for_training
from sr.pairs.batches import PairMaker, TrainingBatches
from sr.pairs.crop_cache import open_cache
from sr.pairs.crop_reader import CropReader
from sr.training import engine
from sr.training.engine import TrainingEngine
from sr.training.job import TrainingJob

pytestmark = pytest.mark.usefixtures("one_rank")
ALONE = Rank(0, 1, torch.device("cpu"))
JOB = TrainingJob(
    "realtime-x2",
    "",
    SELECTION_HASH,
    patch_px=16,
    batch_size=4,
    precision="fp32",
    ema_decay=0.9,
    loss="l1:1+frequency:0.1",
)
WAITING_CALLS = {
    "item",
    "tolist",
    "cpu",
    "numpy",
    "cuda",
    "nonzero",
    "__bool__",
    "__float__",
    "__int__",
    "__array__",
}
COPYING_CALLS = {"tensor", "as_tensor", "pin_memory"}
WAITING_OPERATIONS = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2"}


class CallCounter(TorchFunctionMode):
    """Counts calls of torch's Python functions that wait for a device or copy to it."""

    def __init__(self):
        super().__init__()
        self.counted = collections.Counter()

    def __torch_function__(self, function, types, arguments=(), options=None):
        name = getattr(function, "__name__", "")
        if name in WAITING_CALLS | COPYING_CALLS:
            self.counted[name] += 1
        return function(*arguments, **(options or {}))


class OperationCounter(TorchDispatchMode):
    """Counts operations that wait for a device, below autograd; and new tensors that are not results of others."""

    def __init__(self):
        super().__init__()
        self.counted, self.bytes_made = collections.Counter(), 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function.__name__.split(".")[0]
        masks = name == "index" and any(one is not None and one.dtype == torch.bool for one in arguments[1])
        if masks or name in WAITING_OPERATIONS:
            self.counted[name] += 1
        result = function(*arguments, **(options or {}))
        if name in ("empty", "zeros", "full", "arange"):
            self.bytes_made += result.nbytes
        return result


def count(act):
    """Return what `act` counts, and the bytes of the tensors that it makes from nothing."""
    with CallCounter() as calls, OperationCounter() as operations:
        act()
    return dict(calls.counted | operations.counted), operations.bytes_made


@pytest.fixture
def batches(tmp_path):
    split = open_split(write_selection(tmp_path, (6,), (1,), 64), "train")
    cache = open_cache(CropReader(split, "opencv", 1), "memory", tmp_path, ALONE)
    return TrainingBatches(cache, JOB, PairMaker(JOB, 2, ALONE.device, 1), slice(None), 0)


def test_the_counters_see_what_waits():
    value = torch.ones(3)
    for act, name in (
        (lambda: value.sum().item(), "item"),
        (lambda: float(value.sum()), "__float__"),
        (lambda: bool(value.sum() > 1), "__bool__"),
        (lambda: value.tolist(), "tolist"),
        (lambda: value.numpy(), "numpy"),
        (lambda: torch.tensor([1.0]), "tensor"),
        (lambda: value[value > 0], "index"),
        (lambda: torch.equal(value, value), "equal"),
    ):
        assert count(act)[0].get(name), name


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("micro_batch_size", [0, 2])
def test_a_step_waits_for_nothing_and_copies_nothing(batches, precision, micro_batch_size):
    job = dataclasses.replace(JOB, precision=precision)
    network = build_for_training(describe(job.preset))
    trained = TrainingEngine(network, job, ALONE, micro_batch_size)
    trained.step(batches.get(0), 0, 1e-3)  # makes the optimizer's moments
    batch = batches.get(1)
    waits, _ = count(lambda: trained.step(batch, 1, 1e-3))
    assert waits == {}


def test_clipping_by_deepspeed_would_wait(batches, monkeypatch):
    config = engine.deepspeed_config
    monkeypatch.setattr(
        engine, "deepspeed_config", lambda *arguments: config(*arguments) | {"gradient_clipping": 5.0}
    )
    slow = TrainingEngine(build_for_training(describe(JOB.preset)), JOB, ALONE)
    assert count(lambda: slow.step(batches.get(0), 0, 1e-3))[0] != {}


def test_making_a_batch_takes_no_memory_on_the_host_but_the_batch(batches):
    batches.make(0)  # decodes the crops, and makes the tables of orientations
    crops = batches.cache._pixels
    waits, bytes_made = count(lambda: batches.make(1))
    side_px = JOB.patch_px + 2 * 4
    assert bytes_made == JOB.batch_size * side_px**2 * 3
    assert waits == {"numpy": 1}, "the patches that are filled"
    assert batches.cache._pixels is crops
