"""Chapter 04 continued: transport, penalties, games of two numbers, and measures of the result."""

import itertools
import math

import sympy
import torch

from genart_lessons.equations.derive import entries, positive, real
from genart_lessons.proof import Bound, Definition, Equation, Gradient, NearMiss, Numeric
from genart_lessons.proof.draws import normal, points, simplex, uniform, whole

# -- the distance that earth has to be moved -------------------------------------------------------

_PLACES = 5
_LINE = points(p=simplex(_PLACES), q=simplex(_PLACES), s=uniform(-1, 1, _PLACES - 1))


def _critic(s):
    """f(0) = 0, and from each place to the next it rises by the slope between them."""
    return torch.cat([torch.zeros_like(s[..., :1]), s.cumsum(-1)], -1)


def _gain(p, q, f):
    return ((p - q) * f).sum(-1)


def _earth_moved(p, q, **_):
    """Each step of the way, as much earth crosses as the two sides differ by."""
    return (p - q).cumsum(-1)[..., :-1].abs().sum(-1)


def _steepest(arguments):
    p, q = arguments["p"], arguments["q"]
    return {**arguments, "s": (q - p).cumsum(-1)[..., :-1].sign()}


_P, _Q = (entries(n, _PLACES, above_zero=True) for n in ("p", "q"))
_S = entries("s", _PLACES - 1)
_CRITIC = tuple(itertools.accumulate(_S, initial=sympy.Integer(0)))


def _by_steps():
    """Σ slopes times what is left to bring across, in letters."""
    across = itertools.accumulate(q - p for p, q in zip(_P[:-1], _Q[:-1], strict=True))
    return sympy.Add(*(s * a for s, a in zip(_S, across, strict=True)))


def _sorted_gap(x, y):
    return (x.sort(-1).values - y.sort(-1).values).abs().mean(-1)


_TRANSPORT = (
    Equation(
        id="4.20",
        title="the Wasserstein distance of two samples",
        lhs=r"W_1",
        rhs=r"\frac1n\sum_{i=1}^{n}|x_{(i)}-y_{(i)}|",
        meaning="On a line, the smallest goes to the smallest, and so on: x₍ᵢ₎ is the i-th in "
        "order.",
        quantity="the distance",
        reference=_sorted_gap,
        evidence=Numeric(
            points(x=normal(5), y=normal(5)),
            {"x": [0.0, 1.0, 2.0, 3.0, 4.0], "y": [5.0, 4.0, 3.0, 2.0, 1.0]},
            where="random pairs of samples",
        ),
        symbols={
            "x_sorted": lambda x, y: x.sort(-1).values,
            "y_sorted": lambda x, y: y.sort(-1).values,
            "n": lambda x, y: torch.full_like(x[:, 0], x.shape[-1]),
        },
        cite="Villani 2003, theorem 2.18",
        near_misses=(
            NearMiss(
                r"\frac1n\sum_{i=1}^{n}|x_i-y_i|",
                "not sorted: the samples are paired as they came, and earth is carried too far",
            ),
            NearMiss(
                r"\frac1n\sum_{i=1}^{n}(x_{(i)}-y_{(i)})^2",
                "squared: that is W₂², where far ways cost more",
            ),
            NearMiss(
                r"\left|\frac1n\sum_{i=1}^{n}(x_{(i)}-y_{(i)})\right|",
                "this is the distance of the means: two samples may differ and share a mean",
            ),
            NearMiss(
                r"\sum_{i=1}^{n}|x_{(i)}-y_{(i)}|", "the 1/n is missing: each sample has weight 1/n"
            ),
        ),
    ),
    Equation(
        id="4.21",
        title="every gentle critic gives a bound",
        lhs=r"W_1",
        relation=r"\ge",
        rhs=r"\mathbb{E}_{x\sim p}[f(x)]-\mathbb{E}_{x\sim q}[f(x)]",
        meaning="For any f that never rises or falls faster than 1: Kantorovich-Rubinstein.",
        quantity="the distance",
        reference=lambda p, q, s: _gain(p, q, _critic(s)),
        evidence=Bound(
            _LINE,
            of=_earth_moved,
            tight=_steepest,
            of_words="the distance",
            tight_words="f is as steep as it may be, upwards to where p has more",
            example={
                "p": [0.1, 0.2, 0.2, 0.2, 0.3],
                "q": [0.3, 0.2, 0.2, 0.2, 0.1],
                "s": [1.0, 0.5, -0.5, 1.0],
            },
            where="random worlds of five places on a line",
        ),
        symbols={
            "p(x)": lambda p, q, s: p,
            "q(x)": lambda p, q, s: q,
            "f(x)": lambda p, q, s: _critic(s),
        },
        definition=Definition(
            "derived by adding up slope times difference, step by step along the line (SymPy)",
            _by_steps,
            {"p": _P, "q": _Q, "s": _S, "p(x)": _P, "q(x)": _Q, "f(x)": _CRITIC},
            {t[-1]: 1 - sympy.Add(*t[:-1]) for t in (_P, _Q)},
        ),
        cite="Villani 2003, theorem 1.14; Arjovsky et al. 2017, eq. 2",
        near_misses=(
            NearMiss(
                lambda p, q, s: _gain(p, q, _critic(2 * s)),
                "the slopes reach 2: a critic that may be steeper shows more than the distance",
            ),
            NearMiss(
                r"\mathbb{E}_{x\sim q}[f(x)]-\mathbb{E}_{x\sim p}[f(x)]",
                "p and q have changed places: the critic's best is now its worst",
            ),
            NearMiss(
                r"|\mathbb{E}_{x\sim p}[f(x)]-\mathbb{E}_{x\sim q}[f(x)]|",
                "true as well, for −f is as gentle as f; but the critic is to find the sign itself",
            ),
            NearMiss(
                lambda p, q, s: _gain(p, q, _critic(s).clamp(-1, 1)),
                "f's values are kept within ±1; its slopes are what is limited",
            ),
            NearMiss(
                r"\sum_x f(x)", "the critic's values are not weighed: take the means under p and q"
            ),
        ),
    ),
)

