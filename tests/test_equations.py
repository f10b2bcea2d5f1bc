"""The registry, both ways: what is right passes and is proved, what is wrong is refused by name.

And the references themselves, against libraries and integrals that know nothing of the course.
"""

import itertools
import math
import re

import numpy as np
import pytest
import sympy
import torch
from scipy import integrate, special, stats
from sklearn.decomposition import FactorAnalysis

from genart_lessons import verify
from genart_lessons.equations import (
    Progress,
    derive,
    every,
    find,
    of_chapter,
    progress,
    show_equation,
)
from genart_lessons.proof import Draws, Estimate, judge
from genart_lessons.proof.candidate import Candidate
from genart_lessons.proof.evidence import drawn, symbol_values
from genart_lessons.proof.exact import _is_tame, _vanishes

ALL = every()
FORMULAS = [e for e in ALL if not e.typeset_only]
SAMPLED = [e for e in ALL if isinstance(e.evidence, (Draws, Estimate))]
POINTWISE = [e for e in ALL if e not in SAMPLED]
by_id = {"ids": lambda e: e.id if hasattr(e, "id") else None}


pytestmark = pytest.mark.usefixtures("one_thread")


def values(equation, count: int | None = None) -> dict[str, np.ndarray]:
    """Arguments and symbols at the points where the registry itself tries the equation."""
    evidence = equation.evidence
    arguments = drawn(evidence.draw, count or evidence.count, evidence.example)
    return {k: v.numpy() for k, v in symbol_values(equation, arguments).items()}


def reference(equation, count: int | None = None) -> np.ndarray:
    evidence = equation.evidence
    return equation.reference(
        **drawn(evidence.draw, count or evidence.count, evidence.example)
    ).numpy()


# -- both ways -------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ALL, **by_id)
def test_the_reference_passes(equation):
    verdict = judge(equation, equation.reference)
    assert verdict.ok is True, verdict


@pytest.mark.parametrize("equation", FORMULAS, **by_id)
def test_what_is_typeset_is_what_is_checked_and_it_is_proved(equation):
    for candidate in (equation.rhs, equation.latex):
        verdict = judge(equation, candidate)
        assert verdict.ok is True, verdict
        assert ("exact" in verdict.kind) == (equation not in SAMPLED), verdict.kind


@pytest.mark.parametrize("equation", ALL, **by_id)
def test_each_near_miss_fails_with_its_own_sentence(equation):
    assert equation.near_misses
    for miss in equation.near_misses:
        verdict = judge(equation, miss.candidate)
        assert verdict.ok is False and verdict.mistake == miss.says, verdict
        assert verdict.sentence.startswith(miss.says)
        assert "\n" not in repr(verdict)


@pytest.mark.parametrize("equation", ALL, **by_id)
def test_no_two_slips_share_a_sentence(equation):
    sentences = [miss.says for miss in equation.near_misses]
    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("equation", ALL, **by_id)
def test_an_exercise_left_open_is_not_tried(equation):
    assert judge(equation, ...).ok is None


@pytest.mark.parametrize(
    "id, left", [("3.1", "p(x)"), ("3.2", r"p(z\mid x)"), ("3.3", r"\log p(x)")]
)
def test_to_repeat_the_left_hand_side_is_no_answer(id, left):
    verdict = judge(find(id), left)
    assert verdict.ok is False and "left-hand side again" in verdict.sentence


@pytest.mark.parametrize("equation", [e for e in ALL if e.typeset_only], **by_id)
def test_what_cannot_be_read_as_a_formula_says_so(equation):
    verdict = judge(equation, equation.rhs)
    assert verdict.ok is False and "give a Python function" in verdict.sentence, verdict


def test_verdicts_are_as_they_were():
    """Twice the same text, and no number that has more digits than it can vouch for."""
    for equation in (find("3.3"), find("3.10"), find("3.12"), find("3.14")):
        candidates = [equation.reference, *(m.candidate for m in equation.near_misses)]
        once = [judge(equation, c).text for c in candidates]
        torch.manual_seed(99)
        assert [judge(equation, c).text for c in candidates] == once
        assert not re.search(r"\d\.\d{6,}", " ".join(once))


# -- mutants ---------------------------------------------------------------------------------------


