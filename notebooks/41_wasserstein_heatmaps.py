# %% [markdown]
# # Training with the Wasserstein distance
#
# :::{admonition} At a glance
# **Question** A loss that knows how far the mass must travel: does a network learn better from it, and is it to be used alone or
# added to another loss?
#
# **Paper** {cite:t}`yan2021wasserstein`, sections 5 and 6, tables 2 and 10
#
# **You will be able to** make a distribution of a network's map without falling into the softmax trap; write the loss in ten lines; see
# in a gradient why it fights stray mass and why it learns slowly alone; say which decoder goes with which loss, and why
#
# **Before this** {doc}`40_optimal_transport`, {doc}`31_subpixel_training`
#
# **Reading** {reading-time}`-`
#
# **Run time** {run-time}`-`
# :::

# %% [markdown]
# ## Predict first
#
# One map, a blob of mass in the wrong place, is improved by gradient steps until it is at the target. It is free: every cell has a value of
# its own, and Adam moves them. On the right it follows the gradient of the {term}`Wasserstein distance`, on the left that of another loss.
#
# **Put the four losses in order, the first to arrive first: the squared difference behind a softmax, that of raw values, cross-entropy, and
# $W$. And half-way, where is each map: between start and target, or at both?**

# %%
from lddmmlib.widgets import LossRace

LossRace()

# %% tags=["reveal"]
print("cells off on the mean after    0     10     20     40 steps")
moving = {}
for name in ("l2", "raw", "cross_entropy", "w"):
    moving[name] = []
    for time in (0.0, 0.1, 0.2, 0.4):
        way = "gaussian" if name == "w" else "point"
        race = LossRace(rival="l2" if name == "w" else name, way=way, time=time)
        moving[name].append(race.distances()["w" if name == "w" else "rival"])
    print(f"{name:25s}", *(f"{far:6.1f}" for far in moving[name]))

# %% tags=["reveal"]
begun = {name: far[1] / far[0] for name, far in moving.items()}
assert min(begun["l2"], begun["cross_entropy"]) > 0.95 > 0.85 > begun["w"]
assert moving["cross_entropy"][3] < 1 > moving["raw"][3]
assert moving["w"][3] > 2

# %% [markdown]
# :::{dropdown} What happens
# Cross-entropy and the squared difference of raw values are there first; the two others come in much later. $W$ sets out at once and
# *travels*: half-way its mass lies between start and target. Under cross-entropy the mean does not move for ten steps, and then the mass is
# gone from one place and there in the other; between it is at both. **A map that is free to fade out and in does not need to know the
# way.** Whatever the Wasserstein distance is good for, it is not this. Keep that in mind when you read that it "accelerates training".
# :::

# %% [markdown]
# ## Set-up
#
# Networks are trained live in this chapter, so the pictures have to be cheap: *sketches*, the lines of faces whose shapes follow the
# statistics of 300-W, on 32 pixels, with noise and an ellipse that hides a part.

# %%
import math
import textwrap

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn.functional import interpolate

from lddmmlib import heatmaps, metrics, plots
from lddmmlib import optimal_transport as transport
from lddmmlib.data.crops import Crop
from lddmmlib.faces import schemes, statistics
from lddmmlib.methods import wasserstein
from lddmmlib.methods.heatmap_regression import cross_entropy, squared_error
from lddmmlib.notebook import check, recorded, start

generator = start(seed=0)
torch.set_num_threads(1)  # everything here is too small for more
SIDE, STRIDE, CELLS, SIGMA = 32, 4, (8, 8), 0.75
SCHEME = schemes.get("300w-68")


# %% tags=["hide-input"]
def grid(h, w):
    """The places (h w, 2) of cells or pixels, row by row."""
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1).float()


def segments():
    for name, ids in SCHEME.curves.items():
        ends = [*ids[1:], ids[0]] if name in SCHEME.closed else ids[1:]
        yield from zip(ids, ends, strict=False)


def lines(points):
    """Sketches (b, 1, 32, 32) of landmarks."""
    images, pixels = torch.zeros(len(points), SIDE * SIDE), grid(SIDE, SIDE)
    for i, j in segments():
        first, way = points[:, i, None], (points[:, j] - points[:, i])[:, None]
        along = ((pixels - first) * way).sum(-1) / way.square().sum(-1).clamp(
            min=1e-6
        )
        off = pixels - first - along.clamp(0, 1)[..., None] * way
        images = torch.maximum(images, torch.exp(-off.square().sum(-1) / 0.7))
    return images.view(-1, 1, SIDE, SIDE)


# %% tags=["hide-input"]
def sketches(count, seed, hidden=0.5):
    """Images, and landmarks (b, 68, 2), px; an ellipse hides a part of that share of them."""
    g = torch.Generator().manual_seed(seed)
    shapes = statistics.sample(statistics.real_300w(), count, g).float()
    chance = torch.rand(count, 6, generator=g)
    turn, size = 0.7 * (chance[:, 0] - 0.5), SIDE * (0.42 + 0.14 * chance[:, 1])
    c, s = size * turn.cos(), size * turn.sin()
    linear = torch.stack([c, -s, s, c], 1).view(-1, 2, 2)
    middle = SIDE / 2 + 6 * (chance[:, None, 2:4] - 0.5)
    points = (shapes - shapes.mean(1, keepdim=True)) @ linear.mT + middle
    centre = SIDE * torch.rand(count, 1, 2, generator=g)
    axes = SIDE * (0.08 + 0.12 * chance[:, None, 4:])
    under = ((grid(SIDE, SIDE) - centre) / axes).square().sum(-1) < 1
    under &= torch.rand(count, 1, generator=g) < hidden
    images = lines(points).masked_fill(under.view(-1, 1, SIDE, SIDE), 0)
    return images + 0.15 * torch.randn(images.shape, generator=g), points