# -- penalties on slopes ---------------------------------------------------------------------------

_GP = points(
    x=normal(4), x_fake=normal(4), eps=uniform(0, 1, 4), w1=normal(), w2=normal(),
    lam=uniform(0.5, 10),
)  # fmt: skip
_GP_EXAMPLE = {
    "x": [1.0, 2.0, 0.0, -1.0], "x_fake": [0.0, 0.0, 1.0, 1.0], "eps": [0.5, 0.5, 0.5, 0.5],
    "w1": 1.0, "w2": 0.5, "lam": 10.0,
}  # fmt: skip


def _slope(x, w1, w2):
    """f'(x) of f(x) = w₁x + w₂x²."""
    return w1.unsqueeze(-1) + 2 * w2.unsqueeze(-1) * x


def _between(x, x_fake, eps):
    return eps * x + (1 - eps) * x_fake


def _distance_from_one(at, w1, w2, lam):
    return lam * (_slope(at, w1, w2).abs() - 1).square().mean(-1)


def _logit_slope(x, w, v):
    """∇ℓ(x) of ℓ(x) = w·x + (v·x)²: (P, N, 2)."""
    along = (x * v.unsqueeze(1)).sum(-1, keepdim=True)
    return w.unsqueeze(1) + 2 * along * v.unsqueeze(1)


def _mean_square(x, w, v):
    return _logit_slope(x, w, v).square().sum(-1).mean(-1)


