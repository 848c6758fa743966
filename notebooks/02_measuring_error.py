# %% [markdown]
# # Measuring error
#
# :::{admonition} At a glance
# **Question** What does an error of "four per cent" mean, and what does it hide?
#
# **Paper** the metrics of all five; failure rates per landmark from {cite:t}`yan2021wasserstein`, the curve error from
# {cite:t}`yang2021lddmmface`
#
# **You will be able to** compute every figure that face-alignment papers report, and say of each what it cannot see
#
# **Before this** {doc}`00_start`
#
# **Reading** {reading-time}`-`
#
# **Run time** {run-time}`-`
# :::

# %% [markdown]
# ## Predict first
#
# Two landmarkers, one face, **the same mean error**. The truth is drawn in grey. The first is a little wrong everywhere;
# the second is nearly perfect and has lost the corner of the mouth.
#
# **Which would you rather have for a driver's blink detector? Which for putting a moustache on? And which one will a
# failure rate call a failure?**

# %% mystnb={"image": {"alt": "The same grey face twice. On the left the orange prediction wobbles around the whole face by a small amount. On the right it lies on the grey one everywhere except for the left corner of the mouth, which is pulled far out over the cheek."}} tags=["hide-input"]
import matplotlib.pyplot as plt
import torch

from lddmmlib import plots
from lddmmlib.faces import statistics
from lddmmlib.notebook import start

generator = start(seed=1)
truth = 90 * statistics.real_300w().mean  # eye corners 90 pixels apart
wobble = torch.randn(68, 2, generator=generator, dtype=truth.dtype)
wobble *= 1.5 / torch.linalg.norm(wobble, dim=1).mean()  # pixels, on average
lost = torch.zeros_like(truth)
corner = torch.tensor([-0.96, 0.28], dtype=truth.dtype)  # of length 1
lost[48] = 1.5 * 68 * corner  # all of it in one landmark

figure, axes = plt.subplots(1, 2, figsize=(7, 3.2))
for ax, offset, title in zip(
    axes, (wobble, lost), ("a little, everywhere", "all of it, once"), strict=True
):
    plots.face(ax, truth, "300w-68", colour="#999999", size=0)
    plots.face(ax, truth + offset, "300w-68", colour=plots.PALETTE[1], size=6)
    ax.set_title(title)
plt.show()

# %% [markdown]
# A single number cannot tell the two apart, and a single number is what tables print. This chapter takes the usual ones to
# pieces: the length that an error is divided by, the average over a face, the average over a test set, the threshold,
# and the question whether landmark 5 of the jaw can be *wrong* at all when it only slid along the jaw.

# %% [markdown]
# ## Set-up

# %%
import math

from lddmmlib import metrics
from lddmmlib.faces import schemes
from lddmmlib.notebook import check, result

generator = start(seed=0)
scheme = schemes.get("300w-68")
model = statistics.real_300w()

# %% [markdown]
# Faces for everyone: we draw 500 of them from the mean and covariance of 2,800 real ones ({doc}`00_start`), and two
# landmarkers who find them. **Steady** is wrong by a few pixels everywhere. **Brilliant** is nearly perfect, except that
# in one face out of ten a handful of landmarks lands somewhere else.

# %%
truth = 90 * statistics.sample(model, 500, generator)


def noise(scale):
    normal = torch.randn(truth.shape, generator=generator, dtype=truth.dtype)
    return scale * normal


steady = truth + noise(2.5)
bad_face = torch.rand(500, 1, 1, generator=generator) < 0.1
bad_landmark = torch.rand(500, 68, 1, generator=generator) < 0.3
brilliant = truth + noise(1.6) + (bad_face & bad_landmark) * noise(35)

# %% [markdown]
# ## One face
#
# The *normalised mean error* of image $j$ is the mean distance between its predicted and its true landmarks, in units of
# some length $d_j$ of that face ({cite:t}`yan2021wasserstein`, eq. 1 and 2):
#
# $$
# e_{j,i} = \frac{\lvert \hat x_{j,i} - x_{j,i} \rvert}{d_j}, \qquad
# \mathrm{NME}_j = \frac{1}{n}\sum_{i=1}^{n} e_{j,i}.
# $$ (eq-nme)
#
# By hand, with the distance between the outer corners of the eyes, landmarks 36 and 45, as $d_j$:


# %%
def nme_by_hand(pred, truth):
    d = math.dist(truth[36].tolist(), truth[45].tolist())
    total = 0.0
    for p, t in zip(pred.tolist(), truth.tolist(), strict=True):
        total += math.dist(p, t) / d
    return total / len(truth)


# %% [markdown]
# All images at once. Unlabelled landmarks are NaN, and `nanmean` leaves them out, as the library does:


# %%
def nme(pred, truth):
    distance = torch.linalg.norm(pred - truth, dim=-1)  # (m, n)
    d = torch.linalg.norm(truth[:, 36] - truth[:, 45], dim=-1)  # (m,)
    return (distance / d[:, None]).nanmean(-1)  # (m,)


ours = metrics.nme(steady, truth, "corners", "300w-68")
assert torch.allclose(nme(steady, truth), ours)
assert math.isclose(nme_by_hand(steady[0], truth[0]), ours[0], rel_tol=1e-9)

# %% [markdown]
# ## The length that it is divided by
#
# A face close to the camera has large errors in pixels; dividing by its size makes faces comparable. *Which* size is a
# choice, and papers make it differently. With $w$ and $h$ the width and height of the box around the true landmarks, and
# $c_l, c_r$ the outer corners, $p_l, p_r$ the pupils:
#
# $$
# \begin{aligned}
# d_{\text{corners}} &= |c_l - c_r|, & d_{\text{pupils}} &= |p_l - p_r|, \\
# d_{\text{box}} &= \sqrt{wh}, & d_{\text{diagonal}} &= \sqrt{w^2 + h^2}, & d_{\text{face}} &= \tfrac12 (w + h).
# \end{aligned}
# $$ (eq-normalisers)
#
# In the 68-point scheme there is no pupil; the mean of the six points around an eye stands for it.


# %%
def lengths_by_hand(face):
    w, h = (max(column) - min(column) for column in face.T.tolist())
    eyes = [face[36:42].mean(0).tolist(), face[42:48].mean(0).tolist()]
    return {
        "corners": math.dist(face[36].tolist(), face[45].tolist()),
        "pupils": math.dist(*eyes),
        "box": math.sqrt(w * h),
        "diagonal": math.hypot(w, h),
        "face": (w + h) / 2,
    }


for name, length in lengths_by_hand(truth[0]).items():
    assert math.isclose(
        length, metrics.reference_distance(truth[0], name, "300w-68"), rel_tol=1e-9
    )

# %% [markdown]
# The same predictions, five figures. Nothing about the landmarker has changed:

# %% tags=["nbval-check-output"]
for name in metrics.NORMALISERS:
    value = metrics.nme(steady, truth, name, "300w-68").mean()
    print(f"NME by {name:8s} {100 * value:.1f} %")

# %%
by_corners = 100 * metrics.nme(steady, truth, "corners", "300w-68").mean()
by_pupils = 100 * metrics.nme(steady, truth, "pupils", "300w-68").mean()
assert f"{by_corners:.1f}" == "3.5"
assert f"{by_pupils:.1f}" == "4.9"
assert f"{by_pupils / by_corners:.1f}" == "1.4"

# %% [markdown]
# By pupils a figure is 1.4 times what it is by corners. This factor alone separates tables made on the same images, and "inter-ocular" has been used for both. A figure without its normaliser is not a figure.
#
# A head that turns shows its eyes closer together, but the box keeps its height. So the *same* miss in pixels costs
# more in a turned face, if corners are what it is divided by:

# %% mystnb={"image": {"alt": "Error of the same three-pixel miss against the turn of the head from 0 to 75 degrees, one line for each normaliser. By corners and by pupils the lines rise steeply beyond 45 degrees, by box more slowly, by diagonal and face hardly at all."}} tags=["hide-input"]
angles = torch.arange(0, 76, 5.0, dtype=truth.dtype)
face = 90 * model.mean
turned = torch.stack(
    [face * torch.tensor([math.cos(math.radians(a)), 1.0]) for a in angles]
)
figure, ax = plt.subplots(figsize=(6, 3))
for name, style in zip(
    metrics.NORMALISERS, ("-", "--", "-", "-.", ":"), strict=True
):
    lengths = metrics.reference_distance(turned, name, "300w-68")
    ax.plot(angles, 100 * 3 / lengths, style, label=name)
ax.set(
    xlabel="turn of the head (degrees)",
    ylabel="error of a 3-pixel miss (%)",
    ylim=(0, None),
)
ax.legend(title="divided by", ncols=2)
plt.show()

