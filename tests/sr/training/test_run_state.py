import pytest

from sr.training.run_state import EXPLODED, FRUITLESS_EPOCHS, PLATEAU_EPOCHS, UNCHANGED_EPOCHS, oddities


def line(loss=0.1, psnr_db=31.0, validation_loss=0.1, best=False):
    told = {"loss": loss, "psnr_db": psnr_db, "validation_loss": validation_loss, "best": best}
    return told | {"bicubic_psnr_db": 30.0}


def after_the_best(epochs):
    return [line(best=True), *(line(psnr_db=30.5 + epoch / 100) for epoch in range(epochs))]


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
        (after_the_best(PLATEAU_EPOCHS - 1), []),
        (after_the_best(PLATEAU_EPOCHS), ["plateau"]),
        ([*after_the_best(PLATEAU_EPOCHS - 1), line(psnr_db=32.0, best=True)], []),
        ([line(None)], ["not_finite"]),
        ([line(0.1, None)], ["not_finite"]),
    ],
)
def test_what_is_odd_is_named_from_its_first_epoch_on(history, kinds):
    assert list(oddities(history, patience_epochs=200)) == kinds


def test_a_plateau_is_told_before_patience_ends_a_run():
    assert oddities(after_the_best(2), patience_epochs=2) == {
        "plateau": "no epoch of the last 2 was better than epoch 1"
    }
