# %% [markdown]
# # Least angle regression
#
# :::{admonition} At a glance
# **Question** Which few landmarks tell where another one is, and in which order do they earn their place?
#
# **Paper** DRN-SSR {cite:p}`zhang2015leveraging`, equations 7 and 14, solved by least angle regression
# {cite:p}`efron2004least`
#
# **You will be able to** follow the path of the lasso from knot to knot; say why a variable joins and why it leaves; spend
# a budget for $|h|_1$ exactly; and solve a hundred targets with one matrix
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
# The orange landmark, on the lower lid, is hidden. Eight others are known, the blue ones, in three hundred faces
# somewhere in an image. You may represent the orange one as a weighted sum of the blue: one weight each, the
# same for $x$ and $y$ and for every face. Weight is expensive, and handed out in tiny portions to whoever helps most.
#
# **Who gets the first portion? And who has most at the end? Write down two numbers before you read on.**

# %% mystnb={"image": {"alt": "A grey face of 68 landmarks. Eight landmarks are blue and numbered: chin 8, left brow 19, nose tip 30, the corners of the left eye 36 and 39, the outer corner of the right eye 45, and the corners of the mouth 48 and 54. On the lower lid of the left eye lies the hidden landmark, in orange."}} tags=["hide-input"]
import matplotlib.pyplot as plt
import torch

from lddmmlib import plots
from lddmmlib.faces import statistics
from lddmmlib.notebook import start

generator = start(seed=0)
model = statistics.real_300w()
mean = 90 * model.mean + 128  # pixels
known, hidden = [8, 19, 30, 36, 39, 45, 48, 54], 41
names = ["chin", "left brow", "nose tip", "left eye, outer", "left eye, inner"]
names += ["right eye, outer", "mouth, left", "mouth, right"]
colours = dict(zip(known, plots.PALETTE[:1] + plots.PALETTE[2:], strict=False))
colours |= {48: "#8C564B", 54: "#999999"}

figure, ax = plt.subplots(figsize=(4.2, 3.6))
plots.face(ax, mean, "300w-68", colour="#CCCCCC", size=0)
ax.scatter(*mean[known].T, color=plots.PALETTE[0], s=28, zorder=4)
ax.scatter(*mean[[hidden]].T, color=plots.PALETTE[1], s=46, zorder=5, marker="D")
for i in known:
    ax.annotate(str(i), mean[i], (5, 4), textcoords="offset points", size=9)
plt.show()

# %% [markdown]
# ## Set-up
#
# A face is a row of the matrix $X$ twice: once with the $x$ coordinates of the known landmarks, once with the $y$. Both rows
# share their weights $h$, that is all that ties $x$ to $y$. Nothing is centred: a face may be anywhere in the image.

# %%
import math
from itertools import pairwise

from lddmmlib import lars
from lddmmlib.notebook import check, result

faces = 90 * statistics.sample(model, 300, generator) + 128
faces += 30 * torch.randn(300, 1, 2, generator=generator, dtype=faces.dtype)
X = torch.cat([faces[:, known, 0], faces[:, known, 1]])  # (600, 8)
y = torch.cat([faces[:, hidden, 0], faces[:, hidden, 1]])  # (600,)
G, xy = X.T @ X, X.T @ y  # all that is needed from here on

# %% [markdown]
# ## The bargain
#
# Least squares takes all eight. {cite:t}`zhang2015leveraging` want few: "sparse regression model tends to select a very
# small subset". The *lasso* {cite:p}`tibshirani1996regression` puts a price on weight:
#
# $$
# \min_h \; \tfrac12\,|y - X h|^2 + \lambda\,|h|_1, \qquad |h|_1 = \sum_j |h_j|.
# $$ (eq-lasso)
#
# With $c = X^\top (y - X h)$, how strongly each known landmark still goes with what is left unexplained, the solution is
# recognised without any search. On the *active set* $A$, where $h_j \neq 0$, everybody's pull equals the price; off it nobody's
# exceeds it:
#
# $$
# c_j = \lambda\, \mathrm{sign}(h_j) \;\; (j \in A), \qquad |c_j| \le \lambda \;\; (j \notin A).
# $$ (eq-optimal)
#
# Variable by variable, then at once, at every knot of the path that this chapter is about to build:


# %%
def violation_by_hand(lam, h):
    worst = 0.0
    for j in range(len(h)):
        c = xy[j] - sum(G[j, i] * h[i] for i in range(len(h)))
        wrong = abs(c - lam * h[j].sign()) if h[j] != 0 else abs(c) - lam
        worst = max(worst, wrong.item())
    return worst


# %%
def violation(lam, h):
    c = xy - G @ h
    on = h != 0
    return torch.where(on, (c - lam * h.sign()).abs(), c.abs() - lam).max()


found = lars.path(G, xy)
for lam, h in zip(found.lambdas, found.coefs, strict=True):
    assert violation(lam, h) < 1e-9 * found.lambdas[0]
    assert math.isclose(violation_by_hand(lam, h), violation(lam, h), abs_tol=1e-3)

# %% [markdown]
# Every price has its solution. We want them all: from the price at which nobody buys, $\lambda = |X^\top y|_\infty$, down to no
# price at all, which is least squares.
#
# ## A straight line
#
# Suppose $A$ and the signs $s$ of its weights are known. Then {eq}`eq-optimal` is a linear system, and as $\lambda$ falls its
# solution moves along a straight line. With $G = X^\top X$,
#
# $$
# h_A(\lambda) = u - \lambda\, d, \qquad u = G_{AA}^{-1} (X^\top y)_A, \qquad d = G_{AA}^{-1} s.
# $$ (eq-direction)
#
# The direction $X_A d$ makes the same angle with every active column: hence *least angle*, or equiangular. All active
# correlations shrink together, at the same rate, and stay tied. That is the whole trick.

# %%
A = [3, 4]  # the two corners of the eye, both with weight > 0
s = torch.ones(2, dtype=G.dtype)
u, d = torch.linalg.solve(G[A][:, A], xy[A]), torch.linalg.solve(G[A][:, A], s)

inner = X[:, A].T @ (X[:, A] @ d)  # of the columns with the direction
assert torch.allclose(inner, s)  # equal: the same angle, up to their lengths


# %% [markdown]
# What changes on the way for those who are not active? Their correlations are straight lines too,
# $c_j(\lambda) = r_j + \lambda\, a_j$ with $r = X^\top y - G_{\cdot A} u$ and $a = G_{\cdot A} d$. They end the segment.
#
# ## Knots
#
# Going down, two things can happen. Somebody's pull reaches the price, $|c_j| = \lambda$: $j$ **joins**. Or an active weight
# reaches zero, $h_j = 0$: $j$ **drops**. The next knot is the largest price at which either happens:
#
# $$
# \lambda_{\text{next}} = \max \Bigl\{ \underbrace{\frac{\sigma r_j}{1 - \sigma a_j}}_{j \notin A,\ \sigma = \pm 1,\ 1 - \sigma a_j > 0},
# \;\; \underbrace{\frac{u_j}{d_j}}_{j \in A,\ s_j d_j < 0} \Bigr\}.
# $$ (eq-knot)
#
# The conditions under the braces do quiet work. A variable that has just joined sits exactly at $|c_j| = \lambda$, and at
# $h_j = 0$; a careless program would drop it again at once. But its weight is growing, $s_j d_j > 0$, so it is not asked. No
# tolerance is needed.


# %%
def next_event(signs):
    """The largest price at which somebody joins (j, its sign) or drops (j, 0)."""
    on = list(signs)
    s = torch.tensor(list(signs.values()), dtype=G.dtype)
    u = torch.linalg.solve(G[on][:, on], xy[on])
    d = torch.linalg.solve(G[on][:, on], s)
    r, a = xy - G[:, on] @ u, G[:, on] @ d
    events = [(0.0, None, 0)]  # the end
    for j in set(range(len(xy))) - set(on):
        for side in (1, -1):
            if 1 - side * a[j] > 0:
                events.append(((side * r[j] / (1 - side * a[j])).item(), j, side))
    for k, j in enumerate(on):
        if s[k] * d[k] < 0:
            events.append(((u[k] / d[k]).item(), j, 0))
    lam, j, side = max(events)
    h = torch.zeros_like(xy)
    h[on] = u - lam * d
    return lam, h, j, side


