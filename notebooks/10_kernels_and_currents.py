# %% [markdown]
# # Kernels and currents
#
# :::{admonition} At a glance
# **Question** How far apart are two curves, if nobody says which point of one belongs to which point of the other?
#
# **Paper** LDDMM-Face {cite:p}`yang2021lddmmface`, section 3.1.1: its kernel, and equations 1, 4 and 5; curves as currents come
# from {cite:t}`glaunes2008large`
#
# **You will be able to** say how far one momentum reaches; sum kernels without keeping a matrix; measure curves by what
# they do to a field, at a scale that you choose; and know what this measure forgives
#
# **Before this** {doc}`02_measuring_error`
#
# **Reading** {reading-time}`-`
#
# **Run time** {run-time}`-`
# :::

# %% [markdown]
# ## Predict first
#
# The true jaw is grey, its landmarks are numbered from ear to ear. Three landmarkers have found it. The first has **slid**
# every point but the two at the ears half-way to the next. The second is off by **the same distances**, but sideways. The third lies on the jaw
# exactly, and counts **from the other ear**.
#
# **Which is the worst? Rank them three times: by the distance of corresponding landmarks, by nearest points, and in your
# own opinion, as curves.**

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import torch

from lddmmlib import plots
from lddmmlib.faces import geometry, statistics
from lddmmlib.notebook import start

generator = start(seed=0)
torch.set_num_threads(1)  # few points: a second thread gains nothing
face = geometry.Face3D(scale=90.0)  # eye corners 90 pixels apart
even = torch.linspace(0, 1, 17, dtype=torch.float64)


def jaw_at(t):
    return geometry.curve(face, "jaw", t)[:, :2]


jaw = jaw_at(even)


# %% tags=["hide-input"]
def slide(steps):
    """All but the ends go along the jaw, by a part of a step to the next."""
    t = even.clone()
    t[1:-1] += steps / 16
    return jaw_at(t)


def push(steps):
    """As far from where they were, but at right angles."""
    moved = slide(steps) - jaw
    return jaw + torch.stack([-moved[:, 1], moved[:, 0]], 1)


three = {"slid": slide(0.5), "pushed": push(0.5), "backwards": jaw.flip(0)}

# %% mystnb={"image": {"alt": "Three times the same grey jaw line with landmarks. On the first, orange dots lie on the grey line between its landmarks. On the second, the orange line runs outside the grey one at a small distance. On the third, orange and grey coincide, but the orange numbers run the other way."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(8, 3.1), sharex=True, sharey=True)
for ax, (name, found) in zip(axes, three.items(), strict=True):
    ax.plot(*jaw.T, "o-", color="#AAAAAA", ms=6, lw=4)
    ax.plot(*found.T, "o-", color=plots.PALETTE[1], ms=3.5, lw=1.2)
    for i in (0, 4, 8, 12, 16):
        into = jaw[i] - 0.24 * (jaw[i] - jaw.mean(0))
        out = found[i] + 0.24 * (found[i] - jaw.mean(0))
        ax.text(*into, i, color="#777777", size=9, ha="center", va="center")
        ax.text(*out, i, color=plots.PALETTE[1], size=9, ha="center", va="center")
    ax.set(title=name, aspect="equal")
    ax.margins(0.12)
    ax.set_axis_off()
axes[0].invert_yaxis()
plt.show()

# %% [markdown]
# :::{dropdown} What happens
# Landmark by landmark the first two tie, and the third is hopeless. By nearest points, as chapter
# {doc}`02_measuring_error` measured curves, the third is perfect, and sliding by half a step costs what missing the jaw
# costs. Neither is what the eye says.
# :::
#
# {cite:t}`yang2021lddmmface` want the network's loss to say it: "the role of
# the landmark term is to match the corresponding landmarks whereas the role of the curve term is to make the
# corresponding facial curves be close to each other". This chapter builds that curve term, from one function.

# %% [markdown]
# ## Set-up

# %%
import math
import time
from itertools import pairwise

from lddmmlib import currents, flows, kernels
from lddmmlib.curves import Curves
from lddmmlib.notebook import check, result

mean = 90 * statistics.real_300w().mean  # pixels
ENDS = [0, 9, 17, 22, 27, 31, 36, 42, 48, 55, 60, 65, 68]
slices = [slice(a, b) for a, b in pairwise(ENDS)]
template = Curves(mean, slices)

# %% [markdown]
# These are the paper's twelve curves of a face of 68 points, as its released code cuts them: two of the jaw, the brows,
# bridge and base of the nose, the eyes, and the four lines of the lips.
#
# ## The reach of one momentum
#
# Pull at one point of a face. How far do its neighbours follow? The paper lets a Gaussian say it. The same form serves
# twice, with $\sigma_V$ for motion and with $\sigma_W$ for the curve norm:
#
# $$
# k(a, b) = \exp\Bigl(-\frac{|a - b|^2}{\sigma^2}\Bigr).
# $$ (eq-kernel)
#
# One pair at a time, then all at once:


# %%
def kernel_by_hand(a, b, sigma):
    rows = []
    for p in a.tolist():
        rows.append(
            [math.exp(-(math.dist(p, q) ** 2) / sigma**2) for q in b.tolist()]
        )
    return torch.tensor(rows, dtype=torch.float64)


# %%
def kernel(a, b, sigma):
    return torch.exp(-torch.cdist(a, b).square() / sigma**2)  # (n, m)


library = kernels.gaussian(mean, jaw, 30.0)
assert torch.allclose(kernel(mean, jaw, 30.0), library)
assert torch.allclose(kernel_by_hand(mean, jaw, 30.0), library)

# %% [markdown]
# Mind what is *not* there: the one half of the bell curve in statistics. At the distance $\sigma$ the motion has fallen to
# 37 % and not to 61 %, at twice $\sigma$ to 2 %, and half of it is left at 0.83 of $\sigma$. Whoever brings a width
# from code that has the half must multiply it by 1.41.

# %%
half_way = math.sqrt(math.log(2))
d = torch.tensor([0.0, half_way, 1.0, 2.0], dtype=torch.float64)
line = torch.stack([d, torch.zeros(4)], 1)
_, half, one, two = kernels.gaussian(line[:1], line, 1.0)[0].tolist()
assert f"{100 * one:.0f} %, {100 * two:.0f} %" == "37 %, 2 %"
assert f"{100 * math.exp(-1 / 2):.0f} %" == "61 %"
assert math.isclose(half, 0.5)
assert f"{half_way:.2f}" == "0.83"
assert f"{math.sqrt(2):.2f}" == "1.41"

