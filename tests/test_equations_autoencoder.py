"""Chapter 02's references against libraries and searches that know nothing of the course."""

import itertools
import math

import numpy as np
import pytest
import sympy
import torch
from points import accepted, approx, arrays, reference, refused, tensors
from scipy import integrate, linalg, optimize, special, stats
from skimage.metrics import peak_signal_noise_ratio
from sklearn.decomposition import PCA, sparse_encode
from sklearn.linear_model import LinearRegression

from genart_lessons.equations import find, of_chapter
from genart_lessons.proof import judge

pytestmark = pytest.mark.usefixtures("one_thread")


# -- candidates, in every form ---------------------------------------------------------------------

A = torch.func.vmap  # a function of one point, asked at all of them


def s(formula: str) -> sympy.Expr:
    names = ("lambda", "beta", "S", "N", "Q", "E")
    return sympy.sympify(
        formula.replace("lambda", "lam"),
        {"lam": sympy.Symbol("lam"), **{n: sympy.Symbol(n) for n in names[1:]}},
    )


def weighed(y, x, sigma):
    return torch.exp(-((y[:, None] - x) ** 2).sum(-1) / (2 * sigma[:, None] ** 2))


RIGHT = {
    "2.1": [
        lambda p, x, x_hat: ((x_hat - x).norm(dim=-1) ** 2 * p).sum(-1),
        A(lambda p, x, x_hat: p @ (x - x_hat).pow(2).sum(-1)),
        lambda p, x, x_hat: torch.einsum("pn,pni->p", p, (x - x_hat) ** 2),
    ],
    "2.2": [
        r"-M+N", s("N - M"), lambda N, M: N - M, r"\sum_x[D(E(x))\ne x]\ge N-M",
        lambda code, picture, N, M: (N - M).clamp(min=0),
    ],
    "2.3": [
        lambda x, E, D: torch.linalg.svdvals(x)[:, 2:].square().sum(-1) / x.shape[1],
        lambda x, E, D: torch.linalg.eigvalsh(x.mT @ x / 8)[:, :4].sum(-1),
        A(lambda x, E, D: torch.linalg.eigvalsh(torch.cov(x.T, correction=0))[:-2].sum()),
    ],
    "2.4": [
        r"\sum_i x_i^2-\sum_i\hat{x}_i^2", r"-\lVert\hat{x}\rVert^2+\lVert x\rVert^2",
        r"\sum_i(x_i^2-\hat x_i^2)",
        r"(\lVert x\rVert-\lVert\hat x\rVert)(\lVert x\rVert+\lVert\hat x\rVert)",
        lambda x, W: (
            x.square().sum(-1) - (torch.linalg.qr(W)[0].mT @ x[..., None]).square().sum((1, 2))
        ),
    ],
    "2.5": [
        A(lambda x, E: (S := x.T @ x / 6) @ E.T @ torch.linalg.inv(E @ S @ E.T)),
        A(lambda x, E: x.T @ x @ E.T @ torch.linalg.inv(E @ x.T @ x @ E.T)),
        A(lambda x, E: (torch.linalg.pinv(x @ E.T) @ x).T),
    ],
    "2.6": [
        A(lambda x, E, D, A: (x - D @ E @ x).square().sum()),
        A(lambda x, E, D, A: (x - D @ A @ torch.linalg.inv(A) @ E @ x).norm() ** 2),
    ],
    "2.7": [
        r"\lambda\sum_j|z_j|+\sum_i(x_i-\hat x_i)^2", r"\sum_j\lambda|z_j|+\lVert\hat x-x\rVert^2",
        r"\lVert x-\hat{x}\rVert^2+\lambda(\sum_{j=1}^k\sqrt{z_j^2})",
        lambda x, x_hat, z, lam: (x - x_hat).square().sum(-1) + lam * z.abs().sum(-1),
    ],
    "2.8": [
        r"\operatorname{sgn}(z)\max(|z|-\lambda,0)", r"\mathrm{sign}(z)\,\max(|z|-\lambda,0)",
        r"\max(z-\lambda,0)+\min(z+\lambda,0)", r"z-\min(\max(z,-\lambda),\lambda)",
        r"\frac{z}{|z|}\max(|z|-\lambda,0)",
        s("Max(z - lambda, 0) - Max(-z - lambda, 0)"), s("sign(z)*Max(Abs(z) - lambda, 0)"),
        lambda z, lam: z.sign() * (z.abs() - lam).clamp(min=0),
        lambda z, lam: (z - lam).relu() - (-z - lam).relu(),
    ],
    "2.9": [
        A(lambda x, eps, sigma, E, D: (x - (x + sigma * eps) @ E.T @ D.T).pow(2).sum(-1).mean()),
        lambda x, eps, sigma, E, D: (
            (D @ E @ (x + sigma[:, None, None] * eps).mT - x.mT).square().sum(1).mean(1)
        ),
    ],
    "2.10": [
        r"\sum_k x_k\frac{p_k\exp(-\frac{(x_k-y)^2}{2\sigma^2})}"
        r"{\sum_jp_j\exp(-\frac{(x_j-y)^2}{2\sigma^2})}",
        r"\frac{\sum_jp_jx_je^{(2yx_j-x_j^2)/(2\sigma^2)}}{\sum_jp_je^{(2yx_j-x_j^2)/(2\sigma^2)}}",
        lambda y, p, x, sigma: (
            (w := p * torch.exp(-((y[:, None] - x) ** 2) / (2 * sigma[:, None] ** 2))) * x
        ).sum(-1) / w.sum(-1),
    ],
    "2.11": [
        r"\frac{\sigma^2\mu+\tau^2y}{\sigma^2+\tau^2}",
        r"y-\frac{\sigma^2}{\tau^2+\sigma^2}(y-\mu)",
        r"\frac{\mu/\tau^2+y/\sigma^2}{1/\tau^2+1/\sigma^2}",
        s("mu + (y - mu)/(1 + sigma**2/tau**2)"),
        lambda y, mu, tau, sigma: mu + tau**2 / (tau**2 + sigma**2) * (y - mu),
    ],
    "2.12": [
        r"s(y)\,\sigma^2+y", r"y+\sigma^{2}\cdot s(y)", r"\mathbb{E}[x\mid y]=y+\sigma\sigma s(y)",
        s("y + sigma**2*score"), lambda y, p, mu, tau, sigma, score: y + sigma**2 * score,
        lambda y, sigma, score: y + score * sigma * sigma,
    ],
    "2.13": [
        r"\sigma^2(d-\sigma^2J)", r"d\sigma^2-J\sigma^4", s("sigma**2*d - sigma**4*J"),
        r"\sum_i\frac{\tau_i^2\sigma^2}{\tau_i^2+\sigma^2}",
        lambda sigma, tau, J: 3 * sigma**2 - sigma**4 * J,
        lambda sigma, tau: (1 / (1 / tau**2 + 1 / sigma[:, None] ** 2)).sum(-1),
    ],
    "2.14": ["k/d", r"k\,d^{-1}", s("k/d"), lambda k, d: k / d, r"1-\frac{d-k}{d}"],
    "2.15": [
        r"\frac{\tau^2}{\tau^2+\sigma^2}+\rho\frac{\sigma^2}{\tau^2+\sigma^2}",
        r"1-\frac{(1-\rho)\sigma^2}{\tau^2+\sigma^2}",
        s("(tau**2 + rho*sigma**2)/(tau**2 + sigma**2)"),
        lambda tau, sigma, rho: (tau**2 + rho * sigma**2) / (tau**2 + sigma**2),
    ],
    "2.16": [
        r"10\log_{10}\frac{1}{\mathrm{MSE}}", r"-10\log_{10}\mathrm{MSE}",
        r"-10\log_{10}\frac{\lVert x-\hat x\rVert^2}{d}",
        r"-20\log_{10}\sqrt{\frac1d\sum_i(x_i-\hat x_i)^2}",
        r"10\log_{10}d-20\log_{10}\lVert x-\hat x\rVert",
        r"\frac{10}{\log 10}\log\frac{d}{\lVert x-\hat x\rVert^2}",
        lambda x, x_hat: -10 * torch.log10((x - x_hat).square().mean(-1)),
        A(lambda x, x_hat: 10 * torch.log10(1 / torch.nn.functional.mse_loss(x, x_hat))),
    ],
    "2.17": [
        r"\frac13\Big(\frac{\Delta}{2}\Big)^2", r"\Delta^2/12", s("Delta**2/12"),
        r"\Big(\frac{\Delta}{\sqrt{12}}\Big)^2",
        lambda Delta: Delta**2 / 12, lambda step: step * step / 12,
    ],
    "2.18": [
        r"\sum_jp_j\log_2\frac{1}{p_j}", r"-\frac{\sum_jp_j\log p_j}{\log 2}",
        r"\sum_jp_j\ell_j\ge-\sum_jp_j\log_2p_j",
        lambda p, ell: -(p * p.log2()).sum(-1),
        lambda p: torch.special.entr(p).sum(-1) / math.log(2),
    ],
    "2.19": [
        r"\frac{\tau^2}{4^R}", r"\tau^2e^{-2R\log 2}", r"(\tau 2^{-R})^2", s("tau**2/4**R"),
        lambda tau, R: tau**2 * 4 ** (-R),
    ],
    "2.20": [
        A(lambda m, S: (S.trace() + m @ m - 3 - torch.logdet(S)) / 2),
        lambda m, S: (
            torch.linalg.eigvalsh(S).sub(torch.linalg.eigvalsh(S).log()).sum(-1)
            + m.square().sum(-1) - 3
        ) / 2,
    ],
    "2.x1": [
        r"\frac{2^b}{2^n}", r"\frac{1}{2^{n-b}}", r"\exp((b-n)\log 2)", s("2**b/2**n"),
        lambda b, n: 2 ** (b - n), lambda b, n: 2**b / 2**n,
    ],
    "2.x2": [
        r"\frac{2}{N}\sum_{n}\sum_{l}(\hat x_{nl}-x_{nl})D_{lj}x_{ni}",
        lambda x, E, D: -2 / 4 * D.mT @ (x - x @ E.mT @ D.mT).mT @ x,
        torch.func.vmap(torch.func.grad(
            lambda x, E, D: (x - x @ E.T @ D.T).pow(2).sum(-1).mean(), argnums=1
        )),
    ],
    "2.x3": [
        lambda z, lam: z * (z.abs() > (2 * lam).sqrt()),
        lambda z, lam: torch.where(z**2 > 2 * lam, z, torch.zeros_like(z)),
        lambda z, lam: z * (0.5 * z * z > lam).double(),
    ],
    "2.x4": [
        r"-10\log_{10}\sigma^2", r"10\log_{10}\frac{1}{\sigma^2}", r"20\log_{10}\frac1\sigma",
        r"-\frac{20\log\sigma}{\log 10}", s("-20*log(sigma)/log(10)"),
        lambda sigma: -20 * torch.log10(sigma),
    ],
    "2.x5": [
        r"\frac{Q}{20\log_{10}2}-\frac{\log_212}{2}", r"\frac{Q-10\log_{10}12}{10\log_{10}4}",
        r"\frac12\log_2\frac{10^{Q/10}}{12}", s("(Q - 10*log(12)/log(10))/(20*log(2)/log(10))"),
        lambda Q: (Q - 10 * math.log10(12)) / (20 * math.log10(2)),
    ],
    "2.x6": [
        lambda y, x, sigma: (
            (w := weighed(y, x, sigma))[..., None] * x
        ).sum(1) / w.sum(-1, keepdim=True),
        A(lambda y, x, sigma: (-(y - x).pow(2).sum(-1) / (2 * sigma**2)).softmax(-1) @ x),
    ],
}  # fmt: skip

