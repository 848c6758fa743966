"""Paper A: the layer is the released one, the loss is equation 8, and what was trained on few landmarks gives many."""

import math
import re
from inspect import unwrap
from itertools import pairwise

import pytest
import torch
from torch import nn

from lddmmlib import flows, matching, metrics, training
from lddmmlib.curves import Curves
from lddmmlib.data.augment import Crops
from lddmmlib.data.crops import Crop
from lddmmlib.faces import curve_sets, schemes, statistics, synthetic
from lddmmlib.methods import lddmm_face
from lddmmlib.methods.lddmm_face import DANFace, Deformation, LDDMMFace
from lddmmlib.networks import HRNetV2, StackedHourglass, similarity
from lddmmlib.networks.momenta import HourglassMomenta, MomentaHead

SIDE, HAVE = 64, ("300w-68", "wflw-98", "helen-194", "cofw-29")
F64 = torch.float64


def normal(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def mean_of(scheme, dtype=F64):
    """One drawn face in the middle of a crop: as good as a mean."""
    points = synthetic.sample(1, "studio", size=32, scheme=scheme).landmarks.to(dtype)
    low, high = points.amin(0), points.amax(0)
    return (points - (low + high) / 2) * 0.75 * SIDE / (high - low).max() + SIDE / 2


MEANS = {scheme: mean_of(scheme) for scheme in HAVE}


def layer_of(scheme="300w-68", **how):
    return Deformation(MEANS[scheme], scheme, **how)


def momenta_of(layer, batch=3, size=2.0, seed=0):
    return size * normal(batch, len(layer.controls), 2, seed=seed)


class Told(nn.Module):
    """A network that has been told its momenta."""

    def __init__(self, momenta):
        super().__init__()
        self.momenta = nn.Parameter(momenta)

    def forward(self, images):
        return self.momenta


IMAGES = torch.zeros(3, 3, SIDE, SIDE)

# --------------------------------------------------------------------------------------------------------- the layer


@pytest.mark.parametrize("scheme", HAVE)
def test_the_released_layer_is_the_loop_over_curves_and_points(scheme):
    layer = layer_of(scheme)
    momenta = momenta_of(layer)
    curves, alpha = curve_sets.riders(scheme, scheme), layer.everywhere(momenta)
    for found, a in zip(layer(momenta), alpha, strict=True):
        by_loops = lddmm_face.deform_by_loops(layer.mean, a, curves, layer.sigma.tolist())
        torch.testing.assert_close(found, by_loops, rtol=0, atol=1e-10)
    single = Deformation(MEANS[scheme].float(), scheme)(momenta.float())
    torch.testing.assert_close(single.double(), layer(momenta), rtol=0, atol=1e-4)


def test_the_other_presets_are_the_flows_of_their_names():
    mean, slices = MEANS["300w-68"], list(curve_sets.get("300w-68").values())
    momenta = momenta_of(layer_of())
    x0, widths = mean.expand(3, -1, -1), curve_sets.widths(mean, "300w-68").tolist()
    apart = Curves(x0, slices, coupled=False)
    n = flows.min_steps(apart, momenta, widths)
    torch.testing.assert_close(layer_of(preset="certified")(momenta), flows.flow(apart, momenta, widths, n).end)
    n = flows.min_steps(apart, momenta, widths, geodesic=True)
    torch.testing.assert_close(layer_of(preset="shoot")(momenta), flows.shoot(apart, momenta, widths, n).end)
    whole = sum(widths) / 12
    n = flows.min_steps(x0, momenta, whole, geodesic=True)
    one = layer_of(preset="shoot", coupled=True)
    torch.testing.assert_close(one(momenta), flows.shoot(x0, momenta, whole, n).end)
    torch.testing.assert_close(layer_of(preset="coordinates")(momenta), mean + momenta)
    torch.testing.assert_close(layer_of(steps=5)(momenta), flows.flow(apart, momenta, widths, 5, "euler").end)


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("preset", ["certified", "shoot"])
def test_by_certificate_nothing_folds_where_two_steps_do(preset, coupled):
    layer = layer_of(preset=preset, coupled=coupled)
    momenta = momenta_of(layer, 1, 8.0)
    assert flows.certified(layer.flow(momenta))
    assert not flows.certified(layer_of(coupled=coupled).flow(momenta))


@pytest.mark.parametrize("how", [{}, {"preset": "shoot", "steps": 3}, {"preset": "shoot", "coupled": True, "steps": 3}])
def test_gradients(how):
    layer = layer_of("cofw-29", **how)
    momenta = momenta_of(layer, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: unwrap(Deformation.forward)(layer, m), momenta, fast_mode=True)
    target = MEANS["cofw-29"] + normal(2, 29, 2, seed=1)

    def value(m):
        return lddmm_face.loss(layer(m), target, layer.curves, layer.widths / 2)

    assert torch.autograd.gradcheck(value, momenta, fast_mode=True)


def test_autocast_changes_neither_layer_nor_loss():
    layer = Deformation(MEANS["300w-68"].float(), "300w-68")
    momenta, target = momenta_of(layer).float().requires_grad_(), layer.mean + normal(3, 68, 2, seed=1).float()

    def value():
        found = lddmm_face.loss(layer(momenta), target, layer.curves, layer.widths / 2)
        return found, torch.autograd.grad(found.sum(), momenta)[0]

    plain = value()
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(a, b) for a, b in zip(value(), plain, strict=True))