# %% mystnb={"image": {"alt": "Left, two bell curves against distance in units of sigma: without the half the curve has fallen to 37 per cent at one sigma, with it to 61. Middle and right, the mean face, whose chin is pulled up by one momentum; orange arrows show who follows, a dotted circle the radius sigma. With a small sigma only the chin and its two neighbours move and make a dent; with a large one the whole chin and the mouth follow."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), width_ratios=[1.3, 1, 1])
d = torch.linspace(0, 3, 200)
axes[0].plot(d, torch.exp(-(d**2)), label=r"$\exp(-d^2/\sigma^2)$, here")
axes[0].plot(d, torch.exp(-(d**2) / 2), "--", label=r"$\exp(-d^2/2\sigma^2)$")
axes[0].axvline(1, color="#CCCCCC", lw=1, zorder=0)
axes[0].set(xlabel=r"distance $d/\sigma$", ylabel="share that follows")
axes[0].set(ylim=(0, 1.02), xlim=(0, 3))
axes[0].legend(loc="upper right")
pull = torch.tensor([[0.0, -25.0]], dtype=torch.float64)
for ax, sigma in zip(axes[1:], (20.0, 60.0), strict=True):
    follow = flows.velocity(mean, mean[[8]], pull, sigma)
    plots.face(ax, mean, "300w-68", colour="#BBBBBB", size=0)
    plots.face(ax, mean + follow, "300w-68", colour=plots.PALETTE[0], size=0)
    ax.quiver(*mean.T, *follow.T, angles="xy", scale_units="xy", scale=1,
              width=0.006, color=plots.PALETTE[1], zorder=4)  # fmt: skip
    ax.add_patch(plt.Circle(mean[8], sigma, fill=False, ls=":", color="#444444"))
    ax.set(title=rf"$\sigma$ = {sigma:.0f} px, dotted")
    ax.set(xlim=(-90, 90), ylim=(185, -50))
plt.show()

# %% [markdown]
# ## Many momenta: the one sum that costs
#
# Put a vector $\alpha_j$, a *momentum*, at each of the points $x_j$. Together they move the whole plane, with the velocity
#
# $$
# v(a) = \sum_{j=1}^{n} k_V(x_j, a)\, \alpha_j.
# $$ (eq-velocity)
#
# That is the right-hand side of equation 6 of {cite:t}`yang2021lddmmface`. Naively, and as a product of matrices:


# %%
def velocity_by_hand(points, x, alpha, sigma):
    v = [[0.0, 0.0] for _ in points]
    for i, a in enumerate(points.tolist()):
        for b, (px, py) in zip(x.tolist(), alpha.tolist(), strict=True):
            k = math.exp(-(math.dist(a, b) ** 2) / sigma**2)
            v[i][0] += k * px
            v[i][1] += k * py
    return torch.tensor(v, dtype=points.dtype)


# %%
def velocity(points, x, alpha, sigma):
    return kernel(points, x, sigma) @ alpha  # (m, n) @ (n, 2)


# %%
alpha = torch.randn(68, 2, generator=generator, dtype=torch.float64)
library = kernels.product(mean, mean, alpha, 30.0)
assert torch.allclose(velocity_by_hand(mean, mean, alpha, 30.0), library)
assert torch.allclose(velocity(mean, mean, alpha, 30.0), library)
assert torch.allclose(flows.velocity(mean, mean, alpha, 30.0), library)

# %% [markdown]
# Three momenta at the mouth, and where they push the plane:

# %% mystnb={"image": {"alt": "The mouth and chin of the mean face in grey, with three thick orange arrows: the corners of the mouth are pulled out and up, the lower lip down. A grid of small blue arrows shows the smooth field that they make, strong near the momenta and vanishing away from them."}} tags=["hide-input"]
x, momenta = mean[[48, 54, 57]], torch.tensor([[-9.0, -9], [9, -9], [0, 12]])
momenta = momenta.double()
columns, rows = torch.linspace(-62, 62, 27), torch.linspace(30, 126, 21)
grid = torch.cartesian_prod(columns, rows).double()
field = flows.velocity(grid, x, momenta, 25.0)
arrows = {"angles": "xy", "scale_units": "xy", "scale": 1}
figure, ax = plt.subplots(figsize=(6, 4.2))
plots.face(ax, mean, "300w-68", colour="#BBBBBB", size=0)
ax.quiver(*grid.T, *field.T, **arrows, width=0.0025, color=plots.PALETTE[0])
ax.quiver(*x.T, *momenta.T, **arrows, width=0.008, color=plots.PALETTE[1], zorder=4)
ax.set(xlim=(-66, 66), ylim=(130, 26))
plt.show()

# %% [markdown]
# A face has $n$ points and $n^2$ pairs. Nearly everything else in a flow grows with $n$ alone, so this sum decides
# what a flow, a matching or a network's layer costs. The loops pay the interpreter for each pair. The matrix product is
# fast, but it keeps the matrix, and for the gradient more than one of that size. `kernels.product` goes
# through the rows in blocks and computes the kernel anew on the way back. How many numbers does each keep?


# %%
def kept(function, n):
    """The largest tensor that autograd keeps, in numbers."""
    sizes = []
    x = torch.randn(n, 2).requires_grad_()
    note = torch.autograd.graph.saved_tensors_hooks(
        lambda t: sizes.append(t.numel()) or t, lambda t: t
    )
    with note:
        function(x, x, x, 1.0)
    return max(sizes)


# %%
def with_matrix(a, b, f, sigma):
    return kernels.gaussian(a, b, sigma) @ f


# %%
for n in (68, 194, 1000):
    matrix, product = kept(with_matrix, n), kept(kernels.product, n)
    print(f"{n:5d} points: keeps {matrix:8d} numbers, or {product:5d}")

# %% [markdown]
# And the time, on the machine that made this page:


# %%
def milliseconds(function, n):
    x = torch.randn(n, 2, dtype=torch.float64)
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        function(x, x, x, 1.0)
        times.append(1000 * (time.perf_counter() - begin))
    return min(times)


# %%
three_ways = (velocity_by_hand, with_matrix, kernels.product)
print("points     loops  matrix  product (ms)")
for n in (68, 194, 400):
    times = [milliseconds(way, n) for way in three_ways]
    print(f"{n:6d} {times[0]:9.1f} {times[1]:7.2f} {times[2]:7.2f}")

# %% [markdown]
# ## The size of a field
#
# Which of all fields that move the landmarks as wanted should we take? The one that bends the plane least. The kernel
# brings its own way of measuring this: fields of the form {eq}`eq-velocity`, and their limits, make a *reproducing kernel
# Hilbert space* $V$ with the norm
#
# $$
# \|v\|_V^2 = \sum_{i=1}^{n} \sum_{j=1}^{n} k_V(x_i, x_j)\, \alpha_i \cdot \alpha_j,
# $$ (eq-rkhs)
#
# which is what $\gamma$ charges for in equation 2 of the paper. "Reproducing" means that looking at a field at one place is a
# scalar product with the kernel there: $u \cdot v(a) = \langle k_V(a, \cdot)\, u,\, v \rangle_V$.


# %%
def norm2_by_hand(x, alpha, sigma):
    total = 0.0
    for a, p in zip(x.tolist(), alpha.tolist(), strict=True):
        for b, q in zip(x.tolist(), alpha.tolist(), strict=True):
            k = math.exp(-(math.dist(a, b) ** 2) / sigma**2)
            total += k * (p[0] * q[0] + p[1] * q[1])
    return total


