"""The same code on a processor and on an accelerator: where tensors are made, and how often a value is read back.

Without an accelerator this is shown on a stand-in (`tests.elsewhere`). Every public function has a case here, or stands
in `ELSEWHERE_TOLD` with the reason why it has none; each case has to give the CPU's numbers, on the device, and so has
its gradient.
"""

import importlib
import inspect

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import default_collate

from lddmmlib import currents, flows, heatmaps, kernels, lars, matching, metrics, networks, polyharmonic
from lddmmlib import optimal_transport as ot
from lddmmlib.curves import Curves
from lddmmlib.data import crops
from lddmmlib.data.augment import Crops
from lddmmlib.faces import curve_sets, own, perturb, schemes, statistics, synthetic
from lddmmlib.methods import (
    completed_training,
    conditional_warp,
    coupled_regression,
    domain_adaptation,
    few_labels,
    few_shapes,
    lddmm_face,
    subpixel,
    wasserstein,
)
from lddmmlib.methods import heatmap_regression as regression
from lddmmlib.methods import sparse_shape_regression as ssr
from lddmmlib.networks.cpn import CPN
from lddmmlib.networks.momenta import MomentaHead
from lddmmlib.networks.simple_baselines import SimpleBaselines
from lddmmlib.networks.slpt import SLPT
from tests.elsewhere import Device, Elsewhere, Mixed, back, there

MODULES = [
    "kernels", "currents", "flows", "matching", "lars", "heatmaps", "optimal_transport", "polyharmonic", "metrics",
    "faces.statistics", "faces.own", "faces.perturb", "data.crops", "methods.heatmap_regression", "methods.subpixel",
    "methods.sparse_shape_regression",
    "networks.dan", "networks.heads", "networks.coordconv", "networks.hourglass", "networks.hrnet",
    "networks.momenta", "networks.resnet", "networks.simple_baselines", "networks.cpn", "faces.curve_sets",
    "methods.lddmm_face", "methods.wasserstein", "methods.coupled_regression", "methods.shape_indexed",
    "methods.completed_training", "methods.few_labels", "methods.few_shapes",
    "methods.conditional_warp", "methods.domain_adaptation", "networks.slpt",
]  # fmt: skip
ELSEWHERE_TOLD = {  # public, without a case: why
    "heatmaps.height": "numbers alone", "heatmaps.softmax_width": "numbers alone", "heatmaps.best_tau": "numbers alone",
    "polyharmonic.phi": "part of fit", "polyharmonic.slope": "part of evaluate's gradient",
    "lars.path_by_solving": "the version to read: its knots are Python's numbers",
    "faces.statistics.real_300w": "reads a file to the CPU", "faces.statistics.sample": "draws on the CPU, as it says",
    "faces.own.mirrored": "SciPy, on the CPU", "faces.own.curves": "numbers alone",
    "data.crops.box": "returns Python's numbers", "data.crops.frame": "takes Python's numbers",
    "data.crops.cut": "OpenCV, on the CPU", "data.crops.crop": "OpenCV, on the CPU",
    "methods.subpixel.both": "joins tuples", "methods.heatmap_regression.stride": "numbers alone",
    "methods.heatmap_regression.network_input": "part of heatmaps_of",
    "methods.heatmap_regression.stacks": "part of heatmaps_of",
    "methods.heatmap_regression.l2_of_stacks": "part of l2_loss", "networks.heads.conv": "part of the networks",
    "networks.hourglass.row": "part of the networks", "networks.hrnet.path": "part of the networks",
    "networks.dan.similarity": "part of DAN", "networks.dan.resample": "part of DAN",
    "networks.dan.landmark_image": "part of DAN",
    "currents.between": "part of distance2",
    "matching.mean": "matches and shoots, which have cases, for minutes",
    "data.crops.check": "a check",
    "data.crops.complete": "part of boxes, on the CPU", "networks.heads.precise": "part of the networks",
    "flows.certified": "part of min_steps", "matching.loss": "discrepancy over a length",
    "faces.curve_sets.get": "names alone", "faces.curve_sets.curve_at": "names alone",
    "faces.curve_sets.riders": "names alone", "faces.curve_sets.fraction": "names alone",
    "faces.curve_sets.mean_shape": "a check", "methods.lddmm_face.deform_by_loops": "a version to read",
    "flows.shoot_by_equations": "a version to read", "optimal_transport.sinkhorn_by_iterating": "a version to read",
    "optimal_transport.w1_by_linear_program": "a version to read, by SciPy",
    "heatmaps.encode_by_loops": "a version to read", "heatmaps.decode_by_loops": "a version to read",
    "currents.norm2_by_loops": "a version to read", "matching.match_by_descending": "a version to read",
    "polyharmonic.fit_by_solving": "a version to read", "polyharmonic.evaluate_by_loops": "a version to read",
    "polyharmonic.warp_by_pixels": "a version to read", "methods.shape_indexed.features_by_loops": "a version to read",
    "methods.shape_indexed.features": "OpenCV, on the CPU", "methods.shape_indexed.check": "a check",
    "methods.coupled_regression.fit_cascade": "trains on the CPU, beside OpenCV",
    "methods.coupled_regression.fit_separate": "fit_cascade, some times",
    "methods.completed_training.by_deviations": "part of complete",
    "methods.completed_training.alternate": "calls the functions that it is given",
    "methods.coupled_regression.fit_deep_sparse": "fit_cascade, some times",
    "methods.coupled_regression.network": "layers alone", "methods.coupled_regression.start": "part of fit_cascade",
    "methods.coupled_regression.minimise": "part of fit_cascade", "methods.coupled_regression.load_cascade": "a file",
    "methods.few_labels.placed": "numbers alone", "methods.few_labels.square": "OpenCV, on the CPU",
    "methods.few_labels.photo": "OpenCV, on the CPU", "methods.few_labels.start": "a network on the CPU",
    "methods.few_labels.loss": "cross_entropy_loss", "methods.few_labels.seconds_a_step": "a time",
    "methods.few_labels.network": "a network on the CPU", "methods.few_labels.mean68": "numbers alone",
    "methods.few_labels.points68": "part of square",
    "methods.few_shapes.network": "a network on the CPU", "methods.few_shapes.start": "a network on the CPU",
    "methods.few_shapes.loss": "lddmm_face.loss",
    "methods.conditional_warp.check_images": "a check",
    "methods.conditional_warp.points_of": "part of its losses",
    "methods.conditional_warp.outputs_of": "part of its losses",
    "methods.conditional_warp.warper_loss_by_pixels": "a version to read",
}  # fmt: skip


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