def spots(tree: sympy.Basic, path=()):
    yield path, tree
    if not isinstance(tree, sympy.Indexed):
        for i, child in enumerate(tree.args):
            if not isinstance(child, sympy.Tuple):  # the limits of a sum
                yield from spots(child, (*path, i))


def put(tree: sympy.Basic, path, new: sympy.Basic) -> sympy.Basic:
    if not path:
        return new
    args = list(tree.args)
    args[path[0]] = put(args[path[0]], path[1:], new)
    return tree.func(*args)


def slips(node: sympy.Basic):
    """What one slip of the pen makes of one spot."""
    if isinstance(node, sympy.Add):
        for term in node.args:
            yield node - term  # dropped
            yield node - 2 * term  # its sign turned round
    elif isinstance(node, sympy.Mul):
        yield -node
        yield 2 * node
        for factor in node.args:
            yield node / factor
    elif isinstance(node, sympy.Pow):
        yield node.base
        yield node.base ** (node.exp + 1)
        yield node.base ** (-node.exp)
        yield node.base ** (2 * node.exp)
    elif isinstance(node, sympy.Function):
        yield node.args[0]
        yield -node
        yield 2 * node
    elif isinstance(node, (sympy.Symbol, sympy.Indexed)):
        yield 2 * node
        yield -node
        yield node**2
        yield node + 1


def mutants(formula: sympy.Expr) -> list[sympy.Expr]:
    found = [put(formula, path, new) for path, node in spots(formula) for new in slips(node)]
    letters = sorted(formula.free_symbols, key=str)
    for a, b in itertools.combinations(letters, 2):
        found.append(formula.xreplace({a: b, b: a}))
        found += [formula.xreplace({a: b}), formula.xreplace({b: a})]
    bases = sorted({i.base for i in formula.atoms(sympy.Indexed)}, key=str)
    for a, b in itertools.permutations(bases, 2):
        found.append(formula.replace(lambda n, a=a: isinstance(n, sympy.Indexed) and n.base == a,
                                     lambda n, b=b: b[n.indices]))  # fmt: skip
    return list(dict.fromkeys(m for m in found if m != formula))


@pytest.fixture
def unnamed(monkeypatch):
    """Only whether a slip is refused is asked, and not what it is called, which takes longest."""
    monkeypatch.setattr("genart_lessons.proof.evidence.known_mistake", lambda *trials: None)


@pytest.mark.parametrize("equation", [e for e in FORMULAS if e not in SAMPLED], **by_id)
def test_every_slip_of_the_pen_is_refused(equation, unnamed):
    """A mutant may pass only if SymPy proves that it is the same formula in another guise."""
    arguments = drawn(equation.evidence.draw, 3, {})
    names = symbol_values(equation, arguments)
    formula = Candidate(equation.rhs, names, equation.free_index).expr
    assert formula is not None
    verdicts = [(mutant, judge(equation, mutant)) for mutant in mutants(formula)]
    passed = [(mutant, verdict) for mutant, verdict in verdicts if verdict.ok is not False]
    assert not [pair for pair in passed if "exact" not in pair[1].kind]
    assert len(verdicts) >= 3 and len(passed) <= len(verdicts) / 3  # or they are no mutants