def test_pupils_ride_with_their_eyes_and_have_no_momenta():
    layer = layer_of("wflw-98")
    assert len(layer.controls) == 96
    momenta = torch.zeros(1, 96, 2, dtype=F64)
    momenta[:, 60:68] = torch.tensor([0.0, 1.0])  # the left eye
    moved = (layer(momenta) - layer.mean)[0]
    assert moved[96, 1] > moved[60:68, 1].mean() / 2
    assert not moved[97].abs().max() > 1e-9


# -------------------------------------------------------------------------------------------------- partial to full


@pytest.mark.parametrize("how", [{}, {"preset": "shoot"}, {"coupled": True}])
@pytest.mark.parametrize(("scheme", "count"), curve_sets.RELEASED_SUBSETS)
def test_what_has_no_momenta_is_a_passenger(scheme, count, how):
    """Zero momenta elsewhere, as in the released code, and the flow of the subset alone with passengers, agree."""
    subset = curve_sets.RELEASED_SUBSETS[scheme, count]
    layer = layer_of(scheme, subset=subset, **how)
    momenta = momenta_of(layer)
    found = layer.flow(momenta)
    where = {i: k for k, i in enumerate(subset)}
    slices = [[where[i] for i in curve] for curve in layer.curves]
    x0 = Curves(layer.mean[list(subset)].expand(3, -1, -1), slices, coupled=layer.coupled)
    riders = Curves(layer.mean.expand(3, -1, -1), curve_sets.riders(scheme, scheme), coupled=layer.coupled)
    alone = (flows.shoot if how.get("preset") else flows.flow)(
        x0, momenta, layer.sigma, found.steps, found.method, points=riders
    )
    torch.testing.assert_close(found.end, alone.points, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.end[:, list(subset)], alone.end, rtol=0, atol=1e-9)


def test_a_subset_is_supervised_alone_and_in_its_own_curves():
    subset = curve_sets.fraction("300w-68", 1 / 2)
    layer = layer_of(subset=subset)
    assert sorted(i for curve in layer.curves for i in curve) == list(subset)
    target = layer.mean + normal(2, 68, 2)
    other = target.clone()
    left = [i for i in range(68) if i not in subset]
    other[:, left] += 5
    value = [lddmm_face.loss(layer(momenta_of(layer, 2)), y, layer.curves, layer.widths / 2) for y in (target, other)]
    torch.testing.assert_close(*value)


def test_coordinates_give_what_they_were_trained_on_and_no_more():
    subset = curve_sets.fraction("300w-68", 1 / 3)
    layer = layer_of(subset=subset, preset="coordinates")
    momenta = momenta_of(layer).requires_grad_()
    found = layer(momenta)
    told = ~found.isnan().any(-1)
    assert told[0].nonzero().flatten().tolist() == list(subset)
    torch.testing.assert_close(found[:, list(subset)], layer.mean[list(subset)] + momenta)
    lddmm_face.loss(found, layer.mean.expand_as(found), layer.curves, layer.widths / 2).sum().backward()
    assert momenta.grad.isfinite().all()


# --------------------------------------------------------------------------------------------------------- the loss


