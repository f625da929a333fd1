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
    The remaining steps use patch_px. Empty: patch_px throughout. The micro-batch size is the same in every stage."""
    micro_batch_size: int = 32
    """Pairs in one forward pass of one device."""
    patches_per_image: int = 1
    """Patches cut from each decoded crop; divides micro_batch_size. More patches save decoding time when they are
    small."""
    gradient_accumulation_steps: int = 1
    """Micro-batches per optimizer step, over all devices."""
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
    """constant, or cosine (to zero at the last step)."""
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
    """fp32, bf16 or fp16."""
    compile: bool = False
    """Compile the network and the loss together. If that fails, the run warns and continues without compiling."""
    ema_decay: float = 0.0
    """Decay of the exponential moving average (EMA) of the weights; 0: no EMA."""
    flip_probability: float = 0.4
    rotate_probability: float = 0.5
    brightness_probability: float = 0.2
    brightness_min: float = 0.5
    brightness_max: float = 1.2
    degradation: str = "bicubic"
    """How LR images are made: bicubic, then any of blur, noise, jpeg, codec, h264, hevc and av1, each as
    name:min-max@probability; see sr.training.degradation_parser."""
    loader: str = "dali"
    """Which library reads the shards: dali or torch. They shuffle differently, so the choice affects the result."""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a training is carried out. No option changes the result."""

    world_size: int = 0
    """Number of processes. 0: one per GPU, as many as divide the micro-batches evenly; one on a CPU."""
    hostfile: str = ""
    """DeepSpeed's list of hosts and their devices, for several hosts. It then sets the number of processes."""
    num_workers: int = 0
    """CPU threads of each rank's data loader; 0: chosen for the machine."""
    save_every_s: float = 600.0
    """Seconds between checkpoints within an epoch; 0: one after each step."""
    save_every_steps: int = 0
    """Steps between checkpoints, in addition to the clock; 0: none."""
    save_total_limit: int = 2
    """Number of latest checkpoints to keep, besides the one of the best epoch."""
    lpips_weights: str = ""
    """Directory with the weights of LPIPS, if the loss has an lpips term."""
