"""The leading eigenvalues of a covariance, however tall or wide the data, each result with its residual.

Three ways, chosen by operation counts: the covariance itself (d × d); the Gram matrix of the rows (n × n); Lanczos on
products with the covariance, which is never formed.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from theodolite.data.rows import Rows, open_rows
from theodolite.kernel.environment import memory_bytes
from theodolite.linear_vae.moments import SMALLEST_SQUARE, Moments, fits_single, refuse
from theodolite.linear_vae.products import Products
from theodolite.theory.ppca import Spectrum

Float64 = NDArray[np.float64]
Solver = Literal["covariance", "gram", "lanczos"]

# cost of one operation, beside one of a large matrix product: in an eigensolver, in a product with few vectors
EIGEN, VECTOR = 6, 6
DIRECT = 1000  # the smaller side up to which nothing is iterated
GRAM_BYTES = 2**30  # of float64 rows that are held for the Gram matrix
TOLERANCES = {4: 1e-6, 8: 1e-10}  # of the residual, by bytes a number
ROUNDS = 6  # of looking for what Lanczos has missed
BLOCK, PROBES = 3, 4  # vectors multiplied at once: no dearer than one; steps of that look
EIGENVALUE_ERROR, EXCESS = 5e-7, 2e-10  # relative; nats per sample: what float32 products may cost
SURE = 2  # standard errors


class Leading(NamedTuple):
    """The k leading eigenvalues and vectors, and how good they are.

    Attributes
    ----------
    spectrum : Spectrum
        Mean (d,); eigenvalues (d,), of which the first k were computed and the others stand at their mean, so that sums
        are right; eigenvectors (d, k), the largest entry of each positive.
    residual : float
        The largest ‖S v_j − λ_j v_j‖ / λ_1: an eigenvalue of S lies that close to each λ_j (Parlett, 1998, theorem
        4.5.1).
    products : int
        Passes over the data.
    moments : Moments or None
        Of the rows, where the covariance was formed.
    """

    spectrum: Spectrum
    residual: float
    products: int
    moments: Moments | None = None


def solver_for(n: int, d: int, k: int) -> Solver:
    """Choose the way to k leading eigenvalues of n rows of d features that takes the least work."""
    work: dict[Solver, float] = {
        "covariance": n * d**2 + EIGEN * 4 / 3 * d**3,
        "gram": n**2 * d + EIGEN * 4 / 3 * n**3,
        "lanczos": VECTOR * 4.0 * n * d * (2 * k + 30),
    }
    if 4 * 8 * d**2 > memory_bytes():
        del work["covariance"]
    if 8 * n * d > GRAM_BYTES:
        del work["gram"]
    direct = [way for way in work if way != "lanczos"]
    if 4 * k >= min(n, d) or (direct and min(n, d) <= DIRECT):  # Lanczos is for few of many
        del work["lanczos"]
    if not work:
        raise ValueError(f"{k} components of {n} rows of {d} features need more memory than there is; ask for fewer")
    return min(work, key=lambda way: work[way])


def leading(source: Rows | NDArray[Any], k: int, ddof: int = 0, random_state: int = 0) -> Leading:
    """Return the k leading eigenvalues of the covariance of rows, by the way that takes the least work.

    Float32 rows are multiplied in float32 first, and once more in float64 where that has cost too much.

    Raises
    ------
    ValueError
        If the rows are fewer than two, or not finite, or k > d, or no way fits in memory.
    """
    rows = source if isinstance(source, Rows) else open_rows(source)
    n, d = rows.shape
    if solver_for(n, d, k) != "covariance":
        return from_rows(rows, k, ddof, random_state=random_state)
    single = fits_single(rows.dtype)
    moments = _counted(rows, single=single)
    found = from_covariance(moments.mean, moments.covariance(ddof), k)
    if single and not trusted(moments, found.spectrum, k):
        moments = _counted(rows, single=False)
        found = from_covariance(moments.mean, moments.covariance(ddof), k)._replace(products=2)
    moments.single = False  # rows added later have nobody who would read them again
    return found._replace(moments=moments)


def _counted(rows: Rows, single: bool) -> Moments:
    moments = Moments(rows.shape[1], single=single)
    for block in rows.blocks(moments.block_rows(rows.dtype)):
        moments.add(block)
    return moments


def trusted(moments: Moments, data: Spectrum, k: int) -> bool:
    """Whether products in float32 leave λ_1 … λ_k within 5e-7, and the fit within 2e-10 nats per sample of its optimum.

    First-order perturbation theory: λ_j errs by v_jᵀ E v_j, and the likelihood by the square of that; E is known from
    what `Moments.rounding` has seen.
    """
    bias, spread = moments.rounding
    if not spread.any():
        return True
    d, V = len(data.mean), data.eigenvectors[:, :k]
    lam = data.eigenvalues[:k]
    rest = float(data.eigenvalues[k:].sum())
    shares = V**2
    error = np.abs(bias @ shares) + SURE * (spread @ shares)
    if np.any(error > EIGENVALUE_ERROR * lam):
        return False
    excess = float(np.sum((error / lam) ** 2)) / 4
    if k < d:
        left = np.maximum(1 - shares.sum(axis=1), 0)
        # the noise variance is the mean of what is left
        excess += (d - k) / 4 * ((abs(bias @ left) + SURE * np.linalg.norm(spread * left)) / max(rest, 1e-300)) ** 2
        # leading vectors turn towards those left out; products of unlike columns round less than squares
        turn = np.mean(spread) ** 2 / 4 + np.mean(bias) ** 2
        excess += float(np.sum(turn * (d - k) ** 2 / (2 * lam * max(rest, 1e-300))))
    return excess <= EXCESS


def from_covariance(mean: ArrayLike, covariance: ArrayLike, k: int) -> Leading:
    """Return the k leading eigenvalues of a covariance (d, d)."""
    m, S = np.asarray(mean, float), np.asarray(covariance, float)
    _check_k(k, len(m))
    lam: Float64
    V: Float64
    lam, V = scipy.linalg.eigh(S, subset_by_index=(len(m) - k, len(m) - 1), driver="evr", check_finite=False)
    if not (residual := _residual(S @ V, lam, V)) <= TOLERANCES[8]:
        lam, V = (part[..., -k:] for part in scipy.linalg.eigh(S, driver="evd"))
        residual = _residual(S @ V, lam, V)
    return _leading(m, lam[::-1], V[:, ::-1], float(np.trace(S)), residual, 1)


def from_rows(
    source: Rows | NDArray[Any], k: int, ddof: int = 0, tol: float | None = None, random_state: int = 0
) -> Leading:
    """Return the k leading eigenvalues of the covariance of wide data, without forming it.

    Parameters
    ----------
    source : Rows or array (n, d)
        Lanczos reads it once for each product; for the Gram matrix, of few rows, it is held in float64.
    tol : float or None
        Most residual; by default 1e-6 for float32, 1e-10 for float64.
    random_state : int
        Of the vector that Lanczos starts from.

    Raises
    ------
    ValueError
        If the rows are fewer than two, or not finite, or the residual stays above `tol`.
    """
    rows = source if isinstance(source, Rows) else open_rows(source)
    n, d = rows.shape
    _check_k(k, d)
    if n < 2 or n <= ddof:
        raise ValueError(f"{n} rows were given; a covariance with ddof={ddof} needs {max(2, ddof + 1)}")
    few = solver_for(n, d, k) != "lanczos" and 8 * n * d <= GRAM_BYTES
    if few or 4 * k >= min(n, d):
        X = np.concatenate([block.astype(np.float64) for block in rows.blocks()])
        found = _by_gram(X, k, n - ddof)
        if not np.isfinite(found.residual) or n * found.spectrum.eigenvalues[0] < SMALLEST_SQUARE:
            refuse(np.concatenate(list(rows.blocks())))
        return found
    products = Products(rows)
    tol = TOLERANCES[products.dtype.itemsize] if tol is None else tol
    found = _by_lanczos(products, k, n - ddof, tol, random_state)
    if not found.residual <= tol:
        raise ValueError(f"the residual of Lanczos stayed at {found.residual:.1g}, {tol:.1g} was asked for; raise tol")
    return found


def _by_gram(X: Float64, k: int, divisor: int) -> Leading:
    """Eigenvectors of S = XᵀX / divisor from those of XXᵀ, which is smaller; X is centred in place."""
    n, d = X.shape
    with np.errstate(over="ignore", invalid="ignore"):
        # by way of the first row, so that nothing is left where a feature does not vary
        first = X[0].copy()
        X -= first
        rest = X.mean(axis=0)
        X -= rest
        mean = first + rest
        G = X @ X.T
    if not np.isfinite(np.trace(G)):
        return _leading(mean, np.full(k, np.nan), np.eye(d, k), np.nan, np.nan, 1)
    r = min(k, n)
    _, U = scipy.linalg.eigh(G, subset_by_index=(n - r, n - 1), driver="evr")
    # X ᵀu has length √(n λ): where that is rounding, and beyond n, any direction at right angles will do
    V = X.T @ U[:, ::-1]
    V /= np.maximum(np.linalg.norm(V, axis=0), 1e-300)
    more = np.random.default_rng(0).standard_normal((d, k - r))
    V = np.linalg.qr(np.hstack([V, more]))[0]
    lam, V, residual = _ritz(V, X.T @ (X @ V) / divisor)
    return _leading(mean, lam, V, float(np.vdot(X, X)) / divisor, residual, 1)


def _by_lanczos(products: Products, k: int, divisor: int, tol: float, random_state: int) -> Leading:
    d, random = len(products.mean), np.random.default_rng(random_state)
    trace = products.squares / divisor
    if not trace > 0:
        return _leading(products.mean, np.zeros(k), np.eye(d, k), 0.0, 0.0, products.passes)
    V, start, residual = np.zeros((d, 0)), random.standard_normal((d, BLOCK)), np.inf
    for _ in range(ROUNDS):
        V = _krylov(products, start, np.zeros((d, 0)), k, tol / 2, 8 * k + 120)[1]
        lam, V, residual = _ritz(V, products.times(V) / divisor)
        # Lanczos can miss copies of an eigenvalue: is anything larger left beside what was found?
        more, Y = _krylov(products, random.standard_normal((d, BLOCK)), V, 1, tol, PROBES * BLOCK)
        if more[0] / divisor > lam[-1] + tol * lam[0]:
            residual = np.inf
        if residual <= tol:
            break
        start = np.hstack([V, Y, random.standard_normal((d, 1))])
    return _leading(products.mean, lam, V, trace, residual, products.passes)


def _krylov(
    products: Products, start: Float64, locked: Float64, k: int, tol: float, most: int
) -> tuple[Float64, Float64]:
    """Block Lanczos at right angles to the locked vectors: the k leading Ritz values, times n, and their vectors.

    Every block is made orthogonal to all before it, twice. Ends when the residual is below `tol` of the largest value,
    or with `most` vectors.
    """
    Q = np.zeros((len(start), 0))
    H = np.zeros((0, 0))
    block = _orthonormal(start, locked, Q)
    while True:
        Q = np.hstack([Q, block])
        SB = products.times(block)
        H = np.pad(H, (0, block.shape[1]))
        H[:, -block.shape[1] :] = Q.T @ SB
        H[-block.shape[1] :] = H[:, -block.shape[1] :].T
        lam, Y = np.linalg.eigh((H + H.T) / 2)
        lam, Y = lam[::-1][:k], Y[:, ::-1][:, :k]
        beyond = SB - Q @ (Q.T @ SB)
        beyond -= locked @ (locked.T @ beyond)
        error = np.linalg.norm(beyond @ Y[-block.shape[1] :], axis=0).max()
        enough = Q.shape[1] >= k and error <= tol * lam[0]
        room = min(most, len(Q) - locked.shape[1]) - Q.shape[1]
        if enough or room < block.shape[1]:
            return lam, Q @ Y
        block = _orthonormal(beyond, locked, Q)


def _orthonormal(block: Float64, locked: Float64, Q: Float64) -> Float64:
    """Orthonormal basis of a block at right angles to what is there."""
    for _ in range(2):
        block = np.linalg.qr(block - locked @ (locked.T @ block) - Q @ (Q.T @ block))[0]
    return block


def _ritz(V: Float64, SV: Float64) -> tuple[Float64, Float64, float]:
    """Rayleigh-Ritz: the best eigenpairs within the span of V, in decreasing order, and their residual."""
    H = V.T @ SV
    lam, turn = np.linalg.eigh((H + H.T) / 2)
    lam, turn = lam[::-1], turn[:, ::-1]
    return lam, V @ turn, _residual(SV @ turn, lam, V @ turn)


def _residual(SV: Float64, lam: Float64, V: Float64) -> float:
    largest = float(np.max(np.linalg.norm(SV - V * lam, axis=0), initial=0.0))
    return largest / float(lam.max()) if lam.max() > 0 else largest


def _leading(mean: Float64, lam: Float64, V: Float64, trace: float, residual: float, products: int) -> Leading:
    """Put what was found into a spectrum of all d, the eigenvalues left out at their mean."""
    d, k = V.shape
    lam = np.maximum(lam, 0)
    rest = max(trace - float(lam.sum()), 0.0) / (d - k) if k < d else 0.0
    values = np.concatenate([lam, np.full(d - k, min(rest, lam[-1]))])
    largest = np.abs(V).argmax(axis=0)
    signed = V * np.where(V[largest, np.arange(k)] < 0, -1.0, 1.0)
    return Leading(Spectrum(mean, values, signed), residual, products)


def _check_k(k: int, d: int) -> None:
    if not 1 <= k <= d:
        raise ValueError(f"k={k} must be a whole number from 1 to d={d}")
