"""Chapter 05's references, against libraries and enumerations that know nothing of the course.

And candidates that people really write, right ones in other words and wrong ones: each gets the
verdict that it deserves.
"""

import itertools
import math

import numpy as np
import pytest
import sympy
import torch
from scipy import special, stats
from sklearn.metrics import log_loss
from torch.nn import functional as F
from transformers.generation.logits_process import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from genart_lessons.equations import derive, find, of_chapter
from genart_lessons.equations.autoregressive import _rescaled
from genart_lessons.proof import judge
from genart_lessons.proof.evidence import drawn, symbol_values

WORDS = list(itertools.product((0, 1), repeat=3))


pytestmark = pytest.mark.usefixtures("one_thread")


def asked(id, count=60):
    """The arguments of the equation at its own points, and its reference there, as numpy."""
    equation = find(id)
    arguments = drawn(equation.evidence.draw, count, equation.evidence.example)
    target = equation.reference(**arguments)
    return {name: value.numpy() for name, value in arguments.items()}, target.numpy()


def symbols(id, count=60):
    equation = find(id)
    arguments = drawn(equation.evidence.draw, count, equation.evidence.example)
    return {n: v.numpy() for n, v in symbol_values(equation, arguments).items()}


def approx(want):
    return pytest.approx(want, rel=1e-9, abs=1e-10)


# -- the word world, by writing out all eight words ------------------------------------------------


def law(v, k, p="p"):
    """word → probability, in the k-th world."""
    p1, p2, p3 = (v[f"{p}{n}"][k] for n in (1, 2, 3))
    return {(a, b, c): p1[a] * p2[a, b] * p3[a, b, c] for a, b, c in WORDS}


def chance(words, event):
    return sum(p for word, p in words.items() if event(word))


def test_the_chain_rule_by_counting_words():
    v, got = asked("5.1")
    s = symbols("5.1")
    for k in range(60):
        words, x = law(v, k), tuple(v["x"][k])
        assert got[k] == approx(words[x])
        starts = [chance(words, lambda w, n=n, x=x: w[:n] == x[:n]) for n in range(4)]
        steps = [starts[n + 1] / starts[n] for n in range(3)]
        alone = [chance(words, lambda w, n=n, x=x: w[n] == x[n]) for n in range(3)]
        pair = chance(words, lambda w, x=x: w[1:] == x[1:]) / alone[1]
        assert starts[0] == approx(1)
        assert s["p(x_≤t)"][k] == approx(starts[1:]) and s["p(x_<t)"][k] == approx(starts[:3])
        assert s["p(x_t|x_<t)"][k] == approx(steps) and s["p(x_t)"][k] == approx(alone)
        assert s["p(x_t|x_t-1)"][k] == approx([steps[0], steps[1], pair])
        assert s["p(x_2|x_1)"][k] == approx(steps[1]) and s["p(x_3|x_2)"][k] == approx(pair)
        assert s["p(x_3|x_1,x_2)"][k] == approx(steps[2]) and s["p(x_3)"][k] == approx(alone[2])


def test_all_words_together_are_one_whatever_was_forgotten():
    """The true law, a memory of one letter and of none: all are normalised, one is right."""
    v, got = asked("5.2")
    s = symbols("5.2")
    assert got == approx(1)
    for name, right in (("p(x_t|x_<t)", True), ("p(x_t|x_t-1)", False), ("p(x_t)", False)):
        product = s[name].prod(-1)
        assert product.sum(-1) == approx(1)
        assert (float(np.abs(product - s["p(x)"]).max()) < 1e-12) is right
    for k in range(60):
        assert s["p(x)"][k] == approx(list(law(v, k).values()))


def test_spoiled_tables_no_longer_sum_to_one():
    equation = find("5.2")
    spoiled = _rescaled(drawn(equation.evidence.draw, 60, equation.evidence.example))
    total = equation.reference(**spoiled).numpy()
    by_hand = [sum(law({n: t.numpy() for n, t in spoiled.items()}, k).values()) for k in range(60)]
    assert total == approx(by_hand) and (np.abs(total - 1) > 0.05).all()
    assert np.unique(total.round(6)).size == 60, "one factor for all could be divided out"


def test_likelihoods_by_torch_and_scikit_learn():
    v, got = asked("5.3")
    for k in range(60):
        logits, x = torch.tensor(v["logits"][k]), torch.tensor(v["x"][k])
        assert got[k] == approx(
            float(torch.distributions.Categorical(logits=logits).log_prob(x).sum())
        )
        assert got[k] == approx(-float(F.cross_entropy(logits, x, reduction="sum")))
        p = special.softmax(v["logits"][k], axis=-1)
        assert got[k] == approx(-4 * log_loss(v["x"][k], p, labels=[0, 1, 2]))
        assert got[k] == approx(special.log_softmax(v["logits"][k], -1)[range(4), v["x"][k]].sum())