# %% mystnb={"image": {"alt": "Five sketches of faces in light lines on a dark noisy ground, each of 32 pixels, turned and scaled a little. In each a dark ellipse has wiped out a part: an eye, half of the mouth, a piece of the jaw."}} tags=["hide-input"]
images, points = sketches(500, seed=1)
unseen, truth = sketches(150, seed=2, hidden=1.0)
figure, axes = plt.subplots(1, 5, figsize=(9, 2))
for ax, image in zip(axes, unseen, strict=False):
    ax.imshow(image[0], cmap="Greys_r")
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## From values to a distribution
#
# Earth can be moved only where there is earth: a map must have no value below zero, and the same sum as its target. A network's outputs $h$ are
# any numbers. The paper takes the softmax of them; a factor $\tau$ says how sharp it is:
#
# $$
# u(x) = \frac{e^{\tau h(x)}}{\sum_q e^{\tau h(q)}}.
# $$ (eq-distribution)


# %%
def distribution_by_hand(h, tau):
    weights = [[math.exp(tau * v) for v in row] for row in h.tolist()]
    total = sum(map(sum, weights))
    return torch.tensor([[w / total for w in row] for row in weights])


# %%
h = 2 * torch.randn(*CELLS, generator=generator)
u = wasserstein.probabilities(h, tau=1.5)
assert torch.allclose(distribution_by_hand(h, 1.5), u)
assert torch.allclose((1.5 * h).flatten().softmax(0).view(CELLS), u)

# %% [markdown]
# {doc}`40_optimal_transport` ended with a warning: of a map with values from 0 to 1, which is what the squared difference teaches, the softmax is
# a grey square. The best possible such map, by the size of the map: what is the largest weight that it can reach, and how far is the nearly
# uniform map from its own target?

# %% tags=["nbval-check-output"]
print("cells     largest weight at tau 1     20   W1 to its own landmark, tau 1")
for side in (8, 16, 64):
    spot = torch.tensor([[side / 3, side / 2]])
    perfect = heatmaps.encode(spot, (side, side), side / 42)
    weights = [wasserstein.peak_weight(perfect, tau=t).item() for t in (1.0, 20.0)]
    flat = wasserstein.probabilities(perfect, uniform=True)
    far = transport.w1_to_point(flat, spot).item()
    print(
        f"{side:2d} x {side:2d} {weights[0]:18.4f} {weights[1]:14.2f} {far:18.1f}"
    )

# %% [markdown]
# A *perfect* heatmap is as far from its landmark as no map at all. Nothing in the loss says so, it only stays large. So the library refuses such
# maps; it takes free values, which a network makes as large as it needs, or a map divided by its sum, or a larger $\tau$:

# %%
try:
    wasserstein.probabilities(heatmaps.encode(truth[0] / 4, CELLS, SIGMA))
except ValueError as refused:
    print(*textwrap.wrap(str(refused), 78), sep="\n")

# %% [markdown]
# ## The loss, in ten lines
#
# The target $v_k$ of landmark $k$ is its Gaussian of width σ, divided by its sum. The loss of a network is the mean, over the set $I$ of landmarks
# that are labelled and on the picture, of the entropic distance of chapter 40:
#
# $$
# L_W = \frac{1}{|I|} \sum_{k \in I} W_\varepsilon(u_k, v_k).
# $$ (eq-training-loss)
#
# Chapter 40 iterated on potentials, in the log domain. Here maps have 8 × 8 cells and ε is half a cell, so that no $e^{-C/\varepsilon}$ underflows, and
# the textbook's iteration will do, on all maps at once:

# %%
C = torch.cdist(grid(*CELLS), grid(*CELLS))


def prices(u, v, eps, n_iter=25):
    """The prices f and g of Sinkhorn's iteration, for maps (m, 64)."""
    K, b = torch.exp(-C / eps), torch.ones_like(v)
    for _ in range(n_iter):
        a = 1 / ((v * b) @ K)
        b = 1 / ((u * a) @ K)
    return eps * a.log(), eps * b.log()


def distances(h, v, eps=0.5, n_iter=25):
    u, v = h.flatten(-2).softmax(-1), v.flatten(-2)
    v = v / v.sum(-1, keepdim=True).clamp_min(1e-6)
    with torch.no_grad():  # the price is the gradient: nothing else is needed
        f, g = prices(u, v, eps, n_iter)
    return (f * u + g * v).sum(-1)


# %%
h = 2 * torch.randn(1, 3, *CELLS, generator=generator)
marks = torch.tensor([[[9.0, 11.0], [20.0, 6.0], [torch.nan, 0.0]]])
v = heatmaps.encode(marks, CELLS, SIGMA, stride=STRIDE)
ours = distances(h, v, n_iter=1000)[0, :2]
theirs = wasserstein.distance(h, v, eps=0.5, tol=1e-4, max_iter=5000)[0]
assert torch.allclose(ours, theirs[:2], atol=1e-3)
assert theirs[2] == 0  # the missing one


# %%
def loss_by_hand(h, v, seen, eps):
    values = []
    for k in range(len(h)):
        if seen[k]:
            u = h[k].flatten().softmax(0)
            w = v[k].flatten() / v[k].sum()
            f, g = transport.sinkhorn_by_iterating(u, w, C, eps, 500)
            values.append((f @ u + g @ w).item())
    return sum(values) / len(values)


# %%
class Fixed(nn.Module):
    def forward(self, images):
        return h  # whatever it is shown


seen = torch.tensor([[True, True, False]])
batch = Crop(
    image=torch.zeros(1, 3, SIDE, SIDE).byte(),
    landmarks=marks,
    visible=seen,
    inside=seen,
    affine=torch.eye(2, 3)[None],
)
loss = wasserstein.wasserstein_loss(Fixed(), batch, SIGMA, eps=0.5)
assert math.isclose(loss_by_hand(h[0], v[0], seen[0], 0.5), loss, rel_tol=0.02)
assert torch.allclose(loss, ours.mean(), rtol=0.02)

