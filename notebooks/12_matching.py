# %% [markdown]
# # Matching
#
# :::{admonition} At a glance
# **Question** Two faces are given. Which flow carries one near the other at little cost, and what does it do to points
# that nobody told where to go?
#
# **Paper** {cite:t}`yang2021lddmmface`, equations 2 to 5 and 8, and the section on consistent alignment
#
# **You will be able to** write down the functional of inexact matching and minimise it; say what each of its parameters
# trades; make an ill-conditioned search quick; carry unmarked points from face to face, and judge whether that was worth
# it; take a mean and modes that never fold
#
# **Before this** {doc}`01_faces_and_schemes`, {doc}`10_kernels_and_currents`, {doc}`11_flows_and_shooting`
#
# **Reading** {reading-time}`-`
#
# **Run time** {run-time}`-`
# :::

# %% [markdown]
# ## Predict first
#
# Two people's left brows. Five points of the first are told where to go: onto the same five points of the second. The other
# points of the brow are told nothing.
#
# **Where do they end? Draw the second brow through its five points. Then say who comes nearest to the true one: straight
# lines between the five; the first brow, whose points move by what their two neighbours move, mixed; or the first brow,
# riding a flow?**

# %% tags=["hide-input"]
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from lddmmlib import plots
from lddmmlib.faces import geometry
from lddmmlib.notebook import start

start(seed=0)
torch.set_num_threads(1)  # few points: a second thread gains nothing
rng = np.random.default_rng(0)
GREY, BLUE, ORANGE = "#999999", *plots.PALETTE[:2]
five, fifty = torch.linspace(0, 1, 5), torch.linspace(0, 1, 50)


# %% tags=["hide-input"]
def someone():
    return replace(geometry.sample(rng, "studio"), scale=100.0, centre=[0, 0])


def brow(face, t):
    return geometry.curve(face, "left_brow", t)[:, :2]  # px, eye corners 100 apart


def pair():
    """Two brows about the same middle: five points of each, then fifty."""
    a, b = someone(), someone()
    shift = brow(a, five).mean(0) - brow(b, five).mean(0)
    few = brow(a, five), brow(b, five) + shift
    return *few, brow(a, fifty), brow(b, fifty) + shift


pairs = zip(*(pair() for _ in range(12)), strict=True)
a5, b5, a50, b50 = (torch.stack(rows) for rows in pairs)

# %% mystnb={"image": {"alt": "A grey arched brow with five dots. From each dot an orange arrow leads to a dot of another brow, of which only the five dots are drawn."}} tags=["hide-input"]
figure, ax = plt.subplots(figsize=(6, 2.4))
ax.plot(*a50[0].T, color=GREY)
ax.scatter(*a5[0].T, color=GREY, s=25, label="from")
ax.scatter(*b5[0].T, color=ORANGE, s=25, label="to")
units = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.004}
ax.quiver(*a5[0].T, *(b5 - a5)[0].T, color=ORANGE, **units)
ax.set(aspect="equal")
ax.invert_yaxis()
ax.set_axis_off()
ax.legend(loc="lower center")
plt.show()

# %% [markdown]
# Decide, then look. On the right is the distance of the fifty points from where they belong, on average over twelve pairs
# of people:


# %% tags=["hide-input"]
from lddmmlib import matching


def between(values, t, u):
    """Linear between values (..., 5, 2) at t, asked at u."""
    k = (torch.searchsorted(t, u) - 1).clamp(0, len(t) - 2)
    w = ((u - t[k]) / (t[k + 1] - t[k]))[:, None]
    return (1 - w) * values[..., k, :] + w * values[..., k + 1, :]


t5, t50 = five.double(), fifty.double()
guesses = {
    "straight lines": between(b5, t5, t50),
    "moved": a50 + between(b5 - a5, t5, t50),
    "flow, 20 px": matching.match(
        a5, b5, 20.0, gamma=1e-3, steps=5, points=a50
    ).points,
}

# %% mystnb={"image": {"alt": "Left: the true second brow in black, with the straight lines between its five points cutting the bends, and the moved and the flowed brow lying almost on the true one. Right: the mean error along the brow has four humps between the five points; highest for straight lines, about half as high for the flow, lowest for the moved brow."}} tags=["hide-input", "reveal"]
figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), width_ratios=(3, 2))
axes[0].plot(*b50[0].T, "k", lw=3, alpha=0.25, label="true")
for (name, guess), colour in zip(guesses.items(), plots.PALETTE, strict=False):
    axes[0].plot(*guess[0].T, color=colour, lw=1.2, label=name)
    axes[1].plot(t50, (guess - b50).norm(dim=-1).mean(0), color=colour)
axes[0].scatter(*b5[0].T, color="k", s=15, zorder=3)
axes[0].set(aspect="equal")
axes[0].invert_yaxis()
axes[0].set_axis_off()
axes[0].legend(fontsize=8, loc="lower right")
axes[1].set(xlabel="along the brow", ylabel="error (px)", ylim=(0, None))
plt.show()

# %% tags=["reveal"]
for name, guess in guesses.items():
    error = (guess - b50).norm(dim=-1).mean(1)
    print(f"{name:14s} {error.mean():.2f} px over twelve pairs")
error = {k: (g - b50).norm(dim=-1).mean() for k, g in guesses.items()}
assert error["moved"] < error["flow, 20 px"] < error["straight lines"]

# %% [markdown]
# :::{dropdown} What happens
# The flow beats the straight lines, as paper A promises, without knowing what a brow is. But so does a method with no
# mathematics in it, as long as it *starts from a brow*: most of what is won comes from having a template at all. Keep
# that in mind.
# :::
#
# What only the flow gives is a map of the whole plane, for points on no curve, which never folds and costs
# little. This chapter makes it: what is minimised, how, and what can go wrong.

# %% [markdown]
# ## Set-up

# %%
import math

from lddmmlib import currents, flows
from lddmmlib.curves import Curves
from lddmmlib.faces import schemes, statistics
from lddmmlib.kernels import gaussian
from lddmmlib.notebook import check, result

generator = start(seed=0)
scheme = schemes.get("300w-68")
x, p, y = torch.randn(3, 4, 2, generator=generator, dtype=torch.float64)  # a toy
sigma_v, sigma_w, beta, gamma = 1.5, 0.8, 0.1, 0.01

# %% [markdown]
# ## Near the target
#
# The template $C$ has points $x_1 \dots x_n$, the flow takes them to $z = \varphi_1 \cdot C$, the target $S$ is at $y$.
# How far is $z$ from $y$? Paper A asks twice, as curves and as landmarks (its equations 4 and 5):
#
# $$
# \begin{aligned}
# D_c &= \Bigl\lVert \sum_i \tau_{z,i}\, \delta_{c_{z,i}} - \sum_i \tau_{y,i}\, \delta_{c_{y,i}} \Bigr\rVert^2_{W^*}, &
# D_l &= \frac1n \sum_{i=1}^n \lvert z_i - y_i \rvert.
# \end{aligned}
# $$ (eq-match-terms)
#
# Edges $\tau$ at their middles $c$: those of $z$ count plus, those of $y$ minus, and every edge meets every other through
# the kernel. One pair at a time:


# %%
def edges(curve, sign):
    pairs = list(zip(curve[:-1].tolist(), curve[1:].tolist(), strict=True))
    middle = [[(u + v) / 2 for u, v in zip(a, b, strict=True)] for a, b in pairs]
    along = [[sign * (v - u) for u, v in zip(a, b, strict=True)] for a, b in pairs]
    return list(zip(middle, along, strict=True))


def curve_term_by_hand(z, y, sigma):
    all_edges, total = edges(z, 1) + edges(y, -1), 0.0
    for c, tau in all_edges:
        for d, rho in all_edges:
            k = math.exp(-(math.dist(c, d) ** 2) / sigma**2)
            total += k * (tau[0] * rho[0] + tau[1] * rho[1])
    return total


