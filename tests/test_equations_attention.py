"""Chapter 06's references against libraries, and what people write, right and wrong."""

import itertools
import math

import numpy as np
import pytest
import sympy
import torch
from points import reference, tensors
from scipy import special
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from genart_lessons.equations import find, of_chapter
from genart_lessons.proof import judge

pytestmark = pytest.mark.usefixtures("one_thread")


def approx(want, rel=1e-9):
    return pytest.approx(np.asarray(want), rel=rel, abs=1e-10)


# -- dot products ----------------------------------------------------------------------------------


def test_the_variance_of_a_dot_product_by_counting_in_numpy():
    for d, sigma_q, sigma_k in [(1, 1.0, 1.0), (3, 0.5, 2.0), (4, 1.0, 3.0)]:
        worlds = np.array(list(itertools.product((-1, 1), repeat=2 * d)))
        dots = sigma_q * sigma_k * (worlds[:, :d] * worlds[:, d:]).sum(1)
        given = [torch.tensor([float(x)]).double() for x in (d, sigma_q, sigma_k)]
        assert find("6.1").reference(*given).numpy() == approx([dots.var()])
        scaled = find("6.2").reference(given[0]).numpy() * dots / (sigma_q * sigma_k)
        assert scaled.var() == approx(1)


@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_the_variance_of_a_dot_product_by_drawing(draw):
    """Within 4.5 standard errors of (6.1), and of 1 with the factor of (6.2)."""
    generator, count = np.random.default_rng(6), 40_000
    for d in (2, 16, 64):
        shape = (2, count, d)
        q, k = generator.standard_normal(shape) if draw == "normal" else (
            generator.uniform(-(3**0.5), 3**0.5, shape)
        )  # fmt: skip
        dots = (q * k).sum(1)
        fourth = ((dots - dots.mean()) ** 4).mean()
        error = ((fourth - dots.var() ** 2) / count) ** 0.5
        assert abs(dots.var() - d) < 4.5 * error < 0.2 * d
        assert abs((dots / d**0.5).var() - 1) < 4.5 * error / d
        assert abs((dots / d).var() - 1) > 4.5 * error / d, "divided by d_k, it is not 1"


# -- attention -------------------------------------------------------------------------------------


def test_weights_by_scipy_and_attention_by_torch():
    v = tensors("6.3")
    scores = np.einsum("ptd,pjd->ptj", v["q"], v["k"]) / 2
    assert reference("6.3") == approx(special.softmax(scores, axis=-1))
    v = tensors("6.4")
    assert reference("6.4") == approx(F.scaled_dot_product_attention(**_qkv(v)))
    v = tensors("6.8")
    shuffled = {name: v["Pi"] @ v[short] for name, short in _NAMES.items()}
    assert reference("6.8") == approx(F.scaled_dot_product_attention(**shuffled))
    v = tensors("6.23")
    sides = v["x"] @ v["W_q"], v["memory"] @ v["W_k"], v["memory"] @ v["W_v"]
    assert reference("6.23") == approx(F.scaled_dot_product_attention(*sides))


_NAMES = {"query": "q", "key": "k", "value": "v"}


def _qkv(v):
    return {name: v[short] for name, short in _NAMES.items()}


def test_masks_by_torch():
    """With the unit matrix for values, scaled_dot_product_attention answers with its weights."""
    scores = tensors("6.7")["scores"]
    eye = torch.eye(4, dtype=torch.float64).expand_as(scores)
    for more in ({"is_causal": True}, {"attn_mask": torch.ones(4, 4, dtype=torch.bool).tril()}):
        weights = F.scaled_dot_product_attention(scores, eye, eye, scale=1.0, **more)
        assert reference("6.7") == approx(weights)
    v = tensors("6.x2")
    seen = v["real"].unsqueeze(1).expand(-1, 4, -1)
    weights = F.scaled_dot_product_attention(v["scores"], eye, eye, attn_mask=seen, scale=1.0)
    assert reference("6.x2") == approx(weights)
    assert v["real"].any(-1).all() and not v["real"].all(-1).all()


def test_the_softmaxs_derivatives_by_torchs_jacobian():
    logits = tensors("6.5")["logits"]
    slopes = [torch.autograd.functional.jacobian(lambda x: x.softmax(-1), row) for row in logits]
    assert reference("6.5") == approx(torch.stack(slopes))
    assert reference("6.6") == approx(torch.stack(slopes).abs().sum((1, 2)))
    flat, sure = torch.zeros(1, 4), torch.tensor([[50.0, 0.0, 0.0, 0.0]])
    assert float(find("6.6").reference(flat)) == pytest.approx(1.5)
    assert float(find("6.6").reference(sure)) < 1e-15
    v = tensors("6.x3")

    def answer(s, values):
        return F.scaled_dot_product_attention(
            s.new_ones(1, 1), s.unsqueeze(-1), values.unsqueeze(-1), scale=1.0
        ).squeeze()

    slopes = [
        torch.autograd.functional.jacobian(lambda s, x=x: answer(s, x), s)
        for s, x in zip(v["s"], v["v"], strict=True)
    ]
    assert reference("6.x3") == approx(torch.stack(slopes))


