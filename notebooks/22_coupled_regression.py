# %% [markdown]
# # Regression coupled with completion
#
# :::{admonition} At a glance
# **Question** One set of photographs has 68 points on each face, another 74. Can one model learn all 113 from both, although no photograph
# shows them together?
#
# **Paper** DRN-SSR {cite:p}`zhang2015leveraging`, sections 3 and 4, equations 1 to 15, table 1
#
# **You will be able to** describe a face by features that follow its shape; write one stage of a cascade, and the alternation of a network $F$ and
# matrices $H$, equation by equation; read their two objectives; say where the gain over separate models comes from, and when there is none
#
# **Before this** {doc}`21_sparse_shape_regression`
#
# **Reading** 50 minutes
#
# **Run time** {run-time}`-`
# :::

# %% [markdown]
# ## Predict first
#
# A cascade of four stages, on three faces that it has not seen. It was trained on drawn faces of which half have labels of 68 points, the other half of 74;
# 29 points are in both. At the start every face has the same 113 points: the mean shape, placed by a box that is a little off. Press *Play*.
#
# **Each of the 113 landmarks looks at a small square around itself, and votes. How much of its own step does the square of a landmark decide: nearly all,
# half, or a few hundredths? And which landmarks end worse: those that only one set labels, or those that both do?**

# %%
from lddmmlib.widgets import FollowCascade

FollowCascade()

# %% tags=["reveal"]
import torch

shares, errors_by = [], {}
for face in range(3):
    explorer = FollowCascade(face=face)
    shapes = torch.tensor(explorer.shapes[face])
    step = shapes[1] - shapes[0]
    own = torch.stack([explorer.vote(i)[i] for i in range(113)])
    shares.append((own * step).sum(1) / step.square().sum(1))
    off = (shapes[-1] - torch.tensor(explorer.truth[face])).norm(dim=-1)
    errors_by[face] = [100 * off[torch.tensor(explorer.taught) == k].mean() for k in (1, 2, 3)]
share = torch.cat(shares).median().item()
print(f"a landmark's share in its own first step: {share:.0%} (median)")
print("error at the end (% of the face): 68 alone, 74 alone, both")
for face, row in errors_by.items():
    print(f"face {face + 1}:", *(f"{e:14.1f}" for e in row))
assert 0.0 < share < 0.1

# %% [markdown]
# :::{dropdown} What happens
# A few per cent. The step of a landmark is the sum of 113 votes, and most of what moves an eye is what the squares around the nose, the brows and the other eye
# say. That is what makes such a cascade robust, and what lets a landmark be moved that *nobody* labelled on this kind of photograph. Who was taught by one
# set alone ends about as well as who was taught by both: the other set's faces teach it, too, through the completed shapes. This chapter is about how.
# :::

# %% [markdown]
# ## Set-up
#
# A cascade is trained live here, on 60 drawn faces in the cartoon style, which is quickly drawn. The first 30 keep the labels of `300w-68`, the others those of
# `lfw-74`. All 113 are known to us, because the faces are drawn; the training never sees what is hidden. Each face is seen in two boxes, as two runs of a detector
# would place them: shifted and scaled at random, by a few hundredths of the side.

# %%
import math
import textwrap

import matplotlib.pyplot as plt
from torch import nn

from lddmmlib import metrics, plots
from lddmmlib.data import crops
from lddmmlib.faces import schemes, synthetic
from lddmmlib.methods import coupled_regression as coupled
from lddmmlib.methods.coupled_regression import Settings
from lddmmlib.methods.shape_indexed import features, features_by_loops
from lddmmlib.methods.sparse_shape_regression import fit_h
from lddmmlib.notebook import check, result, start

generator = start(seed=0)
torch.set_num_threads(1)  # small matrices: a second thread gains little
EACH, JITTER, PATCH = 30, 0.04, 20
UNION = schemes.get("union-113")
first, second = torch.zeros(2, UNION.n, dtype=torch.bool)
first[:68] = True
second[[j for _, j in schemes.shared("lfw-74", "union-113")]] = True
assert [first.sum(), second.sum(), (first & second).sum()] == [68, 74, 29]


