# %% [markdown]
# # Flows and shooting
#
# :::{admonition} At a glance
# **Question** How do a few arrows on a face move the whole plane without tearing or folding it, and what exactly is it
# that is "completely encoded by the initial momenta"?
#
# **Paper** {cite:t}`yang2021lddmmface`, sections 3.1.1, 3.1.2 and "Flexible and Consistent Face Alignment", equations 6 and 7
#
# **You will be able to** turn momenta into a velocity, a flow and a map of the plane; tell the three flows apart that go
# by one equation; say what a geodesic keeps; choose a method and a number of steps, and prove that the result is
# one-to-one
#
# **Before this** {doc}`10_kernels_and_currents`
#
# **Reading** {reading-time}`-`
#
# **Run time** {run-time}`-`
# :::

# %% [markdown]
# ## Predict first
#
# A face, and arrows at nine of its landmarks. Each arrow is a *momentum*, drawn as long as its landmark would move if it
# were the only one in the world. The three on the chin point down. On the inner lips three point down and three up, and
# each of the six is longer than the mouth is open: alone, every landmark would land on the wrong side.
#
# **How far does the chin move: as far as its arrows say, less, or more? Do the lips pass through each other? And what
# does the nose do, which has no arrow?**

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import torch

from lddmmlib import flows, plots
from lddmmlib.faces import geometry
from lddmmlib.notebook import start

generator = start(seed=0)
torch.set_num_threads(1)  # few points: a second thread gains nothing


def arrows(ax, x, p, colour=plots.PALETTE[1]):
    x, p = x[p.norm(dim=-1) > 0], p[p.norm(dim=-1) > 0]
    units = {"angles": "xy", "scale_units": "xy", "scale": 1}  # as long as they are
    ax.quiver(*x.T, *p.T, color=colour, width=0.008, zorder=4, **units)


# %% mystnb={"image": {"alt": "The lower half of a line-drawn face with an open mouth. Orange arrows: three on the chin point down; three on the upper inner lip point down and three on the lower inner lip point up, each longer than the gap between the lips."}} tags=["hide-input"]
face = geometry.Face3D(scale=100.0).express(mouth_open=0.5)
x0, _ = geometry.landmarks(face)  # (68, 2), pixels, eye corners 100 px apart
gap = (x0[66] - x0[62])[1]
push = torch.zeros_like(x0)
push[7:10, 1] = 15.0
push[61:64, 1], push[65:68, 1] = 1.2 * gap, -1.2 * gap

figure, ax = plt.subplots(figsize=(3.6, 3.6))
plots.face(ax, x0, "300w-68", colour="#999999", size=5)
arrows(ax, x0, push)
ax.set(xlim=(-75, 75), ylim=(168, 20))
plt.show()

# %% [markdown]
# Decide, then look:


# %% mystnb={"image": {"alt": "The same lower face after the flow, with the plane's grid carried along. The chin has moved down by about two arrow lengths, the lips have come very close without touching, the grid is squeezed between them but nowhere folded, and the nose has moved down, too."}} tags=["hide-input", "reveal"]
def net(low, high, n=121):
    """A square net of points, (n, n, 2)."""
    axes = [
        torch.linspace(a, b, n, dtype=torch.float64)
        for a, b in zip(low, high, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="xy"), -1)


def draw_net(ax, z, every=5, colour="#BBBBBB"):
    for lines in (z[::every], z[:, ::every].transpose(0, 1)):
        ax.plot(*lines.permute(2, 1, 0), color=colour, lw=0.6, zorder=1)


square = net((-105, -40), (105, 170))
moved = flows.shoot(x0, push, 30.0, 60, points=square.reshape(-1, 2))
figure, ax = plt.subplots(figsize=(3.6, 3.6))
draw_net(ax, moved.points.reshape(square.shape))
plots.face(ax, moved.end, "300w-68", colour=plots.PALETTE[0], size=5)
ax.set(xlim=(-75, 75), ylim=(168, 20))
plt.show()

# %% tags=["nbval-check-output", "reveal"]
print(f"arrow at the chin     {push[8, 1]:5.1f} px")
print(f"the chin moved        {(moved.end - x0)[8, 1]:5.1f} px")
print(f"the lips were apart   {gap:5.1f} px")
print(f"the lips are apart    {(moved.end[66] - moved.end[62])[1]:5.1f} px")
print(f"the tip of the nose   {(moved.end - x0)[30, 1]:5.1f} px down")

# %% [markdown]
# :::{dropdown} What happens
# The chin moves further than any of its arrows, because neighbours push along. The lips come close and *slow down*: no
# push, however long, takes one through the other. And the nose moves without an arrow of its own, since what moves is not a
# set of points but the plane that they lie in.
# :::
#
# That is the promise of paper A: a deformation that never tears and never crosses itself, given by a few arrows. This
# chapter makes the promise come true, finds out which of three different flows the paper's equation means, and then shows
# how the released code can break it.

# %% [markdown]
# ## Set-up

# %%
import math
import textwrap

from lddmmlib.faces import statistics
from lddmmlib.notebook import check, result

generator = start(seed=0)
x = torch.randn(4, 2, generator=generator, dtype=torch.float64)  # a toy
alpha = torch.randn(4, 2, generator=generator, dtype=torch.float64)
sigma = 1.5

# %% [markdown]
# ## Momenta make a velocity
#
# "The velocity vector field" of section 3.1.1 is a sum of bumps, one at each landmark, each as wide as the kernel
# $k_V(a, b) = \exp(-|a-b|^2/\sigma_V^2)$ and pointing where the landmark's momentum $\alpha_j$ points:
#
# $$
# v_t(a) = \sum_{j=1}^n k_V\bigl(x_j(t), a\bigr)\, \alpha_j(t).
# $$ (eq-field)
#
# It is defined at every point $a$ of the plane, not only at landmarks. That is the whole trick. One sum at a time:


# %%
def velocity_by_hand(a, x, alpha, sigma):
    v = [0.0, 0.0]
    for x_j, alpha_j in zip(x.tolist(), alpha.tolist(), strict=True):
        k = math.exp(-(math.dist(x_j, a) ** 2) / sigma**2)
        v = [v[0] + k * alpha_j[0], v[1] + k * alpha_j[1]]
    return torch.tensor(v, dtype=torch.float64)


# %% [markdown]
# All at once it is a kernel matrix times the momenta, and the library's agrees with both:


# %%
def velocity(a, x, alpha, sigma):
    K = torch.exp(-(torch.cdist(a, x) ** 2) / sigma**2)  # (m, n)
    return K @ alpha  # (m, 2)


by_hand = torch.stack([velocity_by_hand(a, x, alpha, sigma) for a in x.tolist()])
assert torch.allclose(velocity(x, x, alpha, sigma), by_hand)
assert torch.allclose(flows.velocity(x, x, alpha, sigma), by_hand)

# %% [markdown]
# A momentum is not a velocity: a landmark also moves with what its neighbours' momenta make of the field at its place.
# One arrow; two alike; two opposed:

# %% mystnb={"image": {"alt": "Three velocity fields as small grey arrows around landmarks with orange momenta and blue velocities. One landmark: velocity equals momentum. Two side by side with equal momenta: each velocity is longer than the momentum. Two side by side with opposite momenta: each velocity is shorter, and the field changes sign between them."}} tags=["hide-input"]
pair = torch.tensor([[-0.4, 0.0], [0.4, 0.0]], dtype=torch.float64)
up = torch.tensor([[0.0, 0.8], [0.0, 0.8]], dtype=torch.float64)
around = net((-1.7, -1.2), (1.7, 1.5), 15).reshape(-1, 2)
cases = {
    "one": (torch.zeros(1, 2).double(), up[:1]),
    "two alike": (pair, up),
    "two opposed": (pair, up * torch.tensor([[1.0], [-1.0]])),
}
figure, axes = plt.subplots(1, 3, figsize=(8, 2.7))
for ax, (title, (at, p)) in zip(axes, cases.items(), strict=True):
    arrows(ax, around, 0.35 * flows.velocity(around, at, p, 1.0), "#AAAAAA")
    shift = torch.tensor([0.07, 0.0])  # side by side, to be seen
    arrows(ax, at - shift, p)
    arrows(ax, at + shift, flows.velocity(at, at, p, 1.0), plots.PALETTE[0])
    ax.plot(*at.T, "ko", ms=4, zorder=5)
    ax.set(title=title, aspect="equal", xlim=(-1.8, 1.8), ylim=(-1.35, 1.75))
    ax.set_axis_off()
