"""The DAG and nothing else: every task has parameters, requires(), one output and a make() of a few lines.

    Download ──► IndexSource ──► PlanCrops ──► PackShard × N ──► MakeCrops ──┐
    RipDisc ───► IndexSource                                                 │  one chain per dataset
    (archive · folder · video · disc · embedded sample)                       │
                                                                             ▼
                   IndexSource of the benchmarks (Set5, Photos …) ──► SelectSamples      near-duplicates, leakage, quality, caps
                                                                             ▼
                                                                        TrainModel       DeepSpeed; TensorBoard; resumes
                                                                             ▼
                                              EvaluateModel ◄── ExportCheckpoint ──► ExportOnnx ──► ExportOpenVINO (fp32 · fp16 · int8)
                                                     │                                                   │
                                                     ├──────────────► FullPipeline: report.html ◄── EvaluateModel (the IR, same code)
                                                     └──────────────► CompareModels: several models on several benchmarks

    Beside it, on a finished dataset: VerifyDataset (and to rebuild what is damaged, the plan and the download), ExportFolder.
    Beside it, on a model: UpscaleImages, UpscaleVideo, BenchmarkModel.

In words, from what is made to what is made of it (SelectSamples gives ExportOpenVINO the crops that calibrate int8;
Download gives EvaluateModel the weights of LPIPS, where that is measured, and TrainModel, where it is a loss):

    Download → IndexSource, TrainModel, EvaluateModel, VerifyDataset
    RipDisc → IndexSource
    IndexSource → PlanCrops, SelectSamples, EvaluateModel
    PlanCrops → PackShard, MakeCrops, VerifyDataset
    PackShard → MakeCrops
    MakeCrops → SelectSamples, FullPipeline, VerifyDataset, ExportFolder
    SelectSamples → TrainModel, ExportOpenVINO, FullPipeline
    TrainModel → ExportCheckpoint, FullPipeline
    ExportCheckpoint → ExportOnnx, EvaluateModel, BenchmarkModel, FullPipeline
    ExportOnnx → ExportOpenVINO, EvaluateModel, FullPipeline
    ExportOpenVINO → EvaluateModel, FullPipeline, UpscaleImages, UpscaleVideo, BenchmarkModel
    EvaluateModel → FullPipeline, CompareModels

PackShard tasks are found out when the plan is there: MakeCrops yields them. VerifyDataset looks at what MakeCrops made,
and never makes it: looking must not start a download. This is the only folder that imports
luigi; heavy libraries are imported inside make(), in the process that needs them, so that listing and scheduling
stay instant.
"""  # noqa: E501

from tasks.crops import MakeCrops, PackShard, PlanCrops
from tasks.download import Download, IndexSource
from tasks.evaluate import CompareModels, EvaluateModel
from tasks.export import ExportOnnx, ExportOpenVINO
from tasks.full_pipeline import FullPipeline
from tasks.rip_disc import RipDisc
from tasks.runtime import hooks
from tasks.speed import BenchmarkModel
from tasks.train import ExportCheckpoint, SelectSamples, TrainModel
from tasks.upscale_images import UpscaleImages
from tasks.upscale_video import UpscaleVideo
from tasks.verify import ExportFolder, VerifyDataset

__all__ = [
    "BenchmarkModel",
    "CompareModels",
    "Download",
    "EvaluateModel",
    "ExportCheckpoint",
    "ExportFolder",
    "ExportOnnx",
    "ExportOpenVINO",
    "FullPipeline",
    "IndexSource",
    "MakeCrops",
    "PackShard",
    "PlanCrops",
    "RipDisc",
    "SelectSamples",
    "TrainModel",
    "UpscaleImages",
    "UpscaleVideo",
    "VerifyDataset",
]

hooks.install()
