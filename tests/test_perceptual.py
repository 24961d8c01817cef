"""LPIPS, KID and FID with local weights: networks of the real form with random numbers in them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchmetrics.functional.image.lpips import _LPIPS

from geopix2pix.errors import ModelFileError
from geopix2pix.measures import perceptual
from geopix2pix.measures.inception import Inception, load_inception
from geopix2pix.measures.perceptual import features, frechet_distance, kernel_distance, load_lpips, lpips
from tests.samples import noise


def randomized(network: nn.Module) -> nn.Module:
    """The network with weights that keep the size of what passes through it."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return network.eval()


def saved(network: nn.Module, path: Path, **more: torch.Tensor) -> Path:
    save_file({name: tensor.clone() for name, tensor in (network.state_dict() | more).items()}, path)
    return path


@pytest.fixture(scope="module")
def lpips_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = randomized(_LPIPS(pretrained=False, pnet_rand=True, net="squeeze"))
    for layer in network.lins:  # distances are sums of squares with positive weights
        nn.init.uniform_(layer.model[-1].weight, 0, 1)
    return saved(network, tmp_path_factory.mktemp("lpips") / "lpips.safetensors")


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = randomized(Inception())
    more = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    return saved(network, tmp_path_factory.mktemp("inception") / "inception.safetensors", **more)


# --- LPIPS ---


def test_lpips_is_a_distance(lpips_weights: Path) -> None:
    network = load_lpips(lpips_weights)
    one, other, near = noise(0, 3, 64, 80), noise(1, 3, 64, 80), noise(0, 3, 64, 80) * np.float32(0.97)
    assert lpips(network, one, one) == 0
    assert lpips(network, one, other) == pytest.approx(lpips(network, other, one))
    assert 0 < lpips(network, one, near) < lpips(network, one, other)


def test_lpips_is_that_of_the_network_in_the_file(lpips_weights: Path) -> None:
    from safetensors.torch import load_file

    network = _LPIPS(pretrained=False, pnet_rand=True, net="squeeze")
    network.load_state_dict(load_file(lpips_weights), strict=False)
    one, other = noise(0, 3, 64, 80), noise(1, 3, 64, 80)
    pair = [torch.from_numpy(picture)[None] / 255 for picture in (one, other)]
    expected = float(network(*pair, normalize=True).squeeze())
    assert lpips(load_lpips(lpips_weights), one, other) == pytest.approx(expected, rel=1e-4)


def test_one_band_is_seen_as_grey_and_of_many_the_first_three(lpips_weights: Path) -> None:
    network = load_lpips(lpips_weights)
    five, other = noise(0, 5, 64, 64), noise(1, 5, 64, 64)
    assert lpips(network, five, other) == lpips(network, five[:3], other[:3])
    assert lpips(network, five[:1], other[:1]) == lpips(network, five[[0] * 3], other[[0] * 3])


# --- Inception ---


def test_inception_is_filled_and_sees(inception_weights: Path) -> None:
    network = load_inception(inception_weights)
    assert sum(p.numel() for p in network.parameters()) == 21_785_568  # 23.9 million with the classifier of 1008
    first, again, other = (features(network, noise(seed, 3, 96, 96)) for seed in (0, 0, 1))
    assert first.shape == (2048,)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_inception_is_that_of_torch_fidelity(inception_weights: Path, tmp_path: Path) -> None:
    """Where pictures need no resizing, which each of them does in its own way."""
    theirs = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason="torch-fidelity is not there")
    from safetensors.torch import load_file

    torch.save(load_file(inception_weights), tmp_path / "inception.pth")
    network = theirs.FeatureExtractorInceptionV3("inception", ["2048"], str(tmp_path / "inception.pth"))
    picture = np.random.default_rng(0).integers(0, 255, (3, 299, 299), np.uint8, endpoint=True)
    found = features(load_inception(inception_weights), picture.astype(np.float32))
    assert torch.allclose(found.float(), network(torch.from_numpy(picture)[None])[0][0], atol=1e-5)


def test_other_weights_are_refused(lpips_weights: Path, inception_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"not the weights of the Inception network .* Conv2d_1a_3x3.* missing"):
        load_inception(lpips_weights)
    with pytest.raises(ModelFileError, match="not the weights of LPIPS"):
        load_lpips(inception_weights)
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickled.pth")
    for load in (load_lpips, load_inception):
        with pytest.raises(ModelFileError, match="a local .safetensors file is needed"):
            load(tmp_path / "absent.safetensors")
        with pytest.raises(ModelFileError, match="a local .safetensors file is needed"):
            load(tmp_path / "pickled.pth")


# --- distances between sets ---


def drawn(count: int, seed: int, shift: float = 0.0) -> list[torch.Tensor]:
    random = np.random.default_rng(seed)
    return [torch.from_numpy(random.normal(shift, 1, 12)) for _ in range(count)]


def test_kid_is_the_unbiased_estimate_of_binkowski_and_others() -> None:
    predicted, true = drawn(30, 0, 0.4), drawn(30, 1)
    x, y = (torch.stack(features).numpy() for features in (predicted, true))

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / 12 + 1) ** 3

    off = ~np.eye(30, dtype=bool)
    expected = kernel(x, x)[off].mean() + kernel(y, y)[off].mean() - 2 * kernel(x, y).mean()
    assert kernel_distance(predicted, true)[0] == pytest.approx(expected)


def test_kid_does_not_depend_on_the_order_and_repeats() -> None:
    predicted, true = drawn(30, 0, 0.4), drawn(30, 1)
    state = torch.random.get_rng_state()
    first, interval = kernel_distance(predicted, true)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert kernel_distance(predicted, true) == (first, interval)
    assert kernel_distance(predicted[::-1], true[7:] + true[:7])[0] == pytest.approx(first)
    assert interval.low < first < interval.high


def test_kid_grows_with_the_difference_and_its_interval_holds_none_where_there_is_none() -> None:
    true = drawn(200, 1)
    values = [kernel_distance(drawn(200, 2, shift), true)[0] for shift in (0.0, 0.3, 0.8)]
    assert values == sorted(values)
    assert kernel_distance(drawn(200, 2), true)[1].low < 0 < kernel_distance(drawn(200, 2), true)[1].high
    assert kernel_distance(drawn(200, 2, 0.8), true)[1].low > 0


def test_kid_of_too_few_and_fid_below_a_thousand_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert math.isnan(kernel_distance(drawn(3, 0), drawn(3, 1))[0])
    assert math.isnan(frechet_distance(drawn(999, 0), drawn(999, 1)))
    monkeypatch.setattr(perceptual, "FID_PICTURES", 50)
    assert math.isnan(frechet_distance(drawn(49, 0), drawn(60, 1)))


def test_fid_is_the_distance_of_two_normal_distributions() -> None:
    predicted, true = drawn(1200, 0, 0.5), drawn(1200, 1)
    x, y = (torch.stack(features).numpy() for features in (predicted, true))
    product = np.linalg.eigvals(np.cov(x.T) @ np.cov(y.T))
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(np.cov(x.T) + np.cov(y.T))
    expected -= 2 * np.sqrt(product.astype(complex)).real.sum()
    assert frechet_distance(predicted, true) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(true, true) == pytest.approx(0, abs=1e-6)