# %% [markdown]
# A field evaluated at its own points, times its own momenta:


# %%
def field_norm2(x, alpha, sigma):
    return (alpha * velocity(x, x, alpha, sigma)).sum()


library = 2 * flows.hamiltonian(mean, alpha, 30.0)
assert torch.allclose(field_norm2(mean, alpha, 30.0), library)
assert math.isclose(norm2_by_hand(mean, alpha, 30.0), library, rel_tol=1e-9)

# %% [markdown]
# Least: let five points of the jaw have some velocities, and solve for their momenta. Then demand something at a sixth
# point as well, anything. The norm never gets smaller, and stays the same for one demand only: what $v$ did there anyway.


# %%
def least_norm2(x, b, sigma=60.0):
    """Of all fields with velocities b at x."""
    return (b * torch.linalg.solve(kernels.gaussian(x, x, sigma), b)).sum()


# %%
few = jaw[::4]
wanted = torch.randn(5, 2, generator=generator, dtype=torch.float64)
six = torch.cat([few, mean[30:31]])
for _ in range(100):
    demand = torch.randn(1, 2, generator=generator, dtype=torch.float64)
    assert least_norm2(six, torch.cat([wanted, demand])) > least_norm2(few, wanted)
momenta = torch.linalg.solve(kernels.gaussian(few, few, 60.0), wanted)
anyway = flows.velocity(six[5:], few, momenta, 60.0)
both = torch.cat([wanted, anyway])
assert torch.allclose(least_norm2(six, both), least_norm2(few, wanted))

# %% [markdown]
# A norm must not be negative, and zero for the zero field alone: the matrix $K$ must be *positive definite*. For points
# that differ it is, though by little if they are much closer than $\sigma$. Then velocities $b$ at the points have exactly
# one set of momenta, $\alpha = K^{-1} b$. Two points that coincide give two equal rows, and two velocities at one
# place cannot both be had.

# %% mystnb={"image": {"alt": "Two log-scale plots. Left: the condition number of the kernel matrix of 17 jaw points climbs from one to beyond a hundred million as sigma grows from half a step between landmarks to six steps. Right: the momenta that move two neighbouring points apart at unit speed grow without bound, with slope minus two, as their distance falls from sigma to a thousandth of it."}} tags=["hide-input"]
step = (jaw[1:] - jaw[:-1]).norm(dim=1).mean()
ratios = torch.linspace(0.5, 6, 45, dtype=torch.float64)
condition = [torch.linalg.cond(kernels.gaussian(jaw, jaw, float(r * step)))
             for r in ratios]  # fmt: skip
apart = torch.logspace(-3, 0, 60, dtype=torch.float64)
figure, axes = plt.subplots(1, 2, figsize=(8, 2.9))
axes[0].semilogy(ratios, condition)
axes[0].set(xlabel=r"$\sigma$ / step between jaw points", ylabel="condition of $K$")
axes[1].loglog(apart, 1 / (1 - torch.exp(-(apart**2))), color=plots.PALETTE[1])
axes[1].set(xlabel=r"distance of two points / $\sigma$")
axes[1].set(ylabel="momentum for\nvelocities +1 and $-1$")
plt.show()

# %%
twice = torch.cat([jaw, jaw[:1]])  # the first point once more
K = kernels.gaussian(twice, twice, 30.0)
print(f"smallest eigenvalue {torch.linalg.eigvalsh(K)[0].abs():.0e}")
_, failed = torch.linalg.cholesky_ex(K)
assert failed  # not positive definite
ridge = 1e-3 * torch.eye(len(K))
assert torch.linalg.cholesky(K + ridge).diagonal().min() > 0  # and it is

# %% [markdown]
# The cure is the ridge of the last line, or not to have a point twice. Note also what the right picture says: two neighbours that should
# part at unit speed need momenta that are huge and nearly cancel. A small momentum does not mean a small motion, nor the
# other way round; the norm {eq}`eq-rkhs` knows, the momenta alone do not.
#
# ## A curve is what it does to a field
#
# Now the same kernel, with $\sigma_W$, measures curves. Walk along a curve through a field $\omega$ of wind. The work that
# the wind does is a number, and it does not ask how the curve was cut into points, nor what they are called:
# $\mu(\omega) = \int \omega \cdot d\ell \approx \sum_i \tau_i \cdot \omega(c_i)$, with the *centre* $c_i = (x_i + x_{i+1})/2$ and
# the *tangent* $\tau_i = x_{i+1} - x_i$ of each edge. This machine $\mu$, fields in, numbers out, is called a *current*; one edge of
# it is a vector-valued Dirac, $\tau_i\,\delta_{c_i}$. A curve is as large as the most work that a wind of norm one can do along it,
# and by the reproducing property this maximum is a double sum once more ({cite:t}`yang2021lddmmface`, eq. 1):
#
# $$
# \|\mu\|_{W^*}^2 = \Bigl\|\sum_i \tau_i\, \delta_{c_i}\Bigr\|_{W^*}^2
#   = \sum_i \sum_j k_W(c_i, c_j)\; \tau_i \cdot \tau_j.
# $$ (eq-current-norm)


# %%
def edges(x):
    return (x[1:] + x[:-1]) / 2, x[1:] - x[:-1]  # centres, tangents


def current_norm2_by_hand(x, sigma):
    c, tau = (part.tolist() for part in edges(x))
    total = 0.0
    for ci, ti in zip(c, tau, strict=True):
        for cj, tj in zip(c, tau, strict=True):
            k = math.exp(-(math.dist(ci, cj) ** 2) / sigma**2)
            total += k * (ti[0] * tj[0] + ti[1] * tj[1])
    return total


# %% [markdown]
# Centres for points and tangents for momenta: it is the norm of a field, and we have that already.


# %%
def current_norm2(x, sigma):
    c, tau = edges(x)
    return field_norm2(c, tau, sigma)


library = currents.norm2(jaw, 40.0)
assert torch.allclose(current_norm2(jaw, 40.0), library)
assert math.isclose(current_norm2_by_hand(jaw, 40.0), library, rel_tol=1e-9)
assert torch.allclose(currents.norm2_by_loops(jaw, 40.0), library)

# %% [markdown]
# Is it the most work? The best wind should be $\omega^\star = \sum_i k_W(c_i, \cdot)\,\tau_i$, the curve's own. Let a
# thousand random winds of norm one try to beat it:

# %%
c, tau = edges(jaw)
places = 50 * torch.randn(1000, 30, 2, generator=generator, dtype=torch.float64)
winds = torch.randn(1000, 30, 2, generator=generator, dtype=torch.float64)
places += c.mean(0)
norms = (winds * kernels.product(places, places, winds, 40.0)).sum((1, 2)).sqrt()
blown = kernels.product(c.expand(1000, -1, -1), places, winds, 40.0)
work = (tau * blown).sum((1, 2)) / norms
own = (tau * velocity(c, c, tau, 40.0)).sum() / field_norm2(c, tau, 40.0).sqrt()
assert work.abs().max() < own
assert torch.allclose(own, currents.norm2(jaw, 40.0).sqrt())
print(f"best of 1000: {work.abs().max():.0f} px, the curve's own: {own:.0f} px")

