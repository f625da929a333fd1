import numpy as np
import pytest

from data.video.tonemap import HLG, PQ, SDR, ToneMap, bt2390_eetf, hlg_to_nits, nits_to_pq, pq_to_nits, to_sdr

GRAY = np.ones(3)


def test_pq_matches_the_standard():
    """Code values of ST 2084 for round numbers of nits, as BT.2408 and BT.2390 print them."""
    for nits, code in ((0, 0.0), (100, 0.5081), (203, 0.5807), (1000, 0.7518), (10_000, 1.0)):
        assert nits_to_pq(nits) == pytest.approx(code, abs=1e-4)
        assert pq_to_nits(np.array(nits_to_pq(nits))) == pytest.approx(nits, rel=1e-9)


def test_hlg_matches_the_standard():
    """BT.2408: reference white is 75% HLG and 203 cd/m² on a display of 1,000."""
    assert hlg_to_nits(0.75 * GRAY) == pytest.approx(203 * GRAY, rel=0.01)
    assert hlg_to_nits(GRAY) == pytest.approx(1000 * GRAY, rel=1e-6)


@pytest.mark.parametrize("peak_nits", [400.0, 1000.0, 4000.0, 10_000.0])
def test_the_tone_curve_keeps_dark_values_and_ends_at_white(peak_nits):
    nits = np.linspace(0, peak_nits, 5000)
    found = bt2390_eetf(nits, peak_nits)
    assert found[-1] == pytest.approx(100, rel=1e-6)
    assert (np.diff(found) >= -1e-9).all()
    knee = pq_to_nits((1.5 * nits_to_pq(100) / nits_to_pq(peak_nits) - 0.5) * nits_to_pq(peak_nits))
    below = nits < knee
    assert below.any() and np.allclose(found[below], nits[below], rtol=1e-6)
    assert (found[~below] <= nits[~below] + 1e-6).all()


def test_the_tone_curve_matches_one_point_computed_by_hand():
    """203 nits of 1,000: E1 = .7724, KS = .5138, T = .5320, E2 = .6592, PQ .4956."""
    assert nits_to_pq(bt2390_eetf(np.array(203.0), 1000.0)) == pytest.approx(0.4956, abs=2e-4)


def test_values_within_sdr_stay_and_gray_stays_gray():
    ten_nits = nits_to_pq(10.0) * GRAY
    assert to_sdr(ten_nits, PQ, 1000.0) == pytest.approx(0.1 ** (1 / 2.4) * GRAY, abs=1e-4)
    assert to_sdr(0.5 * GRAY, SDR, 100.0) == pytest.approx(0.5 * GRAY, abs=1e-4)


def test_hue_stays_where_luminance_is_compressed():
    light = np.array([900.0, 450.0, 90.0])
    shown = 100 * to_sdr(nits_to_pq(_bt2020_from_bt709(light)), PQ, 1000.0) ** 2.4
    assert shown / shown.max() == pytest.approx(light / light.max(), abs=2e-3)


def _bt2020_from_bt709(light: np.ndarray) -> np.ndarray:
    """BT.2087's matrix."""
    return np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]) @ light


@pytest.mark.parametrize(("transfer", "peak_nits"), [(PQ, 1000.0), (PQ, 4000.0), (HLG, 1000.0), (SDR, 100.0)])
def test_the_lookup_tables_agree_with_the_formulas(transfer, peak_nits):
    white = 65280
    code = np.random.default_rng(0).integers(0, white + 1, (70, 130, 3), dtype=np.uint16)
    found = ToneMap(transfer, peak_nits, white)(code)
    assert found.dtype == np.uint8 and found.shape == code.shape
    assert np.abs(found - 255 * to_sdr(code / white, transfer, peak_nits)).max() < 0.52