# %% [markdown]
# All pairs at once, and the library:


# %%
def curve_term(z, y, sigma):
    c = torch.cat([(w[1:] + w[:-1]) / 2 for w in (z, y)])
    tau = torch.cat([z.diff(dim=0), -y.diff(dim=0)])
    return (gaussian(c, c, sigma) * (tau @ tau.T)).sum()


def landmark_term(z, y):
    return (z - y).norm(dim=1).mean()


# %%
z = flows.shoot(x, p, sigma_v).end
D_c, D_l = curve_term(z, y, sigma_w), landmark_term(z, y)
by_hand = sum(math.dist(*pair) for pair in zip(z.tolist(), y.tolist(), strict=True))
assert math.isclose(curve_term_by_hand(z, y, sigma_w), D_c, rel_tol=1e-9)
assert math.isclose(by_hand / 4, D_l, rel_tol=1e-9)
assert torch.allclose(D_c, currents.distance2(z, y, sigma_w))
assert torch.allclose(D_l, currents.landmark_discrepancy(z, y))

# %% [markdown]
# The two are mixed with a weight (equation 3):
#
# $$
# D = \beta\, D_c + D_l.
# $$ (eq-match-mix)
#
# Look at the units. $D_c$ is a squared length, px²; $D_l$ is a length, px. So $\beta$ is not a pure number: the same
# $\beta = 0.1$ means something else for a face of a hundred pixels and for one of width one.

# %%
D = beta * D_c + D_l
assert torch.allclose(D, matching.discrepancy(z, y, sigma_w, beta))
for size in (1, 100):
    parts = [beta * curve_term(size * z, size * y, size * sigma_w)]
    parts += [landmark_term(size * z, size * y)]
    print(
        f"{size:3d} times as large: curves {parts[0]:8.1f}  landmarks {parts[1]:6.1f}"
    )

# %% [markdown]
# A face is several curves, and there the paper adds up (its equation 8, before it divides by the size of the face): every
# curve $p$ has both terms,
#
# $$
# D = \sum_{p=1}^N \bigl(\beta\, D_c^p + D_l^p\bigr),
# $$ (eq-match-sum)
#
# and each $D_l^p$ is a mean over the points of *its* curve. So the four points of a nose bridge weigh as much as the
# seventeen of a jaw, and curves that flow alone are matched as if each were alone in the world.


# %%
def face_term_by_hand(z, y, groups, sigma, beta):
    total = 0.0
    for i in groups:
        total += beta * curve_term(z[i], y[i], sigma) + landmark_term(z[i], y[i])
    return total


halves = [[0, 1], [2, 3]]
two = Curves(z, halves)
total = face_term_by_hand(z, y, halves, sigma_w, beta)
assert torch.allclose(
    total, matching.discrepancy(two, two.with_points(y), sigma_w, beta)
)
size = 3.0  # of the face, say between the corners of the eyes
assert torch.allclose(
    total / size, matching.loss(two, two.with_points(y), sigma_w, beta, size)
)

# %% [markdown]
# ## At little cost
#
# Any two sets of landmarks can be carried onto each other by infinitely many flows, most of them absurd. The functional
# of inexact matching charges for motion (equation 2):
#
# $$
# \begin{aligned}
# J &= \gamma \int_0^1 \lVert v_t \rVert_V^2\, dt + D(\varphi_1 \cdot C, S), \\
# \lVert v_t \rVert_V^2 &= \sum_{i,j} k_V(x_i, x_j)\; p_i \cdot p_j.
# \end{aligned}
# $$ (eq-match-objective)
#
# *Inexact*, since it may be cheaper to stop short of the target than to chase it. By hand, along the path of a flow:


# %%
def energy_by_hand(path, momenta, sigma):
    total = 0.0
    for x, p in zip(path.tolist(), momenta.tolist(), strict=True):
        for x_i, p_i in zip(x, p, strict=True):
            for x_j, p_j in zip(x, p, strict=True):
                k = math.exp(-(math.dist(x_i, x_j) ** 2) / sigma**2)
                total += k * (p_i[0] * p_j[0] + p_i[1] * p_j[1])
    return total / len(path)


# %%
flow = flows.shoot(x, p, sigma_v, 40, "rk4")
K = gaussian(x, x, sigma_v)
energy = (p * (K @ p)).sum()  # at t = 0: a geodesic keeps it
J = gamma * energy + matching.discrepancy(flow.end, y, sigma_w, beta)
along = energy_by_hand(flow.path, flow.momenta, sigma_v)
assert math.isclose(along, energy, rel_tol=1e-5)
assert torch.allclose(energy, flows.energy(flow))
assert torch.allclose(J, matching.objective(flow, y, sigma_w, beta, gamma))

# %% [markdown]
# Of all flows that end at the same $z$, the one of least energy is a geodesic, and a geodesic is given by its initial
# momenta $p_0$. So a problem about all velocity fields at all times becomes one about $2n$ numbers. That is what "a
# diffeomorphism is completely encoded by the initial momenta" buys.

# %% [markdown]
# ## The search, and why it is slow
#
# $J$ is differentiable, torch has an optimiser: nothing seems left to do. Seventeen points of one jaw onto another's, as
# curve and as landmarks:

# %%
neutral, smiling = (
    geometry.landmarks(face)[0]
    for face in (
        geometry.Face3D(scale=100.0).express(mouth_open=0.2),
        geometry.Face3D(scale=100.0).express(mouth_open=0.5, smile=1.0),
    )
)
jaw, other_jaw = neutral[:17], smiling[:17]
wide = 60.0  # px


# %%
def search(root, evaluations=120):
    z, seen = torch.zeros_like(jaw, requires_grad=True), []

    def closure():
        z.grad = None
        flow = flows.shoot(jaw, root @ z, wide, 4)
        J = matching.objective(flow, other_jaw, wide / 2)
        J.backward()
        seen.append(J.item())
        return J

    limits = {"max_iter": evaluations, "max_eval": evaluations}
    limits |= {"tolerance_grad": 0, "tolerance_change": 0}
    how = {"line_search_fn": "strong_wolfe"}
    torch.optim.LBFGS([z], **limits, **how).step(closure)
    return np.minimum.accumulate(seen), root @ z.detach()


# %%
raw, _ = search(torch.eye(17, dtype=torch.float64))

# %% [markdown]
# It works, and crawls. The reason is in the kernel matrix. Neighbours on the jaw are much closer than $\sigma_V$, so their
# momenta do nearly the same thing: pushing one down and the next one up moves almost nothing. Along such differences $J$
# is flat, along sums it is steep:

# %% tags=["nbval-check-output"]
K = gaussian(jaw, jaw, wide)
for sigma in (15.0, 30.0, 60.0):
    values = torch.linalg.eigvalsh(gaussian(jaw, jaw, sigma))
    print(
        f"sigma_V {sigma:2.0f} px: condition 1e{math.log10(values[-1] / values[0]):.0f}"
    )

# %% [markdown]
# The cure is old: search in coordinates in which the cost is round. With a small $\varepsilon$ for points that coincide,
#
# $$
# p_0 = (K + \varepsilon I)^{-1/2} z, \qquad\text{so that}\qquad
# \lVert v_0 \rVert_V^2 = p_0^{\mathsf T} K p_0 \approx \lvert z \rvert^2.
# $$ (eq-match-whiten)
#
# The root, one eigenvector at a time, then at once:

# %%
values, vectors = torch.linalg.eigh(K + 1e-3 * torch.eye(17, dtype=torch.float64))
root = torch.zeros_like(K)
for value, u in zip(values, vectors.T, strict=True):
    root += value ** (-0.5) * torch.outer(u, u)
L = (vectors / values.sqrt()) @ vectors.T
assert torch.allclose(root, L)

