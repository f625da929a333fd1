"""Tidying names nodes by modules and removes traces of the machine, without changing the graph."""

import onnx

from sr.export.onnx_graph import tidy

SIZES = {"input": ["n", 3], "output": ["n", 6]}


def _model() -> onnx.ModelProto:
    def node(kind, inputs, output, scopes):
        made = onnx.helper.make_node(kind, inputs, [output], name="node_x", doc_string="made at noon")
        made.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=str(scopes))
        made.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File /home/someone/net.py")
        return made

    nodes = [
        node(
            "Add",
            ["input", "network.core.a.bias"],
            "one",
            ["", "network", "network.core", "network.core.a", "add"],
        ),
        node("Relu", ["one"], "two", ["", "network", "network.core", "relu"]),
        node("Relu", ["two"], "three", ["", "network", "network.core", "relu_1"]),
        node("Cast", ["three"], "output", ["", "cast"]),
    ]
    nodes[3].attribute.add(name="to", i=onnx.TensorProto.FLOAT, type=onnx.AttributeProto.INT)
    values = [onnx.helper.make_tensor_value_info(name, 1, ["s77", 3]) for name in ("input", "output")]
    bias = onnx.helper.make_tensor("network.core.a.bias", 1, [3], [1.0, 2.0, 3.0])
    between = [onnx.helper.make_tensor_value_info("one", 1, ["s77", 3])]
    graph = onnx.helper.make_graph(nodes, "main", values[:1], values[1:], [bias], value_info=between)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)


def test_names_come_from_modules():
    graph = tidy(_model(), {}, SIZES).graph
    assert [node.name for node in graph.node] == ["core.a/Add", "core/Relu", "core/Relu_2", "pixels/Cast"]
    assert graph.initializer[0].name == graph.node[0].input[1] == "core.a.bias"
    assert [list(node.output) for node in graph.node] == [["one"], ["two"], ["three"], ["output"]]


def test_traces_of_the_machine_are_removed_and_metadata_is_added():
    tidied = tidy(_model(), {"scale": "2"}, SIZES)
    onnx.checker.check_model(tidied)
    content = tidied.SerializeToString()
    for trace in (b"someone", b"noon", b"name_scopes", b"s77"):
        assert trace not in content
    assert [(item.key, item.value) for item in tidied.metadata_props] == [("scale", "2")]


def test_the_original_is_not_changed():
    model = _model()
    before = model.SerializeToString(deterministic=True)
    tidy(model, {"scale": "2"}, SIZES)
    assert model.SerializeToString(deterministic=True) == before