def test_likelihood_and_divergence_by_scipy():
    v, mean = asked("5.4")
    entropy = stats.entropy(v["p_data"], axis=-1)
    divergence = special.rel_entr(v["p_data"], v["p"]).sum(-1)
    assert mean == approx(-entropy - divergence)
    assert divergence == approx(stats.entropy(v["p_data"], v["p"], axis=-1))
    assert asked("5.5")[1] == approx(stats.entropy(asked("5.5")[0]["p_data"], axis=-1))
    assert (-mean >= entropy).all()
    rng = np.random.default_rng(0)  # and as a mean over a data set that was drawn
    seen = rng.choice(4, size=200_000, p=v["p_data"][3])
    sample = np.log(v["p"][3])[seen]
    assert abs(sample.mean() - mean[3]) < 4.5 * sample.std() / len(sample) ** 0.5


def test_units_by_other_roads():
    v, bits = asked("5.6")
    p = np.exp(v["log_p"])
    assert bits == approx(np.log2(1 / p).mean(-1))
    assert asked("5.8")[1] == approx(stats.gmean(1 / p, axis=-1))
    assert asked("5.8")[1] == approx(2**bits)
    assert asked("5.8")[1] == approx(np.exp(bits * math.log(2)))
    v, got = asked("5.7")
    characters, nats = v["characters"], v["nats"]
    rates = nats / characters / math.log(2)
    assert got == approx(
        np.array([np.average(r, weights=c) for r, c in zip(rates, characters, strict=True)])
    )
    assert np.abs(got - rates.mean(-1)).max() > 0.1, "tunes differ in length, or nothing is shown"
    v, got = asked("5.x1")
    assert got == approx([stats.entropy(np.ones(int(V)), base=2) for V in v["V"]])
    v, got = asked("5.x2")
    for k in range(20):
        loss = F.cross_entropy(torch.tensor(v["logits"][k]), torch.tensor(v["targets"][k]))
        assert got[k] == approx(math.exp(float(loss)))


# -- counting --------------------------------------------------------------------------------------


def best_by_search(weights):
    """argmax Σ w log q, found by a climb that knows only the objective."""
    from scipy.optimize import minimize

    def loss(free):
        q = special.log_softmax(np.append(free, 0.0))
        return -(weights * q).sum()

    found = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-10})
    return special.softmax(np.append(found.x, 0.0))


@pytest.mark.parametrize("id", ["5.9", "5.10", "5.11"])
def test_counts_are_what_a_search_finds(id):
    v, got = asked(id, 8)
    for k in range(8):
        weights = v["c"][k] + (
            v["alpha"][k] * v.get("p_bar", np.ones((8, 4)))[k] if "alpha" in v else 0
        )
        assert got[k] == pytest.approx(best_by_search(weights), abs=2e-5)
        assert got[k].sum() == approx(1)


def test_smoothing_by_dirichlet():
    """Add-α is the mean of the posterior under a Dirichlet law with all α; so is p̄ with α p̄."""
    for id in ("5.10", "5.11"):
        v, got = asked(id)
        prior = v["alpha"][:, None] * v.get("p_bar", np.ones_like(v["c"]))
        for k in range(20):
            assert got[k] == approx(stats.dirichlet(v["c"][k] + prior[k]).mean())
    v, got = asked("5.11")
    seen = v["c"].sum(-1, keepdims=True)
    share = seen / (seen + v["alpha"][:, None])
    assert got == approx(share * v["c"] / seen + (1 - share) * v["p_bar"])


def test_the_best_shares_are_a_maximum_in_letters():
    w = sympy.symbols("w_1:4", positive=True)
    assert [
        sympy.simplify(q * sum(w) - a) for q, a in zip(derive.best_shares(w), w, strict=True)
    ] == [0] * 3


def test_a_table_of_pairs_row_by_row():
    v, got = asked("5.x4")
    for k in range(20):
        for a in range(3):
            assert got[k, a] == approx(stats.dirichlet(v["counts"][k, a] + v["alpha"][k]).mean())


# -- gradients -------------------------------------------------------------------------------------


def test_the_gradient_of_a_prediction_by_differences():
    v, got = asked("5.12", 20)
    step = 1e-6
    for j in range(4):
        ahead, behind = (v["logits"] + s * np.eye(4)[j] for s in (step, -step))
        losses = [-(v["y"] * special.log_softmax(at, -1)).sum(-1) for at in (ahead, behind)]
        assert got[:, j] == pytest.approx((losses[0] - losses[1]) / (2 * step), abs=1e-8)