# %% [markdown]
# Start with nobody and repeat. This is a complete lasso solver:

# %%
signs, knots, story = {}, [], []
while not knots or knots[-1][0] > 0:
    lam, h, j, side = next_event(signs)
    knots.append((lam, h))
    if side:
        signs[j] = side
        story.append(("joins", j))
    elif j is not None:
        del signs[j]
        story.append(("drops", j))

assert torch.allclose(torch.stack([h for _, h in knots]), found.coefs)
solved = lars.path_by_solving(G, xy)
assert torch.allclose(solved.coefs, found.coefs)

# %%
for (_, h), (what, j) in zip(knots, story, strict=False):
    print(f"|h|_1 = {h.abs().sum():.2f}: {names[j]} {what}")

# %% [markdown]
# **The chin joins first.** Did you write that down? Nothing is centred, and the chin is the landmark farthest from the
# origin of the image. Its column is the longest, so it explains most per unit of weight: weight is what is paid for. It is a loan,
# though. Once the corners of the eye are in, the chin pays back, and drops.
#
# ## The path

# %% mystnb={"image": {"alt": "Left: eight weights against the sum of their absolute values, straight between knots. The chin rises first and falls back to zero near one; the outer corner of the left eye rises late and steeply to about two thirds, the inner corner to one third; beyond a sum of one some weights turn negative. Right: pull divided by price, against the falling price on a logarithmic axis; active ones lie at one, the others below, and each joins where it touches one; some leave it again for a while."}} tags=["hide-input"]
size = found.coefs.abs().sum(1)
steps = torch.linspace(0, float(size[-1]), 400, dtype=size.dtype)
k = torch.searchsorted(size, steps).clamp(1, len(size) - 1)
part = ((steps - size[k - 1]) / (size[k] - size[k - 1]))[:, None]
along = found.coefs[k - 1] + part * (found.coefs[k] - found.coefs[k - 1])
figure, (left, right) = plt.subplots(1, 2, figsize=(8.8, 3.3))
pull = (xy - along @ G).abs()
price = pull.amax(1)
for j, i in enumerate(known):
    left.plot(steps, along[:, j], color=colours[i], label=f"{i} {names[j]}")
    right.plot(price[:-1], pull[:-1, j] / price[:-1], color=colours[i])
for x in size:
    left.axvline(x, color="#DDDDDD", lw=0.6, zorder=0)
left.set(xlabel="$|h|_1$", ylabel="weight $h_j$")
right.set(xscale="log", xlabel="price λ", ylabel="pull over price, $|c_j| / λ$")
right.set_xlim(price[0], found.lambdas[-2] / 5)
figure.legend(
    *left.get_legend_handles_labels(), loc="outside right center", fontsize=8
)
plt.show()

# %% [markdown]
# On the right is the mechanism. Whoever is active lies at one, tied to the others; everybody else is below, and joins where
# their line touches it. Who drops falls off again. On the left is the result, straight between the grey lines.
#
# ## A budget
#
# The paper does not state a price. It states a *budget*, $|h^r|_1 < \tau$, for each row $h^r$ of its matrix:
#
# $$
# \min_h \; |y - X h|^2 \quad \text{subject to} \quad |h|_1 \le \tau.
# $$ (eq-budget)
#
# For each budget there is a price that meets it, but nobody knows it beforehand, and no library we know takes $\tau$ as an
# argument. The path makes it easy: $|h|_1$ never falls along it, and is linear between knots because the signs do
# not change there. Find the segment, then the place in it.


