"""The DAG of the project: every task, from raw material to a trained model, its report and files to deploy.

    Download ──► IndexSource ──► PlanCrops ──► PackShard × N ──► MakeCrops ──┐
    RipDisc ───► IndexSource                                                 │  one chain per dataset
    (archive · folder · nested tar · video · disc · embedded sample)          │
                                                                             ▼
                   IndexSource of the benchmarks (Set5, Set14 …) ──► SelectSamples ──► ReviewSelection: selection.html
                                                                             ▼
                                                                        TrainModel       DeepSpeed; TensorBoard; resumes
                                                                             ▼
                         EvaluateBaselines ──► EvaluateModel ◄── ExportCheckpoint ──► ExportOnnx ──► ExportOpenVINO (fp32 · fp16 · int8)
                                                     │                                                   │
                                                     ├──────────────► FullPipeline: report.html ◄── EvaluateModel (the IR, same code)
                                                     └──────────────► CompareModels: several models on several benchmarks

    Images of a list of URLs: Download ──► FetchUrls ──► IndexSource; of videos: Download ──► UnpackVideos ──► IndexSource
    Parts of benchmark images: MakeCrops ──► DescribeShard × N ──► DescribeCrops ──► MatchParts ──► SelectSamples
    The same by a network: MakeCrops ──► EmbedShard × N ──► EmbedCrops ──► MatchParts; IndexSource ──► EmbedBenchmark ──► MatchParts
    Duplicates by parts: DescribeCrops ──► FindDuplicates ──► SelectSamples
    Scores by networks: MakeCrops ──► ScoreShard × N ──► ScoreCrops ──► SelectSamples

    SelectSamples ──► SearchArchitecture: small networks, trained briefly, by PSNR and speed in int8

    Codec gain: clip ──► EncodePoint × N ──► MeasurePoint × N ──► MeasureCodecGain: codec-gain.html
    With an enhancement layer: EncodePoint ──► EncodeLayer × N ──► MeasurePoint

    Beside it: VerifyDataset, ExportFolder on a dataset; ExportNcnn, ExportShader, BenchmarkModel, UpscaleImages, UpscaleVideo on a model;
    PublishDataset and FetchDataset on a dataset, selection, model or export and a URL.

The same as a list, from each task to the tasks that require it. SelectSamples gives ExportOpenVINO the crops that
calibrate int8. Download also gives EvaluateModel, MeasurePoint, TrainModel and SearchArchitecture the weights of LPIPS where it is a metric or
a loss.

    Download → FetchUrls, UnpackVideos, IndexSource, TrainModel, SearchArchitecture, EvaluateBaselines, EvaluateModel, MeasurePoint, VerifyDataset
    FetchUrls → IndexSource
    UnpackVideos → IndexSource
    RipDisc → IndexSource
    IndexSource → PlanCrops, MatchParts, EmbedBenchmark, SelectSamples, ReviewSelection, EvaluateBaselines, EvaluateModel
    PlanCrops → PackShard, MakeCrops, VerifyDataset
    PackShard → MakeCrops
    MakeCrops → DescribeShard, DescribeCrops, MatchParts, FindDuplicates, EmbedShard, EmbedCrops, ScoreShard, ScoreCrops, SelectSamples, ReviewSelection, FullPipeline, VerifyDataset, ExportFolder, PublishDataset
    DescribeShard → DescribeCrops
    DescribeCrops → MatchParts, FindDuplicates
    FindDuplicates → SelectSamples, ReviewSelection
    MatchParts → SelectSamples, ReviewSelection
    EmbedShard → EmbedCrops
    EmbedCrops → MatchParts
    EmbedBenchmark → MatchParts
    ScoreShard → ScoreCrops
    ScoreCrops → SelectSamples, ReviewSelection
    SelectSamples → ReviewSelection, TrainModel, SearchArchitecture, ExportOpenVINO, FullPipeline
    ReviewSelection → FullPipeline
    TrainModel → ExportCheckpoint, FullPipeline
    ExportCheckpoint → ExportOnnx, ExportNcnn, ExportShader, EvaluateModel, BenchmarkModel, FullPipeline
    ExportOnnx → ExportOpenVINO, EvaluateModel, FullPipeline
    ExportOpenVINO → EvaluateModel, FullPipeline, UpscaleImages, UpscaleVideo, BenchmarkModel, EncodeLayer, MeasurePoint
    EvaluateBaselines → EvaluateModel
    EvaluateModel → FullPipeline, CompareModels
    EncodePoint → EncodeLayer, MeasurePoint
    EncodeLayer → MeasurePoint
    MeasurePoint → MeasureCodecGain

MakeCrops yields its PackShard tasks once the plan has fixed their number; EvaluateModel yields EvaluateBaselines once
the model's scale is known, and all models evaluated on the same terms share it. VerifyDataset reads what MakeCrops has made and
never makes it, as verifying must not start a download; only with --rebuild it requires the plan and the download.
With [selection] url, FetchDataset takes the place of SelectSamples in TrainModel, SearchArchitecture and ExportOpenVINO.

Each task has parameters, requires(), one output, and a make() that calls one function of `pipeline` or `sr`. This is the
only folder that imports luigi. Heavy libraries are imported inside make(), in the process that needs them, so that
listing and scheduling stay instant.
"""  # noqa: E501

