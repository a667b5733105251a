"""The trained nested ViT beside its plan: work counted, memory counted, gradients compared, twins marked."""

from theodolite.data.twins import TWIN_SHARE
from theodolite.engine.devices import best_device
from theodolite.engine.export import load_weights
from theodolite.kernel.records import Audit, Figure, Finding, Measurement
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.verdict import compare
from theodolite.nested_vit import exhibits, measures, own_audit
from theodolite.nested_vit.config import NestedViTConfig, NestedViTTraining
from theodolite.nested_vit.evaluation import Evaluation, evaluate, without_global
from theodolite.nested_vit.lessons import Lessons
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.plan import BYTES, FLOPS
from theodolite.nested_vit.showcase import ShownStep, show_step


def audit(run: RunFolder) -> Audit:
    """Measure a trained nested ViT against its plan, from its run folder.

    Raises
    ------
    DataError
        If the weights are missing, damaged or of another plan.
    ResourceError
        If the shown training step does not end well.
    """
    config, training = run.settings(NestedViTConfig), run.settings(NestedViTTraining)
    if config.own_images:
        return own_audit.audit(run)
    lessons = Lessons(NestedViT(config))
    load_weights(run, {"lessons": lessons})
    counted = measures.counted_flops(config)
    told = _counts(config, lessons.network, counted, training.seed)
    lessons = lessons.to(best_device())
    seen = evaluate(lessons, config, training.seed, config.held_out)
    blind = evaluate(without_global(lessons), config, training.seed, config.held_out)
    if config.target == "dense":
        told.append(_blind(blind, config))
    step = show_step(run) if config.show_size else None
    findings = compare(run.plan.predictions, told)
    return Audit(
        family="nested-vit",
        title=f"A nested vision transformer of width {config.width}, trained at {config.size} px",
        sentences=_sentences(config, findings, seen, step),
        figures=_figures(config, findings, seen, step),
        findings=findings,
        exhibits=exhibits.all_of(run, config, lessons.network.cpu(), training.seed, seen, blind, counted, step),
        warnings=_warnings(config, seen),
    )


def _counts(config: NestedViTConfig, network: NestedViT, counted: dict[str, int], seed: int) -> list[Measurement]:
    kept = measures.kept_bytes(network, config, seed)
    difference = measures.gradient_difference(network, config, seed)
    on_meta = "PyTorch's FLOP formulas on the operations of the running network, on the meta device"
    by_hooks = "storages that autograd saved, each while it lived"
    told = [
        ("parameters", sum(weight.numel() for weight in network.parameters()), "", "counted in the trained weights")
    ]
    told += [(name, flops, FLOPS, on_meta) for name, flops in counted.items()]
    told += [(name, size, BYTES, by_hooks) for name, size in kept.items()]
    measured = [Measurement(name=name, value=value, unit=unit, method=method) for name, value, unit, method in told]
    by_two_ways = "the gradients of the trained network on one held-out canvas, each way"
    return [*measured, Measurement(name="gradient_difference", value=difference, unit="", method=by_two_ways)]


def _blind(blind: Evaluation, config: NestedViTConfig) -> Measurement:
    value, uncertainty = blind.best_iou()
    method = f"{config.held_out} held-out canvases, at the threshold where it is largest"
    return Measurement(name="iou_without_global", value=value, unit="", uncertainty=uncertainty, method=method)


def _sentences(
    config: NestedViTConfig, findings: tuple[Finding, ...], seen: Evaluation, step: ShownStep | None
) -> tuple[str, ...]:
    found = {finding.prediction.name: finding for finding in findings}
    value, uncertainty = seen.iou()
    marks = "pixels of digits that have a twin" if config.target == "dense" else "digits that occur twice"
    first = (
        f"On {config.held_out} held-out canvases it finds the {marks} with an IoU between "
        f"{value - uncertainty:.2f} and {value + uncertainty:.2f}"
    )
    if "iou_without_global" in found:
        cap, alone = found["iou_without_global"].prediction.value, found["iou_without_global"].measurement
        beyond = "above" if value - uncertainty > cap else "not above"
        first += (
            f", {beyond} the {cap:.2f} that is the most windows alone can reach; without its global blocks it reaches "
            f"{alone.value:.2f}"
        )
    nested, plain = found["flops_large"].measurement.value, found["flops_vit8"].measurement.value
    exact = [finding for finding in findings if finding.prediction.claim == "exact"]
    equal = sum(finding.verdict == "holds" for finding in exact)
    told = [
        f"{first}.",
        f"At 4096 px one forward pass takes {nested / 1e9:,.0f} GFLOPs where a plain ViT-8 of its width takes "
        f"{plain / 1e9:,.0f}, {plain / nested:,.0f} times as many; {equal} of {len(exact)} counts of the running "
        "networks equal the formulas to the last digit.",
    ]
    if step:
        held = (step.peak_bytes - step.base_bytes) / 1e6
        told.append(
            f"One training step at {step.side} × {step.side} px took {step.cpu_seconds:.0f} s of processor time and "
            f"{held:,.0f} MB, image and target included; by the formula ordinary autograd would keep "
            f"{measures.ordinary_bytes(config, step.side) / 1e6:,.0f} MB."
        )
    difference = found["gradient_difference"].measurement.value
    told.append(
        f"In float64 its gradients by chunks differ from those of ordinary autograd by at most {difference:.0e}, "
        "relatively."
    )
    return tuple(told)


def _figures(
    config: NestedViTConfig, findings: tuple[Finding, ...], seen: Evaluation, step: ShownStep | None
) -> tuple[Figure, ...]:
    found = {finding.prediction.name: finding.measurement.value for finding in findings}
    value, uncertainty = seen.iou()
    told = [
        Figure(
            value=f"{value:.2f}",
            unit="IoU",
            meaning=f"of what is marked and what has a twin; ± {uncertainty:.2f}, {config.held_out} held-out canvases",
        ),
        Figure(
            value=f"{found['flops_vit8'] / found['flops_large']:,.0f} ×",
            meaning="its work at 4096 px is what a plain ViT-8 of the same width and depth needs",
        ),
    ]
    if step:
        told.append(
            Figure(
                value=f"{(step.peak_bytes - step.base_bytes) / 1e6:,.0f}",
                unit="MB",
                meaning=f"more memory at the peak of one training step at {step.side} × {step.side} px",
            )
        )
    told.append(
        Figure(
            value=f"{100 * seen.digits:.0f} %",
            meaning="of digits recognised from their window alone, before anything global",
        )
    )
    return tuple(told)


def _warnings(config: NestedViTConfig, seen: Evaluation) -> tuple[str, ...]:
    if config.target == "dense" and seen.iou()[0] - seen.iou()[1] <= TWIN_SHARE:
        return ("The IoU does not exceed what windows alone could reach: train longer before trusting the marks.",)
    return ()
