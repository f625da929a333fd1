import dataclasses
import math
import subprocess
import sys

import pytest

from data.errors import UserError
from sr.training.graph import AUTOCAST
from sr.training.job import PRECISIONS, TrainingJob
from sr.training.settings import check_settings

JOB = TrainingJob("realtime-x2", "selection", "hash")


def test_the_defaults_are_valid():
    check_settings(JOB)
    assert tuple(AUTOCAST) == PRECISIONS


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("batch_size", -3, "at least 1"),
        ("patch_px", 0, "at least 1"),
        ("max_epochs", 0, "at least 1"),
        ("patience_epochs", 0, "at least 1"),
        ("warmup_steps", -1, "at least 0"),
        ("max_steps", -1, "at least 0"),
        ("learning_rate", math.nan, "finite number"),
        ("learning_rate", math.inf, "finite number"),
        ("max_grad_norm", -1.0, "finite number"),
        ("max_hours", -1.0, "finite number"),
        ("ema_decay", 1.5, "below 1"),
        ("beta1", 1.0, "below 1"),
        ("flip_probability", 1.1, "probability"),
        ("brightness_min", 2.0, "above brightness_max"),
        ("patches_per_image", 5, "multiple of the patches"),
        ("precision", "fp8", "fp32, tf32, bf16, fp16"),
        ("schedule", "linear", "constant, cosine, multistep"),
        ("milestones", "0.5,0.4", "rising shares"),
        ("milestones", "x", "rising shares"),
        ("milestone_factor", 0.0, "above 0"),
        ("learning_rate_min", -1.0, "finite number"),
        ("monitor", "ssim", "psnr, loss"),
        ("loss", "l7", "charbonnier"),
        ("patch_stages", "16:0.5,24:0.5", "Change patch_stages"),
        ("patch_stages", "x", "Change patch_stages"),
        ("degradation", "blur", "begin with bicubic"),
        ("degradation", "bicubic,blurr", "'blurr' is not one of the steps blur"),
        ("degradation", "bicubic,jpeg:90-30", "range within 1-100"),
        ("degradation", "bicubic,noise@1,noise", "each step may occur once"),
    ],
)
def test_invalid_values_are_refused_by_name(name, value, words):
    with pytest.raises(UserError, match=words) as refused:
        check_settings(dataclasses.replace(JOB, **{name: value}))
    assert name.split("_")[0] in str(refused.value)


def test_checking_settings_loads_nothing_heavy():
    code = "import sys, sr.training.settings; print(sorted({'cv2', 'av', 'torch', 'deepspeed'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