class Linear(nn.Linear):
    """A linear map whose weights are given."""

    def __init__(self, weight):
        nn.Module.__init__(self)
        self.register_buffer("weight", weight)

    def forward(self, x):
        return x @ self.weight.mT


# --- what the cases are about -----------------------------------------------------------------------

GROUPS = [[0, 1, 2, 3], [4, 5, 6], [7]]
A, B, P = 4 * random(2, 8, 2), 4 * random(2, 8, 2, seed=1), random(2, 8, 2, seed=2) - 0.5
ONE, MASS, OTHER = A[0], random(3, 12, 14, seed=3) ** 4, random(3, 12, 14, seed=4) ** 4
FACES = 40 * random(3, 68, 2, seed=5)
HIDDEN = FACES.masked_fill(random(3, 68, 1, seed=6) < 0.1, torch.nan)
IMAGE, MOVES = random(2, 3, 15, 17, seed=7), torch.eye(2, 3, dtype=torch.float64) + 0.1 * random(2, 2, 3, seed=8)
ERRORS = random(9, 5, seed=9)
X, Y = random(30, 6, seed=10), random(30, 4, seed=11)


def faces_of(x, coupled=False):
    return Curves(x, GROUPS, coupled=coupled)


def matched(x, y, **how):
    return matching.match(x, y, 2.0, max_iter=4, steps=2, **how)


def chance():
    return torch.Generator().manual_seed(1)


def ridden(flow):
    return [flow.end, flows.apply(flow, flow.x0), flows.jacobian(flow, flow.x0), flows.energy(flow)]


def ridden_apart(x, p, z):
    """With an empty curve, points in none, a lone point without a width, and passengers of another scheme."""
    face = Curves(x, [[0, 1, 2], [], [7]], coupled=False)
    result = flows.flow(face, face.unpad(face.pad(p)), [1.0, 0.0, 0.0], 3, points=Curves(z, [[4, 5], [0], []]))
    return result.end, result.points, flows.hamiltonian(face, face.unpad(face.pad(p)), [1.0, 0.0, 0.0])


def joined(x, gaps):
    return currents.norm2(faces_of(x).joined_over_gaps(x, gaps > 0.6), 1.5)


def grams(x, y):
    return x.T @ x, x.T @ y


