"""Bytes that a transformer keeps for its backward pass, by ordinary autograd and by chunked recomputation.

Letters as in `theory.attention`: N tokens, d width, h heads; K windows of n = w² + R tokens; G = K·R.
"""

from theodolite.theory.attention import Nesting

FLOAT32 = 4  # bytes


def layer_kept_bytes(tokens: int, width: int, heads: int) -> int:
    """Bytes that one transformer layer keeps for its backward pass, in float32: 4N(16d + h + 4).

    Holds when: attention is fused ("SDPA": it keeps its input, its output and a logarithm a head and token, never N²
    weights), the layer is normalised before each half, the MLP's hidden layer is 4 times as wide.
    Source: docs/answers/q4.md, Q4.c; the terms are the inputs of each operation that has a gradient.
    """
    N, d, h = tokens, width, heads
    # two norms: the input, its mean and its deviation
    norms = 2 * (d + 2)
    # the input of queries, keys and values; these three; attention's output, which is the projection's input
    attention = d + 3 * d + h + d
    # the input of the MLP; its hidden layer before and after the nonlinearity
    mlp = d + 4 * d + 4 * d
    return FLOAT32 * N * (norms + attention + mlp)


def materialised_layer_kept_bytes(tokens: int, width: int, heads: int) -> int:
    """Bytes that one layer keeps where attention weights are materialised, in float32: N² more a head.

    Holds when: as `layer_kept_bytes`, and the weights after the softmax are kept, but not the logits before it.
    Source: Dao et al. (2022), FlashAttention, section 3.
    """
    return layer_kept_bytes(tokens, width, heads) + FLOAT32 * heads * (tokens**2 - tokens)


def reading_kept_bytes(tokens: int, width: int) -> int:
    """Bytes that a norm and the linear head behind it keep for `tokens` tokens, in float32: 4N(2d + 2).

    Holds when: what the loss keeps of the head's output is counted apart.
    Source: the norm's input, mean and deviation, and the head's input.
    """
    return FLOAT32 * tokens * (2 * width + 2)


def vit_kept_bytes(tokens: int, patch_values: int, width: int, heads: int, layers: int) -> int:
    """Bytes that a plain vision transformer keeps up to its head, in float32.

    Holds when: as `layer_kept_bytes`.
    Source: docs/answers/q4.md, Q4.c.
    """
    return FLOAT32 * tokens * patch_values + layers * layer_kept_bytes(tokens, width, heads)


def nested_kept_bytes(nesting: Nesting, patch_values: int, width: int, heads: int) -> int:
    """Bytes that ordinary autograd keeps of a nested vision transformer up to its heads, in float32.

    Holds when: as `layer_kept_bytes`, for an image of whole windows.
    Source: docs/answers/q4.md, Q4.c.
    """
    K, patches, R, S, local, across = nesting
    within = layer_kept_bytes(K * (patches + R), width, heads)
    among = layer_kept_bytes(K * R, width, heads)
    return FLOAT32 * K * patches * patch_values + S * (local * within + across * among)


def chunk_kept_bytes(nesting: Nesting, patch_values: int, width: int, heads: int, chunk: int) -> int:
    """Bytes that one recomputed chunk keeps: the local layers of all stages of `chunk` windows, in float32.

    Holds when: as `nested_kept_bytes`. The number of windows does not enter: hence "nearly constant memory".
    Source: docs/answers/q4.md, Q4.a.
    """
    return nested_kept_bytes(nesting._replace(windows=chunk, global_blocks=0), patch_values, width, heads)


def boundary_bytes(nesting: Nesting, width: int) -> int:
    """Bytes of region tokens that chunked recomputation keeps from forward to backward: (S + 1)·G·d numbers.

    Holds when: what leaves each stage's local layers is kept, and what leaves the first global layers, read there.
    Source: docs/answers/q4.md, Q4.a.
    """
    return FLOAT32 * (nesting.stages + 1) * nesting.windows * nesting.region_tokens * width
