"""Numbers and differences in words that do not change from machine to machine."""

import torch
from torch import Tensor

NEARLY = "it is nearly right: something is rounded, or computed in float32"
ON_PAPER = (
    "it is not finite everywhere; where it is, it is right, so perhaps right on paper: in a "
    "computer something overflows, or 0 gets under a logarithm or under a line"
)


def number(value: Tensor | float, digits: int = 3) -> str:
    """Three significant digits; the first four entries of a vector.

    It is rounded to ten digits first, so that 0.0825 does not end as 0.082 on one machine and as
    0.083 on another, whose last bit differs.
    """
    if isinstance(value, Tensor) and value.ndim:
        entries = value.flatten()
        dots = ", …" if entries.numel() > 4 else ""
        return f"({', '.join(number(v, digits) for v in entries[:4])}{dots})"
    settled = float(f"{float(value):.10g}")
    return f"{0.0 if abs(settled) < 5e-13 else settled:.{digits}g}"


def apart(got: Tensor | float, target: Tensor | float) -> tuple[str, str]:
    """Both numbers, with as many digits as it takes to see that they differ.

    Of vectors the first four entries; where these agree, four that do not.
    """
    digits = (3, 5, 7, 9)
    first = [(number(got, d), number(target, d)) for d in digits]
    unlike = [pair for pair in first if pair[0] != pair[1]]
    unlike = unlike or [pair for d in digits if (pair := _further(got, target, d))]
    return (unlike or first)[0]


def _further(got: Tensor | float, target: Tensor | float, digits: int) -> tuple[str, str] | None:
    """Four entries of both vectors, up to which there is no difference to be seen."""
    if not isinstance(got, Tensor) or not isinstance(target, Tensor) or got.shape != target.shape:
        return None
    ours, theirs = ([number(v, digits) for v in x.flatten()] for x in (got, target))
    unlike = [k for k, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]]
    if not unlike:
        return None
    first = min(unlike[0], len(ours) - 4)
    dots = ", …" if first + 4 < len(ours) else ""
    said, right = (", ".join(each[first : first + 4]) for each in (ours, theirs))
    return f"(…, {said}{dots})", f"(…, {right}{dots})"


def at_point(values: dict[str, Tensor], k: int) -> dict[str, str]:
    """Each symbol's value at point k, as text."""
    return {name: number(value[k].detach()) for name, value in values.items()}


def listed(values: dict[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def describe_difference(got: Tensor, target: Tensor) -> str:
    """What an unknown mistake looks like: a factor, a constant, a rounding, or nothing simple."""
    finite = torch.isfinite(got)
    if not bool(finite.all()):
        return ON_PAPER if _right_where(finite, got, target) else "it is not finite everywhere"
    ratio, gap = got / target, got - target
    if bool((gap.abs() <= 1e-5 * target.abs().clamp(min=1)).all()) and not _constant(gap):
        return NEARLY
    safe = ratio[target.abs() > 1e-6]
    if len(safe) and _constant(safe):
        return f"it is {apart(safe.flatten()[0], 1.0)[0]} times the right value at every point"
    if _constant(gap):
        return f"it is off by the constant {number(gap.flatten()[0])} at every point"
    return "it is a different function"


def _right_where(finite: Tensor, got: Tensor, target: Tensor) -> bool:
    """Is it right at nearly all of its finite points, and are these more than a few?

    Nearly: just before ``(1 - sigmoid).log()`` becomes −∞, it loses its digits one by one.
    """
    right = (got - target)[finite].abs() <= 1e-5 * target[finite].abs().clamp(min=1)
    few = int(finite.sum()) < finite.numel() / 4
    return not few and float(right.double().mean()) > 0.9


def _constant(values: Tensor) -> bool:
    return bool(
        (values - values.flatten()[0]).abs().max() <= 1e-6 * values.abs().max().clamp(min=1e-6)
    )