from tasks.runtime.config_syntax import explain_syntax

try:
    import luigi  # noqa: F401  # reads the configuration files; `luigi` itself has read them before this package
except Exception as error:
    if (line := explain_syntax(error)) is None:
        raise
    raise SystemExit(line) from error

from tasks.codec_gain import MeasureCodecGain
from tasks.codec_gain_points import EncodeLayer, EncodePoint, MeasurePoint
from tasks.compare import CompareModels
from tasks.crops import MakeCrops, PackShard, PlanCrops
from tasks.download import Download
from tasks.duplicates import FindDuplicates
from tasks.embeddings import EmbedBenchmark, EmbedCrops, EmbedShard
from tasks.evaluate import EvaluateBaselines, EvaluateModel
from tasks.export import ExportCheckpoint, ExportOnnx, ExportOpenVINO
from tasks.export_folder import ExportFolder
from tasks.export_ncnn import ExportNcnn
from tasks.export_shader import ExportShader
from tasks.fetch_urls import FetchUrls
from tasks.full_pipeline import FullPipeline
from tasks.index import IndexSource
from tasks.parts import DescribeCrops, DescribeShard, MatchParts
from tasks.publish import FetchDataset, PublishDataset
from tasks.review_selection import ReviewSelection
from tasks.rip_disc import RipDisc
from tasks.runtime import hooks
from tasks.scores import ScoreCrops, ScoreShard
from tasks.search import SearchArchitecture
from tasks.select import SelectSamples
from tasks.speed import BenchmarkModel
from tasks.train import TrainModel
from tasks.unpack_videos import UnpackVideos
from tasks.upscale_images import UpscaleImages
from tasks.upscale_video import UpscaleVideo
from tasks.verify import VerifyDataset

__all__ = [
    "BenchmarkModel",
    "CompareModels",
    "DescribeCrops",
    "DescribeShard",
    "Download",
    "EmbedBenchmark",
    "EmbedCrops",
    "EmbedShard",
    "EncodeLayer",
    "EncodePoint",
    "EvaluateBaselines",
    "EvaluateModel",
    "ExportCheckpoint",
    "ExportFolder",
    "ExportNcnn",
    "ExportOnnx",
    "ExportOpenVINO",
    "ExportShader",
    "FetchDataset",
    "FetchUrls",
    "FindDuplicates",
    "FullPipeline",
    "IndexSource",
    "MakeCrops",
    "MatchParts",
    "MeasureCodecGain",
    "MeasurePoint",
    "PackShard",
    "PlanCrops",
    "PublishDataset",
    "ReviewSelection",
    "RipDisc",
    "ScoreCrops",
    "ScoreShard",
    "SearchArchitecture",
    "SelectSamples",
    "TrainModel",
    "UnpackVideos",
    "UpscaleImages",
    "UpscaleVideo",
    "VerifyDataset",
]

hooks.install()