# %%
def budget_by_hand(tau):
    for (_, before), (_, after) in pairwise(knots):
        a, b = before.abs().sum(), after.abs().sum()
        if b >= tau:
            return before + (tau - a) / (b - a) * (after - before)
    return knots[-1][1]  # the budget is larger than least squares needs


for tau in (0.0, 0.5, 1.0, 1.2, 10.0):
    spent = lars.budget(G, xy, tau)
    assert torch.allclose(budget_by_hand(tau), spent.coefs, atol=1e-7)

# %% [markdown]
# A solver should be able to say how wrong it may be. Among all $h'$ of the budget the best conceivable gain, by convexity, is at most
# $\tau |c|_\infty - c \cdot h$: zero exactly at the solution. `residual` is that gap, relative to $\tau\,|X^\top y|_\infty$.

# %%
spent = lars.budget(G, xy, 1.0)
c = xy - G @ spent.coefs
gap = (c.abs().max() - c @ spent.coefs / 1.0) / xy.abs().max()
assert math.isclose(gap, spent.residual, abs_tol=1e-12)
assert spent.converged

# %% [markdown]
# ## A hundred targets, one matrix
#
# In paper B one Gram matrix serves every undefined landmark. Solving at each knot throws that away. The fast version keeps
# for each target a symmetric *tableau*: the Gram, swept on the active set. Sweeping on $k$ is one update of rank one,
# with $v = T_{\cdot k}$ and $\pi = T_{kk}$:
#
# $$
# T \leftarrow T - \frac{v v^\top}{\pi}, \qquad T_{k \cdot}, T_{\cdot k} \leftarrow \pm \frac{v}{\pi}, \qquad T_{kk} \leftarrow -\frac1\pi,
# $$ (eq-sweep)
#
# with $+$ for who joins and $-$ for who drops. On the active set the tableau is then $-G_{AA}^{-1}$, beside it $G_{AA}^{-1} G_{A \cdot}$, and
# everything that a knot needs is one product with it.


# %%
def sweep(T, k):
    v, pivot = T[k].clone(), T[k, k].clone()
    T = T - v[:, None] * v / pivot
    T[k] = T[:, k] = v / pivot if pivot > 0 else -v / pivot
    T[k, k] = -1 / pivot
    return T


T = sweep(sweep(G, 3), 4)
assert torch.allclose(-T[A][:, A], torch.linalg.inv(G[A][:, A]))
assert torch.allclose(T[[0]][:, A], G[[0]][:, A] @ torch.linalg.inv(G[A][:, A]))
assert torch.allclose(sweep(sweep(T, 4), 3), G)  # out again

# %% [markdown]
# The rest of its diagonal tells how much of each column the active ones leave unexplained. A duplicate has nothing left,
# and waits outside. All 60 other landmarks, in lock-step:

# %%
others = [i for i in range(68) if i not in known]
Y = torch.cat([faces[:, others, 0], faces[:, others, 1]])
every = lars.path(G, X.T @ Y)
one = others.index(hidden)
assert torch.allclose(every.coefs[: found.n_knots, :, one], found.coefs)
print(f"{len(others)} paths, {every.n_knots.min()} to {every.n_knots.max()} knots")

# %% [markdown]
# ## On a face
#
# The same landmark again, at three budgets. The areas of the dots are the weights; a red ring marks a negative one.

# %% mystnb={"image": {"alt": "The grey face three times, with dots on the eight known landmarks in proportion to their weight. With a budget of one half only the chin and, less, the right corner of the mouth have weight; with a budget of one nearly all of it sits on the two corners of the left eye; without a budget all eight have some, three of them negative, ringed in red."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(8.6, 3.2))
for ax, tau in zip(axes, (0.5, 1.0, math.inf), strict=True):
    h = lars.budget(G, xy, tau).coefs
    plots.face(ax, mean, "300w-68", colour="#CCCCCC", size=0)
    edge = ["#B00020" if w < 0 else "none" for w in h]
    ax.scatter(
        *mean[known].T, s=400 * h.abs(), color=plots.PALETTE[0], edgecolor=edge,
        linewidth=1.6, zorder=4,
    )  # fmt: skip
    ax.scatter(
        *mean[[hidden]].T, s=30, color=plots.PALETTE[1], marker="D", zorder=5
    )
    ax.set_title(
        f"τ = {'∞' if tau == math.inf else tau}: {int((h != 0).sum())} of 8"
    )
