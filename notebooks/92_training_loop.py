# %% [markdown]
# # How the training loop works
#
# :::{admonition} At a glance
# **Question** What stands between "minimise this loss" and a training that comes out the same tomorrow, to the
# last bit?
#
# **Paper** none of its own: the step is that of AdamW {cite:p}`loshchilov2019decoupled`, the schedules are those of
# {cite:t}`smith2019super` and {cite:t}`bulat2021subpixel`, and every other choice is ours
#
# **You will be able to** write the loop from memory, say what a step depends on, stop a training and go on, and read its
# history
#
# **Before this** {doc}`01_faces_and_schemes`, {doc}`02_measuring_error`
#
# **Reading** {reading-time}`-`
#
# **Run time** {run-time}`-`
# :::

# %% [markdown]
# ## Predict first
#
# One face, as a network meets it in twelve epochs of its training. Blue dots are landmarks that can be seen, orange
# rings those that something hides.
#
# **Which of the twelve are mirrored? Where did the left corner of the mouth go in those? And suppose that the process
# that drew them had been killed after the sixth, and another one started in its place: which of the last six would look
# different?**

# %% mystnb={"image": {"alt": "Two rows of six square pictures of the same drawn face, each turned, scaled, shifted, mirrored or coloured in another way. Blue dots lie on the face's landmarks. In some pictures patches of one colour lie over a part of the face, and the landmarks under them are orange rings."}} tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

from lddmmlib import plots
from lddmmlib.data import augment
from lddmmlib.faces import synthetic
from lddmmlib.notebook import start

start()
one = augment.Crops([synthetic.sample(3, "studio")], "300w-68", size=96)
twelve = [one.draw(0, np.random.default_rng([5, e, 0, 1])) for e in range(12)]
figure, axes = plt.subplots(2, 6, figsize=(9, 3.3))
for e, (ax, face) in enumerate(zip(axes.flat, twelve, strict=True)):
    ax.imshow(face.image.permute(1, 2, 0))
    seen, hidden = face.landmarks[face.visible], face.landmarks[~face.visible]
    ax.scatter(*seen.T, s=5, color=plots.PALETTE[0], edgecolors="white", lw=0.3)
    ax.scatter(*hidden.T, s=12, facecolors="none", edgecolors=plots.PALETTE[1])
    ax.set(xlim=(-0.5, 95.5), ylim=(95.5, -0.5), title=f"epoch {e + 1}")
    ax.set_axis_off()
plt.show()

# %% [markdown]
# :::{dropdown} What happens
# The last question has an answer that the loop was built around: *none*.
# :::
#
# How that can be is half of this chapter. The
# module is `training.py`, a few hundred lines that are made to be read; here is what they do, in the order in which one
# would come to need it.

# %% [markdown]
# ## Set-up
#
# Sixty-four drawn faces to learn from, sixteen others to be examined on, cut out at 32 pixels, and the smallest
# network that deserves the name.

# %%
import copy
import itertools
import math
import signal
import tempfile
import textwrap
import warnings
from pathlib import Path

import torch
from torch import nn

from lddmmlib import training
from lddmmlib.data import crops
from lddmmlib.notebook import check, result

# %%
torch.set_num_threads(1)  # sums in one order; and the network is too small for more
SIDE, scratch, new_folder = 32, Path(tempfile.mkdtemp()), itertools.count()
faces = [synthetic.sample(i, "studio", size=64) for i in range(64)]
others = [synthetic.sample(i, "studio-val", size=64) for i in range(16)]
data = augment.Crops(faces, "300w-68", SIDE)
held_out = augment.Crops(others, "300w-68", SIDE)

# %% [markdown]
# The network starts at the mean shape: its last layer is zero, and its bias is the mean of the crops. `predict` is in pixels
# of the crop; the loss is the mean distance of a landmark, in those pixels.


# %%
def network(width=24):
    torch.manual_seed(0)
    down = []
    for i, o in ((3, width), (width, 2 * width), (2 * width, 2 * width)):
        down += [nn.Conv2d(i, o, 3, stride=2, padding=1), nn.ReLU()]
    net = nn.Sequential(*down, nn.Flatten(), nn.Linear(2 * width * 16, 136))
    mean = torch.stack([data[i].landmarks for i in range(64)]).mean(0)
    nn.init.zeros_(net[-1].weight)
    net[-1].bias.data = ((mean.float() - SIDE / 2) / SIDE).flatten()
    return net.to(memory_format=torch.channels_last)  # the layout that fit takes