WRONG = {
    "2.1": [
        lambda p, x, x_hat: (p * (x + x_hat).square().sum(-1)).sum(-1), 0.0,
        lambda p, x, x_hat: (p * (x.square() - x_hat.square()).sum(-1)).sum(-1),
        lambda p, x, x_hat: p * (x - x_hat).square().sum(-1),
        lambda p, x, x_hat: (x - x_hat).square().sum((-1, -2)),
    ],
    "2.2": [
        r"N+M", r"\frac{N-M}{2}", r"\log_2N-\log_2M", "1", r"N-\frac{M}{2}", s("N*M"), r"-N",
        r"\min(N,M)", lambda code, picture, N, M: (code != picture).double().sum(-1),
    ],
    "2.3": [
        lambda x, E, D: torch.linalg.eigvalsh(x.mT @ x)[:, :4].sum(-1),
        lambda x, E, D: torch.linalg.eigvalsh(x.mT @ x / 8)[:, :4].square().sum(-1),
        lambda x, E, D: torch.linalg.eigvalsh(x.mT @ x / 8)[:, :4], 0.0,
        lambda x, E, D: (x - x @ E.mT @ E).square().sum(-1).mean(-1),
    ],
    "2.4": [
        r"\lVert x\rVert^2-2\lVert\hat x\rVert^2", r"\lVert x\rVert^2-\lVert\hat x\rVert",
        r"\sum_ix_i\hat x_i", r"\sum_i|x_i^2-\hat x_i^2|", "0", s("Symbol('z')"),
    ],
    "2.5": [
        lambda x, E: E.mT @ torch.linalg.inv(E @ E.mT), lambda x, E: torch.linalg.pinv(E).mT,
        A(lambda x, E: torch.linalg.pinv(x @ E.T) @ x), lambda x, E: E,
    ],
    "2.6": [
        A(lambda x, E, D, A: (x - D @ A @ E @ x).square().sum()),
        A(lambda x, E, D, A: (x - D @ E @ x).square().mean()), 0.0,
        A(lambda x, E, D, A: (x + D @ E @ x).square().sum()),
    ],
    "2.7": [
        r"\lVert x-\hat{x}\rVert+\lambda\sum_j|z_j|",
        r"\lVert x-\hat{x}\rVert^2+\lambda\Big|\sum_jz_j\Big|",
        r"\lambda\sum_j|z_j|", r"\lVert x-\hat{x}\rVert^2+\lambda+\sum_j|z_j|",
        r"\lVert x-\hat{x}\rVert^2+\lambda^2\sum_j|z_j|",
        r"\lVert x+\hat{x}\rVert^2+\lambda\sum_j|z_j|",
    ],
    "2.8": [
        r"\max(z-\lambda,0)-\max(z+\lambda,0)", "z", "0", r"\frac{z}{1+\lambda}",
        r"\max(|z|-\lambda,0)",
        s("z - lambda"), lambda z, lam: torch.nn.functional.softshrink(z, 0.5),
        lambda z, lam: z.clamp(-1, 1),
    ],
    "2.9": [
        A(lambda x, eps, sigma, E, D: (x - (x - eps) @ E.T @ D.T).pow(2).sum(-1).mean()),
        A(lambda x, eps, sigma, E, D: (x - (x + sigma * eps)).pow(2).sum(-1).mean()),
        A(lambda x, eps, sigma, E, D: (x - (x + sigma * eps) @ E.T @ D.T).norm(dim=-1).mean()),
        A(lambda x, eps, sigma, E, D: (x - x @ E.T @ D.T + sigma * eps).pow(2).sum(-1).mean()),
    ],
    "2.10": [
        r"\frac{\sum_jp_jx_j(y-x_j)^2}{\sum_jp_j(y-x_j)^2}", r"\sum_jx_j", r"\sum_jp_j",
        r"\frac{\sum_jp_jx_je^{-(y-x_j)^2/(2\sigma^2)}}{\sum_jx_je^{-(y-x_j)^2/(2\sigma^2)}}",
        r"\frac{\sum_jp_jx_j^2e^{-(y-x_j)^2/(2\sigma^2)}}{\sum_jp_je^{-(y-x_j)^2/(2\sigma^2)}}",
        r"\frac{\sum_jp_je^{-(y-x_j)^2/(2\sigma^2)}}{\sum_jp_jx_je^{-(y-x_j)^2/(2\sigma^2)}}",
    ],
    "2.11": [
        r"\frac{\mu+y}{2}", r"\mu-\frac{\tau^2}{\tau^2+\sigma^2}(y-\mu)",
        r"\frac{\tau^2}{\tau^2+\sigma^2}(y-\mu)",
        r"\mu+\frac{\tau^2}{\tau^2-\sigma^2}(y-\mu)", r"\mu+\frac{\sigma}{\tau}(y-\mu)",
        s("mu + y"),
        lambda y, mu, tau, sigma: torch.minimum(y, mu),
    ],
    "2.12": [
        r"y+\sigma^2", r"y\,s(y)", r"y+\sigma^3s(y)", r"y+2\sigma^2s(y)", r"s(y)",
        r"\frac{y+\sigma^2s(y)}{2}",
        s("score"), lambda y, sigma, score: y - sigma * score,
    ],
    "2.13": [
        r"\sigma^2d-\sigma^3J", r"\sigma^2d-J", r"\sigma^4d-\sigma^4J", r"d-\sigma^4J", "J",
        r"\sum_i\frac{\tau_i^2}{\tau_i^2+\sigma^2}", r"\sum_i\frac{\sigma^2}{\tau_i^2+\sigma^2}",
        s("sigma*d - sigma**2*J"),
    ],
    "2.14": [
        r"\frac{k}{d+1}", r"\frac{k-1}{d}", r"\frac{d-k}{d}", r"\frac{k}{d}+0.01", "d",
        r"\log\frac{k}{d}", 0.5,
        lambda k, d: (k / d).round(),
    ],
    "2.15": [
        r"\frac{\tau^2+\rho}{\tau^2+\sigma^2}", r"\frac{\tau^2+\rho\sigma}{\tau^2+\sigma^2}",
        r"1-\rho", "0",
        r"\frac{\rho\tau^2+\sigma^2}{\tau^2+\sigma^2}",
        r"\frac{\rho(\tau^2+\sigma^2)}{\tau^2+\sigma^2}",
        r"\frac{\tau^2+\sqrt{\rho}\sigma^2}{\tau^2+\sigma^2}", s("tau/(tau + sigma)"),
    ],
    "2.16": [
        r"10\log_2\frac{d}{\lVert x-\hat x\rVert^2}", r"10\log_{10}\frac{d}{\lVert x-\hat x\rVert}",
        r"10\log_{10}\frac{d^2}{\lVert x-\hat x\rVert^2}", r"\frac{d}{\lVert x-\hat x\rVert^2}",
        r"10\log_{10}\frac{d}{\lVert x+\hat x\rVert^2}", r"-10\log_{10}\frac1d\sum_i|x_i-\hat x_i|",
        lambda x, x_hat: 10 * torch.log10(1 / (x - x_hat).square().mean()),
    ],
    "2.17": [
        r"\frac{\Delta^2}{2}", r"\frac{\Delta^3}{12}", r"\frac{\Delta^2}{\sqrt{12}}",
        r"\frac{\Delta}{2}", "12",
        r"\frac{\Delta^2}{8}", s("Delta/12"), lambda Delta: (Delta / 2) ** 2 / 12,
    ],
    "2.18": [
        r"-\sum_jp_j\log_{10}p_j", r"\sum_jp_j^2", r"-\sum_jp_j^2\log_2p_j", r"\sum_jp_j\ell_j-1",
        r"-\sum_j2^{-\ell_j}\log_2p_j", r"\min(\sum_jp_j\ell_j,2)", "2",
        lambda p, ell: (p * p.log2()).sum(-1), lambda p, ell: -(p * p.log2()),
    ],
    "2.19": [
        r"\tau^2-2R", r"\tau^2\,2^{-4R}", r"\frac{\tau^2}{2^{R}}", r"\tau\,4^{-R}",
        r"\tau^2R^{-2}", r"\tau^2",
        s("tau**2/(1 + R)"), lambda tau, R: tau**2 * 2.0 ** (-2 * R.ceil()),
    ],
    "2.20": [
        A(lambda m, S: (S.trace() + m @ m - 3 - S.diagonal().log().sum()) / 2),
        A(lambda m, S: (S.trace() - m @ m - 3 - torch.logdet(S)) / 2),
        A(lambda m, S: (S.sum() + m @ m - 3 - torch.logdet(S)) / 2),
        A(lambda m, S: (S.trace() + m.norm() - 3 - torch.logdet(S)) / 2), 0.0,
    ],
    "2.x1": [
        r"2^{b+n}", r"\frac{2^b-1}{2^n}", r"2^{-n}", r"\frac{b}{2^n}", r"\frac{2^n-2^b}{2^n}",
        "0", r"10^{b-n}",
        s("b/n"), lambda b, n: 1.0 - b / n,
    ],
    "2.x2": [
        r"-\frac{1}{N}\sum_{n}x_{ni}\sum_{l}D_{lj}(x_{nl}-\hat{x}_{nl})",
        r"-2\sum_{n}x_{ni}\sum_{l}D_{lj}(x_{nl}-\hat{x}_{nl})",
        r"-\frac{2}{N}\sum_{n}\hat x_{ni}\sum_{l}D_{lj}(x_{nl}-\hat{x}_{nl})",
        r"-\frac{2}{N}\sum_{n}x_{ni}\sum_{l}(x_{nl}-\hat{x}_{nl})",
        r"-\frac{2}{N}\sum_{n}x_{ni}\sum_{l}E_{jl}(x_{nl}-\hat{x}_{nl})",
        lambda x, E, D: E, lambda x, E, D: torch.zeros_like(E),
    ],
    "2.x3": [
        lambda z, lam: z, lambda z, lam: z * (z.abs() > 2 * lam), lambda z, lam: z * (z > lam), 0.0,
        lambda z, lam: (z - lam).clamp(min=0),
        lambda z, lam: z.abs() * (z.abs() > (2 * lam).sqrt()),
    ],
    "2.x4": [
        r"-20\log_2\sigma", r"20", r"-20\sigma", r"-20\log_{10}\sigma-1",
        r"10\log_{10}(1-\sigma^2)",
        s("-20*log(sigma)"), lambda sigma: -10 * torch.log10(sigma),
    ],
    "2.x5": [
        r"\frac{Q}{6.02}", r"\frac{Q-10.8}{6.02}", r"\log_2Q", r"\frac{Q-10\log_{10}12}{20}",
        r"Q", "8",
        lambda Q: ((Q - 10 * math.log10(12)) / (20 * math.log10(2))).ceil(),
    ],
    "2.x6": [
        lambda y, x, sigma: y, lambda y, x, sigma: (weighed(y, x, sigma)[..., None] * x).mean(1),
        A(lambda y, x, sigma: (-(y - x).pow(2).sum(-1) / (2 * sigma**2)).softmax(-1) @ (x - y)),
        A(lambda y, x, sigma: (-(y - x).abs().sum(-1) / sigma).softmax(-1) @ x),
        A(lambda y, x, sigma: (x @ y / sigma**2).softmax(-1) @ x),
    ],
}  # fmt: skip


