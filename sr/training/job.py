"""The two records that describe a training: the job decides the result, the run options only how it is computed.

Plain dataclasses; importing them loads neither torch nor DeepSpeed.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TrainingJob:
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
    seed: int = 0
    patch_px: int = 256
    """Side of the HR patch cut from each crop."""
    patch_stages: str = ""
    """Smaller patches for the first steps: sides in pixels with their shares of all steps, such as "64:0.5,128:0.3".
    The remaining steps use patch_px. Empty: patch_px throughout. The batch size is the same in every stage."""
    batch_size: int = 32
    """Pairs of one optimizer step, over all devices."""
    patches_per_image: int = 1
    """Patches cut from each crop of a step; divides batch_size. More patches save decoding if decoded crops are not
    kept."""
    loss: str = "l1"
    """l1, charbonnier, mse, frequency, lpips, or a weighted sum of them: l1:1+frequency:0.05."""
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.005
    max_grad_norm: float = 5.0
    """Gradients are clipped to this norm; 0 turns clipping off."""
    warmup_steps: int = 1000
    schedule: str = "constant"
    """constant, cosine (falls to learning_rate_min at the last step) or multistep (falls at each of milestones)."""
    learning_rate_min: float = 0.0
    """The learning rate does not fall below this, except in the warm-up."""
    milestones: str = "0.5,0.8,0.9,0.95"
    """For multistep: the shares of all steps after which the learning rate is multiplied by milestone_factor."""
    milestone_factor: float = 0.5
    max_epochs: int = 10_000
    max_steps: int = 0
    """0: only max_epochs limits the run."""
    steps_per_epoch: int = 0
    """0: one pass over the training split."""
    max_hours: float = 0.0
    """Hours of training, summed over all sessions of a run, after which the run ends; 0: no limit. With a limit, the
    clock decides the result."""
    patience_epochs: int = 200
    """Epochs without an improvement in validation after which the run ends."""
    monitor: str = "psnr"
    """psnr or loss: which validation metric selects the best weights."""
    precision: str = "bf16"
    """fp32, tf32 (fp32 whose products a GPU rounds to 10 bits), bf16 or fp16."""
    compile: bool = False
    """Compile the network and the loss together. If that fails, the run warns and continues without compiling."""
    ema_decay: float = 0.0
    """Decay of the exponential moving average (EMA) of the weights, reached by a ramp; 0: no EMA."""
    flip_probability: float = 0.4
    rotate_probability: float = 0.5
    brightness_probability: float = 0.2
    brightness_min: float = 0.5
    brightness_max: float = 1.2
    degradation: str = "bicubic"
    """How LR images are made: bicubic, then any of blur, noise, jpeg, codec, h264, hevc and av1, each as
    name:min-max@probability; see sr.degradation.parser."""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a training is carried out. No option changes the result, but for the rounding of sums in another order."""

    world_size: int = 0
    """Number of processes. 0: one per GPU, as many as divide the batch evenly; one on a CPU."""
    hostfile: str = ""
    """DeepSpeed's list of hosts and their devices, for several hosts. It then sets the number of processes."""
    micro_batch_size: int = 0
    """Pairs in one forward pass of one device: this many, or the next smaller number that divides the device's share of
    the batch. 0: as many as fit."""
    decoder: str = "auto"
    """What decodes crops: dali, opencv, or auto: DALI where it is installed."""
    crop_cache: str = "auto"
    """Where decoded crops are kept: memory, disk (a file in the run's directory), off, or auto: the first with room."""
    num_workers: int = 0
    """CPU threads of each rank that read and decode crops; 0: chosen for the machine."""
    save_every_s: float = 600.0
    """Seconds between checkpoints within an epoch; 0: one after each step."""
    save_every_steps: int = 0
    """Steps between checkpoints, in addition to the clock; 0: none."""
    save_total_limit: int = 2
    """Number of latest checkpoints to keep, besides the one of the best epoch."""
    lpips_weights: str = ""
    """Directory with the weights of LPIPS, if the loss has an lpips term."""