# %%
def predict(model, batch):
    images = batch.image.contiguous(memory_format=torch.channels_last)
    offsets = model(images.float() / 255 - 0.5)
    return SIDE / 2 + SIDE * offsets.unflatten(1, (68, 2))


def loss(model, batch):
    return (predict(model, batch) - batch.landmarks).norm(dim=-1).mean()


# %% [markdown]
# ## The loop, by hand
#
# Let $\theta_k$ be the weights before step $k$, $B_k$ the $b$ faces of that step, $a_i$ face $i$ as it is drawn in this
# epoch, and $\ell$ the loss of one face. A step is
#
# $$
# g_k = \nabla_\theta\, \frac1b \sum_{i \in B_k} \ell(\theta_k, a_i), \qquad
# \theta_{k+1} = \mathrm{AdamW}\bigl(\theta_k,\, g_k;\ \eta\, \rho(k / N)\bigr),
# $$ (eq-step)
#
# where $N$ is the number of all steps, $\eta$ the rate and $\rho$ its *schedule*. AdamW {cite:p}`loshchilov2019decoupled`
# divides a running mean of the gradient by the root of a running mean of its square, and shrinks the weights a little. In
# PyTorch a step is four lines; the others find the faces:

# %%
EPOCHS, BATCH, RATE, SEED = 6, 16, 4e-3, 0
per_epoch = len(data) // BATCH
N = EPOCHS * per_epoch

by_hand = network()
optimiser = torch.optim.AdamW(by_hand.parameters(), lr=RATE)

# %%
for k in range(N):
    epoch, j = divmod(k, per_epoch)
    order = np.random.default_rng([SEED, epoch, 0]).permutation(len(data))
    batch = [
        data.draw(i, np.random.default_rng([SEED, epoch, i, 1]))
        for i in order[j * BATCH : (j + 1) * BATCH]
    ]
    batch = crops.Crop(*map(torch.stack, zip(*batch, strict=True)))
    optimiser.param_groups[0]["lr"] = RATE * training.one_cycle(k / N)
    value = loss(by_hand, batch)
    optimiser.zero_grad()
    value.backward()
    optimiser.step()

# %% [markdown]
# And by the library. Its call has the same ingredients and a folder, in which it keeps all that it needs to go on:


# %%
def fit(model, loss=loss, data=data, folder=None, **how):
    folder = folder or scratch / f"run-{next(new_folder)}"
    how = {"epochs": EPOCHS, "batch": BATCH, "lr": RATE, "seed": SEED} | how
    return training.fit(model, loss, data, folder=folder, progress=False, **how)


# %%
whole = network()
fit(whole)
for ours, theirs in zip(by_hand.parameters(), whole.parameters(), strict=True):
    assert torch.allclose(ours, theirs, atol=1e-5)
print(f"{N} steps, the last loss {value.item():.1f} px: the same weights")

# %% [markdown]
# So there is nothing in `training.fit` that would train better than these lines. What the rest of it is for: that a
# training can be stopped, trusted, watched and spread over several machines.

# %% [markdown]
# ## The rate
#
# Far from the goal long steps are cheap; near it they only rattle. `one_cycle`, after {cite:t}`smith2019super`, goes up
# along a line while AdamW's running means are still of few gradients, and down along half a cosine. The papers of this book
# let the rate fall in steps: `drops`. With $t = k/N$, the part of the training that is over, and $w$ the part that warms up:
#
# $$
# \rho_{\text{cycle}}(t) = \begin{cases}
# \tfrac{1}{25} + \tfrac{24}{25}\, t / w & t < w \\
# \tfrac12 + \tfrac12 \cos\bigl(\pi \tfrac{t - w}{1 - w}\bigr) & t \ge w,
# \end{cases}
# \qquad
# \rho_{\text{drops}}(t) = f^{\,\lvert\{j \,:\, t \ge t_j\}\rvert}.
# $$ (eq-schedule)


# %%
def cycle_by_hand(t, w=1 / 10):
    if t < w:
        return (1 + 24 * t / w) / 25
    return (1 + math.cos(math.pi * (t - w) / (1 - w))) / 2


def drops_by_hand(t, *at, factor=0.1):
    share = 1.0
    for a in at:
        if t >= a:
            share *= factor
    return share


# %%
times = np.linspace(0, 1, 501)
in_steps = training.drops(25 / 50, 40 / 50)
cycle = [cycle_by_hand(t) for t in times]
fall = [drops_by_hand(t, 25 / 50, 40 / 50) for t in times]
assert np.allclose(cycle, [training.one_cycle(t) for t in times])
assert np.allclose(fall, [in_steps(t) for t in times])