# %%
white, found_by_us = search(L)
found = matching.match(Curves(jaw, [slice(None)]), other_jaw, wide, steps=4)
assert torch.allclose(found.value, torch.tensor(white[-1]), rtol=1e-2)

# %% mystnb={"image": {"alt": "The objective against the number of evaluations, on a logarithmic axis above the best value. The line of whitened momenta falls steeply at once; that of raw momenta creeps down far above it."}} tags=["hide-input"]
best = min(white[-1], raw[-1], found.value.item())
figure, ax = plt.subplots(figsize=(6, 2.8))
for values, name in ((raw, "raw momenta"), (white, "whitened momenta")):
    ax.plot(range(1, len(values) + 1), 100 * (values / best - 1) + 1e-3, label=name)
ax.axhline(1, color=GREY, lw=0.8)
ax.text(-3, 1.2, "one per cent", color="#666666", fontsize=8)
ax.set(xlabel="evaluations of J", ylabel="above the best (%)", yscale="log")
ax.set(ylim=(1e-2, None))
ax.legend()
plt.show()

# %%
for values, name in ((raw, "raw"), (white, "whitened")):
    reached = np.flatnonzero(values <= 1.01 * best)
    print(f"{name:8s} {reached[0] + 1 if len(reached) else 'never'} evaluations")

# %% [markdown]
# The same J, the same optimiser, other coordinates. `matching.match` always searches like this, for many faces at once.
# It returns what it found and whether to believe it: `residual` is the share of $J$ that the last ten steps took off, and
# `converged` says whether that is small. Stop it too early and it says so:

# %%
hasty = matching.match(jaw, other_jaw, wide, wide / 2, steps=4, max_iter=20)
for name, m in (("hasty", hasty), ("patient", found)):
    print(f"{name:8s} J {m.value:.2f}, {m.n_iter} evaluations, ", end="")
    print(f"residual {m.residual:.0e}, converged: {bool(m.converged)}")
assert found.converged
assert not hasty.converged

# %% [markdown]
# ## Landmarks, curves, or both?
#
# Now a whole face, from nearly neutral to a smile; nine curves in one flow. And its mouth, matched in three ways:

# %%
curves, closed = (
    list(scheme.curves.values()),
    [c in scheme.closed for c in scheme.curves],
)
face = Curves(neutral, curves, closed)
smile = matching.match(face, smiling, 20.0, steps=5)

# %%
mouth, laugh = neutral[48:], smiling[48:]
lips = Curves(mouth, [range(12), range(12, 20)], True)
ways = {}
for gamma in (0.01, 0.001):
    for name, template, landmarks in (
        ("landmarks", mouth, True), ("curves", lips, False), ("both", lips, True),
    ):  # fmt: skip
        ways[name, gamma] = matching.match(
            template, laugh, 20.0, gamma=gamma, landmarks=landmarks, steps=5
        )

# %% mystnb={"image": {"alt": "Left: the whole face in blue after the match, lying on the dashed orange smile, with the thin paths of the landmarks from the grey neutral face. Right: three close-ups of the mouth, matched by landmarks, by curves and by both; the first stops well short of it, the other two reach the target."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(9.5, 2.9), width_ratios=(1.1, 1, 1, 1))
target = {"colour": ORANGE, "size": 0}
plots.face(axes[0], neutral, "300w-68", colour="#BBBBBB", size=0)
plots.face(axes[0], smiling, "300w-68", **target)
plots.face(axes[0], smile.deformed, "300w-68", colour=BLUE, size=4)
axes[0].set_title("the face, by both", fontsize=9)
for ax, name in zip(axes[1:], ("landmarks", "curves", "both"), strict=True):
    for points, colour in ((mouth, "#BBBBBB"), (laugh, ORANGE)):
        ax.plot(*lips.lines(points).permute(2, 1, 0), color=colour)
    end = ways[name, 0.01].deformed
    ax.plot(*lips.lines(end).permute(2, 1, 0), color=BLUE)
    ax.scatter(*end.T, color=BLUE, s=6, zorder=3)
    ax.set(aspect="equal", title=f"the mouth, by {name}")
    ax.title.set_fontsize(9)
    ax.invert_yaxis()
    ax.set_axis_off()
plt.show()

# %%
print("                   mean distance to the landmarks (px)")
print(f"as given           {landmark_term(mouth, laugh):.1f}")
for (name, gamma), m in ways.items():
    print(f"{name:9s}  {gamma:<6} {landmark_term(m.deformed, laugh):5.1f}")
left = {way: landmark_term(m.deformed, laugh) for way, m in ways.items()}
for gamma in (0.01, 0.001):
    assert (
        max(left["curves", gamma], left["both", gamma])
        < left["landmarks", gamma] / 3
    )
assert left["landmarks", 0.001] < left["landmarks", 0.01] / 3

# %% [markdown]
# By landmarks alone the mouth stops short! Nothing is broken. Moving one landmark of $n$ by $a$ costs about $\gamma a^2$
# and saves $a/n$; beyond $1/(2 \gamma n)$ it does not pay. The curve term is a squared length and grows with the miss, so
# it keeps pulling. Here the curves fix the landmarks too, since a lip has corners; on a smooth jaw they could slide.
# This is the price of mixing px and px²: *compare $\gamma$ only between matches that use the same terms, the same number
# of points and the same unit*.

# %% [markdown]
# ## What γ trades
#
# So let $\gamma$ run. Each value gives one point: the energy that the flow spends, and the distance that is left.

# %% mystnb={"image": {"alt": "The remaining landmark distance against the energy of the flow, one point for each gamma. From gamma 1 on, at the upper left, the distance falls steeply, then bends towards zero while the energy goes on growing."}} tags=["hide-input"]
gammas = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
line = []
for gamma in gammas:
    m = matching.match(lips, laugh, 20.0, gamma=gamma, steps=5)
    spent = 2 * flows.hamiltonian(mouth, m.momenta, 20.0)
    line.append((spent.item(), landmark_term(m.deformed, laugh).item()))
figure, ax = plt.subplots(figsize=(6, 2.8))
ax.plot(*zip(*line, strict=True), "o-")
for gamma, (spent, left) in zip(gammas, line, strict=True):
    ax.annotate(
        f" γ = {gamma:g}", (spent, left), xytext=(4, 3), textcoords="offset points"
    )
ax.set(
    xlabel="energy of the flow (px²)", ylabel="distance left (px)", ylim=(0, None)
)
plt.show()
assert line == sorted(line)  # more energy,
assert line == sorted(line, key=lambda point: -point[1])  # less left

# %% [markdown]
# And $\gamma = 0$? Paper A chooses it for its loss: "an accurate matching matters more than a geodesic path". Then any
# flow that arrives is as good as any other, and which one you get depends on where you start. Three searches for momenta
# $\alpha(t)$ at all times, with $\gamma = 0$ and random starts, and the geodesic:


# %%
def anywhere(x, y, spread, sigma=20.0, times=6):
    """γ = 0: momenta at all times, from a random start."""
    alpha = torch.randn(times, *x.shape, generator=generator, dtype=x.dtype)
    alpha = (spread * alpha).requires_grad_()
    how = {"max_iter": 100, "line_search_fn": "strong_wolfe"}
    optimiser = torch.optim.LBFGS([alpha], **how)

    def closure():
        optimiser.zero_grad()
        D = currents.landmark_discrepancy(flows.flow_path(x, alpha, sigma).end, y)
        D.backward()
        return D

    optimiser.step(closure)
    return flows.flow_path(x, alpha.detach(), sigma)


# %%
found = matching.match(a5[3], b5[3], 20.0, gamma=1e-3)
routes = {"γ > 0, geodesic": flows.shoot(a5[3], found.momenta, 20.0)}
for k in range(3):
    routes[f"γ = 0, start {k + 1}"] = anywhere(a5[3], b5[3], spread=25.0)

