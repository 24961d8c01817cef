"""What decides a training run: every number of it, with the published recipe and ours as presets."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from geopix2pix.architecture import MEASURED_NORMS, Adversary, DiscriminatorSpec, GeneratorSpec, Norm
from geopix2pix.augmentation import Symmetry
from geopix2pix.errors import ConfigError
from geopix2pix.model import ModelFile
from geopix2pix.pair import PairSet

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """A training run. The defaults are pix2pix as published (Isola et al. 2017, section 3.3 and appendix 6.2)."""

    generator: GeneratorSpec = field(default_factory=GeneratorSpec)
    discriminator: DiscriminatorSpec = field(default_factory=DiscriminatorSpec)
    encoder_weights: Path | None = None
    """Pretrained weights (safetensors) for a generator with the body `encoder`; nothing is ever downloaded."""

    start_from: Path | None = None
    """A model file (safetensors) whose generator the run goes on from."""

    seed: int = 0
    epochs: int = 200
    images_per_epoch: int = 0
    """Crops per epoch; 0 = as many as there are training pairs."""
    batch: int = 1
    crop: int = 256
    """Side of a training crop, pixels."""
    load_size: int = 0
    """Side to which every picture is resized before it is cropped; 0 = crops are cut from the picture itself."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the random magnification of a crop."""
    symmetry: Symmetry = "mirror"
    jitter: float = 0.0
    """Strength of the random change of the source's light; 0 = none."""

    learning_rate: float = 2e-4
    encoder_rate: float = 1.0
    """Factor on the learning rate for the encoder of a generator with the body `encoder`."""
    freeze_encoder: int = 0
    """Epochs before the encoder of a generator with the body `encoder` learns, too."""
    betas: tuple[float, float] = (0.5, 0.999)
    decay: float = 0.5
    """Share of the run, at its end, over which the learning rate falls linearly to zero."""
    adversary: Adversary = "bce"
    """`none` trains without a discriminator."""
    discriminator_scales: int = 1
    """Discriminators; each looks at pictures of half the size of the one before."""
    warm_up: int = 0
    """Epochs before the adversary joins."""
    adversarial_weight: float = 1.0
    l1_weight: float = 100.0
    class_weight: float = 100.0
    """Weight of the class loss of the palette head."""
    matching_weight: float = 0.0
    """Weight of the feature matching loss."""
    perceptual_weight: float = 0.0
    """Weight of the perceptual loss by `perceptual_weights`."""
    perceptual_weights: Path | None = None
    """The network of LPIPS (safetensors) by which pictures are compared."""
    clip: float = 0.0
    """The largest norm of the gradient of a network; longer ones are shortened. 0 = none."""
    ema: float = 0.0
    """Decay per step of a moving average of the generator's weights, which then is the model; 0 = no average."""

    validation_crops: int = 64
    keep: Literal["best", "last"] = "best"
    """Which epoch becomes the model; the last where there are no validation pairs."""
    precision: Precision = "fp32"
    """In what networks compute; losses, weights and optimisers stay float32."""
    compiled: bool = False
    """Whether torch compiles the generator: slower to start, faster on a GPU."""
    processes: int = 1
    """Processes that share every batch evenly, each on a GPU of its own, or all on the CPU."""
    threads: int | None = None
    """CPU threads of a process; results repeat bit for bit only with the same number. None = leave torch's choice."""

    workers: int = 0
    """Processes that load crops; the result does not depend on it."""
    cache_bytes: int = 2 * 2**30
    """Memory for decoded pictures, per loading process."""
    checkpoint_minutes: float = 10.0
    """Time between checkpoints within an epoch; there is one after every epoch."""

    def __post_init__(self) -> None:
        for name, right, expected in _laws(self):
            if not right:
                raise ConfigError(f"training option {name} is {getattr(self, name)!r}, but must be {expected}")

    def to_json(self) -> dict[str, Any]:
        """All fields in the types of JSON; of files only their names."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=lambda path: path.name))
        return plain


WITHOUT_EFFECT = ("workers", "cache_bytes", "checkpoint_minutes")
"""Fields that may change when a run is continued, since no result depends on them."""


def _laws(config: TrainingConfig) -> list[tuple[str, bool, str]]:
    c, stride = config, config.generator.total_stride
    measured = c.generator.body == "encoder" and c.generator.norm in MEASURED_NORMS
    return [
        ("crop", c.crop > 0 and c.crop % stride == 0, f"a multiple of the generator's total stride, {stride}"),
        ("load_size", c.load_size == 0 or c.load_size >= c.crop, f"0 or at least the crop, {c.crop}"),
        ("scale", 0.01 <= c.scale[0] <= c.scale[1] <= 100, "two factors from 0.01 to 100, the lower first"),
        ("load_size", not c.load_size or c.scale == (1.0, 1.0), f"0 where scale is {c.scale}"),
        ("epochs", c.epochs >= 1, "at least 1"),
        ("batch", c.batch >= 1, "at least 1"),
        # One pixel in the deepest layer has no variance that its norm could measure.
        ("batch", not measured or c.batch > 1 or c.crop > stride, f"at least 2 where crop is no more than {stride}"),
        ("images_per_epoch", c.images_per_epoch >= 0, "at least 0"),
        ("seed", c.seed >= 0, "at least 0"),
        ("learning_rate", c.learning_rate > 0, "above 0"),
        ("encoder_rate", c.encoder_rate >= 0, "at least 0"),
        ("betas", all(0 <= b < 1 for b in c.betas), "two shares below 1"),
        ("decay", 0 <= c.decay <= 1, "a share from 0 to 1"),
        ("ema", 0 <= c.ema < 1, "a share from 0 to below 1"),
        ("jitter", 0 <= c.jitter <= 4, "from 0 to 4"),
        ("adversarial_weight", c.adversarial_weight >= 0, "at least 0"),
        ("l1_weight", c.l1_weight >= 0, "at least 0"),
        ("class_weight", c.class_weight >= 0, "at least 0"),
        ("discriminator_scales", 1 <= c.discriminator_scales <= 4, "from 1 to 4"),
        ("warm_up", c.warm_up >= 0, "at least 0"),
        ("warm_up", not c.warm_up or c.adversary != "none", "0 where there is no adversary"),
        ("freeze_encoder", c.freeze_encoder >= 0, "at least 0"),
        ("freeze_encoder", not c.freeze_encoder or c.generator.body == "encoder", "0 for this generator"),
        ("matching_weight", c.matching_weight >= 0, "at least 0"),
        ("matching_weight", not c.matching_weight or c.adversary != "none", "0 where there is no adversary"),
        ("perceptual_weight", c.perceptual_weight >= 0, "at least 0"),
        (
            "perceptual_weights",
            (c.perceptual_weights is not None) == (c.perceptual_weight > 0),
            "given with its weight",
        ),
        ("clip", c.clip >= 0, "at least 0"),
        ("precision", c.precision in get_args(Precision), f"one of {', '.join(get_args(Precision))}"),
        ("processes", c.processes >= 1, "at least 1"),
        ("batch", c.processes < 1 or c.batch % c.processes == 0, f"a multiple of processes, {c.processes}"),
        ("threads", c.threads is None or c.threads >= 1, "at least 1"),
        ("workers", c.workers >= 0, "at least 0"),
        ("validation_crops", c.validation_crops >= 1, "at least 1"),
        ("encoder_weights", c.encoder_weights is None or c.generator.body == "encoder", "absent for this generator"),
        ("encoder_weights", not (c.encoder_weights and c.start_from), "absent where start_from is given"),
    ]


PRESETS: Mapping[str, TrainingConfig] = {
    "pix2pix": TrainingConfig(load_size=286),
    "light": TrainingConfig(
        generator=GeneratorSpec(
            body="encoder",
            encoder="tu-tf_efficientnet_lite0",
            norm="frozen",
            padding="replicate",
            upsampling="resize",
            depth=5,
            decoder_channels=(128, 64, 40, 24, 12),
        ),
        discriminator=DiscriminatorSpec(width=32),
        epochs=50,
        images_per_epoch=800,
        batch=8,
        scale=(0.5, 2.0),
        symmetry="dihedral",
        jitter=1.0,
        learning_rate=5e-4,
        encoder_rate=0.5,
        l1_weight=20.0,
        class_weight=20.0,
        ema=0.99,
    ),
}
"""`pix2pix`: the recipe as published, for 256-pixel pictures; `light`: a small tile-independent network that also
trains on a CPU, with the palette head where there is a palette."""


def configure(
    sets: Sequence[PairSet],
    preset: str = "light",
    *,
    encoder: str | None = None,
    norm: Norm | None = None,
    generator: GeneratorSpec | Mapping[str, Any] | None = None,
    discriminator: DiscriminatorSpec | Mapping[str, Any] | None = None,
    **changes: Any,
) -> TrainingConfig:
    """The preset, fitted to the pairs' bands and classes, with `changes` to its fields.

    `encoder` and `norm` are those of the generator. With `start_from` all else of the generator is as in that model.
    `generator` and `discriminator` replace those of the preset; mappings change only the fields that they name.

    Raises:
        ConfigError: the preset is unknown, has no encoder to exchange, or a value is impossible.
        ModelFileError: the model to start from cannot be read.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset {preset!r} is unknown; choose one of {', '.join(PRESETS)}")
    config, first = PRESETS[preset], sets[0]
    if changes.get("start_from") is not None:
        config = replace(config, generator=_started(changes["start_from"], first, encoder))
    in_bands, out_bands = len(first.source.names), len(first.target.names)
    if not isinstance(generator, GeneratorSpec):
        head = (generator or {}).get("head", "raster" if preset == "pix2pix" or not first.palette else "palette")
        classes = len(first.palette.classes) if first.palette and head == "palette" else out_bands
        fitted = {"in_bands": in_bands, "head": head, "out_channels": classes}
        generator = replace(config.generator, **{**(generator or {}), **fitted})
    if encoder and generator.body != "encoder":
        raise ConfigError(f"encoder {encoder!r} was chosen for the preset {preset!r}, whose generator has none")
    generator = replace(generator, norm=norm or generator.norm, encoder=encoder or generator.encoder)
    if not isinstance(discriminator, DiscriminatorSpec):
        fields = {**(discriminator or {}), "in_channels": in_bands + out_bands}
        discriminator = replace(config.discriminator, **fields)
    return replace(config, **{"generator": generator, "discriminator": discriminator, **changes})


def _started(path: Path, pairs: PairSet, encoder: str | None) -> GeneratorSpec:
    """The generator of a model file, if a run on these pairs can go on from it.

    Raises:
        ConfigError: it cannot.
        ModelFileError: the file cannot be read.
    """
    manifest, found = ModelFile.load(path).manifest, pairs.source.names
    if path.suffix != ".safetensors":
        raise ConfigError(
            f"{path}: an exported model cannot be trained; start from the .safetensors that it is made of"
        )
    if encoder is not None:
        raise ConfigError(
            f"encoder {encoder!r}: the encoder is that of {path}, from which the run starts; leave one out"
        )
    if manifest.generator.in_bands != len(found):
        raise ConfigError(
            f"{path}: the model to start from reads {manifest.generator.in_bands} bands "
            f"({', '.join(manifest.source.names)}), but {pairs.name} has {len(found)} ({', '.join(found)}); start from "
            "another"
        )
    return manifest.generator