# name, and after a colon which case: (function of tensors, the tensors)
CASES = {
    "kernels.gaussian": (lambda a, b: kernels.gaussian(a, b, 2.0), A, B),
    "kernels.product": (lambda a, b, f: kernels.product(a, b, f, 2.0), A, B, P),
    "currents.norm2": (lambda a: currents.norm2(faces_of(a), [1.0, 2.0, 3.0]), A),
    "currents.norm2:gaps": (lambda a, g: joined(a, g), A, random(2, 8, seed=9)),
    "currents.norm2:closed": (lambda a: currents.norm2(a, 2.0, closed=True), A),
    "currents.distance2": (lambda a, b, s: currents.distance2(faces_of(a), faces_of(b), s), A, B, 1 + random(3)),
    "currents.landmark_discrepancy": (currents.landmark_discrepancy, A, B),
    "flows.velocity": (lambda a, b, p: flows.velocity(a, b, p, 2.0), A, B, P),
    "flows.flow": (lambda a, p: flows.flow(faces_of(a), p, [1.0, 2.0, 3.0], 2, "euler").end, A, P),
    "flows.flow:curves that lack": (lambda a, p, b: ridden_apart(a, p, b), A, P, B),
    "flows.flow:passengers": (lambda a, p, b: flows.flow(a, p, 2.0, points=b).points, A, P, B),
    "flows.flow_path": (lambda a, p: flows.flow_path(a, torch.stack([p, -p]), 2.0, "rk4").path, A, P),
    "flows.shoot": (lambda a, p: flows.shoot(a, p, 2.0, 4).momenta, A, P),
    "flows.hamiltonian": (lambda a, p: flows.hamiltonian(a, p, 2.0), A, P),
    "flows.hamilton_equations": (lambda a, p: flows.hamilton_equations(a, p, 2.0), A, P),
    "flows.energy": (lambda a, p: flows.energy(flows.flow(a, p, 2.0, 3)), A, P),
    "flows.apply": (lambda a, p, b: flows.apply(flows.shoot(a, p, 2.0, 3), b), A, P, B),
    "flows.inverse": (lambda a, p, b: flows.inverse(flows.flow(a, p, 2.0), b), A, P, B),
    "flows.jacobian": (lambda a, p, b: flows.jacobian(flows.flow(a, p, 2.0, 3), b), A, P, B),
    "flows.min_steps": (lambda a, p: flows.min_steps(faces_of(a), p, [1.0, 2.0, 3.0]), A, P),
    "matching.discrepancy": (lambda a, b: matching.discrepancy(faces_of(a), faces_of(b), 2.0), A, B),
    "matching.objective": (lambda a, p, b: matching.objective(flows.flow(a, p, 2.0, 3), b, None), A, P, B),
    "matching.match": (lambda a, b: matched(a, b)[:4], ONE, B),
    "matching.match:curves": (lambda a, b: matched(faces_of(a), faces_of(b))[:4], ONE, B),
    "matching.whitening": (lambda a: matching.whitening(faces_of(a), 2.0), A),
    "matching.modes": (lambda a, p: matching.modes(faces_of(a), p, 2.0)[2], ONE, random(4, 8, 2)),
    "lars.path": (lambda x, y: lars.path(*grams(x, y)), X, Y),
    "lars.path:one": (lambda x, y: lars.path(*grams(x, y[:, 0])), X, Y),
    "lars.budget": (lambda x, y: lars.budget(*grams(x, y), 0.7), X, Y),
    "lars.budget:each": (lambda x, y, t: lars.budget(*grams(x, y), t)[:3], X, Y, random(4)),
    "heatmaps.to_cells": (lambda p: heatmaps.to_cells(p, 4), HIDDEN),
    "heatmaps.to_pixels": (lambda p: heatmaps.to_pixels(p, 4), HIDDEN),
    "heatmaps.quantise": (heatmaps.quantise, HIDDEN),
    "heatmaps.encode": (lambda p: heatmaps.encode(p, (12, 14), 1.5, peak="density", stride=2), HIDDEN),
    "heatmaps.decode:blur": (lambda m: heatmaps.decode(m, "taylor", blur=0.8), MASS),
    "heatmaps.aliasing": (lambda t: heatmaps.aliasing(t, 0.5), random(5)),
    "heatmaps.truncation": (lambda t: heatmaps.truncation(t, 1.0), random(5)),
    "optimal_transport.w1": (lambda u, v: ot.w1(u, v, max_iter=20)[:2], MASS, OTHER),
    "optimal_transport.w1_to_point": (ot.w1_to_point, MASS, 9 * random(3, 2)),
    "optimal_transport.debiased": (lambda u, v: ot.debiased(u, v, 4.0, max_iter=20), MASS, OTHER),
    "optimal_transport.get_max": (ot.get_max, MASS),
    "optimal_transport.get_bc": (ot.get_bc, MASS),
    "polyharmonic.fit": (lambda a, f: polyharmonic.fit(a, f, 1, 0.1), A, P),
    "polyharmonic.evaluate": (lambda a, f, b: polyharmonic.evaluate(polyharmonic.fit(a, f, 3), b), A, P, B),
    "polyharmonic.warp": (lambda i, a, b: polyharmonic.warp(i, 3 * a, 3 * a + b, step=2), IMAGE, A, P),
    "polyharmonic.coarse_bound": (lambda a, f: polyharmonic.coarse_bound(polyharmonic.fit(a, f), (9, 7), 2), A, P),
    "metrics.failure_rate": (lambda e: metrics.failure_rate(e, 0.5), ERRORS),
    "metrics.auc": (lambda e: metrics.auc(e, 0.5), ERRORS),
    "metrics.ced": (lambda e: metrics.ced(e, [0.1, 0.5]), ERRORS),
    "metrics.nme_curve": (lambda p, t: metrics.nme_curve(p, t, "300w-68"), FACES, HIDDEN.flip(0).nan_to_num(9.0)),
    "faces.own.mean_shape": (own.mean_shape, HIDDEN),
    "methods.few_shapes.radius": (few_shapes.radius, ERRORS),
    "methods.few_labels.decoded": (lambda m: few_labels.decoded(m, 4.0), random(2, 3, 12, 14, seed=12)),
    "faces.statistics.similarity": (lambda a, b: statistics.similarity(a, b).apply(a), A, B),
    "faces.statistics.to_corners": (lambda a: statistics.to_corners(a, (0, 1)), A),
    "faces.statistics.procrustes": (lambda a: statistics.procrustes(a, (0, 1))[:2], random(5, 8, 2)),
    "faces.statistics.covariance": (lambda a: statistics.covariance(a, a.mean(0)), A),
    "faces.statistics.modes": (lambda a: statistics.modes(statistics.covariance(a, a.mean(0)), 2), random(5, 8, 2)),
    "faces.statistics.symmetric_model": (
        lambda a: vars(statistics.symmetric_model(a, [1, 0, 2, 3, 4, 5, 6, 7], (0, 1), "", 2)), random(9, 8, 2)),
    "faces.perturb.ellipse": (lambda i, p: perturb.ellipse(i, p, "large", chance()), IMAGE, 3 * A),
    "faces.perturb.motion_blur": (lambda i, p, m: perturb.motion_blur(i, p, m, "large"), IMAGE, 30 * A, random(2, 2)),
    "data.crops.apply": (crops.apply, MOVES, A),
    "data.crops.inverse": (crops.inverse, MOVES),
    "data.crops.then": (crops.then, MOVES, MOVES.flip(0)),
    "methods.subpixel.to_canonical": (
        lambda m, t: subpixel.to_canonical(m, t, [1, 0, 2], 2), random(2, 3, 9, 9), MOVES),
    "methods.subpixel.corrected_landmarks": (
        lambda m, d: subpixel.corrected_landmarks((m, d), torch.zeros(1, 3, 28, 28)), random(2, 8, 7, 7), P),
    "methods.heatmap_regression.squared_error": (
        lambda m, h, s: regression.squared_error(m, h, s > 0.2), *random(3, 2, 3, 9, 9)[:2], random(2, 9, 9)),
    "methods.heatmap_regression.cross_entropy": (regression.cross_entropy, *random(2, 2, 3, 9, 9)),
    "methods.heatmap_regression.heatmaps_of": (lambda i: regression.heatmaps_of(nn.Identity(), i), IMAGE),
    "methods.heatmap_regression.target": (
        lambda p, m, i: regression.target(p, m, i, 2.0), A, random(2, 8, 9, 9), IMAGE),
    "methods.heatmap_regression.landmarks_from": (
        lambda m: regression.landmarks_from(m, torch.zeros(1, 3, 28, 28)), random(2, 8, 7, 7)),
    "methods.wasserstein.peak_weight": (wasserstein.peak_weight, random(2, 3, 9, 9)),
    "methods.wasserstein.distance": (
        lambda m, h: wasserstein.distance(9 * m, h, 2.0, max_iter=20), *random(2, 2, 3, 9, 9)),
    "methods.wasserstein.jensen_shannon": (
        lambda m, h: wasserstein.jensen_shannon(m, h, "softplus"), *random(2, 2, 3, 9, 9)),
    "methods.wasserstein.landmarks": (
        lambda m: wasserstein.landmarks(m, torch.zeros(1, 3, 28, 28)), random(2, 8, 7, 7)),
    "methods.sparse_shape_regression.fit_h": (lambda a, b: ssr.fit_h(a, b, 1.4, use=[0, 2, 3])[:2], FACES[:, :6],
                                              FACES[:, 6:9]),
    "methods.sparse_shape_regression.complete": (ssr.complete, HIDDEN, random(3, 68)),
    "methods.completed_training.complete": (completed_training.complete, HIDDEN, FACES),
    "methods.coupled_regression.to_face": (coupled_regression.to_face, A, 1 + random(2, 4)),
    "methods.coupled_regression.from_face": (coupled_regression.from_face, A, 1 + random(2, 4)),
    "methods.coupled_regression.label_sets": (lambda a: coupled_regression.label_sets(a.detach()), A),
    "methods.coupled_regression.union_mean": (coupled_regression.union_mean, A),
    "methods.coupled_regression.drn_objective": (
        lambda w, x, y: coupled_regression.drn_objective(Linear(w), x, y, x[:, :2], 0.1), random(4, 3), random(5, 3),
        random(5, 2, 2)),
    "faces.curve_sets.widths": (lambda m: curve_sets.widths(m, "300w-68"), FACES[0]),
    "methods.lddmm_face.registered": (
        lambda a, b: lddmm_face.registered(a, "300w-68", b, "300w-68").detach(), FACES[0], FACES[1]),
    "methods.lddmm_face.loss": (lambda z, y, s: lddmm_face.loss(z, y, [range(9), range(20, 40)], s), FACES, HIDDEN,
                                1 + random(2)),
    "networks.coordconv.coordinates": (networks.coordconv.coordinates, IMAGE),
    "methods.conditional_warp.perceptual": (lambda i: conditional_warp.perceptual(lambda x: [x, x[:, 1:]])(i), IMAGE),
    "methods.conditional_warp.warper_loss": (
        lambda p, i, y: conditional_warp.warper_loss(p, i, y, i.flip(0), smoothing=0.1), 3 * A, IMAGE, 3 * A + P),
    "methods.conditional_warp.landmark_loss": (
        lambda x, y, z: conditional_warp.landmark_loss([x, z], y, 9.0), FACES, HIDDEN, random(3, 2, 68, 2)),
    "methods.domain_adaptation.swap_amplitude": (
        lambda i: domain_adaptation.swap_amplitude(i, i.flip(0), 0.2), IMAGE),
    "methods.domain_adaptation.reverse_gradient": (domain_adaptation.reverse_gradient, P),
}  # fmt: skip
CASES |= {f"methods.conditional_warp.image_gradient:{how}": (lambda i, how=how: conditional_warp.image_gradient(i, how),
          IMAGE) for how in conditional_warp.OPERATORS}  # fmt: skip