axes[0].plot([], [], color=plots.PALETTE[1], label="momentum")
axes[0].plot([], [], color=plots.PALETTE[0], label="velocity")
axes[0].legend(loc="upper left", fontsize=8)
plt.show()

# %% [markdown]
# ## Velocity makes a flow
#
# Let everything move with that velocity for one unit of time. This is equation 6 of the paper, in words: *the landmarks
# ride the field that they themselves make*; equation 7 is the same, integrated:
#
# $$
# \begin{aligned}
# \frac{dx_i(t)}{dt} &= \sum_{j=1}^n k_V\bigl(x_j(t), x_i(t)\bigr)\,\alpha_j(t), \\
# x_i(1) &= x_i(0) + \int_0^1 \sum_{j=1}^n k_V\bigl(x_j(t), x_i(t)\bigr)\,\alpha_j(t)\,dt.
# \end{aligned}
# $$ (eq-flow)
#
# A computer takes steps. The shortest program is Euler's: go straight for a little while, then look again. For now the
# momenta stay what they were at the start:


# %%
def flow_by_hand(x, alpha, sigma, steps):
    for _ in range(steps):
        v = [velocity_by_hand(a, x, alpha, sigma) for a in x.tolist()]
        x = torch.stack([a + b / steps for a, b in zip(x, v, strict=True)])
    return x


# %%
def flow(x, alpha, sigma, steps):
    for _ in range(steps):
        x = x + velocity(x, x, alpha, sigma) / steps
    return x


library = flows.flow(x, alpha, sigma, 10, "euler")
assert torch.allclose(flow_by_hand(x, alpha, sigma, 10), library.end)
assert torch.allclose(flow(x, alpha, sigma, 10), library.end)

# %% [markdown]
# A lone landmark moves by exactly its momentum, by any method and in any number of steps, for it carries its bump along:

# %%
alone = flows.flow(x[:1], alpha[:1], sigma, 1, "euler")
assert torch.allclose(alone.end, x[:1] + alpha[:1])

# %% [markdown]
# ## Passengers
#
# The paper's section "Flexible and Consistent Face Alignment": once the landmarks' way is known, any other point $a_k$ can
# come along. It feels the field, and adds nothing to it:
#
# $$
# a_k(1) = a_k(0) + \int_0^1 \sum_{j=1}^n k_V\bigl(x_j(t), a_k(t)\bigr)\,\alpha_j(t)\,dt.
# $$ (eq-transport)
#
# It is eq. {eq}`eq-flow` for a point without momentum. This is what makes a *map* of the plane out of a motion of
# landmarks, and how the paper gets landmarks that nobody annotated.


# %%
def transport(a, x, alpha, sigma, steps):
    for _ in range(steps):
        v_a, v_x = (velocity(z, x, alpha, sigma) for z in (a, x))
        a, x = a + v_a / steps, x + v_x / steps
    return a


seats = torch.randn(7, 2, generator=generator, dtype=torch.float64)
ridden = transport(seats, x, alpha, sigma, 10)
assert torch.allclose(flows.apply(library, seats), ridden)
same = flows.flow(x, alpha, sigma, 10, "euler", points=seats)
assert torch.allclose(same.points, ridden)

# %% [markdown]
# A passenger that starts on a landmark stays on it, so landmarks are nothing but passengers with a push:

# %%
assert torch.allclose(flows.apply(library, x), library.end)

# %% [markdown]
# ## What moves the momenta?
#
# Eq. {eq}`eq-flow` says $\alpha_j(t)$ and does not say where it comes from. Three answers are possible. The paper's code
# gives one, its equations another, its text a third. The code's are **momenta constant in time**, as we just had them.
#
# What the equations allow is a **momentum path**: any $\alpha(t)$ at all, $T$ times as many numbers. In step $k$ of $T$,
#
# $$
# x_i\bigl(\tfrac{k+1}{T}\bigr) = x_i\bigl(\tfrac kT\bigr)
#   + \int_{k/T}^{(k+1)/T} \sum_{j=1}^n k_V\bigl(x_j(t), x_i(t)\bigr)\,\alpha_j^{(k)}\,dt.
# $$ (eq-path)


# %%
def flow_path(x, alpha_t, sigma):
    for alpha in alpha_t:
        x = x + velocity(x, x, alpha, sigma) / len(alpha_t)
    return x


time = torch.linspace(1, -1, 10, dtype=torch.float64)  # there, and back again
alpha_t = time[:, None, None] * alpha
ours = flow_path(x, alpha_t, sigma)
assert torch.allclose(flows.flow_path(x, alpha_t, sigma, "euler").end, ours)

# %% [markdown]
# Such a path can go anywhere, by any detour. Nothing "initial" encodes it.
#
# What the text speaks of is **geodesic shooting** {cite:p}`miller2006geodesic`. Among all flows that take the landmarks from here to
# there, one spends least: it minimises the paper's $\int_0^1 \|v_t\|_V^2\,dt$, the first term of its equation 2. The
# squared norm of a field made of bumps is a double sum over its momenta, and half of it is called the Hamiltonian,
# $H = \tfrac12 \sum_{ij} k_{ij}\, p_i\cdot p_j$ with $k_{ij} = k_V(x_i, x_j)$. Along the cheapest flow the momenta, now called $p$, obey *Hamilton's equations*:
#
# $$
# \begin{aligned}
# \frac{dx_i}{dt} &= \hphantom{-}\frac{\partial H}{\partial p_i} = \sum_j k_{ij}\, p_j, \\
# \frac{dp_i}{dt} &= -\frac{\partial H}{\partial x_i} = \frac{2}{\sigma_V^2} \sum_j k_{ij}\,(p_i \cdot p_j)\,(x_i - x_j).
# \end{aligned}
# $$ (eq-hamilton)
#
# The first line is equation 6. The second is missing from the paper, and it is the one that makes "completely encoded by
# the initial momenta" true. In words: *momenta that agree push each other apart, momenta that oppose pull each other
# together*. By loops:


# %%
def hamilton_by_hand(x, p, sigma):
    dx, dp = torch.zeros_like(x), torch.zeros_like(p)
    for i in range(len(x)):
        for j in range(len(x)):
            away = x[i] - x[j]
            k = torch.exp(-away.dot(away) / sigma**2)
            dx[i] += k * p[j]
            dp[i] += 2 / sigma**2 * k * p[i].dot(p[j]) * away
    return dx, dp


# %% [markdown]
# At once, and by the library. And since both lines are derivatives of one number, automatic differentiation must find the
# same without being told the formula:


# %%
def hamilton(x, p, sigma):
    K = torch.exp(-(torch.cdist(x, x) ** 2) / sigma**2)
    W = K * (p @ p.T)
    return K @ p, 2 / sigma**2 * (W.sum(1, keepdim=True) * x - W @ x)


x_, p_ = x.clone().requires_grad_(), alpha.clone().requires_grad_()
H = flows.hamiltonian(x_, p_, sigma)
dH_dx, dH_dp = torch.autograd.grad(H, [x_, p_])
for one in (hamilton_by_hand, hamilton, flows.hamilton_equations):
    assert torch.allclose(one(x, alpha, sigma)[0], dH_dp)
    assert torch.allclose(one(x, alpha, sigma)[1], -dH_dx)

