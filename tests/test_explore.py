"""explore: every explorer works without a front end, and the last value always wins."""

import base64
import io
import math
import threading
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from nbclient import NotebookClient
from PIL import Image
from scipy import stats

from genart_lessons import explore, show
from genart_lessons.explore import base


def flat(k):
    return Image.new("RGB", (40, 30), (int(k), 0, 0)), f"k is {k:g}"


def number(low=0, high=255):
    return {"k": explore.slider("k", low, low, high, 1)}


# --- the base ------------------------------------------------------------------------------------


def test_moving_a_control_redraws_the_picture():
    box = explore.Explorer(number(), flat, title="Red")
    before = box.still
    box.controls["k"].value = 200
    assert box.values == {"k": 200} and box.caption == "k is 200" and box.redraws == 2
    assert box.still != before
    image = Image.open(io.BytesIO(box.still))
    assert image.getpixel((20, 60)) == (200, 0, 0)  # whole pixels, below the title


@pytest.mark.parametrize(
    "made",
    [
        lambda k: show.curves({"y": [0, k]}, title="t", xlabel="x", ylabel="y", alt="told"),
        lambda k: Image.new("L", (9, 9), int(k)),
        lambda k: Figure(figsize=(1, 1)),
        lambda k: (Figure(figsize=(1, 1)), "with a line"),
    ],
    ids=["Picture", "Pillow", "Figure", "with caption"],
)
def test_draw_may_return_any_kind_of_picture(made):
    box = explore.Explorer(number(), made, title="Title")
    data, metadata = box._bundle()
    size = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).size
    assert size == (metadata["image/png"]["width"], metadata["image/png"]["height"])
    assert metadata["image/png"]["alt"] in ("told", "Title")
    assert data["text/plain"] == f"[picture] {metadata['image/png']['alt']}"


def test_several_moves_are_one_redraw_and_reset_goes_back():
    controls = {name: explore.slider(name, 0, 0, 9) for name in "ab"}
    box = explore.Explorer(controls, lambda a, b: flat(a + b), title="t")
    box.set(a=3, b=4)
    assert box.redraws == 2 and box.caption == "k is 7"
    *_, reset = box.panel.children
    reset.click()
    assert box.values == {"a": 0, "b": 0} and box.redraws == 3 and box.caption == "k is 0"
    with pytest.raises(ValueError, match=r"No control \['c'\]; there are a, b"):
        box.set(c=1)


def test_a_first_mistake_is_a_traceback_and_a_later_one_a_sentence():
    def draw(k):
        if k > 5:
            raise ValueError("k must stay\nbelow 6")
        return flat(k)

    with pytest.raises(ValueError, match="below 6"):
        explore.Explorer({"k": explore.slider("k", 7, 0, 9)}, draw, title="t")
    box = explore.Explorer(number(0, 9), draw, title="t")
    good = box.still
    box.set(k=8)
    assert box.error == "No picture for k = 8: ValueError: k must stay below 6"
    assert box.caption == box.error and box.still != good
    assert box._bundle()[1]["image/png"]["alt"] == box.error
    box.set(k=0)
    assert box.error is None and box.still == good


def test_a_draw_that_returns_nonsense_is_told():
    with pytest.raises(TypeError, match="alone or with a line of text; this one returned int"):
        explore.Explorer(number(), lambda k: 7, title="t")


def test_what_an_explorer_demands():
    with pytest.raises(ValueError, match="title is empty"):
        explore.Explorer(number(), flat, title=" ")
    with pytest.raises(ValueError, match="at least one control"):
        explore.Explorer({}, flat, title="t")
    with pytest.raises(ValueError, match="'k' starts at 9, outside 0 to 5"):
        explore.slider("k", 9, 0, 5)


