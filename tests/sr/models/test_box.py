"""The models in the box: weights, graphs and card of each fit together, and the package has them."""

import configparser
from pathlib import Path

import numpy as np
import pytest
from images import textured

import sr
from data.hashing import sha256_file
from data.imaging.decode import decode
from data.sources.folder import open_scikit_image_photos
from sr.evaluation.degradation import degrade
from sr.evaluation.metrics import psnr
from sr.export.parity import make_test_batches
from sr.imaging.video_range import BLACK
from sr.models.box import BOX_MODELS, DEFAULT_MODEL, find_box_weights
from sr.runtime.load import load_upscaler
from sr.runtime.network_upscalers import OnnxUpscaler

LARGEST_BYTES = 300_000
CARD = {
    "license",
    "weights_sha256",
    "parameters",
    "data",
    "training",
    "figures",
    "intended_use",
    "limits",
    "commands",
}


@pytest.mark.parametrize("name", BOX_MODELS)
def test_graphs_and_card_are_of_the_weights(name):
    model = BOX_MODELS[name]
    card = model.card()
    assert set(card) >= CARD and card["weights_sha256"] == sha256_file(model.weights)
    assert card["license"] == "MIT" and card["figures"] and all(card[key] for key in CARD)
    network = load_upscaler(name)
    assert network.network.description.preset == model.preset and network.sha256 == card["weights_sha256"]
    for planes in ("rgb", "luma") if model.works_on_luma else ("rgb",):
        graph = OnnxUpscaler(model.graph(planes))
        assert graph._session.get_modelmeta().custom_metadata_map["weights_sha256"] == card["weights_sha256"]
        for batch in make_test_batches(graph.size_multiple, 3 if planes == "rgb" else 1):
            if planes == "rgb":
                difference = graph.run(batch).astype(int) - network.run(batch)
                assert np.abs(difference).max() <= 1
            else:
                assert graph.color == "luma" and graph.run(np.full_like(batch, BLACK)).max() == BLACK


@pytest.mark.parametrize("name", BOX_MODELS)
def test_a_model_in_the_box_beats_bicubic(name):
    source = open_scikit_image_photos()
    hr_image = decode(source.load("astronaut.png"))[:256, 128:384]
    lr_image = degrade(hr_image, 2, "pillow-bicubic")
    gain_db = psnr(hr_image, load_upscaler(name)(lr_image)) - psnr(
        hr_image, load_upscaler("bicubic")(lr_image)
    )
    assert gain_db > (1.0 if name == DEFAULT_MODEL else 0.0)


def test_the_files_are_small_and_the_package_has_all_of_them():
    root = Path(sr.__file__).parents[1]
    folder = Path(sr.__file__).parent / "models" / "weights"
    of_models = [
        {
            model.weights,
            model.card_path,
            model.graph(),
            *([model.graph("luma")] if model.works_on_luma else []),
        }
        for model in BOX_MODELS.values()
    ]
    assert set(folder.iterdir()) == set().union(*of_models), "nothing is missing, and nothing left over"
    assert all(path.stat().st_size < LARGEST_BYTES for path in folder.iterdir())
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    patterns = [one.strip() for one in setup["options.package_data"]["sr"].split(",")]
    packaged = {path for pattern in patterns for path in Path(sr.__file__).parent.glob(pattern)}
    assert set(folder.iterdir()) <= packaged


def test_only_exact_names_are_models_in_the_box():
    assert find_box_weights(DEFAULT_MODEL) == BOX_MODELS[DEFAULT_MODEL].weights
    assert find_box_weights(f"./{DEFAULT_MODEL}") is None and find_box_weights("realtime") is None
    assert load_upscaler(DEFAULT_MODEL)(textured(1, 9, 7)).shape == (18, 14, 3)
