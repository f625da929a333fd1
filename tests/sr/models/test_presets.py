"""The table of presets is plain data that costs nothing to look at."""

import subprocess
import sys

import pytest

from data.errors import UserError
from sr.models.presets import PRESETS, find_preset, spell_realtime


def test_looking_at_presets_loads_no_torch():
    program = "import sys; from sr.models.presets import PRESETS; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_presets_know_their_names_and_scales():
    for name, preset in PRESETS.items():
        assert preset.preset == name
        assert name.endswith(f"-x{preset.scale}")
        assert find_preset(name) is preset


def test_presets_cannot_be_changed_by_accident():
    with pytest.raises(TypeError):
        PRESETS["realtime-x2"].configuration["scale"] = 4


def test_an_unknown_name_is_refused_on_one_line():
    with pytest.raises(UserError) as caught:
        find_preset("realtime\nx2")
    assert "\n" not in str(caught.value)
    assert "realtime-x2" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "configuration"),
    [
        ("realtime-4x24-x2", {"scale": 2, "layers": 4, "channels": 24, "planes": 1}),
        ("realtime-rgb-6x16-x3", {"scale": 3, "layers": 6, "channels": 16, "planes": 3}),
        (
            "realtime-4x64-u4-prelu-x2",
            {"scale": 2, "layers": 4, "channels": 64, "planes": 1, "unshuffle": 4, "prelu": 1},
        ),
    ],
)
def test_a_realtime_network_of_any_size_can_be_spelled(name, configuration):
    preset = find_preset(name)
    assert (preset.preset, preset.configuration) == (name, configuration)
    assert (preset.value_range, preset.reparameterize) == (PRESETS["realtime-x2"].value_range, True)
    assert spell_realtime(configuration) == name


def test_the_spelling_of_a_preset_is_that_preset():
    assert find_preset("realtime-5x32-x2") is PRESETS["realtime-x2"]
    assert find_preset("realtime-rgb-5x48-x4") is PRESETS["realtime-rgb-x4"]


@pytest.mark.parametrize(
    "name",
    ["realtime-1x24-x2", "realtime-4x513-x2", "realtime-4x0-x2", "realtime-4x24-x1", "realtime-4x24-u3-x2"],
)
def test_a_spelling_out_of_bounds_is_refused(name):
    with pytest.raises(UserError, match="such as realtime-4x24-x2"):
        find_preset(name)
