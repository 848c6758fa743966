# %% [markdown]
# # Sparse shape regression
#
# :::{admonition} At a glance
# **Question** Two datasets mark different points of a face. Can each be given the other's, from its own few?
#
# **Paper** DRN-SSR {cite:p}`zhang2015leveraging`, sections 3.1.2 and 3.2.2, equations 7, 8 and 12 to 14
#
# **You will be able to** complete one annotation to the union of two; read a row of $H$ like a recipe; say what
# $\tau = 1$ means and why rows sum to one; tell when a few landmarks beat all of them, and what changes when $H$ is learned
# in the loop, from a network's predictions
#
# **Before this** {doc}`20_lars`
#
# **Reading** {reading-time}`-`
#
# **Run time** {run-time}`-`
# :::

# %% [markdown]
# ## Predict first
#
# One dataset marks the 68 blue points. Another marks 74, of which 45 are in other places: the orange ones. A photograph of
# the first dataset has no orange points, and never will.
#
# **Look at the two with a ring, the pupil and a point of the brow's upper edge. If you had to compute each from two or three blue
# points, which, and with which weights? Would you ever use a negative one?**

# %% mystnb={"image": {"alt": "A drawn face with 68 blue landmarks along jaw, brows, nose, eyes and lips, and 45 orange ones between and beside them, on the jaw, around the brows, the nose, the eyes and the lips. The left pupil and one point on the upper edge of the left brow are ringed."}} tags=["hide-input"]
import matplotlib.pyplot as plt
import torch

from lddmmlib import plots
from lddmmlib.faces import geometry, schemes
from lddmmlib.notebook import start

generator = start(seed=0)
torch.set_num_threads(1)  # small matrices: a second thread gains nothing
other = schemes.get("lfw-74")
common = {j for _, j in schemes.shared("300w-68", "lfw-74")}
new = [j for j in range(74) if j not in common]  # 45 of the 74
pupil, brow = new.index(54), new.index(16)

front = geometry.Face3D(scale=90.0)
blue = geometry.landmarks(front, "300w-68")[0]
orange = geometry.landmarks(front, "lfw-74")[0][new]
figure, ax = plt.subplots(figsize=(4.6, 4.2))
plots.face(ax, blue, "300w-68", colour="#CCCCCC", size=0)
ax.scatter(*blue.T, s=12, color=plots.PALETTE[0], label="68 points")
ax.scatter(*orange.T, s=12, color=plots.PALETTE[1], label="45 of the 74")
ax.scatter(*orange[[pupil, brow]].T, s=110, facecolor="none", edgecolor="black")
ax.legend(loc="lower left", fontsize=8)
plt.show()

# %% [markdown]
# {cite:t}`zhang2015leveraging` answer with a sentence: "a landmark on the upper eyelid from the $j$th type can be approximated by
# those landmarks on eyes and eyebrows from the $i$th type". This chapter takes it literally, where both annotations are known
# for some faces. Coupled with a network that has to learn without any such face, it becomes the paper's method, of
# {doc}`22_coupled_regression`; what that does to $H$ is compared below.

# %% [markdown]
# ## Set-up
#
# Drawn faces carry exact landmarks in every scheme. We draw 180 heads as photographs show them, anywhere in the image;
# 120 to learn from, 60 to be surprised by.

# %%
import math

import numpy as np

from lddmmlib import lars, metrics
from lddmmlib.methods.sparse_shape_regression import complete, fit_h
from lddmmlib.notebook import check, result

rng = np.random.default_rng(1)
heads = [geometry.sample(rng, "studio") for _ in range(180)]
both = [[geometry.landmarks(h, s)[0] for h in heads] for s in ("300w-68", "lfw-74")]
place = 90 * torch.rand(180, 1, 2, generator=generator, dtype=torch.float64)
S = 60 * torch.stack(both[0]) + 128 + place  # (180, 68, 2), pixels
Y = 60 * torch.stack(both[1])[:, new] + 128 + place  # (180, 45, 2)
d = metrics.reference_distance(S, "corners", "300w-68")
train, test = slice(0, 120), slice(120, 180)