_PENALTIES = (
    Equation(
        id="4.22",
        title="the gradient penalty",
        lhs=r"R_{\mathrm{GP}}",
        rhs=r"\lambda\,\mathbb{E}_{\hat x}\big[(|f'(\hat x)|-1)^2\big],\qquad "
        r"\hat x=\epsilon x+(1-\epsilon)\tilde x",
        meaning="The critic's slope should be 1, up or down, between real x and fake x̃; here "
        "f(x) = w₁x + w₂x².",
        quantity="the penalty",
        reference=lambda x, x_fake, eps, w1, w2, lam: _distance_from_one(
            _between(x, x_fake, eps), w1, w2, lam
        ),
        evidence=Numeric(_GP, _GP_EXAMPLE, where="random critics and batches of four"),
        typeset_only="the critic's slope is found by differentiating",
        cite="Gulrajani et al. 2017, eq. 3",
        near_misses=(
            NearMiss(
                lambda x, x_fake, eps, w1, w2, lam: _distance_from_one(
                    _between(x, x_fake, eps), w1, w2, torch.ones_like(lam)
                ),
                "the weight λ is missing",
            ),
            NearMiss(
                lambda x, x_fake, eps, w1, w2, lam: (
                    lam * _slope(_between(x, x_fake, eps), w1, w2).square().mean(-1)
                ),
                "the −1 is missing: slopes are drawn to 0, where they should be 1",
            ),
            NearMiss(
                lambda x, x_fake, eps, w1, w2, lam: _distance_from_one(x, w1, w2, lam),
                "the slope is taken at the data only; it is wanted between data and fakes",
            ),
            NearMiss(
                lambda x, x_fake, eps, w1, w2, lam: _distance_from_one(x_fake, w1, w2, lam),
                "the slope is taken at the fakes only; it is wanted between data and fakes",
            ),
            NearMiss(
                lambda x, x_fake, eps, w1, w2, lam: (
                    lam * (_slope(_between(x, x_fake, eps), w1, w2) - 1).square().mean(-1)
                ),
                "the slope's size is meant, |f'|: a slope of −1 is as good as one of 1",
            ),
            NearMiss(
                lambda x, x_fake, eps, w1, w2, lam: _distance_from_one(
                    _between(x, x_fake, eps[:, :1]), w1, w2, lam
                ),
                "one ε serves the whole batch: each pair draws its own",
            ),
            NearMiss(
                lambda x, x_fake, eps, w1, w2, lam: _distance_from_one(
                    _between(x_fake, x, eps), w1, w2, lam
                ),
                "ε and 1−ε have changed places: as likely a place, but here ε weighs the real x",
            ),
        ),
    ),
    Equation(
        id="4.23",
        title="the R1 penalty",
        lhs=r"R_1",
        rhs=r"\frac{\gamma}{2}\,\mathbb{E}_{x\sim p_{\mathrm{data}}}"
        r"\big[\lVert\nabla_x\ell(x)\rVert^2\big]",
        meaning="The logit should be flat where the data are; here ℓ(x) = w·x + (v·x)².",
        quantity="the penalty",
        reference=lambda x, w, v, gamma, x_fake: gamma / 2 * _mean_square(x, w, v),
        evidence=Numeric(
            points(
                x=normal(4, 2),
                w=normal(2),
                v=normal(2),
                gamma=uniform(0.1, 10),
                x_fake=normal(4, 2),
            ),
            {
                "x": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]],
                "w": [1.0, 0.0],
                "v": [0.0, 1.0],
                "gamma": 2.0,
                "x_fake": [[2.0, 2.0], [2.0, 0.0], [0.0, 2.0], [3.0, 1.0]],
            },
            where="random discriminators and batches of four",
        ),
        typeset_only="the logit's slope is found by differentiating",
        cite="Mescheder et al. 2018, eq. 9",
        near_misses=(
            NearMiss(
                lambda x, w, v, gamma, x_fake: (
                    gamma / 2 * _logit_slope(x, w, v).norm(dim=-1).mean(-1)
                ),
                "the square of the norm is missing",
            ),
            NearMiss(
                lambda x, w, v, gamma, x_fake: gamma / 2 * _mean_square(x_fake, w, v),
                "the slope is taken at the fakes: that is R2; R1 looks at the data",
            ),
            NearMiss(
                lambda x, w, v, gamma, x_fake: gamma * _mean_square(x, w, v),
                "the ½ is missing: the same as twice the γ",
            ),
            NearMiss(
                lambda x, w, v, gamma, x_fake: (
                    gamma / 2 * (_logit_slope(x, w, v).norm(dim=-1) - 1).square().mean(-1)
                ),
                "slopes are drawn to 1, as in WGAN-GP; R1 draws them to 0",
            ),
            NearMiss(
                lambda x, w, v, gamma, x_fake: (
                    gamma / 2 * _logit_slope(x, w, v).mean(1).square().sum(-1)
                ),
                "the mean is taken before the square: slopes of different pictures cancel",
            ),
            NearMiss(
                lambda x, w, v, gamma, x_fake: gamma / 2 * _mean_square(x, w, v) / 16,
                "the gradient is that of the batch's mean, so each slope is divided by 4: "
                "differentiate the sum of the logits",
            ),
        ),
    ),
)

# -- games of two numbers --------------------------------------------------------------------------

_TWO = points(theta=uniform(-3, 3), psi=uniform(-3, 3))
_TWO_EXAMPLE = {"theta": 1.0, "psi": 0.5}
_STEP = points(theta=uniform(-3, 3), psi=uniform(-3, 3), eta=uniform(0.05, 1.5))
_STEP_EXAMPLE = {**_TWO_EXAMPLE, "eta": 0.1}
_STEP_SYMBOLS = {"theta_k": lambda theta, **_: theta, "psi_k": lambda psi, **_: psi}
_THETA, _PSI, _ETA, _GAMMA = real("theta", "psi", "eta", "gamma")
_STEP_LETTERS = {
    "theta": _THETA, "psi": _PSI, "theta_k": _THETA, "psi_k": _PSI, "eta": _ETA
}  # fmt: skip


def _pair(theta, psi):
    return torch.stack([theta, psi], -1)


def _flow(theta, psi):
    push = torch.sigmoid(-theta * psi)  # f'(θψ) = 1/(1 + e^{θψ})
    return _pair(-psi * push, theta * push)


def _together(theta, psi, eta):
    return theta - eta * psi, psi + eta * theta


def _in_turn(theta, psi, eta):
    theta = theta - eta * psi
    return theta, psi + eta * theta


def _half_first(theta, psi, eta):
    """Look half a step ahead, and go from where one was: extragradient."""
    ahead, behind = _together(theta, psi, eta)
    return theta - eta * behind, psi + eta * ahead


def _circle(theta, psi):
    return theta**2 + psi**2


def _on_ellipse(eta, theta, psi):
    return _circle(theta, psi) - eta * theta * psi