TEXT_SLIPS = [
    (r"+", r"-"), (r"-", r"+"), ("^2", ""), ("^2", "^3"), (r"\frac12", ""), (r"\tfrac12", ""),
    (r"\log", ""), ("2", "3"), ("1", "2"), (r"\mu", r"\sigma"), (r"\sigma", r"\mu"),
    (r"p(z)", r"p(x\mid z)"), (r"p(x\mid z)", "p(z)"), (r"p(z\mid x)", "p(z)"), ("p(x,z)", "p(z)"),
    (r"q(z\mid x)", "p(z)"), (r"\hat{x}", "x"), (r"\exp", r"\log"), (r"\max", r"\min"),
    ("_q", "_p"), ("_p", "_q"), ("w", "b"), ("m", "s"), (r"\pi", ""), ("D", "2"), ("n", "2n"),
    (r"\mathrm{data}", "g"), ("p_g", r"p_{\mathrm{data}}"), ("(x)", "(z)"), ("D(G(z))", "D(G(x))"),
    ("p_z", r"p_{\mathrm{data}}"), ("1-D", "D"), (r"\ell", r"2\ell"), (r"\eta", r"\psi_k"),
    ("<t", r"\le t"), ("<t", "t-1"), ("t+1", "t"), (r"\tau", "1"), (r"\alpha", "1"), ("V", "1"),
    (r"\prod", r"\sum"), (r"\sum", r"\prod"), (r"\log_2", r"\log"), ("T", "2"), ("c_k", "c_j"),
    (r"\bar{p}_k", r"\frac1V"), (r"\bar{\ell}", "0"), ("y_k", "1"), ("h_t", "w"), ("N", "V"),
    (r"p_\theta", r"p_{\mathrm{data}}"), (r"x_3", "x_1"), ("s_{t-1}", "s_t"),
    (r"\theta", r"\psi"), (r"\psi", r"\theta"), ("_{(i)}", "_i"), (r"\min", r"\max"), ("4", "2"),
    (r"\bar\alpha_t", r"\alpha_t"), (r"\bar\alpha_{t-1}", r"\bar\alpha_t"), (r"\sqrt", ""),
    (r"\beta_t", r"\alpha_t"), (r"\varnothing", "y"), ("h_t", "h_{t+1}"), ("_{ii}", "_{ij}"),
    ("8", "4"), (r"\mathrm{JSD}", r"D_{\mathrm{KL}}"), ("0.9", "0.1"), (r"\gamma", r"\gamma^2"),
]  # fmt: skip


@pytest.mark.parametrize("equation", [e for e in FORMULAS if e not in SAMPLED], **by_id)
def test_every_slip_of_the_typist_is_refused(equation, unnamed):
    survivors = []
    for old, new in TEXT_SLIPS:
        for place in (m.start() for m in re.finditer(re.escape(old), equation.rhs)):
            if old.isalpha() and re.match(r"[A-Za-z\\]", equation.rhs[place - 1 : place]):
                continue  # inside a command's name
            typed = equation.rhs[:place] + new + equation.rhs[place + len(old) :]
            verdict = judge(equation, typed)
            if verdict.ok is not False and "exact" not in verdict.kind:
                survivors.append((typed, verdict))
    assert not survivors


@pytest.mark.parametrize("id, law", [("0.3", "normal"), ("3.12", "normal"), ("3.x5", "lognormal")])
def test_every_slip_in_a_sampler_is_refused_unless_the_law_is_the_same(id, law):
    equation = find(id)
    names = {**dict.fromkeys(("mu", "sigma", "eps", "log_var"), torch.ones(3))}
    formula = Candidate(equation.rhs, names).expr
    mu, sigma, eps = (sympy.Symbol(n) for n in ("mu", "sigma", "eps"))
    mirrored = formula.xreplace({eps: -eps})
    assert judge(equation, mirrored).ok, "−ε is as normal as ε"
    for mutant in mutants(formula):
        if sympy.expand(mutant - mirrored) == 0:
            continue
        assert judge(equation, mutant).ok is False, mutant


def test_algebra_itself_can_say_no():
    x, y = sympy.symbols("x y", positive=True)
    log, exp = sympy.log, sympy.exp
    for same in (
        log(x * y) - log(x) - log(y),
        log(x**2) - 2 * log(x),
        exp(x + y) - exp(x) * exp(y),
        exp(-x) * exp(x) - 1,
        (x + y) ** 3 - x**3 - 3 * x**2 * y - 3 * x * y**2 - y**3,
        x / (x + y) + y / (x + y) - 1,
        log(1 + exp(-x)) - log(1 + exp(x)) + x,
        log(2 * x + 2 * y) - log(2) - log(x + y),
        log(4) - 2 * log(2),
    ):
        assert _vanishes(same, {}), same
        assert not _vanishes(same + sympy.Rational(1, 10**12), {}), same
        assert not _vanishes(same + x * y / 10**9, {}), same
    assert _vanishes(x + y - 1, {y: 1 - x}) and not _vanishes(x + y - 1, {})