def test_stale_values_are_never_drawn():
    """While one slow drawing runs, fifty moves arrive from another thread: one more drawing."""
    drawn, began, go_on = [], threading.Event(), threading.Event()

    def draw(k):
        drawn.append(k)
        if k == 1:
            began.set()
            assert go_on.wait(10)
        return flat(k)

    box = explore.Explorer(number(), draw, title="t")
    slow = threading.Thread(target=lambda: box.set(k=1))
    slow.start()
    assert began.wait(10)
    for k in range(2, 52):
        box.controls["k"].value = k  # returns at once: the other thread draws
    go_on.set()
    slow.join(10)
    assert drawn == [0, 1, 51] and box.caption == "k is 51"


def test_many_threads_end_with_the_last_value():
    box = explore.Explorer(number(), lambda k: (time.sleep(0.001), flat(k))[1], title="t")
    threads = [threading.Thread(target=box.set, kwargs={"k": k}) for k in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    box.set(k=100)
    assert box.caption == "k is 100" and not box._stale and not box._lock.locked()


def test_a_seed_has_a_field_and_a_button():
    box = explore.Explorer(number(), lambda k, seed: flat(k + seed), title="t", seed=5)
    field, another, reset = box.panel.children[-1].children
    assert box.values == {"k": 0, "seed": 5} and field.value == 5
    another.click()
    assert box.values["seed"] == 6 and box.caption == "k is 6"
    reset.click()
    assert box.values["seed"] == 5


def test_what_jupyter_is_sent(monkeypatch):
    """Three outputs: controls with a sentence for readers without a kernel, picture, text."""
    sent, updates = [], []
    monkeypatch.setattr(base, "display", lambda data, **how: sent.append((data, how)))
    monkeypatch.setattr(base, "update_display", lambda data, **how: updates.append((data, how)))
    box = explore.Explorer(number(), flat, title="Red")
    box.set(k=1)
    assert not updates  # nothing is shown yet, so nothing is updated
    box._ipython_display_()
    (panel, _), (picture, at), (line, below) = sent
    assert panel["text/plain"] == "Run this cell to move: k."
    assert panel["application/vnd.jupyter.widget-view+json"]["model_id"] == box.panel.model_id
    assert at["metadata"]["image/png"]["alt"] == "Red" and line["text/markdown"] == "k is 1"
    box.set(k=2)
    (new, where), (text, there) = updates
    assert new["image/png"] != picture["image/png"] and text["text/plain"] == "k is 2"
    assert (where["display_id"], there["display_id"]) == (at["display_id"], below["display_id"])


def test_an_executed_notebook_keeps_the_still_picture():
    """And a picture that a later cell moves is updated in place, in the output of the first."""
    cells = [
        "from genart_lessons import explore\nbox = explore.two_gaussians(mu=0, sigma=1)\nbox",
        "first = box.still; box.set(mu=2)\nprint(box.still != first)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    here = {"metadata": {"path": str(Path(__file__).parents[1])}}
    NotebookClient(notebook, timeout=60, resources=here, store_widget_state=False).execute()
    _, picture, line = notebook.cells[0].outputs
    assert "KL(q‖p)" in line.data["text/markdown"] and "**2.000**" in line.data["text/markdown"]
    assert "mu = 2.00" in picture.metadata["image/png"]["alt"]
    assert notebook.cells[1].outputs[0].text == "True\n"


# --- two Gaussians -------------------------------------------------------------------------------


@pytest.mark.parametrize(("mu", "sigma"), [(0, 1), (1, 0.6), (-2.5, 2.0), (3, 0.2)])
def test_the_divergence_is_the_true_one_both_ways(mu, sigma):
    z = np.linspace(-40, 40, 400_001)
    log_q, log_p = stats.norm.logpdf(z, mu, sigma), stats.norm.logpdf(z)
    dz = z[1] - z[0]
    forward = (np.exp(log_q) * (log_q - log_p)).sum() * dz
    reverse = (np.exp(log_p) * (log_p - log_q)).sum() * dz
    box = explore.two_gaussians()
    box.set(mu=mu, sigma=sigma)
    told = box.caption.replace("**", "").replace("−", "-")
    assert f"= {abs(forward):.3f} nats" in told and told.endswith(f"= {abs(reverse):.3f}.")


def test_equal_gaussians_have_no_area():
    box = explore.two_gaussians(0, 1)
    low = box.picture.axes[1]
    assert max(abs(low.lines[0].get_ydata())) == 0 and "= 0.000 nats" in low.get_title("left")


# --- the bound -----------------------------------------------------------------------------------

S2 = 0.5  # x = z + noise of variance S2, seen at x = 1: everything is known in closed form
POSTERIOR = (1 / (1 + S2), math.sqrt(S2 / (1 + S2)))
EVIDENCE = stats.norm.logpdf(1.0, 0, math.sqrt(1 + S2))


def gaussian_world(z):
    prior, noise = torch.distributions.Normal(0, 1), torch.distributions.Normal(z, math.sqrt(S2))
    return prior.log_prob(z) + noise.log_prob(torch.tensor(1.0, dtype=z.dtype))


def test_the_bound_splits_as_in_the_closed_form():
    box = explore.bound(gaussian_world)
    for mu, sigma in ((0.0, 1.0), (-1.5, 0.4), (2.0, 1.7)):
        box.set(mu=mu, sigma=sigma)
        m, s = POSTERIOR
        kl = math.log(s / sigma) + (sigma**2 + (mu - m) ** 2) / (2 * s**2) - 0.5
        expected = f"log p(x) = **{EVIDENCE:.3f}** = ELBO {EVIDENCE - kl:.3f} + KL {kl:.3f} nats"
        assert box.caption.startswith(expected.replace("-", "−"))


def test_the_bound_is_tight_at_the_posterior_and_nowhere_else():
    box = explore.bound(gaussian_world)
    assert "+ KL 0.000" not in box.caption
    box.set(mu=POSTERIOR[0], sigma=POSTERIOR[1])
    assert "+ KL 0.000 nats" in box.caption


def test_an_unnormalised_world_has_its_own_evidence():
    box = explore.bound(lambda z: gaussian_world(z) + 3)
    assert f"**{EVIDENCE + 3:.3f}**" in box.caption


@pytest.mark.parametrize(
    ("log_joint", "says"),
    [
        (lambda z: gaussian_world(z - 6), "of the posterior lies in z_range"),
        (lambda z: z[:5], r"log_joint gave \(5,\)"),
        (lambda z: z * float("nan"), "NaN"),
        (lambda z: z[:, None], "needs 1 dimension"),
    ],
)
def test_worlds_that_cannot_be_drawn(log_joint, says):
    with pytest.raises(ValueError, match=says):
        explore.bound(log_joint)


# --- the latent explorer -------------------------------------------------------------------------

G = torch.Generator().manual_seed(0)
STD = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.25])
TURN = torch.linalg.qr(torch.randn(5, 5, generator=G))[0]
CODES = torch.randn(4000, 5, generator=G) * STD @ TURN + 1.0