# %% mystnb={"image": {"alt": "The jaw as a chain of thick orange arrows from the left ear around the chin to the right ear, and around it a blue field of arrows, the wind that does the most work along it: it flows with the jaw in a band and dies out within forty pixels."}} tags=["hide-input"]
columns, rows = torch.linspace(-105, 105, 29), torch.linspace(-40, 150, 26)
grid = torch.cartesian_prod(columns, rows).double()
field = flows.velocity(grid, c, tau, 40.0)
figure, ax = plt.subplots(figsize=(6, 5))
strength = field.norm(dim=1)
ax.quiver(*grid.T, *field.T, strength, cmap="Blues", clim=(-15, strength.max()),
          angles="xy", scale=900, width=0.003)  # fmt: skip
ax.quiver(*jaw[:-1].T, *tau.T, angles="xy", scale_units="xy", scale=1,
          width=0.007, color=plots.PALETTE[1], zorder=4)  # fmt: skip
ax.plot(*c.T, "o", color="black", ms=3, zorder=5)
ax.set(aspect="equal", ylim=(155, -45))
ax.set_axis_off()
plt.show()

# %% [markdown]
# ## The distance of two curves
#
# Two curves are alike if every wind does the same work along both. So subtract: the difference of two currents is
# a current, the second curve's tangents with a minus ({cite:t}`yang2021lddmmface`, eq. 4):
#
# $$
# \begin{aligned}
# D_c(z, y) &= \Bigl\|\sum_i \tau_{z,i}\, \delta_{c_{z,i}} - \sum_j \tau_{y,j}\, \delta_{c_{y,j}}\Bigr\|_{W^*}^2 \\
#   &= \|\mu_z\|^2 - 2\, \langle \mu_z, \mu_y \rangle + \|\mu_y\|^2.
# \end{aligned}
# $$ (eq-current-distance)
#
# No correspondence anywhere, and the two may have different numbers of points.


# %%
def distance2_by_hand(z, y, sigma):
    cross = 0.0
    for cz, tz in zip(*(part.tolist() for part in edges(z)), strict=True):
        for cy, ty in zip(*(part.tolist() for part in edges(y)), strict=True):
            k = math.exp(-(math.dist(cz, cy) ** 2) / sigma**2)
            cross += k * (tz[0] * ty[0] + tz[1] * ty[1])
    norms = current_norm2_by_hand(z, sigma) + current_norm2_by_hand(y, sigma)
    return norms - 2 * cross


# %% [markdown]
# Or as the norm of one current with the edges of both, those of the second reversed:


# %%
def distance2(z, y, sigma):
    (cz, tz), (cy, ty) = edges(z), edges(y)
    return field_norm2(torch.cat([cz, cy]), torch.cat([tz, -ty]), sigma)


coarse = jaw[::2]  # every other point: 9 of 17
for other in (three["pushed"], coarse):
    library = currents.distance2(other, jaw, 40.0)
    assert torch.allclose(distance2(other, jaw, 40.0), library)
    assert math.isclose(distance2_by_hand(other, jaw, 40.0), library, rel_tol=1e-6)

# %% [markdown]
# **Flipped.** The same jaw from the other ear has all tangents reversed: $\mu_{\text{flipped}} = -\mu$. It is as far from the
# jaw as a curve of that size can be, $D_c = \|2\mu\|^2 = 4\|\mu\|^2$. Direction is part of the shape.

# %%
size = currents.norm2(jaw, 40.0)
assert torch.allclose(currents.distance2(jaw.flip(0), jaw, 40.0), 4 * size)

# %% [markdown]
# **Split and coarsened.** Cut each edge in two. Nothing visible has changed, and almost nothing that a wind of scale
# $\sigma_W$ could feel: each Dirac becomes two, a quarter of an edge to either side. Doing so to edges of length $h$
# costs a squared distance that falls with the *fourth power* of $h$. Coarsening is the same read backwards, plus what the
# corners cut away:


# %%
def split(x):
    """Every edge cut in its middle."""
    between = torch.stack([x[:-1], (x[1:] + x[:-1]) / 2], 1).flatten(0, 1)
    return torch.cat([between, x[-1:]])


def arc(n):
    """A smooth jaw of n edges: half an ellipse."""
    t = torch.linspace(0, math.pi, n + 1, dtype=torch.float64)
    return torch.stack([-70 * t.cos(), 100 * t.sin()], 1)