# %% [markdown]
# Shooting is stepping along both lines at once:


# %%
def shoot(x, p, sigma, steps):
    for _ in range(steps):
        dx, dp = hamilton(x, p, sigma)
        x, p = x + dx / steps, p + dp / steps
    return x, p


geodesic = flows.shoot(x, alpha, sigma, 10, "euler")
for one in (shoot, flows.shoot_by_equations):  # the library has this text, too
    assert torch.allclose(one(x, alpha, sigma, 10)[0], geodesic.end)
    assert torch.allclose(one(x, alpha, sigma, 10)[1], geodesic.momenta[-1])

# %% [markdown]
# ## Four ends of one beginning
#
# Do the three part on a face? We take momenta that make a resting face smile, roughly, give the *same initial momenta* to
# all, and add a fourth: constant momenta in two Euler steps, which is what the released layer computes.
# The momentum path turns the arrows by an eighth of a circle on the way.

# %%
resting = geometry.Face3D(scale=100.0).express(mouth_open=0.15)
smiling = resting.express(smile=0.9, mouth_open=0.5)
x0, there = (geometry.landmarks(f)[0] for f in (resting, smiling))
width = 30.0  # sigma_V, pixels
K = torch.exp(-(torch.cdist(x0, x0) ** 2) / width**2)
smile = torch.linalg.solve(K + torch.eye(68, dtype=K.dtype), there - x0)


# %%
def turning(p, angle=math.pi / 4, T=50):
    a = torch.linspace(0, angle, T, dtype=p.dtype)[:, None, None]
    across = p.flip(-1) * torch.tensor([-1.0, 1.0])
    return a.cos() * p + a.sin() * across


def four(x, p):
    return {
        "constant": flows.flow(x, p, width, 50, "rk4").end,
        "path": flows.flow_path(x, turning(p), width, "rk4").end,
        "shooting": flows.shoot(x, p, width, 50, "rk4").end,
        "two Euler steps": flows.flow(x, p, width, 2, "euler").end,
    }


# %% mystnb={"image": {"alt": "Four drawings of mouth and chin. First the resting face in grey with orange momenta, and in blue where constant momenta lead. In the other three this end is grey: the path's end is skewed to one side, shooting opens the lips less, and two Euler steps end in between."}} tags=["hide-input"]
ends = four(x0, 2 * smile)
figure, axes = plt.subplots(1, 4, figsize=(9.5, 2.8))
for ax, (name, end), colour in zip(
    axes, ends.items(), plots.PALETTE[:4], strict=True
):
    below = x0 if name == "constant" else ends["constant"]
    plots.face(ax, below, "300w-68", colour="#AAAAAA", size=0)
    plots.face(ax, end, "300w-68", colour=colour, size=4)
    ax.set(xlim=(-72, 72), ylim=(165, 32), title=name)
arrows(axes[0], x0, 2 * smile)
plt.show()

# %% [markdown]
# Same arrows, four faces. How far apart the ends are, at the landmark where it is worst, as the arrows grow:

# %% tags=["nbval-check-output"]
print("momenta   way of the    apart from constant momenta (px)")
print("x smile   farthest     path   shooting   two Euler steps")
for size in (0.125, 0.25, 0.5, 1, 2, 4):
    ends = four(x0, size * smile)
    way = (ends["constant"] - x0).norm(dim=1).max()
    apart = [(end - ends["constant"]).norm(dim=1).max() for end in ends.values()]
    row = f"{way:9.2g}  {apart[1]:10.2g} {apart[2]:9.2g} {apart[3]:12.2g}"
    print(f"{size:7g} {row}")

# %% [markdown]
# For small arrows shooting, constant momenta and two steps agree: what parts them is of second order, a quarter as large
# for momenta half as large. (The turning path parts at first order: it was never the same flow.) For a large expression
# they are different faces. **A network trained to predict momenta for one of the flows predicts the wrong thing for the
# others.** ({doc}`13_deformation_layer` trains one, for the released flow.)
#
# ## What is kept
#
# Nature keeps books. Along the geodesic, three things stay what they were:
#
# $$
# \begin{aligned}
# H &= \tfrac12 \sum_{i,j} k_{ij}\, p_i \cdot p_j, \qquad P = \sum_i p_i, \\
# L &= \sum_i x_i \wedge p_i = \sum_i (x_{i,1}\, p_{i,2} - x_{i,2}\, p_{i,1}),
# \end{aligned}
# $$ (eq-kept)
#
# the energy, because nothing in eq. {eq}`eq-hamilton` depends on time; the total momentum, because nothing depends on
# where the face is; the angular momentum, because nothing depends on how it is turned.


# %%
def energy_by_hand(x, p, sigma):
    H = 0.0
    for x_i, p_i in zip(x, p, strict=True):
        for x_j, p_j in zip(x, p, strict=True):
            k = math.exp(-(math.dist(x_i.tolist(), x_j.tolist()) ** 2) / sigma**2)
            H += 0.5 * k * p_i.dot(p_j).item()
    return H


def kept(x, p, sigma):
    """H (...), P (..., 2), L (...), of x and p (..., n, 2)."""
    L = (x[..., 0] * p[..., 1] - x[..., 1] * p[..., 0]).sum(-1)
    return flows.hamiltonian(x, p, sigma), p.sum(-2), L


assert math.isclose(kept(x, alpha, sigma)[0], energy_by_hand(x, alpha, sigma))
before, after = (
    kept(geodesic.path[k], geodesic.momenta[k], sigma) for k in (0, -1)
)
assert torch.allclose(before[1], after[1])  # P: to rounding, even by Euler

# %% [markdown]
# On half a smile, over time, for the three flows:

# %% mystnb={"image": {"alt": "Energy, total momentum and angular momentum over time, each relative to its start, for shooting, constant momenta and a turning path. Shooting is flat in all three. Constant momenta are flat for total and angular momentum, while their energy rises by half. The path changes all three."}} tags=["hide-input"]
crooked = 2 * smile * (x0[:, :1] > 0)  # the momenta of one half
runs = {
    "shooting": flows.shoot(x0, crooked, width, 60, "rk4"),
    "constant momenta": flows.flow(x0, crooked, width, 60, "rk4"),
    "turning path": flows.flow_path(x0, turning(crooked, T=60), width, "rk4"),
}
at_start = kept(x0, crooked, width)
figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.6))
for (name, run), style in zip(runs.items(), ("-", "--", ":"), strict=True):
    over_time = kept(run.path[:60], run.momenta[:60], width)
    for ax, now, then in zip(axes, over_time, at_start, strict=True):
        if now.ndim == 2:  # P has two components; the second points down
            now, then = now[:, 1], then[1]
        ax.plot(torch.arange(60) / 60, now / then, style, label=name, lw=2)
titles = ("energy H", "total momentum P, down", "angular momentum L")
for ax, title in zip(axes, titles, strict=True):
    ax.set(title=title, xlabel="time t", ylim=(0, 2))
axes[2].set(ylim=(-6.5, 2))
axes[0].set_ylabel("relative to t = 0")
axes[1].legend(loc="lower left")
plt.show()

# %% [markdown]
# Constant momenta keep two of the three for poor reasons: $P$, because nothing ever changes them; $L$, because
# $dL/dt = \sum_{ij} k_{ij}\, \alpha_j \wedge \alpha_i$ and each pair cancels. A path keeps nothing. **Energy is what tells a geodesic from
# the flow of the released layer**:

# %% tags=["nbval-check-output"]
print("drift (relative)       H           P           L")
for name, run in runs.items():
    end = kept(run.path[-1], run.momenta[-1], width)
    drift = [(a - b).norm() / b.norm() for a, b in zip(end, at_start, strict=True)]
    row = ["to rounding" if d < 1e-6 else f"{d:.1f}" for d in drift]
    print(f"{name:17s}" + "".join(f"{word:>12s}" for word in row))

