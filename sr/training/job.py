"""The two records that describe a training: the job decides the result, the run options only how it is computed.

Each setting is declared here, or in `sr.pairs.settings`, and nowhere else: [training] of luigi.cfg is made of these
fields. Importing this loads neither torch nor DeepSpeed.
"""

import dataclasses

from data.setting import setting
from sr.distributed.team import LAUNCHERS
from sr.pairs.settings import AUTO, CACHE_PLACES, DECODERS, PairSettings

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
"""What convolutions may be computed in."""
SCHEDULES = ("constant", "cosine", "multistep")
"""How the learning rate goes on after the warm-up; see `sr.training.schedule`."""
MONITOR_METRICS = ("psnr", "loss")
"""The validation metrics that can select the best weights and end a run by patience."""


@dataclasses.dataclass(frozen=True)
class TrainingJob(PairSettings):
    """Everything that decides the result of a training. The defaults are the reference recipe for one device."""

    preset: str
    """A name in sr.models.presets.PRESETS."""
    selection: str
    """Path of selection.json, relative to the run directory."""
    selection_hash: str
    """The spec hash of that selection."""
    color_space: str = ""
    """Color space that the network works in, a name in sr.models.presets.COLOR_SPACE_NAMES. Empty: the preset's."""
    reparameterize: str = ""
    """Whether 3x3 kernels are trained as sums of branches (sr.models.reparameterization): on or off. Empty: the
    preset's choice."""
    initial_weights: str = ""
    """The sha256 of the file whose weights it begins with (sr.training.initial_weights). Empty: random weights."""
    loss: str = setting(
        "l1", "l1, charbonnier, mse, frequency, lpips, or a weighted sum such as l1:1+frequency:0.05"
    )
    learning_rate: float = setting(1e-3, "learning rate after warm-up", at_least=0)
    beta1: float = setting(0.9, "AdamW's decay of the mean of the gradients", at_least=0, below=1)
    beta2: float = setting(0.99, "AdamW's decay of the mean of the squared gradients", at_least=0, below=1)
    weight_decay: float = setting(0.005, "AdamW's weight decay", at_least=0)
    max_grad_norm: float = setting(5.0, "gradients are clipped to this norm; 0: no clipping", at_least=0)
    warmup_steps: int = setting(
        1000, "optimizer steps over which the learning rate rises linearly", at_least=0
    )
    schedule: str = setting(
        "constant",
        "learning rate after warm-up: constant, falling to learning_rate_min at max_steps along a cosine, or falling "
        "at milestones (multistep)",
        SCHEDULES,
    )
    learning_rate_min: float = setting(
        0.0, "the learning rate does not fall below this after warm-up", at_least=0
    )
    milestones: str = setting(
        "0.5,0.8,0.9,0.95", "for multistep: fractions of all steps after which the learning rate falls"
    )
    milestone_factor: float = setting(
        0.5, "for multistep: the learning rate is multiplied by it at each milestone", above=0, at_most=1
    )
    max_epochs: int = setting(10_000, "training ends after this many epochs", at_least=1)
    max_steps: int = setting(0, "training ends after this many optimizer steps; 0: no limit", at_least=0)
    steps_per_epoch: int = setting(
        0, "optimizer steps from one validation to the next; 0: one pass over the training split", at_least=0
    )
    max_hours: float = setting(
        0.0,
        "training ends after this many hours, summed over all resumptions; 0: no limit. With a limit, the clock "
        "decides the result",
        at_least=0,
    )
    patience_epochs: int = setting(
        200, "training ends after this many epochs without improvement", at_least=1
    )
    monitor: str = setting("psnr", "validation metric that selects the best weights", MONITOR_METRICS)
    precision: str = setting(
        "bf16",
        "precision of the convolutions during training; fp32 is without TF32, tf32 is fp32 whose products a GPU "
        "rounds to 10 bits",
        PRECISIONS,
    )
    compile: bool = setting(False, "compile network and loss with torch.compile where that works")
    ema_decay: float = setting(
        0.0,
        "decay of an exponential moving average of the weights, reached by a ramp, e.g. 0.999; 0: no average",
        at_least=0,
        below=1,
    )


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a training is carried out. No option changes the result, but for the rounding of sums in another order."""

    world_size: int = setting(
        0,
        "number of processes; 0: one for each GPU, as many as share the batch evenly, or one on a CPU",
        at_least=0,
    )
    launcher: str = setting(
        "auto",
        "what starts the processes, see docs/tutorials/several-machines.md; auto: ssh with a hostfile, otherwise this "
        "host alone",
        LAUNCHERS,
    )
    hostfile: str = setting("", "list of hosts for ssh and pdsh, a line each: node1 slots=8")
    micro_batch_size: int = setting(
        0,
        "patches that a device processes at once: so many, or the next smaller number that divides its share of the "
        "batch; 0: as many as fit",
        at_least=0,
    )
    decoder: str = setting(
        AUTO, "what decodes crops; auto: DALI where it is installed, otherwise OpenCV", DECODERS
    )
    crop_cache: str = setting(
        AUTO,
        "where decoded crops are kept; disk: in a file of the run; auto: the first of memory, disk and off with room",
        CACHE_PLACES,
    )
    num_workers: int = setting(
        0, "CPU threads of each process that read and decode crops; 0: chosen by the machine", at_least=0
    )
    save_every_s: float = setting(
        600.0, "time between two checkpoints within an epoch, seconds; 0: one after each step", at_least=0
    )
    save_every_steps: int = setting(
        0, "optimizer steps between two checkpoints, in addition to save_every_s; 0: none", at_least=0
    )
    save_total_limit: int = setting(
        2, "number of newest checkpoints to keep, besides that of the best epoch", at_least=1
    )
    lpips_weights: str = ""
    """Directory with the weights of LPIPS, if the loss has an lpips term."""