def test_many_heads_by_torchs_module():
    v = tensors("6.12", 10)
    module = nn.MultiheadAttention(4, 2, bias=False, batch_first=True, dtype=torch.float64)
    for k in range(10):
        with torch.no_grad():
            module.in_proj_weight.copy_(torch.eye(4).repeat(3, 1))
            module.out_proj.weight.copy_(v["W_o"][k].T)
        got, _ = module(v["q"][k], v["k"][k], v["v"][k], need_weights=False)
        assert reference("6.12", 10)[k] == approx(got.detach())


def test_cross_attention_by_torchs_module():
    v = tensors("6.23", 10)
    module = nn.MultiheadAttention(4, 1, bias=False, dtype=torch.float64)
    for k in range(10):
        with torch.no_grad():
            module.in_proj_weight.copy_(torch.cat([v[n][k].T for n in ("W_q", "W_k", "W_v")]))
            module.out_proj.weight.copy_(torch.eye(4))
        got, _ = module(v["x"][k], v["memory"][k], v["memory"][k], need_weights=False)
        assert reference("6.23", 10)[k] == approx(got.detach())


def test_the_cache_step_by_step_in_numpy():
    v = {name: value.numpy() for name, value in tensors("6.20", 10).items()}
    y = v["x"] + v["pos"]
    for k, t in itertools.product(range(10), range(4)):
        keys, values = y[k, : t + 1] @ v["W_k"][k], y[k, : t + 1] @ v["W_v"][k]
        weights = special.softmax(keys @ (y[k, t] @ v["W_q"][k]) / 2)
        assert reference("6.20", 10)[k, t] == approx(weights @ values)


def test_attention_in_two_pieces_is_attention_over_all_keys():
    v = tensors("6.x7")
    s, values = v["s"].unsqueeze(-1), v["v"].unsqueeze(-1)
    one = F.scaled_dot_product_attention(torch.ones(50, 1, 1).double(), s, values, scale=1.0)
    assert reference("6.x7") == approx(one.flatten())
    v = tensors("6.x1")
    assert reference("6.x1") == approx(special.expit(v["s_1"] - v["s_2"]))
    heads = tensors("6.x4")["heads"].numpy()
    assert reference("6.x4") == approx(np.concatenate([heads[:, 0], heads[:, 1]], axis=-1))


# -- places ----------------------------------------------------------------------------------------


def test_waves_by_transformers():
    from transformers.models.distilbert.modeling_distilbert import create_sinusoidal_embeddings

    table = torch.empty(512, 6)
    create_sinusoidal_embeddings(n_pos=512, dim=6, out=table)
    t = torch.arange(512, dtype=torch.float64)
    ours = find("6.9").reference(t)
    assert torch.allclose(ours, table.double(), atol=1e-4)
    omega = 10000.0 ** (-torch.arange(0, 6, 2, dtype=torch.float64) / 6)
    for s, u in [(3, 1), (500, 7), (0, 0)]:
        places = (torch.tensor([float(x)]).double() for x in (s, u))
        product = find("6.10").reference(*places, omega.unsqueeze(0))
        assert float(product) == pytest.approx(float(ours[s] @ ours[u]), abs=1e-9)


def test_rotary_positions_by_llamas():
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    v = tensors("6.11")

    def turned(x, place):
        angle = (place * v["theta"]).reshape(50, 1, 1).expand(50, 1, 2)
        return apply_rotary_pos_emb(
            x.reshape(50, 1, 1, 2), x.reshape(50, 1, 1, 2), angle.cos(), angle.sin()
        )[0].reshape(50, 2)

    product = (turned(v["q"], v["m"]) * turned(v["k"], v["n"])).sum(-1)
    assert reference("6.11") == approx(product)
    shift = {**v, "m": v["m"] + 5, "n": v["n"] + 5}
    assert find("6.11").reference(**shift).numpy() == approx(product)