CASES |= {f"heatmaps.decode:{how}": (lambda m, how=how: heatmaps.decode(m, how), MASS) for how in heatmaps.METHODS}
CASES |= {f"optimal_transport.sinkhorn:{how}, {p}, {eps}": (lambda u, v, how=how, p=p, eps=eps: ot.sinkhorn(
    u, v, eps, p, 1e-6, 20, how)[:4], MASS, OTHER)
    for how, p, eps in [("log", 1, 4.0), ("auto", 1, 4.0), ("auto", 1, 0.01), ("auto", 2, 4.0)]}  # fmt: skip
CASES |= {f"metrics.{f.__name__}:{by}": (lambda p, t, f=f, by=by: f(p, t, by), FACES, HIDDEN.flip(0))
          for f in (metrics.errors, metrics.nme, metrics.nrmse) for by in metrics.NORMALISERS}  # fmt: skip
CASES |= {f"metrics.reference_distance:{by}": (lambda t, by=by: metrics.reference_distance(t, by), HIDDEN)
          for by in metrics.NORMALISERS}  # fmt: skip
# They have no derivative, or refuse to be differentiated.
WITHOUT_GRADIENT = {
    "flows.min_steps", "matching.match", "matching.match:curves", "matching.modes",
    "faces.statistics.modes", "faces.statistics.procrustes", "faces.statistics.symmetric_model",
    "optimal_transport.get_max", "heatmaps.decode:argmax", "heatmaps.decode:quarter",
    "metrics.failure_rate", "metrics.ced", "faces.perturb.ellipse", "networks.coordconv.coordinates",
}  # fmt: skip


