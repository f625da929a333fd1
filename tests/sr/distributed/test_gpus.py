import pytest

from data.errors import UserError
from sr.distributed import gpus


@pytest.fixture
def four(tmp_path, monkeypatch):
    """Simulate a machine with four visible GPUs and a torch built for CUDA."""
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "_DEVICES", tmp_path)
    monkeypatch.setattr(gpus, "_torch_has_cuda", lambda: True)
    for name in ("CUDA_VISIBLE_DEVICES", "DS_ACCELERATOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("3, 1", [3, 1]),
        ("", []),
        ("-1", []),
        ("2,-1,0", [2]),
        ("0,9", [0]),
        ("1,1", []),
    ],
)
def test_the_gpus_that_cuda_would_show_are_used(four, monkeypatch, visible, expected):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.find_usable_gpus() == expected


@pytest.mark.parametrize("name", ["GPU-8932f937-d72c", "MIG-GPU-8932f937/1/0", "mig-41b36325"])
def test_uuids_are_refused(four, monkeypatch, name):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"0,{name}")
    with pytest.raises(UserError, match=r"CUDA_VISIBLE_DEVICES.*by their numbers"):
        gpus.find_usable_gpus()


def test_deepspeeds_cpu_switch_hides_all_gpus(four, monkeypatch):
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    assert gpus.find_usable_gpus() == []


def test_a_torch_without_cuda_uses_no_gpu(four, tmp_path, monkeypatch):
    package = tmp_path / "site" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.undo()
    monkeypatch.setattr(gpus, "_DEVICES", tmp_path)
    for name in ("CUDA_VISIBLE_DEVICES", "DS_ACCELERATOR"):
        monkeypatch.delenv(name, raising=False)
    found = gpus.importlib.util.spec_from_file_location("torch", package / "__init__.py")
    monkeypatch.setattr(gpus.importlib.util, "find_spec", lambda name: found)
    for cuda, expected in (("'12.8'", 4), ("None", 0)):
        (package / "version.py").write_text(f"__version__ = '2.13.0'\ncuda = {cuda}\n")
        assert len(gpus.find_usable_gpus()) == expected


def test_the_gpu_of_wsl_is_found(four, monkeypatch):
    for number in range(4):
        (four / f"nvidia{number}").unlink()
    monkeypatch.setattr(gpus, "_WSL_DRIVER", four / "libcuda.so.1")
    (four / "dxg").touch()
    assert gpus.find_usable_gpus() == []
    (four / "libcuda.so.1").touch()
    assert gpus.find_usable_gpus() == [0]