plt.show()

# %% [markdown]
# Try it with your own two or three variables: move the target, watch the direction that keeps the angles equal, and find a
# place where a variable that joined has to leave.

# %%
from lddmmlib.widgets import LarsExplorer

LarsExplorer()

# %% [markdown]
# ## If it goes wrong
#
# | Symptom | Cause | Cure |
# |---|---|---|
# | the path ends before least squares | a stop that is absolute, in whatever unit the data have | a stop relative to the first $\lambda$ |
# | two equal columns, one never used | it is their sum that matters, the split is arbitrary | nothing; or leave one out |
# | `ValueError: gram: needed X.T @ X` | the rows were given, not their Gram | `lars.path(X.T @ X, X.T @ y)` |
# | the farthest landmark joins first | columns of different length pay differently | expected here; scale them where units differ |
# | weights that do not sum to one | too small a budget, too few faces, or a frame that is centred | {doc}`21_sparse_shape_regression` |
#
# The first, made on purpose. scikit-learn's `lars_path_gram` is careful work, and ours is tested against it knot by
# knot. It stops at a correlation per row of `finfo(float32).eps`, a fine choice for data of unit variance. Here are 34 landmarks of a face
# told from the other 34, once in pixels, once with the image as the unit:

# %%
from sklearn.linear_model import lars_path_gram


def knots_of(unit):
    rows = [
        torch.cat([faces[:, i::2, 0], faces[:, i::2, 1]]) / unit for i in (0, 1)
    ]
    gram, right = rows[0].T @ rows[0], rows[0].T @ rows[1]
    theirs = [
        len(lars_path_gram(c, gram.numpy(), n_samples=600, method="lasso")[0])
        for c in right.T.numpy()
    ]
    return lars.path(gram, right).n_knots, torch.tensor(theirs)


for unit, what in ((1.0, "pixels"), (512.0, "images")):
    ours, theirs = knots_of(unit)
    missing = ours - theirs
    print(f"in {what}: {(missing > 0).sum()} of 34 end early", end=", ")
    print(f"by at most {missing.max()} knots")
    assert (missing == 0).all() if unit == 1 else (missing > 0).any()

# %% [markdown]
# Nothing warns, and the last knots are the ones that least squares needs. Multiply the data by any large number and they
# are back. Where your solver has a tolerance, ask: *relative to what?*

# %% [markdown]
# ## Choosing the parameters
#
# **The budget.** It has a meaning only in the unit of the data: with landmarks in one frame on both sides, a weight is a
# number, and $\tau = 1$ is special. The next chapter shows why.
#
# **Scaling the columns.** Where columns have different units, scale them to equal length first, or a change from
# metres to millimetres changes who is chosen. Here all are pixels; but the origin matters, as the chin has shown.
#
# **What to explain first.** Move the origin into the face, and the order changes:

# %% tags=["nbval-check-output"]
for origin in (0.0, 128.0):
    moved, aim = X - origin, y - origin
    joins = (lars.path(moved.T @ moved, moved.T @ aim).coefs != 0).double()
    order = joins.argmax(0).argsort()[:3]
    print(f"origin at {origin:.0f} px: first {', '.join(names[j] for j in order)}")

# %% [markdown]
# ## Paper versus code
#
# :::{admonition} Paper versus code
# - **No code was published.** {cite:t}`zhang2015leveraging` write that equation 14 "can be efficiently optimized by using the
#   least angle regression algorithm"; which implementation, and how it was stopped at $\tau$, is not said.
# - **Less, or at most.** Their constraint is $|h|_1 < \tau$, which has no minimiser if it binds; ours is $\le$.
# - **Plain or lasso.** Least angle regression proper never drops a variable, and then does not solve {eq}`eq-budget`. We take the lasso
#   modification of {cite:t}`efron2004least`, in their third section.
# - **A factor of two.** Their problem has no half. That changes $\lambda$, not the solution for a given $\tau$.
# :::

