import pytest

from data.records import Reason
from pipeline.quality_filters import ScreenSettings, judge

FINE = {"contrast": 5000, "detail": 800, "noise": 200, "dark": 5, "bright": 5, "blockiness": 60, "border": 0}
LIMITS = ScreenSettings(
    min_contrast=200,
    min_sharpness=60,
    max_underexposed=900,
    max_overexposed=900,
    max_blockiness=750,
    max_noise=1000,
    max_border_px=8,
)


@pytest.mark.parametrize(
    ("score", "value", "reason"),
    [
        ("contrast", 199, Reason.FLAT),
        ("detail", 59, Reason.BLURRED),
        ("dark", 901, Reason.UNDEREXPOSED),
        ("bright", 901, Reason.OVEREXPOSED),
        ("blockiness", 751, Reason.BLOCKY),
        ("noise", 1001, Reason.NOISY),
        ("border", 9, Reason.BORDERED),
    ],
)
def test_each_screen_throws_out_by_its_score_and_says_so(score, value, reason):
    assert judge(FINE, LIMITS) is None
    found, detail = judge(FINE | {score: value}, LIMITS)
    assert found is reason and detail.startswith(f"{score} {value}; at ")
    assert judge(FINE | {score: value}, ScreenSettings()) is None, "a limit of 0 turns a screen off"


def test_what_is_just_at_a_limit_passes():
    at_the_limit = {"contrast": 200, "detail": 60, "noise": 1000, "dark": 900, "bright": 900}
    assert judge(at_the_limit | {"blockiness": 750, "border": 8}, LIMITS) is None
