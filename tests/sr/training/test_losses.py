import math

import numpy as np
import pytest
import torch

from data.errors import UserError
from sr.evaluation.lpips import LINEAR, TRUNK, Lpips
from sr.training.losses import CHARBONNIER_EPSILON, LOSSES, WeightedLoss, make_lpips_loss
from sr.training.settings import LOSS_NAMES, parse_loss

CPU = torch.device("cpu")


def loss_of(text: str) -> WeightedLoss:
    return WeightedLoss(text, (0.0, 1.0), CPU)


@pytest.fixture(scope="module")
def lpips_dir(tmp_path_factory):
    """Give a directory with random weights in the shapes of LPIPS."""
    directory, stream = tmp_path_factory.mktemp("lpips"), torch.Generator().manual_seed(5)
    sizes = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    trunk, linear = {}, {}
    for place, (number, (out, into, side)) in enumerate(sizes.items()):
        weight = torch.randn(out, into, side, side, generator=stream) / (into * side**2) ** 0.5
        trunk |= {f"features.{number}.weight": weight, f"features.{number}.bias": torch.zeros(out)}
        linear[f"lin{place}.model.1.weight"] = torch.rand(1, out, 1, 1, generator=stream) / out
    torch.save(trunk, directory / TRUNK)
    torch.save(linear, directory / LINEAR)
    return directory


@pytest.mark.parametrize(("name", "expected"), [("l1", 0.5), ("mse", 0.375), ("charbonnier", None)])
def test_losses_are_means_of_their_formulas(name, expected):
    prediction, target = torch.tensor([0.0, 0.5, 0.0, 0.5]), torch.tensor([1.0, 0.5, 0.5, 0.0])
    differences = [1.0, 0.0, 0.5, 0.5]
    if expected is None:
        expected = sum(math.sqrt(d * d + CHARBONNIER_EPSILON**2) for d in differences) / 4
    assert LOSSES[name](prediction, target).item() == pytest.approx(expected, rel=1e-6)


def test_charbonnier_has_a_gradient_at_zero_error():
    prediction = torch.zeros(3, requires_grad=True)
    LOSSES["charbonnier"](prediction, torch.zeros(3)).backward()
    assert torch.equal(prediction.grad, torch.zeros(3))


def test_the_frequency_loss_is_l1_between_numpys_transforms():
    prediction, target = torch.rand(2, 2, 3, 8, 10, generator=torch.Generator().manual_seed(1))
    spectra = [np.fft.rfft2(one.double().numpy(), norm="ortho") for one in (prediction, target)]
    difference = spectra[0] - spectra[1]
    expected = np.abs(np.stack([difference.real, difference.imag])).mean()
    assert LOSSES["frequency"](prediction, target).item() == pytest.approx(expected, rel=1e-5)


def test_the_lpips_loss_equals_the_metric_and_has_a_gradient(lpips_dir):
    levels = torch.randint(0, 256, (2, 2, 3, 48, 64), generator=torch.Generator().manual_seed(2))
    first, second = levels.to(torch.uint8)
    metric = Lpips(lpips_dir)
    images = [batch.permute(0, 2, 3, 1).numpy() for batch in (first, second)]
    expected = np.mean(
        [metric.distance(metric.features(other), one) for one, other in zip(*images, strict=True)]
    )
    for darkest, brightest in ((0.0, 1.0), (-1.0, 1.0)):
        loss = make_lpips_loss(lpips_dir, (darkest, brightest), CPU)
        values = [batch / 255.0 * (brightest - darkest) + darkest for batch in (first, second)]
        prediction = values[0].requires_grad_()
        found = loss(prediction, values[1])
        found.backward()
        assert found.item() == pytest.approx(expected, rel=1e-5)
        assert prediction.grad.isfinite().all() and prediction.grad.abs().max() > 0


def test_lpips_has_a_finite_gradient_on_flat_images(lpips_dir):
    black = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    make_lpips_loss(lpips_dir, (0.0, 1.0), CPU)(black, torch.full((1, 3, 32, 32), 0.5)).backward()
    assert black.grad.isfinite().all()


def test_a_sum_weights_its_terms_and_returns_each():
    prediction, target = torch.tensor([0.0, 0.5], requires_grad=True), torch.tensor([1.0, 0.5])
    total, terms = loss_of("mse:2 + l1:0.25")(prediction, target)
    assert terms.tolist() == [0.5, 0.5] and not terms.requires_grad
    assert total.item() == pytest.approx(2 * 0.5 + 0.25 * 0.5) and total.requires_grad


def test_every_loss_name_is_implemented():
    assert set(LOSSES) | {"lpips"} == set(LOSS_NAMES)
    assert parse_loss("l1") == {"l1": 1.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("l7", f"'l7', which is not one of {', '.join(LOSS_NAMES)}"),
        ("", "contains ''"),
        ("l1+", "contains ''"),
        ("l1:", r"positive number.*''"),
        ("l1:x", r"positive number.*'x'"),
        ("l1:-1", r"positive number.*'-1'"),
        ("l1:nan", r"positive number.*'nan'"),
        ("l1:1:2", r"positive number.*'1:2'"),
        ("l1:1+l1:2", r"l1 twice"),
    ],
)
def test_an_invalid_loss_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_loss(text)


def test_missing_lpips_weights_are_reported_with_the_command_to_get_them():
    with pytest.raises(UserError, match="Download --dataset LPIPS_AlexNet"):
        loss_of("lpips")
