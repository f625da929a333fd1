"""The records that cross boundaries between stages, each field with its unit and range.

Frozen dataclasses of plain values: they go to JSON and come back equal. No behavior beyond that lives here.
"""

import dataclasses
import enum
from typing import ClassVar

SCHEMA = 1
"""The version of every record on disk that has no VERSION of its own; another one is refused."""


class Reason(enum.StrEnum):
    """Why something was thrown out. Closed: each rejection in a report is one of these."""

    NOT_AN_IMAGE = "not_an_image"
    UNREADABLE = "unreadable"
    UNSUPPORTED = "unsupported"
    LINK = "link"
    UNSAFE_NAME = "unsafe_name"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    """A video that breaks off: what came before is used."""
    DUPLICATE = "duplicate"
    FADE = "fade"
    FLAT = "flat"
    BLURRED = "blurred"
    UNDEREXPOSED = "underexposed"
    OVEREXPOSED = "overexposed"
    BLOCKY = "blocky"
    NOISY = "noisy"
    BORDERED = "bordered"
    NEAR_DUPLICATE = "near_duplicate"
    LEAKAGE = "leakage"
    LOW_QUALITY = "low_quality"
    OVER_CAP = "over_cap"


BAD_SOURCE_REASONS = frozenset({Reason.UNREADABLE, Reason.UNSUPPORTED})
"""Reasons that say a source is damaged, rather than not wanted: they count against the budget of bad ones."""


@dataclasses.dataclass(frozen=True)
class Rejection:
    """One thing that was thrown out, where and why; counted, stored and shown."""

    id: str
    """The source's id, or a crop's key."""
    stage: str
    """index, plan, pack, select or upscale."""
    reason: Reason
    detail: str
    """What was found and what the limit is, for a person."""


@dataclasses.dataclass(frozen=True)
class SourceEntry:
    """One source image, as the index knows it from its header and its bytes."""

    id: str
    """Unique in its dataset; for files the path below the dataset's root, with "/"."""
    locator: str
    """What the source's class needs to find it again (a path, a member with its offset, a number)."""
    width: int
    """Pixels, after the EXIF rotation is applied."""
    height: int
    """Pixels, after the EXIF rotation is applied."""
    format: str
    """Lower case: png, jpeg, webp, tiff, bmp, procedural; of a video's frame its codec: h264, hevc …"""
    bytes: int
    """Size as stored; 0 where nothing is stored."""
    sha256: str
    """Of the stored bytes; of a video's frame, of those it is decoded from; of the recipe where nothing is stored."""
    lossy: bool
    """Whether its compression leaves artifacts that must be reduced away."""
    group: str
    """Images of one group never part over train and validation."""
    bit_depth: int
    """Bits of a channel as stored: 8, 16 …; pixels are always read as 8."""
    modified_ns: int = 0
    """When its own file was last changed, in nanoseconds since 1970; 0 where it has none. A file of the same size and
    time is not hashed again when it is read."""


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle of pixels, its top left corner included."""

    top: int
    left: int
    height: int
    width: int


@dataclasses.dataclass(frozen=True)
class PlannedCrop:
    """A crop to be made of one source: no pixels have been looked at."""

    key: str
    """Short, unique in the dataset, without dot or slash: the name in the shard."""
    downscale_factor: int
    """The reduction before cropping: 1, 2, 4 …"""
    box: Box
    """In the reduced image."""


@dataclasses.dataclass(frozen=True)
class PlannedSource:
    """A source with all the crops that are to be made of it, and where they go."""

    entry: SourceEntry
    split: str
    """train or validation."""
    shard: int
    """Number within its split, from 0."""
    crops: tuple[PlannedCrop, ...]
    """In the order in which they are written; empty where `best` says how many are to be found."""
    best: int = 0
    """Crops that are placed where the decoded image has most detail; 0: `crops` has them all."""


@dataclasses.dataclass(frozen=True)
class CropRecord:
    """One crop in a shard; a line of the manifest, and `<key>.json` beside the image (without its place)."""

    key: str
    shard: str
    """The shard's name without its extension: train-000000."""
    offset: int
    """Of the image's first byte in the tar."""
    bytes: int
    """Of the encoded image."""
    sha256: str
    """Of the encoded image."""
    source: str
    """The id of the source image."""
    source_sha256: str
    downscale_factor: int
    box: Box
    phash: str
    """64-bit perceptual hash of the crop, 16 hex digits."""
    source_phash: str
    """64-bit perceptual hash of the whole source image, 16 hex digits."""
    scores: dict[str, int]
    """Quality scores by screen, integers (pipeline.quality_metrics says their units)."""
    split: str
    group: str