def _real_part(gamma):
    """The larger real part of the Jacobian's eigenvalues at θ = ψ = 0."""
    half, zero = torch.full_like(gamma, 0.5), torch.zeros_like(gamma)
    rows = [torch.stack(row, -1) for row in ((zero, -half), (half, -gamma))]
    return torch.linalg.eigvals(torch.stack(rows, -2)).real.amax(-1)


def _real_part_in_letters():
    """For γ < 1 the two roots are conjugate: their mean is the real part of both."""
    value = -sympy.log(1 + sympy.exp(-_THETA * _PSI))  # f(θψ); the game's f(0) is a constant
    descent = -sympy.diff(value, _THETA)
    ascent = sympy.diff(value - _GAMMA * _PSI**2 / 2, _PSI)
    jacobian = sympy.Matrix([descent, ascent]).jacobian([_THETA, _PSI])
    root = sympy.Symbol("lambda")
    at_rest = jacobian.subs({_THETA: 0, _PSI: 0}).charpoly(root).as_expr()
    return sympy.Add(*sympy.roots(at_rest, root, multiple=True)) / 2


_GAMES = (
    Equation(
        id="4.24",
        title="the Dirac game's field",
        lhs=r"v(\theta,\psi)",
        rhs=r"\big(-\psi f'(\theta\psi),\;\theta f'(\theta\psi)\big)",
        meaning="Where both would go at once: of V = f(θψ) + f(0), with f(t) = −log(1 + e^{−t}), "
        "θ descends and ψ ascends.",
        quantity="the direction",
        reference=_flow,
        evidence=Numeric(_TWO, _TWO_EXAMPLE),
        typeset_only="it is a pair of numbers",
        cite="Mescheder et al. 2018, definition 2.1 and lemma 2.2",
        near_misses=(
            NearMiss(
                lambda theta, psi: _flow(theta, psi) * torch.tensor([1.0, -1.0]),
                "both descend: the discriminator wants V large, and goes uphill",
            ),
            NearMiss(
                lambda theta, psi: -_flow(theta, psi),
                "both signs are turned round: θ wants V small, and ψ wants it large",
            ),
            NearMiss(
                lambda theta, psi: _flow(theta, psi).flip(-1),
                "the components are swapped: θ comes first",
            ),
            NearMiss(
                lambda theta, psi: _pair(-psi, theta),
                "f' is missing: this is the field of the game V = θψ",
            ),
            NearMiss(
                lambda theta, psi: _pair(-psi, theta) * torch.sigmoid(theta * psi).unsqueeze(-1),
                "f'(t) is 1/(1 + e^t); this is 1/(1 + e^{−t})",
            ),
        ),
    ),
    Equation(
        id="4.25",
        title="together they spiral out",
        lhs=r"\theta_{k+1}^2+\psi_{k+1}^2",
        rhs=r"(1+\eta^2)(\theta_k^2+\psi_k^2)",
        meaning="One step of both at once, in the game V = θψ: farther from the goal, always.",
        quantity="the squared distance",
        reference=lambda theta, psi, eta: _circle(*_together(theta, psi, eta)),
        evidence=Numeric(_STEP, _STEP_EXAMPLE, where="random steps"),
        symbols=_STEP_SYMBOLS,
        definition=Definition(
            "derived from θ − ηψ and ψ + ηθ (SymPy)",
            lambda: _circle(*_together(_THETA, _PSI, _ETA)),
            _STEP_LETTERS,
        ),
        cite="Mescheder et al. 2018, lemma 2.4",
        near_misses=(
            NearMiss(
                r"(1-\eta^2)(\theta_k^2+\psi_k^2)",
                "it grows, and does not shrink: the step is at right angles to the way home",
            ),
            NearMiss(
                r"(1+\eta)(\theta_k^2+\psi_k^2)",
                "η is squared: the step is a cathetus, η times as long as the other",
            ),
            NearMiss(
                r"\theta_k^2+\psi_k^2",
                "only infinitely small steps keep the distance: each real one leaves the circle",
            ),
            NearMiss(
                r"(1+\eta)^2(\theta_k^2+\psi_k^2)",
                "this is a step straight away from the goal; theirs goes sideways",
            ),
        ),
    ),
    Equation(
        id="4.26",
        title="in turn they circle",
        lhs=r"\theta_{k+1}^2+\psi_{k+1}^2-\eta\,\theta_{k+1}\psi_{k+1}",
        rhs=r"\theta_k^2+\psi_k^2-\eta\,\theta_k\psi_k",
        meaning="First θ, then ψ, which sees the new θ: they stay on an ellipse, while η < 2.",
        quantity="what is kept",
        reference=lambda theta, psi, eta: _on_ellipse(eta, *_in_turn(theta, psi, eta)),
        evidence=Numeric(_STEP, _STEP_EXAMPLE, where="random steps"),
        symbols=_STEP_SYMBOLS,
        definition=Definition(
            "derived from θ − ηψ, and then ψ + ηθ with the new θ (SymPy)",
            lambda: _on_ellipse(_ETA, *_in_turn(_THETA, _PSI, _ETA)),
            _STEP_LETTERS,
        ),
        cite="Mescheder et al. 2018, lemma 2.5; Gidel et al. 2019",
        near_misses=(
            NearMiss(
                r"\theta_k^2+\psi_k^2+\eta\,\theta_k\psi_k",
                "the sign of ηθψ is turned round: that is kept when ψ goes first",
            ),
            NearMiss(
                r"\theta_k^2+\psi_k^2",
                "not a circle but an ellipse: −ηθψ belongs to what is kept",
            ),
            NearMiss(
                r"(1+\eta^2)(\theta_k^2+\psi_k^2-\eta\,\theta_k\psi_k)",
                "1+η² belongs to steps taken together; in turn, nothing grows",
            ),
            NearMiss(r"\theta_k^2+\psi_k^2-2\eta\,\theta_k\psi_k", "ηθψ counts once, not twice"),
        ),
    ),
    Equation(
        id="4.27",
        title="R1 brings them home",
        lhs=r"\max\,\mathrm{Re}\,\lambda",
        rhs=r"-\frac{\gamma}{2}",
        meaning="With the penalty the Dirac game's field points inwards: λ are the eigenvalues of "
        "its Jacobian at 0, for γ ≤ 1.",
        quantity="the real part",
        reference=_real_part,
        evidence=Numeric(points(gamma=uniform(0.05, 0.95)), {"gamma": 0.5}, tolerance=1e-7),
        definition=Definition(
            "derived as the mean of the Jacobian's two eigenvalues, conjugate for γ < 1 (SymPy)",
            _real_part_in_letters,
            {"gamma": _GAMMA},
        ),
        cite="Mescheder et al. 2018, sections 3 and 4.1",
        near_misses=(
            NearMiss("0", "that is without the penalty: the eigenvalues are ±i/2, and it circles"),
            NearMiss(r"-\gamma", "γ is the sum of both real parts: each has half of it"),
            NearMiss(r"\frac{\gamma}{2}", "the sign is turned round: the penalty would drive out"),
            NearMiss(
                r"-\frac{\gamma}{4}", "the penalty is ½γψ², and its slope γψ: the ½ is gone there"
            ),
        ),
    ),
)

