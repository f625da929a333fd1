import pytest

from sr.training.standing import EXPLODED, FRUITLESS_EPOCHS, UNCHANGED_EPOCHS, oddities


def line(loss=0.1, psnr_db=31.0, validation_loss=0.1):
    return {"loss": loss, "psnr_db": psnr_db, "validation_loss": validation_loss, "bicubic_psnr_db": 30.0}


def fruitless(epochs):
    return [line(psnr_db=29.0 + epoch / 100) for epoch in range(epochs)]


@pytest.mark.parametrize(
    ("history", "kinds"),
    [
        ([line(0.1), line(0.05), line(0.05 * EXPLODED, 31.1)], []),
        ([line(0.1), line(0.05), line(0.05 * EXPLODED + 0.01, 31.1)], ["exploding"]),
        (fruitless(FRUITLESS_EPOCHS - 1), []),
        (fruitless(FRUITLESS_EPOCHS), ["no_gain"]),
        ([*fruitless(FRUITLESS_EPOCHS - 1), line()], []),
        ([line()] * (UNCHANGED_EPOCHS - 1), []),
        ([line()] * UNCHANGED_EPOCHS, ["unchanged"]),
        ([line(None)], ["not_finite"]),
        ([line(0.1, None)], ["not_finite"]),
    ],
)
def test_what_is_odd_is_named_from_its_first_epoch_on(history, kinds):
    assert list(oddities(history)) == kinds
