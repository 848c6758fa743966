# %% [markdown]
# # How to read, run and teach from this book
#
# :::{admonition} At a glance
# **Question** What is a face to a computer, and how does a chapter of this book work?
#
# **Paper** none yet; the statistics of shape that all five build on {cite:p}`cootes1995active,gower1975generalized`
#
# **You will be able to** draw a plausible face from a mean and a covariance; bring one face onto another; find your way
# through every later chapter, run it, and change it
#
# **Before this** some Python, and what a matrix is
#
# **Reading** {reading-time}`-`
#
# **Run time** {run-time}`-`
# :::

# %% [markdown]
# ## Predict first
#
# Three of these four faces were drawn by a rule that has seen how the landmarks of 2,800 real faces vary *together*. One
# was drawn by a rule that knows how much each landmark varies, as exactly as the first, but takes each for itself.
#
# **Which one, and how do you know?** Say it before you read on.

# %% mystnb={"image": {"alt": "Four line drawings of faces side by side, A to D. Three are smooth, believable faces of different width and expression; one has a ragged jaw, crossing lips and jagged brows."}} tags=["hide-input"]
import matplotlib.pyplot as plt
import torch

from lddmmlib import plots
from lddmmlib.faces import statistics
from lddmmlib.notebook import start

generator = start(seed=3)
model = statistics.real_300w()
together = statistics.sample(model, 3, generator)
deviation = model.covariance.diagonal().sqrt().view(68, 2)
chance = torch.randn(68, 2, generator=generator, dtype=model.mean.dtype)
alone = model.mean + deviation * chance

figure, axes = plt.subplots(1, 4, figsize=(8, 2.4))
drawn = [*together[:2], alone, together[2]]
for ax, points, name in zip(axes, drawn, "ABCD", strict=True):
    plots.face(ax, points, "300w-68", size=0)
    ax.set_title(name)
plt.show()

# %% [markdown]
# :::{dropdown} What happens
# It is C. Each of its landmarks is where a landmark may well be; together they are no face. What makes a face is that
# neighbours move together, left and right move together, and a mouth opens as a whole. This is in the *covariance*, and
# it is why five papers can find a hidden jaw: the rest of the face says where it must be.
# :::
#
# :::{admonition} How every chapter works
# A picture comes first, and a question about it. Then each equation, and within a screen the code that computes it:
# first as you would write it by hand, then as PyTorch likes it, then the function of lddmmlib, with a check that the
# three agree. Then a face; then what goes wrong, on purpose; how to choose the parameters; where the paper and its
# released code differ; what a full run gave; three exercises; four questions; and what to keep.
# :::

# %% [markdown]
# ## Set-up
#
# Every chapter begins so: the imports, and one seeded generator from which all chance is drawn. Run a chapter twice and
# you get the same numbers.

# %%
import numpy as np

from lddmmlib.faces import schemes
from lddmmlib.notebook import check, result

generator = start(seed=0)
scheme = schemes.get("300w-68")
model = statistics.real_300w()

# %% [markdown]
# ### Running it yourself
#
# You are reading a page; its widgets work, its code does not run here. To run it:
#
# - **On your machine**: `python3 tasks.py lab` opens JupyterLab on *your* copies of the chapters, in `my_notebooks/`. They
#   are yours: change them, break them. What you have edited is never overwritten, and to get a fresh copy, delete yours.
# - **From this page**: the button at the top downloads this chapter as a notebook. It runs wherever the package is
#   installed: `pip install ".[lab]"` in a copy of the repository.
# - **While writing**: `python3 tasks.py page 00` rebuilds this page each time its source is saved.
#
# No chapter downloads anything, and none needs a GPU. Where a full training run matters, it has been made beforehand and
# the chapter shows its result, its date and its machine.
#
# ### Teaching from it
#
# Each chapter stands for about one hour: ten minutes for the prediction, thirty for the equations, twenty for the
# exercises. Students' copies have no solutions; those are folded away in the book's pages. The
# {doc}`../book/instructors` page has a paragraph for each chapter: what to ask, and where students stumble.

