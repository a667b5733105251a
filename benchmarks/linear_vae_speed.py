"""What a closed-form fit costs beside scikit-learn's PCA and IncrementalPCA, and how exact each is, in one run.

Run: python benchmarks/linear_vae_speed.py [--quick]; a dated table is written beside this file. Fits are interleaved;
every count of threads has a process of its own, so that the libraries agree on it.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray
from sklearn.decomposition import PCA, IncrementalPCA

from theodolite import LinearVAE
from theodolite.theory import ppca

REPEATS = 5
SHAPES = {"100k × 784, k = 32": (100_000, 784, 32), "1M × 128, k = 16": (1_000_000, 128, 16)}
WIDE = {"5k × 20k, k = 16": (5_000, 20_000, 16)}
OFFSETS = (0.0, 1e2, 1e4, 1e5)
THREADS = (1, os.cpu_count() or 1)
SLOWEST = 200_000  # rows given to IncrementalPCA; its time is scaled up to all
Fitted = tuple[NDArray[Any], NDArray[Any], float]  # λ (k,), V (d, k), δ, all with divisor n


def fit(rows: NDArray[Any], k: int) -> Fitted:
    """Fit ours."""
    model = LinearVAE(k).fit(rows)
    return model.explained_variance_, model.decoder_ / np.linalg.norm(model.decoder_, axis=0), model.noise_variance_


def pca(rows: NDArray[Any], k: int, solver: str = "auto") -> Fitted:
    """Fit scikit-learn's."""
    return _as_ours(PCA(k, svd_solver=solver, random_state=0).fit(rows), len(rows))


def incremental(rows: NDArray[Any], k: int) -> Fitted:
    """Fit scikit-learn's other one."""
    return _as_ours(IncrementalPCA(k).fit(rows[:SLOWEST]), len(rows))


def _as_ours(model: Any, n: int) -> Fitted:
    scale = (n - 1) / n
    return model.explained_variance_ * scale, model.components_.T, float(model.noise_variance_) * scale


def samples(n: int, d: int, k: int, seed: int = 0) -> NDArray[np.float32]:
    """Rows of k directions of unlike size in noise of variance 1."""
    random = np.random.default_rng(seed)
    factors = np.linalg.qr(random.standard_normal((d, k)))[0] * np.sqrt(np.geomspace(d, d / 10, k))
    found = random.standard_normal((n, d), dtype=np.float32)
    found += random.standard_normal((n, k), dtype=np.float32) @ factors.T.astype(np.float32)
    return found


