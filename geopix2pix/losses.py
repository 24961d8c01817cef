"""What training minimizes: means over what is known. Where nothing is known a loss is zero, and its gradients too."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geopix2pix.architecture import Adversary

Shared = Callable[[Tensor], Tensor]
"""The mean over the processes that share a batch of what each counts in its part. Divided by that, the losses of the
processes have the loss of the whole batch for their mean."""


def alone(count: Tensor) -> Tensor:
    """The `Shared` of a process that has the whole batch."""
    return count


def set_loss(logits: Tensor, allowed: Tensor, shared: Shared = alone) -> Tensor:
    """Minus the log of the probability that a pixel's class is in its set of allowed classes, the mean over pixels.

    `logits` is (n, classes, rows, cols), `allowed` (n, rows, cols) int64 bit masks. Pixels whose set is empty or holds
    all classes say nothing and do not count. With sets of one class this is the cross-entropy.
    """
    members = class_sets(allowed, logits.shape[1])
    informative = members.any(dim=1) & ~members.all(dim=1)
    members = members | ~informative.unsqueeze(1)  # keeps the logarithm finite where it is not used
    inside = logits.masked_fill(~members, -torch.inf).logsumexp(dim=1)
    surprise = logits.logsumexp(dim=1) - inside
    return torch.where(informative, surprise, 0.0).sum() / shared(informative.sum()).clamp(min=1)


def class_sets(allowed: Tensor, classes: int) -> Tensor:
    """The bit masks (n, rows, cols) as booleans (n, classes, rows, cols)."""
    bits = torch.arange(classes, device=allowed.device).view(1, -1, 1, 1)
    return (allowed.unsqueeze(1) >> bits & 1).bool()


def l1_loss(picture: Tensor, target: Tensor, known: Tensor, shared: Shared = alone) -> Tensor:
    """The mean absolute difference over the bands of the pixels in `known`, (n, rows, cols) booleans."""
    difference = torch.where(known.unsqueeze(1), picture - target, 0.0)
    return difference.abs().sum() / shared(known.sum() * picture.shape[1]).clamp(min=1)


def adversarial_loss(
    logits: Tensor,
    real: bool,
    kind: Adversary,
    weight: Tensor | None = None,
    *,
    for_generator: bool = False,
    shared: Shared = alone,
) -> Tensor:
    """How far the discriminator's `logits` are from calling all patches real, or all fake; a mean weighted by `weight`.

    The generator asks with `real=True` and `for_generator=True`, which matters to the hinge loss alone. `bce`:
    Goodfellow et al. 2014, without saturation; `lsgan`: Mao et al. 2017; `hinge`: Lim and Ye 2017.
    """
    sign = 1.0 if real else -1.0
    match kind:
        case "bce":
            loss = F.softplus(-sign * logits)
        case "lsgan":
            loss = (logits - float(real)).square()
        case "hinge":
            loss = -sign * logits if for_generator else F.relu(1.0 - sign * logits)
        case "none":
            raise ValueError("there is no adversary, so there is no adversarial loss")
    if weight is None:
        return loss.mean()
    weight = weight.expand_as(loss)
    return (loss * weight).sum() / shared(weight.sum()).clamp(min=torch.finfo(loss.dtype).tiny)


def discriminator_loss(
    real: Tensor, fake: Tensor, kind: Adversary, weight: Tensor | None = None, shared: Shared = alone
) -> Tensor:
    """The loss on the logits of real and of fake pairs, halved to slow the discriminator (Isola et al. 2017, 3.3)."""
    pleased, caught = (
        adversarial_loss(logits, truth, kind, weight, shared=shared) for logits, truth in ((real, True), (fake, False))
    )
    return (pleased + caught) / 2


def matching_loss(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """The mean absolute difference of a discriminator's features, layer by layer (Wang et al. 2018, section 3.2).

    The last of each are the logits, which do not count.
    """
    return torch.stack([F.l1_loss(mine, theirs) for mine, theirs in zip(fake[:-1], real[:-1], strict=True)]).mean()


def perceptual_loss(network: nn.Module, pictures: Tensor, targets: Tensor) -> Tensor:
    """LPIPS of batches (n, bands, rows, cols) in [-1, 1], to be minimized; the mean over the batch.

    Compares features rather than pixels, as Johnson et al. 2016 do, with the layer weights of Zhang et al. 2018.
    """
    first, second = (x[:, :3] if x.shape[1] >= 3 else x[:, :1].expand(-1, 3, -1, -1) for x in (pictures, targets))
    found: Tensor = network(first, second).mean()
    return found


def patch_weights(known: Tensor, logits_shape: tuple[int, int], field: int, stride: int, share: float = 0.95) -> Tensor:
    """One where at least `share` of a discriminator patch is known, else zero; shape (n, 1, *logits_shape).

    `known` is (n, rows, cols) booleans, `field` and `stride` are those of the patches, which lie centred on the image.
    Pixels outside the image do not count.
    """
    paddings = [
        (stride * (patches - 1) + field - size + 1) // 2
        for patches, size in zip(logits_shape, known.shape[1:], strict=True)
    ]
    rows, cols = paddings
    padding = (cols, cols, rows, rows)
    inside = torch.ones_like(known[:1], dtype=torch.float32).unsqueeze(1)
    pixels = F.avg_pool2d(F.pad(known.float().unsqueeze(1), padding), field, stride)
    return (pixels >= share * F.avg_pool2d(F.pad(inside, padding), field, stride)).float()