# %% [markdown]
# ## A face in numbers
#
# A face with $n$ {term}`landmarks <landmark>` is $n$ points $x_i = (x, y)$: in an image counted from its top left pixel, $x$ to the right and $y$
# **downwards**. In code it is a tensor of shape `(n, 2)`; a batch of them is `(m, n, 2)`; a missing landmark is NaN.
#
# Write the $2n$ numbers of one face in one vector $x$. If faces scatter around their mean $\bar x$ like a Gaussian with
# covariance $\Sigma$, whose eigenvectors are $\phi_k$ with eigenvalues $\lambda_k$, then a face is
#
# $$
# x = \bar x + \sum_k b_k \sqrt{\lambda_k}\; \phi_k, \qquad b_k \sim \mathcal N(0, 1).
# $$ (eq-shape-model)
#
# Each $\phi_k$ is a *mode*: one way in which all landmarks move together. By hand, mode by mode:

# %%
eigenvalues, modes = torch.linalg.eigh(model.covariance)
eigenvalues = eigenvalues.flip(0).clamp(min=0)  # the widest first
modes = modes.flip(1)


def face_by_hand(b):
    x = model.mean.flatten().clone()
    for k in range(len(b)):
        x += b[k] * eigenvalues[k].sqrt() * modes[:, k]
    return x.view(68, 2)


# %% [markdown]
# The loop is a matrix product. A batch of coefficients `(m, K)` gives a batch of faces:


# %%
def faces(b):
    k = b.shape[1]
    x = b * eigenvalues[:k].sqrt() @ modes[:, :k].T  # (m, 136)
    return model.mean + x.view(-1, 68, 2)


b = torch.randn(5, 136, generator=generator, dtype=torch.float64)
assert torch.allclose(faces(b)[0], face_by_hand(b[0]))

# %% [markdown]
# {func}`lddmmlib.faces.statistics.sample` draws from the same distribution. Its faces are other faces, so we compare what
# must agree: the covariance of many.

# %%
many = statistics.sample(model, 20_000, generator).flatten(1)
found, wanted = torch.cov(many.T), model.covariance
error = torch.linalg.norm(found - wanted) / torch.linalg.norm(wanted)
assert torch.allclose(found, wanted, atol=0.05 * wanted.abs().max())
print(f"relative difference of the covariances: {error:.1%}")

# %% [markdown]
# ## Bringing two faces together
#
# Before faces can be compared, let alone averaged, they must lie on each other. We may move a face, turn it and scale it:
# a *similarity*. The best one, in the sense of least squares, takes $a$ to $b$ by
#
# $$
# \min_{s > 0,\; R,\; c}\; \sum_{i=1}^n \bigl| s R\, a_i + c - b_i \bigr|^2, \qquad R \text{ a rotation}.
# $$ (eq-similarity)
#
# In the plane there is a shortcut. A rotation and a scaling together are a matrix
# $\begin{pmatrix} u & -v \\ v & u \end{pmatrix}$, and the problem is linear in $u$, $v$ and $c$. By hand:


# %%
def similarity_by_hand(a, b):
    rows, right = [], []
    for (ax, ay), (bx, by) in zip(a.tolist(), b.tolist(), strict=True):
        rows += [[ax, -ay, 1, 0], [ay, ax, 0, 1]]
        right += [bx, by]
    solved = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)
    u, v, cx, cy = solved[0]
    return a @ torch.tensor([[u, -v], [v, u]]).T + torch.tensor([cx, cy])


# %% [markdown]
# Read as complex numbers $a_i$ and $b_i$, centred, $u + iv = \langle a, b\rangle / |a|^2$, and there is nothing to solve:


# %%
def similarity(a, b):
    za = torch.view_as_complex(a - a.mean(-2, keepdim=True))
    zb = torch.view_as_complex(b - b.mean(-2, keepdim=True))
    w = (za.conj() * zb).sum(-1) / za.abs().square().sum(-1)
    return torch.view_as_real(w[..., None] * za) + b.mean(-2, keepdim=True)


a, b = statistics.sample(model, 2, generator)
turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=a.dtype)
a = 3 * a @ turn + 40  # somewhere else, turned, larger
assert torch.allclose(similarity(a, b), similarity_by_hand(a, b))
assert torch.allclose(similarity(a, b), statistics.similarity(a, b).apply(a))