@pytest.mark.parametrize("id", RIGHT)
def test_what_is_right_in_another_form_is_accepted(id):
    accepted(id, RIGHT[id])


@pytest.mark.parametrize("id", WRONG)
def test_what_is_wrong_in_any_form_is_refused_and_not_for_being_unreadable(id):
    refused(id, WRONG[id])


# -- what can come back ----------------------------------------------------------------------------


def test_the_loss_by_numpys_weighted_mean():
    v = arrays("2.1")
    for k in range(50):
        errors = np.linalg.norm(v["x"][k] - v["x_hat"][k], axis=-1) ** 2
        assert reference("2.1")[k] == approx(np.average(errors, weights=v["p"][k]))


def test_no_map_at_all_loses_fewer_pictures_and_one_loses_as_many():
    """Every encoder and decoder of up to 4 pictures and 3 codes, all of them counted."""
    for pictures, codes in ((2, 1), (3, 1), (3, 2), (4, 2), (3, 3)):
        least = min(
            sum(decode[encode[x]] != x for x in range(pictures))
            for encode in itertools.product(range(codes), repeat=pictures)
            for decode in itertools.product(range(pictures), repeat=codes)
        )
        given = {"N": torch.tensor([float(pictures)]), "M": torch.tensor([float(codes)])}
        assert find("2.2").reference(code=None, picture=None, **given).item() == least