# %% [markdown]
# ## Head-on
#
# Two landmarks at $-d$ and $d$ run at each other with momenta $q$ and $-q$. The energy is
# $H = q^2\,(1 - k)$ with $k = e^{-4d^2/\sigma^2}$, and it is kept, so $q$ is known at every distance and eq.
# {eq}`eq-hamilton` shrinks to one equation for $d$:
#
# $$
# \frac{dd}{dt} = -q\,(1 - k) = -\sqrt{H\,\bigl(1 - e^{-4 d^2/\sigma^2}\bigr)}
# \;\approx\; -\frac{2\sqrt H}{\sigma}\, d \;\; \text{for } d \ll \sigma.
# $$ (eq-head-on)
#
# So the distance falls like $e^{-2\sqrt H t/\sigma}$: it halves, and halves again, and is never zero, while the
# momenta grow without bound. By hand, in many small steps:


# %%
def head_on_by_hand(d, q, sigma, steps=100_000):
    H = q**2 * (1 - math.exp(-4 * d**2 / sigma**2))
    for _ in range(steps):
        d -= math.sqrt(H * (1 - math.exp(-4 * d**2 / sigma**2))) / steps
    return d


def head_on(d, q):
    """Landmarks at -d and d, and their momenta, pointing inwards."""
    x = torch.tensor([[-d, 0.0], [d, 0.0]], dtype=torch.float64)
    return x, torch.tensor([[q, 0.0], [-q, 0.0]], dtype=torch.float64)


met = flows.shoot(*head_on(1.0, 2.0), 1.0, 200, "rk4")
distance = torch.tensor(head_on_by_hand(1.0, 2.0, 1.0)).double()
assert torch.allclose(met.end[1, 0], distance, rtol=1e-4)

# %% [markdown]
# Constant momenta do not grow, so they approach more slowly, like $1/t$; they do not meet either, since no two points of a
# flow ever do. Two Euler steps know nothing of this:

# %% mystnb={"image": {"alt": "Left, positions of two landmarks that run at each other, over time. By shooting, blue, they approach ever more slowly and never meet. By constant momenta, orange, they stay further apart. By two Euler steps, pink, the straight lines cross and the landmarks have changed sides. Right, the momentum of shooting grows exponentially while that of the other two is constant."}} tags=["hide-input"]
at, q = head_on(1.0, 2.6)
runs = {
    "shooting": flows.shoot(at, q, 1.0, 200, "rk4"),
    "constant momenta": flows.flow(at, q, 1.0, 200, "rk4"),
    "two Euler steps": flows.flow(at, q, 1.0, 2, "euler"),
}
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8))
colours = [plots.PALETTE[i] for i in (0, 1, 3)]
for (name, run), colour in zip(runs.items(), colours, strict=True):
    time = torch.linspace(0, 1, len(run.path))
    axes[0].plot(time, run.path[:, 1, 0], color=colour, label=name)
    axes[0].plot(time, run.path[:, 0, 0], color=colour)
    strength = run.momenta[:, 0, 0]
    time = torch.linspace(0, 1, len(strength))
    axes[1].plot(time, strength, color=colour, ls="--" if run.steps == 2 else "-")
axes[0].set(xlabel="time t", ylabel="position (σ)")
axes[1].set(xlabel="time t", ylabel="momentum (σ)", yscale="log")
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# Let them collide yourself. Do they always stop? What happens when they do not aim quite at each other?

# %%
from lddmmlib.widgets import CollisionExplorer

CollisionExplorer()

# %% [markdown]
# ## How good is a step?
#
# Write $\dot s = f(s)$ for eq. {eq}`eq-flow`, where $s = x$, or for eq. {eq}`eq-hamilton`, where $s = (x, p)$. Three rules for a
# step of length $h$: look once, look at the middle, look four times.
#
# $$
# \begin{aligned}
# \text{Euler:} \quad & s \leftarrow s + h f(s), \\
# \text{midpoint (RK2):} \quad & s \leftarrow s + h f\bigl(s + \tfrac h2 f(s)\bigr), \\
# \text{RK4:} \quad & s \leftarrow s + \tfrac h6 (k_1 + 2 k_2 + 2 k_3 + k_4), \\
# & k_1 = f(s),\; k_2 = f(s + \tfrac h2 k_1), \\
# & k_3 = f(s + \tfrac h2 k_2),\; k_4 = f(s + h k_3).
# \end{aligned}
# $$ (eq-steps)


# %%
def midpoint_by_hand(x, alpha, sigma, steps):
    h = 1 / steps
    for _ in range(steps):
        middle = x + h / 2 * velocity(x, x, alpha, sigma)
        x = x + h * velocity(middle, middle, alpha, sigma)
    return x


ours = midpoint_by_hand(x, alpha, sigma, 10)
assert torch.allclose(flows.flow(x, alpha, sigma, 10, "rk2").end, ours)

# %% [markdown]
# With $h = 1/\text{steps}$ the error at the end should fall as $h$, $h^2$ and $h^4$. On the smile, against a very fine
# solution:

# %% mystnb={"image": {"alt": "Error at the end of shooting against the number of steps, on logarithmic axes. Three straight lines fall with slopes one, two and four for Euler, midpoint and Runge-Kutta 4, from several pixels at two steps down to billionths of a pixel."}} tags=["hide-input"]
counts = [2, 4, 8, 16, 32, 64, 128]
exact = flows.shoot(x0, smile, width, 400, "rk4").end
errors = {
    method: [
        (flows.shoot(x0, smile, width, n, method).end - exact).norm(dim=1).max()
        for n in counts
    ]
    for method in flows.METHODS
}
orders = {"euler": 1, "rk2": 2, "rk4": 4}
figure, ax = plt.subplots(figsize=(6, 3.2))
for method, order in orders.items():
    ax.loglog(counts, errors[method], "o-", ms=4, label=f"{method}: order {order}")
ax.set(xlabel="steps", ylabel="error of the end (px)", xticks=counts)
ax.set_xticklabels(counts)
ax.minorticks_off()
ax.legend()
plt.show()

# %% tags=["nbval-check-output"]
for method, order in orders.items():
    measured = math.log2(errors[method][-2] / errors[method][-1])
    print(
        f"{method:6s} order {order}, measured between 64 and 128 steps: {measured:.1f}"
    )
    assert abs(measured - order) < 0.1

# %% [markdown]
# ## There and back
#
# A flow can be run backwards. For shooting: start at the end, with the final momenta reversed. For constant momenta: start
# at the end, with $-\alpha$. Both come back, as exactly as the steps are:

# %% tags=["nbval-check-output"]
print("steps   shooting   constant momenta   (farthest from home, px)")
for steps in (5, 10, 20, 40):
    out = flows.shoot(x0, smile, width, steps)
    home = flows.shoot(out.end, -out.momenta[-1], width, steps).end
    out = flows.flow(x0, smile, width, steps)
    back = flows.flow(out.end, -smile, width, steps).end
    away = [(y - x0).norm(dim=1).max().item() for y in (home, back)]
    print(f"{steps:5d} {away[0]:10.1g} {away[1]:14.1g}")

# %% [markdown]
# Where that is not enough, `flows.inverse` undoes each step itself, and inverts to rounding the very map that was computed:

# %%
out = flows.shoot(x0, smile, width, 10, points=there)
assert torch.allclose(flows.inverse(out, out.points), there)

# %% [markdown]
# An inverse exists where the map does not fold. That has a number at every point, the *Jacobian determinant*: how much
# area grows there, and negative where the plane lies face down.
#
# $$
# J(a) = \det D\varphi_1(a) =
# \frac{\partial \varphi_{1,1}}{\partial a_1} \frac{\partial \varphi_{1,2}}{\partial a_2} -
# \frac{\partial \varphi_{1,1}}{\partial a_2} \frac{\partial \varphi_{1,2}}{\partial a_1}.
# $$ (eq-jacobian)
#
# By finite differences, and by the library, which differentiates the steps:


# %%
def jacobian_by_hand(flow, a, h=1e-5):
    dx, dy = torch.eye(2, dtype=a.dtype) * h
    right = (flows.apply(flow, a + dx) - flows.apply(flow, a - dx)) / (2 * h)
    down = (flows.apply(flow, a + dy) - flows.apply(flow, a - dy)) / (2 * h)
    return right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]


assert torch.allclose(
    flows.jacobian(library, seats), jacobian_by_hand(library, seats)
)

# %% [markdown]
# ## How many steps?
#
# The exact flow never folds. A computed one is a chain of steps, and each must be one-to-one by itself. An Euler step takes
# $a$ to $a + h\,v(a)$. It keeps points apart if the field differs between them by less than they do, that is if
# $h\,\mathrm{Lip}(v) < 1$. A bump is steepest at the distance $\sigma/\sqrt2$ from its middle, where its slope is
# $\sqrt{2/e}\,|\alpha|/\sigma$, and slopes add up to no more than their sum. And a field of norm $\|v\|_V$ is nowhere steeper than
# $\sqrt2\,\|v\|_V/\sigma$. So it is enough that
#
# $$
# \begin{aligned}
# n &> \sqrt{\tfrac2e}\; \frac{\sum_j |\alpha_j|}{\sigma_V} &&\text{(constant momenta)}, \\
# n &> \frac{\sqrt2\,\|v_k\|_V}{\sigma_V} = \frac{2\sqrt{H_k}}{\sigma_V} \;\text{ in every step } k &&\text{(geodesic)}.
# \end{aligned}
# $$ (eq-certificate)
#
# The first is known before anything is computed. The second is not. $H$ is constant along the *exact* geodesic, but computed
# steps that are too long gain energy. So `flows.min_steps` tries the number that $H_0$ asks for, looks at the path that this
# number gives, and doubles it until every step passes; `flows.certified` looks at a flow that you have.
#
# A midpoint step looks twice and must also trust what it saw first: it needs $u + u^2/2 < 1$ with $u = h\,\mathrm{Lip}(v)$,
# and RK4 needs $u + u^2/2 + u^3/6 + u^4/24 < 1$. **The better method needs more steps, not fewer**: the certificate
# is about folding, and every further look inside a step is one more place to fold. In exchange its end is far more exact.
#
# These are *certificates*: so many steps certainly suffice, and fewer often would.


# %%
def euler_steps_by_hand(p, sigma):
    total = sum(math.hypot(*row) for row in p.tolist())
    return math.floor(math.sqrt(2 / math.e) * total / sigma) + 1


def geodesic_is_certain(x, p, sigma, steps):
    for _ in range(steps):
        if not 2 * flows.hamiltonian(x, p, sigma).sqrt() / sigma < steps:
            return False
        dx, dp = hamilton(x, p, sigma)
        x, p = x + dx / steps, p + dp / steps
    return True


def euler_steps_geodesic(x, p, sigma):
    H = flows.hamiltonian(x, p, sigma).item()
    steps = math.floor(2 * math.sqrt(H) / sigma) + 1
    while not geodesic_is_certain(x, p, sigma, steps):
        steps *= 2
    return steps


# %%
assert euler_steps_by_hand(smile, width) == flows.min_steps(
    x0, smile, width, "euler"
)
for size in (1, 8):
    assert euler_steps_geodesic(x0, size * smile, width) == flows.min_steps(
        x0, size * smile, width, "euler", geodesic=True
    )

# %% tags=["nbval-check-output"]
print("certified for the smile   constant   geodesic")
for method in flows.METHODS:
    constant, shooting = (
        flows.min_steps(x0, smile, width, method, geodesic)
        for geodesic in (False, True)
    )
    print(f"{method:25s} {constant:8d} {shooting:10d}")

# %% [markdown]
# The geodesic needs far fewer, since momenta that oppose each other are not added up. Does it matter that its certificate looks
# at the path? Two landmarks at $\mp 0.4\,\sigma$ run at each other with momenta of $4\,\sigma$. By $H_0$ alone, 8 midpoint steps
# would do:

# %% tags=["nbval-check-output"]
close_by, fast = head_on(0.4, 4.0)
H_0 = flows.hamiltonian(close_by, fast, 1.0)
by_start = math.floor(2 * H_0.sqrt() / flows.REACH["rk2"]) + 1
enough = flows.min_steps(close_by, fast, 1.0, "rk2", geodesic=True)
row_of_points = net((-1.0, -0.5), (1.0, 0.5), 101).reshape(-1, 2)
for steps in (by_start, enough):
    run = flows.shoot(close_by, fast, 1.0, steps)
    H_1 = flows.hamiltonian(run.end, run.momenta[-1], 1.0)
    energy = "kept" if abs(H_1 / H_0 - 1) < 0.5 else "lost"
    turned = (flows.jacobian(run, row_of_points) < 0).any().item()
    print(f"{steps:2d} steps: energy {energy}, folded {turned}, ", end="")
    print(f"certified {flows.certified(run)}")
assert (by_start, enough) == (8, 16)
too_few = flows.shoot(close_by, fast, 1.0, by_start)
assert flows.hamiltonian(too_few.end, too_few.momenta[-1], 1.0) > 1e5 * H_0

# %% [markdown]
# In eight steps the energy grows more than a hundred thousand times, and the plane folds. In sixteen nothing of the kind
# happens.
#
# For a *lone* landmark under constant momenta the Euler bound is sharp: more than $\sigma\sqrt{e/2}$ in one step, and the plane folds
# in front of it. In two steps, the released layer's number, that is

# %%
limit = 2 * math.sqrt(math.e / 2)
print(f"{limit:.2f} sigma")
assert f"{limit:.2f}" == "2.33"
lone = torch.zeros(1, 2, dtype=torch.float64)
within, past = (torch.tensor([[c * limit, 0.0]]).double() for c in (0.99, 1.01))
assert flows.min_steps(lone, within, 1.0, "euler") == 2
assert flows.min_steps(lone, past, 1.0, "euler") == 3

# %% [markdown]
# ## On a face
#
# Every pixel of a photograph can be a passenger. Raise the brows, pull the corners of the mouth:

# %%
from lddmmlib.faces import synthetic

photo = synthetic.sample(3, "studio", size=160)
points = photo.landmarks.double()
raise_brows = torch.zeros_like(points)
raise_brows[[18, 19, 20, 23, 24, 25], 1] = -3.0
raise_brows[48] = torch.tensor([-7.0, -5.0])
raise_brows[54] = torch.tensor([7.0, -5.0])
corners = net((-0.5, -0.5), (159.5, 159.5), 161)  # of the pixels
grin = flows.shoot(points, raise_brows, 12.0, points=corners.reshape(-1, 2))
area = flows.jacobian(grin, corners.reshape(-1, 2)).reshape(161, 161)
carried = grin.points.reshape(corners.shape)
assert area.min() > 0

# %% mystnb={"image": {"alt": "Three pictures of a drawn person's face. Left with orange momenta at brows and corners of the mouth. In the middle the same photograph after the flow, with raised brows and a wide mouth, and the carried grid over it. Right the Jacobian determinant on the carried plane: red where area has grown, blue where it has shrunk, everywhere positive."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(9, 3))
axes[0].imshow(photo.image.permute(1, 2, 0))
arrows(axes[0], points, 2 * raise_brows)
axes[1].pcolormesh(*carried.permute(2, 0, 1), photo.image.permute(1, 2, 0))
draw_net(axes[1], carried, 8, "#FFFFFF80")
axes[0].set_title("momenta, twice as long")
axes[1].set_title("the pixels as passengers")
shown = axes[2].pcolormesh(
    *carried.permute(2, 0, 1), area.log2(), cmap="RdBu_r", vmin=-1.5, vmax=1.5
)
axes[2].scatter(*grin.end.T, s=3, color="black")
axes[2].set_title("area, log2 of the Jacobian")
figure.colorbar(shown, ax=axes[2], shrink=0.8)
for ax in axes:
    ax.set(aspect="equal", xlim=(10, 150), ylim=(150, 10))
    ax.set_axis_off()