def test_what_algebra_could_not_finish_is_left_to_the_numbers():
    """Left out by its size and not by the clock: the same words on a slow machine."""
    mu, sigma = sympy.symbols("mu sigma")
    right = (mu**2 + sigma**2 - 1) / 2 - sympy.log(sigma)
    huge = right + (mu + sigma) ** 30 - (sigma + mu) * (mu + sigma) ** 29 * 1
    tower = sympy.Pow(
        9, sympy.Pow(9, sympy.Pow(9, 9, evaluate=False), evaluate=False), evaluate=False
    )
    tiny = sympy.Add(right, sympy.Pow(tower, -1, evaluate=False), evaluate=False)
    assert _is_tame(right) and not _is_tame((mu + sigma) ** 30) and not _is_tame(tiny)
    assert judge(find("3.7"), tiny).kind == "numeric"
    assert judge(find("3.7"), huge).ok
    long = right + sum(sympy.Symbol("mu") ** k - sympy.Symbol("mu") ** k for k in range(9))
    assert judge(find("3.7"), long).kind == "exact and numeric"


# -- the references, against what knows nothing of them ----------------------------------------


def approx(want):
    return pytest.approx(want, rel=1e-9, abs=1e-10)


def test_chapter_00_by_scipy():
    v = values(find("0.1"))
    normal = stats.norm(v["mu"], v["sigma"])
    assert reference(find("0.1")) == approx(normal.pdf(v["x"]))
    assert reference(find("0.x1")) == approx(normal.logpdf(v["x"]))
    step = 1e-6
    slope = (normal.logpdf(v["x"] + step) - normal.logpdf(v["x"] - step)) / (2 * step)
    assert reference(find("0.2")) == pytest.approx(slope, rel=1e-6, abs=1e-6)
    area, _ = integrate.quad(lambda x: stats.norm(0.5, 2).pdf(x), -40, 40)
    assert area == approx(1)


def world(count=50):
    v = values(find("3.19"), count)
    return v["prior"], v["likelihood"], v["q"], v["beta"]


def test_the_finite_world_by_scipys_tables():
    prior, likelihood, q, beta = world()
    v = {"prior": prior, "likelihood": likelihood, "q": q}
    t = {k: torch.tensor(a) for k, a in v.items()}
    joint = prior * likelihood
    evidence = joint.sum(1)
    posterior = joint / evidence[:, None]
    recon = (q * np.log(likelihood)).sum(1)
    price = special.rel_entr(q, prior).sum(1)
    gap = special.rel_entr(q, posterior).sum(1)
    entropy = special.entr(q).sum(1)
    elbo = (q * np.log(joint)).sum(1) + entropy

    def say(id, **more):
        return find(id).reference(**t, **more).numpy()

    assert say("3.1") == approx(evidence)
    assert say("3.2") == approx(posterior)
    assert say("3.3") == approx(np.log(evidence))
    assert say("3.3") == approx(elbo + gap)
    for id in ("3.4", "3.5", "3.x1"):
        assert say(id) == approx(elbo)
        assert say(id) == approx(recon - price)
    assert say("3.6") == approx(gap)
    assert say("3.19", beta=torch.tensor(beta)) == approx(recon - beta * price)
    w = joint / q
    pairs = [
        (q[:, i] * q[:, j] * np.log((w[:, i] + w[:, j]) / 2))
        for i, j in itertools.product(range(3), repeat=2)
    ]
    assert say("3.x6") == approx(sum(pairs))
    assert (say("3.x6") >= elbo - 1e-12).all() and (say("3.x6") <= np.log(evidence) + 1e-12).all()


def test_what_the_average_price_buys_by_scipys_tables():
    v = values(find("3.25"), 50)
    q, prior = v["q"], v["prior"]
    mixture = q.mean(1)
    information = special.rel_entr(q, mixture[:, None]).sum(-1).mean(1)
    assert reference(find("3.25"), 50) == approx(
        information + special.rel_entr(mixture, prior).sum(-1)
    )


def kl_by_quadrature(mu_q, sigma_q, mu_p, sigma_p):
    q, p = stats.norm(mu_q, sigma_q), stats.norm(mu_p, sigma_p)
    span = 12 * sigma_q
    return integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mu_q - span, mu_q + span, epsabs=1e-12
    )[0]


