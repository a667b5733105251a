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


def vit_kept_bytes(tokens: int, patch_values: int, width: int, heads: int, layers: int, *, fused: bool = True) -> int:
    """Bytes that a plain vision transformer keeps up to its head, in float32.

    Holds when: as `layer_kept_bytes`, or where attention is not fused as `materialised_layer_kept_bytes`.
    Source: docs/answers/q4.md, Q4.c.
    """
    layer = layer_kept_bytes if fused else materialised_layer_kept_bytes
    return FLOAT32 * tokens * patch_values + layers * layer(tokens, width, heads)


def nested_kept_bytes(nesting: Nesting, patch_values: int, width: int, heads: int, *, fused: bool = True) -> int:
    """Bytes that ordinary autograd keeps of a nested vision transformer up to its heads, in float32.

    Holds when: as `vit_kept_bytes`, for an image of whole windows.
    Source: docs/answers/q4.md, Q4.c.
    """
    K, patches, R, S, local, across = nesting
    layer = layer_kept_bytes if fused else materialised_layer_kept_bytes
    within = K * layer(patches + R, width, heads)
    among = layer(K * R, width, heads)
    return FLOAT32 * K * patches * patch_values + S * (local * within + across * among)


def chunk_kept_bytes(nesting: Nesting, patch_values: int, width: int, heads: int, chunk: int) -> int:
    """Bytes that one recomputed chunk keeps: the local layers of all stages of `chunk` windows, in float32.

    Holds when: as `nested_kept_bytes`. The number of windows does not enter: hence "nearly constant memory".
    Source: docs/answers/q4.md, Q4.a.
    """
    return nested_kept_bytes(nesting._replace(windows=chunk, global_blocks=0), patch_values, width, heads)


def stage_kept_bytes(nesting: Nesting, patch_values: int, width: int, heads: int, chunk: int) -> int:
    """Bytes that a chunk keeps of one stage alone, the first, which keeps its pixels, too, in float32.

    Holds when: as `chunk_kept_bytes`, and what leaves each stage is stored.
    Source: docs/answers/q4.md, Q4.a.
    """
    return chunk_kept_bytes(nesting._replace(stages=1), patch_values, width, heads, chunk)


def region_bytes(nesting: Nesting, width: int) -> int:
    """Bytes of the region tokens of one stage, once: G·d numbers in float32.

    Holds when: always.
    Source: docs/answers/q4.md, Q4.a.
    """
    return FLOAT32 * nesting.windows * nesting.region_tokens * width


def stored_bytes(nesting: Nesting, width: int, boundaries: int) -> int:
    """Bytes of the patches that leave `boundaries` stages: K·w²·d numbers each, in float32, in files.

    Holds when: every patch is stored, those of padding among them.
    Source: docs/answers/q4.md, Q4.a.
    """
    return FLOAT32 * boundaries * nesting.windows * nesting.patches * width


def masks_kept_bytes(tokens: int, width: int, layers: int) -> int:
    """Bytes of dropout's masks that layers keep: two a layer, a byte a number.

    Holds when: dropout follows attention and the MLP; its masks are truth values.
    Source: the masks are what the product with them needs backward.
    """
    return 2 * tokens * width * layers


def pixel_loss_kept_bytes(pixels: int, classes: int) -> int:
    """Bytes that the loss of every pixel keeps, in float32: 9 for one logit, 4C + 8 for C classes.

    Holds when: one logit by binary cross-entropy (logit, truth as a number, a byte for what is ignored), more by
    cross-entropy (logarithms of probabilities, truth as an integer of 8 bytes).
    Source: docs/answers/q4.md, Q4.c; the inputs of each operation that has a gradient.
    """
    return pixels * (2 * FLOAT32 + 1 if classes == 1 else FLOAT32 * classes + 8)


def phase_peak_bytes(kept: int, tokens_bytes: int, passing: int = 0, *, times: int = 5) -> int:
    """Most bytes that one part of a network holds while it is differentiated, in float32.

    What is kept, and beside it the larger of two: at the end of the forward pass the last layer's tokens and what
    passes through the loss; when the last MLP is differentiated, the gradients of its output and of its hidden layer
    (5·4Nd), and by chunks the cotangent that entered beside them (6·4Nd).

    Holds when: `kept` are the bytes kept for the backward pass, `tokens_bytes` those of the tokens computed at a time,
    `passing` those of the logits and losses of their pixels, `times` the multiple of the tokens in the last MLP, 0
    where there is none.
    Source: docs/answers/q4.md, Q4.a.
    """
    return kept + max(tokens_bytes + passing, times * tokens_bytes)


def step_peak_bytes(working: int, regions: int, parameters: int, resident: int) -> int:
    """Most bytes that tensors of a training step with AdamW hold at one moment, in float32.

    Weights and both moments, images and truth and region tokens stand; beside them the largest phase, or all gradients
    and as many handed out.

    Holds when: `working` is the largest `phase_peak_bytes` and the gradients of weights known by then, `parameters` are
    the bytes of all weights, `resident` those of images and truth, `regions` those of region tokens and of their
    gradients. What an operation uses within itself is not counted, nor what a process holds without any tensor.
    Source: docs/answers/q4.md, Q4.a; within 10% of what torch's allocator reports, by the tests.
    """
    return 3 * parameters + resident + regions + max(working, 2 * parameters)