# %% [markdown]
# (The turn is drawn flat: widths shrink by the cosine. A real head has depth; the effect is the same.)
#
# ## A test set
#
# One number for each image; a test set has hundreds. Three summaries are usual besides the mean. The *failure rate* is
# the share of images whose error is above a threshold $t$; {cite:t}`yan2021wasserstein` also count it by landmark:
#
# $$
# \mathrm{FR}^I_t = \frac1m \sum_{j=1}^m \bigl[\mathrm{NME}_j > t\bigr], \qquad
# \mathrm{FR}^L_t = \frac1n \sum_{i=1}^n \frac1m \sum_{j=1}^m \bigl[e_{j,i} > t\bigr].
# $$ (eq-failure-rate)


# %%
def failure_rate_by_hand(errors, t):
    failures = 0
    for e in errors.tolist():
        failures += e > t
    return failures / len(errors)


images = metrics.nme(brilliant, truth, "corners", "300w-68")  # (m,)
landmarks = metrics.errors(brilliant, truth, "corners", "300w-68")  # (m, n)
rate, rate_landmarks = (metrics.failure_rate(e, 0.1) for e in (images, landmarks))
assert torch.allclose(rate, (images > 0.1).double().mean())
assert torch.allclose(rate_landmarks, (landmarks > 0.1).double().mean(0).mean())
assert math.isclose(failure_rate_by_hand(images, 0.1), rate, rel_tol=1e-9)

# %% [markdown]
# The *cumulative error distribution* shows the failure rate at every threshold at once, and its area up to $t$ is one
# number again. The curve is a staircase that rises by $1/m$ at each error, so its area needs no numerical integration;
# each image contributes the part of $[0, t]$ that lies beyond its error:
#
# $$
# \begin{aligned}
# \mathrm{CED}(s) &= \frac1m \sum_{j=1}^m \bigl[\mathrm{NME}_j \le s\bigr], \\
# \mathrm{AUC}_t &= \frac1t \int_0^t \mathrm{CED}(s)\, ds
#   = \frac1m \sum_{j=1}^m \max\Bigl(0,\, 1 - \frac{\mathrm{NME}_j}{t}\Bigr).
# \end{aligned}
# $$ (eq-auc)


# %%
def auc_by_hand(errors, t, steps=20_000):
    """The area under the staircase, by many thin bars."""
    area = 0.0
    for k in range(steps):
        s = (k + 0.5) * t / steps
        area += (errors <= s).double().mean().item() / steps
    return area


exact = (1 - images / 0.1).clamp(min=0).mean()
assert torch.allclose(exact, metrics.auc(images, 0.1))
assert math.isclose(auc_by_hand(images, 0.1), exact, abs_tol=1e-4)

# %% [markdown]
# Now the two landmarkers. Who is better?

# %% mystnb={"image": {"alt": "Two cumulative error distributions. Brilliant rises earlier and reaches nine tenths at once, then creeps; Steady rises later and steeply to the top, so that the curves cross."}} tags=["hide-input"]
both = {
    name: metrics.nme(pred, truth, "corners", "300w-68")
    for name, pred in (("Steady", steady), ("Brilliant", brilliant))
}
figure, ax = plt.subplots(figsize=(6, 3))
plots.ced(ax, both, 0.1, "corners")
plt.show()

# %% tags=["nbval-check-output"]
print("            NME    AUC_0.1   FR^I_0.1   FR^L_0.1   (by corners, %)")
for name, pred in (("Steady", steady), ("Brilliant", brilliant)):
    e = metrics.errors(pred, truth, "corners", "300w-68")
    rates = [metrics.failure_rate(errors, 0.1) for errors in (both[name], e)]
    row = [e.mean(), metrics.auc(both[name], 0.1), *rates]
    print(f"{name:10s}" + "".join(f"{100 * value:8.1f}  " for value in row))

