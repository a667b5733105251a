"""Work and memory of the shifted-window transformer Swin-T, as published, on images of any size.

Letters as in the paper: h × w tokens of a stage, C its width, M the side of a window in tokens.
"""

from typing import NamedTuple

from theodolite.theory.attention import MLP_RATIO, linear_flops
from theodolite.theory.memory import FLOAT32, layer_kept_bytes, materialised_layer_kept_bytes

PATCH, M = 4, 7  # side of a patch, px; side of a window, tokens
WIDTHS = (96, 192, 384, 768)
DEPTHS = (2, 2, 6, 2)
HEADS = (3, 6, 12, 24)


class SwinStage(NamedTuple):
    """A stage of Swin-T on one image.

    Attributes
    ----------
    rows, columns : int
        h and w, its tokens.
    width, layers, heads : int
        C, how many layers, attention heads.
    windows : int
        How many windows of M × M tokens cover them.
    """

    rows: int
    columns: int
    width: int
    layers: int
    heads: int
    windows: int

    @property
    def tokens(self) -> int:
        """Tokens, h·w."""
        return self.rows * self.columns

    @property
    def attending(self) -> int:
        """Tokens of all windows, those of padding among them."""
        return self.windows * M**2


def swin_stages(height: int, width: int) -> tuple[SwinStage, ...]:
    """Stages of Swin-T on an image in pixels.

    Holds when: the image is padded to whole patches, each stage to whole windows before attention (and cut back after
    it), and to even sides before patches are merged.
    Source: Liu et al. (2021), section 3.1 and table 7: C = 96, layers 2, 2, 6, 2, M = 7.
    """
    h, w = -(-height // PATCH), -(-width // PATCH)
    stages = []
    for C, layers, heads in zip(WIDTHS, DEPTHS, HEADS, strict=True):
        stages.append(SwinStage(h, w, C, layers, heads, -(-h // M) * -(-w // M)))
        h, w = -(-h // 2), -(-w // 2)
    return tuple(stages)


def swin_flops(height: int, width: int, channels: int = 3, outputs: int = 1000) -> int:
    """FLOPs of Swin-T's forward pass: twice 12hwC² + 2M²hwC a layer where windows need no padding.

    Holds when: as `swin_stages`; linear maps of attention run over padding, too, the MLP does not. Shifted windows cost
    what others do. Softmax, norms, activations and biases of relative position are not counted.
    Source: Liu et al. (2021), equation 2 and section 3.1.
    """
    stages = swin_stages(height, width)
    flops = linear_flops(stages[0].tokens, channels * PATCH**2, stages[0].width)
    for number, stage in enumerate(stages):
        C, N = stage.width, stage.tokens
        # queries, keys, values and the projection back; both products of attention; both layers of the MLP
        linear = linear_flops(stage.attending, C, 4 * C)
        mlp = 2 * linear_flops(N, C, MLP_RATIO * C)
        flops += stage.layers * (linear + mlp) + _products(stage)
        if number:  # four neighbours of the stage before became one token
            flops += linear_flops(N, 4 * stages[number - 1].width, C)
    return flops + linear_flops(1, WIDTHS[-1], outputs)


def swin_attention_flops(height: int, width: int) -> int:
    """FLOPs of the products within windows alone: 4M²hwC a layer where windows need no padding.

    Holds when: as `swin_flops`.
    Source: Liu et al. (2021), equation 2.
    """
    return sum(_products(stage) for stage in swin_stages(height, width))


def swin_attention_entries(height: int, width: int) -> int:
    """Attention weights of one forward pass, over all layers and heads.

    Holds when: as `swin_flops`: M² for each token and head.
    Source: Liu et al. (2021), section 3.2.
    """
    return sum(stage.layers * stage.heads * stage.attending * M**2 for stage in swin_stages(height, width))


def swin_parameters(channels: int = 3, outputs: int = 1000) -> int:
    """Trained numbers of Swin-T.

    Holds when: every linear map but that which merges patches has biases; relative positions have (2M − 1)² biases a
    head and layer; norms follow the embedding, and stand before each half of a layer, before merging and at the end.
    Source: Liu et al. (2021), section 3; 28.3 million with 3 channels and 1000 labels (table 1).
    """
    total = (channels * PATCH**2 + 1) * WIDTHS[0] + 2 * WIDTHS[0]
    for number, (C, layers, heads) in enumerate(zip(WIDTHS, DEPTHS, HEADS, strict=True)):
        layer = 12 * C**2 + 9 * C + 4 * C + (2 * M - 1) ** 2 * heads
        total += layers * layer
        if number:
            before = 4 * WIDTHS[number - 1]
            total += 2 * before + before * C
    return total + 2 * WIDTHS[-1] + (WIDTHS[-1] + 1) * outputs


def swin_kept_bytes(height: int, width: int, channels: int = 3, *, fused: bool = True) -> int:
    """Bytes that autograd keeps of Swin-T up to its head, in float32.

    Holds when: as `layer_kept_bytes` for the tokens of windows, without what shifts, padding and biases of position
    keep, which implementations do in ways of their own: a lower bound.
    Source: the inputs of each operation that has a gradient; layers by Liu et al. (2021), section 3.
    """
    stages = swin_stages(height, width)
    # pixels of patches, and what the norm after their embedding keeps
    kept = FLOAT32 * stages[0].tokens * (channels * PATCH**2 + stages[0].width + 2)
    for number, stage in enumerate(stages):
        of_layer = layer_kept_bytes if fused else materialised_layer_kept_bytes
        kept += stage.layers * stage.windows * of_layer(M**2, stage.width, stage.heads)
        if number:  # the norm's input, mean and deviation, and the input of the map that merges
            kept += FLOAT32 * stage.tokens * (2 * 4 * stages[number - 1].width + 2)
    return kept


def _products(stage: SwinStage) -> int:
    return stage.layers * 2 * linear_flops(stage.attending, stage.width, M**2)