def test_what_the_maps_of_the_bound_lose_by_walking_through_them():
    evidence, t = find("2.2").evidence, tensors("2.2", 200)
    lost = evidence.of(**t)
    for k in range(200):
        pictures, codes = int(t["N"][k]), int(t["M"][k])
        encode, decode = t["code"][k].tolist(), t["picture"][k].tolist()
        assert all(0 <= encode[x] < codes for x in range(pictures))
        assert all(0 <= decode[z] < pictures for z in range(codes))
        assert lost[k] == sum(decode[encode[x]] != x for x in range(pictures))
    assert len({(int(a), int(b)) for a, b in zip(t["N"], t["M"], strict=True)}) > 25


@pytest.mark.parametrize(("b", "n"), [(1, 1), (1, 3), (2, 3)])
def test_the_best_share_by_trying_every_code(b, n):
    pictures, codes = 2**n, 2**b
    most = max(len(set(decode)) for decode in itertools.product(range(pictures), repeat=codes))
    given = {"b": torch.tensor([float(b)]), "n": torch.tensor([float(n)])}
    assert find("2.x1").reference(**given).item() == most / pictures


# -- linear autoencoders ---------------------------------------------------------------------------


def test_the_best_linear_autoencoder_by_scikit_learns_pca():
    v = arrays("2.3")
    for k in range(20):
        x = v["x"][k]
        pca = PCA(n_components=2).fit(x)
        back = pca.inverse_transform(pca.transform(x))
        assert reference("2.3")[k] == approx(((x - back) ** 2).sum(1).mean())
        assert reference("2.3")[k] == approx(linalg.svdvals(x)[2:] @ linalg.svdvals(x)[2:] / len(x))