# %% [markdown]
# ## On a face
#
# The mean face, and what the first four modes do to it: two standard deviations one way in blue, two the other in orange.

# %% mystnb={"image": {"alt": "Four panels, one for each of the first four modes of variation, each with two faces drawn over each other in blue and orange: they differ by a turn of the head to the side, by a nod, by the height of the face, and by the opening of the mouth and the set of the jaw."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(8, 2.6))
for k, ax in enumerate(axes):
    for sign, colour in ((-2, plots.PALETTE[0]), (2, plots.PALETTE[1])):
        b = torch.zeros(1, k + 1, dtype=torch.float64)
        b[0, k] = sign
        plots.face(ax, faces(b)[0], "300w-68", colour=colour, size=0)
    ax.set_title(f"mode {k + 1}: {eigenvalues[k] / eigenvalues.sum():.0%}")
plt.show()

# %% [markdown]
# The percentages are shares of the variance. The widest mode of a collection of photographs is no shape of faces at all
# but the turn of heads: a flat model of points in an image takes pose for shape.

# %% [markdown]
# ## If it goes wrong
#
# | Symptom | Cause | Cure |
# |---|---|---|
# | faces stand on their heads | $y$ points down in an image and up in a plot | `ax.invert_yaxis()`, which `plots.face` does |
# | every error is about one pixel too large | `.pts` files count from 1, our tensors from 0 | `data.formats.read` subtracts 1 |
# | a flipped face has a huge error, though it looks perfect | the points were mirrored, their names were not | `points[..., scheme.flip, :]` |
# | `ValueError: ... needed 68 points` | another {term}`annotation scheme` | say which scheme, or convert |
#
# The third is the classic. Here it is, made on purpose: mirror a symmetric face, and measure how far each landmark is
# from where it was.

# %%
mirrored = model.mean * torch.tensor([-1.0, 1.0])  # the mean's middle is x = 0
named = mirrored[list(scheme.flip)]  # landmark 0 is again the jaw's left end

wrong = torch.linalg.norm(mirrored - model.mean, dim=1).mean()
right = torch.linalg.norm(named - model.mean, dim=1).mean()
print(
    f"mirrored: off by {wrong:.2f} eye-corner distances; renamed, too: {right:.2f}"
)

# %% [markdown]
# ## Choosing the parameters
#
# How many modes? The more, the closer a face can be drawn, and the more chance is drawn with it. The curve shows what
# share of the variance the first $K$ modes hold.

# %% mystnb={"image": {"alt": "A curve of explained variance against the number of modes: it rises steeply over the first five modes and flattens well before forty."}} tags=["hide-input"]
share = eigenvalues.cumsum(0) / eigenvalues.sum()
figure, ax = plt.subplots(figsize=(6, 2.6))
ax.plot(range(1, 61), 100 * share[:60])
ax.set(
    xlabel="modes K", ylabel="variance explained (%)", ylim=(0, 101), xlim=(0, 60)
)
plt.show()

# %% tags=["nbval-check-output"]
for k in (5, 10, 20, 40):
    print(f"{k:3d} modes: {share[k - 1]:.0%}")

# %% [markdown]
# ## Paper versus code
#
# :::{admonition} Paper versus code
# Even conventions differ between papers and the code that was released with them, and every later chapter has a box like
# this one.
#
# - **The flip.** With pixel centres at integers an image of width $W$ flips by $x \mapsto W - 1 - x$. HRNet's released
#   code uses $W - x$: a shift of one pixel between an image and its landmarks, in every flipped sample.
# - **Counting.** The `.pts` files of 300-W {cite:p}`sagonas2016challenge` count pixels from 1. Some readers subtract 1,
#   some do not; a model trained with one reader and tested with the other is wrong by a pixel.
# - **Rounding.** Landmarks are cut to whole cells on the way into a heatmap, and again on the way out; what that costs
#   is the subject of {cite:t}`bulat2021subpixel`.
# :::
#
# How much is a pixel? Let a face fill 55 of the 64 cells of a heatmap:

# %%
corners = model.mean[list(scheme.corners)]
spans = model.mean.amax(0) - model.mean.amin(0)
cells = 55 * torch.linalg.norm(corners[0] - corners[1]) / spans.max()
print(f"eye corners {cells:.0f} cells apart; a cell is {1 / cells:.1%} of it")

# %% [markdown]
# ## The recorded run
#
# The statistics above were derived from the 2,800 annotated training shapes of 300-W, which do not come with this
# package; numbers derived from them do. How well does the mean shape alone, laid on each face, do? This is the score of a
# landmarker that has learned nothing, and the least that any network must beat.

# %%
spread = result("shape_spread")
for how, what in (
    ("box", "laid into the true box"),
    ("similarity", "moved, turned and scaled as well as possible"),
):
    figure = spread["nme_percent"][how]["corners"]
    low, high = figure["interval"]
    print(f"the mean shape, {what}:")
    value = figure["value"]
    print(f"  NME by corners {value:.1f} %, 95 % interval {low:.1f} to {high:.1f}")

# %% [markdown]
# The better alignment helps a great deal: most of what distinguishes photographs is where the face is. What remains is
# pose, identity and expression, and it is not spread evenly:

# %% mystnb={"image": {"alt": "Bar chart of the mean shape's error by part of the face, each with a small interval. The jaw is worst by far, then nose, brows and mouth; the eyes are best."}} tags=["hide-input"]
parts = spread["nme_by_part_percent"]
figure, ax = plt.subplots(figsize=(6, 2.4))
values = [part["value"] for part in parts.values()]
ends = [
    [abs(e - p["value"]) for p in parts.values() for e in p["interval"][i : i + 1]]
    for i in (0, 1)
]
ax.bar(["jaw", *list(parts)[1:]], values, yerr=ends, capsize=4)
ax.set(ylabel="NME by corners (%)")
plt.show()

# %% [markdown]
# ## Exercises
#
# Replace each `...`, run the self-check below it, and only then unfold a solution.
#
# :::{exercise} Check
# :label: ex-start-check
# An image is 640 pixels wide. A landmark lies at $x = 100$. Where is it in the flipped image? And where, if you had
# counted as a `.pts` file does, from 1?
# :::

# %% tags=["stub"]
x_flipped = ...
x_flipped_counted_from_one = ...

# %% tags=["self-check"]
check(x_flipped, 640 - 1 - 100)
check(x_flipped_counted_from_one, 640 + 1 - 100)

# %% tags=["solution"]
x_flipped = 539  # the first pixel, 0, becomes the last, 639
x_flipped_counted_from_one = 541  # the first, 1, becomes the last, 640
assert (x_flipped, x_flipped_counted_from_one) == (640 - 1 - 100, 640 + 1 - 100)

# %% [markdown]
# :::{exercise} Extend
# :label: ex-start-extend
# Write `coefficients(face, K)`, the inverse of eq. {eq}`eq-shape-model`: it takes a face `(68, 2)` in the frame of the mean
# and returns the $b_1, \dots, b_K$ that draw it best. (The modes are orthonormal.)
# :::


# %% tags=["stub"]
def coefficients(face, K):
    return ...


# %% tags=["self-check"]
wanted = torch.randn(1, 12, generator=generator, dtype=torch.float64)
check(coefficients(faces(wanted)[0], 12), wanted[0])


# %% tags=["solution"]
def coefficients(face, K):
    offset = (face - model.mean).flatten()
    return modes[:, :K].T @ offset / eigenvalues[:K].sqrt()


assert torch.allclose(coefficients(faces(wanted)[0], 12), wanted[0])

# %% [markdown]
# :::{exercise} Explore
# :label: ex-start-explore
# The covariance knows where a hidden jaw must be. Take a sampled face, hide its jaw, and predict it from the other 51
# points: for a Gaussian, $\mathbb E[x_h \mid x_v] = \bar x_h + \Sigma_{hv} \Sigma_{vv}^{-1} (x_v - \bar x_v)$. By how much
# does this beat the mean jaw? Then add noise to the visible points, and find out why everyone adds something to the
# diagonal of $\Sigma_{vv}$.
# :::