def tensors(result):
    leaves = torch.utils._pytree.tree_leaves(result)
    return [x for x in leaves if isinstance(x, torch.Tensor)], [x for x in leaves if not isinstance(x, torch.Tensor)]


def alike(here, elsewhere):
    """The same numbers, and all of them on the device."""
    (a, others), (b, others_b) = tensors(here), tensors(elsewhere)
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert isinstance(y, Elsewhere), "a result was made on the CPU"
        torch.testing.assert_close(back(y).detach(), x.detach(), rtol=1e-7, atol=1e-9, equal_nan=True)
    for x, y in zip(others, others_b, strict=True):
        assert x == pytest.approx(y) if isinstance(x, float) else x == y


def gradients(result, inputs):
    """Of the sum of what is finite."""
    total = sum(x.nan_to_num(0.0).sum() for x in tensors(result)[0] if x.requires_grad)
    return torch.autograd.grad(total, inputs, allow_unused=True)


@pytest.mark.parametrize("name", CASES)
def test_on_another_device_as_on_the_cpu(name):
    function, *inputs = CASES[name]
    keeps = name not in WITHOUT_GRADIENT
    here = [x.clone().requires_grad_(keeps) for x in inputs]
    expected = function(*here)
    with Device():
        elsewhere = [there(x).requires_grad_(keeps) for x in inputs]
        result = function(*elsewhere)
        alike(expected, result)
        if any(x.requires_grad for x in tensors(expected)[0]):
            alike(gradients(expected, here), gradients(result, elsewhere))


