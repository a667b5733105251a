"""What the report of a linear VAE shows beyond its numbers."""

import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.exhibits import Cell, Chart, Gallery, Grid, Layer, Table
from theodolite.kernel.runs import RunFolder
from theodolite.linear_vae.dataset import Dataset, Summary
from theodolite.linear_vae.trained import Matrix, TrainedVAE, mean_and_uncertainty
from theodolite.theory import ppca
from theodolite.theory.elbo import Terms

TILES = 12  # images in a gallery, panels in a grid
DIRECTIONS = 64  # latent directions in a chart
SMALLEST = 0.0001  # nats


def amount(nats: float) -> str:
    """Write a small amount of nats to two digits; what is below 0.0001 is said to be."""
    if nats < SMALLEST:
        return f"less than {SMALLEST}"
    return f"{nats:.2g}" if nats < 1 else f"{nats:,.2f}"


def kl_by_direction(trained: TrainedVAE, data: Dataset, summary: Summary) -> Chart:
    """Draw what each latent direction carries, beside what the spectrum says it should."""
    k = len(trained.encoder)
    eigenvalues = ppca.eigenvalues(summary.covariance)
    noise = trained.noise_variance
    theory = ppca.kl_per_dimension(eigenvalues, k, noise)
    practice = trained.kl_by_direction(data.blocks(summary.mean), summary.count)
    difference = float(np.abs(theory - practice).max())
    shown = min(k, DIRECTIONS)
    numbers: list[Cell] = [*range(1, shown + 1)]
    said: dict[str, list[Cell]] = {"direction": numbers, "KL": theory[:shown].tolist(), "series": ["spectrum"] * shown}
    seen: dict[str, list[Cell]] = {"direction": numbers, "KL": practice[:shown].tolist(), "series": ["trained"] * shown}
    return Chart(
        title=f"No direction of z is more than {amount(difference)} nats away from what the spectrum says"
        if difference >= SMALLEST
        else f"Each direction of z carries what the spectrum says, to less than {SMALLEST} nats",
        caption="Divergence from the prior along the principal directions of the code: ½ log(λ / η_d²) at the "
        "trained η_d², and as measured.",
        layers=(
            Layer(mark="line", columns=said, x="direction", y="KL", color="series", dashed=True),
            Layer(mark="point", columns=seen, x="direction", y="KL", color="series"),
        ),
        x_title="latent direction, by what it carries",
        y_title="KL to the prior (nats per sample)",
        roles={"spectrum": "theory", "trained": "accent"},
    )


def reconstructions(run: RunFolder, trained: TrainedVAE, data: Dataset, summary: Summary) -> tuple[Gallery, ...]:
    """Show held-out images above what the trained model makes of them."""
    if data.image_shape is None or not len(data.held_out_ids):
        return ()
    held_out = data.take(data.held_out_ids, summary.mean)
    decoded = trained.reconstruct(held_out)
    error = held_out - decoded
    kept = 1 - np.sum(error**2) / np.sum(held_out**2)
    k, m = len(trained.encoder), len(error)
    shown = slice(0, TILES)
    return (
        Gallery(
            title=f"{k} numbers an image keep {kept:.1%} of the variance of {m} held-out images",
            caption=f"The first {TILES} that training never saw, above their decoded codes; error a pixel.",
            array=run.save_array("held_out", _pixels(held_out[shown] + summary.mean, data.image_shape)),
            labels=tuple(f"no. {number:,}" for number in data.held_out_ids[shown]),
            row_name="held out",
            nearest=run.save_array("reconstructed", _pixels(decoded[shown] + summary.mean, data.image_shape)),
            nearest_labels=tuple(f"{value:.3f}" for value in np.sqrt((error[shown] ** 2).mean(axis=1))),
            nearest_row_name="reconstructed",
        ),
    )


def decoder_directions(run: RunFolder, trained: TrainedVAE, data: Dataset) -> tuple[Grid, ...]:
    """Show the decoder's principal columns as images."""
    if data.image_shape is None:
        return ()
    columns, carried = trained.principal_columns()
    panels = columns.T[:TILES].reshape(-1, *data.image_shape)
    return (
        Grid(
            title=f"The decoder's strongest direction carries {carried[0]:.2f} nats, the weakest {carried[-1]:.2f}",
            caption="The change of an image when its code moves by one prior deviation along each principal direction.",
            array=run.save_array("decoder_directions", panels),
            panel_names=tuple(f"{j + 1}: {value:.2f} nats" for j, value in enumerate(carried[:TILES])),
            shared_scale=True,
        ),
    )


def collapse(tried: list[tuple[float, int, int]], latent_dim: int) -> tuple[Table, ...]:
    """Set the dimensions that stay at other noises beside what the spectrum says."""
    if not tried:
        return ()
    right = sum(said == stayed for _, said, stayed in tried)
    return (
        Table(
            title=f"At {right} of {len(tried)} other noises as many dimensions stay as the spectrum says",
            caption=f"η_d² held fixed and the model fitted by PX-EM from a random start; of {latent_dim} dimensions "
            "those stay whose eigenvalue exceeds η_d².",
            columns=("η_d²", "predicted to stay", "stayed"),
            rows=tuple((float(f"{noise:.3g}"), said, stayed) for noise, said, stayed in tried),
        ),
    )


def elbo_by_terms(theory: Terms, sampled: dict[str, Matrix]) -> Table:
    """Set the closed form, term by term, beside the ELBO by sampling."""
    likelihood, divergence = sum(theory[:3]), sum(theory[3:])
    drawn = (sampled["likelihood"], sampled["prior"] + sampled["entropy"], sum(sampled.values(), start=np.zeros(1)))
    (reconstruction, r_error), (minus_kl, k_error), (elbo, e_error) = map(mean_and_uncertainty, drawn)

    def cells(name: str, value: float, practice: float | None = None, error: float = 0.0) -> tuple[Cell, ...]:
        measured = (round(practice, 4), round(error, 5)) if practice is not None else (None, None)
        return (name, round(value, 4), *measured)

    return Table(
        title=f"Closed form and sampling differ by {amount(abs(likelihood + divergence - elbo))} nats per sample",
        caption="The trained model's ELBO: six terms in closed form, and their sums by draws of z with 95% intervals.",
        columns=("term", "closed form, nats", "by sampling, nats", "±, nats"),
        rows=(
            cells("−(d/2) log 2πη_d²", theory.normaliser),
            cells("−E‖x − U W x‖² / 2η_d²", theory.residual),
            cells("−tr(U Σ Uᵀ) / 2η_d²", theory.jitter),
            cells("E log p(x|z), their sum", likelihood, reconstruction, r_error),
            cells("−E‖W x‖² / 2η_e²", theory.code),
            cells("−tr Σ / 2η_e²", theory.width),
            cells("½ (k + log |Σ| − k log η_e²)", theory.volume),
            cells("−KL(q(z|x) ‖ p(z)), their sum", divergence, minus_kl, k_error),
            cells("ELBO", likelihood + divergence, elbo, e_error),
        ),
    )


def _pixels(values: Matrix, shape: tuple[int, int]) -> NDArray[np.uint8]:
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8).reshape(-1, *shape)