@dataclasses.dataclass(frozen=True)
class ShardHeader:
    """What one shard holds and its hashes; written last, so it vouches for the three files it names."""

    schema: int
    shard: str
    split: str
    samples: int
    sources: int
    """Source images that gave at least one crop."""
    image_bytes: int
    """The encoded images together."""
    tar_bytes: int
    tar_xxh3: str
    """XXH3 (128 bits, 32 hex digits) of the tar: finds damage at the speed of the disk. The manifest has the sha256 of
    each image."""
    index_sha256: str
    manifest_sha256: str
    rejections_sha256: str


@dataclasses.dataclass(frozen=True)
class DatasetManifest:
    """dataset.json: a finished crop dataset."""

    VERSION: ClassVar[int] = 2
    """2: citation, sides, and images in totals."""

    schema: int
    name: str
    spec_hash: str
    title: str
    license: str
    crop_size_px: int
    image_extension: str
    """png or jpg; one for the whole dataset."""
    shards: tuple[ShardHeader, ...]
    """In the order of their names."""
    totals: dict[str, int]
    """images (that were found, damaged ones too), sources (those that were indexed), crops, bytes, rejected (images
    and crops)."""
    rejections: dict[str, int]
    """Count by reason, over all stages up to here."""
    citation: str
    """Empty where there is none."""
    sides: dict[str, str]
    """sha256 of each file that stands beside the shards, by its name."""


@dataclasses.dataclass(frozen=True)
class Damage:
    """One thing in a finished dataset that is not as it was written."""

    shard: str
    """The shard's name; empty for what stands beside the shards."""
    file: str
    """Path relative to the dataset's directory."""
    detail: str
    """What was found, for a person; of an image with its key."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """verification.json: what the last look through a dataset found."""

    schema: int
    run: str
    """Of the run that looked: nobody else's answer is taken for one's own."""
    level: str
    """A name in pipeline.verify.LEVELS."""
    finished_at: str
    """UTC, ISO 8601."""
    shards: int
    """Shards that were looked through."""
    crops: int
    """That they hold, as their headers say."""
    damage: tuple[Damage, ...]
    """What was found, before anything was rebuilt."""
    rebuilt: tuple[str, ...]
    """Shards that were made again."""
    left: tuple[Damage, ...]
    """What is still damaged."""


@dataclasses.dataclass(frozen=True)
class FolderManifest:
    """folder.json: a crop dataset as plain files."""

    schema: int
    spec_hash: str
    name: str
    """Of the dataset."""
    crop_size_px: int
    image_extension: str
    crops: dict[str, int]
    """By split: the images that stand in its folder and in its lists."""
    bytes: int
    """The images together."""


@dataclasses.dataclass(frozen=True)
class SelectedShard:
    """A shard as a selection sees it: the tar as it was made, and the filtered index over it."""

    tar: str
    """Path relative to the selection's directory."""
    index: str
    """Path of the DALI index, relative to the selection's directory."""
    samples: int
    """Samples that the index names; at least 1."""
    tar_bytes: int
    tar_xxh3: str
    index_sha256: str