def cpu_seconds(ways: dict[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, list[float]]:
    """Processor time of each, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.process_time()
            way()
            times[name].append(time.process_time() - began)
    return times


def excess(found: Fitted, rows: NDArray[Any], truth: NDArray[np.float64], S: NDArray[np.float64]) -> float:
    """Negative log-likelihood of what was fitted above the least there is, in nats per sample, S and its λ given."""
    lam, V, delta = (np.asarray(part, float) for part in found)
    k, d = len(lam), len(S)
    best = -ppca.greatest_elbo(truth, k, ppca.learned_noise_variance(truth, k))
    if not (np.isfinite(lam).all() and (lam > 0).all() and delta > 0):
        return float("nan")
    # C = V diag(λ − δ) Vᵀ + δ I, V as it came: not quite orthonormal
    C = (V * (lam - delta)) @ V.T + delta * np.eye(d)
    sign, log_det = np.linalg.slogdet(C)
    return float((d * np.log(2 * np.pi) + log_det + np.trace(np.linalg.solve(C, S))) / 2 - best) if sign > 0 else np.nan


def speed(shapes: dict[str, tuple[int, int, int]], repeats: int) -> list[list[Any]]:
    """Rows of the first table: what was fitted, and processor seconds."""
    table = []
    for name, (n, d, k) in shapes.items():
        rows = samples(n, d, k)
        wide = name in WIDE
        ways: dict[str, Callable[[], object]] = {
            "ours": lambda rows=rows, k=k: fit(rows, k),  # type: ignore[misc]
            "PCA": lambda rows=rows, k=k, wide=wide: pca(rows, k, "arpack" if wide else "auto"),  # type: ignore[misc]
        }
        found = cpu_seconds(ways, repeats)
        if not wide:
            share = min(1.0, SLOWEST / n)
            slow = cpu_seconds({"IncrementalPCA": lambda rows=rows, k=k: incremental(rows, k)}, 1)  # type: ignore[misc]
            found["IncrementalPCA"] = [seconds / share for seconds in slow["IncrementalPCA"]]
        ours = statistics.median(found["ours"])
        for way, seconds in found.items():
            middle = statistics.median(seconds)
            table.append([name, way, f"{middle:.3f}", f"{min(seconds):.3f}", f"{ours / middle:.2f}"])
    return table


def accuracy(n: int = 100_000, d: int = 128, k: int = 16) -> list[list[Any]]:
    """Rows of the second table: errors against float64, by offset."""
    table = []
    base = samples(n, d, k)
    for offset in OFFSETS:
        rows = base + np.float32(offset)
        exact = rows.astype(np.float64)
        exact -= exact.mean(axis=0)
        S = exact.T @ exact / n
        truth = np.linalg.eigvalsh(S)[::-1]
        for way, call in {"ours": fit, "PCA": pca}.items():
            found = call(rows, k)
            error = float(np.abs(np.asarray(found[0], float) / truth[:k] - 1).max())
            table.append([f"{offset:g}", way, f"{error:.1e}", f"{excess(found, rows, truth, S):.1e}"])
    return table


def residuals(n: int, d: int, k: int) -> list[list[Any]]:
    """Rows of the third table: ‖S v − λ v‖ / λ_1 in float64, where the data are wide."""
    rows = samples(n, d, k)
    mean = rows.mean(axis=0, dtype=np.float64)
    table = []
    for way, found in {"ours": fit(rows, k), "PCA": pca(rows, k, "arpack")}.items():
        lam, V = (np.asarray(part, float) for part in found[:2])
        SV = np.zeros(V.shape)
        for start in range(0, n, 500):
            part = rows[start : start + 500] - mean
            SV += part.T @ (part @ V) / n
        lam_exact = np.sum(V * SV, axis=0)
        residual = np.linalg.norm(SV - V * lam, axis=0).max() / lam[0]
        table.append([f"{n} × {d}", way, f"{residual:.1e}", f"{np.abs(lam / lam_exact - 1).max():.1e}"])
    return table


def markdown(title: str, head: list[str], rows: list[list[Any]]) -> str:
    """Return a table under a line of text."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows]]
    return f"\n{title}\n\n" + "\n".join(lines) + "\n"


def main(quick: bool = False) -> None:
    """Measure in a process for each count of threads; write what was found beside this file."""
    text = (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, numpy {np.__version__}, scipy "
        f"{scipy.__version__}, scikit-learn {sklearn.__version__}\n"
    )
    for threads in sorted(set(THREADS)):
        count = str(threads)
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": count, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
        command = [sys.executable, __file__, "--child", *(["--quick"] if quick else [])]
        told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
        rows = json.loads(told)
        head = ["data, float32", "fit", "CPU seconds, median", "smallest", "ours / this"]
        text += markdown(f"{threads} thread{'s' * (threads > 1)}:", head, rows)
    head = ["offset", "fit", "largest error of λ_1 … λ_k, relative", "excess negative log-likelihood, nats per sample"]
    text += markdown("100k × 128, k = 16, float32, against float64:", head, accuracy())
    head = ["data, float32", "fit", "largest residual", "largest error of λ beside vᵀSv, relative"]
    text += markdown("Wide, in float64:", head, residuals(*((1000, 4000, 16) if quick else next(iter(WIDE.values())))))
    print(text)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


def child(quick: bool) -> None:
    """Measure with the threads that this process was given."""
    shapes = {"10k × 128, k = 16": (10_000, 128, 16)} if quick else {**SHAPES, **WIDE}
    print(json.dumps(speed(shapes, 2 if quick else REPEATS)))


if __name__ == "__main__":
    if "--child" in sys.argv:
        child("--quick" in sys.argv)
    else:
        main("--quick" in sys.argv)