@pytest.mark.parametrize("k", range(6))
def test_divergences_by_quadrature(k):
    v = values(find("3.10"))
    numbers = [float(v[name][k]) for name in ("mu_q", "sigma_q", "mu_p", "sigma_p")]
    assert reference(find("3.10"))[k] == pytest.approx(kl_by_quadrature(*numbers), rel=1e-8)
    v = values(find("3.7"))
    mu, sigma = float(v["mu"][k]), float(v["sigma"][k])
    q = stats.norm(mu, sigma)
    assert reference(find("3.7"))[k] == pytest.approx(kl_by_quadrature(mu, sigma, 0, 1), rel=1e-8)
    assert reference(find("3.x2"))[k] == pytest.approx(kl_by_quadrature(mu, sigma, 0, 2), rel=1e-8)
    assert reference(find("3.8"))[k] == approx(-q.entropy())
    assert reference(find("3.9"))[k] == approx(q.expect(stats.norm(0, 1).logpdf))
    step = 1e-5

    def price(log_var):
        return kl_by_quadrature(mu, math.exp(log_var / 2), 0, 1)

    log_var = 2 * math.log(sigma)
    slope = (price(log_var + step) - price(log_var - step)) / (2 * step)
    assert reference(find("3.x3"))[k] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_a_whole_code_by_a_determinant():
    """Multivariate normals: ½(tr Σ + μᵀμ − n − log det Σ)."""
    v = values(find("3.11"))
    for k in range(5):
        cov = np.diag(v["sigma"][k] ** 2)
        want = (np.trace(cov) + v["mu"][k] @ v["mu"][k] - 4 - np.linalg.slogdet(cov)[1]) / 2
        assert reference(find("3.11"))[k] == approx(want)


def test_likelihoods_by_scipy():
    v = values(find("3.15"))
    x_hat = special.expit(v["logits"])
    want = special.xlogy(v["x"], x_hat) + special.xlog1py(1 - v["x"], -x_hat)
    assert reference(find("3.15")) == approx(want.sum(1))
    ink = np.round(v["x"])
    arguments = {"logits": torch.tensor(v["logits"]), "x": torch.tensor(ink)}
    want = stats.bernoulli(x_hat).logpmf(ink).sum(1)
    assert find("3.15").reference(**arguments).numpy() == approx(want)
    v = values(find("3.17"))
    for k in range(20):
        law = stats.multivariate_normal(v["x_hat"][k], v["sigma"][k] ** 2 * np.eye(4))
        likelihood = law.logpdf(v["x"][k])
        given = {n: torch.tensor(v[n][k : k + 1]) for n in ("x", "x_hat", "sigma")}
        assert float(find("3.16").reference(**given)) == approx(likelihood)
        want = -2 * v["sigma"][k] ** 2 * (likelihood - v["K"][k])
        assert reference(find("3.17"))[k] == approx(want)


def test_the_best_noise_by_search():
    from scipy.optimize import minimize_scalar

    v = values(find("3.18"))
    for k in range(10):
        errors = v["x"][k] - v["x_hat"][k]
        best = minimize_scalar(
            lambda t, e=errors: -stats.norm(0, math.exp(t / 2)).logpdf(e).sum(), bounds=(-15, 3),
            method="bounded", options={"xatol": 1e-10},
        )  # fmt: skip
        assert reference(find("3.18"))[k] == pytest.approx(math.exp(best.x), rel=1e-6)


def test_the_slope_of_a_pixel_by_differences():
    v = values(find("3.x4"))
    step, x, ell = 1e-6, v["x"], v["logits"]

    def log_p(ell):
        return special.xlogy(x, special.expit(ell)) + special.xlogy(1 - x, special.expit(-ell))

    slope = (log_p(ell + step) - log_p(ell - step)) / (2 * step)
    assert reference(find("3.x4")) == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("k", range(5))
def test_the_line_world_by_quadrature(k):
    v = {n: float(a[k]) for n, a in values(find("3.20")).items()}
    x, w, b, sigma, m, s = (v[n] for n in ("x", "w", "b", "sigma", "m", "s"))

    def joint(z):
        return stats.norm(0, 1).pdf(z) * stats.norm(w * z + b, sigma).pdf(x)

    def area(f):
        return integrate.quad(f, -12, 12, epsabs=1e-13, limit=200)[0]

    evidence = area(joint)
    mean = area(lambda z: z * joint(z)) / evidence
    variance = area(lambda z: (z - mean) ** 2 * joint(z)) / evidence
    q = stats.norm(m, s)
    elbo = integrate.quad(
        lambda z: q.pdf(z) * (np.log(joint(z)) - q.logpdf(z)), m - 10 * s, m + 10 * s
    )[0]
    assert reference(find("3.20"))[k] == pytest.approx(math.log(evidence), rel=1e-8)
    assert reference(find("3.21"))[k] == pytest.approx(mean, rel=1e-7, abs=1e-9)
    assert reference(find("3.22"))[k] == pytest.approx(variance, rel=1e-7)
    assert reference(find("3.23"))[k] == pytest.approx(elbo, rel=1e-6)
    assert elbo <= math.log(evidence)