# -- measures --------------------------------------------------------------------------------------


def _covariance(generator, count):
    """Random covariance matrices: (P, 3, 3)."""
    factor = normal(3, 3)(generator, count)
    return factor @ factor.mT / 3 + 0.1 * torch.eye(3, dtype=torch.float64)


def _root(a):
    """The matrix B with BB = A, for symmetric A ≥ 0."""
    values, vectors = torch.linalg.eigh(a)
    return (vectors * values.clamp(min=0).sqrt().unsqueeze(-2)) @ vectors.mT


def _trace(a):
    return a.diagonal(dim1=-2, dim2=-1).sum(-1)


def _spread(sigma1, sigma2):
    """tr (ΣΣ')^{1/2}: √Σ Σ' √Σ has the same eigenvalues, and is symmetric."""
    root = _root(sigma1)
    return torch.linalg.eigvalsh(root @ sigma2 @ root).clamp(min=0).sqrt().sum(-1)


def _frechet(mu1, sigma1, mu2, sigma2, cross=None, squared=True):
    apart = (mu1 - mu2).square().sum(-1)
    both = _trace(sigma1) + _trace(sigma2)
    cross = 2 * _spread(sigma1, sigma2) if cross is None else cross
    return (apart if squared else apart.sqrt()) + both - cross


def _diagonal(mu1, sigma1, mu2, sigma2):
    d1, d2 = (s.diagonal(dim1=-2, dim2=-1) for s in (sigma1, sigma2))
    return (mu1 - mu2).square().sum(-1) + (d1.sqrt() - d2.sqrt()).square().sum(-1)


_EYE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
_FEATURES = points(
    features=normal(4), features_hat=normal(4), x=uniform(0, 1, 6), x_hat=uniform(0, 1, 6)
)
_N, _T = entries("f", 4), entries("f_tilde", 4)


def _squared(a, b):
    return (a - b).square().sum(-1)


def _average(theta, start, d):
    for weights in theta.unbind(-1):
        start = d * start + (1 - d) * weights
    return start