plt.show()

# %% [markdown]
# Dense landmarks from sparse ones are passengers, too. Sixty-eight landmarks push; the ninety-eight of another scheme, and
# as many points of the curves as we like, ride along. Where both schemes mark the same place the passenger ends where the
# landmark does, and nobody has told it to:

# %%
from lddmmlib.faces import schemes

many, _ = geometry.landmarks(resting, "wflw-98")
expression = flows.shoot(x0, smile, width, points=many)
pairs = torch.tensor(schemes.shared("300w-68", "wflw-98")).T
few, dense = expression.end[pairs[0]], expression.points[pairs[1]]
assert torch.allclose(few, dense)
print(len(pairs[0]), "places are marked by both")

# %% mystnb={"image": {"alt": "The mouth and jaw after the flow. Blue dots are the 68 landmarks that pushed; small orange dots, the 98 that rode along, lie between and upon them on the same smooth thin lines, which are hundreds of passengers more."}} tags=["hide-input"]
figure, ax = plt.subplots(figsize=(6, 3.2))
t = torch.linspace(0, 1, 200, dtype=torch.float64)
for name in ("jaw", "outer_lip_upper", "outer_lip_lower", "inner_lip_upper",
             "inner_lip_lower", "nose_outline"):  # fmt: skip
    line = geometry.curve(resting, name, t)[:, :2]
    ax.plot(*flows.apply(expression, line).T, color="#AAAAAA", lw=1)
ax.scatter(*expression.end.T, s=42, color=plots.PALETTE[0], label="68 push")
ax.scatter(
    *expression.points.T, s=9, color=plots.PALETTE[4], label="98 ride", zorder=3
)
ax.set(aspect="equal", xlim=(-85, 85), ylim=(136, 48))
ax.set_axis_off()
ax.legend(loc="lower left")
plt.show()

# %% [markdown]
# ### Twelve flows are not one
#
# "Each sublayer separately deforms the corresponding initial curve": in the paper a face is twelve curves, and *each flows
# alone*, in the field of its own momenta and with its own $\sigma_V$, half the sum of its width and height in the mean shape.
# Within a curve nothing crosses. Between curves nothing is promised. Push the upper inner lip down:

# %%
from lddmmlib.curves import Curves
from lddmmlib.experiments.euler_folds import CURVES, widths

lips = torch.zeros_like(x0)
lips[61:64, 1] = 6.0
apart = Curves(x0, list(CURVES.values()), coupled=False)
sigmas = widths(100 * statistics.real_300w().mean)  # by the paper's rule
twelve = flows.flow(apart, lips, sigmas, 20)
one = flows.flow(x0, lips, width / 2, 20)

# %% mystnb={"image": {"alt": "The mouth twice. Left, twelve flows: the upper inner lip, orange, has been pushed down through the lower inner lip and out below. Right, one flow with the same momenta: the upper inner lip pushes the lower lip ahead of itself, and the two do not cross."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.6))
for ax, run, title in zip(axes, (twelve, one), ("twelve", "one"), strict=True):
    plots.face(ax, x0, "300w-68", colour="#CCCCCC", size=0)
    plots.face(ax, run.end, "300w-68", colour=plots.PALETTE[0], size=5)
    ax.plot(*run.end[60:65].T, "o-", color=plots.PALETTE[1], ms=4, zorder=4)
    ax.set(
        xlim=(-50, 50),
        ylim=(125, 60),
        title=f"{title} flow" + "s" * (run is twelve),
    )
plt.show()

# %% tags=["nbval-check-output"]
print("lower inner lip below the upper one, px")
for name, end in (
    ("before", x0),
    ("twelve flows", twelve.end),
    ("one flow", one.end),
):
    print(f"{name:14s} {(end[66] - end[62])[1]:5.1f}")
assert (twelve.end[66] - twelve.end[62])[1] < 0 < (one.end[66] - one.end[62])[1]

# %% [markdown]
# The paper says of the deformed landmarks that any two "would never come across each other". Of one curve's that is right. There
# is a reason not to use one flow, though: what starts together stays together, so a mean face with its lips *closed* could
# never open its mouth. Separate flows buy freedom with a promise.
#
# Now drag the momenta of a face yourself. Can you fold the grid? With how many steps does the fold go away?

# %%
from lddmmlib.widgets import FlowExplorer

FlowExplorer()

# %% [markdown]
# ## If it goes wrong
#
# | Symptom | Cause | Cure |
# |---|---|---|
# | landmarks overshoot, neighbours much more than lone ones | momenta taken for displacements: neighbours push, too | divide by $K$: solve $K\alpha = $ displacement, or match |
# | the deformed grid overlaps itself; a curve has a loop | steps too large for the momenta | more steps: `flows.min_steps` gives a number that is enough |
# | `ValueError: points: needed a step that is one-to-one` from `inverse` | the same | the same |
# | `-alpha` from the end does not lead home | the flow was a geodesic, or had few Euler steps | `-momenta[-1]` and `shoot`; or `inverse` |
# | lips cross, though each curve is smooth | curves that flow alone | `coupled=True`, or accept it |
# | a face that fits at 112 px is stiff and local at 256 px | $\sigma_V$ in pixels of another frame | scale $\sigma$ and momenta with the face |
#
# The second, made on purpose: a lone landmark, sent three and a half $\sigma$ to the right. The exact flow is as smooth as one
# could wish. Two Euler steps, on the left, throw the plane in front of the landmark behind the landmark:

# %%
alpha = torch.tensor([[3.5, 0.0]], dtype=torch.float64)
enough = flows.min_steps(lone, alpha, 1.0, "euler")
plane = net((-1.5, -2.0), (5.0, 2.0), 161).reshape(-1, 2)
folded = flows.flow(lone, alpha, 1.0, 2, "euler", points=plane)
smooth = flows.flow(lone, alpha, 1.0, enough, "euler", points=plane)
print(f"two steps: smallest Jacobian {flows.jacobian(folded, plane).min():.2f}")
print(
    f"{enough} steps: smallest Jacobian {flows.jacobian(smooth, plane).min():.3f}"
)
assert flows.jacobian(folded, plane).min() < 0 < flows.jacobian(smooth, plane).min()

# %% mystnb={"image": {"alt": "Two carried grids. Left, after two Euler steps: the grid lines overlap in an orange crescent around the landmark's end, where the plane lies face down. Right, after the certified number of steps: the lines are crowded in front of the landmark, but nowhere overlap."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
for ax, run in zip(axes, (folded, smooth), strict=True):
    draw_net(ax, run.points.reshape(161, 161, 2), 4, "#777777")
    upside_down = run.points[flows.jacobian(run, plane) < 0]
    ax.scatter(*upside_down.T, s=40, color=plots.PALETTE[4], lw=0, zorder=0)
    ax.plot(*run.path[:, 0].T, "o-", color=plots.PALETTE[0], ms=4, zorder=4)
    ax.set(title=f"{run.steps} Euler steps", aspect="equal")
    ax.set(xlim=(1.2, 4.4), ylim=(-1.1, 1.1))
    ax.set_axis_off()
plt.show()

# %%
try:
    flows.inverse(folded, folded.points[::9])
except ValueError as error:
    print(*textwrap.wrap(str(error), 78), sep="\n")
assert torch.allclose(flows.inverse(smooth, smooth.points[::9]), plane[::9])

