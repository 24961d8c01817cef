"""Training options in a file: what was written is read again, and what is no option is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cli.main import main
from geopix2pix.architecture import DiscriminatorSpec, GeneratorSpec
from geopix2pix.configfile import read_config, to_toml
from geopix2pix.configuration import PRESETS, TrainingConfig, configure
from geopix2pix.errors import ConfigError
from geopix2pix.model import ModelFile
from geopix2pix.training import train
from tests.test_training import make_pairs, tiny


def written(folder: Path, text: str) -> Path:
    path = folder / "options.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("preset", PRESETS)
def test_what_was_written_is_the_same_configuration_again(tmp_path: Path, preset: str) -> None:
    pairs = make_pairs(tmp_path / "town")
    config = configure([pairs], preset, norm="channel", epochs=7, learning_rate=1e-5, threads=2, seed=3)
    config = replace(config, discriminator=replace(config.discriminator, layers=2))
    assert configure([pairs], **read_config(written(tmp_path, to_toml(config)))) == config


@given(
    config=st.builds(
        TrainingConfig,
        generator=st.builds(GeneratorSpec, depth=st.integers(1, 8), norm=st.sampled_from(("batch", "channel"))),
        discriminator=st.builds(DiscriminatorSpec, width=st.integers(1, 99)),
        perceptual_weights=st.just(None),
        start_from=st.none() | st.builds(Path, st.text(st.characters(exclude_categories=["C"]), min_size=1)),
        encoder_weights=st.none(),
        seed=st.integers(0, 2**40),
        learning_rate=st.floats(1e-12, 1e6),
        scale=st.just((1.0, 1.0)),
        threads=st.none() | st.integers(1, 64),
        **{
            name: st.just(getattr(PRESETS["pix2pix"], name))
            for name in TrainingConfig.__dataclass_fields__
            if name not in ("generator", "discriminator", "perceptual_weights", "start_from", "encoder_weights", "seed")
            and name not in ("learning_rate", "scale", "threads")
        },
    )
)
def test_every_value_survives(config: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = read_config(written(tmp_path_factory.getbasetemp(), to_toml(config)))
    for name, value in found.items():
        expected = getattr(config, name)
        if isinstance(value, dict):
            assert replace(expected, **value) == expected
        elif isinstance(value, Path):
            assert value == expected.absolute()
        else:
            assert (value, type(value)) == (expected, type(expected)), name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", r"'epoch' is no training option; did you mean 'epochs'\? allowed are adversarial_weight, "),
        ('epochs = "many"', "epochs: expected a whole number, found 'many'"),
        ("epochs = 2.5", "epochs: expected a whole number, found 2.5"),
        ("epochs = true", "epochs: expected a whole number, found True"),
        ("scale = [1.0]", r"scale: expected a list of 2, found \[1.0\]"),
        ("jitter = nan", "jitter: expected a number, found nan"),
        ('adversary = "wgan"', "adversary: expected one of 'bce', 'lsgan', 'hinge', 'none', found 'wgan'"),
        ("start_from = 7", "start_from: expected a file name, found 7"),
        ("generator = 7", "generator: expected a table, found 7"),
        ("[generator]\nwide = 3", r"generator: 'wide' is no training option; did you mean 'width'\?"),
        ("[generator]\nwidth = []", r"generator: width: expected a whole number, found \[\]"),
        ("[optimizer]\nname = 1", "'optimizer' is no training option"),
        ("epochs =", "cannot be read as a TOML file of training options"),
        ("epochs = 1\nepochs = 2", "cannot be read as a TOML file"),
    ],
)
def test_what_is_no_option_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(written(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "options.toml")) and "\n" not in str(caught.value)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    for content in (None, b"\xff\xfe", b"\0"):
        if content is not None:
            (tmp_path / "options.toml").write_bytes(content)
        with pytest.raises(ConfigError, match="mend it"):
            read_config(tmp_path / "options.toml")


def test_files_in_a_file_are_beside_it(tmp_path: Path) -> None:
    found = read_config(written(tmp_path, 'start_from = "a.safetensors"'))
    assert found == {"start_from": tmp_path / "a.safetensors"}


def test_flags_count_more_than_the_file_and_the_file_more_than_the_preset(tmp_path: Path) -> None:
    make_pairs(tmp_path / "town")
    file = written(
        tmp_path,
        'preset = "pix2pix"\nepochs = 1\nbatch = 2\ncrop = 32\nload_size = 0\n[generator]\ndepth = 2\nwidth = 4',
    )
    command = ["train", str(tmp_path / "town"), "--config", str(file), "--output", str(tmp_path / "run")]
    result = CliRunner().invoke(main, [*command, "--batch", "4", "--threads", "1", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (config["epochs"], config["batch"], config["generator"]["depth"], config["adversary"]) == (1, 4, 2, "bce")
    model = ModelFile.load(tmp_path / "run" / "model.safetensors")
    assert json.loads(model.manifest.provenance["config"])["batch"] == 4
    command = ["train", str(tmp_path / "town"), "--config", str(tmp_path / "run" / "config.toml")]
    again = CliRunner().invoke(main, [*command, "--output", str(tmp_path / "b" / "run"), "--device", "cpu"])
    assert again.exit_code == 0, again.output
    assert (tmp_path / "b/run/model.safetensors").read_bytes() == (tmp_path / "run/model.safetensors").read_bytes()


def test_a_run_goes_on_by_its_own_file(tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "town")
    model = train(pairs, tmp_path / "run", tiny(pairs, epochs=1)).read_bytes()
    config = configure([pairs], **read_config(tmp_path / "run" / "config.toml"))
    assert train(pairs, tmp_path / "run", config).read_bytes() == model