def test_the_evidence_by_scikit_learns_factor_analysis():
    """Factor analysis with one factor and one feature is the line world."""
    v = values(find("3.20"))
    for k in range(5):
        x, w, b, sigma = (float(v[n][k]) for n in ("x", "w", "b", "sigma"))
        model = FactorAnalysis(n_components=1)
        model.components_, model.mean_ = np.array([[w]]), np.array([b])
        model.noise_variance_ = np.array([sigma**2])
        assert reference(find("3.20"))[k] == approx(model.score_samples([[x]])[0])
        assert reference(find("3.21"))[k] == approx(model.transform([[x]])[0, 0])


def test_importance_weights_and_free_bits_by_numpy():
    v = values(find("3.24"))
    assert reference(find("3.24")) == approx(np.log(np.exp(v["log_w"]).mean(1)))
    v = values(find("3.26"))
    assert reference(find("3.26")) == approx(np.maximum(v["K"], v["lam"][:, None]).sum(1))


def test_the_walk_by_scipys_slerp():
    from scipy.spatial import geometric_slerp

    v = values(find("3.27"))
    for k in range(10):
        a, b = (v[n][k] / np.linalg.norm(v[n][k]) for n in "ab")
        given = {"a": torch.tensor(a)[None], "b": torch.tensor(b)[None], "t": torch.tensor([0.3])}
        want = geometric_slerp(a, b, np.array([0.3]))[0]
        assert find("3.27").reference(**given)[0].numpy() == pytest.approx(want, abs=1e-7)


def test_halfway_by_drawing():
    a, b = np.random.default_rng(0).standard_normal((2, 200_000, 8))
    lengths = (((a + b) / 2) ** 2).sum(1)
    se = lengths.std() / len(lengths) ** 0.5
    assert abs(lengths.mean() - float(find("3.x7").reference(torch.tensor(8.0)))) < 4.5 * se


@pytest.mark.parametrize("id", ["3.13", "3.14"])
def test_both_gradients_are_unbiased_by_sympys_integral(id):
    """For every polynomial f up to degree 3, not only for the z² that verify tries."""
    mu, e = sympy.symbols("mu epsilon", real=True)
    sigma = sympy.Symbol("sigma", positive=True)
    for degree in range(4):
        f = (mu + sigma * e) ** degree
        exact = sympy.diff(derive.mean(f, e, 0, 1), mu)
        estimate = sympy.diff(f, mu) if id == "3.13" else f * e / sigma
        assert sympy.expand(derive.mean(estimate, e, 0, 1) - exact) == 0


def test_a_bound_touches_where_it_should_by_sympy():
    """(3.23) at the posterior is (3.20): the gap vanishes identically, not at 200 points."""
    m, s = sympy.Symbol("m", real=True), sympy.Symbol("s", positive=True)
    bound, evidence = (find(id).definition.derive() for id in ("3.23", "3.20"))
    mean, variance = (find(id).definition.derive() for id in ("3.21", "3.22"))
    assert _vanishes(bound.subs({m: mean, s: sympy.sqrt(variance)}) - evidence, {})
    for slope in (sympy.diff(bound, m), sympy.diff(bound, s)):
        assert _vanishes(slope.subs({m: mean, s: sympy.sqrt(variance)}), {})


DEFINED = [e for e in ALL if e.definition]


def flat(meaning) -> list:
    """A letter, a tuple of them or a tuple of rows, as one list."""
    return sum(map(flat, meaning), []) if isinstance(meaning, tuple) else [meaning]