def example(seed=0, n=68):
    mean = MEANS["300w-68"]
    return mean + normal(3, n, 2, seed=seed), mean + normal(3, n, 2, seed=seed + 1)


CURVES = list(curve_sets.get("300w-68").values())
SIGMA_W = curve_sets.widths(MEANS["300w-68"], "300w-68") / 2


@pytest.mark.parametrize("normaliser", ["corners", "pupils"])
def test_it_is_the_loss_of_matching_where_nothing_is_missing(normaliser):
    z, y = example()
    d = metrics.reference_distance(y, normaliser, "300w-68")
    faces = [Curves(x, CURVES, coupled=False) for x in (z, y)]
    found = lddmm_face.loss(z, y, CURVES, SIGMA_W, 0.3, normaliser)
    torch.testing.assert_close(found, matching.loss(*faces, SIGMA_W, 0.3, d))
    torch.testing.assert_close(lddmm_face.loss(z, y, CURVES, SIGMA_W, 0.3, d), found)


def by_loops(z, y, beta, by_points, d):
    """Equation 8 of one face as printed, over the landmarks that are labelled."""
    total = 0.0
    for curve, s in zip(CURVES, SIGMA_W.tolist(), strict=True):
        there = [i for i in curve if not y[i].isnan().any()]
        if not there:
            continue
        diracs = [
            ((x[i] + x[j]) / 2, sign * (x[j] - x[i])) for x, sign in ((z, 1), (y, -1)) for i, j in pairwise(there)
        ]
        D_c = sum(math.exp(-((a - b) ** 2).sum() / s**2) * (t @ u) for a, t in diracs for b, u in diracs)
        D_l = sum((z[i] - y[i]).norm() for i in there) / len(there)
        total += beta * D_c / (len(there) if by_points else 1) + D_l
    return total / d


@pytest.mark.parametrize("by_points", [False, True])
def test_missing_landmarks_are_left_out_and_curves_joined_over_the_gap(by_points):
    z, y = example()
    z = z.requires_grad_()
    y[0, [0, 1, 8, 9, 12, 35, 48, 54]] = torch.nan  # the ends of curves, and in them
    y[1, 17:22] = torch.nan  # a whole brow
    y[2, 23:27] = torch.nan  # all of a brow but one
    found = lddmm_face.loss(z, y, CURVES, SIGMA_W, by_points=by_points)
    d = metrics.reference_distance(y, "corners", "300w-68")
    for k in range(3):
        assert found[k].item() == pytest.approx(by_loops(z.detach()[k], y[k], 0.1, by_points, d[k]).item(), rel=1e-12)
    (gradient,) = torch.autograd.grad(found.sum(), z)
    assert gradient.isfinite().all()
    assert not gradient[y.isnan()].any()


def test_a_face_without_its_normaliser_is_left_out_of_the_mean():
    layer, (_, y) = layer_of(), example()
    y[1, 36] = torch.nan
    model = LDDMMFace(Told(momenta_of(layer)), layer)
    batch = crops_like(y)
    each = lddmm_face.loss(model(IMAGES), y, layer.curves, layer.widths / 2)
    assert each.isnan().tolist() == [False, True, False]
    value = lddmm_face.train_loss(model, batch)
    torch.testing.assert_close(value, each[[0, 2]].mean())
    value.backward()
    assert not model.network.momenta.grad[1].any()
    assert model.network.momenta.grad.isfinite().all()
    y[:, 45] = torch.nan
    assert lddmm_face.train_loss(model, crops_like(y)) == 0


def crops_like(landmarks):
    b = len(landmarks)
    seen = torch.ones(landmarks.shape[:2], dtype=torch.bool)
    return Crop(
        torch.zeros(b, 3, SIDE, SIDE, dtype=torch.uint8), landmarks, seen, seen, torch.eye(2, 3).expand(b, 2, 3)
    )


def test_each_curve_has_its_own_width():
    """The released code takes the first jaw curve's for all."""
    z, y = example()
    alike = lddmm_face.loss(z, y, CURVES, SIGMA_W[0].expand(12))
    assert ((lddmm_face.loss(z, y, CURVES, SIGMA_W) - alike).abs() > 1e-3 * alike).all()


# ------------------------------------------------------------------------------------------------- other annotations


