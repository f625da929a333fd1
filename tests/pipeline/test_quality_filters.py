import pytest

from data.records import RejectionReason
from pipeline.quality_filters import QualityThresholds, find_rejection, parse_detail

GOOD = {
    "contrast": 50.0,
    "sharpness": 8.0,
    "noise": 2.0,
    "underexposed": 0.005,
    "overexposed": 0.005,
    "bhi_blockiness": 1.5,
    "high_band_db": -4.0,
    "comb_db": 0.3,
    "equal_neighbors": 0.1,
    "repeated_lines": 0.0,
    "banding": 0.2,
    "border_px": 0.0,
}
THRESHOLDS = QualityThresholds(
    min_contrast=2.0,
    min_sharpness=0.6,
    max_underexposed=0.9,
    max_overexposed=0.9,
    max_border_px=8,
    max_repeated_lines=0.15,
    max_equal_neighbors=0.4,
    max_bhi_blockiness=30.0,
    max_comb_db=2.0,
    min_high_band_db=-9.0,
    max_banding=20.0,
    max_noise=10.0,
)


@pytest.mark.parametrize(
    ("metric", "value", "reason"),
    [
        ("contrast", 1.99, RejectionReason.FLAT),
        ("underexposed", 0.901, RejectionReason.UNDEREXPOSED),
        ("overexposed", 0.901, RejectionReason.OVEREXPOSED),
        ("bhi_blockiness", 30.01, RejectionReason.BLOCKY),
        ("high_band_db", -9.01, RejectionReason.UPSCALED),
        ("comb_db", 2.01, RejectionReason.INTERLACED),
        ("equal_neighbors", 0.401, RejectionReason.DRAWN),
        ("repeated_lines", 0.151, RejectionReason.PIXELATED),
        ("banding", 20.001, RejectionReason.BANDED),
        ("noise", 10.01, RejectionReason.NOISY),
        ("border_px", 9.0, RejectionReason.BORDERED),
    ],
)
def test_each_filter_rejects_by_its_metric_and_says_so(metric, value, reason):
    assert find_rejection(GOOD, THRESHOLDS) is None
    rejection = find_rejection(GOOD | {metric: value}, THRESHOLDS)
    assert rejection is not None
    found, detail = rejection
    assert found is reason and detail.startswith(f"{metric} is {value:g}, ")
    assert find_rejection(GOOD | {metric: value}, QualityThresholds()) is None, (
        "a threshold of 0 turns a filter off"
    )


def test_a_crop_without_detail_is_blurred_if_its_highest_frequencies_lack_and_else_plain():
    plain = GOOD | {"sharpness": 0.59, "high_band_db": -9.0}
    blurred = plain | {"high_band_db": -9.01}
    only_sharpness = QualityThresholds(min_sharpness=0.6)
    assert find_rejection(plain, THRESHOLDS) is None
    for thresholds in (THRESHOLDS, only_sharpness):
        assert find_rejection(blurred, thresholds) == (
            RejectionReason.BLURRED,
            "sharpness is 0.59, below min_sharpness 0.6",
        )
    assert find_rejection(blurred | {"sharpness": 0.6}, only_sharpness) is None


@pytest.mark.parametrize("values", [{"contrast": 1.25}, {"high_band_db": -12.5}, {"noise": 10.5}])
def test_the_value_is_read_back_from_the_sentence(values):
    rejection = find_rejection(GOOD | values, THRESHOLDS)
    assert rejection is not None
    for source in ("photos/is it: 1, below x 2.jpg: ", ""):
        assert parse_detail(source + rejection[1]) == next(iter(values.items()))
    assert parse_detail("photos/1.jpg: the file ends early") is None


def test_a_metric_equal_to_its_threshold_passes():
    equal = {
        "contrast": 2.0, "sharpness": 0.6, "noise": 10.0, "underexposed": 0.9, "overexposed": 0.9, "border_px": 8.0,
        "bhi_blockiness": 30.0, "high_band_db": -9.0, "comb_db": 2.0, "equal_neighbors": 0.4, "repeated_lines": 0.15,
        "banding": 20.0,
    }  # fmt: skip
    assert find_rejection(equal, THRESHOLDS) is None


def test_a_threshold_with_decimals_rejects_exactly_what_the_whole_numbers_did():
    """Metrics are whole hundredths or thousandths divided once, so comparing floats rounds nothing away."""
    for hundredths in range(0, 5000):
        value, threshold = hundredths / 100, float("13.37")
        rejected = find_rejection(GOOD | {"contrast": value}, QualityThresholds(min_contrast=threshold))
        assert (rejected is not None) == (hundredths < 1337)


def test_drawn_images_have_no_faults_of_cameras():
    for metric in ("noise", "comb_db", "equal_neighbors"):
        assert find_rejection(GOOD | {metric: 99.0}, THRESHOLDS.without_camera_faults()) is None
    assert find_rejection(GOOD | {"high_band_db": -40.0}, THRESHOLDS.without_camera_faults()) is None
    blurred = GOOD | {"sharpness": 0.5, "high_band_db": -12.0}
    assert find_rejection(blurred, THRESHOLDS.without_camera_faults()) is not None
