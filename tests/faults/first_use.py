"""Check that no native library deadlocks when eight threads are the first in a process to use it, all at once.

    python tests/faults/first_use.py [--runs 10] [--limit-s 60] [NAME ...]

The cases are the libraries that this project calls from several threads: OpenVINO (streams of a video), ONNX Runtime,
PyAV and OpenCV (decoding, filters, encoding), kornia, simplejpeg and Pillow (sources), torch and DALI (loaders). Each
run is a new process. One that is over its limit counts as a deadlock, and the exit code is 1. A library that fails here
has to be used once before any thread is started, as in `sr.runtime.openvino_runtime`; `bare openvino`, which leaves
that out and is not run by default, shows that this script finds such a deadlock.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

THREADS = 8
_PIXELS = "import numpy as np\npixels = np.zeros((64, 64, 3), np.uint8)\n"
_FILE = "import io\nfrom PIL import Image\nfile = io.BytesIO()\nImage.fromarray(pixels).save(file, FORMAT)\n"
_OPENVINO = """
from openvino import opset13
image = opset13.parameter([1, 4], openvino.Type.u8)
compiled = openvino.Core().compile_model(openvino.Model([opset13.relu(image)], [image]), "CPU")
requests = [compiled.create_infer_request() for _ in range(8)]
def use(number):
    requests[number].get_input_tensor().data[0]
    requests[number].infer()
    requests[number].get_output_tensor().data.copy()
"""
CASES = {
    "openvino": "from sr.runtime.openvino_runtime import openvino" + _OPENVINO,
    "bare openvino": "import sys\nsys.modules['openvino_telemetry'] = None\nimport openvino" + _OPENVINO,
    "onnxruntime": _PIXELS
    + """
import onnx, onnxruntime
from onnx import helper
values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", values[:1], values[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
def use(number):
    session.run(["y"], {"x": np.zeros(4, np.float32)})
""",
    "av": _PIXELS
    + """
import av
from fractions import Fraction
from data.video.pyav import build_filter_graph
def use(number):
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    graph = build_filter_graph(frame, Fraction(1, 25), ("scale", "w=32:h=32"), ("format", "yuv420p"))
    graph.vpush(frame)
    small = graph.vpull()
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 32, 32, "yuv420p", Fraction(1, 25)
    packets = [*encoder.encode(small), *encoder.encode(None)]
    decoder = av.CodecContext.create("h264", "r")
    [frame.to_ndarray() for packet in [*packets, None] for frame in decoder.decode(packet)]
""",
    "opencv": _PIXELS
    + """
import cv2
def use(number):
    file = cv2.imencode(".png", cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_CUBIC))[1]
    cv2.sepFilter2D(cv2.imdecode(file, -1).astype(np.float32), -1, np.ones(5), np.ones(5))
""",
    "kornia": _PIXELS
    + _FILE.replace("FORMAT", '"PNG"')
    + """
import kornia_rs
def use(number):
    kornia_rs.io.decode_image_png_u8(file.getvalue(), (64, 64), "rgb")
""",
    "simplejpeg": _PIXELS
    + _FILE.replace("FORMAT", '"JPEG"')
    + """
from data.imaging.jpeg import decode_jpeg
def use(number):
    decode_jpeg(file.getvalue(), "rgb")
""",
    "pillow": _PIXELS
    + "import io\nfrom PIL import Image\n"
    + """
def use(number):
    file = io.BytesIO()
    Image.fromarray(pixels).resize((32, 32)).save(file, "WEBP")
    np.asarray(Image.open(file))
""",
    "torch": _PIXELS
    + """
import torch
def use(number):
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    torch.nn.functional.conv2d(images, torch.ones(8, 3, 3, 3)).numpy()
""",
    "dali": _PIXELS
    + """
from nvidia.dali import fn, pipeline_def
@pipeline_def(batch_size=2, num_threads=1, device_id=None)
def pipeline():
    return fn.external_source(source=lambda: [pixels, pixels])
def use(number):
    one = pipeline()
    one.build()
    one.run()[0].as_array()
""",
}
_THREADS = f"""
import os, threading
barrier = threading.Barrier({THREADS})
done = []
def run(number):
    barrier.wait()
    use(number)
    done.append(number)
threads = [threading.Thread(target=run, args=(number,)) for number in range({THREADS})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os._exit(len(done) != {THREADS})
"""


def run_once(script: str, limit_s: float) -> str:
    """Run a case in a new process; return what was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.py"
        path.write_text(script + _THREADS)
        try:
            ended = subprocess.run(
                [sys.executable, str(path)], capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return f"over {limit_s:g} s"
    return ended.stderr if ended.returncode else ""


def main(argv: list[str]) -> int:
    """Run the cases; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--limit-s", type=float, default=60)
    parser.add_argument("names", nargs="*", default=[name for name in CASES if name != "bare openvino"])
    options = parser.parse_args(argv)
    failed = 0
    for name in options.names:
        faults = [fault for _ in range(options.runs) if (fault := run_once(CASES[name], options.limit_s))]
        print(f"{name}: {options.runs} runs, {len(faults)} failed {''.join(faults[:1])}", flush=True)
        failed += len(faults)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
