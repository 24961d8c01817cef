"""Tile independence: the receptive field is what it says, and every way to see the whole tile is found out."""

import pytest
import torch
from torch import Tensor, nn

from geopix2pix.architecture import GeneratorSpec
from geopix2pix.independence import tile_independence
from geopix2pix.networks import Generator, generator, initialize

INDEPENDENT = {"depth": 2, "width": 4, "padding": "replicate", "upsampling": "resize", "norm": "frozen", "in_bands": 2}
LITE = {
    "body": "encoder",
    "encoder": "tu-tf_efficientnet_lite0",
    "padding": "replicate",
    "upsampling": "resize",
    "norm": "frozen",
}


def network(**changes) -> Generator:
    torch.manual_seed(0)
    fresh = generator(GeneratorSpec(**{**INDEPENDENT, **changes}))
    initialize(fresh, seed=0, std=0.3)
    return fresh


def with_body(*layers: nn.Module) -> Generator:
    """A generator that is nothing but `layers`, on two bands, answering logits."""
    fresh = network(head="palette")
    fresh.body = nn.Sequential(*layers)
    return fresh


# The receptive field


@pytest.mark.parametrize(
    ("layers", "field"),
    [
        ([nn.Conv2d(2, 3, 1)], 1),
        ([nn.Conv2d(2, 3, 7, padding=3, padding_mode="replicate")], 7),
        ([nn.Conv2d(2, 3, 3, padding=4, dilation=4, padding_mode="replicate")], 9),
        ([nn.Conv2d(2, 4, 3, padding=1, padding_mode="replicate"), nn.ReLU6(), nn.MaxPool2d(3, 1, padding=1)], 5),
        ([nn.AvgPool2d(4), nn.Upsample(scale_factor=4)], 7),  # an output sees up to three pixels to either side
        (
            [nn.ReplicationPad2d((5, 0, 0, 0)), nn.Conv2d(2, 3, (1, 6))],
            11,
        ),  # five pixels to the left, none to the right
    ],
)
def test_receptive_fields_known_by_counting_are_measured(layers, field):
    found = tile_independence(with_body(*layers))
    assert found.receptive_field == field
    assert found.flat
    assert found.independent


@pytest.mark.parametrize("changes", [{}, {"norm": "channel"}, {"depth": 3}], ids=str)
def test_nothing_outside_the_receptive_field_changes_a_bit_and_its_edge_does(changes):
    fresh = network(**changes).eval()
    field = tile_independence(fresh).receptive_field
    assert field is not None
    reach, stride = field // 2, fresh.spec.total_stride
    middle = 8 * stride
    scene, other = torch.rand(2, 1, 2, stride, 16 * stride) * 2 - 1
    touched = False
    with torch.no_grad():
        for col in range(middle, middle + stride):
            for axis in (2, 3):
                reference = answer(fresh, scene, col, axis)
                beyond = other.clone()
                beyond[..., col - reach : col + reach + 1] = scene[..., col - reach : col + reach + 1]
                assert torch.equal(answer(fresh, beyond, col, axis), reference)
                edges = scene.clone()
                for edge in (col - reach, col + reach):
                    edges[..., edge] = 100.0
                touched = touched or not torch.equal(answer(fresh, edges, col, axis), reference)
    assert touched


def answer(fresh: Generator, scene: Tensor, col: int, axis: int) -> Tensor:
    """The output at column `col` of a long scene, lying along `axis`."""
    if axis == 3:
        return fresh(scene)[..., col]
    return fresh(scene.transpose(2, 3))[..., col, :]


def test_measuring_leaves_the_generator_as_it_was():
    fresh = network(norm="batch").train()
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    tile_independence(fresh)
    assert fresh.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())
    assert next(fresh.parameters()).dtype == torch.float32


def test_a_field_beyond_the_limit_counts_as_unlimited():
    wide = with_body(nn.Conv2d(2, 3, (1, 41), padding=(0, 20), padding_mode="replicate"))
    assert tile_independence(wide, limit=64).receptive_field == 41
    assert not tile_independence(wide, limit=32).independent


# Networks that look at no more than their field


@pytest.mark.parametrize("norm", ["batch", "frozen", "renorm", "channel", "none"])
def test_resize_networks_with_repeated_edges_are_independent(norm):
    assert tile_independence(network(norm=norm)).independent


def test_a_lite_encoder_is_independent():
    found = tile_independence(network(**LITE, depth=3, decoder_channels=(8, 8, 8)))
    assert found.independent
    assert found.receptive_field == 111


@pytest.mark.slow
def test_the_encoder_of_the_default_model_is_independent():
    found = tile_independence(network(**LITE, depth=5, decoder_channels=(16, 16, 8, 8, 8)))
    assert found.independent
    assert found.receptive_field == 1039


# Networks that are found out


@pytest.mark.parametrize(
    "changes",
    [
        {"padding": "zeros", "upsampling": "transposed", "depth": 3},
        {"padding": "zeros"},
        {"upsampling": "transposed"},
        {**LITE, "padding": "zeros", "depth": 2, "decoder_channels": (8, 8)},
    ],
    ids=str,
)
def test_padding_with_zeros_and_the_phase_of_transposed_convolutions_show(changes):
    found = tile_independence(network(**changes))
    assert not found.flat
    assert not found.independent
    assert found.receptive_field is None


class Gate(nn.Module):
    """Multiplies by a function of the mean over the tile, as squeeze-and-excitation does."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean(dim=(2, 3), keepdim=True).sigmoid()


class Attention(nn.Module):
    """Each pixel becomes a mean of all pixels, weighted by likeness."""

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(2)
        likeness = (pixels.transpose(1, 2) @ pixels).softmax(dim=1)
        return (pixels @ likeness).view_as(x)


class Peek(nn.Module):
    """Adds the largest number of the tile in a way that swallows NaNs."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.nan_to_num().amax(dim=(2, 3), keepdim=True)


class Ramp(nn.Module):
    """Adds how far to the right a pixel lies."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(x.shape[3], dtype=x.dtype) / x.shape[3]


def convolved(layer: nn.Module) -> Generator:
    return with_body(nn.Conv2d(2, 4, 3, padding=1, padding_mode="replicate"), layer, nn.Conv2d(4, 3, 1))


@pytest.mark.parametrize(
    "layer",
    [
        nn.InstanceNorm2d(4),
        nn.GroupNorm(2, 4),
        nn.BatchNorm2d(4, track_running_stats=False),
        Gate(),
        Attention(),
        Peek(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_look_over_the_whole_tile_are_found_out(layer):
    found = tile_independence(convolved(layer), limit=128)
    assert not found.independent


def test_layers_that_know_their_place_are_found_out():
    assert not tile_independence(convolved(Ramp())).flat


@pytest.mark.parametrize("encoder", ["tu-mobilenetv3_small_100", "tu-tf_efficientnet_b0"])
def test_encoders_with_squeeze_and_excitation_are_found_out(encoder):
    found = tile_independence(network(**{**LITE, "encoder": encoder}, depth=2, decoder_channels=(8, 8)), limit=256)
    assert not found.independent


def test_a_network_that_answers_no_number_is_found_out():
    broken = network()
    next(broken.parameters()).data.fill_(torch.nan)
    assert not tile_independence(broken, limit=64).flat