def test_a_whole_head_is_turned_pair_by_pair():
    """Llama pairs column i with column i + d/2: its product is the sum of (6.11) over the pairs."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 8, generator=generator, dtype=torch.float64)
    theta = 10000.0 ** (-torch.arange(4, dtype=torch.float64) / 4)
    m, n = 7.0, 3.0
    angles = torch.tensor([[m], [n]]) * theta.repeat(2)
    both = torch.stack([q, k]).reshape(1, 1, 2, 8)
    turned, _ = apply_rotary_pos_emb(both, both, angles.cos()[None], angles.sin()[None])
    parts = find("6.11").reference(
        q.view(2, 4).T, k.view(2, 4).T, torch.full((4,), m), torch.full((4,), n), theta
    )
    assert float(turned[0, 0, 0] @ turned[0, 0, 1]) == pytest.approx(float(parts.sum()), abs=1e-12)


# -- what surrounds attention ----------------------------------------------------------------------


def test_layer_norm_by_torchs_module():
    v = tensors("6.13", 10)
    module = nn.LayerNorm(4, eps=0.1, dtype=torch.float64)
    for k in range(10):
        with torch.no_grad():
            module.weight.copy_(v["gamma"][k])
            module.bias.copy_(v["beta"][k])
        assert reference("6.13", 10)[k] == approx(module(v["x"][k]).detach())
    v = tensors("6.x5")
    lengths = [
        F.layer_norm(x, (4,), eps=float(eps)).square().sum()
        for x, eps in zip(v["x"], v["eps"], strict=True)
    ]
    assert reference("6.x5") == approx(torch.stack(lengths))


def test_gelu_by_scipy_and_its_approximations_by_transformers():
    from transformers.activations import ACT2FN

    x = tensors("6.15")["x"]
    assert reference("6.15") == approx(x.numpy() * special.ndtr(x.numpy()))
    for name, words, most in (("gelu_new", "tanh", 5e-4), ("quick_gelu", "sigmoid", 0.021)):
        verdict = judge(find("6.15"), ACT2FN[name])
        assert f"approximation by {'' if words == 'tanh' else 'a '}{words}" in verdict.mistake
        wide = torch.linspace(-8, 8, 4001, dtype=torch.float64)
        gap = float((ACT2FN[name](wide) - F.gelu(wide)).abs().max())
        assert 0.7 * most < gap < most, gap  # what their sentences say of them


def test_the_residuals_gradient_by_differences():
    v, step = tensors("6.14"), 1e-6
    stack = find("6.14").evidence.of
    slope = (stack(v["x"] + step, v["w"]) - stack(v["x"] - step, v["w"])) / (2 * step)
    assert reference("6.14") == pytest.approx(slope.numpy(), abs=1e-8)


def test_the_block_in_numpy():
    v = {name: value.numpy() for name, value in tensors("6.16").items()}

    def norm(x):
        mean = x.mean(-1, keepdims=True)
        return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5)

    x = v["x"] + np.einsum("ptj,pjd->ptd", v["A"], norm(v["x"]))
    inner = np.einsum("ptd,pde->pte", norm(x), v["W"])
    assert reference("6.16") == approx(x + inner * special.ndtr(inner))


def test_the_loss_by_transformers():
    from transformers.loss.loss_utils import ForCausalLMLoss

    v = tensors("6.17")
    losses = [
        ForCausalLMLoss(logits.unsqueeze(0), ids.unsqueeze(0), vocab_size=3)
        for logits, ids in zip(v["logits"], v["ids"], strict=True)
    ]
    assert reference("6.17") == approx(torch.stack(losses), rel=1e-5)  # it works in float32


@pytest.mark.parametrize("V, T, L, d", [(50, 8, 1, 4), (91, 16, 3, 12), (10, 32, 2, 8)])
def test_the_number_of_weights_by_transformers(V, T, L, d):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=V, n_positions=T, n_embd=d, n_layer=L, n_head=2)
    sizes = (torch.tensor([float(n)]) for n in (V, T, L, d))
    assert float(find("6.18").reference(*sizes)) == GPT2LMHeadModel(config).num_parameters()


@pytest.mark.parametrize("T, d", [(5, 4), (64, 8), (3, 32)])
def test_the_multiplications_by_torchs_counter(T, d):
    x = torch.randn(1, T, d)
    into, out, up, down = (
        nn.Linear(d, 3 * d),
        nn.Linear(d, d),
        nn.Linear(d, 4 * d),
        nn.Linear(4 * d, d),
    )
    with FlopCounterMode(display=False) as counter:
        q, k, v = into(x).chunk(3, -1)
        down(F.gelu(up(out((q @ k.mT).softmax(-1) @ v))))
    multiplications = find("6.19").reference(*(torch.tensor([float(n)]) for n in (T, d)))
    assert counter.get_total_flops() == 2 * float(multiplications)  # it counts additions too


def test_products_of_queries_and_keys_by_counting_them():
    for id, pairs in (
        ("6.21", lambda t: [(i, j) for i in range(t) for j in range(t)]),
        ("6.22", lambda t: [(t - 1, j) for j in range(t)]),
    ):
        T = tensors(id, 10)["T"]
        counted = [sum(len(pairs(t)) for t in range(1, int(n) + 1)) for n in T]
        assert reference(id, 10).tolist() == counted
    T = tensors("6.x6", 10)["T"]
    assert reference("6.x6", 10) == approx(find("6.21").reference(T) / find("6.22").reference(T))


# -- what people write -----------------------------------------------------------------------------

_TRIANGLE = torch.ones(4, 4).tril().bool()


def _by_loops(q, k):
    rows = []
    for t in range(q.shape[1]):
        e = [torch.exp((q[:, t] * k[:, j]).sum(-1) / math.sqrt(q.shape[-1])) for j in range(3)]
        rows.append(torch.stack([each / sum(e) for each in e], -1))
    return torch.stack(rows, 1)


def _row_by_row(scores):
    weights = torch.zeros_like(scores)
    for t in range(scores.shape[1]):
        weights[:, t, : t + 1] = scores[:, t, : t + 1].softmax(-1)
    return weights


def _by_columns(t, d=6):
    rate = torch.exp(torch.arange(0, d, 2).double() * (-math.log(10000.0) / d))
    table = torch.zeros(len(t), d, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = (t[:, None] * rate).sin(), (t[:, None] * rate).cos()
    return table


def _split(x):
    return x.view(len(x), x.shape[1], 2, 2).transpose(1, 2)


def _heads(q, k, v, merge, split=_split, **more):
    return merge(F.scaled_dot_product_attention(split(q), split(k), split(v), **more))


def _merge(x):
    return x.transpose(1, 2).flatten(2)


def _layer_norm(x, gamma, beta, eps):
    return F.layer_norm(x, (4,), eps=float(eps[0])) * gamma[:, None] + beta[:, None]


def _step_by_step(x, pos, W_q, W_k, W_v, place=lambda t: t, append_first=True):
    keys, values, out = x[:, :0], x[:, :0], []
    for t in range(x.shape[1]):
        y = x[:, t : t + 1] + pos[:, place(t)].unsqueeze(1)
        more = torch.cat([keys, y @ W_k], 1), torch.cat([values, y @ W_v], 1)
        seen = more if append_first else (keys, values)
        out.append(((y @ W_q) @ seen[0].mT / 2).softmax(-1) @ seen[1])
        keys, values = more
    return torch.cat(out, 1)


def _in_pieces(s, v):
    """As fast kernels do it: a running maximum, so that nothing overflows."""
    best, total, out = s[:, 0] - 99, torch.zeros(len(s)), torch.zeros(len(s))
    for part, values in zip(s.split(3, -1), v.split(3, -1), strict=True):
        new = torch.maximum(best, part.amax(-1))
        e, keep = (part - new[:, None]).exp(), (best - new).exp()
        total, out, best = total * keep + e.sum(-1), out * keep + (e * values).sum(-1), new
    return out / total


RIGHT = {
    "6.1": [lambda d, a, b: d * (a * b) ** 2, r"(\sqrt{d_k}\,\sigma_q\sigma_k)^2"],
    "6.2": [torch.rsqrt, r"d_k^{-1/2}", r"\frac{\sqrt{d_k}}{d_k}", lambda d_k: d_k.float() ** -0.5],
    "6.3": [
        _by_loops,
        torch.vmap(lambda q, k: F.softmax(q @ k.T / 2, -1)),
        lambda q, k: torch.einsum("ptd,pjd->ptj", q, k).div(2).softmax(2),
        lambda q, k: special.softmax(q.numpy() @ k.numpy().transpose(0, 2, 1) / 2, axis=-1),
        lambda q, k: ((q / 4**0.25) @ (k / 4**0.25).mT).softmax(-1),
        lambda q, k: (q.float() @ k.float().mT / 2).softmax(-1),
        r"\frac{e^{q_t^\top k_j/\sqrt{d_k}}}{\sum_{l}e^{q_t^\top k_l/\sqrt{d_k}}}",
        r"\frac{\exp(d_k^{-1/2}\langle q_t,k_j\rangle)}"
        r"{\sum_j\exp(d_k^{-1/2}\langle q_t,k_j\rangle)}",
        r"\frac{1}{\sum_i\exp((q_t\cdot k_i-q_t\cdot k_j)/\sqrt{d_k})}",
    ],
    "6.4": [
        F.scaled_dot_product_attention,
        torch.vmap(lambda q, k, v: F.softmax(q @ k.T / 2, -1) @ v),
        lambda Q, K, V: torch.bmm(F.softmax(Q @ K.transpose(-2, -1) / K.size(-1) ** 0.5, -1), V),
        lambda q, k, v: F.scaled_dot_product_attention(q.float(), k.float(), v.float()),
    ],
    "6.5": [
        torch.vmap(torch.func.jacrev(lambda logits: logits.softmax(-1))),
        lambda x: torch.diag_embed(p := x.softmax(-1)) - torch.einsum("pi,pj->pij", p, p),
        r"p_i(\delta_{ij}-p_j)", r"p_j\,\delta_{ji}-p_ip_j", r"p_j\big(\mathbf{1}_{i=j}-p_i\big)",
        r"[i=j]\,p_i(1-p_i)-[i\ne j]\,p_ip_j",
        r"\frac{e^{\ell_i}}{\sum_k e^{\ell_k}}\Big([i=j]-\frac{e^{\ell_j}}{\sum_k e^{\ell_k}}\Big)",
    ],
    "6.6": [
        r"2\sum_i p_i(1-p_i)", r"2-2\lVert p\rVert^2",
        lambda x: torch.vmap(torch.func.jacrev(lambda r: r.softmax(-1)))(x).abs().sum((1, 2)),
    ],
    "6.7": [
        _row_by_row,
        lambda scores: scores.masked_fill(~_TRIANGLE, -torch.inf).softmax(-1),
        lambda scores: (scores + torch.full((4, 4), -torch.inf).triu(1)).softmax(-1),
        lambda scores: (scores - 1e9 * ~_TRIANGLE).softmax(-1),
        lambda scores: torch.where(_TRIANGLE, scores.float(), -torch.inf).softmax(-1),
        lambda scores: (e := scores.exp() * _TRIANGLE) / e.sum(-1, keepdim=True),
        lambda scores: (a := scores.softmax(-1).tril()) / a.sum(-1, keepdim=True),
        r"[j\le t]\frac{\exp(s_{tj})}{\sum_{i=1}^{t}\exp(s_{ti})}",
        r"\frac{\mathbf{1}_{j\le t}e^{s_{t,j}}}{\sum_i\mathbf{1}_{i\le t}e^{s_{t,i}}}",
        r"\frac{(1-[j>t])\,e^{s_{tj}}}{\sum_{i<t}e^{s_{ti}}+e^{\sum_i[i=t]s_{ti}}}",
    ],
    "6.8": [
        lambda q, k, v, Pi: F.scaled_dot_product_attention(Pi @ q, k, v),
        lambda q, k, v, Pi: torch.take_along_dim(
            F.scaled_dot_product_attention(q, k, v), Pi.argmax(-1)[..., None], 1
        ),
    ],
    "6.9": [_by_columns, lambda t: _by_columns(t).float()],
    "6.10": [
        lambda s, t, omega: torch.cos(omega * (t - s)[:, None]).sum(-1),
        r"\sum_i\big(\sin(s\omega_i)\sin(t\omega_i)+\cos(s\omega_i)\cos(t\omega_i)\big)",
    ],
    "6.11": [
        lambda q, k, m, n, theta: (
            torch.view_as_complex(q) * torch.view_as_complex(k).conj()
            * torch.polar(torch.ones_like(theta), (m - n) * theta)
        ).real,
        r"(q_1k_1+q_2k_2)\cos((m-n)\theta)+(q_1k_2-q_2k_1)\sin((m-n)\theta)",
        r"(q_1\cos(m\theta)-q_2\sin(m\theta))(k_1\cos(n\theta)-k_2\sin(n\theta))"
        r"+(q_1\sin(m\theta)+q_2\cos(m\theta))(k_1\sin(n\theta)+k_2\cos(n\theta))",
    ],
    "6.12": [
        lambda q, k, v, W_o: _heads(q, k, v, _merge) @ W_o,
        lambda q, k, v, W_o: torch.cat(
            [F.scaled_dot_product_attention(*(x[..., h : h + 2] for x in (q, k, v)))
             for h in (0, 2)], -1
        ) @ W_o,
    ],
    "6.13": [
        _layer_norm,
        lambda x, gamma, beta, eps: _layer_norm(x.float(), gamma.float(), beta.float(), eps),
        r"\beta_i+\gamma_i(x_{ti}-\mu_t)(\epsilon+\sigma_t^2)^{-1/2}",
        r"\gamma_i\frac{x_{ti}-\frac1d\sum_kx_{tk}}{\sqrt{\frac1d\sum_k(x_{tk}-\mu_t)^2+\epsilon}}+\beta_i",
    ],
    "6.14": [r"\prod_l\big(1+w_l(1-h_l)(1+h_l)\big)", r"\prod_l(1+w_l-w_lh_l^2)"],
    "6.15": [
        nn.GELU(), lambda x: x * torch.special.ndtr(x), lambda x: x * torch.erfc(-x / 2**0.5) / 2,
        r"\frac x2\left(1+\operatorname{erf}\left(\frac{x}{\sqrt2}\right)\right)", r"x-x\,\Phi(-x)",
        sympy.Symbol("x") * (1 + sympy.erf(sympy.Symbol("x") / sympy.sqrt(2))) / 2,
    ],
    "6.17": [
        lambda logits, ids: F.cross_entropy(
            logits[:, :-1].mT, ids[:, 1:], reduction="none"
        ).mean(-1),
        torch.vmap(lambda logits, ids: F.cross_entropy(logits[:-1], ids[1:])),
        lambda logits, ids: -(
            logits.log_softmax(-1)[:, :-1].gather(-1, ids[:, 1:, None]).squeeze(-1).mean(-1)
        ),
    ],
    "6.18": [r"d(V+T+2)+Ld(12d+13)", r"(V+T)d+L(4d^2+4d+8d^2+5d+4d)+2d"],
    "6.19": [r"2Td(6d+T)", r"3Td^2+2T^2d+Td^2+8Td^2"],
    "6.20": [
        _step_by_step,
        lambda x, pos, W_q, W_k, W_v: F.scaled_dot_product_attention(
            (x + pos) @ W_q, (x + pos) @ W_k, (x + pos) @ W_v, is_causal=True
        ),
    ],
    "6.21": [r"\frac{T^3}{3}+\frac{T^2}{2}+\frac{T}{6}"],
    "6.22": [r"\frac12(T^2+T)", lambda T: torch.tensor([sum(range(int(n) + 1)) for n in T])],
    "6.23": [
        lambda x, M, W_q, W_k, W_v: (((x @ W_q) @ (M @ W_k).mT / 2).softmax(-1) @ M) @ W_v,
    ],
    "6.x1": [r"\sigma(s_1-s_2)", r"\frac{e^{s_1}}{e^{s_1}+e^{s_2}}", r"1-\sigma(s_2-s_1)"],
    "6.x2": [
        lambda scores, real: scores.masked_fill(~real[:, None], -torch.inf).softmax(-1),
        lambda scores, real: (scores + (1.0 - real.double())[:, None] * -1e9).softmax(-1),
        lambda scores, real: (scores + real[:, None].log()).softmax(-1),
        lambda scores, real: (a := scores.softmax(-1) * real[:, None]) / a.sum(-1, keepdim=True),
    ],
    "6.x3": [
        torch.vmap(torch.func.grad(lambda s, v: (s.softmax(-1) * v).sum())),
        r"\sum_iv_ia_i([i=j]-a_j)", r"a_jv_j-a_jo", r"a_jv_j(1-a_j)-a_j\sum_{i\ne j}a_iv_i",
    ],
    "6.x4": [
        lambda heads: heads.transpose(1, 2).reshape(len(heads), 3, -1),
        lambda heads: heads.permute(0, 2, 1, 3).contiguous().view(-1, 3, 4),
    ],
    "6.x5": [r"\frac{\lVert x-\mu\rVert^2}{\sigma^2+\epsilon}", r"\frac{d}{1+\epsilon/\sigma^2}"],
    "6.x6": [r"\frac{T(T+1)(2T+1)/6}{T(T+1)/2}"],
    "6.x7": [
        _in_pieces, r"o_1+\frac{Z_2}{Z_1+Z_2}(o_2-o_1)", r"\frac{\sum_je^{s_j}v_j}{\sum_je^{s_j}}"
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "id, k", [(id, k) for id, found in RIGHT.items() for k in range(len(found))]
)
def test_another_way_to_write_it_is_as_right(id, k):
    verdict = judge(find(id), RIGHT[id][k])
    assert verdict.ok, verdict
    assert "exact" in verdict.kind or callable(RIGHT[id][k]), verdict


MISTAKES = {  # as people write them in code → what the verdict calls them
    "scaled by d_k": ("6.4", lambda q, k, v: (q @ k.mT / q.size(-1)).softmax(-1) @ v, "root is"),
    "not scaled": (
        "6.4", lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=1.0), "not scaled"
    ),
    "d_k is the scaling factor": ("6.2", lambda d_k: d_k, "d_k is no factor"),
    "the softmax's axis is left to torch": (
        "6.4", lambda q, k, v: F.softmax(q @ k.mT / 2, dim=0) @ v, "over the points"
    ),
    "softmax over the queries": (
        "6.3", lambda q, k: F.softmax(q @ k.transpose(1, 2) / 2, dim=1), "wrong axis"
    ),
    "mask multiplied after the softmax": (
        "6.7", lambda scores: scores.softmax(-1) * _TRIANGLE, "applied after the softmax"
    ),
    "mask filled in after the softmax": (
        "6.7", lambda scores: scores.softmax(-1).masked_fill(~_TRIANGLE, 0), "after the softmax"
    ),
    "mask added after the softmax": (
        "6.7", lambda scores: scores.softmax(-1) - 1e9 * ~_TRIANGLE, "added after the softmax"
    ),
    "minus infinity after the softmax": (
        "6.7", lambda scores: scores.softmax(-1).masked_fill(~_TRIANGLE, -torch.inf),
        "added after the softmax",
    ),
    "scores set to 0": ("6.7", lambda scores: (scores * _TRIANGLE).softmax(-1), "e⁰ is 1"),
    "sees itself not": (
        "6.7", lambda scores: scores.masked_fill(~_TRIANGLE.tril(-1), -torch.inf).softmax(-1),
        "no position sees itself",
    ),
    "sees the next": (
        "6.7", lambda scores: scores.masked_fill(torch.ones(4, 4).triu(2).bool(), -1e9).softmax(-1),
        "sees the next one",
    ),
    "looks ahead": (
        "6.7", lambda scores: scores.masked_fill(~_TRIANGLE.T, -torch.inf).softmax(-1),
        "turned round",
    ),
    "hides what may be seen": (
        "6.7", lambda scores: scores.masked_fill(_TRIANGLE, -torch.inf).softmax(-1), "turned round"
    ),
    "no mask": ("6.7", lambda scores: scores.softmax(-1), "whole future"),
    "targets not shifted": (
        "6.17",
        lambda logits, ids: F.cross_entropy(logits.mT, ids, reduction="none").mean(-1),
        "off by one",
    ),
    "targets shifted the wrong way": (
        "6.17",
        lambda logits, ids: F.cross_entropy(
            logits[:, 1:].mT, ids[:, :-1], reduction="none"
        ).mean(-1),
        "wrong way",
    ),
    "both cut at the front": (
        "6.17",
        lambda logits, ids: F.cross_entropy(
            logits[:, 1:].mT, ids[:, 1:], reduction="none"
        ).mean(-1),
        "off by one",
    ),
    "targets rolled": (
        "6.17",
        lambda logits, ids: F.cross_entropy(
            logits.mT, ids.roll(-1, 1), reduction="none"
        ).mean(-1),
        "rolled",
    ),
    "positions added to nothing": (
        "6.20", lambda x, pos, *W: _step_by_step(x, torch.zeros_like(pos), *W), "added to nothing"
    ),
    "positions restart": (
        "6.20", lambda *given: _step_by_step(*given, place=lambda t: 0), "restart at each call"
    ),
    "positions one behind": (
        "6.20", lambda *given: _step_by_step(*given, place=lambda t: max(t - 1, 0)), "place before"
    ),
    "positions in the queries only": (
        "6.20",
        lambda x, pos, W_q, W_k, W_v: F.scaled_dot_product_attention(
            (x + pos) @ W_q, x @ W_k, x @ W_v, is_causal=True
        ),
        "only the queries know their places",
    ),
    "rotary on one side": (
        "6.11",
        lambda q, k, m, n, theta: (
            torch.view_as_complex(q) * torch.polar(torch.ones_like(theta), m * theta)
            * torch.view_as_complex(k).conj()
        ).real,
        "only the query is turned",
    ),
    "rotary at the cache's own place": (
        "6.11",
        lambda q, k, m, n, theta: (
            torch.view_as_complex(q)
            * (torch.view_as_complex(k) * torch.polar(torch.ones_like(theta), n * theta)).conj()
        ).real,
        "place 0",
    ),
    "sines first": (
        "6.9", lambda t: torch.cat([_by_columns(t)[:, 0::2], _by_columns(t)[:, 1::2]], -1),
        "all sines come first",
    ),
    "layer norm with d−1": (
        "6.13",
        lambda x, gamma, beta, eps: (
            gamma[:, None] * (x - x.mean(-1, True))
            / (x.var(-1, keepdim=True) + eps[:, None, None]).sqrt() + beta[:, None]
        ),
        "divided by d − 1",
    ),
    "layer norm's ε outside the root": (
        "6.13",
        lambda x, gamma, beta, eps: (
            gamma[:, None] * (x - x.mean(-1, True))
            / (x.std(-1, keepdim=True, unbiased=False) + eps[:, None, None]) + beta[:, None]
        ),
        "outside the root",
    ),
    "layer norm by torch.std": (
        "6.13",
        lambda x, gamma, beta, eps: (
            gamma[:, None] * (x - x.mean(-1, True))
            / (x.std(-1, keepdim=True) + eps[:, None, None]) + beta[:, None]
        ),
        "two slips in one",
    ),
    "layer norm over the positions": (
        "6.13",
        lambda x, gamma, beta, eps: (
            gamma[:, None] * F.layer_norm(x.mT, (3,), eps=0.1).mT + beta[:, None]
        ),
        "wrong axis",
    ),
    "layer norm over everything": (
        "6.13",
        lambda x, gamma, beta, eps: (
            gamma[:, None] * F.layer_norm(x, (3, 4), eps=0.1) + beta[:, None]
        ),
        "columns together",
    ),
    "batch norm": (
        "6.13",
        lambda x, gamma, beta, eps: (
            F.batch_norm(x.mT, None, None, training=True, eps=0.1).mT * gamma[:, None]
            + beta[:, None]
        ),
        "batch norm",
    ),
    "heads concatenated by a reshape": (
        "6.12", lambda q, k, v, W_o: _heads(q, k, v, lambda x: x.reshape(q.shape)) @ W_o,
        "concatenated by a plain reshape",
    ),
    "heads split by a reshape": (
        "6.12",
        lambda q, k, v, W_o: _heads(q, k, v, _merge, lambda x: x.view(-1, 2, 3, 2)) @ W_o,
        "split by a plain reshape",
    ),
    "heads not transposed": (
        "6.12",
        lambda q, k, v, W_o: _heads(
            q, k, v, lambda x: x.flatten(2), lambda x: x.view(-1, 3, 2, 2)
        ) @ W_o,
        "not transposed before attention",
    ),
    "heads scaled by the whole width": (
        "6.12", lambda q, k, v, W_o: _heads(q, k, v, _merge, scale=0.5) @ W_o, "whole width"
    ),
    "memory asks": (
        "6.23",
        lambda x, memory, W_q, W_k, W_v: F.scaled_dot_product_attention(
            memory @ W_q, x @ W_k, x @ W_v
        ),
        "changed places",
    ),
    "the newest key is forgotten": (
        "6.20", lambda *given: _step_by_step(*given, append_first=False), "newest key is forgotten"
    ),
    "post-norm": (
        "6.16",
        lambda x, A, W: F.layer_norm(
            (y := F.layer_norm(x + A @ x, (4,))) + F.gelu(y @ W), (4,)
        ),
        "post-norm",
    ),
}  # fmt: skip


@pytest.mark.parametrize("slip", MISTAKES)
def test_a_common_mistake_is_named(slip):
    id, candidate, words = MISTAKES[slip]
    verdict = judge(find(id), candidate)
    assert verdict.ok is False and verdict.mistake and words in verdict.mistake, verdict


WRONG = {  # plausible, and known by no name
    "6.3": [
        lambda q, k: F.softmax(F.softmax(q @ k.mT / 2, -1), -1),
        lambda q, k: (q @ k.mT / 2).sigmoid(),
        lambda q, k: (q @ k.mT / 2).softmax(-1).mT, lambda q, k: (q.mT @ k / 2).softmax(-1),
        r"\frac{\exp(q_t\cdot k_j/\sqrt{d_k})}{\sum_{i\le t}\exp(q_t\cdot k_i/\sqrt{d_k})}",
        r"\frac13",
    ],
    "6.4": [
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.1), lambda q, k, v: v,
        lambda q, k, v: (q @ k.T / 2).softmax(-1) @ v,
    ],
    "6.5": [
        r"p_i(\delta_{ij}-p_i)", r"p_i([i\le j]-p_j)", lambda x: torch.diag_embed(x.softmax(-1)),
    ],
    "6.7": [
        lambda scores: scores.masked_fill(~_TRIANGLE, -10.0).softmax(-1),
        lambda scores: scores.masked_fill(~_TRIANGLE, -torch.inf).softmax(0),
        r"\frac{[j\le t]e^{s_{tj}}}{\sum_{i\le j}e^{s_{ti}}}",
        r"\frac{[j\le t]e^{s_{jt}}}{\sum_{i\le t}e^{s_{it}}}",
        r"\frac{e^{s_{tj}}}{\sum_{i\le t}e^{s_{ti}}}",
    ],
    "6.11": [
        r"(q_1k_1+q_2k_2)\cos(n-m)\theta+(q_2k_1-q_1k_2)\sin(n-m)\theta",
        lambda q, k, m, n, theta: ((q + m[:, None]) * (k + n[:, None])).sum(-1),
    ],
    "6.13": [r"\gamma_i\frac{x_{ti}-\mu_i}{\sqrt{\sigma_i^2+\epsilon}}+\beta_i"],
    "6.14": ["1", r"\prod_l(1+w_l)", lambda x, w: (1 + w * (1 - x[:, None].tanh() ** 2)).prod(-1)],
    "6.16": [lambda x, A, W: (y := x + A @ F.layer_norm(x, (4,))) + F.relu(
        F.layer_norm(y, (4,)) @ W
    )],
    "6.17": [lambda logits, ids: F.cross_entropy(logits[:, :-1].mT, ids[:, 1:])],
    "6.20": [lambda x, pos, *W: _step_by_step(x + pos, pos, *W)],
    "6.x3": [r"a_j(v_j-a_jo)", r"a_j^2(v_j-o)", r"s_j(v_j-o)"],
}  # fmt: skip


@pytest.mark.parametrize(
    "id, k", [(id, k) for id, found in WRONG.items() for k in range(len(found))]
)
def test_what_is_wrong_in_a_way_of_its_own_is_refused_all_the_same(id, k):
    verdict = judge(find(id), WRONG[id][k])
    assert verdict.ok is False and verdict.mistake is None, verdict


def test_what_is_printed_in_a_source_is_answered():
    assert {s for e in of_chapter(6) for s in e.sources} >= {"E4", "B7"}
    assert judge(find("6.2"), "d_k").mistake.startswith("d_k is no factor")
    assert judge(find("6.4"), find("6.4").reference).ok, "the formula of E4 itself is right"