@pytest.mark.parametrize(("source", "target"), [(s, t) for s in HAVE for t in HAVE])
def test_registered_mean_faces_lie_where_the_same_face_has_them(source, target):
    """Of one drawn face in both schemes; the affine map has to undo another, whatever it is."""
    faces = {s: synthetic.sample(1, "studio", size=32, scheme=s).landmarks.double() for s in (source, target)}
    A = torch.tensor([[1.7, 0.4], [-0.2, 0.8]], dtype=F64)
    found = lddmm_face.registered(faces[target] @ A + 9, target, faces[source], source)
    size = metrics.reference_distance(faces[target], "corners", target)
    off = (found - faces[target]).norm(dim=-1) / size
    assert off.max() < (1e-9 if source == target else 0.05)


def test_a_diffeomorphism_registers_better_than_an_affine_map():
    source = synthetic.sample(1, "studio", size=64).landmarks.double()
    target = synthetic.sample(3, "studio", size=64, scheme="wflw-98").landmarks.double()
    told = schemes.conversion("wflw-98", "300w-68")
    off = [
        (told @ lddmm_face.registered(target, "wflw-98", source, "300w-68", how) - source).norm(dim=-1).mean()
        for how in ("affine", "match")
    ]
    assert off[1] < off[0] / 3


PAIRS = [("helen-194", "300w-68"), ("300w-68", "helen-194"), ("300w-68", "wflw-98"), ("wflw-98", "300w-68"),
         ("cofw-29", "300w-68"), ("300w-68", "cofw-29"), ("300w-68", "aflw-19")]  # fmt: skip


@pytest.mark.parametrize("preset", ["released", "shoot"])
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_another_scheme_rides_with_the_curves_of_the_map(source, target, preset):
    """Each landmark as a passenger of the flow of its curve alone."""
    layer = layer_of(source, preset=preset)
    momenta = momenta_of(layer, 2)
    riders = layer.riders(target, MEANS.get(target, mean_of(target)))
    found, moved = layer.carry(momenta, riders), layer.flow(momenta)
    assert found.shape == (2, schemes.get(target).n, 2)
    alpha, move = layer.everywhere(momenta), flows.shoot if preset == "shoot" else flows.flow
    groups = zip(
        curve_sets.riders(source, source), curve_sets.riders(source, target), layer.sigma.tolist(), strict=True
    )
    for own, theirs, sigma in groups:
        x0, points = (x[list(i)].expand(2, -1, -1) for x, i in ((layer.mean, own), (riders.points, theirs)))
        if theirs:
            alone = move(x0, alpha[:, list(own)], sigma, moved.steps, moved.method, points=points)
            torch.testing.assert_close(found[:, list(theirs)], alone.points, rtol=0, atol=1e-9)


def test_landmarks_that_both_schemes_mark_move_alike():
    """68 of 98 are the same places but for brows and lids: a network of 68 gives them at the same spot."""
    layer = layer_of()
    momenta = momenta_of(layer)
    found = layer.carry(momenta, layer.riders("wflw-98", schemes.convert(MEANS["wflw-98"], "wflw-98", "wflw-98")))
    own = layer(momenta)
    for i, j in schemes.shared("300w-68", "wflw-98"):
        torch.testing.assert_close(found[:, j], own[:, i], rtol=0, atol=0.5)


def test_any_place_on_any_curve():
    layer = layer_of()
    places = [("right brow", 0.0), ("left jaw", 1.0), ("left jaw", 0.0), ("right brow", 0.5)]
    riders = layer.riders(places)
    mean = layer.mean
    torch.testing.assert_close(riders.points[:3], mean[[22, 8, 0]])
    brow = mean[22:27]
    lengths = brow.diff(dim=0).norm(dim=-1)
    left = lengths.sum() / 2
    k = int((lengths.cumsum(0) < left).sum())
    there = brow[k] + (left - lengths[:k].sum()) / lengths[k] * (brow[k + 1] - brow[k])
    torch.testing.assert_close(riders.points[3], there)
    found = layer.carry(momenta_of(layer), riders)
    torch.testing.assert_close(found[:, :3], layer(momenta_of(layer))[:, [22, 8, 0]])


