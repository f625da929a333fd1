"""ONNX files score images; a metric that fails for one image costs that image its score, and no more."""

import numpy as np
import pytest
from onnx import TensorProto
from score_networks import save_network

from data.errors import UserError
from sr.scoring.metric_choice import parse_metric
from sr.scoring.score_shard import score_images
from sr.scoring.scorer import OnnxScorer


def levels(*values):
    return np.stack([np.full((8, 8, 3), value, np.uint8) for value in values])


@pytest.mark.parametrize("shape", [("n", 3, "h", "w"), (2, 3, "h", "w"), ("n", 3, 4, 6)])
def test_an_onnx_file_scores_images_of_any_number_and_size(tmp_path, shape):
    scorer = OnnxScorer(save_network(tmp_path / "mean.onnx", shape))
    assert np.allclose(scorer(levels(0, 51, 255)), [0, 0.2, 1])
    assert len(scorer.network_sha256) == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": ("n", 1, "h", "w")}, "takes x tensor.float. .'n', 1"),
        ({"element": TensorProto.DOUBLE}, "float32 images"),
        ({"axes": (2, 3)}, "gives 3 numbers for an image"),
        ({"axes": (0, 1, 2, 3)}, "output of shape .. for 2 images"),
    ],
)
def test_an_onnx_file_that_is_no_score_is_refused(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        OnnxScorer(save_network(tmp_path / "mean.onnx", **options))(levels(1, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no metric"),
        ("../x", "names no metric"),
        ("ic9600=net.pth", "must be an ONNX file"),
        ("ic9600=none.onnx", "no file none.onnx"),
    ],
)
def test_what_is_no_metric_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_metric(text)


class Moody:
    """A metric that fails for white images, and gives dark ones no number."""

    network_sha256 = ""

    def __call__(self, images):
        means = images.mean(axis=(1, 2, 3)).astype(np.float32)
        if (means > 250).any():
            raise ValueError("too white")
        return np.where(means < 5, np.inf, means)


def test_a_metric_that_fails_for_one_image_scores_the_others():
    scores, failures = score_images(Moody(), levels(100, 255, 0, 50))
    assert np.array_equal(scores, np.array([100, np.nan, np.nan, 50], np.float32), equal_nan=True)
    assert failures == {1: "ValueError: too white", 2: "it gives inf"}