# %% [markdown]
# ## Its relatives
#
# If the target is the landmark itself, there is only one way to transport: $W_1 = \sum_x u(x)\,|x - y|$, a sum ({doc}`40_optimal_transport`). It
# costs nothing and needs no ε. Two losses look like it.
#
# The **coordinate loss** (soft-argmax) decodes first and measures then. By the triangle inequality it is the smaller one:
#
# $$
# \begin{gathered}
# \Bigl|\, \sum_x u(x)\,x - y \,\Bigr| \\
# \le\; \sum_x u(x)\,|x - y| .
# \end{gathered}
# $$ (eq-coordinate)
#
# Two equal blobs to the left and the right of the landmark cost *nothing* under it, for their mean is right.


# %%
def both_by_hand(u, y):
    mean, far = [0.0, 0.0], 0.0
    for i in range(u.shape[0]):
        for j in range(u.shape[1]):
            mean[0] += j * u[i, j].item()
            mean[1] += i * u[i, j].item()
            far += u[i, j].item() * math.dist((j, i), y)
    return math.dist(mean, y), far


def both(u, y):
    mean = u.flatten() @ grid(*u.shape)
    return (mean - y).norm(), u.flatten() @ (grid(*u.shape) - y).norm(dim=1)


# %%
pair = torch.zeros(*CELLS)
pair[4, 1] = pair[4, 7] = 0.5
y = torch.tensor([4.0, 4.0])
of_mean, transported = both(pair, y)
assert math.isclose(both_by_hand(pair, (4.0, 4.0))[1], transported)
assert torch.allclose(transport.w1_to_point(pair, y), transported)
assert torch.allclose((transport.get_bc(pair) - y).norm(), of_mean)
print(f"a pair: coordinate loss {of_mean:.0f}, W {transported:.0f} cells")
by_hand = torch.tensor(both_by_hand(u, (4.0, 4.0)))
assert torch.allclose(torch.stack(both(u, y)), by_hand)

# %% [markdown]
# The **Jensen-Shannon divergence** compares cell by cell, as the squared difference does, in another unit. With $m = \tfrac12 (u + v)$,
#
# $$
# \begin{aligned}
# \mathrm{JS}(u, v) = \tfrac12 & \sum_x u \log \frac{u}{m} \\
# {} + \tfrac12 & \sum_x v \log \frac{v}{m} \;\le\; \log 2 .
# \end{aligned}
# $$ (eq-js)
#
# Once two maps share no cell it is $\log 2$, wherever they are.


# %%
def js_by_hand(u, v):
    total = 0.0
    for a, b in zip(u.flatten().tolist(), v.flatten().tolist(), strict=True):
        m = (a + b) / 2
        total += sum(p * math.log(p / m) / 2 for p in (a, b) if p > 0)
    return total


def js(u, v):
    m = (u + v) / 2
    return (torch.xlogy(u, u / m) + torch.xlogy(v, v / m)).nansum() / 2


# %%
w = v[0, 0] / v[0, 0].sum()
assert math.isclose(js_by_hand(u, w), js(u, w), rel_tol=1e-4)
assert torch.allclose(wasserstein.jensen_shannon(u, w, by="sum"), js(u, w))
spots = torch.eye(64).view(64, *CELLS)
apart = wasserstein.jensen_shannon(spots[[1, 7]], spots[[0, 0]], by="sum")
assert torch.allclose(apart, torch.tensor(math.log(2)).expand(2))

# %% [markdown]
# Last, the **recipe**: cross-entropy, which was the quickest in the race, plus a share λ of the transport cost, which knows the way:
#
# $$
# \begin{aligned}
# L = {} & {-} \sum_x v(x) \log u(x) \\
# & {} + \lambda \sum_x u(x)\,|x - y| .
# \end{aligned}
# $$ (eq-recipe)


# %%
def recipe_by_hand(h, v, y, weight):
    total, u = v.sum().item(), h.flatten().softmax(0).view_as(h)
    value = 0.0
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            p = u[i, j].item()
            value -= v[i, j].item() / total * math.log(p)
            value += weight * p * math.dist((j, i), y)
    return value


def recipe(h, v, y, weight=0.1):
    """The loss of each of the maps (..., 8, 8)."""
    u = h.flatten(-2).softmax(-1).view_as(h)
    far = transport.w1_to_point(u, y).nan_to_num(0)
    return cross_entropy(h, v) + weight * far


# %%
y = heatmaps.to_cells(marks, STRIDE)
two = recipe(h, v, y)[0, :2]
by_hand = [recipe_by_hand(h[0, k], v[0, k], y[0, k].tolist(), 0.1) for k in (0, 1)]
assert torch.allclose(two, torch.tensor(by_hand))
library = wasserstein.recipe_loss(Fixed(), batch, SIGMA, weight=0.1)
assert torch.allclose(two.mean(), library)

# %% [markdown]
# ## Four networks, live
#
# A fine path and a coarse one, as in {doc}`31_subpixel_training` but smaller. All four start from the same weights and see the same sketches in the same
# order; only the loss differs. At half-way each leaves a copy of itself.


# %%
def layer(i, o, stride=1):
    conv = nn.Conv2d(i, o, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(o), nn.ReLU())


class Network(nn.Module):
    def __init__(self, c=12):
        super().__init__()
        self.fine = nn.Sequential(
            layer(1, c, 2), layer(c, 2 * c, 2), layer(2 * c, 2 * c)
        )
        down = layer(2 * c, 4 * c, 2), layer(4 * c, 4 * c, 2), layer(4 * c, 4 * c)
        self.coarse = nn.Sequential(*down)
        self.last = nn.Sequential(
            layer(6 * c, 4 * c), nn.Conv2d(4 * c, SCHEME.n, 1)
        )

    def forward(self, images):
        fine = self.fine(images)  # (b, 2c, 8, 8)
        coarse = interpolate(self.coarse(fine), fine.shape[-2:], mode="bilinear")
        return self.last(torch.cat([fine, coarse], 1))


# %%
LOSSES = {
    "L2": lambda h, v, y: squared_error(h, v),
    "W": lambda h, v, y: distances(h, v, eps=0.5).mean(),
    "cross-entropy": lambda h, v, y: cross_entropy(h, v).mean(),
    "recipe": lambda h, v, y: recipe(h, v, y).mean(),
}
targets = heatmaps.encode(points, CELLS, SIGMA, stride=STRIDE)
where = heatmaps.to_cells(points, STRIDE)