# %% mystnb={"image": {"alt": "Four small panels: the paths of five brow points from grey dots to orange dots. In the first, of the geodesic, they are nearly straight; in the other three they wander about in different loops and end at the same orange dots."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(9.5, 2.2), sharex=True, sharey=True)
for ax, (name, flow) in zip(axes, routes.items(), strict=True):
    ax.plot(*flow.path.permute(2, 0, 1), color=BLUE, lw=1)
    ax.scatter(*a5[3].T, color=GREY, s=14, zorder=3)
    ax.scatter(*b5[3].T, color=ORANGE, s=14, zorder=3)
    left = landmark_term(flow.end, b5[3])
    ax.set_title(
        f"{name}\nenergy {flows.energy(flow):.0f}, left {left:.2f} px", fontsize=8
    )
    ax.set(aspect="equal")
    ax.set_axis_off()
axes[0].invert_yaxis()
plt.show()

# %% [markdown]
# All four arrive. A passenger between the points would be left in four different places. With momenta constant in time,
# as in the released code, there are no detours, but the principle is the same: without a charge for energy, what happens
# away from the landmarks is decided by the initialisation and the optimiser.

# %% [markdown]
# Now move a target yourself, and watch the flow find it. The search runs in the page, anew for every place of your
# finger; what it minimises is eq. {eq}`eq-match-objective`.

# %%
from lddmmlib.widgets import MatchExplorer

MatchExplorer()

# %% [markdown]
# ## How wide: $\sigma_V$ and $\sigma_W$
#
# $\sigma_V$ says how far a momentum reaches. The same smile with three widths, and the plane that goes along:


# %% tags=["hide-input"]
def net(low, high, n):
    """A square net of points, (n, n, 2)."""
    (a, b), (c, d) = low, high
    t = torch.linspace(0, 1, n, dtype=torch.float64)
    sides = torch.meshgrid(a + (c - a) * t, b + (d - b) * t, indexing="xy")
    return torch.stack(sides, -1)


def draw_net(ax, z, every, colour="#C8C8C8"):
    for lines in (z[::every], z[:, ::every].transpose(0, 1)):
        ax.plot(*lines.permute(2, 1, 0), color=colour, lw=0.6, zorder=1)


# %% mystnb={"image": {"alt": "The mouth after the match at three widths of the kernel, each with a net of the plane. At 5 pixels the net is pulled into spikes at single landmarks; at 20 it bends smoothly around the mouth; at 60 the whole net moves and the lips miss the target."}} tags=["hide-input"]
low, high = mouth.amin(0) - 12, mouth.amax(0) + 12
square = net(low.tolist(), high.tolist(), 81)
widths = {}
figure, axes = plt.subplots(1, 3, figsize=(9, 2.7))
for ax, sigma in zip(axes, (4.0, 20.0, 60.0), strict=True):
    widths[sigma] = m = matching.match(
        lips, laugh, sigma, 10.0, steps=5, points=square.reshape(-1, 2)
    )
    draw_net(ax, m.points.reshape(square.shape), 4)
    for points, colour in ((laugh, ORANGE), (m.deformed, BLUE)):
        ax.plot(*lips.lines(points).permute(2, 1, 0), color=colour)
    ax.set(aspect="equal", title=f"$\\sigma_V$ = {sigma:.0f} px")
    ax.invert_yaxis()
    ax.set_axis_off()
plt.show()

# %%
print("sigma_V   left (px)   sum of |p|   evaluations   converged")
for sigma, m in widths.items():
    left, size = landmark_term(m.deformed, laugh), m.momenta.norm(dim=1).sum()
    print(
        f"{sigma:5.0f} {left:12.2f} {size:12.0f} {m.n_iter:10d}      {bool(m.converged)}"
    )

# %% [markdown]
# Too narrow: each landmark takes its own way, nothing is shared, and whoever rides between two of them is torn back and
# forth. Too wide: neighbours cannot move apart, so large momenta of opposite sign fight each other and the lips stay short
# of the target. In between lie the widths for which a point half-way between two landmarks goes half-way with them: once or
# twice the distance of neighbours at least.
#
# $\sigma_W$ says how far a curve sees. Shift the outer lip by $s$ and ask $D_c$ how far that was:

# %% mystnb={"image": {"alt": "The squared distance of the outer lip from its shifted copy against the shift, for three widths of the kernel. The narrow kernel's line rises at once and is flat beyond a few pixels; the middle one rises over twenty pixels; the widest stays near zero."}} tags=["hide-input"]
lip = mouth[:12]
shifts = torch.linspace(0, 60, 61, dtype=torch.float64)
figure, ax = plt.subplots(figsize=(6, 2.8))
for sigma in (3.0, 15.0, 100.0):
    moved = lip + torch.stack([0 * shifts, shifts], -1)[:, None]
    D_c = currents.distance2(moved, lip.expand_as(moved), sigma, closed=True)
    ax.plot(shifts, D_c, label=f"$\\sigma_W$ = {sigma:.0f} px")
ax.set(xlabel="shift downwards (px)", ylabel="$D_c$ (px²)")
ax.legend()
plt.show()

# %% [markdown]
# Too narrow, and beyond a few pixels the curve is flat: both lips are there, they do not see each other, and a flat $D_c$
# has no gradient to follow. Too wide, and a closed curve becomes invisible: its edges add up to zero, so at a distance there is
# nothing. (An open curve would shrink to one edge from its first point to its last.) Paper A takes $\sigma_V$ as half the width
# plus height of each curve, and $\sigma_W = \sigma_V / 2$.

# %% [markdown]
# ## Points that nobody matched
#
# A flow moves the plane. So a point $a_k$ that took no part in the match is carried along; the paper says so where it
# speaks of flexible and consistent alignment:
#
# $$
# a_k(1) = a_k(0) + \int_0^1 \sum_{j=1}^n k_V\bigl(x_j(t), a_k(t)\bigr)\, \alpha_j(t)\; dt.
# $$ (eq-match-passengers)
#
# It has no momentum of its own: it feels, and is not felt. By hand, in small Euler steps:


# %%
def ride_by_hand(a, flow):
    a = list(a)
    for x, p in zip(
        flow.path[:-1].tolist(), flow.momenta[:-1].tolist(), strict=True
    ):
        v = [0.0, 0.0]
        for x_j, p_j in zip(x, p, strict=True):
            k = math.exp(-(math.dist(x_j, a) ** 2) / flow.sigma**2)
            v = [v[0] + k * p_j[0], v[1] + k * p_j[1]]
        a = [a[i] + v[i] / flow.steps for i in (0, 1)]
    return torch.tensor(a, dtype=torch.float64)


# %%
def ride(a, flow):
    for x, p in zip(flow.path[:-1], flow.momenta[:-1], strict=True):
        a = a + gaussian(a, x, flow.sigma) @ p / flow.steps
    return a


# %%
flow = flows.shoot(mouth, ways["both", 0.01].momenta, 20.0, 40, "euler")
riders = square[::20, ::20].reshape(-1, 2)
arrived = ride(riders, flow)
assert torch.allclose(ride_by_hand(riders[7].tolist(), flow), arrived[7])
assert torch.allclose(arrived, flows.apply(flow, riders))

# %% [markdown]
# **Dense from sparse.** The brows of the beginning again, all twelve pairs, and several widths. Five points are matched,
# fifty ride:

# %%
for sigma in (5.0, 10.0, 40.0):
    m = matching.match(a5, b5, sigma, gamma=1e-3, steps=5, points=a50)
    guesses[f"flow, {sigma:.0f} px"] = m.points
for name in [
    "straight lines",
    "moved",
    *(f"flow, {w} px" for w in (5, 10, 20, 40)),
]:
    e = (guesses[name] - b50).norm(dim=-1).mean(1)
    print(f"{name:14s} mean {e.mean():.2f}   worst pair {e.max():.2f} px")