# %%
counts = [8, 16, 32, 64, 128]
h = torch.stack([(arc(n)[1:] - arc(n)[:-1]).norm(dim=1).mean() for n in counts])
costs = {"each edge cut in two": [], "half of the points left out": []}
for n in counts:
    for cost, other in zip(
        costs.values(), (split(arc(n)), arc(n // 2)), strict=True
    ):
        cost.append(currents.distance2(other, arc(n), 40.0).item())

# %% mystnb={"image": {"alt": "Log-log plot of the squared distance against the length of an edge from 2 to 35 pixels. Both lines, for edges cut in two and for half of the points left out, run straight and parallel to a dotted guide of slope four, over five decades; leaving out points costs some fifty times more."}} tags=["hide-input"]
figure, ax = plt.subplots(figsize=(6, 3.2))
for (name, cost), marker in zip(costs.items(), "os", strict=True):
    ax.loglog(h, cost, marker + "-", label=name)
    order = math.log2(cost[-2] / cost[-1])
    assert abs(order - 4) < 0.02
guide = costs["each edge cut in two"][0] * (h / h[0]) ** 4
ax.loglog(h, 0.1 * guide, "k:", label="slope 4")
ax.set(xlabel="length $h$ of an edge (px)", ylabel="$D_c$ (px²)")
ax.set_xticks([2, 4, 8, 16, 32], [2, 4, 8, 16, 32])
ax.minorticks_off()
ax.legend()
plt.show()

# %% [markdown]
# So a curve of 17 points and one of 33 can be compared without converting either, as long as both have edges shorter than
# $\sigma_W$. That is what the paper needs when one network is trained with several annotation schemes.
#
# ## What the norm sees, and what it forgives
#
# The other half of the paper's discrepancy is the plain one ({cite:t}`yang2021lddmmface`, eq. 5):
#
# $$
# D_l(z, y) = \frac1n \sum_{i=1}^n |z_i - y_i|.
# $$ (eq-landmark)


# %%
def landmark_by_hand(z, y):
    total = 0.0
    for p, q in zip(z.tolist(), y.tolist(), strict=True):
        total += math.dist(p, q)
    return total / len(y)


# %%
def landmark(z, y):
    return (z - y).norm(dim=-1).mean(-1)


library = currents.landmark_discrepancy(three["slid"], jaw)
assert torch.allclose(landmark(three["slid"], jaw), library)
assert math.isclose(landmark_by_hand(three["slid"], jaw), library, rel_tol=1e-9)

# %% [markdown]
# Now your ranking. For each of the three jaws: the landmark term, the mean distance of nearest points
# ({doc}`02_measuring_error`), and the distance as currents, as a share of the jaw's own norm: one would be no jaw at
# all. The width is the paper's: $\sigma_V$ is the *scale* of the curve, the mean of its width and its height, and
# $\sigma_W$ is half of it.


# %%
def sigma_w(curve):
    extent = curve.amax(0) - curve.amin(0)  # width, height
    return extent.mean().item() / 2


# %%
def nearest(z, y):
    d = torch.cdist(z, y)
    return torch.cat([d.amin(0), d.amin(1)]).mean()


def as_share(z, y, sigma):
    squares = currents.distance2(z, y, sigma) / currents.norm2(y, sigma)
    return squares.sqrt()


# %% tags=["nbval-check-output"]
print("           landmarks   nearest points   currents")
for name, found in three.items():
    lengths = landmark(found, jaw), nearest(found, jaw)
    share = as_share(found, jaw, sigma_w(jaw))
    print(f"{name:9s} {lengths[0]:7.0f} px {lengths[1]:11.0f} px {share:13.2f}")

# %% [markdown]
# Only the last column ranks as the eye does: *slid* is nothing, *pushed* is something, *backwards* is as wrong as can be.
# Slide a little less, a little more, and compare with a push by the same distances. What would you call fair?

# %% mystnb={"image": {"alt": "The price of sliding as a share of the price of a push of the same size, against the slide in steps from 0 to 1. Landmarks: flat at one. Nearest points: at one up to half a step, then falling to zero. Currents with sigma of half a step: falling slowly from 0.8 to 0.1. Currents with sigma of one step or more: close to zero throughout."}} tags=["hide-input"]
slides = torch.linspace(0.02, 1, 30).tolist()
step = (jaw[1:] - jaw[:-1]).norm(dim=1).mean().item()
measures = {"landmarks": landmark, "nearest points": nearest}
for r in (0.5, 1.0, 4.0):
    measures[rf"currents, $\sigma_W$ = {r:g} steps"] = lambda z, y, s=r * step: (
        currents.distance2(z, y, s).sqrt()
    )
figure, ax = plt.subplots(figsize=(6.5, 3.2))
for (name, measure), style in zip(
    measures.items(), ("--", "-.", ":", "-", "-"), strict=True
):
    price = [measure(slide(s), jaw) / measure(push(s), jaw) for s in slides]
    ax.plot(slides, price, style, label=name)
ax.set(xlabel="slide (steps between landmarks)", ylim=(-0.03, 1.08))
ax.set(ylabel="price of a slide /\nprice of a push as far")
figure.legend(loc="outside right upper")
plt.show()

# %% [markdown]
# The landmark term never forgives. Nearest points forgive only a slide by whole steps, which nobody makes. A current forgives any, if its
# $\sigma_W$ is not shorter than a step: then it sees a line and no longer the points. (These are distances; the loss has their squares.) That is why the paper adds the two:
# the curve term knows where the jaw is, and $D_l$ says where *along* it a corner of the mouth has to be.

# %% [markdown]
# ## On a face
#
# Twelve curves, each with a width of its own. On the left the circles have the radius $\sigma_W$ of their curve. In the
# middle a face from the statistics of real ones, over the mean face; on the right how far its curves are from the mean's,
# as shares of the mean's norms.

# %%
widths = torch.tensor([sigma_w(mean[part]) for part in slices])
sampled = 90 * statistics.sample(statistics.real_300w(), 4, generator)[3]
apart2 = currents.distance2(template.with_points(sampled), template, widths)
shares = (apart2 / currents.norm2(template, widths)).sqrt()
one = as_share(sampled[36:42], mean[36:42], widths[6].item())
assert torch.allclose(shares[6], one)  # curves are each as if alone

# %% mystnb={"image": {"alt": "Left: the mean face with a dotted circle on each of its twelve curves, large ones on the two halves of the jaw, small ones on eyes, nose and lips. Middle: a drawn sample face in colours over the grey mean. Right: a horizontal bar for each of the twelve curves with its distance from the mean's as a share of its norm."}} tags=["hide-input"]
LABELS = ["left jaw", "right jaw", "left brow", "right brow", "nose bridge", "nose base",
          "left eye", "right eye", "outer lip, upper", "outer lip, lower",
          "inner lip, upper", "inner lip, lower"]  # fmt: skip
tab = plt.get_cmap("tab20")
colours = [tab(k) for k in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13)]
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.4), width_ratios=[1.1, 0.9, 1])
plots.face(axes[1], mean, "300w-68", colour="#BBBBBB", size=0)
for part, width, colour in zip(slices, widths.tolist(), colours, strict=True):
    curve = mean[part]
    axes[0].plot(*curve.T, color=colour, lw=2.5)
    middle = (curve.amax(0) + curve.amin(0)) / 2
    circle = plt.Circle(middle, width, fill=False, ls=":", ec=colour, lw=1.2)
    axes[0].add_patch(circle)
    axes[1].plot(*sampled[part].T, color=colour, lw=2.5)
axes[2].barh(LABELS, shares, color=colours)
axes[2].invert_yaxis()
axes[2].set(xlabel="distance / norm")
axes[0].set(aspect="equal", xlim=(-105, 105), ylim=(140, -70))
axes[0].set_axis_off()
plt.show()

# %% [markdown]
# And here two curves to move with your own hands: drag, flip, split, coarsen, and change $\sigma_W$. *Before you touch it:
# where must the second curve be for the squared distance to be larger than both squared norms together?*

# %%
from lddmmlib.widgets import CurrentExplorer

CurrentExplorer()

# %% [markdown]
# ## If it goes wrong
#
# | Symptom | Cause | Cure |
# |---|---|---|
# | the distance of a curve to itself is four times its norm squared | one of the two runs backwards | order the points; after a flip of the picture, permute by `schemes.get(...).flip` |
# | the curve term is almost constant, its gradient shrinks the curve | $\sigma_W$ smaller than the gap between the curves | a larger $\sigma_W$ first, or the landmark term beside it |
# | an eye costs nothing, wherever it is | $\sigma_W$ larger than the closed curve | a width per curve, from its own extent |
# | Cholesky fails, momenta explode | a point twice, or spacing far below $\sigma_V$ | leave one out; add a ridge |
# | sliding is charged after all | $\sigma_W$ shorter than an edge | widen it, or `split` the edges |
# | everything is off by a factor near 1.41 in $\sigma$ | a kernel with the half | multiply that $\sigma$ by $\sqrt2$ |
#
# The second, made on purpose. A ring of six points starts 22 pixels beside the eye that it should find, and follows the gradient
# of $D_c$, smoothed a little by a kernel so that the points stay together. Everything is the same in both runs but $\sigma_W$.


# %%
def find(target, start, sigma, rate=0.03, steps=300):
    x = start.clone().requires_grad_()
    for _ in range(steps):
        value = currents.distance2(x, target, sigma, closed=True)
        (pull,) = torch.autograd.grad(value, x)
        with torch.no_grad():
            x -= rate * kernels.product(x, x, pull, 34.0)
    return x.detach()


