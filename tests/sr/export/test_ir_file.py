"""Editing an IR file: operations are marked, traces of the machine are removed."""

import xml.etree.ElementTree as ElementTree

import pytest
from ir_marks import full_precision_names

from sr.export import ir_file

IR = """<?xml version="1.0"?>
<net name="onnx_Frontend_IR" version="11">
  <layers>
    <layer id="0" name="input" type="Parameter" version="opset1"><data shape="1" element_type="u8" /></layer>
    <layer id="1" name="Convert_502" type="Convert" version="1"><data /><input /></layer>
    <layer id="2" name="core/Reshape_2" type="Reshape" version="opset1"><input /></layer>
    <layer id="3" name="MVN_9_compressed" type="MVN" version="opset1"><data /><rt_info /></layer>
  </layers>
  <edges />
  <rt_info>
    <Runtime_version value="2026" />
    <conversion_parameters><input_model value="/home/someone/model.onnx" /></conversion_parameters>
  </rt_info>
</net>"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "model.xml"
    file.write_text(IR)
    return file


def test_marks_are_set_on_operations_but_not_on_inputs(path):
    ir_file.disable_precision_conversion(path, {"input", "Convert_502", "MVN_9_compressed", "core/Reshape_2"})
    assert full_precision_names(path) == {"Convert_502", "MVN_9_compressed", "core/Reshape_2"}
    convert = ElementTree.parse(path).getroot().find("layers")[1]
    assert [child.tag for child in convert] == ["data", "rt_info", "input"]


def test_a_mark_on_a_missing_operation_is_refused(path):
    with pytest.raises(ValueError, match="core/Rehsape"):
        ir_file.disable_precision_conversion(path, {"core/Rehsape"})


def test_tidy_leaves_metadata_and_stable_names(path):
    root = ElementTree.fromstring(ir_file.tidy(path, {"scale": "2"}))
    assert [layer.get("name") for layer in root.find("layers")] == [
        "input",
        "Convert_1",
        "core/Reshape_2",
        "MVN_3",
    ]
    assert root.get("name") == "upsampling"
    assert [(item.tag, item.get("value")) for item in root.find("rt_info/upsampling")] == [("scale", "2")]
    assert b"someone" not in ir_file.tidy(path, {})


def test_counters_of_another_process_do_not_change_the_bytes(path):
    first = ir_file.tidy(path, {"scale": "2"})
    path.write_text(IR.replace("Convert_502", "Convert_77").replace("MVN_9_", "MVN_1234_"))
    assert ir_file.tidy(path, {"scale": "2"}) == first