# %% tags=["hide-input"]
def drawn(count, split):
    """Drawn faces, and their 113 landmarks (count, 113, 2), px."""
    faces = [
        synthetic.sample(i, split, 96, "cartoon", "union-113") for i in range(count)
    ]
    return [f.image for f in faces], torch.stack([f.landmarks for f in faces])


def detected(points, seed, jitter=JITTER):
    """Boxes (m, 4) around faces, off by a share of their side."""
    g, m = torch.Generator().manual_seed(seed), len(points)
    low, high = points.amin(1), points.amax(1)
    side = (high - low).amax(1, keepdim=True)
    centre = (low + high) / 2 + jitter * side * torch.randn(m, 2, generator=g)
    size = (high - low) * (jitter * torch.randn(m, 1, generator=g)).exp()
    return torch.cat([centre - size / 2, size], 1)


# %%
images, points = drawn(2 * EACH, "studio")
unseen, hidden = drawn(24, "studio-test")
images, truth = images * 2, points.repeat(2, 1, 1)
boxes, boxes_unseen = detected(truth, 1), detected(hidden, 2)
labels = truth.clone()
of_first = torch.arange(2 * EACH).repeat(2) < EACH
labels[of_first[:, None] & ~first] = torch.nan
labels[~of_first[:, None] & ~second] = torch.nan

# %%
known, which = coupled.label_sets(labels)
mean, _ = coupled.union_mean(labels, boxes)
assert torch.equal(known[which], ~labels.isnan().any(-1))
both = [coupled.to_face(labels[of], boxes[of])[:, first & second].mean(1).mean(0) for of in (of_first, ~of_first)]
print("middle of the 29 common points in each set:", *(p.round(decimals=3).tolist() for p in both))

# %% [markdown]
# $\bar S$ has all 113 points although no face does: the means of both sets are joined at the common ones. Everything below happens in the *frame of the
# face*, in which the box has side 1; an error of a hundredth is one per cent of a face.
#
# ## Features that follow the shape
#
# The paper's model is
#
# $$
# S = F(\varphi(I, \bar S)) + \bar S .
# $$ (eq-indexed)
#
# $\varphi(I, S)$ describes the image *at the landmarks of a shape*: a SIFT descriptor at each, of fixed size and upright, 128 numbers that say which
# way the gradients point in 4 × 4 cells around it. Move the shape, and the features are others; move the face and the shape with it, and they are the same.


# %%
def gray(images, boxes, side, margin=1.25):
    """Gray crops (m, n, n) in which the face's square has `side` px."""
    n = round(margin * side)
    cut = [
        crops.cut(image, crops.frame(tuple(box), n, n / side), n)
        for image, box in zip(images, boxes.tolist(), strict=True)
    ]
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    return (torch.stack(cut) * luma).sum(1).round().byte()


def in_crop(shapes, side, margin=1.25):
    return side * (shapes - 0.5) + (round(margin * side) - 1) / 2


# %%
pictures = gray(images, boxes, 40)
at_mean = in_crop(mean, 40).expand(len(truth), -1, -1)
phi = features(pictures, at_mean, PATCH)  # (120, 113, 128)
by_hand = features_by_loops(pictures[:1], at_mean[:1, 36:38], PATCH)
assert torch.allclose(by_hand, phi[:1, 36:38], atol=0.005)
print(tuple(phi.shape), "the length of each:", f"{phi.norm(dim=-1).mean():.2f}")

moved = pictures.roll((3, 2), (1, 2))  # 3 px down, 2 px to the right
small = features(pictures, at_mean, PATCH / 2)
again = features(moved, at_mean + torch.tensor([2.0, 3.0]), PATCH / 2)
central = ((at_mean[0] - 24.5).abs() < 8).all(1)  # far from the border
assert torch.allclose(again[:, central], small[:, central], atol=0.01)

# %% [markdown]
# What three landmarks of one face see, from the mean shape and from their true places. **Which of the squares tells you which way its landmark has to go?**