def public(module):
    """The names of a module's functions, and of those classes that are networks."""
    whole = importlib.import_module(f"lddmmlib.{module}")
    for name, each in vars(whole).items():
        own = getattr(each, "__module__", "") == whole.__name__ and not name.startswith("_")
        if own and inspect.isfunction(each):
            yield f"{module}.{name}"


def test_every_public_function_has_a_case():
    told = {name.split(":")[0] for name in CASES} | {name.split(":")[0] for name in LOSSES} | set(ELSEWHERE_TOLD)
    told |= {"networks.coordconv.with_coordinates", "methods.heatmap_regression.predict", "methods.lddmm_face.predict"}
    told |= {"methods.conditional_warp.predict", "methods.wasserstein.predict", "methods.wasserstein.probabilities"}
    names = {name for module in MODULES for name in public(module)}
    assert names - told == set()
    assert set(ELSEWHERE_TOLD) - names == set()  # no reason for what is gone


# --- networks, and one step of a training with each loss ----------------------------------------------

SIDE, SCHEME = 32, "300w-68"


def hrnet(**how):
    return networks.HRNetV2(68, width=4, modules=(1, 1, 1), blocks=1, **how)


def hourglass(stacks=1):
    return networks.StackedHourglass(68, stacks, blocks=1, channels=8, depth=2)


def momenta(**how):
    """Paper A."""
    layer = lddmm_face.Deformation((SIDE * (0.5 + 0.6 * statistics.real_300w().mean)).float(), SCHEME, **how)
    head = MomentaHead(68, (4, 8, 16, 32), first=16, hidden=8)
    return lddmm_face.LDDMMFace(hrnet(head=head), layer)


def slpt():
    trunk = networks.StackedHourglass(8, 1, blocks=1, channels=8, depth=2)
    return SLPT(shape(), SIDE, channels=8, layers=2, heads=2, hidden=8, trunk=trunk, dropout=0.0)


def shape():
    return SIDE * random(68, 2, dtype=torch.float32)


NETWORKS = {
    "HRNetV2": hrnet,
    "HRNetV2 with points": lambda: hrnet(head=networks.CoordinateHead(shape(), (4, 8, 16, 32), hidden=8)),
    "HRNetV2 with CoordConv": lambda: networks.with_coordinates(hrnet()),
    "StackedHourglass": lambda: hourglass(2),
    "SimpleBaselines": lambda: SimpleBaselines(68, (1, 1, 1, 1), width=4, channels=8),
    "CPN with CoordConv": lambda: networks.with_coordinates(CPN(68, (1, 1, 1, 1), width=4, channels=8)),
    "DAN": lambda: networks.DAN(shape(), size=SIDE, width=4),
    "SLPT": lambda: slpt(),
    "pretrained": networks.pretrained,
}


def built(make, double=True):
    torch.manual_seed(0)
    net = make()
    return (net.double() if double else net).train()


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_on_another_device(name):
    here, elsewhere = built(NETWORKS[name]), there(built(NETWORKS[name]))
    images = random(4, 3, SIDE, SIDE)
    torch.manual_seed(1)
    expected = here(images)
    with Device():
        torch.manual_seed(1)
        result = elsewhere(there(images))
        alike(expected, result)
        for each in (expected, result):
            sum(x.square().mean() for x in tensors(each)[0]).backward()
    for (_, p), (_, q) in zip(here.named_parameters(), elsewhere.named_parameters(), strict=True):
        assert isinstance(q.grad, Elsewhere)
        torch.testing.assert_close(q.grad.held, p.grad, rtol=1e-6, atol=1e-8)


def batch(views=False):
    faces = Crops(synthetic.Faces(3, "wild", size=64), SCHEME, size=SIDE, how=subpixel.RECIPE)
    data = subpixel.Views(faces) if views else faces
    return default_collate([data.draw(i, np.random.default_rng(i)) for i in range(3)])


def pair(x):
    """The faces of a batch, as photographs and, turned round, as stylised faces without labels."""
    images, nothing = x.image.flip(0).flip(-1), torch.full_like(x.landmarks, torch.nan)
    return conditional_warp.Pair(photo=x, stylised=x._replace(image=images, landmarks=nothing))


def in_turn(phases):
    """Paper D, in a turn of the warper or of the landmarker."""
    how = {"smoothing": 0.1, "flip": FLIP, "agree": 1.0}
    return (lambda: conditional_warp.Alternation(slpt(), phases),
            lambda net, x: conditional_warp.alternating_loss(net, pair(x), **how))  # fmt: skip