class Decoder:
    """Remembers the codes that it was asked for; draws them as stripes."""

    def __call__(self, z):
        self.z = z.clone()
        assert not torch.is_grad_enabled()
        return torch.sigmoid(z)[:, None, :, None].expand(-1, 3, -1, 5)


def test_sliders_follow_the_principal_directions_in_standard_deviations():
    decoder = Decoder()
    box = explore.latent(decoder, codes=CODES, n_sliders=3)
    assert torch.allclose(decoder.z[0], CODES.mean(0), atol=1e-4)
    for i in range(3):
        box.set(s1=0, s2=0, s3=0)
        box.set(**{f"s{i + 1}": 2.0})
        move = decoder.z[0] - CODES.mean(0)
        assert torch.allclose(move.norm(), 2 * STD[i], rtol=0.05)
        assert (move / move.norm() @ TURN[i]).abs() > 0.99
    share = STD[0] ** 2 / (STD**2).sum()
    shown = float(box.controls["s1"].description.split("(")[1].rstrip("%)")) / 100
    assert abs(shown - share) < 0.03


def test_the_walk_along_a_slider_starts_from_where_we_are():
    decoder = Decoder()
    box = explore.latent(decoder, codes=CODES, n_sliders=2)
    box.set(s1=1.0, s2=-2.0)
    here, along_one, along_two = decoder.z[0], decoder.z[1:8], decoder.z[8:15]
    assert len(decoder.z) == 15
    assert torch.allclose(along_one[4], here) and torch.allclose(along_two[1], here)  # +1 and −2
    assert not torch.allclose(along_one[0], here)