# %% [markdown]
# ## Landmarks or curves?
#
# Some points of a face can be told exactly: the corner of an eye. Others are only *somewhere along a boundary*: the
# fifth point of the jaw. If a prediction slides along the jaw, every landmark is wrong and the jaw is right. And if the
# prediction has 98 points and the truth 68, there is no landmark-to-landmark error at all. {cite:t}`yang2021lddmmface`
# therefore measure between curves. For a part of the face with predicted points $P$ and true points $T$,
#
# $$
# \begin{aligned}
# D(P, T) &= \frac{1}{|P| + |T|} \Bigl( \sum_{p \in P} \min_{t \in T} |p - t| + \sum_{t \in T} \min_{p \in P} |t - p| \Bigr), \\
# \mathrm{NME}_{\text{curve}} &= \frac{1}{5\, d_{\text{corners}}} \sum_{\text{parts}} D(P, T),
# \end{aligned}
# $$ (eq-nme-curve)
#
# over the five parts jaw, brows, nose, eyes and mouth: one step of the correspondence search of ICP {cite:p}`besl1992method`.


# %%
def curve_error_by_hand(P, T):
    total = 0.0
    for p in P.tolist():
        total += min(math.dist(p, t) for t in T.tolist())
    for t in T.tolist():
        total += min(math.dist(t, p) for p in P.tolist())
    return total / (len(P) + len(T))


# %%
def nme_curve(pred, truth):
    parts = []
    for rows in scheme.parts.values():
        P, T = pred[:, list(rows)], truth[:, list(rows)]
        distance = torch.cdist(P, T)  # (m, |P|, |T|)
        both_ways = torch.cat([distance.amin(2), distance.amin(1)], dim=1)
        parts.append(both_ways.mean(1))
    d = torch.linalg.norm(truth[:, 36] - truth[:, 45], dim=-1)
    return torch.stack(parts).mean(0) / d


few, few_truth = steady[:20], truth[:20]
library = metrics.nme_curve(few, few_truth, "300w-68")
assert torch.allclose(nme_curve(few, few_truth), library.value, rtol=1e-5)
jaw = curve_error_by_hand(few[0, :17], few_truth[0, :17])
d = math.dist(few_truth[0, 36].tolist(), few_truth[0, 45].tolist())
assert math.isclose(jaw / d, library.edge[0], rel_tol=1e-6)

# %% [markdown]
# ## On a face
#
# Here is a face to spoil, and a test set to rearrange. The questions are below it; answer them before you move anything.
# Every number is computed in your browser by the equations above, and agrees with the library.

# %%
from lddmmlib.widgets import MetricExplorer

MetricExplorer()

# %% [markdown]
# ## If it goes wrong
#
# | Symptom | Cause | Cure |
# |---|---|---|
# | your figure is 1.4 times the paper's | pupils against corners | name the normaliser; `normaliser="corners"` |
# | an AUC above one | a quadrature grid that oversteps the threshold | the exact sum, `metrics.auc` |
# | one image has an error of several thousand per cent | a missing landmark coded as $(-1, -1)$ | NaN; `data.formats.read` does it |
# | an error that improves when the detector fails | failed faces left out of the mean | they count as failures: enter them as `inf` |
# | `ValueError: pred: needed a point ...` | NaN predicted where the truth is labelled | predict something, or enter the image as `inf` |
#
# The second, made on purpose. A perfect landmarker has an AUC of exactly one. Released evaluation code lays a grid over the
# thresholds by `arange(0, t + step, step)`, and with $t = 0.07$ rounding lets one more point through:

# %%
import numpy as np

t, step = 0.07, 0.0001
grid = np.arange(
    0, t + step, step
)  # as in the released code of several landmarkers
perfect = np.ones_like(grid)
area = np.trapezoid(perfect, grid) / t
print(f"AUC of a perfect landmarker, by the grid: {area:.4f}")
print(f"the grid's last point is {grid[-1]:.4f}, the threshold {t}")
assert area > 1
assert metrics.auc(torch.zeros(10), t) == 1

# %% [markdown]
# A landmarker cannot be better than perfect; the grid adds the same share to everybody's figure.

# %% [markdown]
# ## Choosing the parameters
#
# **The normaliser.** Corners, to be compared with the five papers of this book. The box or the diagonal where heads
# turn far, and where half a face may be unlabelled, because they do not collapse. Never a box that the *prediction* had a
# part in: it rewards small faces.
#
# **The threshold.** Ten per cent of the corner distance is customary. Beyond it an error may be larger than the distance
# of neighbouring landmarks {cite:p}`yan2021wasserstein`. A failure rate compares landmarkers only where some fail:
# when every row of a table reads zero, lower the threshold, or count landmarks.
#
# The ranking may depend on it. Here are the failure rates of our two landmarkers at every threshold:

# %% mystnb={"image": {"alt": "Failure rate per image, solid, and per landmark, dashed, against the threshold for the two landmarkers. The lines of Steady fall below those of Brilliant from some threshold on, at different places for images and landmarks."}} tags=["hide-input"]
thresholds = torch.linspace(0.01, 0.15, 141)
figure, ax = plt.subplots(figsize=(6.5, 3))
for name, pred, colour in zip(
    both, (steady, brilliant), plots.PALETTE, strict=False
):
    e = metrics.errors(pred, truth, "corners", "300w-68")
    for errors, style, what in ((e.mean(1), "-", "images"), (e, "--", "landmarks")):
        rate = 100 * (1 - metrics.ced(errors, thresholds))
        ax.plot(
            100 * thresholds, rate, style, color=colour, label=f"{name}, {what}"
        )
ax.set(xlabel="threshold (% of the corner distance)", ylabel="failure rate (%)")
ax.set(yscale="log", ylim=(0.05, 110))
ax.legend(ncols=2)
plt.show()

# %% [markdown]
# **The number of faces.** A failure rate of one in a hundred on five hundred faces is five faces. Its interval is wide,
# and so is that of a difference between two landmarkers, unless the same faces are compared pairwise. We draw test sets
# out of our test set, with replacement, and look at the spread: a *bootstrap*.

# %% tags=["nbval-check-output"]
difference = both["Steady"] - both["Brilliant"]
draws = torch.randint(500, (2000, 500), generator=generator)
means = 100 * difference[draws].mean(1)
low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype))
print(f"Steady - Brilliant: {100 * difference.mean():+.1f} points of NME")
print(f"95 % interval: {low:+.1f} to {high:+.1f}")

# %% [markdown]
# ## Paper versus code
#
# :::{admonition} Paper versus code
# - **"Inter-pupil".** {cite:t}`yang2021lddmmface` speak of the inter-pupil distance for their loss; the released code
#   divides by the distance of the outer corners.
# - **Pooled or averaged.** Their text calls the curve error an ICP error. The code pools the nearest distances of both
#   directions into one mean, as eq. {eq}`eq-nme-curve` does; averaging the two directions instead gives smaller figures
#   wherever one side has fewer points.
# - **What the curve error charges for.** It compares *points*, so a prediction with fewer points pays for the missing
#   ones even if each is perfect. The recorded run below measures how much.
# - **Per landmark, then averaged.** {cite:t}`yan2021wasserstein` define $\mathrm{FR}^L$ by landmark and then average.
#   Pooling all pairs is the same only where every landmark is labelled in every image.
# - **The grid of the AUC.** As above: the area is a finite sum, and needs no grid.
# :::

# %% [markdown]
# ## The recorded run
#
# How small can an error be? Two people who annotate the same photograph do not agree. 250 photographs have been annotated
# twice, independently, with 68 and with 29 points {cite:p}`le2012interactive,sagonas2016challenge,burgosartizzu2013robust`;
# six points have the same meaning in both. The photographs are not part of this package; what was measured on them is:

# %%
agreement = result("annotator_agreement")
points = {k: v for k, v in agreement["same_points"].items() if "offset" in v}

# %% mystnb={"image": {"alt": "Six bars, one for each point that both annotations share: the four eye corners and the two corners of the mouth. Each shows the mean distance between the two hand annotations with its interval; the eye corners are near two and a half per cent, the mouth corners somewhat higher."}} tags=["hide-input"]
values = torch.tensor([p["mean"]["value"] for p in points.values()])
ends = torch.tensor([p["mean"]["interval"] for p in points.values()]).T
figure, ax = plt.subplots(figsize=(6.5, 2.6))
ax.barh(
    [name.replace("outer lip", "mouth") for name in points],
    values,
    xerr=(ends - values).abs(),
    capsize=3,
)
ax.set(xlabel="distance of two hand annotations (% of the corner distance)")
ax.invert_yaxis()
plt.show()

# %% [markdown]
# These are corners, the easiest points of a face. No landmarker trained on one of the two annotations can be expected to
# score less on the other. Part of the distance is an *offset*, a different idea of where the corner is; part is chance:

# %%
for name, p in points.items():
    dx, dy = p["offset"]["value"]
    spread = p["spread"]["value"]
    print(f"{name:24s} offset {dx:+.1f}, {dy:+.1f} %   spread {spread:.1f} %")