# %% [markdown]
# ## One matrix between two annotations
#
# With the defined landmarks $S_i$ of a face as rows, $(p_i, 2)$, the undefined ones are approximated by a matrix that is the
# same for all faces, and for $x$ and $y$:
#
# $$
# \hat S_j = H_{ij}\, S_i, \qquad |h^r_{ij}|_1 \le \tau \quad (r = 1, \dots, p_j).
# $$ (eq-ssr)
#
# Each row has a budget. "All landmarks of $S_i$ would span a large subspace", the paper argues, but "sparse regression
# model tends to select a very small subset" and spans "a very compact subspace around the ground truth". The rows
# do not know of each other, so each is fitted alone:
#
# $$
# h^r = \arg\min_h \sum_{I} \bigl| h\, S_i(I) - y^r(I) \bigr|^2 \quad \text{subject to} \quad |h|_1 \le \tau.
# $$ (eq-ssr-row)
#
# This is the budget of {doc}`20_lars`. Face by face, coordinate by coordinate, for one row:


# %%
def row_by_hand(r, tau):
    rows, values = [], []
    for face, marks in zip(S[train], Y[train], strict=True):
        for coordinate in (0, 1):
            rows.append(face[:, coordinate])
            values.append(marks[r, coordinate])
    X, y = torch.stack(rows), torch.stack(values)  # (240, 68), (240,)
    return lars.budget(X.T @ X, X.T @ y, tau).coefs


# %% [markdown]
# All rows at once. Nothing needs to be stacked: the Gram of $x$ and that of $y$ add up, and all 45 rows share the sum.

# %%
Sx, Sy = S[train].unbind(-1)  # (120, 68) each
Yx, Yy = Y[train].unbind(-1)
G = Sx.T @ Sx + Sy.T @ Sy
H = lars.budget(G, Sx.T @ Yx + Sy.T @ Yy, 1.4).coefs.T  # (45, 68)

ours = fit_h(S[train], Y[train], tau=1.4)
assert torch.allclose(H, ours.H, atol=1e-8)
assert torch.allclose(row_by_hand(pupil, 1.4), ours.H[pupil], atol=1e-6)
assert ours.converged

# %% [markdown]
# ## The union
#
# The completed face keeps its own landmarks and appends the approximated ones ($E$ is the identity):
#
# $$
# S_H = \begin{pmatrix} E \\ H \end{pmatrix} S_i.
# $$ (eq-union)


# %%
def complete_by_hand(face, H):
    points = face.tolist()
    for row in H:
        x = sum(w * p[0] for w, p in zip(row.tolist(), face.tolist(), strict=True))
        y = sum(w * p[1] for w, p in zip(row.tolist(), face.tolist(), strict=True))
        points.append([x, y])
    return torch.tensor(points, dtype=face.dtype)


union = complete(S[test], H)  # (60, 113, 2)
E = torch.eye(68, dtype=H.dtype)
assert torch.allclose(torch.cat([E, H]) @ S[test], union)
assert torch.allclose(complete_by_hand(S[120], H), union[0])

# %% [markdown]
# Shared landmarks take care of themselves: had we asked for all 74, the rows of the common 29 would have found the one blue
# point that is the same, with weight one.
#
# ## Why the rows sum to one
#
# Move a face by $t$. Its hidden landmarks move by $t$. Does their approximation?
#
# $$
# h\,(S + \mathbf 1\, t^\top) = h S + \Bigl(\sum_i h_i\Bigr)\, t^\top.
# $$ (eq-shift)
#
# Only if $\sum_i h_i = 1$. Nothing in {eq}`eq-ssr-row` says so; but faces lie anywhere, and a row that sums to anything else
# is wrong for most of them. The data teach it:

# %%
t = torch.tensor([40.0, -25.0], dtype=S.dtype)
moved = H @ (S[120] + t)
assert torch.allclose(moved, H @ S[120] + H.sum(1)[:, None] * t)
print(f"row sums from {H.sum(1).min():.4f} to {H.sum(1).max():.4f}")
assert (H.sum(1) - 1).abs().max() < 0.01

# %% [markdown]
# That gives $\tau$ a meaning in the plane. Split the budget into positive weight $P$ and negative weight $N$. With
# $P - N = 1$ and $P + N \le \tau$,
#
# $$
# N \;\le\; \frac{\tau - 1}{2}.
# $$ (eq-negative)
#
# At $\tau = 1$ there is none: every row is a *convex combination*, and the hidden landmark lies inside the polygon of those
# that represent it. The paper's $\tau = 1.4$ allows a fifth of negative weight, a step of extrapolation beyond the polygon. And
# $\tau < 1$ cannot sum to one at all.


# %%
def negative_by_hand(row):
    return sum(-w for w in row.tolist() if w < 0)


for tau in (1.0, 1.4):
    fitted = fit_h(S[train], Y[train], tau).H
    negative = fitted.clamp(max=0).sum(1).neg()
    assert math.isclose(
        negative_by_hand(fitted[brow]), negative[brow], abs_tol=1e-9
    )
    bound = (fitted.abs().sum(1) - fitted.sum(1)) / 2
    assert torch.allclose(negative, bound)
    print(f"tau = {tau}: negative weight at most {negative.max():.2f}")
    assert negative.max() < (tau - 1) / 2 + 0.01

# %% [markdown]
# ## On a face
#
# Your two recipes, at four budgets. Areas are weights, red is negative. **Compare with what you wrote down.**

# %% mystnb={"image": {"alt": "Two rows of four grey faces, for budgets 1, 1.4, 10 and none. Top, the left pupil: at 1 a few blue dots around the left eye; at 1.4 more, some of them red; at 10 and without a budget red and blue dots all over the face. Bottom, the brow point: at 1 dots on the left brow; at 1.4 the brow with a little red elsewhere; then dots all over the face."}} tags=["hide-input"]
taus = {"1": 1.0, "1.4": 1.4, "10": 10.0, "∞": math.inf}
recipes = {name: fit_h(S[train], Y[train], tau).H for name, tau in taus.items()}
figure, axes = plt.subplots(2, 4, figsize=(9, 5.2))
for row, r in zip(axes, (pupil, brow), strict=True):
    for ax, (name, fitted) in zip(row, recipes.items(), strict=True):
        h = fitted[r]
        plots.face(ax, blue, "300w-68", colour="#CCCCCC", size=0)
        colour = ["#B00020" if w < 0 else plots.PALETTE[0] for w in h]
        ax.scatter(*blue.T, s=110 * h.abs(), color=colour, zorder=4, alpha=0.8)
        ax.margins(0.12)
        ax.scatter(
            *orange[[r]].T, s=34, color=plots.PALETTE[1], marker="D", zorder=5
        )
        used = int((h.abs() > 1e-6).sum())
        ax.set_title(f"τ = {name}: {used} points", fontsize=9)
plt.show()

# %% [markdown]
# A small budget is spent next door. A large one is spent all over the face, on differences of far landmarks that happen to
# go together in these 120 faces.
#
# The union on a face that was not learned from, by $\tau = 1.4$:

# %% mystnb={"image": {"alt": "A face turned a little. Its 68 given landmarks are small and grey; the 45 approximated ones, orange crosses, lie on or very near the black circles of their true places, on the jaw, brows, nose, eyes and lips."}} tags=["hide-input"]
k = 7
figure, ax = plt.subplots(figsize=(4.8, 4.4))
plots.face(ax, S[120 + k], "300w-68", colour="#BBBBBB", size=5)
truth, found = Y[120 + k], union[k, 68:]
ax.scatter(*truth.T, s=42, facecolor="none", edgecolor="black", label="true")
ax.scatter(*found.T, s=22, color=plots.PALETTE[1], marker="x", label="from the 68")
ax.legend(loc="lower left", fontsize=8)
plt.show()

