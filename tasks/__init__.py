"""The DAG and nothing else: every task has parameters, requires(), one output and a make() of a few lines.

    Download ──► IndexSource ──► PlanCrops ──► PackShard × N ──► MakeCrops ──┐
    RipDisc ───► IndexSource                                                 │  one chain per dataset
    (archive · folder · film · disc · embedded sample)                       │
                                                                             ▼
                   IndexSource of the benchmarks (Set5, Photos …) ──► SelectSamples      near-duplicates, leakage, quality, caps
                                                                             ▼
                                                                        TrainModel       DeepSpeed; TensorBoard; resumes
                                                                             ▼
                                              EvaluateModel ◄── ExportCheckpoint ──► ExportOnnx ──► ExportOpenVINO (fp32 · fp16 · int8)
                                                     │                                                   │
                                                     └──────────────► FullPipeline: report.html ◄── EvaluateModel (the IR, same code)

In words, from what is made to what is made of it (SelectSamples gives ExportOpenVINO the crops that calibrate int8):

    Download → IndexSource
    RipDisc → IndexSource
    IndexSource → PlanCrops, SelectSamples, EvaluateModel
    PlanCrops → PackShard, MakeCrops
    PackShard → MakeCrops
    MakeCrops → SelectSamples, FullPipeline
    SelectSamples → TrainModel, ExportOpenVINO, FullPipeline
    TrainModel → ExportCheckpoint, FullPipeline
    ExportCheckpoint → ExportOnnx, EvaluateModel, FullPipeline
    ExportOnnx → ExportOpenVINO, EvaluateModel, FullPipeline
    ExportOpenVINO → EvaluateModel, FullPipeline
    EvaluateModel → FullPipeline

PackShard tasks are found out when the plan is there: MakeCrops yields them. This is the only folder that imports
luigi; heavy libraries are imported inside make(), in the process that needs them, so that listing and scheduling
stay instant.
"""  # noqa: E501

from tasks import closing
from tasks.deliver import EvaluateModel, ExportOnnx, ExportOpenVINO, FullPipeline
from tasks.disc import RipDisc
from tasks.learn import ExportCheckpoint, SelectSamples, TrainModel
from tasks.prepare import Download, IndexSource, MakeCrops, PackShard, PlanCrops

__all__ = [
    "Download",
    "EvaluateModel",
    "ExportCheckpoint",
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
]

closing.install()
