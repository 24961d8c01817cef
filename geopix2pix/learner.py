"""What learns: generator, discriminator and their optimisers, and one step of the pix2pix game between them."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from geopix2pix import __version__, losses, metrics, networks
from geopix2pix.adversary import Adversary
from geopix2pix.checkpoint import optimizer_tensors, restore_optimizer
from geopix2pix.configuration import TrainingConfig
from geopix2pix.dataset import Item
from geopix2pix.encoder_unet import EncoderUNet
from geopix2pix.errors import CheckpointError, ConfigError, TrainingError
from geopix2pix.norms import renormalize
from geopix2pix.palette import Palette
from geopix2pix.team import Team


class Pace(NamedTuple):
    """How a step is taken."""

    rate: float = 1.0
    """Factor on the learning rates."""
    encoder: bool = True
    """Whether the encoder of a generator that has one learns."""
    adversary: bool = True
    """Whether the adversary, if there is one, takes part."""


class Learner:
    """The state of a training run that changes with every step."""

    def __init__(self, config: TrainingConfig, palette: Palette | None, team: Team) -> None:
        self._config, self.team, self.device = config, team, team.device
        self._colors = None
        if palette is not None:
            self._colors = torch.from_numpy(palette.colors).to(self.device, torch.float32) / 127.5 - 1
        torch.manual_seed(config.seed)  # encoder libraries start their weights from torch's global random state
        self.generator = networks.generator(config.generator)
        networks.initialize(self.generator, seed=config.seed)
        if config.encoder_weights:
            networks.load_encoder(self.generator, config.encoder_weights)
        if config.start_from:
            networks.load_generator(self.generator, config.start_from)
        self.generator.to(self.device)
        self._network: Callable[[Tensor], Tensor] = self.generator
        if config.compiled:  # in other layouts than it is given torch 2.14 fails on the gradients of repeated edges
            plain = self.generator.to(memory_format=torch.contiguous_format)
            self._network = torch.compile(plain, options={"layout_optimization": False})
        self.adversary: Adversary | None = None
        if config.adversary != "none":
            self.adversary = Adversary(config, team.mean)
            networks.initialize(self.adversary, seed=config.seed + 1)
            self.adversary.to(self.device)
        self._perceptual = _perceptual(config.perceptual_weights, self.device) if config.perceptual_weights else None
        self._encoder = _encoder_parameters(self.generator)
        self._optimizers = {owner: team.prepared(optimizer) for owner, optimizer in self._fresh_optimizers()}
        self.model = copy.deepcopy(self.generator) if config.ema else self.generator
        """What is judged and kept: the generator, or the moving average of its weights."""
        if config.generator.norm == "renorm":
            renormalize(self.generator)

    @property
    def engine(self) -> dict[str, str | int]:
        """What, beside the configuration, decides every bit of the result."""
        versions = {"geopix2pix": __version__, "torch": torch.__version__}
        return {**versions, "device": self.device.type, "threads": torch.get_num_threads()}

    @property
    def players(self) -> dict[str, nn.Module]:
        """The networks that play against each other."""
        return {"generator": self.generator} | ({"discriminator": self.adversary} if self.adversary else {})

    def calibrate(self, sources: Iterable[Tensor]) -> None:
        """Measure the statistics of the generator's norm layers over batches of sources."""
        networks.calibrate(self.model, (batch.to(self.device) for batch in sources))
        self.generator.load_state_dict(self.model.state_dict())

    def step(self, item: Item, pace: Pace, done: int) -> dict[str, float]:
        """Learn from one batch, after `done` steps; the losses, with several processes those of the whole batch.

        The discriminators first, on the detached output, then the generator against the discriminators so improved
        (Isola et al. 2017, section 3.3).

        Raises:
            TrainingError: a loss is not finite; the generator has not learned from it.
        """
        self._set(pace)
        batch = {name: tensor.to(self.device, non_blocking=True) for name, tensor in item.items()}
        source = batch["source"]
        output = self._answer(source)
        fake = networks.picture(output, self._colors)
        real, known = self._truth(batch, fake.detach())
        # Where the truth is not known, it is the output itself, and without gradient: nothing differs there.
        seen = torch.where(known[:, None], fake, fake.detach())
        terms = {"l1": (self._config.l1_weight, losses.l1_loss(fake, real, known, self.team.mean))}
        if "allowed" in batch:
            terms["class"] = self._config.class_weight, losses.set_loss(output, batch["allowed"], self.team.mean)
        if self._perceptual is not None:
            terms["perceptual"] = self._config.perceptual_weight, losses.perceptual_loss(self._perceptual, seen, real)
        values: dict[str, float] = {}
        if self.adversary is not None and pace.adversary:
            with self.team.lower():
                loss = self.adversary.loss(source, real, fake.detach(), known)
            values["discriminator"] = self.team.mean(loss).item()
            self._descend(loss, self.adversary, "discriminator", values)
            with self.team.lower():
                verdict = self.adversary.verdict(source, real, seen, known)
            terms["adversarial"] = self._config.adversarial_weight, verdict.adversarial
            if self._config.matching_weight:
                terms["matching"] = self._config.matching_weight, verdict.matching
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        found = self.team.mean(torch.stack([*(term for _, term in terms.values()), loss])).tolist()
        values |= dict(zip((*terms, "generator"), found, strict=True))
        self._descend(loss, self.generator, "generator", values)
        if self._config.generator.norm in ("batch", "renorm"):  # each process has seen other pictures
            self.team.average(b for b in self.generator.buffers() if b.is_floating_point())
        self._average(done)
        return values

    def predict(self, source: Tensor) -> Tensor:
        """The model's output for a batch of sources, on the CPU."""
        output: Tensor = self.model(source.to(self.device))
        return output.cpu()

    def tensors(self) -> dict[str, Tensor]:
        """All state by name."""
        named = {
            f"{owner}.{name}": tensor
            for owner, module in self._modules.items()
            for name, tensor in module.state_dict().items()
        }
        for owner, optimizer in self._optimizers.items():
            named |= optimizer_tensors(optimizer, f"{owner}_optimizer")
        return named | {f"scaling.{name}": torch.tensor(value) for name, value in self.team.scaling().items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` returned.

        Raises:
            CheckpointError: the tensors belong to other networks.
        """
        try:
            for owner, module in self._modules.items():
                module.load_state_dict(_below(tensors, owner))
            for owner, optimizer in self._optimizers.items():
                restore_optimizer(optimizer, tensors, f"{owner}_optimizer")
            self.team.rescale({name: tensor.item() for name, tensor in _below(tensors, "scaling").items()})
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint belongs to other networks ({error}); start anew with overwrite"
            ) from error

    @property
    def _modules(self) -> dict[str, nn.Module]:
        found: dict[str, nn.Module | None] = {"generator": self.generator, "discriminator": self.adversary}
        found["model"] = self.model if self.model is not self.generator else None
        return {name: module for name, module in found.items() if module is not None}

    def _fresh_optimizers(self) -> Iterator[tuple[str, torch.optim.Optimizer]]:
        config, encoder = self._config, set(self._encoder)
        parameters = [p for p in self.generator.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p not in encoder], "factor": 1.0},
            {"params": [p for p in parameters if p in encoder], "factor": config.encoder_rate},
        ]
        yield "generator", torch.optim.Adam(groups, config.learning_rate, config.betas)
        if self.adversary is not None:
            yield "discriminator", torch.optim.Adam(self.adversary.parameters(), config.learning_rate, config.betas)

    def _set(self, pace: Pace) -> None:
        self.generator.train()
        for parameter in self._encoder:
            parameter.requires_grad_(pace.encoder)
        for optimizer in self._optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self._config.learning_rate * pace.rate * group.get("factor", 1.0)

    def _descend(self, loss: Tensor, network: nn.Module, owner: str, values: Mapping[str, float]) -> None:
        if not all(map(math.isfinite, values.values())):
            raise TrainingError(", ".join(f"{name} loss {value}" for name, value in values.items()))
        self.team.descend(loss, network, self._optimizers[owner], self._config.clip)

    def _answer(self, source: Tensor) -> Tensor:
        try:
            with self.team.lower():
                output: Tensor = self._network(source)
        except Exception as error:  # a compiler is missing or fails, each in its own way
            if not self._config.compiled or isinstance(error, torch.cuda.OutOfMemoryError):
                raise
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"--compile: torch cannot compile the network here ({reason}); leave it out") from error
        return output.float()

    def _truth(self, batch: Item, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The target picture, with `fake` where it is not known, and where it is known."""
        if "known" in batch:
            return torch.where(batch["known"][:, None], batch["target"], fake), batch["known"]
        assert self._colors is not None
        index = metrics.named_class(batch["allowed"], len(self._colors))
        known = index != metrics.UNNAMED
        picture = self._colors[index.clamp(min=0)].permute(0, 3, 1, 2)
        return torch.where(known[:, None], picture, fake), known

    @torch.no_grad()
    def _average(self, done: int) -> None:
        if self.model is not self.generator:
            # The first steps count for more, or the random start would outlast a short run.
            decay = min(self._config.ema, (1 + done) / (10 + done))
            for mean, new in zip(self.model.state_dict().values(), self.generator.state_dict().values(), strict=True):
                mean.lerp_(new, 1 - decay) if mean.is_floating_point() else mean.copy_(new)


def _perceptual(weights: Path, device: torch.device) -> nn.Module:
    from geopix2pix.measures.perceptual import load_lpips  # seconds of loading that few runs need

    return load_lpips(weights).requires_grad_(False).eval().to(device)


def _encoder_parameters(generator: networks.Generator) -> list[nn.Parameter]:
    """Those of the encoder that learn at all; none where the body has no encoder."""
    body = generator.body
    return [p for p in body.encoder.parameters() if p.requires_grad] if isinstance(body, EncoderUNet) else []


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