def test_the_gradient_through_time_by_torchs_recurrent_cell():
    v, got = asked("5.14", 20)
    cell = torch.nn.RNN(1, 1, bias=False, batch_first=True).double()
    for k in range(20):
        with torch.no_grad():
            cell.weight_hh_l0.fill_(float(v["w"][k]))
            cell.weight_ih_l0.fill_(1.0)
        h_0 = torch.tensor([[v["h_0"][k]]], requires_grad=True)
        out, last = cell(torch.tensor(v["x"][k])[:, None], h_0)
        assert symbols("5.14", 20)["h"][k] == approx(out.detach().numpy()[:, 0])
        assert got[k] == approx(float(torch.autograd.grad(last.sum(), h_0)[0]))


def test_the_loss_of_the_next_symbol_by_torch():
    v, got = asked("5.13")
    for k in range(60):
        logits, ids = torch.tensor(v["logits"][k]), torch.tensor(v["ids"][k])
        assert got[k] == approx(float(F.cross_entropy(logits, ids[1:])))


def test_the_loss_is_that_of_transformers_for_the_same_logits():
    """A model of Hugging Face shifts the labels itself: given ids, it is asked for the next."""
    from transformers.loss.loss_utils import ForCausalLMLoss

    v, got = asked("5.13", 10)
    for k in range(10):
        logits = torch.tensor(v["logits"][k])
        logits = torch.cat([logits, torch.zeros(1, 3, dtype=logits.dtype)])  # what is said last
        labels = torch.tensor(v["ids"][k])
        loss = ForCausalLMLoss(logits[None], labels[None], vocab_size=3)
        assert got[k] == pytest.approx(float(loss), rel=1e-6)


def test_errors_are_weighed_where_the_data_begin():
    v, got = asked("5.15")
    for k in range(60):
        p, q = law(v, k), law(v, k, "q")
        assert got[k] == approx(stats.entropy(list(p.values()), list(q.values())))
        by_step = 0.0
        for n in range(3):
            for prefix in itertools.product((0, 1), repeat=n):
                here = chance(p, lambda w, n=n, prefix=prefix: w[:n] == prefix)
                at = (v[f"p{n + 1}"][k][prefix], v[f"q{n + 1}"][k][prefix])
                by_step += here * stats.entropy(*at)
        assert got[k] == approx(by_step)


def test_the_chain_rule_from_the_end_by_summing():
    v, got = asked("5.x3")
    s = symbols("5.x3")
    for k in range(40):
        joint, (a, b, c) = v["joint"][k], v["x"][k]
        assert joint.sum() == approx(1) and got[k] == approx(joint[a, b, c])
        assert s["p(x_3)"][k] == approx(joint[:, :, c].sum())
        assert s["p(x_2|x_3)"][k] == approx(joint[:, b, c].sum() / joint[:, :, c].sum())
        assert s["p(x_1|x_2,x_3)"][k] == approx(joint[a, b, c] / joint[:, b, c].sum())
        assert s["p(x_1|x_3)"][k] == approx(joint[a, :, c].sum() / joint[:, :, c].sum())
        assert s["p(x_1|x_2)"][k] == approx(joint[a, b].sum() / joint[:, b].sum())
        assert s["p(x_1,x_3)"][k] == approx(joint[a, :, c].sum())


# -- from logits to a symbol -----------------------------------------------------------------------


def warped(logits, *warpers):
    """What transformers' own processors make of a row of logits, as probabilities."""
    scores = torch.tensor(logits)[None]
    for warper in warpers:
        scores = warper(torch.zeros(1, 1, dtype=torch.long), scores)
    return scores.softmax(-1)[0].numpy()


def test_temperature_by_transformers_and_scipy():
    v, got = asked("5.16")
    for k in range(60):
        tau = float(v["tau"][k])
        assert got[k] == approx(warped(v["logits"][k], TemperatureLogitsWarper(tau)))
        assert got[k] == approx(special.softmax(v["logits"][k] / tau))
    v, slope = asked("5.17")
    step = 1e-5
    ahead, behind = (
        stats.entropy(special.softmax(v["logits"] / (v["tau"] + s)[:, None], axis=-1), axis=-1)
        for s in (step, -step)
    )
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-4, abs=1e-6)
    assert (slope > 0).all()