def test_a_dense_boundary_passes_through_the_landmarks():
    layer = layer_of("wflw-98", preset="shoot")
    momenta = momenta_of(layer, 2)
    dense = [(name, k / 200) for name in curve_sets.get("wflw-98") for k in range(201)]
    boundary, own = layer.carry(momenta, layer.riders(dense)), layer(momenta)[:, :96]
    step = boundary.diff(dim=1).norm(dim=-1).max()
    assert torch.cdist(own, boundary).amin(-1).max() < step


def test_without_a_mean_face_places_are_told_by_this_one():
    layer = layer_of("wflw-98")
    torch.testing.assert_close(layer.riders("300w-68").points, schemes.convert(layer.mean, "wflw-98", "300w-68"))
    with pytest.raises(ValueError, match="mean: needed the mean face of wflw-98, got None; 300w-68 does not tell"):
        layer_of("300w-68").riders("wflw-98")


# --------------------------------------------------------------------------------------------------------- the models


def small(layer, **how):
    head = MomentaHead(len(layer.controls), (4, 8, 16, 32), first=16, hidden=32)
    return LDDMMFace(HRNetV2(width=4, modules=(1, 1, 1), blocks=1, head=head), layer, **how)


def hourglass(layer):
    return LDDMMFace(HourglassMomenta(StackedHourglass(68, 2, 1, 16, 2), len(layer.controls), hidden=32), layer)


MODELS = {"hrnet": small, "hourglass": hourglass, "dan": lambda layer: DANFace(layer, SIDE, width=4)}


def single(scheme="300w-68", **how):
    return Deformation(MEANS[scheme].float(), scheme, **how)


@pytest.mark.parametrize("how", [{}, {"preset": "coordinates"}, {"subset": curve_sets.fraction("300w-68", 0.5)}])
@pytest.mark.parametrize("name", MODELS)
def test_a_step_of_training(name, how):
    torch.manual_seed(0)
    model = MODELS[name](single(**how)).train()
    batch = crops_like(model.layer.mean + normal(2, 68, 2).float())
    batch = batch._replace(image=torch.randint(0, 256, batch.image.shape, dtype=torch.uint8))
    value = lddmm_face.train_loss(model, batch)
    value.backward()
    dead = [
        n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.isfinite().all())
    ]
    assert not dead
    assert lddmm_face.predict(model.eval(), batch).shape == (2, 68, 2)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_predicts_every_scheme(name):
    torch.manual_seed(0)
    model, images = MODELS[name](single()).eval(), torch.rand(2, 3, SIDE, SIDE)
    own = model(images)
    torch.testing.assert_close(model.predict(images), own)
    torch.testing.assert_close(model.predict(images, "300w-68"), own, rtol=0, atol=1e-4)
    assert model.predict(images, model.layer.riders("helen-194", MEANS["helen-194"].float())).shape == (2, 194, 2)


def test_stages_of_dan_flow_on_from_where_the_landmarks_are():
    """The first stage is the layer; the second flows in the frame of the mean face, by its own momenta."""
    torch.manual_seed(0)
    model, images = DANFace(single(), SIDE, width=4).eval(), torch.rand(2, 3, SIDE, SIDE)
    said = []
    hooks = [stage.register_forward_hook(lambda *x: said.append(x[-1][0])) for stage in model.stages]
    first, second = model.trace(images)
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(first, model.layer(said[0]))
    T = similarity(first, model.mean_shape)
    torch.testing.assert_close(second, T.undo(model.layer.move(T.apply(first), said[1])))


def test_a_frozen_trunk_stays_as_it_was_in_a_training(tmp_path):
    torch.manual_seed(0)
    model = small(single(), frozen=True)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    data = Crops([synthetic.sample(i, size=64) for i in range(4)], "300w-68", SIDE)
    training.fit(model, lddmm_face.train_loss, data, folder=tmp_path, epochs=1, batch=2, progress=False)
    changed = {name for name, x in model.state_dict().items() if not torch.equal(x, before[name])}
    assert changed
    assert all(name.startswith("network.head.") for name in changed)
    assert any("running_mean" in name for name in changed)
    model.train()
    assert not model.network.stem.training
    assert model.network.head.training