def transport_loss(model, x):
    """Paper E: the transport from what a softmax makes of the maps to a Gaussian."""
    (maps,) = regression.heatmaps_of(model, x.image)
    u, v = maps.flatten(-2).softmax(-1).view_as(maps), regression.target(x.landmarks, maps, x.image, 1.5)
    return ot.sinkhorn(u[:, 20:24], v[:, 20:24] + 1e-6, 2.0).value.mean()


def warp_loss(model, x):
    """Paper D: an image warped by a spline at predicted landmarks, its gradient against the other's."""
    points, image = model(regression.network_input(x.image)).double(), x.image.double() / 255
    moved = polyharmonic.warp(image, points[:, 17::6], x.landmarks[:, 17::6].double(), smoothing=0.1)
    return (moved.diff(dim=-1) - image.flip(0).diff(dim=-1)).square().mean()


FLIP = list(schemes.get(SCHEME).flip)
# name: (network, loss, whether of pairs, most values read in one step, most copies to the device). A check at a door
# reads one value; the transport looks at its pairs at every eighth step alone.
LOSSES = {
    "methods.heatmap_regression.l2_loss": (hourglass, regression.l2_loss, False, 1, 0),
    "methods.heatmap_regression.cross_entropy_loss": (hourglass, regression.cross_entropy_loss, False, 3, 0),
    "methods.heatmap_regression.soft_argmax_loss": (hourglass, regression.soft_argmax_loss, False, 4, 0),
    "methods.wasserstein.wasserstein_loss": (
        hourglass, lambda net, x: wasserstein.wasserstein_loss(net, x, tol=1e-5), False, 60, 3),
    "methods.wasserstein.point_loss": (hourglass, wasserstein.point_loss, False, 6, 0),
    "methods.wasserstein.jensen_shannon_loss": (hourglass, wasserstein.jensen_shannon_loss, False, 6, 0),
    "methods.wasserstein.recipe_loss": (hourglass, wasserstein.recipe_loss, False, 7, 0),
    "methods.subpixel.siamese_loss": (
        hourglass, lambda net, x: subpixel.siamese_loss(net, x, FLIP), True, 12, 4),
    "methods.subpixel.correction_loss": (
        lambda: subpixel.Corrected(hourglass()), lambda net, x: subpixel.correction_loss(net, x, dynamic=True), False,
        5, 0),
    "methods.lddmm_face.train_loss": (momenta, lddmm_face.train_loss, False, 14, 16),
    "methods.conditional_warp.joint_loss": (
        lambda: conditional_warp.SoftArgmax(hourglass()),
        lambda net, x: conditional_warp.joint_loss(net, pair(x), smoothing=0.1), False, 30, 4),
    "methods.conditional_warp.alternating_loss:the warper": (*in_turn((1, 1)), False, 30, 4),
    "methods.conditional_warp.alternating_loss:the landmarker": (*in_turn((0, 1)), False, 30, 3),
    "methods.domain_adaptation.source_loss": (
        slpt, lambda net, x: domain_adaptation.source_loss(net, pair(x)), False, 20, 0),
    "methods.domain_adaptation.oracle_loss": (
        slpt, lambda net, x: domain_adaptation.oracle_loss(net, pair(x)._replace(stylised=x)), False, 20, 0),
    "methods.domain_adaptation.fourier_loss": (
        slpt, lambda net, x: domain_adaptation.fourier_loss(net, pair(x), 0.2), False, 20, 0),
    "methods.domain_adaptation.adversarial_loss": (
        lambda: domain_adaptation.Adversary(slpt(), 8, "trunk"),
        lambda net, x: domain_adaptation.adversarial_loss(net, pair(x)), False, 20, 0),
    "methods.domain_adaptation.translation_loss": (
        lambda: domain_adaptation.Translator(8), lambda net, x: domain_adaptation.translation_loss(net, pair(x)), False,
        20, 0),
    "methods.domain_adaptation.translated_loss": (
        lambda: nn.ModuleList([slpt(), domain_adaptation.Translator(8)]),
        lambda nets, x: domain_adaptation.translated_loss(nets[0], pair(x), nets[1]), False, 20, 0),
    "transport": (hourglass, transport_loss, False, 20, 1),
    "warp": (NETWORKS["HRNetV2 with points"], warp_loss, False, 8, 0),
}  # fmt: skip


def step(net, loss, x):
    """What `training.fit` does in a step, without what it shows and saves; the loss."""
    # A softmax does not feel its bias: that gradient is rounding alone, which the usual ε makes a whole step.
    optim = torch.optim.AdamW(net.parameters(), lr=1e-3, eps=1e-4)
    value = loss(net, x)
    value.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optim.step()
    return value