# %% tags=["stub"]
some_face = statistics.sample(model, 1, torch.Generator().manual_seed(4))[0]
hidden, seen = (
    torch.arange(34),
    torch.arange(34, 136),
)  # coordinates of the jaw, and all others
predicted_jaw = ...  # (17, 2), from `some_face[17:]`

# %% tags=["self-check"]
precision = torch.linalg.inv(model.covariance + 1e-4 * torch.eye(136))
pull = precision[:34, 34:] @ (some_face - model.mean).flatten()[34:]
expected_jaw = model.mean[:17] - torch.linalg.solve(precision[:34, :34], pull).view(
    17, 2
)
check(predicted_jaw, expected_jaw, tolerance=0.02)

# %% tags=["solution"]
x, mean, S = some_face.flatten(), model.mean.flatten(), model.covariance
ridge = 1e-4 * torch.eye(len(seen), dtype=S.dtype)  # labels are no better than this
gain = torch.linalg.solve(S[seen][:, seen] + ridge, S[seen][:, hidden]).T
predicted_jaw = (mean[hidden] + gain @ (x[seen] - mean[seen])).view(17, 2)
error = torch.linalg.norm(predicted_jaw - some_face[:17], dim=1).mean()
alone = torch.linalg.norm(model.mean[:17] - some_face[:17], dim=1).mean()
print(f"predicted jaw {error:.3f}, mean jaw {alone:.3f} eye-corner distances")
assert error < alone

# %% [markdown]
# ## Quiz
#
# **1.** What shape has a batch of 32 faces with 98 landmarks each?
#
# :::{dropdown} a. `(32, 98, 2)`
# **Right**. Batch axes in front, then landmarks, then $x$ and $y$.
# :::
# :::{dropdown} b. `(32, 196)`
# **No**. That is the same numbers, and a flattened vector is handy inside a formula, but functions take points.
# :::
# :::{dropdown} c. `(32, 2, 98)`
# **No**. The last axis is $(x, y)$.
# :::
#
# **2.** You mirror an image and its landmarks, and a trained network suddenly has huge errors on it. Why, most likely?
#
# :::{dropdown} a. It has learned only one side
# **No**. Faces are nearly symmetric, and networks are trained with flips. Look at the labels first.
# :::
# :::{dropdown} b. The landmarks kept their numbers
# **Right**. Landmark 0 is the left end of the jaw *of the image*. After a flip its number must go to the other side.
# :::
# :::{dropdown} c. The image was flipped by $W - x$
# **No**. That would cost one pixel, which is bad, and hard to see, but not huge.
# :::
#
# **3.** What does the widest mode of photographs of faces show?
#
# :::{dropdown} a. The width of the face
# **No**. Widths vary, but not most.
# :::
# :::{dropdown} b. The expression
# **No**. It comes later: a smile moves few landmarks, and those not far.
# :::
# :::{dropdown} c. The turn of the head
# **Right**. It moves nearly all landmarks together, and cameras see heads from everywhere.
# :::
#
# **4.** Why does the first picture's ragged face have the same variance in every coordinate as the others?
#
# :::{dropdown} a. It was drawn from the diagonal of the covariance
# **Right**. Each coordinate's own variance is right; what is missing is how they vary together.
# :::
# :::{dropdown} b. It does not; it varies more
# **No**. It looks so, because neighbours disagree. Each landmark alone is where it may well be.
# :::
# :::{dropdown} c. It was drawn with another mean
# **No**. All four share the mean.
# :::
#
# ## Take-aways
#
# - A face is `(n, 2)`; a batch is `(..., n, 2)`; missing is NaN; $y$ points down; pixels count from 0; left is the image's.
# - What makes points a face is how they vary together.
# - Align before you compare. Most of the difference between two photographs is where the face is.
# - Every chapter: predict, compute by hand, compute fast, compare with the library, break it, measure it.
#
# ## Equation, function, test
#
# | Equation | Function | Test |
# |---|---|---|
# | {eq}`eq-shape-model` | `faces.statistics.sample`, `faces.statistics.modes` | `tests/faces/test_statistics.py::test_samples_have_the_models_mean_and_covariance` |
# | {eq}`eq-similarity` | `faces.statistics.similarity` | `tests/faces/test_statistics.py::test_similarity_is_numpys_least_squares` |
