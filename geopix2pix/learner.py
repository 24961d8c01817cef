"""What learns: generator, discriminator and their optimisers, and one step of the pix2pix game between them."""

import copy
import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from geopix2pix import __version__, losses, metrics, networks
from geopix2pix.checkpoint import optimizer_tensors, restore_optimizer
from geopix2pix.configuration import TrainingConfig
from geopix2pix.dataset import Item
from geopix2pix.encoder_unet import EncoderUNet
from geopix2pix.errors import CheckpointError, TrainingError
from geopix2pix.norms import renormalize
from geopix2pix.palette import Palette
from geopix2pix.patchgan import patch_field, patch_stride


class Learner:
    """The state of a training run that changes with every step."""

    def __init__(self, config: TrainingConfig, palette: Palette | None, device: torch.device) -> None:
        self._config, self.device = config, device
        self._colors = None
        if palette is not None:
            self._colors = torch.from_numpy(palette.colors).to(device, torch.float32) / 127.5 - 1
        torch.manual_seed(config.seed)  # encoder libraries start their weights from torch's global random state
        self.generator = networks.generator(config.generator)
        networks.initialize(self.generator, seed=config.seed)
        if config.encoder_weights:
            networks.load_encoder(self.generator, config.encoder_weights)
        if config.start_from:
            networks.load_generator(self.generator, config.start_from)
        self.generator.to(device)
        self.discriminator: torch.nn.Module | None = None
        if config.adversary != "none":
            self.discriminator = networks.discriminator(config.discriminator)
            networks.initialize(self.discriminator, seed=config.seed + 1)
            self.discriminator.to(device)
        self._generator_optimizer = torch.optim.Adam(self._groups(), config.learning_rate, config.betas)
        self._discriminator_optimizer = None
        if self.discriminator is not None:
            parameters = self.discriminator.parameters()
            self._discriminator_optimizer = torch.optim.Adam(parameters, config.learning_rate, config.betas)
        self.model = copy.deepcopy(self.generator) if config.ema else self.generator
        """What is judged and kept: the generator, or the moving average of its weights."""
        if config.generator.norm == "renorm":
            renormalize(self.generator)

    @property
    def engine(self) -> dict[str, str | int]:
        """What, beside the configuration, decides every bit of the result."""
        versions = {"geopix2pix": __version__, "torch": torch.__version__}
        return {**versions, "device": self.device.type, "threads": torch.get_num_threads()}

    def calibrate(self, sources: Iterable[Tensor]) -> None:
        """Measure the statistics of the generator's norm layers over batches of sources."""
        networks.calibrate(self.model, (batch.to(self.device) for batch in sources))
        self.generator.load_state_dict(self.model.state_dict())

    def step(self, item: Item, rate: float, done: int) -> dict[str, float]:
        """Learn from one batch at `rate` times the learning rates, after `done` steps; the losses.

        The discriminator first, on the detached output, then the generator against the discriminator so improved
        (Isola et al. 2017, section 3.3).

        Raises:
            TrainingError: a loss is not finite; the generator has not learned from it.
        """
        config = self._config
        self._set_rate(rate)
        self.generator.train()
        batch = {name: tensor.to(self.device, non_blocking=True) for name, tensor in item.items()}
        output = self.generator(batch["source"])
        fake = networks.picture(output, self._colors)
        real, known = self._truth(batch, fake.detach())
        values: dict[str, float] = {}
        loss = config.l1_weight * (l1 := losses.l1_loss(fake, real, known))
        values["l1"] = l1.item()
        if "allowed" in batch:
            loss = loss + config.class_weight * (named := losses.set_loss(output, batch["allowed"]))
            values["class"] = named.item()
        if self.discriminator is not None:
            # Where the truth is not known, the discriminator sees the output itself on both sides, without gradient.
            seen = torch.where(known[:, None], fake, fake.detach())
            values["discriminator"] = self._step_discriminator(batch["source"], real, fake.detach(), known)
            adversarial = self._adversarial(batch["source"], seen, known)
            loss = loss + config.adversarial_weight * adversarial
            values["adversarial"] = adversarial.item()
        values["generator"] = loss.item()
        _descend(loss, self._generator_optimizer, values)
        self._average(done)
        return values

    def predict(self, source: Tensor) -> Tensor:
        """The model's output for a batch of sources, on the CPU."""
        output: Tensor = self.model(source.to(self.device))
        return output.cpu()

    def tensors(self) -> dict[str, Tensor]:
        """All state by name."""
        named = {f"generator.{name}": t for name, t in self.generator.state_dict().items()}
        named |= optimizer_tensors(self._generator_optimizer, "generator_optimizer")
        if self.model is not self.generator:
            named |= {f"model.{name}": t for name, t in self.model.state_dict().items()}
        if self.discriminator is not None and self._discriminator_optimizer is not None:
            named |= {f"discriminator.{name}": t for name, t in self.discriminator.state_dict().items()}
            named |= optimizer_tensors(self._discriminator_optimizer, "discriminator_optimizer")
        return named

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` returned.

        Raises:
            CheckpointError: the tensors belong to other networks.
        """
        modules = {"generator": self.generator, "discriminator": self.discriminator, "model": self.model}
        try:
            for name, module in modules.items():
                if module is not None and (name != "model" or self.model is not self.generator):
                    module.load_state_dict(_below(tensors, name))
            restore_optimizer(self._generator_optimizer, tensors, "generator_optimizer")
            if self._discriminator_optimizer is not None:
                restore_optimizer(self._discriminator_optimizer, tensors, "discriminator_optimizer")
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint belongs to other networks ({error}); start anew with overwrite"
            ) from error

    def _groups(self) -> list[dict[str, object]]:
        body = self.generator.body
        encoder = {id(p) for p in body.encoder.parameters()} if isinstance(body, EncoderUNet) else set()
        parameters = [p for p in self.generator.parameters() if p.requires_grad]
        config = self._config
        return [
            {"params": [p for p in parameters if id(p) not in encoder], "factor": 1.0},
            {"params": [p for p in parameters if id(p) in encoder], "factor": config.encoder_rate},
        ]

    def _set_rate(self, rate: float) -> None:
        for optimizer in (self._generator_optimizer, self._discriminator_optimizer):
            for group in optimizer.param_groups if optimizer else []:
                group["lr"] = self._config.learning_rate * rate * group.get("factor", 1.0)

    def _truth(self, batch: Item, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The target picture, with `fake` where it is not known, and where it is known."""
        if "known" in batch:
            return torch.where(batch["known"][:, None], batch["target"], fake), batch["known"]
        assert self._colors is not None
        index = metrics.named_class(batch["allowed"], len(self._colors))
        known = index != metrics.UNNAMED
        picture = self._colors[index.clamp(min=0)].permute(0, 3, 1, 2)
        return torch.where(known[:, None], picture, fake), known

    def _step_discriminator(self, source: Tensor, real: Tensor, fake: Tensor, known: Tensor) -> float:
        assert self.discriminator is not None and self._discriminator_optimizer is not None
        seen_real = self.discriminator(torch.cat((source, real), dim=1))
        seen_fake = self.discriminator(torch.cat((source, fake), dim=1))
        weight = self._patch_weights(known, seen_real)
        loss = losses.discriminator_loss(seen_real, seen_fake, self._config.adversary, weight)
        _descend(loss, self._discriminator_optimizer, {"discriminator": loss.item()})
        return loss.item()

    def _adversarial(self, source: Tensor, fake: Tensor, known: Tensor) -> Tensor:
        assert self.discriminator is not None
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(torch.cat((source, fake), dim=1))
        self.discriminator.requires_grad_(True)
        weight = self._patch_weights(known, logits)
        return losses.adversarial_loss(logits, True, self._config.adversary, weight, for_generator=True)

    def _patch_weights(self, known: Tensor, logits: Tensor) -> Tensor:
        spec, (rows, cols) = self._config.discriminator, logits.shape[-2:]
        return losses.patch_weights(known, (rows, cols), patch_field(spec), patch_stride(spec))

    @torch.no_grad()
    def _average(self, done: int) -> None:
        if self.model is not self.generator:
            # The first steps count for more, or the random start would outlast a short run.
            decay = min(self._config.ema, (1 + done) / (10 + done))
            for mean, new in zip(self.model.state_dict().values(), self.generator.state_dict().values(), strict=True):
                mean.lerp_(new, 1 - decay) if mean.is_floating_point() else mean.copy_(new)


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer, values: Mapping[str, float]) -> None:
    if not all(map(math.isfinite, values.values())):
        raise TrainingError(", ".join(f"{name} loss {value}" for name, value in values.items()))
    optimizer.zero_grad(set_to_none=True)
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