# %% [markdown]
# Everything fits but the pupils. Where somebody looks is not written in the 68 points, and no budget can buy it.
#
# Choose any undefined landmark yourself, and see who represents it as $\tau$ moves:

# %%
from lddmmlib.widgets import SparseFaceExplorer

SparseFaceExplorer()

# %% [markdown]
# ## If it goes wrong
#
# | Symptom | Cause | Cure |
# |---|---|---|
# | approximated points drift to a corner of the image | rows that sum to less than one: a $\tau$ below one, or faces all in one place | $\tau \ge 1$; faces anywhere |
# | far landmarks with large weights of both signs | too large a budget for so few faces | a smaller $\tau$, more faces |
# | all NaN after `complete` | a landmark that every row takes is missing | `use=` those that are always there |
# | the jaw is worse than the rest | landmarks that slide on a curve are marked differently in each face | nothing to regress on; see {doc}`02_measuring_error` |
#
# The first, made on purpose. A budget below one, faces at the far corner of a larger image:

# %%
errors = {}
for tau in (0.9, 1.0):
    fitted = fit_h(S[train], Y[train], tau).H
    for away in (0.0, 500.0):
        pred = complete(S[test] + away, fitted)[:, 68:]
        errors[tau, away] = metrics.nme(pred, Y[test] + away, d[test]).mean()
        print(f"tau {tau}, {away:3.0f} px away: {100 * errors[tau, away]:6.2f} %")
assert errors[0.9, 500.0] > 3 * errors[0.9, 0.0]
assert errors[1.0, 500.0] < errors[0.9, 500.0] / 20

# %% [markdown]
# The points are pulled towards the origin of the image, the farther the face the more. Even $\tau = 1$ pays a little: where a
# bit of extrapolation is worth more than a sum of exactly one, a row gives up some of the sum.

# %% [markdown]
# ## Choosing the parameters
#
# **The budget and the number of faces.** Error against the hidden landmarks of the 60 other faces, in per cent of the
# corner distance. Drawn faces are exact; to be fair to the real world, the annotations get an error of one pixel:

# %% tags=["nbval-check-output"]
noise = torch.randn(180, 113, 2, generator=generator, dtype=S.dtype)
S1, Y1 = S + noise[:, :68], Y + noise[:, 68:]
print("faces   tau = 1     1.4      10     inf")
for n in (20, 40, 120):
    row = f"{n:5d}"
    for tau in taus.values():
        pred = complete(S1[test], fit_h(S1[:n], Y1[:n], tau).H)[:, 68:]
        row += f"{100 * metrics.nme(pred, Y[test], d[test]).mean():8.1f}"
    print(row)

# %% [markdown]
# With few faces a budget is worth more than any landmark, and least squares is worst. With more it catches up; how far, the
# recorded run shows on real faces.
#
# **The landmarks.** `use=` keeps to those that are reliable, or visible, or annotated by the better hand.

# %% [markdown]
# ## H learned in the loop
#
# So far some faces had both annotations, and $H$ was fitted to them. The paper has no such face. It has a network $F$, which looks at the photograph and predicts all landmarks of the
# union, and its prediction takes the place of the annotation:
#
# $$
# \begin{gathered}
# \min_h \sum_{I} \bigl| h\, S_i(I) - y^r(I) \bigr|^2, \quad |h|_1 \le \tau, \\
# Y = F(\varphi(I, \bar S)) + \bar S .
# \end{gathered}
# $$ (eq-ssr-loop)
#
# Then $F$ is fitted to the shapes that $H$ completes, and so on in turns. {doc}`22_coupled_regression` builds all of that; here it is one call. We draw 30 faces that keep their 68 points and 30 others that
# keep their 74. For comparison we then pretend that some of those others had both.
#
# **How many faces with both annotations are worth as much as the loop over these 60: three, fifteen, or sixty? Decide before you run on.**