# %% [markdown]
# The outer corners of the eyes lie further in, and the inner corners higher, in one annotation than in the other: a
# convention, which could be learned, or corrected. The spread could not.
#
# And how much does the curve error charge for points that are not there? In a partial annotation with 46 of the 68 points,
# let every one of them be *perfect*:

# %%
floor = result("nme_curve_floor")
bare, drawn = floor["bare_percent"], floor["interpolated_percent"]
print("\nNME_curve (%)  points alone  interpolated")
for part in bare:
    print(f"{part:14s} {bare[part]['value']:11.2f} {drawn[part]['value']:13.2f}")

# %% [markdown]
# A method that predicts all 68 points may beat a perfect prediction of 46 by this much without being any better at the 46.
# A line through the same perfect points removes most of it. So in this book a partial prediction is interpolated along
# its curves before it is compared with a method that predicts them whole.

# %% [markdown]
# ## Exercises
#
# Replace each `...`, run the self-check, then unfold a solution.
#
# :::{exercise} Check
# :label: ex-error-check
# A face has four landmarks at $(0, 0)$, $(80, 0)$, $(40, 50)$ and $(40, 80)$; the first two are the outer corners of the
# eyes. A landmarker is 4 pixels off in each, and the last landmark is not labelled. What is the NME by corners? What is it
# by diagonal of the box?
# :::

# %% tags=["stub"]
my_corners = ...
my_diagonal = ...

# %% tags=["self-check"]
nan = float("nan")
four = torch.tensor([[0.0, 0.0], [80.0, 0.0], [40.0, 50.0], [nan, nan]])
off = four.nan_to_num(80.0) + torch.tensor([4.0, 0.0])
check(my_corners, metrics.nme(off, four, 80.0), tolerance=1e-4)
check(my_diagonal, metrics.nme(off, four, "diagonal"), tolerance=1e-4)

# %% tags=["solution"]
my_corners = (
    4 / 80
)  # an unlabelled landmark counts neither above nor below the line
my_diagonal = 4 / math.hypot(80, 50)  # and it is not in the box
assert math.isclose(my_corners, metrics.nme(off, four, 80.0), rel_tol=1e-4)
assert math.isclose(my_diagonal, metrics.nme(off, four, "diagonal"), rel_tol=1e-4)

# %% [markdown]
# :::{exercise} Extend
# :label: ex-error-extend
# Which landmarks fail most? Write `worst_landmarks(errors, k)`: it takes errors `(m, n)`, NaN where unlabelled, and
# returns the `k` landmarks with the largest failure rate at ten per cent, worst first. Then ask it about *Steady*, whose
# noise is the same everywhere. What do you learn from the answer?
# :::


# %% tags=["stub"]
def worst_landmarks(errors, k):
    return ...


# %% tags=["self-check"]
none = float("nan")
three = torch.tensor(
    [[0.9, 0.0, none], [0.0, 0.0, 0.3], [0.9, 0.0, 0.3], [0.9, 0.2, none]]
)
check(worst_landmarks(three, 2), torch.tensor([2, 0]))
check(worst_landmarks(three.flip(1), 1), torch.tensor([0]))


# %% tags=["solution"]
def worst_landmarks(errors, k):
    labelled = ~errors.isnan()
    rate = (errors > 0.1).double().sum(0) / labelled.sum(0)  # NaN > 0.1 is False
    return rate.argsort(descending=True)[:k]


assert worst_landmarks(three, 2).tolist() == [2, 0]

# %% [markdown]
# :::{exercise} Explore
# :label: ex-error-explore
# Slide the jaw: move each of its landmarks, but the last, halfway to the next one *along the curve*, and leave the rest of
# the face alone. Predict the NME and the NME_curve of the jaw first. Then move them as far *outwards* instead. By which
# factor does each figure tell the two apart? And if you move them by a whole step?
# :::

# %% tags=["stub"]
face = 90 * model.mean
slid = ...  # (68, 2)

# %% tags=["self-check"]
on_jaw = (torch.arange(68) < 16)[:, None]
check(
    slid, torch.where(on_jaw, (face + face.roll(-1, 0)) / 2, face), tolerance=1e-4
)
if getattr(slid, "shape", None) == face.shape:
    jaw_error = metrics.errors(slid, face, "corners", "300w-68")[:17].mean()
    curve = metrics.nme_curve(slid, face, "300w-68").edge
    print(f"jaw: NME {jaw_error:.1%}, NME_curve {curve:.1%}")

