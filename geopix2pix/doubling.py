"""Convolutions of scenes that were doubled by nearest neighbours, computed without the doubled scene."""

import torch.nn.functional as F
from torch import Tensor, nn

from geopix2pix.architecture import Padding


class DoublingConv2d(nn.Conv2d):
    """A 3x3 convolution of coarse features, doubled by nearest neighbours, beside finer ones.

    It is the convolution of both stacked, its weights those of that convolution: (out, coarse + fine, 3, 3). The
    coarse share takes 4/9 of the multiplications, and neither the doubled features nor the stack are ever in memory.
    """

    def __init__(self, coarse: int, fine: int, out: int, *, bias: bool, padding: Padding) -> None:
        super().__init__(coarse + fine, out, 3, padding=1, bias=bias, padding_mode=padding)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:  # type: ignore[override]  # of two features
        """Of (n, coarse, rows, cols) and (n, fine, 2 rows, 2 cols) the features (n, out, 2 rows, 2 cols)."""
        own, other = self.weight[:, : coarse.shape[1]], self.weight[:, coarse.shape[1] :]
        # Doubling is a transposed convolution of step 2 with a box of 2 x 2. So both together are one with the kernel's
        # sums over such boxes, which are four times their means.
        kernel = 4 * F.avg_pool2d(own.flip(2, 3), 2, stride=1, padding=1)
        cut = 1
        if self.padding_mode == "replicate":  # one repeated pixel becomes two, which are cut off again
            coarse, cut = F.pad(coarse, (1, 1, 1, 1), mode="replicate"), 3
        doubled = F.conv_transpose2d(coarse, kernel.transpose(0, 1), self.bias, stride=2, padding=cut)
        if not fine.shape[1]:  # some encoders have no feature of this size
            return doubled
        return doubled.add_(self._conv_forward(fine, other, None))  # the largest of all features: no third time
