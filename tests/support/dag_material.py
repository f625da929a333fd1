"""The inputs of the rows of `dag_rows`: files on a server, a benchmark, a video, a disc, networks."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
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
files = {f"/{path.name}": path.read_bytes() for path in Path(sys.argv[1]).iterdir()}
with serve_files(files, port=int(sys.argv[2])):
    sys.stdin.read()
"""


def write_inputs(inputs: Path) -> None:
    """Write all inputs, and the catalog and the configuration that name them."""
    import cv2
    import skimage.data
    from videos import make_video, numbered

    for folder in ("photos", "benchmark", "small", "catalog", "bin", "served"):
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
    make_video(inputs / "clip.mkv", lambda number: numbered(number, 96, 240), 48, options={"g": "12"})
    _write_served(inputs)
    _write_networks(inputs)
    program = inputs / "bin" / "makemkvcon"
    program.write_text(_MAKEMKV.format(python=sys.executable, video=str(inputs / "clip.mkv")))
    program.chmod(0o755)
    (inputs / "luigi.cfg").write_text(CONFIGURATION.format(inputs=inputs))


def _write_served(inputs: Path) -> None:
    """Write what the server has: photographs in an archive, a list of their addresses, a video in an archive."""
    served, photos = inputs / "served", sorted((inputs / "photos").iterdir())
    with tarfile.open(served / "trip.tar", "w") as archive:
        for path in photos:
            archive.add(path, f"photos/{path.name}")
    links = [f"http://127.0.0.1:{PORT}/{name}" for name in (*(path.name for path in photos[:3]), "gone.png")]
    with zipfile.ZipFile(served / "links.zip", "w") as archive:
        archive.writestr("list/train.txt", "\n".join(links))
    with zipfile.ZipFile(served / "clips.zip", "w") as archive:
        archive.write(inputs / "clip.mkv", "clips/clip.mkv")
    _add_to_catalog(inputs, "Trip", "archives", served / "trip.tar")
    _add_to_catalog(inputs, "Links", "url_list", served / "links.zip")
    _add_to_catalog(inputs, "Clips", "video_archives", served / "clips.zip")
    for path in photos[:3]:
        shutil.copy(path, served)


def _add_to_catalog(inputs: Path, name: str, kind: str, file: Path) -> None:
    content = file.read_bytes()
    (inputs / "catalog" / f"{name}.toml").write_text(
        f'name = "{name}"\nkind = "{kind}"\ntitle = "t"\nlicense = "l"\n[[files]]\nname = "{file.name}"\n'
        f'urls = ["http://127.0.0.1:{PORT}/{file.name}"]\nbytes = {len(content)}\n'
        f'sha256 = "{hashlib.sha256(content).hexdigest()}"\n'
    )


def _write_networks(inputs: Path) -> None:
    """Write a network that describes an image by its mean color, and one that scores it by its mean level."""
    from score_networks import save_network

    save_network(inputs / "embedder.onnx", axes=(2, 3))
    save_network(inputs / "average.onnx")


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
    command = [sys.executable, "-c", _SERVE, str(inputs / "served"), str(PORT)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    try:
        yield
    finally:
        assert server.stdin
        server.stdin.close()
        server.wait()
