"""The discriminators that a generator is trained against, and one step of theirs."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geopix2pix import losses, networks
from geopix2pix.configuration import TrainingConfig
from geopix2pix.patchgan import patch_features, patch_field, patch_stride


class Verdict(NamedTuple):
    """What the generator's pictures cost it."""

    adversarial: Tensor
    matching: Tensor
    """The feature matching loss; zero where its weight is zero."""


class Adversary(nn.Module):
    """PatchGANs of one kind; all but the first look at pictures of half the size of the one before (Wang et al. 2018,
    section 3.2).

    Sources are (n, bands, rows, cols) in [-1, 1], `real` and `fake` pictures likewise, `known` (n, rows, cols) says
    where the truth is known; elsewhere `real` has to be what `fake` is, so that nothing is learned from it.
    """

    def __init__(self, config: TrainingConfig, shared: losses.Shared = losses.alone) -> None:
        super().__init__()
        self._config, self._shared = config, shared
        spec = config.discriminator
        self.scales = nn.ModuleList(networks.discriminator(spec) for _ in range(config.discriminator_scales))
        self.to(memory_format=torch.channels_last)

    def loss(self, source: Tensor, real: Tensor, fake: Tensor, known: Tensor) -> Tensor:
        """What the discriminators are to minimize; the mean over the scales."""
        kind = self._config.adversary
        both = zip(self._seen(source, real, known), self._seen(source, fake, known), strict=True)
        found = [losses.discriminator_loss(a[-1], b[-1], kind, weight, self._shared) for (a, weight), (b, _) in both]
        return torch.stack(found).mean()

    def verdict(self, source: Tensor, real: Tensor, fake: Tensor, known: Tensor) -> Verdict:
        """What the generator is to minimize; the means over the scales. The discriminators get no gradient."""
        config = self._config
        self.requires_grad_(False)
        judged = list(self._seen(source, fake, known))
        found = [
            losses.adversarial_loss(seen[-1], True, config.adversary, weight, for_generator=True, shared=self._shared)
            for seen, weight in judged
        ]
        matching = torch.zeros((), device=fake.device)
        if config.matching_weight:
            with torch.no_grad():
                true = [seen for seen, _ in self._seen(source, real, known)]
            pairs = zip((seen for seen, _ in judged), true, strict=True)
            matching = torch.stack([losses.matching_loss(mine, theirs) for mine, theirs in pairs]).mean()
        self.requires_grad_(True)
        return Verdict(torch.stack(found).mean(), matching)

    def _seen(self, source: Tensor, picture: Tensor, known: Tensor) -> Iterator[tuple[list[Tensor], Tensor]]:
        """At each scale, what the layers of the discriminator answer and which of its patches count."""
        spec = self._config.discriminator
        pair, sure = torch.cat((source, picture), dim=1), known[:, None].float()
        for network in self.scales:
            features = [layer.float() for layer in patch_features(network, pair)]
            rows, cols = features[-1].shape[-2:]
            inside = sure[:, 0] > 0.999  # of the mean of what a coarser pixel was made of
            yield features, losses.patch_weights(inside, (rows, cols), patch_field(spec), patch_stride(spec))
            pair, sure = _halved(pair), _halved(sure)


def _halved(picture: Tensor) -> Tensor:
    return F.avg_pool2d(picture, 3, stride=2, padding=1, count_include_pad=False)