def test_top_k_and_top_p_by_transformers():
    v, got = asked("5.19")
    for k in range(60):
        assert got[k] == approx(warped(v["logits"][k], TopKLogitsWarper(3)))
        assert (got[k] > 0).sum() == 3
    v, got = asked("5.20", 200)
    for k in range(200):
        p, rho = v["p"][k], float(v["rho"][k])
        assert got[k] == approx(warped(np.log(p), TopPLogitsWarper(rho)))
        kept = got[k] > 0
        assert p[kept].sum() >= rho and p[kept].sum() - p[kept].min() < rho, "not the smallest set"
    v, got = asked("5.x6", 200)
    for k in range(200):
        both = TemperatureLogitsWarper(float(v["tau"][k])), TopPLogitsWarper(float(v["rho"][k]))
        assert got[k] == approx(warped(v["logits"][k], *both))


def test_both_ways_of_top_p_differ_often_enough_to_be_told_apart():
    """Temperature before the set is chosen, or after."""
    v, got = asked("5.x6", 200)
    sooner = find("5.x6").near_misses[0].candidate
    other = sooner(*(torch.tensor(v[n]) for n in ("logits", "tau", "rho"))).numpy()
    assert (np.abs(other - got).max(-1) > 1e-3).mean() > 0.2


@pytest.mark.parametrize("id", ["5.18", "5.x5"])
def test_a_draw_is_where_u_falls(id):
    """As numpy's search in the running sum finds it; and the likeliest as seldom as it should."""
    equation = find(id)
    u = np.random.default_rng(1).random(40_000)
    for case in equation.evidence.cases:
        p = special.softmax(np.array(case["logits"]) / case.get("tau", 1.0))
        given = {n: torch.tensor(v).double().expand(len(u), *np.shape(v)) for n, v in case.items()}
        got = equation.reference(**given, u=torch.tensor(u)).numpy()
        assert (got == np.searchsorted(p.cumsum(), u, side="right")).all()
        seen = (got == p.argmax()).mean()
        assert abs(seen - p.max()) < 4.5 * (p.max() * (1 - p.max()) / len(u)) ** 0.5
        assert seen < 0.9


def test_greed_by_writing_out_all_words():
    v, got = asked("5.21", 200)
    missed = 0
    for k in range(200):
        words, written = law(v, k), ()
        for _ in range(3):
            options = {
                letter: chance(words, lambda w, s=(*written, letter): w[: len(s)] == s)
                for letter in (0, 1)
            }
            written = (*written, max(options, key=options.get))
        assert got[k] == approx(words[written]) and words[written] <= max(words.values())
        missed += words[written] < max(words.values()) - 1e-12
    assert missed > 10, "greed would be a search"


def test_a_wide_beam_finds_the_best_word_and_a_beam_of_one_is_greed():
    """(5.22) and 5.x7, applied step by step, by a search over all words."""
    v, greedy = asked("5.21", 100)
    score = find("5.22").reference
    for k in range(100):
        words = law(v, k)
        tables = [v[f"p{n}"][k] for n in (1, 2, 3)]
        best = {}
        for width in (1, 4):
            beams = [((), 0.0)]
            for table in tables:
                longer = [
                    ((*word, letter), score(s, math.log(table[word][letter])))
                    for word, s in beams
                    for letter in (0, 1)
                ]
                beams = sorted(longer, key=lambda beam: -beam[1])[:width]
            best[width] = math.exp(beams[0][1])
            assert best[width] == approx(words[beams[0][0]])
        assert best[1] == approx(greedy[k]) and best[4] == approx(max(words.values()))


def test_one_step_of_beam_search_by_sorting():
    v, got = asked("5.x7")
    for k in range(60):
        every = [v["scores"][k, b] + v["log_p"][k, b, c] for b in range(3) for c in range(4)]
        assert got[k] == approx(sorted(every, reverse=True)[:3])


def test_a_picture_by_scipy_and_by_enumeration():
    v, got = asked("5.23")
    assert set(v["x"].flatten()) == {0.0, 1.0}
    p = special.expit(v["logits"])
    assert got == approx(stats.bernoulli(p).logpmf(v["x"]).sum(-1))
    assert got[0] == approx(-4 * log_loss(v["x"][0], p[0], labels=[0, 1]))
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64)
    logits = torch.tensor(v["logits"][5]).expand(16, 4)
    assert float(find("5.23").reference(logits, every).exp().sum()) == approx(1)


# -- what people write -----------------------------------------------------------------------------

S = r"\sum_{t=1}^{T}\log p(x_t\mid x_{<t})"


def sorted_nucleus(p, rho):
    """Top-p as it is usually coded: sort, cut where the mass before is ρ or more, put back."""
    ordered, places = p.sort(descending=True)
    kept = ordered * (ordered.cumsum(-1) - ordered < rho[:, None])
    return torch.zeros_like(p).scatter(-1, places, kept / kept.sum(-1, keepdim=True))