# %% mystnb={"image": {"alt": "Left, a small grey picture of a cartoon face with the mean shape in orange and squares around an eye corner, the nose and the chin. To the right three columns of small patches. Top row, at the mean shape: the eye, the nose and the edge of the chin are off centre. Bottom row, at the true places: they are in the middle."}} tags=["hide-input"]
k, ask = 3, {"eye corner": 36, "nose tip": 30, "chin": 8}
places = {"at the mean": at_mean[k], "at the truth": in_crop(coupled.to_face(truth, boxes)[k], 40)}
figure, axes = plt.subplot_mosaic(
    [["face", *(f"{a} {p}" for a in ask)] for p in places],
    figsize=(9, 4.4), width_ratios=[2.2, 1, 1, 1],
)  # fmt: skip
axes["face"].imshow(pictures[k], cmap="gray")
axes["face"].plot(*places["at the mean"].T, ".", ms=3, color=plots.PALETTE[1])
for p, shape in places.items():
    for a, j in ask.items():
        x, y = shape[j].round().int().tolist()
        half = PATCH // 2
        if p == "at the mean":
            axes["face"].add_patch(plt.Rectangle((x - half, y - half), PATCH, PATCH, fill=False, ec="white"))
        patch = nn.functional.pad(pictures[k], (half,) * 4)[y : y + PATCH, x : x + PATCH]
        axes[f"{a} {p}"].imshow(patch, cmap="gray", vmin=0, vmax=255)
        axes[f"{a} {p}"].set_title(f"{a} {p}", fontsize=8)
for ax in axes.values():
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## One stage by hand
#
# **The network** $F$ is a chain of sigmoid layers and a linear one:
#
# $$
# \begin{aligned}
# a_q &= \sigma(W_q a_{q-1} + b_q), \\
# \Delta S &= W_l\, a_{l-1} + b_l .
# \end{aligned}
# $$ (eq-drn)
#
# The paper's has 1296, 784 and 400 units. Ours here has 32 and 16.


# %%
def network_by_hand(net, phi):
    a, layers = phi.tolist(), [layer for layer in net if isinstance(layer, nn.Linear)]
    for layer in layers:
        rows, b = layer.weight.tolist(), layer.bias.tolist()
        z = [
            sum(w * v for w, v in zip(row, a, strict=True)) + c
            for row, c in zip(rows, b, strict=True)
        ]
        last = layer is layers[-1]
        a = z if last else [1 / (1 + math.exp(-v)) for v in z]
    return torch.tensor(a).view(-1, 2)


# %%
UNITS, ALPHA, TAU = (32, 16), 0.1, 1.4
x, S0 = phi.flatten(1), mean.expand(len(truth), -1, -1)
S = coupled.to_face(labels, boxes)  # NaN where not labelled
net = coupled.network(UNION.n, UNITS)
toward = (S - S0).nan_to_num(0.0).float()
coupled.start(net, x, toward, (~S.isnan().any(-1)).float(), ALPHA, generator)
assert torch.allclose(network_by_hand(net, x[0]), net(x[0]).view(-1, 2), atol=1e-5)
print(f"{sum(w.numel() for w in net.parameters()):,} numbers for {len(x)} faces")

# %% [markdown]
# **The objective** has two unknowns, the network $F$ and a matrix $H_i$ for each set. A face of set $i$ that is completed by $H_i$, as in {doc}`21_sparse_shape_regression`,
# shall be what $F$ predicts for it:
#
# $$
# \begin{gathered}
# \min_{F, H} \sum_i \sum_{I \in D_i} \bigl| H_i S_i(I) - (F(\varphi) + \bar S) \bigr|^2 \\
# {} + \alpha \sum_q |W_q|^2, \quad |h^r|_1 \le \tau .
# \end{gathered}
# $$ (eq-coupled)


# %%
def objective_by_hand(whole, Y, weights, alpha):
    """Completed shapes and predictions (m, p, 2); the weights W_q; NaN does not count."""
    total = alpha * sum(w**2 for W in weights for w in W.flatten().tolist())
    for face, found in zip(whole.tolist(), Y.tolist(), strict=True):
        for (x, y), (u, v) in zip(face, found, strict=True):
            if not math.isnan(x):
                total += (x - u) ** 2 + (y - v) ** 2
    return total


