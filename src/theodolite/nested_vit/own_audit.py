"""A network trained on the user's images beside its plan."""

import copy

import torch
from torch import nn

from theodolite.engine.devices import best_device
from theodolite.kernel.records import Audit, Figure, Finding, Measurement
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.verdict import compare
from theodolite.nested_vit import own_exhibits
from theodolite.nested_vit.choice import MODES, USUAL_CHUNK
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.counts import count_flops, counting_kept
from theodolite.nested_vit.dropout import Draws
from theodolite.nested_vit.examples import opened
from theodolite.nested_vit.gradients import losses
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.objectives import Objective, standard_loss
from theodolite.nested_vit.own_evaluation import Seen, evaluate
from theodolite.nested_vit.own_images import OwnImages, find
from theodolite.nested_vit.own_plan import BYTES, FLOPS, NATS, piece
from theodolite.nested_vit.own_training import begin_with, same_images, trained_network


def audit(run: RunFolder) -> Audit:
    """Measure a network trained on the user's images against its plan.

    Raises
    ------
    DataError
        If the images, the weights or the plan are not those of the training.
    """
    config = run.settings(NestedViTConfig)
    images = find(config)
    facts = same_images(run, images, config)
    marks, shares = facts["marks"], facts["shares"]
    network = trained_network(run, config)
    told = _counts(config, network, images, marks)
    network = network.to(best_device())
    measured = [images.all.images[place] for place in images.measured(config.held_out)]
    seen = evaluate(network, measured, marks)
    constant = evaluate(constant_answer(network, shares), measured, marks)
    told.append(_constant(constant))
    predicted = {prediction.name for prediction in run.plan.predictions}
    findings = compare(run.plan.predictions, [each for each in told if each.name in predicted])
    return Audit(
        family="nested-vit",
        title=f"A nested vision transformer of width {config.width}, trained on {len(images.training):,} images",
        sentences=_sentences(config, findings, seen, constant),
        figures=_figures(config, images, seen, constant),
        findings=findings,
        exhibits=own_exhibits.all_of(run, network.cpu(), images, measured, seen, marks),
        warnings=(*images.notes, *_warnings(seen, constant)),
    )


def constant_answer(network: NestedViT, shares: list[float]) -> NestedViT:
    """Return a copy that says the same of every image: the shares of the classes."""
    constant = copy.deepcopy(network)
    begin_with(constant, shares)
    head = constant.get_classifier()
    assert isinstance(head, nn.Linear)
    nn.init.zeros_(head.weight)
    return constant


def _counts(config: NestedViTConfig, network: NestedViT, images: OwnImages, marks: bool) -> list[Measurement]:
    on_meta = "PyTorch's FLOP formulas on the operations of the running network, on the meta device"
    by_hooks = "storages that autograd saved, each while it lived, on noise"
    told = [
        ("parameters", sum(weight.numel() for weight in network.parameters()), "", "counted in the trained weights")
    ]
    told += [(name, flops, FLOPS, on_meta) for name, flops in _flops(config, images).items()]
    told += [(name, size, BYTES, by_hooks) for name, size in _kept(config, network, images).items()]
    measured = [Measurement(name=name, value=value, unit=unit, method=method) for name, value, unit, method in told]
    by_two_ways = "the gradients of the trained network on a piece of a held-out image, each way"
    difference = _gradient_difference(config, network, images, marks)
    return [*measured, Measurement(name="gradient_difference", value=difference, unit="", method=by_two_ways)]


def _flops(config: NestedViTConfig, images: OwnImages) -> dict[str, int]:
    """FLOPs on the largest image, counted where nothing is computed."""
    network, largest = NestedViT(config).to("meta"), images.largest
    pixels = torch.empty(1, config.channels, largest.height, largest.width, device="meta")
    objective = _objective(config, torch.empty(_truth_shape(config, largest.height, largest.width), device="meta"))
    chunk = len(network.cut(pixels))  # all windows as one: the work is the same, however they are cut
    told = {"flops_forward": count_flops(lambda: network(pixels))}
    for mode in MODES:
        told[f"flops_{mode}"] = count_flops(
            lambda mode=mode: torch.autograd.backward(losses(network, pixels, objective, mode, chunk).total)  # type: ignore[misc]
        )
    return told


def _truth_shape(config: NestedViTConfig, height: int, width: int) -> tuple[int, ...]:
    return (1, height, width) if config.target == "dense" else (1,)


def _objective(config: NestedViTConfig, truth: torch.Tensor) -> Objective:
    truth = truth.to(torch.uint8 if config.target == "dense" else torch.int64)
    return Objective(standard_loss(truth, config.target, config.patch * config.window, config.num_classes))