@pytest.mark.parametrize("name", LOSSES)
def test_a_training_step_on_another_device(name):
    """The CPU's loss and weights; and values are read, and numbers sent, no more often than stated."""
    make, loss, views, fetches, uploads = LOSSES[name]
    here, elsewhere, x = built(make, False), there(built(make, False)), batch(views)
    expected = step(here, loss, x)
    with Device() as device:
        x = there(x)
        value = step(elsewhere, loss, x)
    alike([expected], [value])
    for p, q in zip(here.parameters(), elsewhere.parameters(), strict=True):
        torch.testing.assert_close(q.held, p.detach(), rtol=1e-4, atol=1e-5)
    counts = device.fetches.total(), device.uploads.total()
    told = f"{counts} for at most {(fetches, uploads)}: {+device.fetches}, {+device.uploads}"
    assert all(count <= most for count, most in zip(counts, (fetches, uploads), strict=True)), told


@pytest.mark.parametrize(("p", "eps"), [(1, 4.0), (1, 0.05), (2, 4.0)])
def test_a_step_of_the_transport_reads_nothing(p, eps):
    """Fifteen steps cost the looks of eight: nothing is read or sent within the iteration."""
    counts = []
    for steps in (9, 15):
        with Device() as device:
            ot.sinkhorn(there(MASS), there(OTHER), eps, p, tol=1e-12, max_iter=steps)
        counts.append((device.fetches.total(), device.uploads.total()))
    assert counts[0] == counts[1]


def test_one_sigma_a_curve_costs_one_look_at_the_device():
    """Checked all at once: one value read more, and not one a curve; of a list none. A call looks at what it is given
    once, and not at Curves, which were looked at when they were made."""
    x, momenta = there(random(24, 2)), there(0.1 * random(24, 2, seed=1))
    sigmas, lines = 1 + random(12), [[2 * k, 2 * k + 1] for k in range(12)]
    for sigma, more in ((sigmas.tolist(), 0), (there(sigmas), 1)):
        with Device() as device:
            curves = Curves(x, lines, coupled=False)
            curves.mask()  # the tables of the groups are sent once
            moved = curves.with_points(curves.points + 1)
            for call, reads in (
                (lambda sigma=sigma: flows.flow(curves, momenta, sigma, 2, "euler"), 1),  # noqa: B023
                (lambda sigma=sigma: currents.norm2(curves, sigma), 0),  # noqa: B023
                (lambda sigma=sigma: currents.distance2(curves, moved, sigma), 0),  # noqa: B023
                (lambda sigma=sigma: matching.loss(moved, curves, sigma), 0),  # noqa: B023
            ):
                device.fetches.clear()
                device.uploads.clear()
                call()
                assert device.fetches.total() == reads + more
                assert device.uploads.total() <= 1 - more  # a list is sent


FAULTS = {
    "an arange of the CPU": lambda x: x + torch.arange(x.shape[-1]),
    "a constant of the CPU": lambda x: x * torch.tensor([1.0, 2.0]).double(),
    "a matrix of the CPU": lambda x: x @ torch.eye(2).double(),
    "a mask made of NumPy": lambda x: torch.where(torch.from_numpy(np.ones(2, bool)), x, 0.0),
    "joined with one of the CPU": lambda x: torch.cat([x, torch.zeros(1, 2).double()]),
    "picked from one of the CPU": lambda x: torch.eye(2).double()[x.argmax(-1)],
    "a list of its numbers": lambda x: torch.tensor([x[0, 0], x[0, 1]]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_stand_in_refuses_what_an_accelerator_refuses(fault):
    with Device(), pytest.raises(Mixed):
        FAULTS[fault](there(random(3, 2)))


READS = {
    "item": (lambda x: x.sum().item(), 1, 0), "bool": (lambda x: bool((x > 0).all()), 1, 0),
    "float": (lambda x: float(x[0, 0]), 1, 0), "tolist": (lambda x: x.tolist(), 1, 0),
    "cpu": (lambda x: x.cpu(), 1, 0), "nonzero": (lambda x: x.nonzero(), 1, 0),
    "mask": (lambda x: x[x > 0.5], 1, 0), "inverse": (lambda x: torch.linalg.inv(x[:2]), 1, 0),
    "list as an index": (lambda x: x[[0, 2]], 0, 1), "constant": (lambda x: x.new_tensor([1.0, 2.0]), 0, 1),
    "neither": (lambda x: (x @ x.mT).softmax(-1).masked_fill(x[:, :1] > 0.5, 0.0), 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("read", READS)
def test_the_stand_in_counts_what_an_accelerator_waits_for(read):
    function, fetches, uploads = READS[read]
    with Device() as device:
        function(there(random(3, 2)))
    assert (device.fetches.total(), device.uploads.total()) == (fetches, uploads)