# %% mystnb={"image": {"alt": "The share of the rate against the part of the training that is over, on a logarithmic scale. One line rises quickly to one and then falls along half a cosine to zero at the end. A second is flat at one, falls to a tenth in the middle and to a hundredth at four fifths. A third halves three times."}} tags=["hide-input"]
halves = training.drops(1 / 4, 1 / 2, 3 / 4, factor=0.5)
figure, ax = plt.subplots(figsize=(6.5, 2.9))
for schedule, style, label in (
    (training.one_cycle, "-", "one_cycle"),
    (in_steps, "--", "drops(25/50, 40/50): paper C"),
    (halves, "-.", "drops(1/4, 1/2, 3/4, factor=1/2): paper A's code"),
):
    ax.plot(times, [max(schedule(t), 1e-4) for t in times], style, label=label)
ax.set(yscale="log", ylim=(3e-3, 2.5), xlabel="part of the training that is over")
ax.set_ylabel(r"share of the rate, $\rho(t)$")
ax.legend(loc="lower left", fontsize=9)
plt.show()

# %% [markdown]
# A schedule is a function of the *part*, not of the epoch: the same one does for a trial of ten minutes and for the night.
#
# ## Chance, by number
#
# Three things in a step are drawn: which faces, how each is augmented, and what dropout drops. The usual way is one
# generator that all of them draw from in turn. Then the seventh epoch depends on every draw before it, by every worker in
# whatever order they came; to go on after a stop one would have to save the state of all of them. Here each draw gets
# a generator of its own, made from numbers. For epoch $e$, face $i$ and step $k = eM + j$, with $M = \lfloor m / b \rfloor$
# steps in an epoch of $m$ faces,
#
# $$
# \begin{aligned}
# \pi_e &= \mathrm{permutation}\bigl(m;\ r(s, e, 0)\bigr), \\
# B_k &= \{\pi_e(jb), \dots, \pi_e(jb + b - 1)\}, \\
# a_i &= \mathrm{draw}\bigl(i;\ r(s, e, i, 1)\bigr),
# \end{aligned}
# $$ (eq-chance)
#
# where $r(\dots)$ is a generator started from these numbers and $s$ is the seed; torch's own, which dropout uses, is started
# from $(s, k)$ and the process's number before each step. Nothing remembers anything. Ten numbers instead of faces, and a "loss" that writes down
# what it is given:

# %%
taken = []


def note(model, batch):
    taken.append(batch.tolist())
    return 0 * model(batch[:, None].float()).sum()


