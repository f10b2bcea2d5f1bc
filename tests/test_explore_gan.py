"""The games' paths against closed forms, and the two explorers of chapter 04 moved by hand."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from genart_lessons import explore
from genart_lessons.explore.game import tell
from genart_lessons.explore.generator import code, slerp, truncated
from genart_lessons.models import games

# --- the games -----------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.02, 0.1, 0.5, 1.0])
def test_simultaneous_steps_of_the_bilinear_game_run_away_at_the_known_rate(eta):
    square = (games.steps("bilinear", "simultaneous", (1.0, -0.5), eta, n=60) ** 2).sum(1)
    assert np.allclose(square[1:] / square[:-1], 1 + eta**2, rtol=1e-12)


@pytest.mark.parametrize("eta", [0.02, 0.1, 0.5, 0.9])
def test_extragradient_steps_shrink_at_the_known_rate(eta):
    square = (games.steps("bilinear", "extragradient", (1.0, -0.5), eta, n=60) ** 2).sum(1)
    assert np.allclose(square[1:] / square[:-1], 1 - eta**2 + eta**4, rtol=1e-12)


@pytest.mark.parametrize("eta", [0.02, 0.1, 0.5, 1.0])
def test_alternating_steps_keep_their_ellipse_and_no_other(eta):
    theta, psi = games.steps("bilinear", "alternating", (1.0, -0.5), eta, n=300).T
    kept = theta**2 + psi**2 - eta * theta * psi
    assert np.allclose(kept, kept[0], rtol=1e-10)
    for wrong in (theta**2 + psi**2, theta**2 + psi**2 + eta * theta * psi):
        assert np.ptp(wrong) > 0.3 * eta * kept[0]


def test_the_generator_moves_first():
    path = games.steps("bilinear", "alternating", (1.0, 1.0), 0.5, n=1)
    assert np.allclose(path[1], (0.5, 1.25))  # θ ← 1 − ½·1, then ψ ← 1 + ½·θ


def test_the_average_is_the_mean_of_the_alternating_path_and_comes_to_rest():
    path = games.steps("bilinear", "alternating", n=400)
    mean = games.steps("bilinear", "averaged", n=400)
    assert np.allclose(mean[123], path[:124].mean(0))
    assert np.hypot(*mean[-1]) < 0.1 and np.hypot(*path[-1]) > 1


def value(game, theta, psi):
    if game == "bilinear":
        return theta * psi
    f = torch.nn.functional.logsigmoid  # −log(1 + e^−t)
    return f(theta * psi) + f(torch.zeros_like(theta))


@pytest.mark.parametrize("game", games.GAMES)
def test_the_field_is_the_gradient_of_the_value(game):
    theta, psi = torch.randn(2, 50, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    theta.requires_grad_(), psi.requires_grad_()
    objective = value(game, theta, psi)
    (down,) = torch.autograd.grad(objective.sum(), theta, retain_graph=True)
    (up,) = torch.autograd.grad((objective - 0.7 / 2 * psi**2).sum(), psi)
    ours = games.field(game, 0.7)(theta.detach().numpy(), psi.detach().numpy())
    assert np.allclose(ours[0], -down) and np.allclose(ours[1], up)


def test_the_dirac_gan_rests_with_r1_and_only_then():
    free, held = (np.hypot(*games.steps("dirac", "simultaneous", eta=0.2, gamma=gamma, n=400).T)
                  for gamma in (0.0, 0.3))  # fmt: skip
    assert free[-1] > 2 * free[0] and held[-1] < 1e-3
    # near the equilibrium the rate is that of the linearised step
    step = np.eye(2) + 0.2 * np.array([[0, -0.5], [0.5, -0.3]])
    rate = np.abs(np.linalg.eigvals(step)).max()
    assert abs((held[400] / held[200]) ** (1 / 200) - rate) < 2e-3
    alternating = np.hypot(*games.steps("dirac", "alternating", eta=0.2, n=400).T)
    assert 1 < alternating.min() and alternating.max() < 2


def test_a_game_of_your_own():
    path = games.steps(lambda theta, psi: (-theta, -psi), eta=0.5, start=(2, 4), n=3)
    assert np.allclose(path, np.outer(0.5 ** np.arange(4), (2, 4)))


def test_far_out_the_dirac_gan_does_not_overflow():
    with np.errstate(all="raise", under="ignore"):
        down, up = games.field("dirac")(np.array([40.0, -40.0]), np.array([40.0, 40.0]))
    assert np.allclose(down, (0, -40)) and np.allclose(up, (0, -40))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"game": "chess"}, "no game 'chess'; there are bilinear, dirac"),
        ({"rule": "random"}, "no rule 'random'; there are simultaneous"),
        ({"eta": 0.0}, "eta is a step size"),
        ({"eta": float("nan")}, "eta is a step size"),
        ({"gamma": -1.0}, "gamma is the weight"),
        ({"n": 0}, "whole number from 1"),
        ({"n": 2.5}, "whole number from 1"),
        ({"start": (1, 2, 3)}, "pair of finite numbers"),
        ({"start": (1, float("inf"))}, "pair of finite numbers"),
        ({"eta": 9.0, "n": 5000}, "of 5000 steps the path is beyond"),
    ],
)
def test_wrong_games_get_a_sentence(options, says):
    with pytest.raises(ValueError, match=says):
        games.steps(**{"game": "bilinear", **options})


@pytest.mark.parametrize("rate", [0.9, 1.0, 1.1])
def test_turning_reads_a_spiral_and_an_ellipse(rate):
    angle = np.linspace(0, 6 * np.pi, 400)
    circle = np.stack((np.cos(angle), np.sin(angle)), 1)
    growth = rate ** (angle / (2 * np.pi))[:, None]
    for path in (circle * growth, -circle[:, ::-1] * growth, circle * growth * [2, 1]):
        turns, factor = games.turning(path)
        assert abs(turns - 3) < 1e-6 and abs(factor - rate) < 0.01
    assert np.isnan(games.turning(circle[:40])[1])


# --- the game explorer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moves", "says"),
    [
        ({}, "spirals out"),
        ({"rule": "alternating"}, "circles"),
        ({"rule": "extragradient"}, "spirals in"),
        ({"rule": "averaged"}, "comes nearer"),
        ({"kind": "dirac"}, "spirals out"),
        ({"kind": "dirac", "rule": "alternating"}, "circles"),
        ({"kind": "dirac", "gamma": 0.3}, "spirals in"),
        ({"kind": "dirac", "gamma": 1.5}, "comes nearer without circling"),
        ({"rule": "alternating", "eta": 0.02, "n": 10}, "hardly moves"),
    ],
)
def test_the_line_says_what_the_path_does(moves, says):
    box = explore.game(n=300)
    before = box.still
    box.set(**moves)
    told = box.caption
    assert box.error is None and told.startswith("It **")
    assert says in told
    assert (box.still != before) == bool(moves)
    assert says in box.picture.alt


def test_the_factor_is_the_true_one():
    box = explore.game(eta=0.2, n=400)
    per_turn = 1.04 ** (np.pi / np.arctan(0.2))
    assert f"factor {per_turn:.3g} with every turn" in box.caption


def test_no_corner_of_the_sliders_fails():
    for kind in games.GAMES:
        for rule in games.RULES:
            for gamma in (0.0, 1.5):
                path = games.steps(kind, rule, (2, 2), 1.0, gamma, 500)
                assert np.isfinite(path).all() and tell(path)
    box = explore.game(start=(2, 2))
    box.set(eta=1.0, gamma=1.5, n=500)
    assert box.error is None and box.picture.bbox.width <= 900


def test_every_control_of_the_game_can_be_moved_by_a_step():
    box = explore.game()
    for name in ("eta", "gamma", "n"):
        before, control = box.still, box.controls[name]
        control.value += control.step  # what an arrow key does
        assert box.still != before and box.error is None, name
    assert [c.description for c in box.controls.values()][:2] == ["game", "rule of the steps"]
    assert box.controls["rule"].options == tuple((rule, rule) for rule in games.RULES)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "chess"}, "no game|starts at 'chess'"),
        ({"rule": "random"}, "no rule|starts at 'random'"),
        ({"eta": 3.0}, "starts at 3.0, outside"),
        ({"start": (0, 0)}, "not the equilibrium itself"),
        ({"start": (3, 0)}, "within −2 and 2"),
        ({"title": ""}, "title is empty"),
    ],
)
def test_wrong_game_explorers_get_a_sentence(options, says):
    with pytest.raises(ValueError, match=says):
        explore.game(**options)


# --- the generator's explorer --------------------------------------------------------------------


class Decoder:
    """Remembers what it was asked for; draws codes as stripes, the second class darker."""

    y = None

    def __call__(self, z, y=None):
        self.z, self.y = z.clone(), y
        assert not torch.is_grad_enabled()
        x = torch.sigmoid(z)[:, None, :, None].expand(-1, 3, -1, 6)
        return x if y is None else x / (1 + y)[:, None, None, None]


def test_the_codes_are_those_of_the_seeds():
    decoder = Decoder()
    explore.generator(decoder, 6, a=3, b=8, mix=1.0)
    z = decoder.z
    assert len(z) == 1 + 9 + 9
    assert torch.equal(code(3, 6), torch.randn(6, generator=torch.Generator().manual_seed(3)))
    assert torch.allclose(z[1], code(3, 6)) and torch.allclose(z[9], code(8, 6), atol=1e-5)
    assert torch.allclose(z[0], code(8, 6), atol=1e-5)
    assert torch.allclose(z[10], code(101, 6)) and torch.allclose(z[18], code(109, 6))


def test_the_walk_is_the_arc_of_equation_3_27():
    from genart_lessons.equations.vae import _slerp

    a, b, t = code(1, 16), code(2, 16), torch.linspace(0, 1, 9)
    expected = _slerp(a.expand(9, -1), b.expand(9, -1), t)
    assert torch.allclose(slerp(a, b, t), expected, atol=1e-5)
    assert torch.allclose(slerp(a, a, t), a.expand(9, -1))  # one seed twice: no walk, no NaN


@pytest.mark.parametrize("t", [0.1, 0.5, 2.0])
def test_truncated_codes_have_the_truncated_normal_distribution(t):
    from scipy import stats

    z = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    cut = truncated(z, t)
    assert cut.abs().max() <= t and torch.equal(cut.argsort(), z.argsort())
    assert stats.kstest(cut.numpy(), stats.truncnorm(-t, t).cdf).pvalue > 0.001
    for wrong in (z.clamp(-t, t), z * t):  # neither clipping nor scaling is the same
        assert stats.kstest(wrong.numpy(), stats.truncnorm(-t, t).cdf).pvalue < 1e-6
    assert torch.equal(truncated(z, 4.0), z)


def test_every_control_of_the_generator_moves_the_picture():
    box = explore.generator(Decoder(), 6, classes=["filled", "outlined"], mix=0.5,
                            directions=torch.eye(6)[:2], names=["warm", "round"],
                            truncation=1.0)  # fmt: skip
    for name in ("mix", "truncation", "s1", "s2", "a", "b", "y"):
        before, control = box.still, box.controls[name]
        control.value += getattr(control, "step", None) or 1  # what an arrow key does
        assert box.still != before and box.error is None, name
    for word in ("warm +0.25", "round +0.25", "outlined", "seed 2 to seed 3", "cut off at ±1.10"):
        assert word in box.caption
    assert box.caption in box.picture.alt


def test_the_class_is_given_to_decode_as_whole_numbers():
    decoder = Decoder()
    box = explore.generator(decoder, 4, classes=["filled", "outlined"])
    assert decoder.y.dtype == torch.long and decoder.y.tolist() == [0] * 19
    box.set(y=1)
    assert decoder.y.tolist() == [1] * 19 and "outlined" in box.caption
    plain = Decoder()
    explore.generator(plain, 4)
    assert plain.y is None


def test_a_direction_pushes_every_code():
    decoder = Decoder()
    box = explore.generator(decoder, 5, directions=2 * torch.eye(5)[:1])
    before = decoder.z
    box.set(s1=-1.5)
    assert torch.allclose(decoder.z - before, torch.tensor([-3.0, 0, 0, 0, 0]))
    assert "direction 1 −1.50" in box.caption


def test_buttons_bring_another_seed_and_reset_goes_back():
    box = explore.generator(Decoder(), 4, a=3, b=4)
    rows, start = box.panel.children, box.still
    rows[0].children[1].click()
    assert (box.values["a"], box.values["b"]) == (5, 4)
    rows[1].children[1].click()
    assert (box.values["a"], box.values["b"]) == (5, 6)
    rows[-1].click()
    assert (box.values["a"], box.values["b"]) == (3, 4) and box.still == start


@pytest.mark.parametrize("side", [8, 24, 32, 64, 300])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_every_size_fit_and_ink_turns_round(side, channels):
    def decode(z):
        return torch.ones(len(z), channels, side, side)

    for invert, colour in ((False, 255), (True, 0)):
        box = explore.generator(decode, 4, invert=invert)
        image = Image.open(io.BytesIO(box.still)).convert("RGB")
        assert image.width <= 900 and image.height < 400
        assert image.getpixel((12 + 112, 44 + 112)) == (colour,) * 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"latent": 1}, "length of a code"),
        ({"latent": 2.0}, "length of a code"),
        ({"directions": torch.eye(3)}, r"latent = 4; it is \(3, 3\)"),
        ({"directions": torch.eye(4) * float("nan")}, "finite"),
        ({"directions": torch.eye(4), "names": ["a"]}, "1 names for 4 directions"),
        ({"names": ["a"]}, "names without directions"),
        ({"classes": ["filled", ""]}, "class 2 is empty"),
        ({"a": -1}, "seed A is a whole number"),
        ({"b": 1.5}, "seed B is a whole number"),
        ({"mix": 2.0}, "starts at 2.0, outside"),
        ({"truncation": 0.0}, "outside"),
        ({"title": ""}, "title is empty"),
        ({"decode": lambda z: torch.zeros(3, 1, 4, 4)}, "gave 3 pictures for 19"),
        ({"decode": lambda z: z}, r"shape \(N, C, H, W\)"),
        ({"decode": lambda z: z[:, None, :, None] * 50}, r"pictures are in \[0, 1\]"),
    ],
)
def test_wrong_generators_get_a_sentence(options, says):
    with pytest.raises(ValueError, match=says):
        explore.generator(**{"decode": Decoder(), "latent": 4, **options})


def test_nothing_is_drawn_through_pyplot():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    explore.game(), explore.generator(Decoder(), 4)
    assert plt.get_fignums() == before