def test_momenta_found_by_gradients_fit_faces():
    """Adam through layer and loss, with real faces' statistics."""
    shapes = statistics.sample(statistics.real_300w(), 6, torch.Generator().manual_seed(0)).float()
    mean, faces = (112 * 0.5 * x + 56 for x in (statistics.real_300w().mean.float(), shapes))
    layer = Deformation(mean, "300w-68")
    momenta, steps = torch.zeros(6, 68, 2, requires_grad=True), 150
    optimiser = torch.optim.Adam([momenta], lr=1.0)

    def nme():
        return metrics.nme(layer(momenta.detach()), faces, "corners", "300w-68").mean().item()

    before = nme()
    for k in range(steps):
        optimiser.param_groups[0]["lr"] = 1 - k / steps
        optimiser.zero_grad()
        lddmm_face.loss(layer(momenta), faces, layer.curves, layer.widths / 2).mean().backward()
        optimiser.step()
    assert before > 0.04
    assert nme() < 0.01


# ------------------------------------------------------------------------------------------------------------- doors


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: single()(torch.zeros(2, 67, 2)),
         "momenta: needed (b, 68, 2), one for each landmark that is predicted, got (2, 67, 2); is the head"),
        (lambda: single("wflw-98")(torch.zeros(2, 98, 2)), "momenta: needed (b, 96, 2)"),
        (lambda: single()(torch.zeros(2, 68, 2).double()), "self.mean, momenta: needed one dtype"),
        (lambda: single()(torch.full((1, 68, 2), torch.nan)), "momenta: needed finite"),
        (lambda: single()(torch.zeros(1, 68, 2).half()), "momenta: needed a tensor of single or double precision"),
        (lambda: Deformation(torch.rand(19, 2), "aflw-19"), "scheme: needed one that paper A's curves are known of"),
        (lambda: Deformation(MEANS["wflw-98"], "300w-68"), "it looks like one of wflw-98"),
        (lambda: layer_of(subset=[i for i in range(68) if not 17 <= i < 27]),
         "subset: needed a landmark of each curve, got none of left brow, right brow; leave it one, or couple"),
        (lambda: layer_of(subset=[*range(68), 68]), "subset: needed landmarks that lie in a curve of 300w-68"),
        (lambda: layer_of("wflw-98", subset=range(98)), "each once, got [96, 97]"),
        (lambda: layer_of(subset=[0, *range(68)]), "got some of them twice"),
        (lambda: layer_of(preset="shot"), "preset: needed one of 'released', 'certified', 'shoot', 'coordinates'"),
        (lambda: layer_of(sigma=[1.0] * 11), "sigma: needed 12 numbers, one a curve; got 11 numbers"),
        (lambda: layer_of(sigma=[1.0] * 12, coupled=True), "sigma: needed one number for one flow"),
        (lambda: layer_of(steps=0), "steps: needed an integer >= 1"),
        (lambda: layer_of(preset="coordinates").flow(torch.zeros(1, 68, 2).double()), "preset: needed one that flows"),
        (lambda: layer_of().riders([("jaw", 0.5)]), "to: needed one of 'left jaw'"),
        (lambda: layer_of().riders([("left jaw", 1.5)]), "to: needed a number in [0, 1], got 1.5"),
        (lambda: layer_of().riders([]), "to: needed one place or more"),
        (lambda: layer_of().riders("wflw-98", MEANS["helen-194"]), "mean: needed (98, 2), the landmarks of wflw-98"),
        (lambda: layer_of().riders("wflw-98", MEANS["wflw-98"], "best"), "register: needed one of 'affine', 'match'"),
        (lambda: layer_of().carry(torch.zeros(1, 68, 2).double(), Curves(torch.zeros(1, 5, 2), [slice(0, 5)])),
         "riders: needed Curves of points (m, 2)"),
        (lambda: LDDMMFace(nn.Linear(1, 1), single(), frozen=True), "network: needed one with a `head` to train"),
        (lambda: lddmm_face.loss(*example(), CURVES, SIGMA_W[:11]), "sigma_w: needed one width a curve, (12,)"),
        (lambda: lddmm_face.loss(*example(), CURVES, SIGMA_W, -1.0), "beta: needed a number >= 0"),
        (lambda: lddmm_face.loss(*example(), CURVES, SIGMA_W, normaliser="eyes"), "normaliser: needed"),
    ],
)  # fmt: skip
def test_refuses(call, says):
    with pytest.raises((ValueError, TypeError), match=re.escape(says)):
        call()