def shifted_nucleus(p, rho):
    """With the shift by one place that keeps the symbol which crosses."""
    ordered, places = p.sort(descending=True)
    removed = ordered.cumsum(-1) > rho[:, None]
    removed[:, 1:] = removed[:, :-1].clone()
    removed[:, 0] = False
    kept = p.masked_fill(removed.scatter(-1, places, removed), 0)
    return kept / kept.sum(-1, keepdim=True)


def unshifted_nucleus(p, rho):
    """And without it."""
    ordered, places = p.sort(descending=True)
    removed = ordered.cumsum(-1) > rho[:, None]
    removed[:, 0] = False
    kept = p.masked_fill(removed.scatter(-1, places, removed), 0)
    return kept / kept.sum(-1, keepdim=True)


def one_word_after_the_other(p1, p2, p3):
    found = torch.zeros(len(p1), dtype=torch.float64)
    for a, b, c in WORDS:
        found += p1[:, a] * p2[:, a, b] * p3[:, a, b, c]
    return found


def beams_of_two(p1, p2, p3):
    first = p1.log()
    second = (first[:, :, None] + p2.log()).flatten(1)
    score, place = second.topk(2)
    tables = p3.flatten(1, 2).gather(1, place[:, :, None].expand(-1, -1, 2))
    return (score[:, :, None] + tables.log()).flatten(1).amax(-1).exp()


def gumbel(logits, u):
    return (logits - torch.rand_like(logits).log().neg().log()).argmax(-1)


def nll(logits, targets):
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")


RIGHT = [
    ("5.1", r"p(x_1)\,p(x_2\mid x_1)\,p(x_3\mid x_1,x_2)"),
    ("5.1", r"p(x_1)\,p(x_2\mid x_1)\,p(x_3\mid x_2,x_1)"),
    ("5.1", r"p(x_1)\prod_{t=2}^{T}p(x_t\mid x_{<t})"),
    ("5.1", r"\prod_{t=1}^{3}P(x_t\mid x_{<t};\theta)"),
    ("5.1", r"\prod_{i=1}^{n}p_\theta(x_i\mid x_1,\dots,x_{i-1})"),
    ("5.1", r"\exp\Big(\sum_{t=1}^{T}\log p(x_t\mid x_{<t})\Big)"),
    ("5.1", r"\prod_t\frac{p(x_{\le t})}{p(x_{<t})}"),
    ("5.2", r"\sum_{x_1,\dots,x_T}\prod_{t=1}^{T}p(x_t\mid x_{<t})"),
    ("5.2", r"\sum_x\prod_t p(x_t\mid x_{1:t-1}) = 1"),
    ("5.2", one_word_after_the_other),
    ("5.2", lambda p1, p2, p3: (p1 * (p2 * p3.sum(-1)).sum(-1)).sum(-1)),
    ("5.3", r"\log\prod_{t=1}^{T}p(x_t\mid x_{<t})"),
    ("5.3", lambda logits, x: -nll(logits, x).sum(-1)),
    ("5.3", lambda logits, x: (F.one_hot(x, 3) * logits.log_softmax(-1)).sum((-1, -2))),
    ("5.4", r"-H(p_{\mathrm{data}},p_\theta)"),
    ("5.4", r"-\big(H(p_{data})+\mathrm{KL}(p_{data}\|p_\theta)\big)"),
    ("5.4", lambda p_data, p: (p_data * p.log()).sum(-1)),
    ("5.5", r"H(p_{data},p_\theta)\ge H(p_{data})"),
    ("5.5", lambda p_data, p: torch.distributions.Categorical(probs=p_data).entropy()),
    ("5.6", r"-\frac1T\sum_t\log_2 p(x_t\mid x_{<t})"),
    ("5.6", r"-\frac{\log_2 p(x)}{T}"),
    ("5.7", r"\frac{\sum_n\mathcal{L}_n}{\log 2\sum_n T_n}"),
    ("5.8", "2^b"),
    ("5.8", r"p(x)^{-1/T}"),
    ("5.8", r"\left(\prod_{t=1}^{T}\frac{1}{p(x_t\mid x_{<t})}\right)^{1/T}"),
    ("5.8", r"2^{-\frac1T\sum_t\log_2 p(x_t\mid x_{<t})}"),
    ("5.9", r"\frac{c_k}{\sum_j c_j}"),
    ("5.10", r"\frac{N}{N+\alpha V}\frac{c_k}{N}+\frac{\alpha V}{N+\alpha V}\frac1V"),
    ("5.11", r"\frac{N}{N+\alpha}\frac{c_k}{N}+\frac{\alpha}{N+\alpha}\bar{p}_k"),
    ("5.12", r"\frac{e^{\ell_k}}{\sum_j e^{\ell_j}}-y_k"),
    ("5.13", lambda logits, ids: nll(logits, ids[:, 1:]).mean(-1)),
    ("5.13", r"-\frac1T\sum_t\log p_\theta(x_{t+1}\mid x_1,\dots,x_t)"),
    ("5.14", r"w^T\prod_{t=1}^{T}(1-h_t)(1+h_t)"),
    ("5.15", r"\mathbb{E}_{x\sim p_{data}}\Big[\sum_t\big(\log p_{data}(x_t|x_{<t})"
             r"-\log p_\theta(x_t|x_{<t})\big)\Big]"),
    ("5.16", r"\frac{1}{\sum_j e^{(\ell_j-\ell_k)/\tau}}"),
    ("5.17", r"\frac{1}{2\tau^3}\sum_j\sum_k p_jp_k(\ell_j-\ell_k)^2"),
    ("5.17", r"\frac{1}{\tau^3}\Big(\sum_k p_k\ell_k^2-\bar\ell^2\Big)"),
    ("5.18", lambda logits, u: torch.multinomial(logits.softmax(-1), 1).squeeze(-1)),
    ("5.18", gumbel),
    ("5.18", lambda logits, u: torch.searchsorted(logits.softmax(-1).cumsum(-1), u[:, None])[:, 0]),
    ("5.19", lambda logits: torch.zeros_like(logits).scatter(
        -1, logits.topk(3).indices, logits.topk(3).values.softmax(-1))),
    ("5.19", lambda logits: logits.masked_fill(
        logits < logits.topk(3).values[:, -1:], float("-inf")).softmax(-1)),
    ("5.20", sorted_nucleus),
    ("5.20", shifted_nucleus),
    ("5.22", r"\log\big(p(x_{<t})\,p(x_t\mid x_{<t})\big)"),
    ("5.22", r"s_t=s_{t-1}+\log p_\theta(x_t\mid x_{<t})"),
    ("5.23", lambda logits, x: torch.where(x.bool(), logits.sigmoid(), 1 - logits.sigmoid())
        .log().sum(-1)),
    ("5.23", lambda logits, x: torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(-1)),
    ("5.23", r"\sum_i\big(x_i\ell_i-\log(1+e^{\ell_i})\big)"),
    ("5.x1", r"-\log_2\frac1V"),
    ("5.x2", lambda logits, targets: 2 ** (nll(logits, targets).mean(-1) / math.log(2))),
    ("5.x3", r"p(x_1\mid x_2,x_3)\,p(x_2,x_3)"),
    ("5.x4", lambda counts, alpha: F.normalize(counts + alpha[:, None, None], p=1, dim=-1)),
    ("5.x5", lambda logits, tau, u: gumbel(logits / tau[:, None], u)),
    ("5.x6", lambda logits, tau, rho: shifted_nucleus((logits / tau[:, None]).softmax(-1), rho)),
    ("5.x7", lambda scores, log_p: (scores[:, :, None] + log_p).reshape(len(scores), -1)
        .sort(descending=True).values[:, :3]),
]  # fmt: skip