# %%
def learn(loss, steps=120, lr=0.01):
    """A trained network, the maps that it made half-way, and its losses."""
    torch.manual_seed(0)
    network, g, values = Network(), torch.Generator().manual_seed(0), []
    adam = torch.optim.Adam(network.parameters(), lr)
    for k in range(steps):
        if k == steps // 2:
            half = maps_of(network)
        adam.param_groups[0]["lr"] = lr * min(1, 2 - 2 * k / steps)
        i = torch.randint(len(images), (16,), generator=g)
        value = loss(network(images[i]), targets[i], where[i])
        adam.zero_grad()
        value.backward()
        adam.step()
        values.append(value.item())
    return network, half, values


@torch.no_grad()
def maps_of(network, of=unseen):
    maps = network.eval()(of)
    network.train()
    return maps


# %%
trained, half, curves = {}, {}, {}
for name, each in LOSSES.items():
    trained[name], half[name], curves[name] = learn(each)
    first, last = curves[name][0], curves[name][-1]
    print(f"{name:14s} loss {first:6.2f} at first, {last:5.2f} at last")
found = {name: maps_of(network) for name, network in trained.items()}

# %% [markdown]
# ## What a gradient looks like half-way through training
#
# Here is a map of the network that learns by $W$, half-way, for a landmark under an ellipse: the network hesitates. Beside it, what each loss
# would have changed. Red cells are to rise, blue ones to fall; the ring is the truth.


# %%
def gradients(h, v, y):
    """The gradient of each loss in the values h (m, 8, 8)."""
    losses = {
        "L2, softmax": lambda x: (
            (x.flatten(1).softmax(1) - v.flatten(1)).square().sum()
        ),
        "cross-entropy": lambda x: cross_entropy(x[None], v[None]).sum(),
        "Jensen-Shannon": lambda x: wasserstein.jensen_shannon(x, v).sum(),
        "W": lambda x: distances(x, v, n_iter=200).sum(),
        "W to the point": lambda x: transport.w1_to_point(
            x.flatten(1).softmax(1).view_as(x), y
        ).sum(),
    }
    out = {}
    for name, loss in losses.items():
        x = h.clone().requires_grad_()
        (out[name],) = torch.autograd.grad(loss(x), x)
    return out


# %% mystnb={"image": {"alt": "Six maps of 8 by 8 cells. The first is a predicted map whose mass lies to the left of the ring that marks the truth. The five others are gradients. For cross-entropy and Jensen-Shannon red cells lie around the ring and blue ones wherever the map has mass, as strong as the mass. For both versions of W only cells with mass are coloured: those nearer to the ring red, those farther away blue. For the squared difference behind a softmax nearly all of it is one blue cell."}} tags=["hide-input"]
v = heatmaps.encode(truth, CELLS, SIGMA, stride=STRIDE)
v = v / v.sum((-2, -1), keepdim=True).clamp_min(1e-6)
y = heatmaps.to_cells(truth, STRIDE)
u = wasserstein.probabilities(half["W"])
inside = ((y > 0) & (y < 7)).all(-1)
far = transport.w1_to_point(u, y).where(inside & (u.amax((-2, -1)) > 0.15), 0)
worst = divmod(far.argmax().item(), SCHEME.n)
changes = gradients(half["W"][worst][None], v[worst][None], y[worst][None])
figure, axes = plt.subplots(2, 3, figsize=(8, 5.6))
axes[0, 0].imshow(u[worst], cmap="Oranges", vmin=0)
axes[0, 0].set_title("the map")
for ax, (name, change) in zip(axes.flat[1:], changes.items(), strict=True):
    most = change.abs().max()
    ax.imshow(-change[0], cmap="RdBu_r", vmin=-most, vmax=most)
    ax.set_title(name)
for ax in axes.flat:
    ax.plot(*y[worst], "o", ms=16, mfc="none", mec=plots.PALETTE[2], mew=2)
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Two things can be seen. Where there is *wrong mass*, cross-entropy pushes by the mass alone, $W$ by mass times way, {eq}`eq-gradient`. Where mass is
# *wanted*, cross-entropy pulls at once; $W$ can only pull at mass that is already there. Both in numbers, over all landmarks of all held-out
# sketches: the push per mass, near the truth and far from it, and the pull on the true cell.

# %%
off = (grid(*CELLS).view(*CELLS, 2) - y[:, :, None, None]).norm(dim=-1)
near, away = (off > 2.5) & (off < 3.5) & (u > 1e-3), (off > 5) & (u > 1e-3)
pushes = {}
print("push per mass    2.5 to 3.5 cells off   over 5 cells off")
changes = gradients(half["W"].flatten(0, 1), v.flatten(0, 1), y.flatten(0, 1))
for name, change in changes.items():
    change = change.view_as(u)
    pushes[name] = [
        ((change * m).sum() / (u * m).sum()).item() for m in (near, away)
    ]
    print(f"{name:18s} {pushes[name][0]:16.2f} {pushes[name][1]:18.2f}")

# %%
assert all(0.8 < x < 1.1 for x in pushes["cross-entropy"])
assert all(pushes[w][1] > 1.3 * pushes[w][0] for w in ("W", "W to the point"))
own = torch.zeros_like(u, dtype=torch.bool).flatten(2)
own = own.scatter(2, off.flatten(2).argmin(2, keepdim=True), True).view_as(u)
print("pull on the true cell, where it has a weight of")
for low, high in ((0.0, 0.01), (0.01, 0.1), (0.1, 1.0)):
    some = own & (u >= low) & (u < high) & inside[..., None, None]
    pulls = {
        n: -changes[n].view_as(u)[some].mean().item()
        for n in ("cross-entropy", "W")
    }
    print(
        f"{low:4.2f} to {high:4.2f}:", *(f"{n} {p:.3f}" for n, p in pulls.items())
    )
    if high == 0.01:
        assert pulls["W"] < 0.2 * pulls["cross-entropy"]

