"""Calibration: a known temperature is found, and the measures are what their definitions say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopix2pix.calibration import (
    beats_trivial_rankings,
    boundary_distance,
    expected_calibration_error,
    fitted_temperature,
    log_likelihood_loss,
    sparsification,
    tempered,
    worth,
)

CLASSES = 4


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def drawn(temperature: float, pixels: int = 40_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a network, and classes that follow them once the logits are divided by the temperature."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (pixels, CLASSES))
    honest = softmax(logits / temperature)
    classes = (random.random((pixels, 1)) > honest.cumsum(axis=1)).sum(axis=1).clip(0, CLASSES - 1)
    return softmax(logits).astype(np.float32), 1 << classes


def right(probabilities: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    return (allowed >> probabilities.argmax(axis=1)) & 1 == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    probabilities, allowed = drawn(temperature)
    assert fitted_temperature(probabilities, allowed) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_it_is_found_from_sets_of_classes_too(temperature: float) -> None:
    probabilities, allowed = drawn(temperature, 80_000)
    random = np.random.default_rng(1)
    road = allowed == 1 << 2
    partial = np.where(road, allowed, 0b1011)  # a source that names only class 2
    partial[random.random(len(partial)) < 0.2] = 0b1111  # and does not know everywhere
    assert fitted_temperature(probabilities, partial) == pytest.approx(temperature, rel=0.1)


def test_where_nothing_is_known_nothing_is_changed() -> None:
    probabilities, allowed = drawn(2.0, 100)
    assert fitted_temperature(probabilities, np.full_like(allowed, 0b1111)) == 1.0


@pytest.mark.parametrize("temperature", [0.6, 3.0])
def test_calibrated_probabilities_are_as_often_right_as_they_say(temperature: float) -> None:
    probabilities, allowed = drawn(temperature)
    calibrated = tempered(probabilities, fitted_temperature(probabilities, allowed))
    before, after = (expected_calibration_error(p.max(axis=1), right(p, allowed)) for p in (probabilities, calibrated))
    assert after < 0.01 < before
    assert log_likelihood_loss(calibrated, allowed) < log_likelihood_loss(probabilities, allowed)


@settings(max_examples=30, deadline=None)
@given(temperature=st.floats(0.1, 10), seed=st.integers(0, 9))
def test_a_temperature_changes_no_class_and_two_of_them_multiply(temperature: float, seed: int) -> None:
    probabilities, _ = drawn(1.0, 200, seed)
    once = tempered(probabilities, temperature)
    assert np.array_equal(once.argmax(axis=1), probabilities.argmax(axis=1))
    assert np.allclose(once.sum(axis=1), 1)
    if temperature > 0.5:
        assert np.allclose(tempered(once, 1 / temperature), probabilities, atol=1e-4)


def test_the_calibration_error_of_known_cases() -> None:
    assert expected_calibration_error(np.ones(10), np.ones(10, bool)) == 0
    assert expected_calibration_error(np.ones(10), np.zeros(10, bool)) == 1
    assert expected_calibration_error(np.full(10, 0.8), np.arange(10) < 5) == pytest.approx(0.3)
    assert np.isnan(expected_calibration_error(np.ones(0), np.ones(0, bool)))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), pixels=st.integers(1, 400))
def test_no_ranking_beats_the_truth_and_none_is_worse_than_its_opposite(seed: int, pixels: int) -> None:
    random = np.random.default_rng(seed)
    wrong, trust = random.random(pixels) < 0.3, random.integers(0, 20, pixels).astype(float)
    truth, opposite = sparsification(wrong, -wrong.astype(float)), sparsification(wrong, wrong.astype(float))
    found, constant = sparsification(wrong, trust), sparsification(wrong, np.zeros(pixels))
    assert truth.area <= found.area + 1e-12 <= opposite.area + 2e-12
    assert found.errors[0] == pytest.approx(wrong.mean())
    assert constant.errors == pytest.approx([wrong.mean()] * len(constant.errors))


def test_ties_do_not_depend_on_the_order_of_pixels() -> None:
    random = np.random.default_rng(0)
    wrong, trust = random.random(300) < 0.4, random.integers(0, 4, 300).astype(float)
    order = random.permutation(300)
    assert sparsification(wrong, trust).errors == pytest.approx(sparsification(wrong[order], trust[order]).errors)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(1, 12), cols=st.integers(1, 12))
def test_distances_to_a_boundary_are_those_of_a_search(seed: int, rows: int, cols: int) -> None:
    painted = np.kron(np.random.default_rng(seed).integers(0, 2, (rows, cols)), np.ones((3, 3), int))
    found = boundary_distance(painted, reach=10)
    places = np.indices(painted.shape).reshape(2, -1).T
    for row, col in places[:: max(1, len(places) // 20)]:
        others = places[painted.ravel() != painted[row, col]]
        steps = np.abs(others - (row, col)).max(axis=1).min() if len(others) else 10
        assert found[row, col] == min(steps, 10)


def test_an_honest_confidence_beats_both_trivial_rankings_and_a_random_one_does_not() -> None:
    probabilities, allowed = drawn(1.0, 20_000)
    distance = np.random.default_rng(2).integers(1, 9, len(allowed))
    found = worth(probabilities, allowed, distance)
    assert set(found) == {"pooled", "0", "1", "2", "3"}
    assert beats_trivial_rankings(found)
    assert found["pooled"].pixels == sum(found[str(k)].pixels for k in range(CLASSES)) == 20_000
    assert found["pooled"].calibration_error < 0.02
    shuffled = probabilities[np.random.default_rng(3).permutation(len(allowed))]
    lost = worth(shuffled, allowed, distance)
    assert lost["pooled"].calibration_error > 0.3


def test_a_model_is_calibrated_on_pairs_and_stays_the_same_model(palette_model, tmp_path) -> None:
    import json

    from geopix2pix import translate
    from geopix2pix.calibrating import calibrate
    from geopix2pix.model import ModelFile
    from tests.rasters import write_raster

    random, pairs = np.random.default_rng(0), tmp_path / "pairs"
    classes = [
        {"name": "land", "color": "F2EFE9"},
        {"name": "road", "color": "3030FF"},
        {"name": "water", "color": "AAD3DF"},
    ]
    for folder in ("source", "target"):
        (pairs / folder).mkdir(parents=True)
    (pairs / "palette.json").write_text(json.dumps({"classes": classes}))
    for number in range(3):
        source = random.integers(1, 255, (3, 90, 70), np.uint8)
        write_raster(pairs / "source" / f"{number}.tif", source, photometric="rgb")
        painted = translate(pairs / "source" / f"{number}.tif", tmp_path / f"{number}.tif", model=palette_model)
        import rasterio

        with rasterio.open(painted) as dataset:
            target = dataset.read()
        noise = random.random(target.shape[1:]) < 0.3  # the labels contradict the model here
        target[:, noise] = np.array([[0x30], [0x30], [0xFF]], np.uint8)
        write_raster(pairs / "target" / f"{number}.tif", target, photometric="rgb")
    output = calibrate(palette_model, pairs, tmp_path / "model.safetensors", report=tmp_path / "report.json")
    before, after = ModelFile.load(palette_model), ModelFile.load(output)
    assert before.manifest.temperature is None and after.manifest.temperature > 0
    assert all(np.array_equal(after.weights[name], array) for name, array in before.weights.items())
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["calibrated"]["loss"] <= found["uncalibrated"]["loss"]
    assert set(found["calibrated"]["worth"]) <= {"pooled", "land", "road", "water"}
    first = translate(pairs / "source" / "0.tif", tmp_path / "a.tif", model=output, confidence=tmp_path / "c.tif")
    with rasterio.open(first) as a, rasterio.open(tmp_path / "0.tif") as b, rasterio.open(tmp_path / "c.tif") as c:
        assert (a.read() != b.read()).any(axis=0).mean() < 0.02, "a temperature changes only what blending mixes"
        assert float(c.tags()["GEOPIX2PIX_TEMPERATURE"]) == pytest.approx(after.manifest.temperature, rel=1e-4)