def test_temperature_moves_only_what_has_no_slider_and_by_the_right_amount():
    decoder = Decoder()
    box = explore.latent(decoder, codes=CODES, n_sliders=2)
    still = decoder.z[0]
    box.set(temperature=1.0, seed=3)
    chance = decoder.z[0] - still
    assert chance.norm() > 0.1 and (TURN[:2] @ chance).abs().max() < 0.05
    drawn = []
    for seed in range(150):
        box.set(seed=seed)
        drawn.append(TURN[2:] @ (decoder.z[0] - still))
    assert torch.allclose(torch.stack(drawn).std(0), STD[2:], rtol=0.2)
    box.set(temperature=0.0)
    assert torch.allclose(decoder.z[0], still)


def test_the_same_seed_is_the_same_picture():
    one, two = (explore.latent(Decoder(), codes=CODES, seed=4) for _ in range(2))
    for box in (one, two):
        box.set(temperature=0.8)
    assert one.still == two.still
    two.set(seed=5)
    assert one.still != two.still


def test_given_directions_and_names():
    decoder = Decoder()
    box = explore.latent(decoder, directions=2 * torch.eye(5)[:1], names=["smile"], temperature=0.5)
    assert torch.allclose(decoder.z[0, 0], torch.zeros(()))  # no chance along the slider
    box.set(s1=1.5)
    assert torch.allclose(decoder.z[0, 0], torch.tensor(3.0))
    assert "smile: +1.50" in box.caption and "temperature 0.50" in box.caption


def test_no_dead_controls_when_every_direction_has_a_slider():
    box = explore.latent(Decoder(), codes=CODES, n_sliders=5)
    assert list(box.controls) == ["s1", "s2", "s3", "s4", "s5"]


def test_only_the_slider_that_moved_is_marked():
    box = explore.latent(Decoder(), codes=CODES, n_sliders=3)

    def bold():
        return [t.get_text() for t in box.picture.axes[0].texts if t.get_weight() == "bold"]

    assert bold() == ["Latent explorer"]
    box.set(s2=-1)
    assert [text.split(" (")[0] for text in bold()] == ["Latent explorer", "direction 2"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "needs codes="),
        ({"codes": CODES[0]}, "must be a matrix"),
        ({"codes": CODES * float("nan")}, "finite"),
        ({"codes": CODES[:1]}, "at least 2"),
        ({"codes": CODES, "directions": torch.eye(3)}, "different latent sizes"),
        ({"codes": CODES, "names": ["a"], "n_sliders": 2}, "1 names for 2 directions"),
        ({"codes": CODES, "names": ["a", ""], "n_sliders": 2}, "name 2 is empty"),
        ({"codes": CODES, "title": ""}, "title is empty"),
    ],
)
def test_wrong_latents_get_a_sentence(options, says):
    with pytest.raises(ValueError, match=says):
        explore.latent(Decoder(), **options)


@pytest.mark.parametrize(
    ("decode", "says"),
    [
        (lambda z: torch.zeros(3, 1, 4, 4), "gave 3 pictures for"),
        (lambda z: z, r"shape \(N, C, H, W\)"),
        (lambda z: z[:, None, :, None] * 100, r"pictures are in \[0, 1\]"),
    ],
)
def test_wrong_decoders_get_a_sentence(decode, says):
    with pytest.raises(ValueError, match=says):
        explore.latent(decode, codes=CODES)