# %% [markdown]
# The flow's advantage over straight lines holds for widths from the distance of neighbours upwards, and is lost below:
# then passengers are left behind between the points. Moving the template by interpolated displacements is better still. On a
# curve with known parameters, a flow is not the best interpolator; it needs no parameters, that is its merit.
#
# **One scheme from another.** Give a template both annotations, match 68 points, and let the 98 ride. Brows have a lower
# edge in the 98, which the 68 never mark: there interpolation has nothing to say.

# %%
template = geometry.Face3D(scale=100.0).express(mouth_open=0.2)
from68, ride98 = (
    geometry.landmarks(template, s)[0] for s in ("300w-68", "wflw-98")
)
people = [someone() for _ in range(4)]
to68, to98 = (
    torch.stack([geometry.landmarks(who, s)[0] for who in people])
    for s in ("300w-68", "wflw-98")
)
# %%
align = statistics.similarity(to68, from68)
to68, to98 = align.apply(to68), align.apply(to98)
m = matching.match(
    Curves(from68, curves, closed), to68, 25.0, steps=5, points=ride98
)
converted = schemes.convert(to68, "300w-68", "wflw-98")

# %%
shared = {j for _, j in schemes.shared("300w-68", "wflw-98")}
never = set(np.flatnonzero(converted[0, :, 0].isnan()).tolist())
groups = {"in both": shared, "between": set(range(98)) - shared - never}
print("                template  interpolated   flow   (mean distance, px)")
for name, rows in (groups | {"never marked": never}).items():
    guesses98 = (ride98.expand_as(to98), converted, m.points)
    row = [(g - to98)[:, list(rows)].norm(dim=-1).mean() for g in guesses98]
    print(f"{name:12s} {len(rows):2d}", *(f"{value:9.1f}" for value in row))

# %% [markdown]
# Where the 98 name a place of the 68, interpolation copies it, and the flow, being inexact, does not quite arrive. Between
# places of the 68 they are close. On what was never marked only the flow has an opinion; it is nearer than the template's
# own, but it is an opinion, and the pupils follow the lids and not the gaze.

# %% mystnb={"image": {"alt": "A face with its true 98 points as grey rings. Small blue dots, which rode the flow of the 68 points, lie in or next to the rings everywhere, the lower edges of the brows included; only the pupils are off."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6))
for ax, k in zip(axes, (0, 2), strict=True):
    ring = {"facecolor": "none", "edgecolor": "#888888"}
    ax.scatter(*to98[k].T, s=26, **ring, label="true 98")
    plots.face(ax, m.points[k], "wflw-98", colour=BLUE, size=5, label="rode along")
axes[0].legend(loc="lower left", fontsize=8)
plt.show()

# %% [markdown]
# ## A mean, and modes, without crossing
#
# This goes beyond the paper. The arithmetic mean of points knows nothing about flows. The *Karcher mean* is the
# template from which all shapes are reached, on balance, with no momentum left over; around it, the momenta are vectors, and can be summed
# up by their principal directions in the norm of $V$:
#
# $$
# \begin{aligned}
# 0 &= \sum_{b} p_b, \qquad
# \langle p, u\rangle_V = \sum_{i,j} k_V(x_i, x_j)\, p_i \cdot u_j, \\
# \operatorname{cov}(u, w) &= \frac{1}{m-1} \sum_b \langle p_b, u\rangle_V \langle p_b, w\rangle_V.
# \end{aligned}
# $$ (eq-match-modes)
#
# Ten mouths, more or less open, smiling a little or not:

# %%
amount = torch.rand(10, 2, generator=generator, dtype=torch.float64).tolist()
mouths = torch.stack([
    geometry.landmarks(
        geometry.Face3D(scale=100.0).express(mouth_open=0.06 + 0.5 * a, smile=0.5 * b)
    )[0][48:]
    for a, b in amount
])  # fmt: skip
narrow = 15.0
# %%
karcher = matching.mean(mouths, narrow, gamma=1e-3, steps=5)
modes = matching.modes(karcher.template, karcher.momenta, narrow, 3)

# %% [markdown]
# The inner products by hand and at once; the eigenvalues of their matrix are the variances of the modes:

# %%
K = gaussian(karcher.template, karcher.template, narrow)
q = karcher.momenta - karcher.momenta.mean(0)
inner = torch.zeros(10, 10, dtype=torch.float64)
for b in range(10):
    for c in range(10):
        inner[b, c] = (q[b] * (K @ q[c])).sum()
assert torch.allclose(inner, torch.einsum("bid,ij,cjd->bc", q, K, q))
# %%
deviations = (torch.linalg.eigvalsh(inner).flip(0)[:3] / 9).sqrt()
assert torch.allclose(deviations, modes.deviations)
rest, each = karcher.momenta.mean(0), karcher.momenta
size = [((u * (K @ u)).sum((-1, -2)).mean()).sqrt() for u in (rest, each)]
assert math.isclose(size[0] / size[1], karcher.residual, rel_tol=1e-6)

# %% [markdown]
# Follow the first mode out, beyond what there was, and the first principal component of the points beside it. The mode
# opens and closes the mouth; the upper inner lip is dotted. **What will each do to a mouth that is closed further than
# closed?**

# %% mystnb={"image": {"alt": "Two rows of five mouths at minus three, minus one, zero, plus one and plus three deviations. In the upper row, of the geodesic, the lips come close at the left and stay apart. In the lower row, of the linear mode, the inner lips have swapped sides at minus three, drawn in orange: the upper one, dotted, lies below the lower one."}} tags=["hide-input"]
flat = (mouths - mouths.mean(0)).flatten(1)
_, s, axes_of_points = torch.linalg.svd(flat, full_matrices=False)
opens = {"geodesic": modes.momenta[0], "linear": axes_of_points[0].view(20, 2)}
for name, u in opens.items():  # a mode has no sign: let plus open the mouth
    opens[name] = u * (u[18] - u[14])[1].sign()
figure, axes = plt.subplots(2, 5, figsize=(9, 3.4), sharex=True, sharey=True)
gaps = {"geodesic": [], "linear": []}
steps_out = (-3, -1, 0, 1, 3)
for column, c in zip(axes.T, steps_out, strict=True):
    bent = modes.mean + c * modes.deviations[0] * opens["geodesic"]
    ends = {"geodesic": flows.shoot(karcher.template, bent, narrow, 40).end}
    ends["linear"] = mouths.mean(0) + c * s[0] / 3 * opens["linear"]
    for ax, (name, end) in zip(column, ends.items(), strict=True):
        gaps[name].append((end[18] - end[14])[1].item())
        colour = BLUE if gaps[name][-1] > 0 else ORANGE
        ax.plot(*lips.lines(end).permute(2, 1, 0), color=colour)
        ax.plot(*end[12:17].T, "k:")  # the upper inner lip
        ax.set_title(f"{name}, {c:+d}", fontsize=8)
        ax.set(aspect="equal")
        ax.set_axis_off()
axes[0, 0].invert_yaxis()
plt.show()

# %%
print("gap between the lips (px) at", *steps_out, "deviations")
for name, values in gaps.items():
    print(f"{name:9s}", *(f"{v:5.0f}" for v in values))
assert min(gaps["geodesic"]) > 1 > -3 > min(gaps["linear"])
for values in gaps.values():
    assert values == sorted(values)  # from shut to open

# %% [markdown]
# The straight line passes the lips through each other; the geodesic cannot, at any distance, because each of its points is
# the image of the template under a one-to-one map. That is a guarantee about *crossing*, not about looking like a face:
# far out, both are inventions. Nor do few geodesic modes describe a face better than few linear ones, as the recorded
# run will show.

# %% [markdown]
# ## On a face
#
# The mean of 2,800 real faces, and where its three leading modes lead at three deviations: a head turned, a head that nods,
# a mouth that opens. One template, one flow each. Look at the net: it may be squeezed; does it fold anywhere?

