import pytest

from sr.training.run_state import (
    EXPLOSION_FACTOR,
    NO_GAIN_EPOCHS,
    PLATEAU_EPOCHS,
    UNCHANGED_EPOCHS,
    find_anomalies,
)


def line(loss=0.1, psnr_db=31.0, validation_loss=0.1, best=False):
    fields = {"loss": loss, "psnr_db": psnr_db, "validation_loss": validation_loss, "best": best}
    return fields | {"bicubic_psnr_db": 30.0}


def epochs_after_the_best(epochs):
    return [line(best=True), *(line(psnr_db=30.5 + epoch / 100) for epoch in range(epochs))]


def epochs_without_gain(epochs):
    return [line(psnr_db=29.0 + epoch / 100) for epoch in range(epochs)]


@pytest.mark.parametrize(
    ("history", "kinds"),
    [
        ([line(0.1), line(0.05), line(0.05 * EXPLOSION_FACTOR, 31.1)], []),
        ([line(0.1), line(0.05), line(0.05 * EXPLOSION_FACTOR + 0.01, 31.1)], ["exploding"]),
        (epochs_without_gain(NO_GAIN_EPOCHS - 1), []),
        (epochs_without_gain(NO_GAIN_EPOCHS), ["no_gain"]),
        ([*epochs_without_gain(NO_GAIN_EPOCHS - 1), line()], []),
        ([line()] * (UNCHANGED_EPOCHS - 1), []),
        ([line()] * UNCHANGED_EPOCHS, ["unchanged"]),
        (epochs_after_the_best(PLATEAU_EPOCHS - 1), []),
        (epochs_after_the_best(PLATEAU_EPOCHS), ["plateau"]),
        ([*epochs_after_the_best(PLATEAU_EPOCHS - 1), line(psnr_db=32.0, best=True)], []),
        ([line(None)], ["not_finite"]),
        ([line(0.1, None)], ["not_finite"]),
    ],
)
def test_anomalies_are_found_in_the_first_epoch_that_shows_them(history, kinds):
    assert list(find_anomalies(history, patience_epochs=200)) == kinds


def test_a_plateau_is_reported_before_patience_ends_a_run():
    assert find_anomalies(epochs_after_the_best(2), patience_epochs=2) == {
        "plateau": "none of the last 2 epochs beat epoch 1"
    }