# %% [markdown]
# That is the whole matter. **$W$ fights mass in the wrong place, the more the farther it is; it hardly creates mass in the right place.** Cross-entropy does
# the opposite. At the start of a training all maps are nearly flat, there is little mass anywhere near the truth, and $W$ has nothing to pull at: it learns
# slowly. It is the wrong loss to begin with and a good one to add.
#
# ## MAX against BC
#
# Which decoder reads which network? The paper's table 2 has $L_2$ at one σ and $W$ at another; here all have the same. Errors are shares of the
# distance between the outer eye corners; $\mathrm{FR}^L$ is the share of landmarks that are off by more than a threshold ({doc}`02_measuring_error`).


# %%
def errors(maps, method, by):
    blank = torch.zeros(1, 3, SIDE, SIDE)
    read = wasserstein.landmarks(maps, blank, method, by).nan_to_num(SIDE / 2)
    return metrics.errors(read.double(), truth.double(), "corners", SCHEME)


# %%
nme, early = {}, {}
print("trained by      read by     half-way   NME (%)   FR^L .1   .2   .3 (%)")
for name, maps in found.items():
    by = "sum" if name == "L2" else "softmax"
    for method in ("get_max", "get_bc"):
        e = errors(maps, method, by)
        nme[name, method] = 100 * e.mean().item()
        early[name, method] = 100 * errors(half[name], method, by).mean().item()
        row = f"{name:15s} {method:8s} {early[name, method]:9.1f} {nme[name, method]:9.1f}"
        rates = [100 * (e > t).double().mean().item() for t in (0.1, 0.2, 0.3)]
        print(row, "   ", *(f"{r:5.1f}" for r in rates))

# %%
assert nme["L2", "get_bc"] > 1.3 * nme["L2", "get_max"]
assert nme["W", "get_bc"] < nme["W", "get_max"]
for name in ("cross-entropy", "recipe"):
    assert abs(nme[name, "get_bc"] / nme[name, "get_max"] - 1) < 0.1
    assert early[name, "get_bc"] < 0.95 * early["W", "get_bc"]

# %% [markdown]
# The signs are the paper's. **The barycentre ruins the network that learned by $L_2$, and is the better reader of the one that learned by $W$.** The reasons are those
# of chapter 40: a faint glow everywhere costs $L_2$ nothing and draws the mean to the middle; $W$ charges just that, and is indifferent to which of two
# neighbouring cells is the larger. A network trained by cross-entropy can be read either way.
#
# But look down the columns, too. Half-way $W$ alone is behind cross-entropy, which the paper does not try, and it has made up most of that at the end. The recipe is as quick as
# cross-entropy and as good: **here the addition does no harm, and brings no gain that one start could show.** If it brings any, then in the last column, the landmarks that are lost
# altogether. For that one needs more faces than these 150 and more than one start: the recorded run.
#
# ## σ, the other knob
#
# The paper trains $L_2$ at $\sigma = 1$ and $W$ at $\sigma = 3$ cells of 64, and so changes two things at once. What does σ do by itself? Take *perfect* maps, so that
# what is left is the decoder's own error, at places all over a map of 64 cells, some of them near its edge:

# %% tags=["nbval-check-output"]
places = 64 * torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)) - 0.5
rim = torch.minimum(places, 63 - places).amin(1)
print("sigma   GET_MAX, anywhere   GET_BC: over 9 cells from the rim   under 3")
for sigma in (1.0, 1.5, 3.0):
    maps = heatmaps.encode(places, (64, 64), sigma)
    best = (transport.get_max(maps) - places).norm(dim=1)[rim > 1].mean()
    mean = (transport.get_bc(maps) - places).norm(dim=1)
    print(
        f"{sigma:4.1f} {best:15.2f} {mean[rim > 9].mean():24.2f} {mean[rim < 3].mean():23.2f}"
    )

# %% [markdown]
# The barycentre of a whole Gaussian is exact at every σ; of one that the map's edge cuts off it is drawn inwards, and at $\sigma = 3$ that begins nine cells from the
# edge. (Leave a margin around the face.) For training, σ is the reach of the losses that compare cell by cell: {eq}`eq-l2` says that the pull of $L_2$ is largest $\sqrt 2\,\sigma$ away.
# A wide target is the cheap way to a loss that sees further, and it is why a comparison at unequal σ says nothing about $W$.

# %% [markdown]
# ## On a face
#
# A drawn face, its lines as a sketch, and an ellipse on its left eye; four readers of the networks above. **Which landmarks will be worst, and for which of the four will there be
# harm far from the ellipse?**

# %%
from lddmmlib.faces import synthetic

face = synthetic.sample(3, "studio", size=256)
left, right = face.landmarks[list(SCHEME.corners)].float()
scale = 0.48 * SIDE / (right - left).norm()
centre = face.landmarks.float().mean(0)
own = (face.landmarks.float()[None] - centre) * scale + SIDE / 2
eye, axes = own[0, 36:42].mean(0), torch.tensor([4.5, 3.0])
cover = ((grid(SIDE, SIDE) - eye) / axes).square().sum(-1) < 1
sketch = lines(own).masked_fill(cover.view(1, 1, SIDE, SIDE), 0)
sketch = sketch + 0.15 * torch.randn(sketch.shape, generator=generator)
under = ((own[0] - eye) / axes).square().sum(-1) < 1

# %%
READERS = [
    ("L2", "get_max"),
    ("L2", "get_bc"),
    ("W", "get_bc"),
    ("recipe", "get_bc"),
]
read, blank = {}, torch.zeros(1, 3, SIDE, SIDE)
print("mean error (px of 32)   hidden   the others   worst of all")
for name, method in READERS:
    maps = maps_of(trained[name], sketch)
    by = "sum" if name == "L2" else "softmax"
    read[name, method] = wasserstein.landmarks(maps, blank, method, by)[0]
    off = (read[name, method] - own[0]).norm(dim=1)
    row = off[under].mean(), off[~under].mean(), off.max()
    print(f"{name:12s} {method:8s}", *(f"{x:10.2f}" for x in row))