# %%
model = statistics.real_300w()
shape_modes = statistics.modes(model.covariance, 3)
extremes = torch.stack([
    100 * (model.mean + c * s * v)
    for v, s in zip(shape_modes.vectors, shape_modes.deviations, strict=True)
    for c in (-3, 3)
])  # fmt: skip
# %%
mean_face = Curves(100 * model.mean, curves, closed)
square = net((-110, -75), (110, 150), 81)
far = matching.match(
    mean_face,
    extremes,
    30.0,
    steps=5,
    points=square.reshape(-1, 2).expand(6, -1, -1),
)

# %% mystnb={"image": {"alt": "Six faces, two for each mode, each in blue lying almost on the orange target, over a net of the plane that is stretched and squeezed around the face and nowhere folded."}} tags=["hide-input"]
figure, axes = plt.subplots(2, 3, figsize=(8.5, 6))
for ax, k in zip(axes.T.flat, range(6), strict=True):
    draw_net(ax, far.points[k].reshape(square.shape), 4)
    plots.face(ax, extremes[k], "300w-68", colour=ORANGE, size=0)
    plots.face(ax, far.deformed[k], "300w-68", colour=BLUE, size=3)
    ax.set_title(f"mode {k // 2 + 1}, {'-+'[k % 2]}3 deviations", fontsize=9)
plt.show()

# %%
flow = flows.shoot(mean_face.points.expand(6, -1, -1), far.momenta, 30.0, 20)
grows = flows.jacobian(flow, square[::4, ::4].reshape(-1, 2).expand(6, -1, -1))
print("        distance (px)              area grows")
print("target  before  after  farthest    at least     converged")
for k in range(6):
    before = (extremes[k] - mean_face.points).norm(dim=1).mean()
    after = (extremes[k] - far.deformed[k]).norm(dim=1)
    print(f"{k // 2 + 1} {'-+'[k % 2]}3 {before:9.1f} {after.mean():6.1f}", end="")
    print(
        f"{after.max():9.1f} {grows[k].min():12.3f}      {bool(far.converged[k])}"
    )
assert (grows > 0).all()

# %% [markdown]
# The map never folds, and two things are left over. *Mode 1* turns the head too far, along a straight line. How many points of
# these targets have left the face through its own outline?

# %%
from matplotlib.path import Path

outline = [*range(17), *range(26, 16, -1)]  # along the jaw, back over the brows
for k, target in enumerate(extremes):
    inside = Path(target[outline]).contains_points(target[27:])
    print(
        f"mode {k // 2 + 1}, {'-+'[k % 2]}3: {(~inside).sum()} of 41 points outside"
    )

# %% [markdown]
# The first pair is not a face any more: it crosses itself. No map that keeps the plane whole can go there, so the flow
# squeezes the plane against the far cheek and stops. *Mode 2* arrives but for single landmarks, at the tip of the nose or
# on the lips: what is left there is several times the mean. Look at what is left, not only at `converged`.

# %%
for k in (2, 3):
    left = (extremes[k] - far.deformed[k]).norm(dim=1)
    assert left.max() > 3 * left.mean()
    assert left.argmax().item() in (30, *range(48, 68))

# %% [markdown]
# ## If it goes wrong
#
# | Symptom | Cause | Cure |
# |---|---|---|
# | hardly moves, `converged` | $\gamma$ too large for the unit, or for $n$ landmarks in a mean | the face some hundreds of pixels wide; $\gamma$ smaller |
# | `converged` is False | too few evaluations; kinks where landmarks arrive | raise `max_iter`, or $\gamma$, or $\sigma_V$ |
# | residue at two points that nearly coincide | they cannot part: the map is one-to-one | another template; or `coupled=False` |
# | fits, but passengers stay behind | $\sigma_V$ below the distance of neighbours | a wider kernel |
# | a curve is ignored | $\sigma_W$ below the miss, or far above the curve's size | half of $\sigma_V$, and begin near |
# | `needed the same points` | another number of points in the target | `landmarks=False`, curves alone |
#
# The third, on purpose. "The two objects of interest are of equivalent topology", says the paper, and it sounds like
# small print. Try to open a closed mouth. Its inner lips touch, so no map that is one-to-one can part them:

# %%
shut = geometry.landmarks(geometry.Face3D(scale=100.0))[0][48:]
shut[[13, 14, 15]] = shut[[19, 18, 17]]  # exactly: the least gap could be stretched
together = Curves(shut, [range(12), range(12, 20)], True)
four = [range(7), range(7, 12), range(12, 17), range(17, 20)]  # as in the paper
alone = Curves(shut, four, coupled=False)
tries = {
    "one flow": matching.match(together, laugh, 20.0, steps=5, max_iter=120),
    "a flow per curve": matching.match(alone, laugh, 20.0, steps=5, max_iter=120),
}

# %% mystnb={"image": {"alt": "A closed mouth matched to an open one. On the left, in one flow, the blue inner lips lie on each other in the middle of the orange mouth: they stay shut. On the right, with one flow for each curve, they open onto it."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.6))
for ax, (name, m) in zip(axes, tries.items(), strict=True):
    for points, colour in ((laugh, ORANGE), (m.deformed, BLUE)):
        ax.plot(*lips.lines(points).permute(2, 1, 0), color=colour)
    ax.set(aspect="equal", title=name)
    ax.invert_yaxis()
    ax.set_axis_off()
plt.show()

# %%
for name, m in tries.items():
    opened = (m.deformed[18] - m.deformed[14])[1]
    print(
        f"{name:17s} opens {opened:5.1f} of {(laugh[18] - laugh[14])[1]:.1f} px, ",
        end="",
    )
    print(f"converged: {bool(m.converged)} after {m.n_iter}")
opened = [(m.deformed[18] - m.deformed[14])[1] for m in tries.values()]
assert abs(opened[0]) < 1e-6 < 1 < opened[1]

# %% [markdown]
# One flow a curve, as paper A has it, opens the mouth, and pays with its own promise: curves that flow in different
# fields may cross each other. "Any two deformed landmarks would never come across each other" holds within a curve only.
# The cure that keeps the promise is a template whose mouth is a little open, like the mean face's.

# %% [markdown]
# ## Choosing the parameters
#
# **The unit.** Decide it first, for $\beta$, $\gamma$ and the $\sigma$s all depend on it. Here the eye corners are a
# hundred pixels apart; the defaults are made for faces some hundreds of pixels wide.
#
# **$\gamma$.** Begin at the default and halve it until what is left is below what annotators disagree by
# ({doc}`02_measuring_error`). Below the bend of the L-curve only evaluations grow. Never zero where passengers matter.
#
# **$\sigma_V$.** At least the distance of neighbouring landmarks; at most what must move on its own: lids, lips. One number
# for a coupled face, or one a curve for uncoupled ones.
#
# **$\sigma_W$.** About as far as curves are apart at the start; half of $\sigma_V$ is the paper's rule.
#
# **$\beta$.** In pixels the curves dominate at the default, even though each curve has its own landmark term: on the face
# above they begin more than thirty times as large as the landmarks, and are more than five times as large when nine
# tenths of the way are gone. On the nose and the eyes, which move little, the two are about equal. For open smooth curves
# whose landmarks are reliable, lower $\beta$; for annotations that slid along the curve, leave it, or drop the landmarks.
#
# **Steps.** As many as `flows.min_steps` certifies, if you must be sure; five to ten do for faces.

# %%
for gone, least in ((0.0, 30), (0.9, 5)):
    halfway = face.with_points(neutral + gone * (smiling - neutral))
    along = 0.1 * currents.distance2(halfway, face.with_points(smiling), 10.0).sum()
    assert (
        along
        > least
        * currents.landmark_discrepancy(halfway, face.with_points(smiling)).sum()
    )

