import math

import pytest
import torch

from data.errors import UserError
from sr.training.losses import CHARBONNIER_EPSILON, LOSSES, find_loss


@pytest.mark.parametrize(("name", "expected"), [("l1", 0.5), ("mse", 0.375), ("charbonnier", None)])
def test_losses_are_means_by_their_formulas(name, expected):
    prediction, target = torch.tensor([0.0, 0.5, 0.0, 0.5]), torch.tensor([1.0, 0.5, 0.5, 0.0])
    differences = [1.0, 0.0, 0.5, 0.5]
    if expected is None:
        expected = sum(math.sqrt(d * d + CHARBONNIER_EPSILON**2) for d in differences) / 4
    assert find_loss(name)(prediction, target).item() == pytest.approx(expected, rel=1e-6)


def test_charbonnier_has_a_gradient_at_zero_error():
    prediction = torch.zeros(3, requires_grad=True)
    find_loss("charbonnier")(prediction, torch.zeros(3)).backward()
    assert torch.equal(prediction.grad, torch.zeros(3))


def test_an_unknown_loss_is_named_with_the_known_ones():
    with pytest.raises(UserError, match=f"{', '.join(LOSSES)}.*'l7'"):
        find_loss("l7")