# %% mystnb={"image": {"alt": "Four copies of a drawn face with a dark ellipse over one eye and the landmarks that four readers found. Read by the maximum, the L2 network's landmarks lie on the face, with some near the ellipse astray; read by the barycentre, all of them are drawn together towards the middle of the face. Those of the W network and of the recipe lie on the face, at the hidden eye a little off."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(10, 2.9))
for ax, (reader, found_points) in zip(axes, read.items(), strict=True):
    ax.imshow(face.image.permute(1, 2, 0))
    place = ((eye - SIDE / 2) / scale + centre).tolist()
    hidden = plt.matplotlib.patches.Ellipse(place, 9 / scale, 6 / scale)
    hidden.set(color="black", alpha=0.85)
    ax.add_patch(hidden)
    back = (found_points - SIDE / 2) / scale + centre
    ax.scatter(*back.T, s=9, color="#FF8C1A", ec="black", lw=0.4)
    ax.set(
        title=", ".join(reader),
        xticks=[],
        yticks=[],
        xlim=(30, 226),
        ylim=(230, 50),
    )
plt.show()

# %%
middle, far = own[0].mean(0), ~under
size = {r: (p[far] - middle).norm(dim=1).mean() for r, p in read.items()}
assert size["L2", "get_bc"] < 0.95 * size["recipe", "get_bc"]

# %% [markdown]
# The barycentre of the $L_2$ network draws *all* landmarks together, not those at the ellipse alone: the glow is on every map. What the ellipse does to the others is local.
#
# ## If it goes wrong
#
# | Symptom | Cause | Cure |
# |---|---|---|
# | `ValueError: tau: needed log(h w)` | a softmax of maps from 0 to 1: nearly uniform | free values, `by="sum"`, or a larger τ |
# | the loss stays at the mean distance of all cells | the same, where nobody checks | look at `peak_weight` |
# | the loss falls, but far more slowly than cross-entropy's | $W$ alone has nothing to pull at | the recipe |
# | maps narrower than their targets | ε rewards it ({doc}`40_optimal_transport`) | read the place, not the width |
# | the barycentre is drawn to the middle of the map | a glow, of a network trained by $L_2$ | `get_max`, or another loss |
# | the barycentre is drawn inwards near an edge | the Gaussian is cut off | a margin, a smaller σ |
# | NaN from a missing landmark | its target has no mass | `wasserstein.distance` gives it 0; average over `inside` |
#
# The second, on purpose. A network that ends in a sigmoid, as one does that was made for heatmaps from 0 to 1, and then the softmax, with nobody to refuse it:


# %%
def to_points(u, y):
    return transport.w1_to_point(u, y).nan_to_num(0).mean()


def squashed(h, v, y):
    return to_points(wasserstein.probabilities(h.sigmoid(), uniform=True), y)


def free(h, v, y):
    return to_points(wasserstein.probabilities(h), y)


falls = {each.__name__: learn(each, steps=40)[2] for each in (squashed, free)}
for name, values in falls.items():
    print(f"{name:8s} from {values[0]:.2f} to {values[-1]:.2f} cells in 40 steps")
assert falls["squashed"][-1] > 0.75 * falls["squashed"][0]
assert falls["free"][-1] < 0.75 * falls["squashed"][-1]

# %% [markdown]
# ## Choosing the parameters
#
# **ε.** In cells, and below σ. What a larger ε does to the gradient, on the half-way maps from above: how well it is aligned with that of a quarter of a
# cell (a cosine: one is the same direction), and what the loss says of a map that is perfect:

# %%
h, w = half["W"][:40].flatten(0, 1), v[:40].flatten(0, 1)
some = inside[:40].flatten()
h, w = h[some], w[some]
cosines = {}
print("eps    cosine    loss of a perfect map (cells)")
for eps in (0.25, 0.5, 1.0, 2.0, 4.0):
    x = h.clone().requires_grad_()
    (g,) = torch.autograd.grad(distances(x, w, eps, n_iter=200).sum(), x)
    first = g if eps == 0.25 else first
    like = torch.nn.functional.cosine_similarity(g.flatten(1), first.flatten(1))
    cosines[eps] = like.mean().item()
    same = distances(w.clamp_min(1e-12).log(), w, eps, n_iter=200).mean()
    print(f"{eps:4.2f} {cosines[eps]:8.2f} {same:14.2f}")

# %%
assert cosines[0.5] > 0.6 > cosines[1.0] + 0.2 > cosines[2.0]

# %% [markdown]
# The loss of a *perfect* map is mostly ε's, and so is the gradient of a good one: already at one cell, more than σ, its direction has hardly anything to do with that at a quarter. It
# makes the map narrower, which is what ε rewards, instead of moving it. So the error of a network that is trained at a large ε:

# %%
blurred, _, _ = learn(lambda h, v, y: distances(h, v, eps=2.0).mean())
at_two = errors(maps_of(blurred), "get_bc", "softmax").mean().item() * 100
print(f"NME, eps 2: {at_two:.1f} %; eps 0.5: {nme['W', 'get_bc']:.1f} %")
assert at_two > 1.05 * nme["W", "get_bc"]

# %% [markdown]
# The paper does not state its ε; it is the first thing that one would have to know in order to repeat its tables. A small one costs more steps.
#
# **λ of the recipe.** A tenth of a nat per cell. At the end of a training cross-entropy is a little over two nats, nearly all of it the entropy of the target, which cannot be lost; the mass is then about a cell
# from the landmark, as the target's is, and the transport cost a small part of the loss. At the start it is several cells off. What a larger λ does is a matter for the recorded run.
#
# **τ.** One, with free values. **The normalisation.** Softmax for a network that is trained by $W$ from the start; by the sum for one that exists already.
#
# **To the Gaussian or to the point?** The point: no ε, no iteration, no σ. What the Gaussian adds is a width, and cross-entropy gives that already.
#
# **The decoder.** `get_bc` for what was trained by $W$ or by the coordinate loss, `get_max` for what was trained by $L_2$.