@dataclasses.dataclass(frozen=True)
class SelectionManifest:
    """selection.json: which crops are trained on and which validate, over one or more datasets."""

    schema: int
    spec_hash: str
    crop_size_px: int
    image_extension: str
    splits: dict[str, tuple[SelectedShard, ...]]
    """By split name: train, validation."""
    totals: dict[str, int]
    """train, validation: samples; rejected."""
    rejections: dict[str, int]


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """All that a training run is told. The defaults are the forebear's recipe on one device."""

    preset: str
    """A name in sr.models.PRESETS."""
    selection: str
    """Path of selection.json, relative to the run's directory."""
    selection_hash: str
    """The spec hash of that selection."""
    color_space: str = ""
    """What the network works in, a name of sr.models.presets.COLOR_SPACE_NAMES; empty: the preset's."""
    reparameterize: str = ""
    """on or off: whether 3x3 kernels are learned as sums of branches (sr.models.reparameterization); empty: the preset's."""
    seed: int = 0
    patch_px: int = 256
    """Side of the high patch cut from each crop."""
    patch_stages: str = ""
    """Smaller patches at first: sides in pixels with their shares of all steps, as "64:0.5,128:0.3"; patch_px has the
    rest. Empty: patch_px throughout. A micro batch has as many pairs at every stage."""
    micro_batch_size: int = 32
    """Pairs a device sees at once."""
    patches_per_image: int = 1
    """Patches cut from each crop that is decoded; divides micro_batch_size. More save decoding where patches are small."""
    gradient_accumulation_steps: int = 1
    """Micro batches a step."""
    loss: str = "l1"
    """l1, charbonnier, mse, frequency, lpips, or a weighted sum of them: l1:1+frequency:0.05."""
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.005
    max_grad_norm: float = 5.0
    """Largest gradient norm; 0 turns clipping off."""
    warmup_steps: int = 1000
    schedule: str = "constant"
    """constant or cosine (to zero at max_steps)."""
    max_epochs: int = 10_000
    max_steps: int = 0
    """0: no limit but max_epochs."""
    steps_per_epoch: int = 0
    """0: one pass over the training split."""
    max_hours: float = 0.0
    """Hours of training, summed over the pieces of a run, after which it ends; 0: no limit. A clock decides then."""
    patience_epochs: int = 200
    """Epochs without a better validation before the run ends."""
    monitor: str = "psnr"
    """psnr or loss: what of the validation says which weights are the best."""
    precision: str = "bf16"
    """fp32, bf16 or fp16."""
    compile: bool = False
    """Compile network and loss together; where that fails, the run goes on without, and says so."""
    ema_decay: float = 0.0
    """0: no moving average of the weights."""
    flip_probability: float = 0.4
    rotate_probability: float = 0.5
    brightness_probability: float = 0.2
    brightness_min: float = 0.5
    brightness_max: float = 1.2
    degradation: str = "bicubic"
    """How LR images are made: bicubic, then any of blur, noise, jpeg, codec, h264, hevc and av1, each as
    name:least-most@probability, as sr.training.degradation explains."""
    loader: str = "dali"
    """Who reads the shards: dali or torch. Each shuffles in its own way, so it decides the result, too."""


@dataclasses.dataclass(frozen=True)
class TrainingConduct:
    """How a training is carried out: nothing of it has a part in the result."""

    world_size: int = 0
    """Processes; 0 for as many as there are GPUs that share the micro batches evenly, or one on the CPU."""
    hostfile: str = ""
    """DeepSpeed's list of hosts and their devices, for several hosts; it says the number of ranks then."""
    threads: int = 0
    """CPU threads of each rank's loader; 0 for what suits the machine."""
    save_every_s: float = 600.0
    """Seconds between states within an epoch; 0 for one after each step."""
    save_every_steps: int = 0
    """Steps between states; 0: only the clock and the epochs count."""
    save_total_limit: int = 2
    """The newest states that are kept, beside that of the best epoch."""
    lpips_weights: str = ""
    """The directory with the weights of LPIPS, where the loss has such a term."""


@dataclasses.dataclass(frozen=True)
class EvalProtocol:
    """How an image is judged. Two figures compare only when their protocols are equal."""

    scale: int
    channel: str
    """rgb (mean over the three), or y (BT.601, 16 to 235, not rounded)."""
    border_px: int
    """Cropped from each side before measuring."""
    degradation: str
    """How the LR image is made: a name of sr.evaluation.degradation, or "supplied" where the benchmark must bring it."""
    data_range: int = 255
    name: str = ""
    """A name of sr.evaluation.protocols where these are its terms; empty for any others."""
    use_supplied: bool = True
    """Whether LR images that a benchmark brings are taken, or made in their stead."""
    rounding: str = "output"
    """What is rounded to whole levels: output (the upscaled image, not its luma), luma (both), or classic (luma
    first of all, which is then reduced without rounding and upscaled alone)."""
    modcrop: int = 1
    """HR images are cut at the bottom and right to a multiple of this and of the scale, in pixels."""
    filters: str = "pillow"
    """Whose bicubic and Lanczos stand beside the model: pillow or matlab."""