@pytest.mark.parametrize("k", range(len(RIGHT)), ids=lambda k: f"{RIGHT[k][0]}-{k}")
def test_right_in_other_words(k):
    id, candidate = RIGHT[k]
    verdict = judge(find(id), candidate)
    assert verdict.ok is True, verdict


WRONG = [  # with the words that the verdict must say
    ("5.1", r"\prod_t p(x_t\mid x_{t-1})", "only the previous one"),
    ("5.1", r"p(x_1)\,p(x_2\mid x_1)\,p(x_3\mid x_2)", "only the previous one"),
    ("5.1", r"p(x_1)\,p(x_2)\,p(x_3)", "independent"),
    ("5.1", r"\big(\prod_t p(x_t\mid x_{<t})\big)^{1/T}", "different function"),
    ("5.2", lambda p1, p2, p3: torch.ones(len(p1)), "nothing is added up"),
    ("5.2", lambda p1, p2, p3: p1.sum(-1), "not added up"),
    ("5.2", lambda p1, p2, p3: p1.sum(-1) * p2.sum(-1).mean(-1), "not added up"),
    ("5.2", "1", "left-hand side again"),
    ("5.2", r"\sum_x\prod_t p(x_t) = 1", "To be normalised is not to be right"),
    ("5.3", lambda logits, x: -nll(logits, x).mean(-1), "the mean over symbols is taken"),
    ("5.3", lambda logits, x: -F.cross_entropy(logits.transpose(1, 2), x), "one number"),
    ("5.3", lambda logits, x: logits.softmax(-1).log_softmax(-1)
        .gather(-1, x[..., None])[..., 0].sum(-1), "softmax is taken twice"),
    ("5.4", r"-H(p_{data})-D_{KL}(p_\theta\|p_{data})", "turned round"),
    ("5.4", lambda p_data, p: F.cross_entropy(p.log(), p_data, reduction="none"), "cross-entropy"),
    ("5.4", r"\mathbb{E}_{x\sim p_{data}}[\log p_\theta(x)]", "left-hand side again"),
    ("5.5", r"H(p_\theta)", "model's own entropy"),
    ("5.6", lambda log_p: -log_p.mean(-1), "in nats"),
    ("5.6", lambda log_p: -log_p.sum(-1) / math.log(2), "the sum is taken"),
    ("5.6", lambda log_p: -log_p.mean(-1) * math.log(2), "multiplied by log 2"),
    ("5.7", lambda nats, characters: (nats / characters).mean(-1) / math.log(2), "short tune"),
    ("5.7", lambda nats, characters: nats.sum() / characters.sum() / math.log(2), "one number"),
    ("5.8", lambda log_p: 2 ** (-log_p.mean(-1)), "the bases are mixed: 2"),
    ("5.8", lambda log_p: (-log_p.mean(-1) / math.log(2)).exp(), "the bases are mixed: e"),
    ("5.8", lambda log_p: log_p.exp().prod(-1) ** -1, "the sum stands where the mean belongs"),
    ("5.8", r"2^{-b}", "the minus sign is missing"),
    ("5.9", lambda c: c.softmax(-1), "softmax of the counts"),
    ("5.9", lambda c: c / c.sum(), "different function"),
    ("5.10", r"\frac{c_k+\alpha}{\sum_j c_j+\alpha}", "V is forgotten"),
    ("5.11", r"\frac{c_k}{N+\alpha}+\bar{p}_k", "different function"),
    ("5.12", lambda logits, y: y - logits.softmax(-1), "the sign is that of"),
    ("5.12", lambda logits, y: logits.sigmoid() - y, "different function"),
    ("5.13", lambda logits, ids: nll(logits, ids[:, :-1]).mean(-1), "off by one: the target is the "
        "symbol that has just been read"),
    ("5.13", lambda logits, ids: nll(logits[:, :-1], ids[:, 2:]).mean(-1), "two symbols further"),
    ("5.13", lambda logits, ids: nll(logits[:, 1:], ids[:, :-2]).mean(-1), "backwards"),
    ("5.13", lambda logits, ids: nll(logits, ids[:, 1:]).sum(-1), "the sum is taken"),
    ("5.14", r"w^T", "the slope of tanh"),
    ("5.14", r"\prod_t w\,h_t(1-h_t)", "different function"),
    ("5.15", r"D_{KL}(p_\theta\|p_{data})", "turned round"),
    ("5.15", lambda p1, p2, p3, q1, q2, q3: (
        (p1 * (p1 / q1).log()).sum(-1)
        + (q1[..., None] * p2 * (p2 / q2).log()).sum((1, 2))
        + (q1[..., None, None] * q2[..., None] * p3 * (p3 / q3).log()).sum((1, 2, 3))
    ), "teacher forcing"),
    ("5.16", lambda logits, tau: (logits * tau[:, None]).softmax(-1), "multiplied by τ"),
    ("5.16", lambda logits, tau: (logits.softmax(-1) / tau[:, None]).softmax(-1), "twice"),
    ("5.16", lambda logits, tau: (logits / tau[:, None]).softmax(0), "different function"),
    ("5.18", lambda logits, u: logits.argmax(-1), "no draw at all"),
    ("5.18", lambda logits, u: (logits + torch.randn_like(logits)).argmax(-1), "frequency"),
    ("5.18", lambda logits, u: torch.where(u < 0.9, logits.argmax(-1), (40 * u).int() % 4),
        "frequency"),
    ("5.18", lambda logits, u: torch.multinomial((2 * logits).softmax(-1), 1)[:, 0], "frequency"),
    ("5.18", lambda logits, u: torch.multinomial(logits.topk(2).values.softmax(-1), 1)[:, 0],
        "symbol"),
    ("5.18", lambda logits, u: logits.topk(2).indices.gather(
        1, torch.multinomial(logits.topk(2).values.softmax(-1), 1))[:, 0], "top-k is another law"),
    ("5.18", lambda logits, u: torch.multinomial(logits.softmax(-1), 1), "squeeze"),
    ("5.18", lambda logits, u: torch.multinomial(logits[0].softmax(-1), len(u), replacement=True),
        "own u and parameters"),
    ("5.19", lambda logits: logits.masked_fill(
        logits < logits.topk(3).values[:, -1:], 0.0).softmax(-1), "set to 0"),
    ("5.19", lambda logits: logits.masked_fill(
        logits <= logits.topk(3).values[:, -1:], float("-inf")).softmax(-1), "one symbol too few"),
    ("5.19", lambda logits: logits.topk(3).values.softmax(-1), "shape (200, 3)"),
    ("5.20", unshifted_nucleus, "the symbol that crosses ρ is left out"),
    ("5.20", lambda p, rho: sorted_nucleus(p, 1 - rho), "different function"),
    ("5.20", lambda p, rho: p * (sorted_nucleus(p, rho) > 0), "does not sum to 1"),
    ("5.21", beams_of_two, "another bound"),
    ("5.21", lambda p1, p2, p3: torch.zeros(len(p1)), "not equal to the best word's"),
    ("5.22", lambda s, log_p: log_p, "not accumulated"),
    ("5.22", lambda s, log_p: torch.logaddexp(s, log_p), "the probabilities are added"),
    ("5.22", lambda s, log_p: s * log_p, "multiplied"),
    ("5.23", lambda logits, x: -F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        .mean(-1), "the mean over pixels"),
    ("5.x2", lambda logits, targets: 2 ** nll(logits, targets).mean(-1), "the bases are mixed: 2"),
    ("5.x2", lambda logits, targets: nll(logits, targets).sum(-1).exp(), "the sum stands"),
    ("5.x4", lambda counts, alpha: (counts + alpha[:, None, None])
        / (counts + alpha[:, None, None]).sum(1, keepdim=True), "columns"),
    ("5.x5", lambda logits, tau, u: gumbel(logits, u), "τ is not used"),
    ("5.x5", lambda logits, tau, u: gumbel(logits * tau[:, None], u), "multiplied by τ"),
    ("5.x5", lambda logits, tau, u: gumbel(logits / tau[0], u), "own u and parameters"),
    ("5.x6", lambda logits, tau, rho: unshifted_nucleus((logits / tau[:, None]).softmax(-1), rho),
        "crosses ρ"),
    ("5.x6", lambda logits, tau, rho: (
        sorted_nucleus(logits.softmax(-1), rho).log() / tau[:, None]).softmax(-1), "before the"),
    ("5.x7", lambda scores, log_p: log_p.flatten(1).topk(3).values, "so far are not added"),
    ("5.x7", lambda scores, log_p: (scores[:, :, None] + log_p).amax(-1), "its own best symbol"),
    ("5.x7", lambda scores, log_p: (scores[:, :, None] + log_p).flatten(1).sort().values[:, -3:],
        "different function"),
]  # fmt: skip


