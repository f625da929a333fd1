"""Find the task that makes what a model is run as: an IR."""

from sr.export.settings import KEPT_PRECISION
from sr.models.box import BOX_MODELS
from tasks.config import export
from tasks.export import ExportOpenVINO
from tasks.model_choice import TRAINED, has_luma_graph, is_weights


def make_ir_of(model: str, precision: str = "", for_video: bool = False) -> dict[str, ExportOpenVINO]:
    """Return the task that makes the IR to upscale with, of the trained model or of weights, under the key "model".

    Args:
        model: as `--model` gives it. For a filter or a graph file there is nothing to make, and the result is empty;
            for a model in the box, too, unless its precision is to be another than that of the user's cache.
        precision: of the weights; empty: that of [export].
        for_video: whether to make the IR of luma, where the model has one.
    """
    resolved = precision or export().precision
    if model in BOX_MODELS and resolved == KEPT_PRECISION:
        return {}
    if model == TRAINED or is_weights(model):
        planes = "luma" if for_video and has_luma_graph(model) else "rgb"
        return {"model": ExportOpenVINO(model=model, precision=precision, planes=planes)}
    return {}