# %% [markdown]
# ## The recorded run
#
# The same 34 from 34 on real faces:

# %%
run = result("lars_knots")
least, most = run["knots_least"], run["knots_most"]
print(f"\n{run['targets']} paths of {run['variables']} variables")
print(f"{least} to {most} knots, {run['drops']} drops in all")
for unit in ("pixel", "300_pixels"):
    row = run[unit]
    print(f"unit {unit:11s} scikit-learn short: {row['short']:2d}", end="")
    print(f", largest difference elsewhere {row['difference']:.0e}")

# %% [markdown]
# A path without drops has one knot more than variables. Real landmarks are neighbours on a curve, strongly correlated, and make up to
# more than twice as many: whoever skips the lasso modification gets another answer.

# %% [markdown]
# ## Exercises
#
# Replace each `...`, run the self-check, then unfold a solution.
#
# :::{exercise} Check
# :label: ex-lars-check
# Let the columns be orthonormal, $G$ the identity, and $X^\top y = (3, -2, 1)$. What is $h$ for the price
# $\lambda = 1$? What is it for the budget $\tau = 3$?
# :::

# %% tags=["stub"]
my_price = ...
my_budget = ...

# %% tags=["self-check"]
three, eye = torch.tensor([3.0, -2.0, 1.0]), torch.eye(3)
path = lars.path(eye, three)
check(my_price, path.coefs[path.lambdas == 1.0][0])
check(my_budget, lars.budget(eye, three, 3.0).coefs)

# %% tags=["solution"]
my_price = [2.0, -1.0, 0.0]  # each shrinks by the price, and not below zero
my_budget = [2.0, -1.0, 0.0]  # |h| sums to 3 at that very price
assert torch.allclose(lars.budget(eye, three, 3.0).coefs, torch.tensor(my_budget))
assert torch.allclose(path.coefs[path.lambdas == 1.0][0], torch.tensor(my_price))

# %% [markdown]
# :::{exercise} Extend
# :label: ex-lars-extend
# Write `price(G, xy, tau)`: the $\lambda$ at which the lasso {eq}`eq-lasso` has the solution of the budget {eq}`eq-budget`, from `lars.budget`'s
# coefficients alone. Hint: {eq}`eq-optimal`.
# :::


# %% tags=["stub"]
def price(G, xy, tau):
    return ...


# %% tags=["self-check"]
check(price(G, xy, 0.7), lars.budget(G, xy, 0.7).lambdas)
check(price(G, -xy, 0.3), lars.budget(G, -xy, 0.3).lambdas)


# %% tags=["solution"]
def price(G, xy, tau):
    h = lars.budget(G, xy, tau).coefs
    return (xy - G @ h).abs().max()  # every active pull equals the price


assert torch.allclose(price(G, xy, 0.7), lars.budget(G, xy, 0.7).lambdas)

# %% [markdown]
# :::{exercise} Explore
# :label: ex-lars-explore
# Another detector found the hidden landmark itself, with normal errors of one pixel. Add its answer as a ninth column and
# predict whether the corners of the eye keep any weight at $\tau = 1$. Then let its errors be ten pixels. Fill `weights` with the
# weight of the ninth column in both cases.
# :::

# %% tags=["stub"]
weights = ...  # [errors of 1 px, errors of 10 px]

# %% tags=["self-check"]
its_weights = []
for spread in (1.0, 10.0):
    chance = torch.randn(
        600, generator=torch.Generator().manual_seed(8), dtype=X.dtype
    )
    nine = torch.cat([X, (y + spread * chance)[:, None]], 1)
    its_weights.append(lars.budget(nine.T @ nine, nine.T @ y, 1.0).coefs[8])
check(weights, torch.stack(its_weights), tolerance=0.07)

