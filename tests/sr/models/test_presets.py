"""The table of presets is plain data that costs nothing to look at."""

import subprocess
import sys

import pytest

from data.errors import UserError
from sr.models.presets import PRESETS, find_preset


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