# %% [markdown]
# ## Paper versus code
#
# :::{admonition} Paper versus code
# - **No matching is run.** Equation 2 is the motivation. At training time a network predicts momenta
#   ({doc}`13_deformation_layer`), and the loss is the
#   $D$ of eq. {eq}`eq-match-sum` with $\gamma = 0$, divided by the size of the face: `matching.loss`. The $\beta$ is $0.1$.
# - **Divided by what.** The text divides the loss by the distance of the pupils; the code by that of the outer eye corners.
#   The curve term of each curve is also divided by its number of points.
# - **Integers.** Targets are truncated to whole pixels on the way in and on the way out, before $D$ is computed: up to a
#   pixel of bias, whatever the flow does.
# - **Curve by curve.** Each curve flows alone. So a passenger must be told with which curve it rides, and nothing keeps
#   two curves from crossing.
# - **Partial to full.** For landmarks that were not annotated in training, the code puts the predicted momenta at the
#   subset's points of the mean face and *zeros* at all others, and lets all points flow: this is equation
#   {eq}`eq-match-passengers`, with every left-out landmark a passenger.
# - **Initial or constant.** The text speaks of initial momenta; the code keeps them constant. `model="shoot"` and
#   `model="flow"` are the two; both minimise the same $J$, with another path in between.
# :::

# %% [markdown]
# ## The recorded run
#
# Drawn faces are kind. Here is the same on annotations of real ones, the mean face matched to a hundred of them in one
# flow each; a pixel is one per cent of the eye-corner distance of the mean face.

# %%
real = result("matching_real")
print({k: v for k, v in real["settings"].items() if k not in ("few", "most")})
for when in ("before", "after"):
    middle, high, worst = real[when]["mean_quantiles"]
    print(
        f"{when:7s} median {middle:.1f}, 95th percentile {high:.1f}, worst {worst:.1f} px"
    )
print(f"converged: {real['converged']} of {real['count']}")
for name, n in real["to_one_percent"].items():
    most, few = real["settings"]["most"], real["settings"]["few"]
    needed = f"more than {most}" if n["median"] > most else f"{n['median']:.0f}"
    print(f"{name:9s} {needed} evaluations to one per cent of the best; ", end="")
    print(f"{n['not_reached']} of {few} faces never")
middle, high, worst = real["after"]["farthest_quantiles"]
print(f"farthest landmark: median {middle:.1f}, 95th percentile {high:.1f} px")

# %%
for steps, f in real["folded"].items():
    print(
        f"{steps:2s} steps: folded {f['nodes_percent']:.3f} % of the plane, in {f['faces']} faces"
    )
for name, c in real["crossed"].items():
    print(
        f"{name:10s} lids crossed in {c['lids']} faces, inner lips in {c['inner_lips']}"
    )

# %% [markdown]
# Whitening is worth even more here, and a mean of about a pixel hides single landmarks that
# are far off.
#
# Whatever the annotated lips do, those of the flow never cross. Folds belong to the *steps*, not to the flow: with enough
# of them there are none.

# %%
assert real["crossed"]["matched"] == {"lids": 0, "inner_lips": 0}
quick, slow = (real["to_one_percent"][k]["median"] for k in ("whitened", "raw"))
assert slow > 5 * quick
assert 0.5 < real["after"]["mean"]["value"] < 1.5
assert real["after"]["farthest_quantiles"][1] > 20
assert real["folded"]["20"]["faces"] == 0 < real["folded"]["2"]["faces"]

# %% [markdown]
# **Dense from sparse, held out.** Match by every other landmark of each curve, and carry the rest:

# %% mystnb={"image": {"alt": "Bars with intervals: the mean error of the left-out landmarks if they stay in the mean's place, by straight lines between neighbours, by the mean face's landmark moved with its neighbours, and by flows of several widths. Moving with the neighbours has the smallest error, the flows come next, straight lines are worse."}} tags=["hide-input"]
gaps = {k: v["mean"] for k, v in real["left_out"].items() if isinstance(v, dict)}
values = torch.tensor([v["value"] for v in gaps.values()])
ends = torch.tensor([v["interval"] for v in gaps.values()]).T
names = {
    "still": "stays",
    "chord": "straight lines",
    "displaced": "moves with its neighbours",
}
figure, ax = plt.subplots(figsize=(7, 2.8))
ax.barh(
    [names.get(k, f"{k} px") for k in gaps],
    values,
    xerr=(ends - values).abs(),
    capsize=3,
)
ax.set(xlabel="error of the left-out landmarks (% of the eye-corner distance)")
ax.invert_yaxis()
plt.show()

# %%
flow = min(v["value"] for k, v in gaps.items() if k.startswith("flow"))
print(
    f"best flow {flow:.2f}, straight lines {gaps['chord']['value']:.2f}, ", end=""
)
print(f"moved with the neighbours {gaps['displaced']['value']:.2f} (%)")
assert gaps["displaced"]["value"] < flow < gaps["chord"]["value"]

# %% [markdown]
# As with the brows: a flow from the mean face beats straight lines between the face's own landmarks, and the mean face
# moved by its neighbours beats the flow. Who wants landmarks between landmarks *on a known curve* has no need of
# diffeomorphisms.
#
# **Modes.** How far is a face from its best description by $k$ modes?

# %% mystnb={"image": {"alt": "Mean distance to the face against the number of modes, for principal components of points and for principal geodesics. Both fall; the geodesic line lies above the linear one everywhere."}} tags=["hide-input"]
told = real["explained"]
figure, ax = plt.subplots(figsize=(6, 2.8))
for name, label in (
    ("geodesic", "geodesic, to the face"),
    ("geodesic_to_its_match", "geodesic, to its match"),
    ("linear", "linear (PCA)"),
):
    ax.plot(told["modes"], told[name], "o-", ms=4, label=label)
ax.set(
    xlabel="modes",
    ylabel="distance (% of the corners)",
    xscale="log",
    ylim=(0, None),
)
ax.set_xticks(told["modes"], told["modes"])
ax.legend()
plt.show()
assert all(a > b for a, b in zip(told["geodesic"], told["linear"], strict=True))

# %% [markdown]
# Principal components win at every number of modes, in the distance of points, which is what they minimise by
# construction. Geodesic modes minimise another norm. They are not a better compression; they are one that cannot fold.

# %% [markdown]
# ## Exercises
#
# Replace each `...`, run the self-check, then unfold a solution.
#
# :::{exercise} Check
# :label: ex-matching-check
# One landmark, alone, is to move by $a = 5$ px; no curves. Alone, a landmark under momentum $p$ moves by $p$, and its
# energy is $p^2$. Write $J(p)$ down for $0 \le p \le 5$. How far does it move if $\gamma = 0.2$? And which is the largest
# $\gamma$ for which it arrives?
# :::

# %% tags=["stub"]
my_way = ...  # px
my_gamma = ...

# %% tags=["self-check"]
check(my_way, 2.5, tolerance=1e-3)
check(my_gamma, 1 / (2 * 5), tolerance=1e-3)

# %% tags=["solution"]
# J = γ p² + (5 - p) has its minimum where 2 γ p = 1, unless that is beyond 5.
my_way = 1 / (2 * 0.2)
my_gamma = 1 / (2 * 5)
one, there = torch.zeros(1, 2).double(), torch.tensor([[3.0, 4.0]]).double()
moved = matching.match(one, there, 2.0, gamma=0.2, steps=1, tol=1e-5).deformed
assert math.isclose(my_way, moved.norm(), rel_tol=1e-3)
arrived = matching.match(one, there, 2.0, gamma=0.99 * my_gamma, steps=1, tol=1e-5)
assert (arrived.deformed - there).norm() < 1e-2

