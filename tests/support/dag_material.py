"""The inputs of the rows of `dag_rows`: an archive of photographs on a server, a benchmark, a video, a disc."""

import contextlib
import hashlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from dag_rows import CONFIGURATION

PORT = 8765
"""Of the server of the archive, in a network namespace of the suite's own."""
_PHOTOS = ("astronaut", "chelsea", "coffee")
_SIDE_PX = 200
_MAKEMKV = """#!{python}
import shutil, sys
print('DRV:0,2,999,12,"BD-RE","HOLIDAY","/dev/sr0"')
try:
    shutil.copy({video!r}, sys.argv[-1] + "/title_t00.mkv")
except OSError as error:
    print(f'MSG:5003,0,2,"Failed to save title 0: {{error.strerror}}","","")')
    print('MSG:5037,516,2,"Copy complete. 0 titles saved, 1 failed.","Copy complete. %1 titles saved, %2 failed.","0","1"')
    sys.exit(1)
print('MSG:5036,260,1,"Copy complete. 1 titles saved.","Copy complete. %1 titles saved.","1"')
"""  # noqa: E501
_SERVE = """
import sys
from pathlib import Path
from server import serve_files
folder = Path(sys.argv[1])
with serve_files({"/trip.tar": (folder / "trip.tar").read_bytes()}, port=int(sys.argv[2])):
    sys.stdin.read()
"""


def write_inputs(inputs: Path) -> None:
    """Write all inputs, and the catalog and the configuration that name them."""
    import cv2
    import skimage.data
    from videos import make_video, numbered

    for folder in ("photos", "benchmark", "small", "catalog", "bin"):
        (inputs / folder).mkdir(parents=True)
    for number, name in enumerate(_PHOTOS):
        photo = cv2.cvtColor(getattr(skimage.data, name)(), cv2.COLOR_RGB2BGR)
        for part in range(2):
            top, left = 30 * part, 220 * part
            cut = photo[top : top + 2 * _SIDE_PX : 1, left : left + _SIDE_PX + 20]
            cv2.imwrite(str(inputs / "photos" / f"{name}-{part}.png"), cut)
        if number < 2:
            benchmark = cv2.resize(photo[-120:, -160:], (140, 100), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(inputs / "benchmark" / f"{name}.png"), benchmark)
            cv2.imwrite(str(inputs / "small" / f"{name}.png"), benchmark[:48, :64])
    with tarfile.open(inputs / "trip.tar", "w") as archive:
        for path in sorted((inputs / "photos").iterdir()):
            archive.add(path, f"photos/{path.name}")
    content = (inputs / "trip.tar").read_bytes()
    (inputs / "catalog" / "Trip.toml").write_text(
        'name = "Trip"\nkind = "archives"\ntitle = "t"\nlicense = "l"\n[[files]]\nname = "trip.tar"\n'
        f'urls = ["http://127.0.0.1:{PORT}/trip.tar"]\nbytes = {len(content)}\n'
        f'sha256 = "{hashlib.sha256(content).hexdigest()}"\n'
    )
    make_video(inputs / "clip.mkv", lambda number: numbered(number, 96, 240), 48, options={"g": "12"})
    program = inputs / "bin" / "makemkvcon"
    program.write_text(_MAKEMKV.format(python=sys.executable, video=str(inputs / "clip.mkv")))
    program.chmod(0o755)
    (inputs / "luigi.cfg").write_text(CONFIGURATION.format(inputs=inputs))


def write_inputs_apart(inputs: Path) -> None:
    """Write all inputs, unless they are there, in a process of its own: OpenCV's threads would not outlive a fork."""
    if inputs.exists():
        return
    code = "import sys, pathlib, dag_material; dag_material.write_inputs(pathlib.Path(sys.argv[1]))"
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{Path(__file__).parent}"}
    subprocess.run([sys.executable, "-c", code, str(inputs)], env=environment, check=True)


@contextlib.contextmanager
def serve_archive(inputs: Path) -> Iterator[None]:
    """Run the server of the archive, in a process of its own, as this one forks."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", _SERVE, str(inputs), str(PORT)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    try:
        yield
    finally:
        assert server.stdin
        server.stdin.close()
        server.wait()