# %% [markdown]
# ## Paper versus code
#
# :::{admonition} Paper versus code
# - **No code was released** for {cite:t}`yan2021wasserstein`.
# - **ε, the steps, the unit of the cost** are not stated. Ours are in cells.
# - **The softmax** of the network's output: nothing is said of a factor, nor of what keeps the values from lying between 0 and 1. Fine-tuning from a network for heatmaps, they
#   would.
# - **Two things at once.** Tables 8 and 9 compare $L_2$ at $\sigma = 1$, read by the maximum, with $W$ at $\sigma = 3$, read by the barycentre. Table 2 has two cells of a table of four
#   for each of two losses and no common σ.
# - **The rivals** of table 10 are Jensen-Shannon and soft-argmax, both behind a softmax; **cross-entropy**, the plainest of that kind, is missing.
# - **The rates.** The losses have different units (squares, nats, cells) and hence need different learning rates; whether they were tuned for each is not said.
# - **"GET_BC considers the entire heatmap and thus involves a global context".** A mean over the map is no context for the network; it is a decoder that needs maps without
#   glow.
# - **Missing landmarks.** Which were left out, and what a landmark outside the crop counts, is not said.
# :::

# %% [markdown]
# ## The recorded run
#
# What the chapter cannot do while you wait: hourglasses in larger crops of drawn faces, losses, σ and decoders one at a time, several starts, perturbed and foreign faces.
# %%
runs = recorded("wasserstein", "full", "notebook")
run = next(filter(None, runs.values()), {})

# %%
if run:
    print(
        "held-out drawn faces   NME (%): MAX     BC   FR^L .2 (%): MAX    BC   fell last (%)"
    )
    for name, measured in run["measured"].items():
        ways = [measured.get(f"held out 68, {way}") for way in ("max", "bc")]
        if all(ways):
            numbers = [w["NME"] for w in ways] + [w["FRL 20"] for w in ways]
            before, after = (
                sum(c["nme"][k] for c in run["curves"][name]) for k in (-2, -1)
            )  # over seeds
            print(
                f"{name:22s}",
                *(f"{x:12.2f}" for x in (*numbers, 100 - 100 * after / before)),
            )


# %%
def shown(claim, rows):
    told = [row["verdict"] for row in rows.values() if row["primary"]]
    counted = ", ".join(f"{told.count(v)} {v}" for v in dict.fromkeys(told))
    print(f"\n{claim}. Primary: {counted}")
    for what, row in rows.items():
        star = "*" if row["primary"] else " "
        span = f"{row['difference']:+8.3f}"
        if "low" in row:
            span += f"  {row['low']:+8.3f} to{row['high']:+8.3f}"
        print(f"{star} {row['verdict']:12s} {span}  {what}")


for claim in ("E1", "E2", "E5") if run else ():
    for kind, rows in run["verdicts"].get(claim, {}).items():
        shown(f"{claim}, {kind}", rows)

# %% [markdown]
# The last column is by how much the error fell in the last epoch: where it is large, the network was still learning, and what it loses by is partly its slowness.
#
# Where it says "not run yet", there is nothing to report, and the {doc}`../book/ledger` says so of claims E1, E2 and E5. The networks' names are their loss and σ in 64ths of the map; a verdict is
# read as in {doc}`31_subpixel_training`, and a star marks the comparisons that were named before. The paper's own numbers for the decoders, of a large network on real photographs, beside ours of
# a minute ago:

# %%
PAPER = {("L2", "get_max"): "3.34", ("L2", "get_bc"): "20.15"}
PAPER |= {("W", "get_max"): "4.00", ("W", "get_bc"): "3.46"}
print("NME (%)          paper, 300-W   here, sketches")
for (name, method), value in PAPER.items():
    print(f"{name:4s} {method:8s} {value:>12s} {nme[name, method]:15.1f}")

# %% [markdown]
# The *directions* of claim E1 can be seen in a minute on sketches. Its *sizes* cannot. The paper's $L_2$ network gets six times worse under the barycentre; one reason is that its maps have 64 × 64 cells, where a
# glow has more room: the third exercise.

# %% [markdown]
# ## Exercises
#
# Replace each `...`, run the self-check, then unfold a solution.
#
# :::{exercise} Check
# :label: ex-wasserstein-check
# A map has three quarters of its mass on the true cell and a quarter eight cells away. By hand: the transport cost to the point, the coordinate loss, and the push per mass,
# $\varphi(x) - \sum_y u(y) \varphi(y)$ of {eq}`eq-gradient`, on the far cell under that transport cost.
# :::

# %% tags=["stub"]
cost = ...
coordinate = ...
push = ...

# %% tags=["self-check"]
split = torch.zeros(12, 12)
split[5, 2], split[5, 10] = 0.75, 0.25
values = both(split, torch.tensor([2.0, 5.0]))
check(cost, values[1])
check(coordinate, values[0])
check(push, 8 - values[1])

# %% tags=["solution"]
cost = 0.25 * 8
coordinate = 0.25 * 8  # all stray mass on one side: the mean is off by as much
push = 8 - cost
assert math.isclose(cost, values[1])
assert math.isclose(coordinate, values[0])

# %% [markdown]
# :::{exercise} Extend
# :label: ex-wasserstein-extend
# How much of the transport cost does the coordinate loss not see? Write `unseen_by_mean(u, y)`: the difference of the two sides of {eq}`eq-coordinate` for maps (m, h, w) and
# places (m, 2), without a loop over maps.
# :::


# %% tags=["stub"]
def unseen_by_mean(u, y):
    return ...


# %% tags=["self-check"]
maps = torch.rand(30, 6, 9, generator=generator).double()
maps = maps / maps.sum((1, 2), keepdim=True)
spots = torch.tensor([8.0, 5.0]) * torch.rand(30, 2, generator=generator).double()
bcs = transport.get_bc(maps)
wanted = transport.w1_to_point(maps, spots) - (bcs - spots).norm(dim=1)
check(unseen_by_mean(maps, spots), wanted)