# %% tags=["hide-input"]
from lddmmlib.faces import synthetic
from lddmmlib.methods import coupled_regression as coupled

faces = [
    synthetic.sample(i, "studio", 96, "cartoon", "union-113") for i in range(60)
]
images = [face.image for face in faces]
truth = torch.stack([face.landmarks for face in faces])
first, second = torch.zeros(2, 113, dtype=torch.bool)
first[:68] = True
second[[j for _, j in schemes.shared("lfw-74", "union-113")]] = True
labels = truth.clone()
labels[:30, ~first] = torch.nan
labels[30:, ~second] = torch.nan

# %%
how = coupled.Settings(sides=(40,), hidden=(32, 16), decay=0.1, patch=20, rounds=6)
loop = coupled.fit_cascade(images, labels, how=how)
T, completed = (coupled.to_face(x, loop.boxes) for x in (truth, loop.completed))
T_68, T_45 = T[:30, :68], T[:30, 68:]


def wrong_by(found):
    """The mean error of the 45 hidden landmarks of the first 30 faces, % of the face."""
    return 100 * (found - T_45).norm(dim=-1).mean().item()


in_loop = wrong_by(completed[:30, 68:])
print(
    f"H learned in the loop, 60 faces with one annotation: off by {in_loop:.2f} %"
)
co_annotated = {}
for n in (2, 3, 5, 10, 30):  # of the others, if they had both
    H_n = fit_h(T[30 : 30 + n, :68], T[30 : 30 + n, 68:], 1.4).H
    co_annotated[n] = wrong_by(H_n @ T_68)
    print(f"H from {n:2d} faces with both: off by {co_annotated[n]:.2f} %")
assert co_annotated[3] < 0.8 * in_loop
assert co_annotated[5] < 0.4 * in_loop
assert co_annotated[30] < 0.2 * in_loop

# %% [markdown]
# Co-annotated faces win, and not by a little: three of them are truer than the loop over sixty. (Drawn faces are exact, and no two annotators disagree. On real ones it takes more; the table above
# says what one pixel of error does.) **If you can annotate ten faces in both schemes, do that first.**
#
# Why does the loop lose? $F$ is wrong by a few per cent of a face. But errors that have nothing to do with the shape average out in a regression. So give $H$ the truth plus noise of the same size, and see whether it does as badly:

# %%
predicted = loop.cascade.predict(images[:30], loop.boxes[:30])
F_45 = coupled.to_face(predicted, loop.boxes[:30])[:, 68:]
size = (F_45 - T_45).square().mean().sqrt()
noisy = T_45 + size * torch.randn(T_45.shape, generator=generator).double()
targets = {"the truth": T_45, "truth + noise": noisy, "F + S̄": F_45}
told = {}
print("H fitted to       off (% of the face)   sums of rows")
for name, y in targets.items():
    H_y = fit_h(T_68, y, 1.4).H
    told[name] = wrong_by(H_y @ T_68)
    low, high = H_y.sum(1).min(), H_y.sum(1).max()
    print(f"{name:16s} {told[name]:12.2f}               {low:.2f} to {high:.2f}")

# %%
spread = [(y - y.mean(0)).square().sum().sqrt() for y in (F_45, T_45)]
print(f"spread of the network's shapes over the true: {spread[0] / spread[1]:.2f}")
assert told["truth + noise"] < 0.9 * told["F + S̄"]
assert spread[0] < 0.9 * spread[1]

# %% [markdown]
# Noise of the same size is not as bad. The network's errors are of another kind: a network that is unsure stays near the mean shape, so that its shapes vary less than true ones do, on every face in the same sense. $H$ learns that
# faithfully. It even shows in the rows: in the frame of the face, where nothing teaches them to sum to one, they sum to less.
#
# And the budget? The last $H$ of the loop once more, at the four budgets:

# %%
budgets = {}
for name, tau in taus.items():
    H_y = fit_h(T_68, F_45, tau).H
    budgets[name] = wrong_by(H_y @ T_68)
    near = 100 * (H_y @ T_68 - F_45).norm(dim=-1).mean()
    print(
        f"tau {name:3s}: off by {budgets[name]:.2f} %, from F + S̄ by {near:.2f} %"
    )
assert budgets["1"] < budgets["1.4"] < budgets["10"] < budgets["∞"]

# %% [markdown]
# The less $H$ may do, the farther it stays from what the network says, and the nearer it comes to the truth. This is the sense in which the paper's claim holds: **in the loop a budget is not a bet on few faces, it is what keeps $H$ from
# repeating the network's errors.** With annotated faces the same budgets differ by little, and in the other direction once there are many.

# %% [markdown]
# ## Paper versus code
#
# :::{admonition} Paper versus code
# - **No code was published**, nor the order of the 74 points. Ours is chosen to share 29 places with the 68; the union has the paper's 113.
# - **What H is fitted to.** In the paper no face has both annotations. $H$ is fitted to the network's own prediction
#   $Y = F + \bar S$ (eq. 12 to 14), and the network to what $H$ completes, in turns. Most of this chapter fits $H$ to annotations; the loop is compared above.
# - **Strict or not.** The paper writes $|h^r|_1 < \tau$; a minimiser needs $\le$.
# - **The sum of a row** is not mentioned. With rows that are not centred it follows from the data, as above.
# :::

# %% [markdown]
# ## The recorded run
#
# Real annotations of real faces: every second landmark of 300-W is hidden, and told from the 34 others. $H$ is fitted to
# some faces and measured on 1,400 that it has not seen.

# %%
run = result("sparse_completion")
print("\nerror (% of the corner distance), and its difference from no budget")
for n, row in run["by_faces"].items():
    print(f"{n:>5} faces", end="")
    for name, told in row.items():
        low, high = told["minus_no_budget"]["interval"]
        value = told["error_percent"]["value"]
        apart = f" [{low:+.2f}, {high:+.2f}]" if name != "inf" else ""
        print(f"   {name}: {value:.2f}{apart}", end="")
    print()

# %% mystnb={"image": {"alt": "Left: error in per cent against the number of faces, one line a budget. The line of budget 1 is nearly flat and ends highest; 1.4 is lowest with few faces and is met from above by 10 and no budget, which end just below it. Right: mean distance of the chosen landmarks against the number chosen, for the largest number of faces: budget 1 near and few, no budget far and all 34."}} tags=["hide-input"]
figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2))
counts = [int(n) for n in run["by_faces"]]
for name, style in zip(taus, ("o-", "s-", "^--", "v:"), strict=True):
    key = {"1": "1.0", "∞": "inf"}.get(name, name)
    told = [row[key] for row in run["by_faces"].values()]
    values = [t["error_percent"]["value"] for t in told]
    left.plot(counts, values, style, ms=5, label=f"τ = {name}")
    last = told[-1]
    right.plot(last["chosen"], last["distance"], style[0], ms=8)
    if name != "10":
        label = f"τ = {name}" if name != "∞" else "τ = 10, ∞"
        near = (last["chosen"], last["distance"])
        right.annotate(
            label, near, (0, 10), textcoords="offset points", ha="center"
        )
left.set(xscale="log", xlabel="faces to learn from", ylabel="error (%)")
left.set_xticks(counts, counts, minor=False)
left.legend()
right.set(
    xlabel="landmarks chosen, of 34", ylabel="their distance (corner distances)"
)
right.set(xlim=(0, 38), ylim=(0, 0.5))
plt.show()

# %%
rows = run["by_faces"]
few, many = rows["30"]["1.4"], rows["1400"]["1.4"]
assert few["minus_no_budget"]["interval"][1] < 0  # truer with 30 faces
assert many["minus_no_budget"]["interval"][0] > 0  # not with 1400
assert many["distance"] < rows["1400"]["inf"]["distance"]
assert rows["1400"]["10"]["norm1"] < 10  # a budget that nobody spends