@pytest.mark.parametrize("equation", DEFINED, **by_id)
def test_a_definition_has_the_values_of_the_reference(equation):
    """The derivation in SymPy against the reference in torch: two independent roads."""
    v, letters = values(equation, 5), equation.definition.letters
    derived = equation.definition.derive()
    derived = derived if isinstance(derived, tuple) else (derived,)
    for k in range(5):
        point = {}
        for name, meaning in letters.items():
            numbers = np.ravel(v[name][k]) if name in v else ()
            for letter, number in zip(flat(meaning), numbers, strict=False):
                if isinstance(letter, sympy.Symbol):
                    point[letter] = sympy.Float(float(number))
        want = np.ravel(reference(equation, 5)[k])
        got = [float(entry.xreplace(point)) for entry in derived]  # subs would take its time
        assert got == pytest.approx(want, rel=1e-9, abs=1e-10)


def test_almost_everything_that_can_be_read_is_derived_and_not_only_compared():
    compared = {e.id for e in FORMULAS if not e.definition and e not in SAMPLED}
    # The density is where everything starts; the others say what a word means.
    early = {"0.1", "0.4", "3.24", "3.26"}
    # Held against what is printed: stable logarithms, Pinsker's sum, samples in order, the hinge
    # (all with |·|, min or max), and a power n. test_equations_gan.py has their references checked.
    assert compared == early | {"1.26", "4.9", "4.10", "4.11", "4.20", "4.x2", "4.x7"}


def test_moments_and_areas_are_sympys_and_right():
    assert [derive.moment(k) for k in range(7)] == [1, 0, 1, 0, 3, 0, 15]
    z, x = sympy.symbols("z x", real=True)
    log_f = derive.log_normal(z, 3, sympy.Integer(4))
    assert sympy.simplify(derive.log_integral(log_f, z)) == 0
    assert derive.mean(z**2, z, x, sympy.Integer(2)) == x**2 + 4


# -- what the registry says of itself ------------------------------------------------------------

LABELS = {
    *(f"A{i}" for i in range(1, 6)), *(f"B{i}" for i in range(1, 8)),
    *(f"C{i}" for i in range(1, 6)), *(f"D{i}" for i in range(1, 11)),
    *(f"E{i}" for i in range(1, 6)),
    *(f"S{i}" for i in range(1, 17)), "L1", "L2",
}  # fmt: skip


def test_every_source_that_is_named_exists():
    assert len(LABELS) == 32 + 16 + 2
    for equation in ALL:
        assert set(equation.sources) <= LABELS
        for miss in equation.near_misses:
            assert not miss.source or miss.source in equation.sources, (equation.id, miss.source)


def test_chapter_03_answers_the_formulas_that_it_promises():
    answered = {s for e in of_chapter(3) for s in e.sources}
    assert {"B2", "B3", "B4", "B5", "C3", "C4", "C5", "D8", "E2", "E3", "S14"} <= answered


def test_chapter_04_answers_the_formulas_that_it_promises():
    answered = {s for e in of_chapter(4) for s in e.sources}
    promised = {"A1", "A2", "A3", "A4", "A5", "B1", "C1", "C2", "D1", "D2", "D6", "D7", "E1", "S13"}
    assert promised <= answered


def test_chapter_05_answers_the_formulas_that_it_promises():
    answered = {s for e in of_chapter(5) for s in e.sources}
    assert {"B6", "B7", "S8"} <= answered


