"""The one rule that compares what was predicted with what was measured."""

import math
from collections.abc import Iterable

from theodolite.kernel.records import Finding, Measurement, Prediction, Verdict


def judge(prediction: Prediction, measurement: Measurement) -> Verdict:
    """Compare one measurement with its prediction.

    With tolerance t and uncertainty u, the prediction v allows ``[v − t, v + t]`` (exact, estimate), ``[v − t, ∞)``
    (lower bound) or ``(−∞, v + t]`` (upper bound); the measurement m says ``[m − u, m + u]``.

    Returns
    -------
    {"holds", "fails", "undecided"}
        "fails" where the two intervals do not meet; "holds" where the measured one lies inside the allowed one, or
        meets it and is no coarser than the tolerance; "undecided" where it meets it but is too coarse to say. A
        measurement that is no number fails; an infinite one is a number like any other.
    """
    if math.isnan(measurement.value):
        return "fails"
    if not math.isfinite(measurement.uncertainty):
        return "undecided"
    tolerance, uncertainty = prediction.tolerance, measurement.uncertainty
    lowest = -math.inf if prediction.claim == "upper bound" else prediction.value - tolerance
    highest = math.inf if prediction.claim == "lower bound" else prediction.value + tolerance
    if measurement.value + uncertainty < lowest or measurement.value - uncertainty > highest:
        return "fails"
    inside = lowest <= measurement.value - uncertainty and measurement.value + uncertainty <= highest
    return "holds" if inside or uncertainty <= tolerance else "undecided"


def compare(predictions: Iterable[Prediction], measurements: Iterable[Measurement]) -> tuple[Finding, ...]:
    """Pair predictions with measurements by name and judge each, in the order of the predictions.

    Raises
    ------
    ValueError
        If a prediction was not measured, a measurement was not predicted, a name occurs twice or the units differ:
        each is a bug of the family, not of the user.
    """
    predicted, given = list(predictions), list(measurements)
    names = [prediction.name for prediction in predicted]
    measured = {measurement.name: measurement for measurement in given}
    if len(measured) != len(given) or len(set(names)) != len(names):
        raise ValueError("a name occurs twice among the predictions or the measurements")
    if set(names) != set(measured):
        raise ValueError(
            f"predicted but not measured: {sorted(set(names) - set(measured))}; "
            f"measured but not predicted: {sorted(set(measured) - set(names))}"
        )
    for prediction in predicted:
        if prediction.unit != (unit := measured[prediction.name].unit):
            raise ValueError(f"{prediction.name} is predicted in {prediction.unit!r} but measured in {unit!r}")
    return tuple(
        Finding(
            prediction=prediction,
            measurement=measured[prediction.name],
            verdict=judge(prediction, measured[prediction.name]),
        )
        for prediction in predicted
    )