# %% tags=["solution"]
slid = torch.cat([(face[:16] + face[1:17]) / 2, face[16:]])
step = face[1:17] - face[0:16]  # towards the next landmark
outwards = step.flip(1) * torch.tensor([-1.0, 1.0])  # as far, at right angles
for steps in (0.5, 1.0):
    for name, move in (("slid", step), ("pushed", outwards)):
        moved = face.clone()
        moved[:16] += steps * move
        error = metrics.errors(moved, face, "corners", "300w-68")[:17].mean()
        curve = metrics.nme_curve(moved, face, "300w-68").edge
        print(f"{name:6s} by {steps} steps: NME {error:.1%}, NME_curve {curve:.1%}")
        assert (steps == 1 and name == "slid") or torch.allclose(
            error, curve, rtol=0.2
        )
assert (
    metrics.nme_curve(torch.cat([face[1:17], face[16:]]), face, "300w-68").edge
    < 0.01
)

# %% [markdown]
# :::{dropdown} What happens
# A surprise: half-way between two landmarks the curve error charges for sliding *all* that it charges for missing the jaw,
# since the nearest true point is then as far as it can be. Only near a whole step does it forgive. It measures between
# points, and is blind to sliding no finer than the points are dense.
# :::
#
# ## Quiz
#
# **1.** Two papers report 3.5 and 4.9 on the same images. What do you look at first?
#
# :::{dropdown} a. The networks
# **No**. Perhaps there is nothing to explain: first make sure that both figures are in one unit.
# :::
# :::{dropdown} b. The normalisers
# **Right**. The ratio is that between pupils and corners. It is worth ruling this out before anything else.
# :::
# :::{dropdown} c. The number of test images
# **No**. Both say that they used the same images; and a different number would not give just this ratio.
# :::
#
# **2.** All failure rates per image in a table are zero. What can you conclude?
#
# :::{dropdown} a. The problem is solved
# **No**. An average over 68 landmarks can be below a threshold while several of them are on another part of the face.
# :::
# :::{dropdown} b. No landmark is further off than the threshold
# **No**. It is the mean over a face that stays below it, not each landmark.
# :::
# :::{dropdown} c. This figure no longer separates these methods on this test set
# **Right**. Count landmarks, lower the threshold, or take harder images.
# :::
#
# **3.** A prediction has 98 points, the truth 68. Which figure can be computed without converting anything?
#
# :::{dropdown} a. The NME, over the first 68
# **No**. Points of one number mean different things in the two schemes.
# :::
# :::{dropdown} b. NME_curve
# **Right**. It needs no correspondence, only parts. It will be smaller for the denser prediction, all else being equal.
# :::
# :::{dropdown} c. The failure rate per landmark
# **No**. Without correspondence there is no error of a landmark.
# :::
#
# **4.** A detector finds no face in three of 500 images. What do you enter for them?
#
# :::{dropdown} a. Nothing, and report 497 images
# **No**. A landmarker could then improve its figures by giving up on hard images.
# :::
# :::{dropdown} b. An infinite error
# **Right**. They are failures in FR, CED and AUC. The mean is then infinite, which is honest: say how many there were.
# :::
# :::{dropdown} c. The mean error of the others
# **No**. That is the same as leaving them out, only harder to notice.
# :::
#
# ## Take-aways
#
# - A figure consists of a number, a normaliser, a threshold if there is one, and a test set. Quote all of them.
# - A mean hides who fails; a failure rate hides how much; a rate per image hides the landmarks inside.
# - The AUC is a finite sum. No grid.
# - A curve error forgives sliding, and charges for points that are not there.
# - What cannot be measured is not an improvement: two people disagree, and that is the floor.
#
# ## Equation, function, test
#
# | Equation | Function | Test |
# |---|---|---|
# | {eq}`eq-nme` | `metrics.errors`, `metrics.nme` | `tests/test_metrics.py::test_against_loops` |
# | {eq}`eq-normalisers` | `metrics.reference_distance` | `tests/test_metrics.py::test_lengths_of_a_triangle` |
# | {eq}`eq-failure-rate` | `metrics.failure_rate` | `tests/test_metrics.py::test_by_landmark_first_then_over_landmarks` |
# | {eq}`eq-auc` | `metrics.ced`, `metrics.auc` | `tests/test_metrics.py::test_auc_is_the_area_under_the_steps` |
# | {eq}`eq-nme-curve` | `metrics.nme_curve` | `tests/test_metrics.py::test_curves_against_trees` |
