"""Losses: equal to their textbook forms where all is known, silent where nothing is."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from geopix2pix.architecture import DiscriminatorSpec
from geopix2pix.losses import (
    adversarial_loss,
    class_sets,
    discriminator_loss,
    l1_loss,
    patch_weights,
    set_loss,
)
from geopix2pix.networks import discriminator
from geopix2pix.patchgan import patch_field, patch_stride

CLASSES = 5
EVERYTHING = 2**CLASSES - 1


def random_logits(seed=0, scale=3.0):
    return torch.randn(2, CLASSES, 6, 7, generator=torch.Generator().manual_seed(seed)) * scale


def random_sets(seed=0, low=1, high=EVERYTHING):
    return torch.randint(low, high + 1, (2, 6, 7), generator=torch.Generator().manual_seed(seed))


# Sets of classes


def test_sets_of_one_class_make_the_cross_entropy():
    truth = torch.randint(0, CLASSES, (2, 6, 7))
    logits = random_logits()
    assert torch.allclose(set_loss(logits, 1 << truth), F.cross_entropy(logits, truth))


def test_the_loss_is_minus_the_log_of_the_probability_of_the_set():
    logits, allowed = random_logits(), random_sets(high=EVERYTHING - 1)
    surprises = []
    for n, row, col in torch.cartesian_prod(torch.arange(2), torch.arange(6), torch.arange(7)).tolist():
        p = logits[n, :, row, col].double().softmax(dim=0)
        members = [k for k in range(CLASSES) if int(allowed[n, row, col]) >> k & 1]
        surprises.append(-p[members].sum().log())
    assert float(set_loss(logits, allowed)) == pytest.approx(float(torch.stack(surprises).mean()), rel=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, EVERYTHING - 1), st.integers(0, CLASSES - 1))
def test_knowing_less_never_costs_more(seed, members, other):
    logits = random_logits(seed)
    narrow, wide = (torch.full((2, 6, 7), m) for m in (members, members | 1 << other))
    assert set_loss(logits, wide) <= set_loss(logits, narrow) + 1e-6


def test_pixels_that_say_nothing_have_no_gradient_at_all_and_do_not_count():
    logits, allowed = random_logits().requires_grad_(), random_sets(high=EVERYTHING - 1)
    silent = torch.zeros(2, 6, 7, dtype=torch.bool)
    silent[0, 2:], silent[1, :, 3] = True, True
    for nothing in (EVERYTHING, 0):
        loss = set_loss(logits, torch.where(silent, nothing, allowed))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert (gradient.abs().sum(dim=1)[silent] == 0).all()
        assert (gradient.abs().sum(dim=1)[~silent] > 0).all()
    speaking = logits.detach().permute(0, 2, 3, 1)[~silent].T[None, :, None]
    assert torch.allclose(loss, set_loss(speaking, allowed[~silent][None, None]))


def test_a_batch_that_says_nothing_costs_nothing():
    logits = random_logits().requires_grad_()
    loss = set_loss(logits, torch.full((2, 6, 7), EVERYTHING))
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("scale", [1e2, 1e4, 1e30])
def test_the_loss_stays_finite_for_the_surest_networks(scale):
    logits = random_logits(scale=scale).requires_grad_()
    loss = set_loss(logits, random_sets())
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_painting_everything_with_the_one_known_class_does_not_win():
    """The source knows class 0 alone: half of the pixels are of it, half are anything else, some are not labelled."""
    hint = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    allowed = torch.where(hint[:, 0] > 0, 1, EVERYTHING & ~1)
    allowed[:, ::4] = EVERYTHING
    network = torch.nn.Conv2d(1, CLASSES, 1)
    torch.nn.init.zeros_(network.weight)
    torch.nn.init.constant_(network.bias, 0.0)
    network.bias.data[0] = 5.0  # it starts by painting everything with the known class
    optimizer = torch.optim.Adam(network.parameters(), lr=0.3)
    start = set_loss(network(hint), allowed).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = set_loss(network(hint), allowed)
        loss.backward()
        optimizer.step()
    painted = network(hint).argmax(dim=1) == 0
    assert loss.item() < start / 5
    assert (painted == (hint[:, 0] > 0)).float().mean() > 0.95


def test_bit_masks_are_read_from_the_lowest_bit():
    sets = class_sets(torch.tensor([[[0b10110, 0]]]), CLASSES)
    assert sets[0, :, 0, 0].tolist() == [False, True, True, False, True]
    assert not sets[0, :, 0, 1].any()


# L1


def test_l1_is_the_mean_absolute_difference_where_all_is_known():
    picture, target = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    assert torch.allclose(l1_loss(picture, target, torch.ones(2, 4, 5, dtype=torch.bool)), F.l1_loss(picture, target))


def test_l1_sees_known_pixels_alone():
    picture = torch.randn(2, 3, 4, 5, requires_grad=True)
    target, known = torch.randn(2, 3, 4, 5), torch.rand(2, 4, 5) > 0.4
    target[~known[:, None].expand_as(target)] = torch.nan
    loss = l1_loss(picture, target, known)
    loss.backward()
    pixels = known[:, None].expand_as(target)
    assert torch.allclose(loss, (picture[pixels] - target[pixels]).abs().mean())
    assert not picture.grad[~pixels].any()
    assert picture.grad[pixels].all()


def test_l1_of_nothing_known_is_nothing():
    picture = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = l1_loss(picture, torch.full((1, 3, 2, 2), torch.nan), torch.zeros(1, 2, 2, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert not picture.grad.any()


# Adversaries

KINDS = ["bce", "lsgan", "hinge"]


@pytest.mark.parametrize("real", [True, False])
def test_adversarial_losses_have_their_textbook_forms(real):
    logits = torch.randn(3, 1, 4, 4)
    truth = torch.full_like(logits, float(real))
    assert torch.allclose(adversarial_loss(logits, real, "bce"), F.binary_cross_entropy_with_logits(logits, truth))
    assert torch.allclose(adversarial_loss(logits, real, "lsgan"), F.mse_loss(logits, truth))
    margin = (1 - logits if real else 1 + logits).clamp(min=0).mean()
    assert torch.allclose(adversarial_loss(logits, real, "hinge"), margin)
    assert torch.allclose(adversarial_loss(logits, True, "hinge", for_generator=True), -logits.mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_discriminator_that_is_right_pays_less_and_the_published_halving_holds(kind):
    high, low = torch.full((1, 1, 3, 3), 2.0), torch.full((1, 1, 3, 3), -2.0)
    assert discriminator_loss(high, low, kind) < discriminator_loss(low, high, kind)
    both = adversarial_loss(high, True, kind) + adversarial_loss(low, False, kind)
    assert torch.allclose(discriminator_loss(high, low, kind), both / 2)
    pleased, caught = (adversarial_loss(x, True, kind, for_generator=True) for x in (high, low))
    assert pleased < caught


@pytest.mark.parametrize("kind", KINDS)
def test_only_patches_with_weight_count(kind):
    logits = torch.randn(2, 1, 4, 4, requires_grad=True)
    weight = (torch.rand(2, 1, 4, 4) > 0.5).float()
    weight[0, 0, 0, 0], weight[0, 0, 0, 1] = 1, 0
    loss = adversarial_loss(logits, False, kind, weight)
    loss.backward()
    chosen = logits.detach()[weight == 1]
    assert torch.allclose(loss, adversarial_loss(chosen[None, None, None], False, kind))
    assert not logits.grad[weight == 0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_no_patch_with_weight_costs_nothing(kind):
    logits = torch.randn(2, 1, 4, 4, requires_grad=True)
    loss = adversarial_loss(logits, True, kind, torch.zeros(2, 1, 4, 4))
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_without_an_adversary_there_is_no_loss_to_ask_for():
    with pytest.raises(ValueError, match="no adversary"):
        adversarial_loss(torch.zeros(1, 1, 2, 2), True, "none")


# Patches


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_patches_have_weight_unless_the_discriminator_sees_an_unknown_pixel(layers):
    spec = DiscriminatorSpec(in_channels=1, width=2, layers=layers, norm="none")
    known = torch.ones(3, 128, 96, dtype=torch.bool)
    known[0, 40, 33], known[1, 0, 95], known[2, 127, 40:60] = False, False, False
    scene = torch.where(known, 0.0, torch.nan)[:, None].double()
    logits = discriminator(spec).double()(scene)
    weight = patch_weights(known, logits.shape[2:], patch_field(spec), patch_stride(spec), share=1.0)
    assert weight.shape == logits.shape
    assert torch.equal(weight == 0, logits.isnan())


def test_patches_need_almost_all_of_their_pixels():
    known = torch.ones(3, 64, 64, dtype=torch.bool)
    known[1, :, ::10] = False
    known[2, :, 32] = False  # one column of the 29 that the patches at the border see
    weight = patch_weights(known, (6, 6), 34, 4 * 2)
    assert weight[0].all()
    assert not weight[1].any()
    assert weight[2].all()
    assert not patch_weights(~known[:1], (6, 6), 34, 8).any()