# %%
eye = mean[36:42]
begin = eye + torch.tensor([22.0, -6.0], dtype=torch.float64)
found = {sigma: find(eye, begin, sigma) for sigma in (8.5, 17.0)}

# %% mystnb={"image": {"alt": "Two panels with a grey eye and a dashed ring beside it. Left, with the small sigma, the orange ring has not reached the eye but shrunk to less than half of its size near where it began. Right, with sigma twice as large, the orange ring lies on the grey eye."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(7, 2.4), sharex=True, sharey=True)
for ax, (sigma, x) in zip(axes, found.items(), strict=True):
    for ring, style, colour in ((eye, "o-", "#999999"), (begin, "o--", "#BBBBBB"),
                                (x, "o-", plots.PALETTE[1])):  # fmt: skip
        ax.plot(*torch.cat([ring, ring[:1]]).T, style, color=colour, ms=3)
    ax.set(title=rf"$\sigma_W$ = {sigma} px", aspect="equal")
    ax.set_axis_off()
axes[0].annotate("target", eye[0], (0, 10), textcoords="offset points", ha="center")
axes[0].annotate("start", begin[3], (8, 0), textcoords="offset points", va="center")
axes[0].invert_yaxis()
plt.show()

# %%
size = {sigma: (x.amax(0) - x.amin(0)).max().item() for sigma, x in found.items()}
off = {sigma: landmark(x, eye).item() for sigma, x in found.items()}
assert size[8.5] < 0.5 * (eye.amax(0) - eye.amin(0)).max()
assert off[17.0] < 2

# %% [markdown]
# Where no wind of scale $\sigma_W$ reaches both curves, $D_c \approx \|\mu_z\|^2 + \|\mu_y\|^2$. All that the moving curve
# can do to make this smaller is to disappear, and so it does. The small width was no foolish choice, either: it is
# the paper's for this eye.

# %%
print(f"sigma_W of this eye by the rule: {sigma_w(eye):.1f} px")
assert f"{sigma_w(eye):.1f}" == f"{min(found):.1f}"

# %% [markdown]
# ## Choosing the parameters
#
# **$\sigma_W$** is the one that matters. Turn it from nothing to everything:

# %% tags=["hide-input"]
sigmas = torch.logspace(-0.5, 3, 70, dtype=torch.float64).tolist()
closed_eye = torch.cat([mean[36:42], mean[36:37]])


def over_length2(curve, value):
    return value / (curve[1:] - curve[:-1]).norm(dim=1).sum() ** 2


def missed(move, sigma):
    """The distance of an eye to one further down, over both squared norms."""
    other = closed_eye + torch.tensor([0.0, move])
    both = currents.norm2(closed_eye, sigma) + currents.norm2(other, sigma)
    return currents.distance2(other, closed_eye, sigma) / both


# %% mystnb={"image": {"alt": "Two plots against sigma on a log axis. Left, the squared norm over length squared of the half jaw, the eye left open and the eye closed: the jaw rises from an eighth to four fifths; the closed eye falls to zero, the open eye to a small value. Right, the distance of an eye to the same eye moved by 3, 9 and 27 pixels as a share of the largest: one for sigma well below the move, a hump above one near it, falling to zero beyond."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2))
curves = {"left jaw": mean[:9], "eye, open": eye, "eye, closed": closed_eye}
for (name, curve), colour in zip(curves.items(), plots.PALETTE, strict=False):
    norms = [over_length2(curve, currents.norm2(curve, s)) for s in sigmas]
    axes[0].semilogx(sigmas, norms, color=colour, label=name)
    end_to_end = (curve[-1] - curve[0]).square().sum()
    axes[0].axhline(over_length2(curve, end_to_end), color=colour, ls=":")
for move in (3.0, 9.0, 27.0):
    distances = [missed(move, s) for s in sigmas]
    axes[1].semilogx(sigmas, distances, label=f"moved by {move:.0f} px")
axes[0].set(xlabel=r"$\sigma_W$ (px)", ylabel=r"$\|\mu\|^2$ / length²")
axes[1].set(xlabel=r"$\sigma_W$ (px)", ylim=(0, 1.85))
axes[1].set_ylabel(r"$D_c$ / $(\|\mu_z\|^2 + \|\mu_y\|^2)$")
axes[0].legend()
axes[1].legend(loc="upper right")
plt.show()

# %% [markdown]
# On the left, each norm starts at what unrelated edges add up to, $\sum |\tau_i|^2$: with a width far below an edge every edge is on
# its own. It ends, dotted, at $\lvert\sum \tau_i\rvert^2$: a curve much shorter than $\sigma_W$ is seen as one arrow from its
# first point to its last. Of the jaw much is left; of an open eye it is the small gap between its first
# point and its last; a closed eye is **nothing at all**. On the right, with a width far below the distance of two curves the
# distance is a constant: they do not overlap, and it does not matter by how much they miss each other. (The humps above one
# are where the upper lid of one eye meets the lower lid of the other, which runs the other way.)
#
# Between the two lies the paper's rule, $\sigma_W = \tfrac12 \sigma_V$ with $\sigma_V = \tfrac12(\Delta x + \Delta y)$ of that
# curve in the mean face: wide enough to feel a miss by a third of the curve, narrow enough to feel its shape. The two
# limits in numbers, for the eye:

# %%
tau = eye[1:] - eye[:-1]
narrow, wide = (currents.norm2(eye, s) for s in (0.01, 1e6))
assert torch.allclose(narrow, tau.square().sum())
assert torch.allclose(wide, tau.sum(0).square().sum())
assert torch.allclose(wide, (eye[-1] - eye[0]).square().sum())
assert currents.norm2(eye, 1e6, closed=True) < 1e-6

# %% [markdown]
# **$\sigma_V$** says how far a momentum reaches; chapter 11 turns it. **$\beta$**, the weight of the curve term, has a *unit*:
# $D_c$ is a squared length and $D_l$ a length, so $\beta$ is one over a length, and the paper's $\beta = 0.1$ means
# nothing without the size of the frame in pixels. The third exercise is about this.

# %% [markdown]
# ## Paper versus code
#
# :::{admonition} Paper versus code
# - **One width for all curves.** The paper takes a $\sigma_W$ for each curve. The released curve loss looks it up
#   by the *number of the curve* in a list that has one entry *per landmark*. On WFLW and HELEN the first jaw curve has more
#   landmarks than the face has curves, so that every curve is measured with the first jaw curve's width.
# - **Frame.** The widths were taken in a frame of 112 pixels, and are not rescaled where the frame has 256.
# - **Open eyes.** The curves are runs of consecutive landmarks. A run does not return to its first point, so an eye, and a
#   brow of WFLW, has a gap; the edge between two runs of the jaw, or at a corner of the mouth, belongs to nobody.
# - **Square.** The text calls $D_c$ "the norm of the difference"; its equation 4 has the norm squared.
# - **Ends of the sums.** Equation 1 runs to $n$; $n$ points have $n - 1$ edges.
# - **"Between the pupils".** The paper divides the loss by the distance of the pupils, the code by that of the outer corners
#   of the eyes, and the curve term of each curve by its number of points.
#
# Ours: each curve its own width, in the unit of its points; `closed=` for the curves that are.
# :::
#
# What does the first do to a number? The mean head with the 98 points of WFLW, its twelve curves, and every curve moved
# down by five pixels. As multiples of what the own width gives: the squared norm and the squared distance with the *first* width, and
# the distance with the *unscaled* one, made for 112 pixels and used at 256.