# %%
with torch.no_grad():
    Y = S0 + net(x).view_as(S0)
weights = [layer.weight for layer in net if isinstance(layer, nn.Linear)]
seen = (~S.isnan().any(-1)).float()
library = coupled.drn_objective(net, x, toward, seen, ALPHA).item()
assert math.isclose(objective_by_hand(S, Y, weights, ALPHA), library, rel_tol=1e-4)

# %% [markdown]
# It is minimised in turns. **First** $F$ alone, from the labels that there are; $\delta_i$ picks those of set $i$:
#
# $$
# \min_F \sum_i \sum_{I \in D_i} \bigl| S_i(I) - \delta_i\,(F(\varphi) + \bar S) \bigr|^2 .
# $$ (eq-masked)
#
# The hidden layers learn from all faces, the rows of the last layer from those that label their landmark. **Then**, given $F$, each $H_i$ by itself, with the network's
# own prediction $Y = F + \bar S$ in the place of the annotation that nobody has:
#
# $$
# \begin{gathered}
# h^r = \arg\min_h \sum_{I \in D_i} \bigl| h\, S_i(I) - y^r(I) \bigr|^2 \\
# \text{subject to}\quad |h|_1 \le \tau .
# \end{gathered}
# $$ (eq-h)
#
# **Then**, given $H$, the network again, now with all landmarks of all faces:
#
# $$
# \begin{gathered}
# \min_F \sum_I \bigl| \Delta S(I) - F(\varphi) \bigr|^2 + \alpha \sum_q |W_q|^2, \\
# \Delta S(I) = H_i S_i(I) - \bar S .
# \end{gathered}
# $$ (eq-f)
#
# And so on "until both converge". Both steps minimise the same sum, each over its own unknown, so that it can never rise.
#
# By hand, with a linear $F$ first: no hidden units, which makes the cascade SDM, and both steps exact. A linear $F$ fits each landmark by itself, with the faces that
# have it; and it needs the features only through their inner products $K$ between faces.


# %%
def f_step(K, target, alpha):
    """Linear F: its predictions (m, p, 2) of a target with NaN, and the sum of |W|^2."""
    found, size = torch.empty_like(target), 0.0
    for j in range(target.shape[1]):
        own = ~target[:, j].isnan().any(-1)
        k = K[:, own] - K[own][:, own].mean(0)  # features minus their mean
        k = k - k.mean(1, keepdim=True)
        y = target[own, j]
        ridge = k[own] + alpha * torch.eye(len(y)).double()
        w = torch.linalg.solve(ridge, y - y.mean(0))
        found[:, j] = k @ w + y.mean(0)
        size += (w * (k[own] @ w)).sum().item()
    return found, size


def h_step(S, Y, tau):
    whole = S.clone()
    for i, own in enumerate(known):
        faces = which == i
        H = fit_h(S[faces][:, own], Y[faces][:, ~own], tau).H
        whole[faces[:, None] & ~own] = (H @ S[faces][:, own]).flatten(0, 1)
    return whole


# %%
def alternate(S, S0, K, alpha, tau=TAU, rounds=3):
    """The objective after H and after F in each round, and the completed shapes."""
    step, size = f_step(K, S - S0, alpha)  # labels alone
    values = []
    for _ in range(rounds):
        Y = S0 + step
        whole = h_step(S, Y, tau)
        after_h = (whole - Y).square().sum() + alpha * size
        step, size = f_step(K, whole - S0, alpha)
        after_f = (whole - S0 - step).square().sum() + alpha * size
        values.append((after_h.item(), after_f.item()))
    return values, whole


# %%
K = x.double() @ x.double().T
values, whole = alternate(S, S0, K, alpha=10.0)
how = Settings(sides=(40,), hidden=(), decay=10.0, patch=PATCH, rounds=3, still=0.0)
library = coupled.fit_cascade(images, labels, boxes, how)
print("round   after H   after F")
for number, (after_h, after_f) in enumerate(values, 1):
    print(f"{number:5d} {after_h:9.3f} {after_f:9.3f}")