# %% tags=["nbval-check-output"]
fit(nn.Linear(1, 1), note, torch.arange(10), batch=4, epochs=3)
for k, found in enumerate(taken):
    e, j = divmod(k, 10 // 4)
    order = np.random.default_rng([SEED, e, 0]).permutation(10)
    assert np.allclose(found, order[4 * j : 4 * j + 4])
    print(f"step {k}, epoch {e + 1}: {found}")

# %% [markdown]
# Four times two is eight: the two that are left over are other ones in each epoch. And a face may be drawn early, late, or
# by another process; it is the same to the last pixel:

# %%
late = data.draw(9, np.random.default_rng([SEED, 40, 9, 1]))
for i in range(20):
    data.draw(i, np.random.default_rng([SEED, 7, i, 1]))
again = data.draw(9, np.random.default_rng([SEED, 40, 9, 1]))
assert torch.equal(late.image, again.image)

# %% [markdown]
# ## Stop, and go on
#
# With that, weights, optimiser and the number $k$ are all there is to save. We press Ctrl-C in the middle of the third
# epoch: the network itself sends the signal, from a hook. The loop makes its step, writes its *checkpoint* and says where.
# The same call goes on. Another loss, other data or another schedule in that folder would be refused.


# %%
def stopping_at(step):
    model, count = network(), itertools.count(1)

    def hook(*_):
        if next(count) == step:
            signal.raise_signal(signal.SIGINT)  # what Ctrl-C does

    model.register_forward_pre_hook(hook)
    return model


# %%
folder = scratch / "stopped"
try:
    fit(stopping_at(10), folder=folder)
except KeyboardInterrupt as stop:
    print("KeyboardInterrupt:", str(stop).split(",")[0])


# %%
def same(a, b):
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return all(torch.equal(v, w) for v, w in pairs)


resumed = network()
fit(resumed, folder=folder)
print("equal to the last bit:", same(whole, resumed))
assert same(whole, resumed)

# %% [markdown]
# A process that is killed outright has no time to say anything. It has lost what came after its last checkpoint, at most
# `save_seconds` of work and a step, and goes on likewise.
#
# ## What a face goes through
#
# First the canonical crop: the square of side $q$, a quarter more than the longer side of the landmarks' box, around the
# box's middle $c$, becomes $p$ by $p$ pixels. Pixel centres are at integers, so that the crop spans
# $[-\tfrac12, p - \tfrac12]$ and its middle is $(p-1)/2$:
#
# $$
# u = \frac{p}{q}\,(x - c) + \frac{p - 1}{2}.
# $$ (eq-crop)


# %%
def crop_by_hand(points, p):
    columns = points.T.tolist()
    low, high = [min(v) for v in columns], [max(v) for v in columns]
    q = 1.25 * max(high[0] - low[0], high[1] - low[1])
    out = []
    for x in points.tolist():
        c = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
        out.append([p / q * (x[d] - c[d]) + (p - 1) / 2 for d in (0, 1)])
    return torch.tensor(out, dtype=points.dtype)


# %%
points = faces[0].landmarks
canonical = crops.frame(crops.box(points), SIDE)
cropped = crops.apply(canonical, points)
assert torch.allclose(crop_by_hand(points, SIDE), cropped)

# %% [markdown]
# Then the augmentation, about the crop's middle $\mu$: a flip $F$ or none, a turn $R$, a scale $\kappa$, a shift $h$:
#
# $$
# u' = \kappa\, R\, F\, (u - \mu) + \mu + h.
# $$ (eq-move)
#
# Its chance comes from the generator of eq. {eq}`eq-chance`, in a fixed order. `RECIPE` says how much of each.


# %%
def move_by_hand(points, p, rng, how=augment.RECIPE):
    turned = rng.uniform(-1, 1) * (rng.random() < how.turned)
    angle, kappa = math.radians(how.turn) * turned, 1 / rng.uniform(*how.scale)
    side = -1 if rng.random() < how.flipped else 1
    hx, hy = p * how.shift * rng.uniform(-1, 1, 2)
    cos, sin, mu = math.cos(angle), math.sin(angle), (p - 1) / 2
    out = []
    for x, y in points.tolist():
        x, y = side * (x - mu), y - mu
        u, v = kappa * (cos * x - sin * y), kappa * (sin * x + cos * y)
        out.append([u + mu + hx, v + mu + hy])
    return torch.tensor(out, dtype=points.dtype)


# %%
moved = move_by_hand(cropped, SIDE, np.random.default_rng(8))
by_library = augment.move(SIDE, np.random.default_rng(8), augment.RECIPE)
assert torch.allclose(moved, crops.apply(by_library, cropped))

# %% [markdown]
# Both maps are matrices, and `crops.then` makes one of the two. So a picture is resampled *once*, however much is done to
# it, and the landmarks go along exactly. A flip also changes names: the left corner of the mouth takes the place of
# the right one ({doc}`01_faces_and_schemes`). In the first picture:

# %% tags=["nbval-check-output"]
flipped = [e + 1 for e, face in enumerate(twelve) if face.affine[:, :2].det() < 0]
covered = [int((~face.visible).sum()) for face in twelve]
print("mirrored in epochs", flipped)
print("hidden landmarks, by epoch", covered)

# %% [markdown]
# Patches are laid over the crop and hide what lies under them; blur, contrast, colour and noise move nothing. A hidden
# landmark keeps its place and loses its flag: whether it counts is for the loss to say. Ours counts it, since people can
# tell where a covered chin is.

# %% [markdown]
# ## On a face
#
# Longer now, and watched: after each epoch `validate` is asked for figures, here the error on faces that are not
# trained on. All of it goes to `history.csv`.


# %%
def by_corners(model):
    errors = training.evaluate(model, predict, held_out, scheme="300w-68")
    return {"nme": errors.mean().item()}


landmarker = network()
before = by_corners(landmarker)["nme"]
run = fit(landmarker, epochs=40, validate=by_corners)
history = np.genfromtxt(run.path, delimiter=",", names=True)
after = history["nme"][-1]
print(", ".join(history.dtype.names))
print(f"NME by corners: {before:.1%} of the mean shape, {after:.1%} after training")
assert after < 0.9 * before

# %% mystnb={"image": {"alt": "Three panels against the epoch, from one to forty. The loss in pixels falls quickly and then slowly. The error on held-out faces falls from about nine per cent to about six, unsteadily at first and calmly at the end. The learning rate rises over the first epochs and falls along a cosine to zero."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.5))
for ax, name, factor, label, colour in zip(
    axes,
    ("loss", "nme", "rate"),
    (1, 100, 1000),
    ("loss, drawn (px)", "error, held out (%)", "rate (thousandths)"),
    plots.PALETTE,
    strict=False,
):
    ax.plot(history["epoch"], factor * history[name], color=colour)
    ax.set(xlabel="epoch", title=label, ylim=(0, None))
plt.show()

# %% [markdown]
# The loss is that of augmented faces, turned, covered and discoloured, and the error that of faces as they are: the first
# is not "the training error" of the second. Four of the sixteen, with the mean shape, the network's landmarks, and the truth:

# %% mystnb={"image": {"alt": "Four drawn faces that the network was not trained on. Thin grey lines of the mean shape lie beside the features, orange lines of the network's landmarks nearer to the blue ones of the truth, and still visibly off around the jaw."}} tags=["hide-input"]
picked = [held_out[i] for i in (0, 3, 6, 9)]
four = crops.Crop(*map(torch.stack, zip(*picked, strict=True)))
with torch.no_grad():
    found, mean = predict(landmarker, four), predict(network(), four)
colours = {"mean": "#777777", "found": plots.PALETTE[1], "true": plots.PALETTE[0]}
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6))
for ax, image, *shapes in zip(
    axes, four.image, mean, found, four.landmarks, strict=True
):
    ax.imshow(image.permute(1, 2, 0), interpolation="bilinear", alpha=0.6)
    for shape, (label, colour) in zip(shapes, colours.items(), strict=True):
        plots.face(ax, shape, "300w-68", colour=colour, label=label, size=0)
    ax.set(xlim=(-0.5, 31.5), ylim=(31.5, -0.5))
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside lower center", ncols=3)
plt.show()