def test_gradient_descent_on_both_ends_where_pca_is():
    """Trained and not derived: the loss ends at (2.3), and the decoder spans PCA's plane."""
    x = tensors("2.3", 1)["x"][0]
    generator = torch.Generator().manual_seed(3)
    E, D = (
        torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((2, 6), (6, 2))
    )
    by = torch.optim.LBFGS([E, D], max_iter=400, line_search_fn="strong_wolfe")

    def loss():
        by.zero_grad()
        value = (x - x @ E.T @ D.T).square().sum(-1).mean()
        value.backward()
        return value

    by.step(loss)
    assert loss().item() == pytest.approx(reference("2.3", 1)[0], rel=1e-6)
    axes = PCA(n_components=2).fit(x.numpy()).components_.T
    angles = linalg.subspace_angles(D.detach().numpy(), axes)
    assert angles.max() < 1e-3
    assert not torch.allclose(D.T @ D, torch.eye(2, dtype=D.dtype), atol=0.1)  # (2.6): any basis


def test_the_projection_by_scipys_basis():
    v = arrays("2.4")
    for k in range(50):
        basis = linalg.orth(v["W"][k])
        back = basis @ basis.T @ v["x"][k]
        assert reference("2.4")[k] == approx(((v["x"][k] - back) ** 2).sum())