# %% tags=["solution"]
weights = []
for noise in (1.0, 10.0):
    normal = torch.randn(600, generator=generator, dtype=X.dtype)
    ninth = y + noise * normal
    wider = torch.cat([X, ninth[:, None]], 1)
    h = lars.budget(wider.T @ wider, wider.T @ y, 1.0).coefs
    weights.append(h[8].item())
    print(
        f"noise {noise:2.0f} px: outer {h[3]:.2f}, inner {h[4]:.2f}, ninth {h[8]:.2f}"
    )
assert weights[0] > 0.6 > weights[1]

# %% [markdown]
# :::{dropdown} What happens
# A good detector takes most of the weight; a bad one is worth hardly any of it.
# :::
#
# ## Quiz
#
# **1.** Why is the path made of straight lines?
#
# :::{dropdown} a. Because steps are small
# **No**. Steps are as long as they can be: from one event to the next. Nothing is approximated.
# :::
# :::{dropdown} b. Because on a fixed active set with fixed signs the conditions are linear
# **Right**. The absolute value is linear where signs do not change, and the rest is a quadratic.
# :::
# :::{dropdown} c. Because landmarks lie on smooth curves
# **No**. The lasso knows nothing of curves; any columns have such a path.
# :::
#
# **2.** A variable joins, and later drops. What happened?
#
# :::{dropdown} a. A rounding error
# **No**. It is part of the exact solution, and a solver that never drops gives another answer.
# :::
# :::{dropdown} b. Others that joined after it explain the same, for less weight
# **Right**. It was the best buy at a high price only.
# :::
# :::{dropdown} c. The target changed
# **No**. The target is fixed; only the price falls.
# :::
#
# **3.** The budget is larger than the $|h|_1$ of least squares. What comes back?
#
# :::{dropdown} a. Least squares
# **Right**. The constraint does not bind, and its multiplier is zero.
# :::
# :::{dropdown} b. Weights scaled up until the budget is spent
# **No**. Spending more than is useful would make the fit worse; a budget need not be spent.
# :::
# :::{dropdown} c. An error
# **No**. Every budget of zero or more has a solution; infinity is welcome too.
# :::
#
# **4.** You divide all coordinates by a thousand. What must a good solver do?
#
# :::{dropdown} a. Return weights a thousand times smaller
# **No**. Both sides of the regression shrink alike; a weight has no unit here.
# :::
# :::{dropdown} b. Stop earlier, since all numbers are small
# **No**. That is the failure made on purpose above: small against what?
# :::
# :::{dropdown} c. Return the same weights at the same knots
# **Right**. Prices shrink by a million, weights not at all.
# :::
#
# ## Take-aways
#
# - The lasso has a path of straight lines, and least angle regression walks it exactly, knot by knot.
# - Joining means that a pull reaches the price; dropping, that a weight reaches zero. Signs of slopes replace tolerances.
# - A budget for $|h|_1$ is a place on the path.
# - All it needs is $X^\top X$ and $X^\top y$: rows that share weights add their Grams, targets share one.
# - A tolerance without a unit is a bug that waits for other data.
#
# ## Equation, function, test
#
# | Equation | Function | Test |
# |---|---|---|
# | {eq}`eq-lasso` | `lars.path` | `tests/test_lars.py::test_orthonormal_columns_give_the_soft_threshold` |
# | {eq}`eq-optimal` | `lars.path` | `tests/test_lars.py::test_every_knot_is_optimal_and_the_end_is_least_squares` |
# | {eq}`eq-direction` | `lars.path_by_solving` | `tests/test_lars.py::test_between_knots_the_path_is_straight` |
# | {eq}`eq-knot` | `lars.path_by_solving` | `tests/test_lars.py::test_variables_drop_and_are_exactly_zero_then` |
# | {eq}`eq-budget` | `lars.budget` | `tests/test_lars.py::test_budget_against_a_quadratic_program` |
# | {eq}`eq-sweep` | `lars.path` | `tests/test_lars.py::test_the_sweep_agrees_with_solving_at_each_knot` |
