"""Rewritten blocks compute what the originals do, without transposes, and leave the network unchanged."""

import onnx
import pytest
import torch

from sr.export.inference_rewrites import ChannelLayerNorm, rewrite_for_inference
from sr.models.checkpoint import load_model


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_the_channel_norm_equals_the_layer_norm(offset):
    stream = torch.Generator().manual_seed(3)
    norm = torch.nn.LayerNorm(48)
    torch.nn.init.normal_(norm.weight, generator=stream)
    torch.nn.init.normal_(norm.bias, generator=stream)
    features = (
        torch.randn(2, 48, 9, 7, generator=stream) + offset
    )  # with an offset, E[x²] - E[x]² would be wrong
    expected = norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(ChannelLayerNorm(norm)(features), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("model", ["realtime", "vapsr"])
def test_rewriting_keeps_the_result_and_the_network(model, request):
    network = load_model(request.getfixturevalue(f"{model}_dir"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    lr_image = torch.randint(
        0, 256, (2, 3, 22, 38), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    with torch.inference_mode():
        expected, made = network.predict(lr_image), rewrite_for_inference(network).predict(lr_image)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_graph_has_only_the_transposes_of_the_image(vapsr_onnx):
    nodes = onnx.load(vapsr_onnx / "model.onnx").graph.node
    assert [node.name for node in nodes if node.op_type == "Transpose"] == [
        "pixels/Transpose",
        "pixels/Transpose_2",
    ]