_MEASURES = (
    Equation(
        id="4.28",
        title="the spectral norm",
        lhs=r"\sigma(W)",
        rhs=r"\max_{h\ne0}\frac{\lVert Wh\rVert}{\lVert h\rVert}",
        meaning="How much a layer can stretch, at most: W/σ(W) stretches nothing.",
        quantity="the norm",
        reference=lambda W: torch.linalg.matrix_norm(W, 2),
        evidence=Numeric(
            points(W=normal(3, 3)),
            {"W": [[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]},
            tolerance=1e-7,
            where="random matrices",
        ),
        typeset_only="it is the largest of infinitely many",
        cite="Miyato et al. 2018, eq. 6",
        near_misses=(
            NearMiss(
                lambda W: W.square().sum((-1, -2)).sqrt(),
                "this is Frobenius' norm: all singular values together, not the largest",
            ),
            NearMiss(
                lambda W: torch.linalg.eigvals(W).abs().amax(-1),
                "this is the largest eigenvalue: a matrix can stretch and have no eigenvalue but 0",
            ),
            NearMiss(
                lambda W: W.abs().sum(-1).amax(-1), "this is the largest row sum, the norm for ‖·‖∞"
            ),
            NearMiss(lambda W: W.abs().amax((-1, -2)), "this is the largest entry"),
            NearMiss(
                lambda W: torch.linalg.matrix_norm(W, 2).square(),
                "this is the largest eigenvalue of WᵀW: its root is missing",
            ),
        ),
    ),
    Equation(
        id="4.29",
        title="the Fréchet distance",
        lhs=r"d^2",
        rhs=r"\lVert\mu-\mu'\rVert^2+\mathrm{tr}\big(\Sigma+\Sigma'-2(\Sigma\Sigma')^{1/2}\big)",
        meaning="Of two normal distributions: how far apart they lie, and how differently they "
        "spread.",
        quantity="the distance",
        reference=_frechet,
        evidence=Numeric(
            points(mu1=normal(3), sigma1=_covariance, mu2=normal(3), sigma2=_covariance),
            {
                "mu1": [0.0, 0.0, 0.0],
                "sigma1": _EYE,
                "mu2": [3.0, 0.0, 0.0],
                "sigma2": [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]],
            },
            tolerance=1e-6,
            where="random pairs of normal distributions",
        ),
        typeset_only="it has the root of a matrix",
        cite="Dowson & Landau 1982; Heusel et al. 2017, eq. 6",
        near_misses=(
            NearMiss(
                lambda mu1, sigma1, mu2, sigma2: _frechet(
                    mu1, sigma1, mu2, sigma2, 2 * _trace(sigma1 @ sigma2)
                ),
                "the square root of ΣΣ' is missing",
            ),
            NearMiss(
                lambda mu1, sigma1, mu2, sigma2: _frechet(
                    mu1, sigma1, mu2, sigma2, 2 * _trace((sigma1 @ sigma2).sqrt())
                ),
                "the root is taken entry by entry: the matrix is meant whose square is ΣΣ'",
            ),
            NearMiss(
                _diagonal, "only the diagonals are compared: how features vary together counts too"
            ),
            NearMiss(
                lambda mu1, sigma1, mu2, sigma2: _frechet(
                    mu1, sigma1, mu2, sigma2, _spread(sigma1, sigma2)
                ),
                "the 2 is missing: equal distributions must be at distance 0",
            ),
            NearMiss(
                lambda mu1, sigma1, mu2, sigma2: _frechet(
                    mu1, sigma1, mu2, sigma2, 2 * _trace(_root(sigma1) @ _root(sigma2))
                ),
                "Σ^{1/2}Σ'^{1/2} is not (ΣΣ')^{1/2}, unless the two commute",
            ),
            NearMiss(
                lambda mu1, sigma1, mu2, sigma2: _frechet(mu1, sigma1, mu2, sigma2, squared=False),
                "the norm of μ − μ' is not squared",
            ),
            NearMiss(
                lambda mu1, sigma1, mu2, sigma2: _frechet(mu1, sigma1, mu2, sigma2).sqrt(),
                "this is the distance d; its square is what the FID reports",
            ),
        ),
    ),
    Equation(
        id="4.30",
        title="likelihood in a discriminator's eyes",
        lhs=r"-\log p(f\mid z)",
        rhs=r"\tfrac12\lVert f-\tilde f\rVert^2+\tfrac n2\log 2\pi",
        meaning="A VAE's reconstruction term, with unit noise on the n features f that a layer of "
        "the discriminator finds in x; f̃ are those of the decoded x̃.",
        quantity="the loss",
        reference=lambda features, features_hat, x, x_hat: (
            -torch.distributions.Normal(features_hat, 1.0).log_prob(features).sum(-1)
        ),
        evidence=Numeric(
            _FEATURES, {"features": [1.0, 0.0, 2.0, 0.0], "features_hat": [0.0, 0.0, 0.0, 0.0]}
        ),
        symbols={
            "f": lambda features, **_: features,
            "f_tilde": lambda features_hat, **_: features_hat,
            "f_hat": lambda features_hat, **_: features_hat,
            "x_tilde": lambda x_hat, **_: x_hat,
            "n": lambda features, **_: torch.full_like(features[:, 0], features.shape[-1]),
        },
        definition=Definition(
            "derived as minus the logarithm of ∏ N(f; f̃, 1) over 4 features (SymPy)",
            lambda: sum(
                (a - b) ** 2 / 2 + sympy.log(2 * sympy.pi) / 2 for a, b in zip(_N, _T, strict=True)
            ),
            {
                "f": _N,
                "features": _N,
                "f_tilde": _T,
                "f_hat": _T,
                "features_hat": _T,
                "n": sympy.Integer(4),
            },
        ),
        cite="Larsen et al. 2016, eqs. 6 and 7",
        near_misses=(
            NearMiss(
                r"\lVert f-\tilde f\rVert^2+\tfrac n2\log 2\pi",
                "the ½ is missing: it is squared error over twice the variance 1",
            ),
            NearMiss(
                r"\frac12\lVert x-\tilde x\rVert^2+\frac n2\log2\pi",
                "pixels are compared; the features are what the discriminator looks at",
            ),
            NearMiss(
                r"-\frac12\lVert f-\tilde f\rVert^2-\frac n2\log2\pi",
                "this is the log-likelihood, to be maximised: the loss is minus that",
            ),
            NearMiss(
                r"\frac12\lVert f-\tilde f\rVert^2",
                "the constant is missing: the gradient is right, the likelihood is not",
            ),
            NearMiss(
                lambda features, features_hat, x, x_hat: (
                    _squared(features, features_hat) / 8 + math.log(2 * math.pi) / 2
                ),
                "the mean over features is taken; independent features add up, so take the sum",
            ),
        ),
    ),
    Equation(
        id="4.31",
        title="an average that follows",
        lhs=r"\bar\theta_K",
        rhs=r"d^{K}\,\bar\theta_0+(1-d)\sum_{k=1}^{K}d^{K-k}\,\theta_k",
        meaning="What K steps of θ̄ ← d·θ̄ + (1−d)·θₖ come to: the newest weighs most.",
        quantity="the average",
        reference=_average,
        evidence=Numeric(
            points(theta=normal(5), start=normal(), d=uniform(0.05, 0.95)),
            {"theta": [1.0, 2.0, 3.0, 4.0, 5.0], "start": 0.0, "d": 0.5},
        ),
        typeset_only="k stands in an exponent",
        cite="Karras et al. 2018, appendix A; Yazıcı et al. 2019",
        near_misses=(
            NearMiss(
                lambda theta, start, d: theta.mean(-1), "this is the plain mean: all weigh alike"
            ),
            NearMiss(
                lambda theta, start, d: _average(theta.flip(-1), start, d),
                "the weights are reversed: the oldest weighs most here",
            ),
            NearMiss(
                lambda theta, start, d: _average(theta, torch.zeros_like(start), d),
                "the start θ̄₀ is missing: its weight is d^K, which is much while K is small",
            ),
            NearMiss(
                lambda theta, start, d: _average(theta, start, 1 - d),
                "d and 1−d have changed places: d is what is kept",
            ),
        ),
    ),
)