theirs = [(row["after_h"], row["after_f"]) for row in library.history[1:]]
assert torch.allclose(torch.tensor(values), torch.tensor(theirs), rtol=1e-3)
completed = coupled.to_face(library.completed, boxes)
assert torch.allclose(whole, completed, atol=2e-4)
assert torch.tensor(values).flatten().diff().max() <= 0

# %% [markdown]
# ## The alternation, watched
#
# Nearly all of the gain came in the first round, and then both stood still. That is what a *linear* $F$ does: with more features than faces it follows any target, so that it agrees with
# whatever $H$ says. The paper's network has to squeeze all shapes through its hidden units. The same turns with 32 and 16 sigmoids and L-BFGS, in the library's parts; as in the library, in
# coordinates of the span of the 120 views, in which the first layer has 120 columns instead of 14,464. Beside the objective we look at what the training cannot see: how far the
# completed landmarks are from the hidden ones.

# %%
L, V = torch.linalg.eigh(K - K.mean(0) - K.mean(1, keepdim=True) + K.mean())
z = (V * L.clamp(min=0).sqrt()).float()  # the faces in their span
assert torch.allclose(torch.cdist(z[:9], z[:9]), torch.cdist(x[:9], x[:9]), atol=1e-2)


def small_network(p, units=UNITS):
    sizes, layers = [len(z), *units, 2 * p], []
    for a, b in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(a, b), nn.Sigmoid()]
    return nn.Sequential(*layers[:-1])


# %%
def watched(S, S0, truth, tau=TAU, rounds=6, alpha=ALPHA):
    """A row each round: the objective after H and after F, how far S_H moved, and its error."""
    net, rows, before = small_network(UNION.n), [], S
    how = Settings(decay=alpha, tau=tau)
    target, seen = (S - S0).nan_to_num(0.0).float(), (~S.isnan().any(-1)).float()
    coupled.start(net, z, target, seen, alpha, torch.Generator().manual_seed(0))
    coupled.minimise(net, z, target, seen, how)
    for _ in range(rounds):
        with torch.no_grad():
            whole = h_step(S, S0 + net(z).view_as(S0), tau)
        fit = z, (whole - S0).float(), torch.ones_like(seen)
        after_h = coupled.drn_objective(net, *fit, alpha).item()
        coupled.minimise(net, *fit, how)
        after_f = coupled.drn_objective(net, *fit, alpha).item()
        made = S.isnan().any(-1)
        off = (whole - truth).norm(dim=-1)[made].mean().item()
        moved = (whole - before).norm(dim=-1)[made].mean().item()
        rows.append((after_h, after_f, moved, 100 * off))
        before = whole
    return rows


# %%
T = coupled.to_face(truth, boxes)
rows = watched(S, S0, T)
made = S.isnan().any(-1)
off = 100 * (whole - T).norm(dim=-1)[made].mean().item()
print("round   after H   after F   S_H moves (% of the face)   S_H is off (%)")
for number, (after_h, after_f, moves, wrong) in enumerate(rows, 1):
    print(f"{number:5d} {after_h:9.2f} {after_f:9.2f} {100 * moves:16.2f} {wrong:23.2f}")
print(f"completed by the linear F: off by {off:.2f} %")

# %% mystnb={"image": {"alt": "Left: the objective falls in steps, after H and after F in turn, steeply in the first rounds and then flat; it never rises. Right: how far the completed landmarks move falls from over half a per cent of the face to nothing in six rounds, and how far they are from the hidden truth falls from above two per cent to below two and stays there."}} tags=["hide-input"]
after_h, after_f, moves, wrong = torch.tensor(rows).T
figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3))
rounds = torch.arange(1, len(rows) + 1)
turns = torch.stack([after_h, after_f], 1).flatten()
left.plot(torch.stack([rounds - 0.5, rounds], 1).flatten(), turns, color="0.7")
left.plot(rounds - 0.5, after_h, "s", ms=5, color=plots.PALETTE[1], label="after H")
left.plot(rounds, after_f, "o", ms=5, color=plots.PALETTE[0], label="after F")
left.set(xlabel="round", ylabel="objective")
left.legend()
right.plot(rounds, wrong, "o-", color=plots.PALETTE[2], label="from the hidden truth")
right.plot(rounds, 100 * moves, "s-", color=plots.PALETTE[3], label="moved since the last round")
right.set(xlabel="round", ylabel="S_H (% of the face)", ylim=(0, None))
right.legend()
plt.show()

