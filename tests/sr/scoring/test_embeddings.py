"""Crops that a copy detection network finds like benchmark or validation images go out, and no others."""

import cv2
import luigi
import numpy as np
import pytest
import torch
from crop_datasets import build, store
from images import textured

from data.atomic_files import read_jsonl
from data.embeddings import IMAGES, EmbeddingPaths, read_embeddings
from data.errors import UserError
from pipeline.selection.part_records import read_parts
from sr.scoring.embed import open_embedder
from tasks.embeddings import EmbedBenchmark, EmbedCrops
from tasks.parts import MatchParts
from tasks.select import SelectSamples


class Small(torch.nn.Module):
    """Describes an image by what it looks like at 12 x 12 pixels, without its mean: a network as SSCD's is used."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        small = torch.nn.functional.adaptive_avg_pool2d(images, [12, 12]).flatten(1)
        return small - small.mean(dim=1, keepdim=True)


@pytest.fixture
def network(tmp_path):
    """Write the network as ONNX and as TorchScript; return the folder."""
    torch.jit.script(Small()).save(str(tmp_path / "small.pt"))
    example = torch.zeros(2, 3, 288, 288)
    torch.onnx.export(
        Small(), (example,), str(tmp_path / "small.onnx"), dynamo=False,
        input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
    )  # fmt: skip
    return tmp_path


@pytest.fixture
def select(network):
    """Return a function that gives the task SelectSamples of folder photos, with a benchmark that part of it copies."""
    files = {f"photos/{seed}.png": textured(seed, 256, 256) for seed in range(10, 16)}
    files |= {f"bench/{seed}.png": textured(seed, 300, 300) for seed in (1, 2)}
    # Mirrored, and so coarse that local features find nothing.
    coarse = cv2.resize(files["bench/1.png"][:, ::-1], (16, 16), interpolation=cv2.INTER_AREA)
    files["photos/leak.png"] = cv2.resize(coarse, (128, 128), interpolation=cv2.INTER_CUBIC)
    for name, image in files.items():
        (network / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(network / name), image)
    config = luigi.configuration.get_config()
    values = {
        ("selection", "datasets"): str(network / "photos"),
        ("selection", "near_duplicate_bits"): "-1",
        ("selection", "leakage_bits"): "0",
        ("selection", "copy_bits"): "-1",
        ("selection", "min_similarity"): "0.9",
        ("evaluation", "benchmarks"): str(network / "bench"),
    }

    def make_task(embedder, **options):
        values[("selection", "embedder")] = str(network / embedder) if embedder else ""
        for (section, name), value in values.items():
            config.set(section, name, value)
        luigi.task_register.Register.clear_instance_cache()
        return SelectSamples()

    crops = {"grid_step_px": "128", "downscale_factors": "1", "min_sharpness": "0", "min_high_band_db": "0"}
    with store(network / "store", policy="grid", **crops):
        yield make_task
        for section, name in values:
            config.remove_option(section, name)


def test_a_crop_that_the_network_finds_like_a_benchmark_image_goes_out(select, network):
    assert build(select(""))
    assert "leak.png" not in {one.source for one in read_parts(MatchParts().directory())}
    task = select("small.onnx")
    assert build(task), "see the log"
    parts = read_parts(MatchParts().directory())
    leaks = [one for one in parts if one.source == "leak.png"]
    assert [(one.target, one.inliers, one.benchmark) for one in leaks] == [("bench/1.png", 0, True)]
    assert leaks[0].similarity > 0.9
    assert {one.source for one in parts if one.similarity} == {"leak.png"}
    (line,) = [one for one in read_jsonl(task.directory() / "rejections.jsonl") if one["id"] == leaks[0].key]
    assert line["reason"] == "leakage" and "embeddings have a similarity of" in line["detail"]

    # Vectors are scaled to the length 1; windows are of all sizes, upright and mirrored.
    names, vectors = read_embeddings(
        EmbeddingPaths(EmbedBenchmark(dataset=str(network / "bench")).directory(), IMAGES)
    )
    assert names == ("1.png",) * 20 + ("2.png",) * 20
    assert np.allclose(np.linalg.norm(vectors.astype(np.float32), axis=1), 1, atol=2e-3)
    directory = EmbedCrops(dataset=str(network / "photos")).directory()
    shards = sorted(directory.glob("train-*.npy"))
    before = shards[0].stat().st_mtime_ns
    shards[-1].with_suffix(".json").unlink()
    (directory / "embeddings.json").unlink()
    luigi.task_register.Register.clear_instance_cache()
    assert build(EmbedCrops(dataset=str(network / "photos")))
    assert shards[0].stat().st_mtime_ns == before or len(shards) == 1


def test_both_formats_give_the_same_vectors(network):
    images = np.stack([textured(seed, 128, 128) for seed in range(3)])
    one = open_embedder(network / "small.onnx", 1).run(images)
    other = open_embedder(network / "small.pt", 1).run(images)
    assert one.shape == (3, 432) and np.allclose(one, other, atol=1e-4)


def test_a_file_that_is_no_network_is_refused(network):
    (network / "page.pt").write_text("<html>")
    with pytest.raises(UserError, match="no TorchScript file"):
        open_embedder(network / "page.pt", 1)

    class Pair(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean()

    torch.jit.script(Pair()).save(str(network / "mean.pt"))
    with pytest.raises(UserError, match="a vector for each is needed"):
        open_embedder(network / "mean.pt", 1).run(np.zeros((2, 64, 64, 3), np.uint8))