# %% [markdown]
# :::{exercise} Extend
# :label: ex-matching-extend
# A morph: write `on_the_way(template, found, sigma, t)`, the face at time $t$ between a template and its match, from the
# initial momenta alone, in one call of `shoot` and without looking into its path. What do you have to do to $p_0$?
# :::


# %% tags=["stub"]
def on_the_way(template, found, sigma, t):
    return ...


# %% tags=["self-check"]
corners_6 = torch.tensor([[0.0, 0], [20, 0], [10, 15]]).double()
apart_6 = torch.tensor([[12.0, 0], [-3, 8], [0, 4]]).double() + corners_6
matched_6 = matching.match(
    corners_6, apart_6, 20.0, gamma=0.01, steps=2, max_iter=4
)
whole = flows.shoot(corners_6, matched_6.momenta, 20.0, 40)
for t_6, step_6 in ((0.5, 20), (0.25, 10)):
    mine_6 = on_the_way(corners_6, matched_6, 20.0, t_6)
    check(mine_6, whole.path[step_6], tolerance=1e-3)


# %% tags=["solution"]
def on_the_way(template, found, sigma, t):
    return flows.shoot(template, t * found.momenta, sigma, 40).end  # half as fast


half = on_the_way(corners_6, matched_6, 20.0, 0.5)
assert torch.allclose(half, whole.path[20], atol=1e-3)
middle = (corners_6 + whole.end) / 2
assert not torch.allclose(half, middle, atol=0.05)  # it is not the middle

# %% [markdown]
# :::{exercise} Explore
# :label: ex-matching-explore
# Curves alone need no correspondence. Match the brow of five points, `a5[3]`, to the one of fifty, `b50[3]`, without
# landmarks, at $\sigma_V$ of 20 px, $\gamma = 10^{-3}$ and five steps. Predict: will its ends find the ends? Try $\sigma_W$ of 3, 10
# and 40 px, and fill `ends_off` with how far off the two ends are in the mean, at each. Then reverse the order of the fifty points, and explain
# what you see.
# :::

# %% tags=["stub"]
ends_off = ...  # [at 3, at 10, at 40], px

# %% tags=["self-check"]
wanted_7 = []
for sigma_7 in (3.0, 10.0, 40.0):
    how_7 = {"gamma": 1e-3, "landmarks": False, "steps": 5}
    found_7 = matching.match(a5[3], b50[3], 20.0, sigma_7, **how_7).deformed
    wanted_7.append((found_7[[0, -1]] - b50[3][[0, -1]]).norm(dim=1).mean())
check(ends_off, torch.stack(wanted_7), tolerance=0.1)

# %% tags=["solution"]
off = {}
for sigma in (3.0, 10.0, 40.0):
    for way, fifty_points in (("forwards", b50[3]), ("reversed", b50[3].flip(0))):
        my_match = matching.match(
            a5[3], fifty_points, 20.0, sigma, gamma=1e-3, landmarks=False, steps=5
        )
        two_ends = (my_match.deformed[[0, -1]] - b50[3][[0, -1]]).norm(dim=1)
        off[sigma, way] = two_ends.mean()
        print(f"sigma_W {sigma:2.0f} {way}: ends off by {off[sigma, way]:.1f} px")
ends_off = [off[sigma, "forwards"].item() for sigma in (3.0, 10.0, 40.0)]
assert off[10.0, "forwards"] < 0.3 * off[10.0, "reversed"]

# %% [markdown]
# :::{dropdown} What happens
# Forwards, the ends find the ends as soon as $\sigma_W$ is wide enough for the two brows to see each other.
#
# A current has a direction. Run backwards, the brow's edges *add* to the target's instead of cancelling them. A narrow kernel
# lets the brow shrink to almost nothing, for its own edges then cost nothing; a wide one turns it around, end for end.
# :::
#
# ## Quiz
#
# **1.** You halve the size of all images, and leave $\gamma$, $\beta$ as they were, the $\sigma$s halved. What changes?
#
# :::{dropdown} a. Nothing, everything scales
# **No**. $D_l$ is a length, $D_c$ and the energy are squared lengths: their ratio changes.
# :::
# :::{dropdown} b. Landmarks count for more, against curves and energy
# **Right**. Squared lengths fall to a quarter, the length to a half.
# :::
# :::{dropdown} c. Curves count for more
# **No**. $D_c$ is a squared length and falls faster than $D_l$ does.
# :::
#
# **2.** Why does searching for $z$ with $p_0 = (K + \varepsilon I)^{-1/2} z$ take fewer evaluations?
#
# :::{dropdown} a. There are fewer unknowns
# **No**. There are as many: $2n$.
# :::
# :::{dropdown} b. Each evaluation is cheaper
# **No**. There is one matrix product more. The *number* of evaluations falls.
# :::
# :::{dropdown} c. In $z$ the energy is nearly round, so no direction is much flatter than another
# **Right**. Raw momenta of close points do nearly the same, and $J$ is almost flat along their differences.
# :::
#
# **3.** With $\gamma = 0$ and momenta free at all times, two runs end at the same landmarks. What differs?
#
# :::{dropdown} a. Nothing: a diffeomorphism is determined by where the landmarks go
# **No**. Infinitely many have the same values at finitely many points.
# :::
# :::{dropdown} b. Where everything else went
# **Right**. Passengers depend on the whole path, and nothing selected one.
# :::
# :::{dropdown} c. One of the two must be the geodesic
# **No**. Neither has any reason to be; nothing charged for energy.
# :::
#
# **4.** A closed mouth is matched to an open one, in one flow, with smaller and smaller $\gamma$. What happens?
#
# :::{dropdown} a. At some $\gamma$ it opens
# **No**. Points that coincide have one image between them, at any price.
# :::
# :::{dropdown} b. Energy and evaluations grow, and the lips stay together
# **Right**. The target is not of the template's topology, and $\gamma$ cannot change that.
# :::
# :::{dropdown} c. `match` refuses the pair
# **No**. Nothing in the input says so; only what is left over does.
# :::
#
# ## Take-aways
#
# - Matching minimises $J$: energy against nearness. The geodesic turns that into a search over $2n$ initial momenta.
# - Search in whitened momenta; believe a match that says `converged`, and look at what is left.
# - $\beta$ and $\gamma$ have units. Quote them with the size of the face and the number of points.
# - Without energy the landmarks arrive and the rest of the plane is arbitrary.
# - A flow carries any point, in any scheme, and cannot open a closed mouth.
# - On a curve with known parameters, a template moved by its neighbours interpolates better than a flow; few linear
#   modes compress better than few geodesic ones. What a flow adds is a map that does not fold.
#
# ## Equation, function, test
#
# | Equation | Function | Test |
# |---|---|---|
# | {eq}`eq-match-terms` | `currents.distance2`, `currents.landmark_discrepancy` | `tests/test_matching.py::test_equations_2_and_3_are_the_sums_of_their_terms` |
# | {eq}`eq-match-mix` | `matching.discrepancy` | `tests/test_matching.py::test_equations_2_and_3_are_the_sums_of_their_terms` |
# | {eq}`eq-match-sum` | `matching.loss`, `matching.discrepancy` | `tests/test_matching.py::test_equation_8_by_loops_over_the_curves` |
# | {eq}`eq-match-objective` | `matching.objective`, `matching.match`, `matching.match_by_descending` | `tests/test_matching.py::test_no_worse_than_scipy_from_the_same_start`, `tests/test_matching.py::test_match_agrees_with_the_version_to_read` |
# | {eq}`eq-match-whiten` | `matching.match` | `tests/test_matching.py::test_whitened_momenta_have_their_norm_as_energy` |
# | {eq}`eq-match-passengers` | `flows.apply` | `tests/test_matching.py::test_passengers_ride_along` |
# | {eq}`eq-match-modes` | `matching.mean`, `matching.modes` | `tests/test_matching.py::test_modes_are_the_principal_components_of_whitened_momenta` |
