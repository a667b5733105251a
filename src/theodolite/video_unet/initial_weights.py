"""Initial weights with which a network of rectifiers is nearly linear, so that it learns from its first step on.

A rectifier drops half of what it is given, and after many of them two different clips are nearly alike. Here channels
come in pairs: one holds max(s, 0) of a signal s, the other max(−s, 0), and what reads them takes their difference,
which is s (Balduzzi et al. 2017, "The shattered gradients problem"). From signals to signals leads, for the most part,
an orthogonal matrix at the kernel's centre, which passes on any number of layers what it is given (Xiao et al. 2018,
"Dynamical isometry and a mean field theory of CNNs"); the rest is normal over the whole kernel, so that channels differ
in what they see.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

Signals = Float[Tensor, "signals channels"]
"""How channels carry signals: what a channel adds to each when it is read."""

MID_GREY = 0.45
"""What clips in [0, 1] are on average, about."""
LIFT = 1.0
"""By how much signals, a few tenths large, are raised where channels are too dear to come in pairs."""
AT_CENTRE = 0.95
"""Share of an output's power that comes through the centre of the kernel."""


def plain(channels: int) -> Signals:
    """A signal a channel, of either sign."""
    return torch.eye(channels)


def paired(channels: int) -> Signals:
    """A signal for every two rectified channels, their difference; an odd last channel has its own."""
    pairs = channels // 2
    signals = torch.eye(channels - pairs, channels)
    signals[:pairs, channels - pairs :] = -torch.eye(pairs)
    return signals


@torch.no_grad()
def draw(layer: nn.Module, reads: Signals, writes: Signals) -> None:
    """Draw a convolution's weights so that signals keep their mean square, away from borders; its bias becomes 0.

    Parameters
    ----------
    layer : Conv3d or ConvTranspose3d
        What is drawn; the windows of the latter must not overlap.
    reads, writes : Signals
        How its input's channels carry signals, and its output's before they are rectified.
    """
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    raised = isinstance(layer, nn.ConvTranspose3d)
    into, out_of, taps = len(writes), len(reads), math.prod(weight.shape[2:])
    # of an up-convolution every output reads one tap, so each is a centre; repetition is where it begins
    terms, centre = (out_of, slice(None)) if raised else (out_of * taps, slice(taps // 2, taps // 2 + 1))
    small = torch.randn(into, out_of, taps) * math.sqrt((1.0 - AT_CENTRE) / terms)
    rotation = nn.init.orthogonal_(torch.empty(into, out_of), gain=math.sqrt(max(1.0, into / out_of)))
    small[..., centre] += math.sqrt(AT_CENTRE) * rotation[..., None]
    whole = torch.einsum("so,stk,ti->oik", writes, small, reads)
    weight.copy_((whole.transpose(0, 1) if raised else whole).reshape(weight.shape))
    bias.zero_()


def draw_block(convolutions: nn.Module, reads: Signals, *, lifted: bool = False) -> Signals:
    """Draw convolutions that are rectified one after the other; return how the last one's channels carry signals.

    Where `lifted`, each of the last one's channels holds a signal of its own, `LIFT` above the rectifier's zero.
    """
    layers = list(convolutions.children())
    for layer in layers:
        outputs = layer.get_parameter("weight").shape[0]
        writes = plain(outputs) if lifted and layer is layers[-1] else paired(outputs)
        draw(layer, reads, writes)
        reads = writes
    if lifted:
        nn.init.constant_(layers[-1].get_parameter("bias"), LIFT)
    return reads


@torch.no_grad()
def see_above(value: float, layer: nn.Module) -> None:
    """Let a layer see, away from borders, how far its input's channels are above a value: by its bias."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    if isinstance(layer, nn.ConvTranspose3d):  # each output reads one tap, and all are to make the same of the value
        made = weight.sum(dim=0)
        alike = made.mean(dim=(1, 2, 3), keepdim=True)
        weight.sub_((made - alike) / len(weight))
        bias.copy_(-value * alike.flatten())
    else:
        bias.copy_(-value * weight.sum(dim=(1, 2, 3, 4)))