@pytest.mark.parametrize("k", range(len(WRONG)), ids=lambda k: f"{WRONG[k][0]}-{k}")
def test_wrong_and_told_why(k):
    id, candidate, because = WRONG[k]
    verdict = judge(find(id), candidate)
    assert verdict.ok is False and because in verdict.sentence, verdict


def test_every_equation_of_the_chapter_is_tried_in_other_words():
    ids = {e.id for e in of_chapter(5)}
    assert {id for id, _ in RIGHT} | {"5.21"} == ids
    assert {id for id, *_ in WRONG} | {"5.17", "5.x1", "5.x3"} == ids


def test_the_mistakes_that_the_chapter_promises_to_name():
    """Each by a candidate in code or LaTeX, with the sentence that names it."""
    promised = {
        "mean and sum of log-likelihoods mixed": ("5.3", rf"\frac1T{S}", "the mean"),
        "perplexity of base 2 and e mixed": ("5.8", rf"2^{{-\frac1T{S}}}", "bases are mixed"),
        "log-probabilities not accumulated": ("5.22", r"\log p(x_t\mid x_{<t})", "accumulated"),
        "off-by-one targets": ("5.13", r"-\frac1T\sum_t\log p(x_t\mid x_{\le t})", "off by one"),
        "the symbol that crosses p left out": ("5.20", unshifted_nucleus, "crosses ρ"),
        "temperature multiplied": (
            "5.16", r"\frac{e^{\tau\ell_k}}{\sum_j e^{\tau\ell_j}}", "multiplied by τ"),
        "only the previous symbol": ("5.1", r"\prod_t p(x_t\mid x_{t-1})", "previous"),
        "the divergence turned round": (
            "5.4", r"-H(p_{data})-D_{KL}(p_\theta\Vert p_{data})", "turned round"),
        "the most likely symbol called a draw": (
            "5.18", lambda logits, u: logits.argmax(-1), "no draw"),
    }  # fmt: skip
    for what, (id, candidate, word) in promised.items():
        verdict = judge(find(id), candidate)
        assert verdict.ok is False and verdict.mistake and word in verdict.mistake, (what, verdict)