CAUGHT = {  # what `anchors.md` found in famous courses → the equation whose check refuses it
    "a coefficient drawn as sigma*randn and multiplied by another randn": (
        ("0.3", lambda mu, sigma, eps: mu + sigma * eps * torch.randn_like(eps)),
        ("3.12", lambda mu, log_var, eps: mu + (log_var / 2).exp() * eps * torch.randn_like(eps)),
        ("7.1", lambda x_before, beta, eps: (
            (1 - beta).sqrt() * x_before + beta.sqrt() * eps * torch.randn_like(eps)
        )),
        ("7.5", lambda x_0, alpha_bar, eps: (
            alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps * torch.randn_like(eps)
        )),
    ),
    "noise scaled by the variance where its root belongs": (
        ("0.3", lambda mu, sigma, eps: mu + sigma**2 * eps),
        ("3.12", lambda mu, log_var, eps: mu + log_var.exp() * eps),
        ("7.1", r"\sqrt{\alpha_t}\,x_{t-1}+\beta_t\epsilon"),
    ),
    "a log-density whose constant is multiplied by D per element": (
        ("3.16", r"-\frac{\lVert x-\hat{x}\rVert^2}{2\sigma^2}-\frac{D^2}{2}\log(2\pi\sigma^2)"),
        ("3.16", lambda x, x_hat, sigma: (
            -((x - x_hat) ** 2) / (2 * sigma[:, None] ** 2)
            - x.shape[-1] / 2 * (2 * math.pi * sigma[:, None] ** 2).log()
        ).sum(-1)),
    ),
    "variance unpacked where log-variance was meant": (
        ("3.7", lambda mu, log_var: 0.5 * (mu**2 + log_var - 1 - log_var.log())),
    ),
    "a score whose docstring and code disagree": (
        ("0.2", r"\frac{x-\mu}{\sigma^2}"),
        ("0.2", r"-\frac{x-\mu}{\sigma}"),
    ),
    "−log(1−D) said to vanish as D → 1": (
        ("4.14", r"-\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]"),
        ("4.14", lambda fake: -torch.log(1 - torch.sigmoid(fake)).mean(-1)),
        ("4.14", lambda fake: torch.nn.functional.binary_cross_entropy_with_logits(
            fake, torch.zeros_like(fake), reduction="none"
        ).mean(-1)),
        ("4.13", r"-\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]"),
    ),
    "noise added at the last reverse step": (
        ("7.28", r"\frac{1}{\sqrt{\alpha_t}}"
         r"(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\hat\epsilon)+[t>0]\sigma_tz"),
        ("7.28", lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            (x_t - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat) / alpha.sqrt() + sigma * z
        )),
    ),
}  # fmt: skip


@pytest.mark.parametrize("error", CAUGHT)
def test_errors_of_famous_courses_are_caught_by_name(error):
    for id, candidate in CAUGHT[error]:
        verdict = judge(find(id), candidate)
        assert verdict.ok is False and verdict.mistake, verdict


def test_all_errors_on_record_are_caught():
    assert len(CAUGHT) == 7


def test_ids_are_in_order_and_unique():
    ids = [e.id for e in ALL]
    assert len(set(ids)) == len(ids)
    for chapter in {e.chapter for e in ALL}:
        for prefix in (".", ".x"):
            numbers = [
                int(i.partition(prefix)[2]) for i in (e.id for e in of_chapter(chapter))
                if re.fullmatch(rf"\d+{re.escape(prefix)}\d+", i)
            ]  # fmt: skip
            assert numbers == list(range(1, len(numbers) + 1))


def test_finding():
    assert find("3.7") is find(" (3.7) ")
    assert of_chapter(3) == of_chapter("03") == of_chapter("3")
    assert {e.chapter for e in ALL} == {f"0{k}" for k in range(9)}
    for unknown, listed in (("3.99", "3.1, 3.2"), ("9.1", "0.…, 1.…"), ("", "0.…"), ("x", "3.…")):
        with pytest.raises(LookupError, match=re.escape(listed)):
            verify(unknown, ...)
    for unquoted in (3.7, 3.10, 3, None):
        with pytest.raises(LookupError, match="in quotes"):
            verify(unquoted, ...)


def test_an_equation_can_be_looked_at():
    for equation in ALL:
        text = show_equation(equation)
        assert equation.meaning in text and equation.latex in text
        assert equation._repr_latex_().startswith("$$") and equation.meaning.endswith(".")
        assert rf"\tag{{{equation.id}}}" in equation._repr_latex_()
        for miss in equation.near_misses:
            assert miss.says == miss.says.strip() and not miss.says.endswith(".")


def test_progress_is_shown_by_chapter(tmp_path, monkeypatch):
    monkeypatch.setenv("GENART_HOME", str(tmp_path))
    before = repr(progress())
    assert "chapter 00: 0 of 5 verified" in before
    verify("0.4", r"1-\frac1x")
    verify("0.1", r"\mu")
    assert "chapter 00: 1 of 5 verified" in repr(progress())
    assert "chapter 00: 0 of 1 verified" in repr(progress(exercises_only=True))
    html = progress()._repr_html_()
    assert html.count("✔") == 1 and "✔ 0.4" in html
    shown = Progress({"<b>": [("<i>", '"><script>', True)]})._repr_html_()
    assert "<script>" not in shown and "<i>" not in shown and "&lt;b&gt;" in shown