def test_the_best_decoder_by_scikit_learns_regression():
    v = arrays("2.5")
    for k in range(20):
        codes = v["x"][k] @ v["E"][k].T
        fitted = LinearRegression(fit_intercept=False).fit(codes, v["x"][k])
        assert reference("2.5")[k] == approx(fitted.coef_, rel=1e-7)
        s = v["x"][k].T @ v["x"][k] / len(v["x"][k])
        E = v["E"][k]
        assert s @ E.T @ np.linalg.inv(E @ s @ E.T) == approx(fitted.coef_, rel=1e-7)


def test_the_mixed_codes_by_numpy():
    v = arrays("2.6")
    for k in range(50):
        x, E, D, A = (v[name][k] for name in ("x", "E", "D", "A"))
        assert reference("2.6")[k] == approx(((x - D @ E @ x) ** 2).sum(), rel=1e-7)
        code = np.linalg.inv(A) @ E @ x
        assert reference("2.6")[k] == approx(((x - D @ A @ code) ** 2).sum(), rel=1e-6)


def test_the_encoders_gradient_by_differences():
    v, step = arrays("2.x2", 3), 1e-6

    def loss(x, E, D):
        return ((x - x @ E.T @ D.T) ** 2).sum(1).mean()

    for k in range(3):
        x, E, D = (v[name][k] for name in ("x", "E", "D"))
        for j, i in itertools.product(range(2), range(3)):
            moved = np.zeros_like(E)
            moved[j, i] = step
            slope = (loss(x, E + moved, D) - loss(x, E - moved, D)) / (2 * step)
            assert reference("2.x2", 3)[k, j, i] == pytest.approx(slope, rel=1e-5, abs=1e-7)


# -- sparse codes ----------------------------------------------------------------------------------


def test_the_sparse_loss_by_scipys_laplace_law():
    """−2σ² log of the joint law, up to a constant, with σ² = ½ and Laplace's scale 1/λ."""
    v = arrays("2.7")
    for k in range(50):
        joint = stats.norm(v["x_hat"][k], math.sqrt(0.5)).logpdf(v["x"][k]).sum()
        joint += stats.laplace(scale=1 / v["lam"][k]).logpdf(v["z"][k]).sum()
        constant = 4 * stats.norm(0, math.sqrt(0.5)).logpdf(0)
        constant += 3 * stats.laplace(scale=1 / v["lam"][k]).logpdf(0)
        assert reference("2.7")[k] == approx(constant - joint)


def test_the_soft_threshold_by_torch_scikit_learn_and_search():
    v = arrays("2.8")
    for k in range(50):
        z, lam = v["z"][k], v["lam"][k]
        theirs = torch.nn.functional.softshrink(torch.tensor(z), float(lam)).item()
        lasso = sparse_encode(
            np.array([[z]]), np.array([[1.0]]), algorithm="lasso_cd", alpha=float(lam)
        )
        found = optimize.minimize_scalar(
            lambda a, z=z, lam=lam: (a - z) ** 2 / 2 + lam * abs(a), bounds=(-4, 4),
            method="bounded", options={"xatol": 1e-12},
        )  # fmt: skip
        assert reference("2.8")[k] == approx(theirs)
        assert reference("2.8")[k] == pytest.approx(lasso[0, 0], abs=1e-6)
        assert reference("2.8")[k] == pytest.approx(found.x, abs=1e-5)


def test_the_hard_threshold_by_trying_a_grid():
    v, grid = arrays("2.x3"), np.append(np.linspace(-4, 4, 80_001), 0.0)
    for k in range(20):
        cost = (grid - v["z"][k]) ** 2 / 2 + v["lam"][k] * (grid != 0)
        assert reference("2.x3")[k] == pytest.approx(grid[cost.argmin()], abs=1e-4)


# -- denoising -------------------------------------------------------------------------------------


def test_the_denoising_loss_by_numpy():
    v = arrays("2.9")
    for k in range(20):
        noisy = v["x"][k] + v["sigma"][k] * v["eps"][k]
        out = (v["D"][k] @ (v["E"][k] @ noisy.T)).T
        errors = np.linalg.norm(v["x"][k] - out, axis=1) ** 2
        assert reference("2.9")[k] == approx(errors.mean())


def test_the_best_answer_by_search():
    v = arrays("2.10")
    for k in range(20):
        weights = v["p"][k] * stats.norm(v["x"][k], v["sigma"][k]).pdf(v["y"][k])
        weights = weights / weights.sum()
        best = optimize.minimize_scalar(
            lambda a, w=weights, x=v["x"][k]: w @ (x - a) ** 2, bounds=(-3, 3), method="bounded",
            options={"xatol": 1e-10},
        )  # fmt: skip
        assert reference("2.10")[k] == pytest.approx(best.x, abs=1e-6)