def _kept(config: NestedViTConfig, network: NestedViT, images: OwnImages) -> dict[str, int]:
    """Bytes kept on noise, so that no two windows are alike."""
    height, width = piece(config, images.largest)
    noise = torch.rand(1, config.channels, height, width, generator=torch.Generator().manual_seed(0))
    objective = _objective(config, torch.zeros(_truth_shape(config, height, width)))
    told = {}
    for mode in MODES:
        with counting_kept(network.parameters()) as kept:
            losses(network.train(), noise, objective, mode, config.chunk or USUAL_CHUNK)
        told[f"kept_{mode}"] = kept.most
    network.eval()
    return told


def _gradient_difference(config: NestedViTConfig, network: NestedViT, images: OwnImages, marks: bool) -> float:
    """Largest difference of gradients by chunks and ordinary ones, in float64, over each parameter's largest entry."""
    image = images.all.images[images.division.held_out[0]]
    side = config.patch * config.window
    exact = copy.deepcopy(network).double().train()
    with opened(image, config, marks) as example:
        height, width = (min(length, 2 * side + side // 2) for length in (image.height, image.width))
        pixels = torch.from_numpy(example.image.window(0, 0, height, width)).permute(2, 0, 1)[None]
        if isinstance(example.truth, int):
            truth = torch.tensor([example.truth])
        else:
            truth = torch.from_numpy(example.truth.window(0, 0, height, width))[None, ..., 0]
    objective = _objective(config, truth)
    parameters, draws = list(exact.parameters()), Draws(0, 0, torch.zeros(1, dtype=torch.int64))
    ordinary, *others = (
        torch.autograd.grad(losses(exact, pixels, objective, mode, 2, draws).total, parameters) for mode in MODES
    )
    return max(
        float((a - b).abs().max() / a.abs().max())
        for other in others
        for a, b in zip(ordinary, other, strict=True)
        if a.any()
    )


def _constant(constant: Seen) -> Measurement:
    method = "the trained network with a head that reads nothing, on the held-out images by windows"
    return Measurement(name="constant_loss", value=constant.loss()[0], unit=NATS, method=method)


def _sentences(config: NestedViTConfig, findings: tuple[Finding, ...], seen: Seen, constant: Seen) -> tuple[str, ...]:
    value, lowest, highest = seen.headline()
    what = f"tells pixels' classes with a mean IoU of {value:.3f}" if seen.dense else f"names {100 * value:.1f} % right"
    exact = [finding for finding in findings if finding.prediction.claim == "exact"]
    equal = sum(finding.verdict == "holds" for finding in exact)
    difference = next(each.measurement.value for each in findings if each.prediction.name == "gradient_difference")
    return (
        f"On {len(seen.losses):,} held-out images it {what} (95%: {lowest:.3f} to {highest:.3f}); the best answer that "
        f"is the same for all reaches {constant.headline()[0]:.3f}.",
        f"Its loss is {seen.loss()[0]:.3f} nats on them, {constant.loss()[0]:.3f} for that constant answer.",
        f"{equal} of {len(exact)} numbers that theory states exactly were measured as stated, the work on the largest "
        "image among them.",
        f"In float64 its gradients by chunks differ from those of ordinary autograd by at most {difference:.0e}, "
        "relatively.",
    )


def _figures(config: NestedViTConfig, images: OwnImages, seen: Seen, constant: Seen) -> tuple[Figure, ...]:
    value, lowest, highest = seen.headline()
    told = [
        Figure(
            value=f"{value:.2f}" if seen.dense else f"{100 * value:.0f} %",
            unit="mean IoU" if seen.dense else "",
            meaning=f"{'of held-out masks' if seen.dense else 'of held-out images named right'}; 95%: {lowest:.3f} to "
            f"{highest:.3f}",
        ),
        Figure(
            value=f"{seen.loss()[0]:.2f}",
            unit="nats",
            meaning=f"loss on held-out images; {constant.loss()[0]:.2f} for the best constant answer",
        ),
    ]
    if seen.dense:
        told.append(Figure(value=f"{100 * seen.accuracy()[0]:.0f} %", meaning="of held-out pixels named right"))
    largest = images.largest
    told.append(
        Figure(value=f"{largest.width} × {largest.height}", unit="px", meaning="the largest image, read by windows")
    )
    return tuple(told)


def _warnings(seen: Seen, constant: Seen) -> tuple[str, ...]:
    if seen.loss()[0] >= constant.loss()[0]:
        return ("It is no better than an answer that is the same for all images: train longer, or give more images.",)
    return ()