# -- exercises -------------------------------------------------------------------------------------

_M1, _M2, _OUT, _TARGET = real("mu_1", "mu_2", "D", "c")
_S1, _S2 = positive("sigma_1", "sigma_2")
_NORMALS = {"mu_1": _M1, "mu_2": _M2, "sigma_1": _S1, "sigma_2": _S2}


def _half_square(D, c):
    return (D - c) ** 2 / 2


_EXERCISES = (
    Equation(
        id="4.x5",
        title="the Fréchet distance of two normals on a line",
        lhs=r"d^2",
        rhs=r"(\mu_1-\mu_2)^2+(\sigma_1-\sigma_2)^2",
        meaning="(4.29) in one dimension, where the matrices are σ₁² and σ₂².",
        quantity="the distance",
        reference=lambda mu1, sigma1, mu2, sigma2: (mu1 - mu2) ** 2 + (sigma1 - sigma2) ** 2,
        evidence=Numeric(
            points(
                mu1=uniform(-3, 3),
                sigma1=uniform(0.1, 3),
                mu2=uniform(-3, 3),
                sigma2=uniform(0.1, 3),
            ),
            {"mu1": 0.0, "sigma1": 1.0, "mu2": 3.0, "sigma2": 2.0},
        ),
        symbols={
            "mu_1": lambda mu1, **_: mu1,
            "mu_2": lambda mu2, **_: mu2,
            "sigma_1": lambda sigma1, **_: sigma1,
            "sigma_2": lambda sigma2, **_: sigma2,
        },
        definition=Definition(
            "derived from (4.29), with σ₁² and σ₂² for the matrices (SymPy)",
            lambda: (_M1 - _M2) ** 2 + _S1**2 + _S2**2 - 2 * sympy.sqrt(_S1**2 * _S2**2),
            {**_NORMALS, "mu1": _M1, "mu2": _M2, "sigma1": _S1, "sigma2": _S2},
        ),
        cite="Dowson & Landau 1982",
        near_misses=(
            NearMiss(
                r"(\mu_1-\mu_2)^2+(\sigma_1^2-\sigma_2^2)^2",
                "variances are compared here, and standard deviations are wanted",
            ),
            NearMiss(
                r"(\mu_1-\mu_2)^2+\sigma_1^2+\sigma_2^2",
                "−2σ₁σ₂ is missing: equal distributions must be at distance 0",
            ),
            NearMiss(
                r"(\mu_1-\mu_2)^2+\sigma_1^2+\sigma_2^2-2\sigma_1^2\sigma_2^2",
                "the root of σ₁²σ₂² is missing",
            ),
            NearMiss(r"|\mu_1-\mu_2|+|\sigma_1-\sigma_2|", "both differences are to be squared"),
        ),
    ),
    Equation(
        id="4.x6",
        title="a look ahead",
        lhs=r"\frac{\theta_{k+1}^2+\psi_{k+1}^2}{\theta_k^2+\psi_k^2}",
        rhs=r"1-\eta^2+\eta^4",
        meaning="Extragradient in the game V = θψ: step, look at the slopes there, and take them "
        "from where you were.",
        quantity="the factor",
        reference=lambda eta: _circle(
            *_half_first(torch.ones_like(eta), torch.zeros_like(eta), eta)
        ),
        evidence=Numeric(points(eta=uniform(0.05, 0.95)), {"eta": 0.5}),
        definition=Definition(
            "derived from θ − η(ψ + ηθ) and ψ + η(θ − ηψ) (SymPy)",
            lambda: sympy.cancel(_circle(*_half_first(_THETA, _PSI, _ETA)) / _circle(_THETA, _PSI)),
            {"eta": _ETA},
        ),
        cite="Korpelevich 1976; Gidel et al. 2019, section 3",
        near_misses=(
            NearMiss(r"1+\eta^2", "this is the plain step, both at once: it takes no look ahead"),
            NearMiss(
                r"(1-\eta^2)^2", "the sideways part, η², is missing: it adds to the squared length"
            ),
            NearMiss(
                r"(1+\eta^2)^2",
                "these are two plain steps: the second must start where the first did",
            ),
            NearMiss(r"1-\eta^2", "η⁴ is missing: it comes from the square of 1−η²"),
        ),
    ),
    Equation(
        id="4.x7",
        title="how many modes are seen",
        lhs=r"\mathbb{E}[\text{modes seen}]",
        rhs=r"K\Big(1-\big(1-\tfrac1K\big)^n\Big)",
        meaning="Of K equally likely modes, in n draws, on average.",
        quantity="the mean number",
        reference=lambda K, n: -K * torch.special.expm1(n * torch.log1p(-1 / K)),
        evidence=Numeric(
            points(
                K=lambda generator, count: (2 + whole(29)(generator, count)).double(),
                n=lambda generator, count: (1 + whole(60)(generator, count)).double(),
            ),
            {"K": 10.0, "n": 10.0},
        ),
        near_misses=(
            NearMiss(
                r"K\Big(1-\tfrac1K\Big)^n", "this is how many are missed; the others are seen"
            ),
            NearMiss(r"\min(n,K)", "as many as there are draws: but some modes are drawn twice"),
            NearMiss(
                r"K\Big(1-\tfrac{1}{K^n}\Big)",
                "a mode is missed if every draw misses it, each with 1−1/K; 1/Kⁿ: all hit it",
            ),
            NearMiss(
                r"1-\Big(1-\tfrac1K\Big)^n",
                "this is the chance to see one of the modes; there are K of them",
            ),
        ),
    ),
    Equation(
        id="4.x8",
        title="why least squares does not saturate",
        lhs=r"\frac{\partial}{\partial D}\,\tfrac12(D-c)^2",
        rhs="D-c",
        meaning="The generator's least-squares loss by what the discriminator puts out, with no "
        "sigmoid: the farther off, the stronger the pull.",
        quantity="the derivative",
        reference=lambda D, c: D - c,
        evidence=Gradient(
            points(D=uniform(-5, 5), c=uniform(-1, 1)),
            {"D": -3.0, "c": 1.0},
            of=_half_square,
            wrt="D",
        ),
        definition=Definition(
            "derived by differentiating ½(D − c)² by D (SymPy)",
            lambda: sympy.diff(_half_square(_OUT, _TARGET), _OUT),
            {"D": _OUT, "c": _TARGET},
        ),
        cite="Mao et al. 2017, section 3.2",
        near_misses=(
            NearMiss("2(D-c)", "the ½ takes the 2 of the square away"),
            NearMiss("c-D", "the sign is turned round: this is the direction of a step downhill"),
            NearMiss(r"\frac12(D-c)^2", "this is the loss itself; its derivative is asked for"),
            NearMiss(
                "(D-c)D(1-D)",
                "that is with a sigmoid in front; here D is the raw output, of any size",
            ),
        ),
    ),
)

EQUATIONS = (*_TRANSPORT, *_PENALTIES, *_GAMES, *_MEASURES)
EXERCISES = _EXERCISES