def bell(x, mu, sigma):
    """The normal density; scipy.stats is too slow for quadrature."""
    return np.exp(-(((x - mu) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))


def posterior_mean(density, y, sigma):
    """∫ x p(x) p(y|x) dx / ∫ p(x) p(y|x) dx, by quadrature."""
    areas = [
        integrate.quad(
            lambda x, k=k: x**k * density(x) * bell(y, x, sigma), -12, 12,
            epsabs=1e-12, limit=200, points=[-3, 0, 3],
        )[0]
        for k in (1, 0)
    ]  # fmt: skip
    return areas[0] / areas[1]


def test_shrinkage_by_quadrature():
    v = arrays("2.11")
    for k in range(8):
        mu, tau = v["mu"][k], v["tau"][k]
        want = posterior_mean(lambda x, mu=mu, tau=tau: bell(x, mu, tau), v["y"][k], v["sigma"][k])
        assert reference("2.11")[k] == pytest.approx(want, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("k", range(5))
def test_tweedie_by_quadrature_and_differences(k):
    v, step = {n: a[k] for n, a in arrays("2.12").items()}, 1e-5

    def density(x):
        return v["p"] @ bell(x, v["mu"], v["tau"])

    def log_noisy(y):
        return np.log(v["p"] @ stats.norm(v["mu"], np.hypot(v["tau"], v["sigma"])).pdf(y))

    score = (log_noisy(v["y"] + step) - log_noisy(v["y"] - step)) / (2 * step)
    assert v["score"] == pytest.approx(score, rel=1e-6, abs=1e-7)
    want = posterior_mean(density, v["y"], v["sigma"])
    assert reference("2.12")[k] == pytest.approx(want, rel=1e-6, abs=1e-7)
    assert v["y"] + v["sigma"] ** 2 * score == pytest.approx(want, rel=1e-6, abs=1e-6)


def test_the_least_error_holds_for_mixtures_too_by_quadrature():
    """(2.13) is checked on Gaussian pixels; that it is no accident of theirs is checked here."""
    p, mu, tau, sigma = np.array([0.3, 0.7]), np.array([-1.0, 1.5]), np.array([0.3, 0.6]), 0.8
    wide = np.hypot(tau, sigma)

    def noisy(y):
        return p * bell(y, mu, wide)

    def score(y):
        parts = noisy(y)
        return (parts * (mu - y) / wide**2).sum() / parts.sum()

    def squared_error(y):
        parts = noisy(y)
        means = (mu / tau**2 + y / sigma**2) / (1 / tau**2 + 1 / sigma**2)
        spread = 1 / (1 / tau**2 + 1 / sigma**2)
        mean = (parts * means).sum() / parts.sum()
        return (parts * (spread + means**2)).sum() - parts.sum() * mean**2

    information = integrate.quad(lambda y: noisy(y).sum() * score(y) ** 2, -9, 9, limit=200)[0]
    error = integrate.quad(squared_error, -9, 9, limit=200)[0]
    formula = sympy.lambdify(
        sympy.symbols("sigma d J"), sympy.sympify("sigma**2*d - sigma**4*J"), "math"
    )
    assert formula(sigma, 1, information) == pytest.approx(error, rel=1e-7)
    assert judge(find("2.13"), sympy.sympify("sigma**2*d - sigma**4*J")).ok


def test_the_least_error_by_drawing():
    v, draw = arrays("2.13"), np.random.default_rng(0)
    for k in range(3):
        tau, sigma = v["tau"][k], v["sigma"][k]
        x = tau * draw.standard_normal((100_000, 3))
        y = x + sigma * draw.standard_normal(x.shape)
        errors = ((x - tau**2 / (tau**2 + sigma**2) * y) ** 2).sum(1)
        assert abs(errors.mean() - reference("2.13")[k]) < 4.5 * errors.std() / len(errors) ** 0.5
        slopes = ((-y / (tau**2 + sigma**2)) ** 2).sum(1)
        assert abs(slopes.mean() - v["J"][k]) < 4.5 * slopes.std() / len(slopes) ** 0.5


@pytest.mark.parametrize(("k", "d"), [(2, 5), (8, 64), (1, 3)])
def test_the_share_of_noise_by_drawing(k, d):
    draw = np.random.default_rng(1)
    basis = linalg.orth(draw.standard_normal((d, k)))
    noise = draw.standard_normal((20_000, d))
    shares = ((noise @ basis) ** 2).sum(1) / d
    given = {"k": torch.tensor([k]).double(), "d": torch.tensor([d]).double()}
    want = float(find("2.14").reference(**given)) if d <= 7 else k / d
    assert abs(shares.mean() - want) < 4.5 * shares.std() / len(shares) ** 0.5


def test_targets_with_noise_by_numpys_least_squares():
    v, draw = arrays("2.15"), np.random.default_rng(2)
    for k in range(5):
        tau, sigma, rho = v["tau"][k], v["sigma"][k], v["rho"][k]
        x, eps, other = draw.standard_normal((3, 200_000))
        y = tau * x + sigma * eps
        target = tau * x + sigma * (rho * eps + math.sqrt(1 - rho**2) * other)
        slope = float(np.linalg.lstsq(y[:, None], target, rcond=None)[0][0])
        rest = target - slope * y
        se = rest.std() / y.std() / len(y) ** 0.5
        assert abs(slope - reference("2.15")[k]) < 4.5 * se
    same, fresh = (
        find("2.15").reference(
            tau=torch.tensor([2.0]), sigma=torch.tensor([1.0]), rho=torch.tensor([r])
        )
        for r in (1.0, 0.0)
    )
    assert float(same) == pytest.approx(1) and float(fresh) == pytest.approx(0.8)


# -- decibels and bits -----------------------------------------------------------------------------


def test_decibels_by_scikit_image():
    v = arrays("2.16")
    for k in range(50):
        want = peak_signal_noise_ratio(v["x"][k], v["x_hat"][k], data_range=1)
        assert reference("2.16")[k] == approx(want)
    sigma = 0.1
    noise = sigma * np.random.default_rng(0).standard_normal(1_000_000)
    want = peak_signal_noise_ratio(np.zeros_like(noise), noise, data_range=1)
    given = torch.tensor([sigma], dtype=torch.float64)
    assert float(find("2.x4").reference(sigma=given)) == pytest.approx(want, abs=0.05)


def test_rounding_by_numpy():
    x = np.linspace(0, 1, 1_000_001)
    for step in (0.5, 0.25, 0.125):
        rounded = (np.floor(x / step) + 0.5) * step
        want = ((x - rounded) ** 2)[:-1].mean()
        given = torch.tensor([step], dtype=torch.float64)
        assert float(find("2.17").reference(Delta=given)) == pytest.approx(want, rel=1e-4)
        bits = -math.log2(step)
        decibels = -10 * math.log10(want)
        asked = torch.tensor([decibels], dtype=torch.float64)
        assert float(find("2.x5").reference(Q=asked)) == pytest.approx(bits, abs=1e-3)


def test_the_entropy_by_scipy_and_by_huffmans_code():
    v = arrays("2.18")
    for k in range(50):
        p = v["p"][k]
        entropy = stats.entropy(p, base=2)
        assert reference("2.18")[k] == approx(entropy)
        assert (2.0 ** -v["ell"][k]).sum() == approx(1)
        length = huffman(p)
        assert entropy <= length + 1e-12 and length < entropy + 1


def huffman(p) -> float:
    """The mean length of the best code with whole lengths."""
    heap, length = sorted(p), 0.0
    while len(heap) > 1:
        both = heap[0] + heap[1]
        length += both
        heap = sorted([*heap[2:], both])
    return length


def test_the_distortion_by_the_information_of_the_gaussian_channel():
    """x̂ ~ N(0, τ² − D), x = x̂ + N(0, D): its mutual information, from entropies, is R."""
    v = arrays("2.19")
    for k in range(20):
        tau, distortion = v["tau"][k], reference("2.19")[k]
        nats = stats.norm(0, tau).entropy() - stats.norm(0, math.sqrt(distortion)).entropy()
        assert nats / math.log(2) == pytest.approx(v["R"][k], abs=1e-7)


def test_one_bit_of_a_gaussian_by_the_best_two_levels_is_worse():
    """A quantiser with two levels has (1 − 2/π)τ²: the bound, ¼τ², is below it."""
    best = optimize.minimize_scalar(
        lambda a: integrate.quad(lambda x: (abs(x) - a) ** 2 * stats.norm.pdf(x), -9, 9)[0],
        bounds=(0.1, 2), method="bounded",
    )  # fmt: skip
    assert best.fun == pytest.approx(1 - 2 / math.pi, abs=1e-6)
    one = torch.tensor([1.0], dtype=torch.float64)
    bound = float(find("2.19").reference(tau=one, R=one))
    assert bound == pytest.approx(0.25) and bound < best.fun


# -- codes -----------------------------------------------------------------------------------------


def test_how_far_the_codes_are_by_scipys_densities():
    v, draw = arrays("2.20"), np.random.default_rng(3)
    for k in range(4):
        codes, noise = (
            stats.multivariate_normal(m, s) for m, s in ((v["m"][k], v["S"][k]), (np.zeros(3), 1))
        )
        z = draw.multivariate_normal(v["m"][k], v["S"][k], 100_000)
        gaps = codes.logpdf(z) - noise.logpdf(z)
        assert abs(gaps.mean() - reference("2.20")[k]) < 4.5 * gaps.std() / len(gaps) ** 0.5
        values = linalg.eigvalsh(v["S"][k])  # in the covariance's own axes it is a sum of (3.7)
        parts = (values - 1 - np.log(values)).sum() + v["m"][k] @ v["m"][k]
        assert reference("2.20")[k] == approx(parts / 2)


def test_the_ideal_denoiser_by_scipys_weights():
    v = arrays("2.x6")
    for k in range(20):
        law = stats.multivariate_normal(np.zeros(4), v["sigma"][k] ** 2)
        weights = special.softmax(law.logpdf(v["y"][k] - v["x"][k]))
        assert reference("2.x6")[k] == approx(weights @ v["x"][k])


# -- what the chapter promises ---------------------------------------------------------------------


def test_the_articles_formulas_are_answered_and_candidates_of_every_kind_tried():
    equations = of_chapter(2)
    assert {"D3", "D8", "S12"} <= {source for e in equations for source in e.sources}
    assert RIGHT.keys() == WRONG.keys() == {e.id for e in equations}
    tried = [c for table in (RIGHT, WRONG) for candidates in table.values() for c in candidates]
    assert len(tried) >= 150
    assert sum(isinstance(c, str) for c in tried) > 50
    assert sum(isinstance(c, sympy.Basic) for c in tried) > 5