# %% [markdown]
# The claim that sparse approximations are *compact* holds at every size. That they are *truer* holds where faces are
# few, and is reversed, by a small margin, where they are many. A convex combination alone, $\tau = 1$, cannot reach the ends of a
# curve, and stays behind. And ten is no budget at all: least squares on many faces spends less.

# %% [markdown]
# ## Exercises
#
# Replace each `...`, run the self-check, then unfold a solution.
#
# :::{exercise} Check
# :label: ex-ssr-check
# A row of $H$ has three weights: $0.9$, $0.3$ and $-0.2$. What is its $|h|_1$? By how many pixels does its landmark move if the face moves by 50
# pixels to the right?
# :::

# %% tags=["stub"]
my_norm = ...
my_move = ...

# %% tags=["self-check"]
row = torch.tensor([[0.9, 0.3, -0.2]])
three = torch.rand(3, 2, generator=generator)
right_by = torch.tensor([50.0, 0.0])
check(my_norm, row.abs().sum())
check(my_move, (row @ (three + right_by) - row @ three)[0, 0], tolerance=1e-4)

# %% tags=["solution"]
my_norm = 0.9 + 0.3 + 0.2
my_move = 50 * (0.9 + 0.3 - 0.2)  # the weights sum to one
assert math.isclose(my_norm, row.abs().sum(), rel_tol=1e-6)
moved_by = (row @ (three + right_by) - row @ three)[0, 0]
assert math.isclose(my_move, moved_by, rel_tol=1e-4)

# %% [markdown]
# :::{exercise} Extend
# :label: ex-ssr-extend
# Write `recipe(h, k)`: the names of the `k` landmarks of the largest weight in a row, by absolute value, largest first. Then read
# the pupil's at $\tau = 1$.
# :::


# %% tags=["stub"]
def recipe(h, k):
    return ...


# %% tags=["self-check"]
made_up = torch.zeros(68)
made_up[[30, 8, 36]] = torch.tensor([0.7, -0.9, 0.2])
called = list(schemes.get("300w-68").names)
answer = recipe(made_up, 2)
if answer is not ...:
    answer = [called.index(name) if name in called else -1 for name in answer]
check(answer, torch.tensor([8, 30]))


# %% tags=["solution"]
def recipe(h, k):
    names = schemes.get("300w-68").names
    return [names[i] for i in h.abs().argsort(descending=True)[:k].tolist()]


print(recipe(recipes["1"][pupil], 4))
assert recipe(made_up, 2) == ["chin", "nose tip"]

# %% [markdown]
# :::{exercise} Explore
# :label: ex-ssr-explore
# How much does the rest of the face know about an eye? Fit the pupil with `use=` all landmarks but those of the left eye, 36 to
# 41. Predict the error before you look, and at which $\tau$ it is least.
# :::

# %% tags=["stub"]
without_eye = ...  # a list of landmarks

# %% tags=["self-check"]
check(without_eye, torch.tensor([*range(36), *range(42, 68)]))
if without_eye is not ...:
    blind = fit_h(S1[train], Y1[train], 1.4, use=without_eye).H
    off = (blind @ S1[test] - Y[test]).norm(dim=-1)[:, pupil] / d[test]
    print(f"{100 * off.mean():.1f} %")

# %% tags=["solution"]
without_eye = [i for i in range(68) if i not in range(36, 42)]
off = {}
for use in (None, without_eye):
    for name, tau in taus.items():
        blind = fit_h(S1[train], Y1[train], tau, use=use).H
        error = (blind @ S1[test] - Y[test]).norm(dim=-1)[:, pupil] / d[test]
        off[use is None, name] = error.mean().item()
        print(
            f"{'with' if use is None else 'without'} the eye, tau {name}: {error.mean():.1%}"
        )
assert off[False, "1.4"] > off[True, "1.4"]

