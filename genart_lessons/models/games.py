"""Games of two players with one number each: the smallest places where adversaries fail to meet.

θ (the generator) makes V(θ, ψ) small, ψ (the discriminator) makes it large, both by gradients:

``"bilinear"``: V = θψ, the simplest game whose equilibrium (0, 0) is missed.
``"dirac"``: the Dirac-GAN, V = f(θψ) + f(0) with f(t) = −log(1 + e^−t): the real data are one point
at 0, the generator makes one point at θ, and the discriminator is the line ψx
(Mescheder, Geiger & Nowozin 2018, https://arxiv.org/abs/1801.04406, definition 2.1, in the
paper's sign: its discriminator is high on what is made).

R1 takes (γ/2)ψ² away from what ψ maximises: ψ is the discriminator's slope, on the real data, too
(there, eq. 9).
"""

from collections.abc import Callable

import numpy as np

RULES = ("simultaneous", "alternating", "extragradient", "averaged")
FARTHEST = 1e200  # a path that gets here has said what it had to say

Field = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _bilinear(theta, psi):
    return -psi, theta


def _dirac(theta, psi):
    with np.errstate(over="ignore", under="ignore"):  # θψ may become ±∞: the slope is then 0 or 1
        slope = np.exp(-np.logaddexp(0, theta * psi))  # f′(θψ) = 1 / (1 + e^θψ)
    return -slope * psi, slope * theta


GAMES: dict[str, Field] = {"bilinear": _bilinear, "dirac": _dirac}


def field(game: str | Field, gamma: float = 0.0) -> Field:
    """The field v(θ, ψ) = (−∂V/∂θ, ∂V/∂ψ − γψ) that a game's gradient steps follow.

    ``game``: "bilinear", "dirac", or a function (θ, ψ) → (−∂V/∂θ, ∂V/∂ψ) of your own. The returned
    function takes arrays of one shape and gives two of it. Raises ValueError for another name and
    for a γ that is negative or not finite.
    """
    if not callable(game) and game not in GAMES:
        raise ValueError(
            f"games.field: there is no game {game!r}; there are {', '.join(GAMES)}, "
            "or give a function (theta, psi) → two arrays."
        )
    if not 0 <= gamma < np.inf:
        raise ValueError(f"games.field: gamma is the weight of a penalty, 0 or more; not {gamma}.")
    own = game if callable(game) else GAMES[game]

    def v(theta, psi):
        down, up = own(theta, psi)
        return down, up - gamma * psi

    return v


def steps(
    game: str | Field,
    rule: str = "simultaneous",
    start: tuple[float, float] = (1.0, 1.0),
    eta: float = 0.1,
    gamma: float = 0.0,
    n: int = 100,
) -> np.ndarray:
    """The path (n + 1, 2) of (θ, ψ) under ``n`` steps of size ``eta``, ``start`` included.

    With v = ``field(game, gamma)`` and w = (θ, ψ), one step of each rule is

    - ``"simultaneous"``: w ← w + η v(w), both from the same place;
    - ``"alternating"``: θ first; then ψ, which sees the new θ;
    - ``"extragradient"``: w ← w + η v(w + η v(w)), the step that is right one step ahead
      (Korpelevich 1976; for GANs Gidel et al. 2019, https://arxiv.org/abs/1802.10551);
    - ``"averaged"``: the running mean of the alternating path, start included
      (Yazıcı et al. 2019, https://arxiv.org/abs/1806.04498).

    On the bilinear game, per step, θ² + ψ² grows by 1 + η² (simultaneous), shrinks by 1 − η² + η⁴
    (extragradient, η < 1), and θ² + ψ² − ηθψ stays as it is (alternating).
    Raises ValueError for an unknown game or rule, a step size that is not positive, a wrong start,
    and for a path that runs away beyond all numbers.
    """
    v = field(game, gamma)
    if rule not in RULES:
        raise ValueError(f"games.steps: there is no rule {rule!r}; there are {', '.join(RULES)}.")
    if not 0 < eta < np.inf:
        raise ValueError(f"games.steps: eta is a step size above 0; not {eta}.")
    if isinstance(n, bool) or n != int(n) or n < 1:
        raise ValueError(f"games.steps: n counts steps, a whole number from 1; not {n}.")
    w = np.asarray(start, float)
    if w.shape != (2,) or not np.isfinite(w).all():
        raise ValueError(f"games.steps: start is a pair of finite numbers (θ, ψ); not {start}.")
    path = np.empty((int(n) + 1, 2))
    path[0] = w
    for k in range(1, len(path)):
        path[k] = w = _step(v, "alternating" if rule == "averaged" else rule, w, eta)
        if not np.abs(w).max() < FARTHEST:  # also true for NaN
            raise ValueError(
                f"games.steps: after {k} of {n} steps the path is beyond {FARTHEST:g}; "
                "take fewer or smaller steps."
            )
    if rule == "averaged":
        path = path.cumsum(0) / np.arange(1, len(path) + 1)[:, None]
    return path


def _step(v: Field, rule: str, w: np.ndarray, eta: float) -> np.ndarray:
    if rule == "simultaneous":
        return w + eta * np.array(v(*w))
    if rule == "extragradient":
        return w + eta * np.array(v(*(w + eta * np.array(v(*w)))))
    theta = w[0] + eta * v(*w)[0]
    return np.array((theta, w[1] + eta * v(theta, w[1])[1]))


def turning(path: np.ndarray) -> tuple[float, float]:
    """(turns, factor): how often a path (n + 1, 2) goes round the origin, and how it spirals.

    ``factor``: what one whole turn does to the distance from the origin: above 1 it spirals out,
    below 1 in. Distances are compared at opposite ends of the same line through the origin, so
    that an ellipse has factor 1. A path of less than half a turn has the factor NaN.
    """
    distance = np.hypot(*path.T)
    seen = distance > 0  # the origin itself lies in no direction
    angle = np.unwrap(np.arctan2(path[seen, 1], path[seen, 0]))
    if len(angle) < 3:
        return 0.0, float("nan")
    turned = abs(angle[-1] - angle[0])
    # Only the part that turns one way can be read as distance by angle.
    angle = np.maximum.accumulate(angle * np.sign(angle[-1] - angle[0]))
    if turned < np.pi:
        return turned / (2 * np.pi), float("nan")
    first = np.linspace(angle[0], angle[-1] - np.pi, 400)
    log = np.log(distance[seen])
    half = np.interp(first + np.pi, angle, log) - np.interp(first, angle, log)
    return turned / (2 * np.pi), float(np.exp(2 * half.mean()))
