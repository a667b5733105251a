"""What fitting a linear VAE costs: operations, bytes and, from measured rates, seconds."""

from typing import NamedTuple

from theodolite.kernel.environment import Rates


class Costs(NamedTuple):
    """Of one pass over the data into their moments, and of the eigenvectors after it.

    Attributes
    ----------
    pass_products, solve_products : int
        Multiply-adds.
    read_bytes, state_bytes : int
        What the pass reads; what it holds, however long the data are.
    """

    pass_products: int
    solve_products: int
    read_bytes: int
    state_bytes: int


def closed_form(n: int, d: int, k: int, itemsize: int) -> Costs:
    """Cost of the closed form for n samples of d features, each number of `itemsize` bytes, and k latent dimensions.

    Holds when: d ≤ n. The Gram matrix is symmetric, so half of it is computed; reducing it to tridiagonal form takes
    2/3 d³ multiply-adds and turning k eigenvectors back d² k (Golub and Van Loan 2013, §8.3).
    """
    return Costs(
        pass_products=n * d * (d + 1) // 2,
        solve_products=2 * d**3 // 3 + d * d * k,
        read_bytes=n * d * itemsize,
        # the Gram matrix, a sum and a shift
        state_bytes=8 * (d * d + 2 * d),
    )


class Seconds(NamedTuple):
    """CPU seconds of one pass over the data, of the eigenvectors after it, and of one iteration on the covariance."""

    of_pass: float
    of_solve: float
    of_iteration: float


def seconds(cost: Costs, d: int, k: int, itemsize: int, rates: Rates) -> Seconds:
    """Estimate CPU seconds from what `theodolite doctor` measured; an iteration is four products of d × d by d × k."""
    syrk = rates.syrk_float32_one_thread if itemsize <= 4 else rates.syrk_float64_one_thread
    return Seconds(
        of_pass=cost.pass_products / syrk + cost.read_bytes / rates.read,
        of_solve=rates.eigh_float64 * d**3,
        of_iteration=4 * d * d * k / rates.syrk_float64_one_thread,
    )


def step_flops(batch: int, draws: int, d: int, k: int) -> int:
    """Floating-point operations in the matrix products of one step, forward and backward; a multiply-add is two.

    Per draw U z takes 2dk and L e 2k², per sample W x takes 2dk. Backward, U z is met twice, by U and by z; W x and L e
    once, for neither x nor e is learned. Where z is integrated out (no draws), U W x stands for U z, and U L, 2dk², is
    met twice as well.
    """
    if not draws:
        return batch * (2 * 2 * d * k + 3 * 2 * d * k) + 3 * 2 * d * k * k
    return batch * (2 * 2 * d * k + draws * (3 * 2 * d * k + 2 * 2 * k * k))