# %% [markdown]
# A few seconds on one core; a landmarker to use it is not.

# %% [markdown]
# ## If it goes wrong
#
# | Symptom | Cause | Cure |
# |---|---|---|
# | `UserWarning: ... checkpoint.pt is damaged (...)` | a disk that failed, a copy that broke off | none needed: it goes on from the checkpoint before |
# | `FloatingPointError: loss nan, ... samples [...]` | an unlabelled landmark, a rate too high, a root at zero | look at the samples that it names |
# | `CheckpointError: ... holds a run with epochs 6 (now 60)` | settings changed, folder not | name another folder |
# | `CheckpointError: ... another loss`, or `other data` | code or data changed, folder not | name another folder |
# | loss is small, and validation worse than the mean shape | running statistics of BatchNorm lag behind the weights: published networks renew a hundredth a step | none in `fit`, which estimates them anew before it validates and at its end; in your own loop `torch.optim.swa_utils.update_bn` |
# | it returns at once | this folder's training is finished | name another folder |
# | a high share of `waiting` | faces are drawn or augmented too slowly | more `workers`, or a `pool` of drawn faces |
#
# The first two, made on purpose. A training that saves after every step is stopped, and somebody flips one bit of its last
# checkpoint:


# %%
def flip_a_bit(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


folder = scratch / "damaged"
try:
    fit(stopping_at(10), folder=folder, save_seconds=0)
except KeyboardInterrupt:
    flip_a_bit(folder / "checkpoint.pt")
state = torch.load(folder / "checkpoint.pt", weights_only=True)  # notices nothing

# %%
mended = network()
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    fit(mended, folder=folder)
said = str(told[0].message).replace(str(folder), "...")
print(textwrap.fill(f"UserWarning: {said}", 80))
assert same(whole, mended)
print("and in the end the same weights, to the last bit")

# %% [markdown]
# `torch.load` takes such a file as it is; the loop compares check sums first. One step was made twice, and nothing else
# was lost. Now one landmark of one face is not labelled, which this library marks as NaN:

# %% tags=["nbval-check-output"]
spoilt = copy.deepcopy(faces)
spoilt[13].landmarks[0] = torch.nan
try:
    fit(network(), data=augment.Crops(spoilt, "300w-68", SIDE))
except FloatingPointError as error:
    said = str(error)
print(textwrap.fill(f"FloatingPointError: {said}", 80))
assert "loss nan" in said
assert " 13]" in said

# %% [markdown]
# The step was not made: the weights are those of the step before, and no checkpoint is spoilt. With another loss, `nanmean` for `mean`, face
# 13 is welcome.

# %% [markdown]
# ## Choosing the parameters
#
# **Workers.** A network that waits for its data is not trained, it is stored. `waiting` is the share of an epoch's time in
# which the step had no batch. Workers cut and augment ahead, over the ends of epochs too. A wider network, so that a step costs
# something, on the machine that made this page:

# %%
trained = []
for workers in (0, 2):
    trained.append(network(width=128))
    last = fit(trained[-1], workers=workers, epochs=3).rows[-1]
    speed, waiting = last["samples_per_second"], last["waiting"]
    print(f"{workers} workers: {speed:5.0f} faces a second, {waiting:4.0%} waiting")
assert same(*trained)

# %% [markdown]
# What you see depends on the cores that are free; the weights do not. Start with none. When a network on a GPU waits, take
# as many workers as you have cores. On Windows and macOS a worker is a new process that imports what it needs, so a data set
# has to come from a module, as `Crops` does; one that is defined in a notebook's cell cannot be found there, and a script needs
# its `if __name__ == "__main__":`.
#
# **Batch and rate.** Doubling the batch halves the steps of an epoch. Try the same rate first, then a little more.
#
# **`save_seconds`.** What you are willing to lose. Writing takes a moment, and a training that saves after every step is
# a slow one.
#
# **`clip`.** If the history shows a loss that leaps, bound the gradient's length at a few times its usual value.
#
# **`precision`.** On a GPU of these years `"bfloat16"`; on a processor leave it.
#
# **Several GPUs.** The same script, started by `torchrun`:
#
# ```text
# torchrun --nproc-per-node=4 train_faces.py
# ```
#
# Each of the four processes takes every fourth face of each batch, they average their gradients, and the first one
# writes. `batch` stays the number of all together, so that the training is the same one, up to the order of sums, to dropout,
# and to what BatchNorm sees. Whichever process meets a NaN or hears Ctrl-C, all stop at the same step.

# %% [markdown]
# ## Paper versus code
#
# :::{admonition} Paper versus code
# - **Drops.** {cite:t}`bulat2021subpixel` train by Adam for 50 epochs, with drops at 25 and 40:
#   `drops(25 / 50, 40 / 50)` and `optimiser=torch.optim.Adam`. By how much the rate drops they do not say; a tenth is customary.
# - **Halves.** The released code of {cite:t}`yang2021lddmmface` halves the rate three times; for 300-W at quarters of
#   the training, `drops(1 / 4, 1 / 2, 3 / 4, factor=1 / 2)`.
# - **Integers.** The same released code cuts coordinates to whole pixels on the way in and out. Here a landmark goes through the maps of eq. {eq}`eq-crop` and {eq}`eq-move` as it is.
# - **Cycle.** {cite:t}`smith2019super` let the momentum go down while the rate goes up, and come down along a
#   line. Ours leaves AdamW's momenta alone.
# - **One optimiser.** {cite:t}`liang2024generalizable` alternate between two sub-problems, each by its own Adam. That is not
#   this loop, it is two of them in turn.
# :::

# %% [markdown]
# ## The recorded run
#
# How far do such steps lead, with drawn faces alone? The project's *yardstick* is a small landmarker with a fixed protocol, by
# which ways to draw faces are compared. It has its own plain loop, like the one by hand above, with AdamW and one cycle of the
# rate, and not `fit`. What it reached on photographs:

# %%
from lddmmlib.experiments import yardstick

figures = result("yardstick")
images, steps = figures["images"], figures["steps"]
print(f"\n{images} drawn faces, {steps} steps of {yardstick.BATCH}")
seen = steps * yardstick.BATCH / images
print(f"each face seen about {seen:.0f} times, never twice the same")
print(f"error on real photographs: {figures['raw']['all']:.1f} % by corners")

# %% [markdown]
# Compare it with nothing on this page: those are photographs, in crops of twice the side; ours are 16 calm drawings.
#
# And with `fit`, as it is described here, and this augmentation: a small HRNet that comes with the package, `pretrained()`. Its
# card says what it was trained on, what it scores on the same photographs and on frames of videos, and where it fails.
# *Corrected* is less what the labels' convention explains, as in {doc}`01_faces_and_schemes`.

# %%
from lddmmlib.networks import pretrained

shipped = pretrained()
card = shipped.card
minutes = card["provenance"]["seconds"] / 60
print("trained on", card["trained_on"].replace("; ", ";\n"))
print(f"with the drawing of the faces and all tests {minutes:.0f} minutes\n")
scores = card["error_percent_of_corner_distance"]
print(f"error (%): {'photographs':>16s}{'video frames':>14s}")
for kind in ("raw", "corrected"):
    told = [scores[name][kind]["all"] for name in ("photographs", "frames")]
    print(f"{kind:14s}{told[0]:13.1f}{told[1]:14.1f}")
jittered = [scores[name]["jittered_boxes"] for name in ("photographs", "frames")]
print(f"{'boxes are off':14s}{jittered[0]:13.1f}{jittered[1]:14.1f}")

# %% [markdown]
# Its worst part is the one without edges, and it errs the more the farther a head is turned:

# %%
raw = scores["photographs"]["raw"]
parts = {part: raw[part] for part in yardstick.SCHEME.parts}
print(", ".join(f"{part} {error:.1f}" for part, error in parts.items()))
assert max(parts, key=parts.get) == "edge"
for name, score in scores.items():
    turns = [f"{group['mean']:.1f}" for group in score["raw"]["by_turn"]]
    print(f"{name}, from facing the camera to turned far: {', '.join(turns)}")

# %% mystnb={"image": {"alt": "Four drawn faces in the wild that the shipped network has not seen, one of them turned far and one behind something. Its landmarks, drawn as orange lines, follow jaw, brows, nose, eyes and mouth."}} tags=["hide-input"]
unseen = augment.Crops(
    synthetic.Faces(24, "wild-test"), shipped.scheme, shipped.size
)
picked = [unseen[i] for i in (2, 3, 5, 9)]
with torch.no_grad():
    points = shipped(torch.stack([face.image for face in picked]).float() / 255)
figure, axes = plt.subplots(1, 4, figsize=(9, 2.4))
for ax, face, shape in zip(axes, picked, points, strict=True):
    ax.imshow(face.image.permute(1, 2, 0), interpolation="bilinear")
    plots.face(ax, shape, "300w-68", colour=plots.PALETTE[1], size=0)
    ax.set(xlim=(-0.5, shipped.size - 0.5), ylim=(shipped.size - 0.5, -0.5))
    ax.set_axis_off()
plt.show()

# %% [markdown]
# ## Exercises
#
# Replace each `...`, run the self-check, then unfold a solution.
#
# :::{exercise} Check
# :label: ex-loop-check
# 1,000 faces, batches of 48, 60 epochs, a rate of one, `drops(30 / 60, 50 / 60)`. How many steps has the training? What is the rate
# at step 900? How many faces does each epoch leave out?
# :::

# %% tags=["stub"]
my_steps = ...
my_rate = ...
left_out = ...

# %% tags=["self-check"]
check(my_steps, 60 * (1000 // 48))
check(my_rate, training.drops(30 / 60, 50 / 60)(900 / (60 * (1000 // 48))))
check(left_out, 1000 % 48)

# %% tags=["solution"]
my_steps = 60 * 20  # twenty whole batches an epoch
my_rate = 0.1  # three quarters are over: past the first drop, before the second
left_out = 1000 - 20 * 48
assert my_steps == 60 * (1000 // 48)
assert math.isclose(my_rate, training.drops(30 / 60, 50 / 60)(900 / my_steps))
assert left_out == 1000 % 48

# %% [markdown]
# :::{exercise} Extend
# :label: ex-loop-extend
# Under `torchrun` with `world` processes, process `rank` takes every `world`-th sample of the batch, from its own number on.
# Write `share(k, m, b, seed, rank, world)`: the indices that it draws at step `k`. The two halves of what was noted
# above, of ten numbers in batches of four, are the check.
# :::


# %% tags=["stub"]
def share(k, m, b, seed, rank, world):
    return ...


# %% tags=["self-check"]
of_epoch_3 = np.random.default_rng([SEED, 2, 0]).permutation(10)  # steps 4 and 5
for rank in (0, 1):
    check(share(5, 10, 4, SEED, rank, 2), torch.tensor(of_epoch_3[4:8][rank::2]))


# %% tags=["solution"]
def share(k, m, b, seed, rank, world):
    epoch, j = divmod(k, m // b)
    order = np.random.default_rng([seed, epoch, 0]).permutation(m)
    return order[j * b : (j + 1) * b][rank::world].tolist()


for k, together in enumerate(taken):
    one, two = share(k, 10, 4, SEED, 0, 2), share(k, 10, 4, SEED, 1, 2)
    assert sorted(one + two) == sorted(together)
    assert one == together[::2]

# %% [markdown]
# :::{exercise} Explore
# :label: ex-loop-explore
# Many scripts "go on" by loading the weights and starting anew: a new optimiser, the schedule and the epochs from zero.
# Stop a training after half of its 24 steps, in a new folder; give the weights of `training.load_checkpoint(folder)["model"]`
# to a new network, and `fit` that one for three epochs. How far are its weights from those of `whole`, at most, in units of
# the largest change that the whole training made? Predict it first: one per cent? Ten? More?
# :::

# %% tags=["stub"]
naive = ...  # a network, trained on from the checkpoint's weights

# %% tags=["self-check"]
from contextlib import suppress

if naive is ...:
    check(naive, 0.0)
else:
    judged, begun_anew = scratch / f"run-{next(new_folder)}", network()
    with suppress(KeyboardInterrupt):
        fit(stopping_at(12), folder=judged)
    begun_anew.load_state_dict(training.load_checkpoint(judged)["model"])
    fit(begun_anew, epochs=3)
    check(naive[-1].weight, begun_anew[-1].weight, tolerance=1e-5)

# %% tags=["solution"]
folder = scratch / "explored"
try:
    fit(stopping_at(12), folder=folder)
except KeyboardInterrupt:
    naive = network()
    naive.load_state_dict(training.load_checkpoint(folder)["model"])
fit(naive, epochs=3)  # twelve steps: a new folder, a new optimiser, a new cycle
weights, new = whole.state_dict(), network().state_dict()
apart = max((naive.state_dict()[n] - w).abs().max() for n, w in weights.items())
change = max((new[n] - w).abs().max() for n, w in weights.items())
print(f"largest difference: {apart / change:.0%} of the largest change")
assert apart > 0.05 * change

# %% [markdown]
# :::{dropdown} What happens
# It is another training, not a worse one by necessity: the rate has warmed up twice. But no figure of it can be compared
# with one that was not stopped, and who trains for days on a shared machine is stopped often.
# :::
#
# ## Quiz
#
# **1.** A training stops with NaN at step 4,711. You call it again, unchanged. What happens?
#
# :::{dropdown} a. It begins at the first step
# **No**. The folder holds a checkpoint, and the same call goes on from there.
# :::
# :::{dropdown} b. It stops at step 4,711 again
# **Right**. The same state, faces, augmentation and dropout lead to the same step. What is annoying in production is a gift
# in the search for a cause.
# :::
# :::{dropdown} c. It may get past, with luck
# **No**. There is no luck in it: all chance of a step comes from the seed and the step's number.
# :::
#
# **2.** You go from no workers to eight. What may change?
#
# :::{dropdown} a. The order of the faces
# **No**. It is the permutation of (seed, epoch); who loads a face does not matter.
# :::
# :::{dropdown} b. The augmentation
# **No**. A face's generator is made from seed, epoch and index, in whichever process.
# :::
# :::{dropdown} c. The share of waiting
# **Right**. It, and the seconds. Weights and losses stay the same to the last bit.
# :::
#
# **3.** Why is the checkpoint written aside and then renamed?
#
# :::{dropdown} a. A rename is done wholly or not at all
# **Right**. At any moment there is a whole file of one name or the other, even if the power fails while the new one is written.
# :::
# :::{dropdown} b. It is faster
# **No**. It writes as much, and waits until the disk has it.
# :::
# :::{dropdown} c. So that two trainings can share a folder
# **No**. Two at once would overwrite each other's; each wants a folder of its own.
# :::
#
# **4.** `waiting` is near one half. What do you do first?
#
# :::{dropdown} a. Take a GPU
# **No**. It makes the steps shorter and the share of waiting larger.
# :::
# :::{dropdown} b. Give it workers, or a pool of faces that are drawn already
# **Right**. The time to save is that of making samples, not of making steps.
# :::
# :::{dropdown} c. Halve the batch
# **No**. Half the samples take half the time, and so does, about, the step.
# :::
#
# ## Take-aways
#
# - The loop is ten lines. All else is there so that you can stop it, trust it and watch it.
# - A step depends on the state before it and on (seed, step): no generator is carried along, so none can be lost.
# - A schedule is a function of the part of the training that is over.
# - One map for crop and augmentation: pixels are resampled once, landmarks are exact.
# - Two checkpoints, written aside: a damaged one costs a message and the steps since the one before.
#
# ## Equation, function, test
#
# | Equation | Function | Test |
# |---|---|---|
# | {eq}`eq-step` | `training.fit` | `tests/test_training.py::test_as_written_out_by_hand` |
# | {eq}`eq-schedule` | `training.one_cycle`, `training.drops` | `tests/test_training.py::test_schedules_are_their_formulas` |
# | {eq}`eq-chance` | `training.fit` | `tests/test_training.py::test_each_epoch_is_another_order_without_repeats`, `tests/test_training.py::test_after_ctrl_c_it_goes_on_to_the_last_bit` |
# | {eq}`eq-crop` | `data.crops.frame`, `data.crops.apply` | `tests/data/test_crops.py::test_frame_shows_the_stated_square` |
# | {eq}`eq-move` | `data.augment.move` | `tests/data/test_augment.py::test_dots_are_where_the_landmarks_are` |
