"""Work of vision transformers in FLOPs (a multiplication and an addition are two), and the size of attention matrices.

Letters: N tokens, d width, L layers; K windows of n = w² + R tokens, w² of them patches and R region tokens; G = K·R.
"""

from typing import NamedTuple

MLP_RATIO = 4


class Nesting(NamedTuple):
    """Dimensions of a nested vision transformer on one image.

    Attributes
    ----------
    windows : int
        K, how many windows cover the image.
    patches : int
        w², patches in a window.
    region_tokens : int
        R, region tokens of a window.
    stages, local_blocks, global_blocks : int
        S stages, each of l layers within windows, then g layers over all region tokens.
    """

    windows: int
    patches: int
    region_tokens: int
    stages: int
    local_blocks: int
    global_blocks: int


def windows_covering(height: int, width: int, side: int) -> tuple[int, int]:
    """Rows and columns of square windows (pixels a side) that cover an image.

    Holds when: the image is padded on the right and below to whole windows.
    Source: ⌈height / side⌉ and ⌈width / side⌉.
    """
    return -(-height // side), -(-width // side)


def linear_flops(rows: int, inputs: int, outputs: int) -> int:
    """FLOPs of a linear map applied to `rows` vectors.

    Holds when: additions of the bias are not counted.
    Source: Golub and Van Loan (2013), Matrix Computations, section 1.1: 2·m·n·k for a matrix product.
    """
    return 2 * rows * inputs * outputs


def attention_flops(tokens: int, width: int) -> int:
    """FLOPs of the two products that are quadratic in the tokens of one attention layer.

    Holds when: every token attends to every other; the softmax is not counted.
    Source: Vaswani et al. (2017), equation 1: QKᵀ and its product with V, 2N²d each over all heads.
    """
    # QKᵀ, then the weights times V
    return linear_flops(tokens, width, tokens) + linear_flops(tokens, tokens, width)


def layer_flops(tokens: int, width: int) -> int:
    """FLOPs of one transformer layer: 24Nd² + 4N²d.

    Holds when: the hidden layer of the MLP is 4 times as wide; softmax, norms and activations are not counted.
    Source: Vaswani et al. (2017), equations 1 and 2.
    """
    N, d = tokens, width
    # queries, keys and values; the projection back
    linear = linear_flops(N, d, 3 * d) + linear_flops(N, d, d)
    # both layers of the MLP
    mlp = linear_flops(N, d, MLP_RATIO * d) + linear_flops(N, MLP_RATIO * d, d)
    return linear + mlp + attention_flops(N, d)


def vit_flops(tokens: int, patch_values: int, width: int, layers: int, head: int) -> int:
    """FLOPs of a plain vision transformer's forward pass: 2N·3p²·d + L(24Nd² + 4N²d) + head.

    Holds when: no class token; `patch_values` = 3p² numbers are embedded a token; `head` is the FLOPs of the head.
    Source: Dosovitskiy et al. (2021), equations 1 to 4.
    """
    return linear_flops(tokens, patch_values, width) + layers * layer_flops(tokens, width) + head


def nested_flops(nesting: Nesting, patch_values: int, width: int, head: int) -> int:
    """FLOPs of a nested vision transformer's forward pass.

    2Kw²·3p²·d + S[l·K(24nd² + 4n²d) + g(24Gd² + 4G²d)] + head

    Holds when: windows that padding fills are computed in full; `head` is the FLOPs of all heads.
    Source: docs/answers/q4.md, Q4.c.
    """
    K, patches, R, S, local, across = nesting
    # the embedding, once
    embedding = linear_flops(K * patches, patch_values, width)
    # within windows: K sequences of n = w² + R tokens
    within = K * layer_flops(patches + R, width)
    # among windows: one sequence of G = K·R region tokens
    among = layer_flops(K * R, width)
    return embedding + S * (local * within + across * among) + head


def nested_attention_flops(nesting: Nesting, width: int) -> int:
    """FLOPs of the quadratic products alone in a nested vision transformer's forward pass.

    Holds when: as `nested_flops`. Not a fair comparison by itself: linear layers dominate once windows are small.
    Source: docs/answers/q4.md, Q4.c.
    """
    K, patches, R, S, local, across = nesting
    return S * (local * K * attention_flops(patches + R, width) + across * attention_flops(K * R, width))


def vit_attention_entries(tokens: int, heads: int, layers: int) -> int:
    """Attention weights of a plain vision transformer's forward pass, over all layers and heads: L·h·N².

    Holds when: no class token.
    Source: Vaswani et al. (2017), equation 1.
    """
    return layers * heads * tokens**2


def nested_attention_entries(nesting: Nesting, heads: int) -> int:
    """Attention weights of a nested vision transformer's forward pass, over all layers and heads: S·h(l·Kn² + g·G²).

    Holds when: windows that padding fills are computed in full.
    Source: docs/answers/q4.md, Q4.c.
    """
    K, patches, R, S, local, across = nesting
    return S * heads * (local * K * (patches + R) ** 2 + across * (K * R) ** 2)


def training_flops(forward: int, embedding: int) -> int:
    """FLOPs of a forward and a backward pass.

    Holds when: every product is differentiated to both factors, but for the embedding, whose pixels need no gradient.
    Source: each forward product of 2mnk FLOPs has two of equal size in its backward pass.
    """
    return 3 * forward - embedding


def recomputed_training_flops(
    nesting: Nesting, patch_values: int, width: int, dense_head: int, other_heads: int
) -> int:
    """FLOPs of one training step that recomputes windows from their pixels (`docs/answers/q4.md`, Q4.a).

    Stage s is computed again for every later use: S(S+1)/2 forward stages, then, for a dense target, all S once more
    to read it, then S(S+1)/2 stages forward and backward. Global layers, which are cheap, run forward twice.

    Holds when: the embedding is recomputed with stage 1; `dense_head` or `other_heads` may be 0.
    Source: docs/answers/q4.md, Q4.a.
    """
    K, patches, R, S, local, across = nesting
    stage = local * K * layer_flops(patches + R, width)
    embedding = linear_flops(K * patches, patch_values, width)
    stages = S * (S + 1) // 2
    reading = (S * stage + embedding) * (dense_head > 0)
    forward = stages * stage + S * embedding + reading
    backward = stages * 3 * stage + S * 2 * embedding
    # global layers run forward once, then forward and backward
    among = 4 * S * across * layer_flops(K * R, width)
    # the dense head is read twice: first for its region tokens' gradient alone, not for its weights'
    heads = 3 * other_heads + (2 + 3) * dense_head
    return forward + backward + among + heads


def stored_training_flops(nesting: Nesting, patch_values: int, width: int, dense_head: int, other_heads: int) -> int:
    """FLOPs of one training step that stores what leaves each stage (`docs/answers/q4.md`, Q4.a): about 4/3 of nominal.

    Each stage runs forward once, then forward and backward once; the dense head reads what was stored, once.

    Holds when: the embedding is recomputed with stage 1; `dense_head` or `other_heads` may be 0.
    Source: docs/answers/q4.md, Q4.a.
    """
    K, patches, R, S, local, across = nesting
    # forward, then forward again and twice as much backward; of the embedding only to its weights
    within = 4 * S * local * K * layer_flops(patches + R, width)
    embedding = 3 * linear_flops(K * patches, patch_values, width)
    among = 4 * S * across * layer_flops(K * R, width)
    return within + embedding + among + 3 * (dense_head + other_heads)


def attention_matrix_bytes(tokens: int, number_bytes: int = 4) -> int:
    """Bytes of one head's attention matrix over one sequence.

    Holds when: the matrix is materialised; fused kernels ("SDPA") keep O(N) of it and are limited by work instead.
    Source: N² numbers; Dao et al. (2022), FlashAttention, section 3.
    """
    return number_bytes * tokens**2