# %% [markdown]
# There is no way back from a fold: three places of the old plane went to one of the new. And the landmark itself shows
# nothing of it. It is where it should be, to the last digit; only its passengers are wrong.
#
# ## Choosing the parameters
#
# **The flow.** To fit one expression, any. To *compare* faces by their momenta, to average them, or to say "encoded by the
# initial momenta", shooting. To be cheap inside a network, constant momenta, with enough steps.
#
# **The kernel's width** $\sigma_V$. How far a landmark carries its surroundings. Small: every landmark for itself, many steps,
# folds. Large: the face moves like jelly, and momenta must be large to tell neighbours apart. The paper's rule, half
# the sum of a curve's width and height, makes a curve move as one piece.
#
# It is a *length*. Scale the face, the momenta and $\sigma$ together, and the flow scales; forget $\sigma$, and it is another flow:

# %% tags=["nbval-check-output"]
zoom = 256 / 112
small = flows.flow(x0, smile, width, 20).end
large = flows.flow(zoom * x0, zoom * smile, zoom * width, 20).end / zoom
forgot = flows.flow(zoom * x0, zoom * smile, width, 20).end / zoom
assert torch.allclose(small, large)
for name, end in (("all three scaled", large), ("sigma forgotten", forgot)):
    print(f"{name:17s} the chin moves {(end - x0)[8, 1]:.1f} px")

# %% [markdown]
# **The method and the steps.** What counts is how often the velocity is looked up: once a step by Euler, twice by the midpoint
# rule, four times by RK4. How many evaluations until the smile is right to a hundredth of a pixel?

# %% tags=["nbval-check-output"]
for method, order in orders.items():
    for steps in [*range(1, 40), *range(40, 400, 10)]:
        end = flows.shoot(x0, smile, width, steps, method).end
        if (end - exact).norm(dim=1).max() < 0.01:
            break
    print(f"{method:6s} {steps:4d} steps, {order * steps:4d} evaluations")

# %% [markdown]
# The library's default, ten midpoint steps, is good to a small fraction of a pixel on faces, and leaves room for larger
# momenta. When in doubt, double the steps and see whether anything moves.
#
# ## Paper versus code
#
# :::{admonition} Paper versus code
# - **Initial momenta.** Section 3.1.1 writes $\alpha_j(t)$ in its equations, says that a diffeomorphism is "completely encoded
#   by the initial momenta in the template space", and does not give the equation by which momenta change. The released
#   layer keeps them constant. That is a flow, but no geodesic; the momenta of the one are not those of the other.
# - **Two Euler steps.** The paper's integral is taken in two steps. The sentence "yields diffeomorphic transformations" is
#   about the integral. The steps are one-to-one only within a range, and below we measure how often faces leave it.
# - **Twelve flows.** Text and code agree: curves flow separately. "Any two deformed landmarks would never come across each
#   other" then holds within a curve only.
# - **$\gamma = 0$.** With no price on energy nothing prefers a geodesic. What makes "the" momenta definite is the
#   choice of constant ones, not the theory.
# - **$\sigma_V$ in pixels.** The released constants belong to a frame of 112 px, and are used unchanged at 256 px.
# - **Certificates.** Neither text nor code has one. `flows.min_steps` has one for each method; it is not the
#   same for constant momenta, whose energy changes, as for a geodesic, whose energy the computed steps must be seen to keep.
# :::

# %% [markdown]
# ## The recorded run
#
# Do real faces leave the range of two Euler steps? We took real annotations, cut them into the paper's twelve curves, computed
# each curve's $\sigma_V$ by the paper's rule, and measured how far the landmarks of each face lie from the mean face, in units of that
# $\sigma_V$. Once with every face moved, turned and scaled onto the mean as well as possible; once moved and scaled by the
# box of its landmarks only, which is all that a network's crop does.

# %%
run = result("euler_folds")
print(f"limit of a lone landmark in two steps: {run['limit_in_sigma']:.2f} sigma")

# %% mystnb={"image": {"alt": "For each of the twelve curves two bars, for aligned and boxed faces, from the median to the 99th percentile of how far the farthest landmark is from the mean face, in units of the curve's sigma. A vertical line marks the limit of 2.33. Aligned faces stay left of it but for the lower inner lip's tail; boxed faces pass it at the nose and, by far, at the lower inner lip."}} tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7, 4))
for k, (frame, colour) in enumerate(
    zip(("aligned", "boxed"), plots.PALETTE[:2], strict=True)
):
    for y, row in enumerate(run[frame]["by_curve"].values()):
        middle, high, higher, _ = row["farthest_in_sigma"]
        y = y + 0.3 * (k - 0.5)
        ax.plot([middle, higher], [y, y], color=colour, lw=1.5)
        ax.plot([middle, high], [y, y], color=colour, lw=4)
        ax.plot(middle, y, "o", color=colour, ms=5)
    ax.plot([], [], "o-", color=colour, lw=3, label=f"{frame}: median, 95 %, 99 %")
ax.axvline(run["limit_in_sigma"], color="black", ls="--", lw=1, label="limit")
ax.set_yticks(range(12), run["aligned"]["by_curve"])
ax.set(
    xlabel="farthest landmark from the mean face (σ of its curve)", xlim=(0, None)
)
ax.invert_yaxis()
ax.legend()
plt.show()

# %%
for frame in ("aligned", "boxed"):
    share = run[frame]["beyond_percent"]
    low, high = share["interval"]
    print(
        f"{frame}: {share['value']:.1f} % of faces beyond ({low:.1f} to {high:.1f})"
    )
    for name, row in run[frame]["by_curve"].items():
        if row["beyond"]:
            print(f"   {name:18s}{row['beyond_percent']['value']:5.1f} %")

# %% [markdown]
# One curve decides: the lower inner lip has three landmarks and a tiny $\sigma_V$, and mouths open. Aligned faces hardly
# ever pass the limit. Faces in their box do it all the time, and the augmentation of the training, which turns them, has
# not even been counted.
#
# **This does not say that so many flows fold.** The limit is that of a lone landmark. A curve that moves as one piece has a
# gentler field, and may go further; neighbours that move against one another need large momenta, and may fold much sooner.
# So for the nine short curves we also asked directly: find the constant momenta whose two Euler steps lead from the mean
# *exactly* to the face, and look for a negative Jacobian on a grid around the curve.

# %%
print("of boxed faces       beyond   of these fold   within   of these fold")
for name, row in run["boxed"]["by_curve"].items():
    if fit := row.get("exact_fit"):
        beyond, within = fit["fitted_beyond"], fit["fitted"] - fit["fitted_beyond"]
        past, near = fit["folded_beyond"], fit["folded_within"]
        print(f"{name:18s} {beyond:7d} {past:12d} {within:11d} {near:12d}")

# %% [markdown]
# Neither column is empty. The limit is a warning sign, not a verdict, in both directions; at the lower inner lip it is a good
# one. A trained network need not predict these exact momenta, so this is about the layer and the faces, not about anybody's model.
# What the fold costs is borne by passengers: the landmarks themselves are where they were put.

# %% [markdown]
# ## Exercises
#
# Replace each `...`, run the self-check, then unfold a solution.
#
# :::{exercise} Check
# :label: ex-flows-check
# A face consists of one landmark at $(10, 20)$, with the momentum $(6, 8)$ and $\sigma_V = 4$, all in pixels. Without running
# anything: where does the landmark end under constant momenta, where by shooting, and in how many Euler steps, at least,
# is the map of the plane one-to-one?
# :::

# %% tags=["stub"]
my_end_constant = ...  # [x, y]
my_end_shooting = ...
my_steps = ...

# %% tags=["self-check"]
single, momentum = torch.tensor([[10.0, 20.0]]), torch.tensor([[6.0, 8.0]])
check(my_end_constant, flows.flow(single, momentum, 4.0).end[0])
check(my_end_shooting, flows.shoot(single, momentum, 4.0).end[0])
check(my_steps, flows.min_steps(single, momentum, 4.0, "euler"))

# %% tags=["solution"]
my_end_constant = my_end_shooting = [16.0, 28.0]  # alone, nothing turns a momentum
reach = 4 * math.sqrt(math.e / 2)  # 4.7 px a step, and 10 px to go
my_steps = math.floor(10 / reach) + 1
assert my_steps == flows.min_steps(single, momentum, 4.0, "euler") == 3
assert torch.allclose(
    flows.shoot(single, momentum, 4.0).end[0], torch.tensor(my_end_shooting)
)