# %%
points98 = geometry.landmarks(face, "wflw-98")[0][:96]  # without the pupils
ENDS98 = [0, 17, 33, 42, 51, 55, 60, 68, 76, 83, 88, 93, 96]
slices98 = [slice(a, b) for a, b in pairwise(ENDS98)]
face98 = Curves(points98, slices98)
moved = face98.with_points(points98 + torch.tensor([0.0, 5.0]))
own = torch.tensor([sigma_w(points98[part]) for part in slices98])
options = {"own": own, "first": own[:1].expand(12), "112-px": own * 112 / 256}
sizes = {k: currents.norm2(face98, s) for k, s in options.items()}
costs = {k: currents.distance2(moved, face98, s) for k, s in options.items()}

# %% tags=["nbval-check-output"]
print("                   sigma_W  norm2:  D_c moved:       ")
print("                            first   first   unscaled")
for i, name in enumerate(LABELS):
    size, cost = (x["first"][i] / x["own"][i] for x in (sizes, costs))
    frame = costs["112-px"][i] / costs["own"][i]
    row = f"{size:8.2f} {cost:7.2f} {frame:8.1f}"
    print(f"{name:18s} {own[i]:5.0f} px {row}")

# %%
gain = {k: costs["first"][i] / costs["own"][i] for k, i in (("jaw", 0), ("eye", 6))}
assert gain["jaw"] == 1
assert gain["eye"] < 0.03

# %% [markdown]
# The lines are counted as one arrow each, up to twice their size; the eyes and brows, rings but for a gap, nearly drop out. Such a loss watches the jaw. And in a frame
# larger than the widths were made for, every curve costs more and sees less far.
#
# The gap of the open eye, in the norm that its own width gives it:

# %%
eye98 = points98[60:68]
for name, closed in (("open, as released", False), ("closed", True)):
    norm2 = currents.norm2(eye98, sigma_w(eye98), closed=closed)
    print(f"{name:18s} {norm2:.0f} px²")

# %% [markdown]
# ## The recorded run
#
# Do real faces care? On the annotations that we have, 68 points, each face was laid on the mean face, and each of its curves
# compared with the mean's: with its own width, and with the first jaw curve's for all, which is what the
# released code does on WFLW and HELEN. That is the left picture, in squares as the loss adds them up. For the right one the points of
# each real curve, but for its ends, were moved half-way to the next, or as far at right angles; these are lengths.

# %%
recorded = result("curve_norm")
ratio = recorded["first_over_own"]
sliding = recorded["sliding_over_missing"]

# %% mystnb={"image": {"alt": "Two bar charts with a row for each of the twelve curves. Left, the curve distance with the first curve's width over that with the own: one for the left jaw, nine tenths for the right one, between a quarter and six tenths for brows, nose and lips, below a tenth for both eyes. Right, dots for the price of sliding over the price of missing: landmarks at one, nearest points close below one, currents far below, except for the lower inner lip."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.7), sharey=True)
values, ends = torch.tensor(ratio["value"]), torch.tensor(ratio["interval"]).T
axes[0].barh(recorded["curves"], values, xerr=(ends - values).abs(), capsize=2)
axes[0].set(xlabel="$D_c$ to the mean face:\nfirst curve's $\\sigma_W$ / its own")
axes[0].invert_yaxis()
names = {"landmarks": "landmarks", "nearest_points": "nearest points"}
names["curve"] = "currents, own $\\sigma_W$"
for (key, name), marker, colour in zip(
    names.items(), "|dos"[:3], (plots.PALETTE[i] for i in (6, 4, 2)), strict=True
):
    axes[1].plot(sliding[key]["value"], recorded["curves"], marker, color=colour,
                 ms=7, label=name)  # fmt: skip
axes[1].set(
    xlabel="half a step along the curve /\nas far at right angles", xlim=(0, 1.1)
)
figure.legend(loc="outside upper right", ncols=3)
plt.show()

# %%
print("Spearman's rank correlation of the curve distance and the landmark distance")
pairs = zip(recorded["curves"], recorded["rank_correlation"]["value"], strict=True)
for name, rank in pairs:
    print(f"{name:18s} {rank:.2f}")
print(f"{'whole face':18s} {recorded['rank_correlation_whole_face']['value']:.2f}")

# %%
eyes = [
    ratio["value"][recorded["curves"].index(f"{s} eye")] for s in ("left", "right")
]
assert max(eyes) < 0.1
short = sliding["curve"]["value"][2:11]
assert 0.15 < min(short) < max(short) < 0.5
assert max(sliding["curve"]["value"][:2]) < 0.1
assert recorded["rank_correlation_whole_face"]["value"] > 0.9
assert all(c < n for c, n in zip(*(sliding[k]["value"] for k in
                                   ("curve", "nearest_points")), strict=True))  # fmt: skip

# %% [markdown]
# Three findings, and the last is the sober one. With one width for all, the eyes lose more than nine tenths of their curve
# term. Sliding along the jaw is all but free, along the short curves it costs from a fifth to a half of a miss as far, and nearest points forgive
# next to nothing; on the lower inner lip with its three points a step is longer than $\sigma_W$, and the current has become nearly as strict as the rest. And yet the two terms *rank*
# faces almost alike: whoever looks different from the mean does so in every measure. What the curve term adds is not
# another opinion of which face is worse, but where the gradient points.

# %% [markdown]
# ## Exercises
#
# Replace each `...`, run the self-check, then unfold a solution.
#
# :::{exercise} Check
# :label: ex-currents-check
# Three curves of two edges, each of length 10, with $\sigma_W = 10$. The first goes straight on: $(0,0), (10,0), (20,0)$. The
# second turns by a right angle: $(0,0), (10,0), (10,10)$. The third turns back: $(0,0), (10,0), (0,0)$. Find the three
# squared norms by hand. Which is the smallest, and would you have called it a curve?
# :::

# %% tags=["stub"]
straight = ...
corner = ...
back = ...

# %% tags=["self-check"]
paths = torch.tensor(
    [
        [[0, 0], [10, 0], [20, 0]],
        [[0, 0], [10, 0], [10, 10]],
        [[0, 0], [10, 0], [0, 0]],
    ]
).double()
for mine, path in zip((straight, corner, back), paths, strict=True):
    check(mine, currents.norm2(path, 10.0), tolerance=1e-4)

# %% tags=["solution"]
straight = 100 + 100 + 2 * 100 * math.exp(-1)  # centres 10 apart
corner = 100 + 100  # the tangents are at right angles: no cross term
back = 0  # the same centre, opposite tangents: there and back is nothing
for mine, path in zip((straight, corner, back), paths, strict=True):
    assert math.isclose(mine, currents.norm2(path, 10.0), abs_tol=1e-9)