# %%
assert turns.diff().max() <= 0  # neither step raises it
assert moves[-1] < moves[1] / 5 and wrong[-1] < 0.9 * wrong[0]
assert wrong[-1] < 0.8 * off

# %% [markdown]
# Three things to see. **The objective falls at each step**, and after a few rounds hardly any more: $F$ and $H$ agree. **So do the completed shapes**: they stop moving. And **they
# come closer to a truth that nobody told them**. A network of few hidden units cannot repeat what $H$ says of each face; it keeps what is common to many faces, and $H$, fitted to that, is a
# little better each time. The linear $F$ repeats everything, errors included, and its completions stay where the first round left them.
#
# ## The cascade
#
# The first stage ends, its prediction $S^1 = F^1(\varphi(I, \bar S)) + \bar S$ takes the place of the mean shape, the features are taken there, on a larger picture, and everything is done again,
# now beginning with the $H$ of the stage before:
#
# $$
# \begin{gathered}
# \min_{F^k, H^k} \sum_i \sum_{I \in D_i} \bigl| H_i^k S_i(I) \\
# {} - (F^k(\varphi(I, S^{k-1})) + S^{k-1}) \bigr|^2 .
# \end{gathered}
# $$ (eq-cascade)
#
# The paper has four stages, on faces of 80, 80, 140 and 140 px; we take two, on 40 and 56. Beside it three rivals of the same size: *separate*, one cascade a set, the common points averaged; *ignoring*, one
# cascade that fits what is labelled and nothing else, {eq}`eq-masked` alone; and *all labels*, one cascade that is told what nobody could tell it in practice.

# %%
how = Settings((40, 56), UNITS, ALPHA, TAU, patch=PATCH, evaluations=40)
coupled_run = coupled.fit_cascade(images, labels, boxes, how)
separate = coupled.fit_separate(images, labels, boxes, how)
ignoring = coupled.fit_cascade(images, labels, boxes, how._replace(rounds=0))
all_labels = coupled.fit_cascade(images, truth, boxes, how)
models = {
    "separate": separate,
    "ignoring": ignoring.cascade,
    "coupled": coupled_run.cascade,
    "all labels": all_labels.cascade,
}

# %%
def error(found):
    """NRMSE of the 113 landmarks, % of the face, a number a face."""
    return 100 * metrics.nrmse(found, hidden, "box", UNION)


errors = {name: error(m.predict(unseen, boxes_unseen)) for name, m in models.items()}
at_start = error(coupled.from_face(mean.expand(len(hidden), -1, -1), boxes_unseen))
print(f"{'mean shape':12s} {at_start.mean():5.2f} %")
for name, e in errors.items():
    print(f"{name:12s} {e.mean():5.2f} %")

# %%
trace = coupled_run.cascade.trace(unseen, boxes_unseen)
one_stage = coupled.Cascade(mean, how._replace(sides=(40,)))
one_stage.stages[0].load_state_dict(coupled_run.cascade.stages[0].state_dict())
assert torch.allclose(one_stage.predict(unseen, boxes_unseen), trace[1])
pictures_2 = gray(unseen, boxes_unseen, 56)
S1 = coupled.to_face(trace[1], boxes_unseen)
phi_2 = features(pictures_2, in_crop(S1, 56), PATCH).flatten(1)
with torch.no_grad():
    S2 = S1 + coupled_run.cascade.stages[1](phi_2).view_as(S1)
assert torch.allclose(coupled.from_face(S2, boxes_unseen), trace[2], atol=1e-3)