# %% [markdown]
# :::{exercise} Extend
# :label: ex-flows-extend
# *Heun's rule* looks at the start of a step and at where Euler would end, and goes by the average of the two:
# $s \leftarrow s + \tfrac h2 \bigl(f(s) + f(s + h f(s))\bigr)$. Write `heun(x, alpha, sigma, steps)` for constant
# momenta. Guess its order first; then measure it by doubling the steps.
# :::


# %% tags=["stub"]
def heun(x, alpha, sigma, steps):
    return ...


# %% tags=["self-check"]
euler_end = flows.flow(x0, smile, width, 1, "euler").end
slope_there = flows.velocity(euler_end, euler_end, smile, width)
check(heun(x0, smile, width, 1), (x0 + euler_end + slope_there) / 2, tolerance=1e-5)
fine = flows.flow(x0, smile, width, 100, "rk4").end
if heun(x0, smile, width, 1) is not ...:
    a, b = ((heun(x0, smile, width, n) - fine).norm(dim=1).max() for n in (16, 32))
    check(a / b, 4.0, tolerance=0.1)


# %% tags=["solution"]
def heun(x, alpha, sigma, steps):
    h = 1 / steps
    for _ in range(steps):
        v = velocity(x, x, alpha, sigma)
        there = x + h * v
        x = x + h / 2 * (v + velocity(there, there, alpha, sigma))
    return x


a, b = ((heun(x0, smile, width, n) - fine).norm(dim=1).max() for n in (32, 64))
print(f"order {math.log2(a / b):.1f}")
assert abs(math.log2(a / b) - 2) < 0.1

# %% [markdown]
# :::{exercise} Explore
# :label: ex-flows-explore
# Two landmarks start at $\mp\sigma$ and run at each other with momenta of $2\sigma$, $4\sigma$, $8\sigma$. Predict: when the momenta double, what happens
# to the distance that is left at $t = 1$, by shooting and under constant momenta? Fill `left_over` with three distances each,
# and explain the two columns by eq. {eq}`eq-head-on`.
# :::

# %% tags=["stub"]
left_over = {"shooting": ..., "constant": ...}  # three distances each, in sigma

# %% tags=["self-check"]
for name, model in {"shooting": flows.shoot, "constant": flows.flow}.items():
    ends = [model(*head_on(1.0, q), 1.0, 50, "rk4").end for q in (2.0, 4.0, 8.0)]
    log_left = torch.stack([end[1, 0] - end[0, 0] for end in ends]).log()
    mine = left_over[name]
    check(
        mine if mine is ... else torch.tensor(mine).log(), log_left, tolerance=0.02
    )

# %% tags=["solution"]
models = {"shooting": flows.shoot, "constant": flows.flow}
left_over = {
    name: [
        2 * model(*head_on(1.0, q), 1.0, 100, "rk4").end[1, 0].item()
        for q in (2.0, 4.0, 8.0)
    ]
    for name, model in models.items()
}
for name, distances in left_over.items():
    print(f"{name:9s}", *map("{:.2g}".format, distances))
a, b, c = left_over["constant"]
assert 1.5 < a / b < 2.5
assert 1.5 < b / c < 2.5
a, b, c = left_over["shooting"]
assert b / c > (a / b) ** 1.5 > 10

# %% [markdown]
# :::{dropdown} What happens
# Under constant momenta $\dot d = -q\,(1 - k) \approx -4 q\, d^2/\sigma^2$, so $d \approx \sigma^2 / (4 q t)$: twice the push, half the
# distance. By shooting $d$ falls *exponentially* in the push: what a push leaves of the distance, twice the push leaves the square of.
# :::
#
# ## Quiz
#
# **1.** Two neighbouring landmarks have equal momenta of 5 px. How far do they move?
#
# :::{dropdown} a. By 5 px
# **No**. That would be a lone landmark. Each also rides on the bump of the other.
# :::
# :::{dropdown} b. By more than 5 px
# **Right**. Velocities are $K\alpha$, and the off-diagonal entries of $K$ are positive: up to twice as far, if they are close.
# :::
# :::{dropdown} c. By less, since they share the push
# **No**. Momenta add. It is opposed momenta that take from each other.
# :::
#
# **2.** Which of these is kept by shooting, but not by constant momenta?
#
# :::{dropdown} a. The energy $H$
# **Right**. It is the only one of the three. Along the geodesic momenta change just so that $\|v_t\|_V$ does not.
# :::
# :::{dropdown} b. The total momentum
# **No**. Constant momenta have a constant sum, by doing nothing.
# :::
# :::{dropdown} c. The angular momentum
# **No**. Under constant momenta the contributions of each pair cancel, so it is kept as well.
# :::
#
# **3.** All landmarks end exactly where they should. May the map of the plane have folds?
#
# :::{dropdown} a. No, folds would show at the landmarks
# **No**. The lone landmark above was exact, and the plane in front of it was face down.
# :::
# :::{dropdown} b. Yes, if the steps were too large
# **Right**. The Jacobian at other points shows it, and `flows.min_steps` forbids it.
# :::
# :::{dropdown} c. Yes, even in the limit of many steps
# **No**. The exact flow of a smooth field is one-to-one whatever the momenta.
# :::
#
# **4.** You double the steps of a midpoint flow. The error of the end falls to
#
# :::{dropdown} a. a half
# **No**. That would be Euler, order 1.
# :::
# :::{dropdown} b. a quarter
# **Right**. Order 2: the error goes with the square of the step.
# :::
# :::{dropdown} c. a sixteenth
# **No**. That would be RK4, order 4.
# :::
#
# ## Take-aways
#
# - Momenta at landmarks make a velocity everywhere; following it makes a map of the plane, and every point may ride.
# - Constant momenta, a momentum path and geodesic shooting are three flows. They agree for small deformations only. Say which.
# - Only of shooting is it true that initial momenta encode everything, and only shooting keeps its energy.
# - The exact flow never folds. Steps may; a certificate gives a number that is enough, and looks at the path to give it.
# - One flow keeps a face from crossing itself. Twelve flows keep twelve curves from crossing themselves.
#
# ## Equation, function, test
#
# | Equation | Function | Test |
# |---|---|---|
# | {eq}`eq-field` | `flows.velocity` | `tests/test_flows.py::test_velocity_is_the_sum_of_equation_6` |
# | {eq}`eq-flow` | `flows.flow` | `tests/test_flows.py::test_the_layer_of_the_paper_is_two_sums` |
# | {eq}`eq-transport` | `flows.apply` | `tests/test_flows.py::test_passengers_ride_by_apply_and_come_back_by_inverse` |
# | {eq}`eq-path` | `flows.flow_path` | `tests/test_flows.py::test_a_constant_path_is_constant_momenta` |
# | {eq}`eq-hamilton` | `flows.hamilton_equations`, `flows.shoot` | `tests/test_flows.py::test_hamilton_equations_are_the_gradient_of_the_hamiltonian` |
# | {eq}`eq-kept` | `flows.hamiltonian` | `tests/test_flows.py::test_a_geodesic_keeps_energy_and_momenta` |
# | {eq}`eq-head-on` | `flows.shoot` | `tests/test_flows.py::test_head_on_by_quadrature` |
# | {eq}`eq-steps` | `flows.flow`, `flows.shoot` | `tests/test_flows.py::test_orders` |
# | {eq}`eq-jacobian` | `flows.jacobian`, `flows.inverse` | `tests/test_flows.py::test_jacobian_by_finite_differences` |
# | {eq}`eq-certificate` | `flows.min_steps`, `flows.certified` | `tests/test_flows.py::test_two_euler_steps_fold_the_plane_beyond_2_33_sigma`, `tests/test_flows.py::test_certified_geodesics_do_not_fold` |