# %% [markdown]
# :::{dropdown} What happens
# Brows, nose and the other eye tell where a pupil is, but not as well as its own corners.
# :::
#
# ## Quiz
#
# **1.** A hidden landmark lies outside the polygon of all defined ones. Which budget can represent it exactly?
#
# :::{dropdown} a. Any: one only needs the right weights
# **No**. At a budget of one, with weights that sum to one, the point stays inside the polygon.
# :::
# :::{dropdown} b. One above one
# **Right**. Leaving the polygon takes negative weight, and that takes a budget above one.
# :::
# :::{dropdown} c. None, it is not defined
# **No**. Extrapolation is allowed, it only costs budget.
# :::
#
# **2.** Why do the Grams of $x$ and $y$ add up?
#
# :::{dropdown} a. Because a face's width and height are alike
# **No**. They need not be; every coordinate is just one more row of the regression.
# :::
# :::{dropdown} b. Because both share the row $h$, and squares of rows are summed
# **Right**. Stacking them would give the same sum, with twice the memory.
# :::
# :::{dropdown} c. Because the coordinates are uncorrelated
# **No**. Correlated or not, the sum of squares is a sum over rows.
# :::
#
# **3.** You fit $H$ to faces that are all centred at the origin. What may go wrong on a photograph?
#
# :::{dropdown} a. Rows need not sum to one, and the points drift
# **Right**. At the origin nothing teaches the sum. Move the faces about, or bring each to the frame that was learned in.
# :::
# :::{dropdown} b. Nothing, weights have no unit
# **No**. They have no unit, but the sum of a row multiplies every shift.
# :::
# :::{dropdown} c. The weights become infinite
# **No**. They are bounded by the budget, and by the data.
# :::
#
# **4.** On 1,400 faces least squares is slightly truer than $\tau = 1.4$. What follows for the paper?
#
# :::{dropdown} a. That its claim is wrong
# **No**. It fits to a network's predictions, and there a small budget is truer, as in the loop above.
# :::
# :::{dropdown} b. That a budget is a bet on scarce or noisy faces
# **Right**. It pays where there is little to learn from, and costs little where there is much.
# :::
# :::{dropdown} c. That a larger $\tau$ is always better
# **No**. On thirty faces it is much worse.
# :::
#
# ## Take-aways
#
# - An undefined landmark is a recipe of defined ones, the same for all faces: one row of $H$.
# - A budget keeps the recipe short and near. With weights that sum to one, a budget of one means inside.
# - The sum of one is taught by faces that lie anywhere. Check it.
# - Sparse is compact always, and truer when faces are few, or when $H$ is fitted to what a network says.
# - A handful of faces with both annotations beats the loop. Without any, the loop is what there is.
#
# ## Equation, function, test
#
# | Equation | Function | Test |
# |---|---|---|
# | {eq}`eq-ssr` | `methods.sparse_shape_regression.fit_h` | `tests/methods/test_sparse_shape_regression.py::test_no_row_exceeds_its_budget` |
# | {eq}`eq-ssr-row` | `methods.sparse_shape_regression.fit_h` | `tests/methods/test_sparse_shape_regression.py::test_each_row_solves_its_own_budget` |
# | {eq}`eq-union` | `methods.sparse_shape_regression.complete` | `tests/methods/test_sparse_shape_regression.py::test_completion_keeps_the_own_and_appends_the_others` |
# | {eq}`eq-ssr-loop` | `methods.coupled_regression.fit_cascade`, `methods.sparse_shape_regression.fit_h` | `tests/methods/test_coupled_regression.py::test_h_is_the_lasso_of_what_the_network_says` |
# | {eq}`eq-shift` | `methods.sparse_shape_regression.fit_h` | `tests/methods/test_sparse_shape_regression.py::test_rows_sum_to_one_and_are_convex_at_one` |
# | {eq}`eq-negative` | `methods.sparse_shape_regression.fit_h` | `tests/methods/test_sparse_shape_regression.py::test_rows_sum_to_one_and_are_convex_at_one` |