# %% tags=["solution"]
def unseen_by_mean(u, y):
    cells, u = grid(*u.shape[1:]).to(u), u.flatten(1)
    far = torch.cdist(y[:, None], cells[None])[:, 0]
    return (u * far).sum(1) - (u @ cells - y).norm(dim=1)


assert torch.allclose(unseen_by_mean(maps, spots), wanted)
assert (wanted >= 0).all()

# %% [markdown]
# :::{exercise} Explore
# :label: ex-wasserstein-explore
# Why is the paper's $L_2$ network so much worse under the barycentre than ours? Put a glow of a thousandth of the peak on every cell of a perfect map, $\sigma = 1.5$, whose landmark
# is a quarter of the map's side from the left and half of it from the top. Predict: from 16 to 32 cells a side, is the barycentre off by twice, four or eight times as many cells? Measure it
# for 16, 32 and 64 cells: `astray`, three numbers, in cells.
# :::

# %% tags=["stub"]
astray = ...  # [at 16, at 32, at 64]

# %% tags=["self-check"]
wanted = []
for side in (16, 32, 64):
    place = torch.tensor([[side / 4, side / 2]]).double()
    perfect = heatmaps.encode(place, (side, side), 1.5)
    wanted.append((transport.get_bc(perfect + 0.001) - place).norm().item())
check(astray, torch.tensor(wanted), 0.01)

# %% tags=["solution"]
astray = []
for side in (16, 32, 64):
    spot = torch.tensor([[side / 4, side / 2]]).double()
    glowing = heatmaps.encode(spot, (side, side), 1.5) + 0.001
    astray.append((transport.get_bc(glowing) - spot).norm().item())
print("cells off:", *(f"{cells:.2f}" for cells in astray))
assert 7 < astray[1] / astray[0] < 9

# %% [markdown]
# :::{dropdown} What happens
# Eight times. The glow's *mass* grows with the area, four times; and its *middle* is twice as many cells from the landmark. (From 32 to 64 it is a little less, for the glow is a part of the sum by which the
# map is divided.) As a share of the face that is still four times as much. So a glow that a map of 8 × 8 cells hardly notices ruins one of 64 × 64, and E1 is a claim about a map's size as much as about a loss.
# :::

# %% [markdown]
# ## Quiz
#
# **1.** In the race, cross-entropy arrived before $W$. Is $W$ the worse loss for a network?
#
# :::{dropdown} a. Yes: slower is slower
# **No**. The map of the race was free. A network's maps are tied to each other and to a picture; what its loss pays for stray mass decides what it does where it is unsure.
# :::
# :::{dropdown} b. The race cannot tell
# **Right**. It shows how each gradient moves a free map, not what a network does on a face that it has not seen.
# :::
# :::{dropdown} c. No: its loss is lower at the end
# **No**. The losses have different units; no value of one says anything about another.
# :::
#
# **2.** Why does $W$ alone learn slowly behind a softmax?
#
# :::{dropdown} a. Sinkhorn's gradient is not accurate enough
# **No**. The closed form to the point has no Sinkhorn in it and is as slow.
# :::
# :::{dropdown} b. Its gradient on a cell is proportional to the mass that is there
# **Right**. Where mass is wanted there is none yet. Cross-entropy pulls there by the missing mass.
# :::
# :::{dropdown} c. Its values are too large
# **No**. A factor on the loss changes nothing under Adam.
# :::
#
# **3.** A network was trained by $L_2$. May you read it by the barycentre?
#
# :::{dropdown} a. Yes, after dividing the map by its sum
# **No**. The glow is divided, too, and stays the same share of the mass.
# :::
# :::{dropdown} b. Yes, at a larger σ
# **No**. It helps a little; the glow has as much room as before.
# :::
# :::{dropdown} c. Not without taking the glow away
# **Right**. By a threshold, a window around the maximum, or another loss.
# :::
#
# **4.** A table compares $L_2$, $\sigma = 1$, maximum, with $W$, $\sigma = 3$, barycentre. The second has fewer failures. What has been shown?
#
# :::{dropdown} a. That W is the more robust loss
# **No**. Loss, width and decoder changed together; each alone may explain it.
# :::
# :::{dropdown} b. That the second combination has fewer failures than the first
# **Right**. Which of the three is responsible needs the whole factorial, eight rows.
# :::
# :::{dropdown} c. Nothing at all
# **No**. Who wants to use one of the two knows which to take.
# :::
#
# ## Take-aways
#
# - A free map does not need the distance: cross-entropy fades it out here and in there. $W$ moves it.
# - $W$ fights wrong mass in proportion to its way, and pulls only at mass that is there. So add it to a loss that creates mass.
# - No softmax of heatmaps from 0 to 1.
# - The decoder goes with the loss: barycentre for $W$, maximum for $L_2$, either for cross-entropy.
# - ε below σ, and say it. σ, loss and decoder one at a time.
#
# ## Equation, function, test
#
# | Equation | Function | Test |
# |---|---|---|
# | {eq}`eq-distribution` | `methods.wasserstein.probabilities` | `tests/methods/test_wasserstein.py::test_distributions_have_the_sum_1_and_a_gradient` |
# | {eq}`eq-training-loss` | `methods.wasserstein.distance`, `methods.wasserstein.wasserstein_loss` | `tests/methods/test_wasserstein.py::test_the_distance_is_that_of_a_linear_program`, `tests/methods/test_wasserstein.py::test_losses_by_hand` |
# | {eq}`eq-coordinate` | `optimal_transport.w1_to_point`, `methods.heatmap_regression.soft_argmax_loss` | `tests/test_optimal_transport.py::test_point_target` |
# | {eq}`eq-js` | `methods.wasserstein.jensen_shannon` | `tests/methods/test_wasserstein.py::test_jensen_shannon_is_scipys` |
# | {eq}`eq-recipe` | `methods.wasserstein.recipe_loss` | `tests/methods/test_wasserstein.py::test_losses_by_hand` |