# %% [markdown]
# :::{exercise} Extend
# :label: ex-currents-extend
# Direction counts in a current, and sometimes nobody knows it. Write `unoriented_norm2(x, sigma)`, which replaces
# $\tau_i \cdot \tau_j$ by $(\tau_i \cdot \tau_j)^2 / (|\tau_i|\,|\tau_j|)$: then $\tau$ and $-\tau$ are the same edge. What is
# the norm of "there and back" now? (Such a sum is called a *varifold*.)
# :::


# %% tags=["stub"]
def unoriented_norm2(x, sigma):
    return ...


# %% tags=["self-check"]
there_and_back = torch.tensor([[0, 0], [10, 0], [0, 0]]).double()
slanted = torch.tensor([[0, 0], [10, 0], [13, 4]]).double()  # the second is shorter
check(unoriented_norm2(there_and_back, 10.0), 400)
check(unoriented_norm2(slanted, 10.0), 125 + 36 * math.exp(-0.4625))


# %% tags=["solution"]
def unoriented_norm2(x, sigma):
    c, tau = edges(x)
    length = tau.norm(dim=1)
    angle = (tau @ tau.T).square() / (length[:, None] * length)
    return (kernel(c, c, sigma) * angle).sum()


assert math.isclose(unoriented_norm2(there_and_back, 10.0), 400, rel_tol=1e-9)
assert unoriented_norm2(slanted, 10.0) > 125

# %% [markdown]
# :::{exercise} Explore
# :label: ex-currents-explore
# The paper's loss adds $\beta D_c + D_l$ with $\beta = 0.1$. Suppose that this was chosen in the frame of 112 pixels for which the
# widths were made. Your network works with 256, and you scale the widths along with the face. Before you compute: by which factor
# does the curve term grow beside the landmark term, if you keep $\beta$? Which $\beta$ keeps the balance? The self-check takes the
# sampled face from above; try other curves.
# :::

# %% tags=["stub"]
beta_256 = ...

# %% tags=["self-check"]


def curve_over_landmarks(scale, beta, part=slices[0]):
    z, y = scale * sampled[part], scale * mean[part]
    d = currents.distance2(z, y, scale * sigma_w(mean[part]))
    return (beta * d / landmark(z, y)).item()


before = curve_over_landmarks(112 / 256, 0.1)
print(f"curve term / landmark term: {before:.2f} at 112 pixels")
print(f"                            {curve_over_landmarks(1.0, 0.1):.2f} at 256")
if beta_256 is ...:
    check(beta_256, 0.0)
else:
    check(curve_over_landmarks(1.0, beta_256), before)

# %% tags=["solution"]
beta_256 = 0.1 * 112 / 256  # one over a length
assert math.isclose(curve_over_landmarks(1.0, beta_256), before, rel_tol=1e-9)

# %% [markdown]
# ## Quiz
#
# **1.** A predicted jaw has all its points exactly on the true jaw, half a step further along. Its landmark
# error is large. What does the curve term with a $\sigma_W$ of several steps say?
#
# :::{dropdown} a. As much as the landmark term
# **No**. It knows no correspondence, so it cannot notice that point three is where point three and a half should be.
# :::
# :::{dropdown} b. Nearly nothing
# **Right**. The edges, added up over a distance of $\sigma_W$, are the same. Only the ends of the jaw differ.
# :::
# :::{dropdown} c. Four times the squared norm
# **No**. That is the distance to the *flipped* jaw, whose tangents run the other way.
# :::
#
# **2.** A friend replaces your $\sigma_W$ by one ten times as large, "to be on the safe side". Which curve suffers most?
#
# :::{dropdown} a. The jaw
# **No**. It is open and long. Even as one single arrow from ear to chin it is still a large one.
# :::
# :::{dropdown} b. A closed eye
# **Right**. Its tangents add up to zero, and a wind that does not change over the eye does no work around it.
# :::
# :::{dropdown} c. All alike
# **No**. The norm tends to $|\sum\tau|^2$, which is a length for an open curve and zero for a closed one.
# :::
#
# **3.** You descend $D_c$ alone, and the curve shrinks to a speck where it started. What happened?
#
# :::{dropdown} a. The step was too long
# **No**. A shorter step shrinks it more slowly. The objective itself prefers a smaller curve.
# :::
# :::{dropdown} b. The two curves do not overlap at the scale of the norm
# **Right**. Then the scalar product of the two is nil, and all that is left to reduce is the moving curve's own norm.
# :::
# :::{dropdown} c. The target was flipped
# **No**. That matters only within reach. Here the curve feels no target at all, whichever way it runs.
# :::
#
# **4.** Why does `kernels.product` not simply return `gaussian(a, b, sigma) @ f`?
#
# :::{dropdown} a. For the memory
# **Right**. The values agree. But the matrix, kept for the gradient at every step of a flow, is what fills a machine.
# :::
# :::{dropdown} b. It is more exact
# **No**. It is the same sum; in single precision its exponent is even a little less exact far from the origin.
# :::
# :::{dropdown} c. It leaves out small terms
# **No**. Every pair is summed. Leaving out far pairs would be another, and a riskier, way to save.
# :::
#
# ## Take-aways
#
# - One function, $k(a, b)$, without the half, does everything here: it moves points and it measures curves.
# - Its sums are the only operation that costs the square of the number of points.
# - A curve is what it does to a field. Where the points lie on it does not matter; which way it runs does.
# - $\sigma_W$ is the scale at which one looks. Below an edge, all is points; beyond the curve, it is one arrow, and rings are gone.
# - The curve term and the landmark term rank faces alike; they pull in different directions.
#
# Next, the momenta are let go: they move the points, and the points carry them along.
#
# ## Equation, function, test
#
# | Equation | Function | Test |
# |---|---|---|
# | {eq}`eq-kernel` | `kernels.gaussian` | `tests/test_kernels.py::test_there_is_no_half_in_the_exponent` |
# | {eq}`eq-velocity` | `kernels.product`, `flows.velocity` | `tests/test_kernels.py::test_product_is_the_matrix_product`, `tests/test_flows.py::test_velocity_is_the_sum_of_equation_6` |
# | {eq}`eq-rkhs` | `flows.hamiltonian` | `tests/test_flows.py::test_hamilton_equations_are_the_gradient_of_the_hamiltonian` |
# | {eq}`eq-current-norm` | `currents.norm2`, `currents.norm2_by_loops` | `tests/test_currents.py::test_norm_and_distance_against_double_loops`, `tests/test_currents.py::test_norm2_agrees_with_the_version_to_read` |
# | {eq}`eq-current-distance` | `currents.distance2` | `tests/test_currents.py::test_a_flipped_curve_is_the_negative` |
# | {eq}`eq-landmark` | `currents.landmark_discrepancy` | `tests/test_currents.py::test_landmarks_by_hand_and_their_gradient` |
