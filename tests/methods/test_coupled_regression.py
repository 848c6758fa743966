"""Cascades and sparse matrices learned in turn: against least squares, finite differences, loops and themselves."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn
from torch.func import functional_call

from lddmmlib.data import crops
from lddmmlib.faces.statistics import Similarity, similarity
from lddmmlib.methods import coupled_regression as coupled
from lddmmlib.methods.coupled_regression import Cascade, Separate, Settings, fit_cascade, fit_deep_sparse, fit_separate
from lddmmlib.methods.shape_indexed import features
from lddmmlib.methods.sparse_shape_regression import fit_h
from tests.helpers import points, refused

BASE = torch.tensor([[14.0, 16.0], [46.0, 18.0], [30.0, 30.0], [20.0, 44.0], [42.0, 46.0], [30.0, 54.0]]).double()
SMALL = Settings(sides=(24, 32), hidden=(10, 6), patch=10.0, evaluations=8, rounds=2, still=0.0)


def drawn(m, seed=0):
    """Photographs of blobs, one a landmark and each of another brightness, and where these are, px."""
    g = torch.Generator().manual_seed(seed)
    x = BASE + 2.5 * torch.randn(m, 6, 2, generator=g).double() + 3 * torch.randn(m, 1, 2, generator=g).double()
    row = torch.arange(60).double()
    bumps = (-(row - x[..., None]).square() / 18).exp()  # (m, 6, 2, 60)
    maps = torch.einsum("j,mjy,mjx->myx", torch.linspace(90, 250, 6).double(), bumps[:, :, 1], bumps[:, :, 0])
    images = maps.clamp(max=255).byte()[:, None]
    return list(images), x


def halves(x, lost=((1, 3), (0, 4))):
    """The first half of the faces without some landmarks, the second without others."""
    x, m = x.clone(), len(x) // 2
    x[:m, list(lost[0])] = torch.nan
    x[m:, list(lost[1])] = torch.nan
    return x


def boxes_of(m):
    return torch.tensor([8.0, 10.0, 44.0, 48.0]).double().expand(m, 4)


IMAGES, TRUTH = drawn(24)
LABELLED, BOXES = halves(TRUTH), boxes_of(24)


@pytest.fixture(scope="module")
def trained():
    return fit_cascade(IMAGES, LABELLED, BOXES, SMALL)


def weights(found):
    return torch.cat([w.flatten() for w in found.cascade.parameters()])


# ----------------------------------------------------------------------------------------------- frames, the mean


def test_frames_are_inverse_and_those_of_the_crops():
    x, boxes = points(5, 4), torch.rand(5, 4).double() + 0.1
    u = coupled.to_face(x, boxes)
    torch.testing.assert_close(coupled.from_face(u, boxes), x)
    for each, box, shape in zip(x, boxes, u, strict=True):
        affine = crops.frame(tuple(box.tolist()), 40, 1.25)  # the face's square has 32 px
        torch.testing.assert_close(crops.apply(affine, each), 32 * (shape - 0.5) + 39 / 2)


def test_sets_are_the_masks():
    known, which = coupled.label_sets(LABELLED)
    assert len(known) == 2
    assert torch.equal(known[which], ~LABELLED.isnan().any(-1))


@pytest.mark.parametrize("turn", [0.0, 0.4])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_the_mean_of_a_union_that_no_face_shows(order, turn):
    """Three sets in a chain, the outer two share nothing; each is larger, and turned further, than the one before."""
    shape, sets = points(8, spread=30), [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    x = torch.full((9, 8, 2), torch.nan).double()
    for k, i in enumerate(order):
        c, s = (1 + k) * torch.tensor([k * turn, k * turn - np.pi / 2]).double().cos()
        moved = Similarity(torch.stack([c, -s, s, c]).view(2, 2), points(1, seed=k)[0]).apply(shape)
        x[3 * k : 3 * k + 3, sets[i]] = moved[sets[i]]
    mean, boxes = coupled.union_mean(x)
    torch.testing.assert_close(similarity(mean, shape).apply(mean), shape)
    assert (mean.amin(0) + mean.amax(0) - 1).abs().max() < 1e-9  # in the middle of its square
    assert ((mean.amax(0) - mean.amin(0)).max() - 1).abs() < 1e-9
    if not turn:
        seen, placed = ~x.isnan(), coupled.from_face(mean.expand(9, -1, -1), boxes)
        torch.testing.assert_close(placed[seen], x[seen])


def test_where_nothing_is_shared_the_boxes_place():
    x = halves(TRUTH, ((0, 1, 2), (3, 4, 5)))
    mean, boxes = coupled.union_mean(x, BOXES)
    torch.testing.assert_close(mean, coupled.to_face(x, BOXES).nanmean(0))
    assert torch.equal(boxes, BOXES)
    refused("landmarks: needed two landmarks that link each set .* got 0; give boxes", coupled.union_mean, x)


def test_shared_landmarks_are_averaged_over_faces():
    """Three faces without landmark 39, nine others that have landmark 0 elsewhere."""
    shape, step = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)).double(), torch.tensor([0.01, 0.0])
    x = shape.repeat(12, 1, 1)
    x[:3, 39] = torch.nan
    x[3:, 0] += step
    mean, _ = coupled.union_mean(x, torch.tensor([0.0, 0.0, 1.0, 1.0]).double().expand(12, 4))
    torch.testing.assert_close(mean[0], shape[0] + 0.75 * step, atol=5e-4, rtol=0)


# -------------------------------------------------------------------------------------------------- the network F


def problem(m=7, d=5, p=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    x, target = torch.randn(m, d, generator=g).double(), torch.randn(m, p, 2, generator=g).double()
    net = nn.Sequential(nn.Linear(d, 4), nn.Sigmoid(), nn.Linear(4, 2 * p)).double()
    return net, x, target, (torch.rand(m, p, generator=g) > 0.3).double()


def test_the_objective_is_its_sums():
    net, x, target, weight = problem()
    total = 0.0
    for face, shift, seen in zip(x, target, weight, strict=True):
        a = torch.sigmoid(net[0].weight @ face + net[0].bias)
        found = (net[2].weight @ a + net[2].bias).view(3, 2)
        total += sum(((shift[j] - found[j]) ** 2).sum() for j in range(3) if seen[j])
    total += 0.1 * (net[0].weight.pow(2).sum() + net[2].weight.pow(2).sum())
    torch.testing.assert_close(coupled.drn_objective(net, x, target, weight, 0.1), total)


def test_its_gradient_is_the_one_of_finite_differences():
    net, x, target, weight = problem()

    class Objective(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self):
            return coupled.drn_objective(self.net, x, target, weight, 0.1)

    names, values = zip(*Objective().named_parameters(), strict=True)
    copies = [v.detach().clone().requires_grad_() for v in values]
    assert torch.autograd.gradcheck(
        lambda *w: functional_call(Objective(), dict(zip(names, w, strict=True)), ()), copies
    )


def test_landmarks_without_a_label_do_not_count():
    net, x, target, weight = problem()
    other = torch.where(weight[..., None] > 0, target, 1e3)
    assert torch.equal(*(coupled.drn_objective(net, x, each, weight, 0.1) for each in (target, other)))


def test_lbfgs_of_a_linear_network_is_least_squares():
    """Each landmark by its own faces, against scikit-learn; and the closed form that linear stages use."""
    _, x, target, weight = problem(m=30)
    exact = nn.Linear(5, 6).double()
    coupled.start(exact, x, target, weight, 0.5, torch.Generator())
    found = nn.Linear(5, 6).double()
    coupled.minimise(found, x, target, weight, Settings(decay=0.5, tol=1e-15, evaluations=200))
    for j in range(3):
        rows = weight[:, j] > 0
        judge = Ridge(0.5).fit(x[rows].numpy(), target[rows, j].numpy())
        for net, atol in ((exact, 1e-12), (found, 1e-5)):
            np.testing.assert_allclose(net.weight[2 * j : 2 * j + 2].detach(), judge.coef_, atol=atol)
            np.testing.assert_allclose(net.bias[2 * j : 2 * j + 2].detach(), judge.intercept_, atol=atol)


def test_minimising_never_raises_the_objective():
    for seed in range(5):
        net, x, target, weight = problem(seed=seed)
        for evaluations in (1, 3, 30):
            before = coupled.drn_objective(net, x, target, weight, 0.01)
            count = coupled.minimise(net, x, target, weight, Settings(decay=0.01, evaluations=evaluations))
            assert count >= 1
            assert coupled.drn_objective(net, x, target, weight, 0.01) <= before


def test_hidden_units_start_in_the_middle_of_the_sigmoid():
    x, target, weight = 5 + torch.randn(40, 256), torch.randn(40, 2, 2), (torch.rand(40, 2) > 0.3).float()
    net = coupled.network(2, (6, 5))
    coupled.start(net, x, target, weight, 0.1, torch.Generator())
    for layer in (net[:1], net[:3]):
        assert layer(x).mean(0).abs().max() < 1e-4
        assert abs(layer(x).square().mean() - 1) < 1e-4
    mean = torch.stack([target[weight[:, j] > 0, j].mean(0) for j in range(2)])
    torch.testing.assert_close(net(x[:1]).view(2, 2), mean)


@pytest.mark.parametrize(("m", "rank"), [(5, 4), (300, 256)])  # the mean is not in the span of 5 - 1 differences
def test_a_network_in_the_basis_of_the_faces_is_the_network(m, rank):
    phi = features(torch.randint(0, 256, (m, 12, 12)).byte(), 12 * torch.rand(m, 2, 2), 12.0).flatten(1)
    basis, net = coupled._Basis(phi), coupled.network(2, (4, 3))
    for w in net.parameters():
        nn.init.normal_(w, std=0.3)
    inner = basis.inwards(net)
    assert basis.x.shape == (m, rank)
    torch.testing.assert_close(inner(basis.x), net(phi), atol=1e-5, rtol=0)
    before = net(phi)
    basis.outwards(inner, net)
    torch.testing.assert_close(net(phi), before, atol=1e-5, rtol=0)
    coupled.start(inner, basis.x, torch.zeros(m, 2, 2), torch.ones(m, 2), 1.0, torch.Generator())
    basis.outwards(inner, net)
    torch.testing.assert_close(inner[0].weight.norm(), net[0].weight.norm())  # nothing decays that is not kept
    gram, full = basis.x @ basis.x.T, phi - phi.mean(0)
    torch.testing.assert_close(gram, full @ full.T, atol=1e-4, rtol=0)


# ------------------------------------------------------------------------------------------------------ the cascade


def test_a_cascade_of_linear_stages_is_least_squares():
    """SDM by hand: crops, features, ridge regression of scikit-learn, stage after stage."""
    how = SMALL._replace(hidden=(), decay=0.3)
    found = fit_cascade(IMAGES, TRUTH, BOXES, how)
    target = coupled.to_face(TRUTH, BOXES)
    shape = target.mean(0).expand(24, -1, -1)
    for side in how.sides:
        n = round(1.25 * side)
        at = [crops.frame(tuple(box.tolist()), n) for box in BOXES]
        pictures = torch.stack([crops.cut(*each, n)[0] for each in zip(IMAGES, at, strict=True)])
        phi = features(pictures, side * (shape - 0.5) + (n - 1) / 2, 10.0).flatten(1).numpy()
        shift = Ridge(0.3).fit(phi, (target - shape).flatten(1).numpy()).predict(phi)
        shape = shape + torch.from_numpy(shift).view_as(shape)
    by_hand = coupled.from_face(shape.double(), BOXES)
    torch.testing.assert_close(found.cascade.predict(IMAGES, BOXES), by_hand, atol=2e-3, rtol=0)
    assert found.H is None


def test_new_faces_are_found_from_the_image_and_a_box_alone():
    """The union, of which no face in training showed all: each stage comes nearer."""
    images, truth = drawn(60)
    how = SMALL._replace(hidden=(30,), patch=16.0, evaluations=15)
    cascade = fit_cascade(images, halves(truth), boxes_of(60), how).cascade
    images, truth = drawn(12, seed=1)
    found = cascade.trace(images, boxes_of(12))
    errors = (found - truth).norm(dim=-1).mean((1, 2))
    assert found.shape == (3, 12, 6, 2)
    assert errors[2] < errors[1] < 0.8 * errors[0]
    assert torch.equal(cascade.predict(images, boxes_of(12)), found[-1])


def test_a_face_is_predicted_alone_as_among_others(trained):
    together, alone = trained.cascade.predict(IMAGES, BOXES), trained.cascade.predict(IMAGES[3:4], BOXES[3:4])
    torch.testing.assert_close(together[3:4], alone, atol=1e-4, rtol=0)


def test_colours_are_made_gray(trained):
    three = [image.expand(3, -1, -1) for image in IMAGES[:2]]
    off = trained.cascade.predict(three, BOXES[:2]) - trained.cascade.predict(IMAGES[:2], BOXES[:2])
    assert off.abs().max() < 1e-6
    red = torch.cat([IMAGES[0], torch.zeros(2, 60, 60).byte()])
    gray, coloured = (coupled._cut([image], BOXES[:1], SMALL)[24].double() for image in (IMAGES[0], red))
    assert (coloured - coupled.LUMA[0] * gray).abs().max() <= 1


def test_equation_11_counts_what_is_labelled():
    how = SMALL._replace(rounds=0, sides=(24,))
    found = fit_cascade(IMAGES, LABELLED, BOXES, how)
    miss = coupled.to_face(found.cascade.predict(IMAGES, BOXES), BOXES) - coupled.to_face(LABELLED, BOXES)
    layers = [layer for layer in found.cascade.stages[0] if isinstance(layer, nn.Linear)]
    value = miss.square().nansum() + how.decay * sum(layer.weight.square().sum() for layer in layers)
    assert found.history[-1]["after_f"] == pytest.approx(value.item(), rel=1e-3)


def test_both_objectives_never_rise_within_an_alternation(trained):
    rows = trained.history
    assert [(row["stage"], row["round"]) for row in rows] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    for before, row in zip([None, *rows[:-1]], rows, strict=True):
        assert row["after_f"] <= row["after_h"]
        same = row["round"] > 0 and (row["stage"], row["round"]) != (1, 1)  # equation 11 is another objective
        assert not same or row["after_h"] <= before["after_f"] * (1 + 1e-6)


def test_photographs_without_features_teach_the_mean():
    found = fit_cascade([torch.zeros(1, 60, 60).byte()] * 24, LABELLED, BOXES, SMALL._replace(rounds=0))
    assert found.cascade.predict(IMAGES, BOXES).isfinite().all()
    black = found.cascade.predict([torch.zeros(1, 60, 60).byte()], BOXES[:1])
    assert (black - LABELLED.nanmean(0)).abs().mean() < 1


def test_linear_stages_alternate_too():
    rows = fit_cascade(IMAGES, LABELLED, BOXES, SMALL._replace(sides=(24,), hidden=(), decay=0.3)).history
    assert [row["round"] for row in rows] == [0, 1, 2]
    assert rows[0]["after_f"] == rows[0]["after_h"]  # least squares at once
    assert rows[1]["after_f"] < rows[1]["after_h"]
    assert rows[2]["after_f"] <= rows[2]["after_h"] <= rows[1]["after_f"]


def test_h_keeps_its_budget_and_what_is_labelled(trained):
    for own, h in zip(trained.known, trained.H, strict=True):
        assert torch.equal(h[own], torch.eye(6).double()[own])
        assert h[:, ~own].abs().max() == 0
        assert h[~own].abs().sum(1).max() <= 1.4 + 1e-9
    seen = ~LABELLED.isnan()
    torch.testing.assert_close(trained.completed[seen], LABELLED[seen])
    off = (trained.completed - TRUTH).norm(dim=-1)[LABELLED.isnan().any(-1)]
    assert off.mean() < 12  # of 60 px


def test_h_is_the_lasso_of_what_the_network_says():
    """One stage and one round: H against Y of the first minimisation."""
    how = SMALL._replace(sides=(24,), rounds=0)
    y = coupled.to_face(fit_cascade(IMAGES, LABELLED, BOXES, how).cascade.predict(IMAGES, BOXES), BOXES)
    found = fit_cascade(IMAGES, LABELLED, BOXES, how._replace(rounds=1))
    u = coupled.to_face(LABELLED, BOXES)
    for own, h in zip(found.known, found.H, strict=True):
        faces = (~LABELLED.isnan().any(-1) == own).all(1)
        asked = fit_h(u[faces][:, own], y[faces][:, ~own]).H
        torch.testing.assert_close(h[~own][:, own], asked, atol=1e-4, rtol=0)


def test_more_sets_one_of_them_complete():
    x = LABELLED.clone()
    x[8:16] = TRUTH[8:16]
    found = fit_cascade(IMAGES, x, BOXES, SMALL._replace(sides=(24,), rounds=1))
    assert len(found.known) == 3
    assert torch.equal(found.H[found.known.all(1)][0], torch.eye(6).double())
    assert found.completed.isfinite().all()


def test_the_alternation_ends_when_it_stands_still():
    rows = fit_cascade(IMAGES, LABELLED, BOXES, SMALL._replace(sides=(24, 24), rounds=5, still=1.0)).history
    assert [row["round"] for row in rows] == [0, 1, 2, 0, 1]  # the earliest that two rounds can be compared


def test_without_rounds_only_labels_teach():
    found = fit_cascade(IMAGES, LABELLED, BOXES, SMALL._replace(rounds=0))
    assert found.H is None
    assert torch.equal(found.completed.isnan(), LABELLED.isnan())
    assert [row["round"] for row in found.history] == [0, 0]


# ------------------------------------------------------------------------------------------------------- resumption


class Stop(Exception):
    pass


@pytest.mark.parametrize("stop", [(1, 0), (1, 2), (2, 1)])
def test_an_interrupted_training_ends_as_one_that_was_not(trained, tmp_path, stop):
    def interrupt(at):
        if (at["stage"], at["round"]) == stop and at["evaluation"] == 3:
            raise Stop

    with pytest.raises(Stop):
        fit_cascade(IMAGES, LABELLED, BOXES, SMALL, folder=tmp_path, progress=interrupt)
    again = fit_cascade(IMAGES, LABELLED, BOXES, SMALL, folder=tmp_path)
    torch.testing.assert_close(weights(again), weights(trained), rtol=0, atol=0)
    torch.testing.assert_close(again.H, trained.H, rtol=0, atol=0)
    assert len(again.history) == len(trained.history)

    class Unread:
        def __len__(self):
            return 24

    finished = fit_cascade(Unread(), LABELLED, BOXES, SMALL, folder=tmp_path)
    assert torch.equal(weights(finished), weights(again))
    known = "folder: needed one that holds this training, or none, got one of other "
    refused(known + "settings; name another", fit_cascade, IMAGES, LABELLED, BOXES, SMALL._replace(decay=0.5),
            folder=tmp_path)  # fmt: skip
    refused(known + "seed, landmarks", fit_cascade, IMAGES, LABELLED + 1, BOXES, SMALL, folder=tmp_path, seed=1)


# ------------------------------------------------------------------------------------------ fine-tuning, the reader

FEW, ASIDE = slice(0, 8), slice(8, 24)


@pytest.fixture(scope="module")
def taught():
    """A cascade of other faces, whose annotator put every landmark three pixels to the right."""
    images, truth = drawn(40, seed=1)
    return fit_cascade(images, truth + torch.tensor([3.0, 0.0]), boxes_of(40), SMALL._replace(evaluations=40)).cascade


def test_a_tuned_cascade_keeps_what_few_faces_say_nothing_about(taught):
    """Its first layer changes within the span of their features alone, and the less, the larger the decay."""
    before, after = taught.stages[0][0].weight.detach(), {}
    x = taught.features(coupled._cut(IMAGES[FEW], BOXES[FEW], SMALL)[24], taught.mean.expand(8, -1, -1), 0)
    x = (x - x.mean(0)).double()
    project = torch.linalg.pinv(x) @ x
    for decay in (1e-3, 1e6):
        found = fit_cascade(IMAGES[FEW], halves(TRUTH[FEW]), BOXES[FEW], SMALL._replace(decay=decay), init=taught)
        change = (found.cascade.stages[0][0].weight - before).detach().double()
        assert (change - change @ project).norm() < 1e-3 * before.norm()
        after[decay] = change.norm() / before.norm()
        assert torch.equal(found.cascade.mean, taught.mean)
    assert after[1e6] < 1e-4 < after[1e-3]


def test_tuning_by_few_faces_is_better_than_the_many_or_the_few_alone(taught):
    def error(cascade):
        return (cascade.predict(IMAGES[ASIDE], BOXES[ASIDE]) - TRUTH[ASIDE]).norm(dim=-1).mean()

    of_few = IMAGES[FEW], TRUTH[FEW], BOXES[FEW], SMALL._replace(evaluations=60, decay=1.0)
    tuned, alone = fit_cascade(*of_few, init=taught), fit_cascade(*of_few)
    assert error(tuned.cascade) < 0.9 * min(error(taught), error(alone.cascade))
    assert all(row["after_f"] <= row["after_h"] for row in tuned.history)


def test_the_decay_is_of_what_changes(taught):
    x, target, weight = torch.rand(5, 768), torch.rand(5, 6, 2), (torch.rand(5, 6) > 0.3).float()
    init = taught.stages[0]
    net = copy.deepcopy(init)
    with torch.no_grad():
        for w in net.parameters():
            w.mul_(1.01).add_(0.01)
    want = sum(
        weight[i, j] * (target[i, j] - net(x[i]).view(6, 2)[j]).square().sum() for i in range(5) for j in range(6)
    )
    for a, b in zip(net, init, strict=True):
        if isinstance(a, nn.Linear):
            want = want + 0.7 * (a.weight - b.weight).square().sum()
    torch.testing.assert_close(
        coupled.drn_objective(net, x, target, weight, 0.7, init), want.double(), rtol=1e-5, atol=0
    )


def test_separate_cascades_are_tuned_one_by_one():
    images, truth = drawn(24, seed=2)
    how = SMALL._replace(rounds=0)
    first = fit_separate(images, halves(truth), BOXES, how)
    both = fit_separate(IMAGES, LABELLED, BOXES, how, init=first)
    for i, own in enumerate(both.known):
        faces = [k for k in range(24) if torch.equal(~LABELLED[k].isnan().any(-1), own)]
        alone = fit_cascade([IMAGES[k] for k in faces], LABELLED[faces][:, own], BOXES[faces], how,
                            init=first.cascades[i])  # fmt: skip
        torch.testing.assert_close(weights(alone), torch.cat([w.flatten() for w in both.cascades[i].parameters()]))
    refused("init: needed cascades of these sets of labels", fit_separate, IMAGES, TRUTH, BOXES, how, init=first)


def test_a_tuning_resumes_and_a_finished_one_is_read(taught, tmp_path):
    how = SMALL._replace(rounds=1)

    def interrupt(at):
        if at["stage"] == 2 and at["evaluation"] == 2:
            raise Stop

    with pytest.raises(Stop):
        fit_cascade(IMAGES, LABELLED, BOXES, how, init=taught, folder=tmp_path, progress=interrupt)
    refused("path: needed a training of all 2 stages, got 1", coupled.load_cascade, tmp_path / "coupled.pt")
    refused("path: needed the file coupled.pt of a training", coupled.load_cascade, tmp_path / "nowhere.pt")
    again = fit_cascade(IMAGES, LABELLED, BOXES, how, init=taught, folder=tmp_path)
    whole = fit_cascade(IMAGES, LABELLED, BOXES, how, init=taught)
    torch.testing.assert_close(weights(again), weights(whole), rtol=0, atol=0)
    read = coupled.load_cascade(tmp_path / "coupled.pt")
    assert read.how == how
    assert torch.equal(read.predict(IMAGES[:2], BOXES[:2]), whole.cascade.predict(IMAGES[:2], BOXES[:2]))
    refused("folder: needed .* of other init", fit_cascade, IMAGES, LABELLED, BOXES, how, folder=tmp_path)


@pytest.mark.parametrize(("match", "how", "few"), [
    ("init: needed a cascade of these 5 landmarks, got one of 6", SMALL, 5),
    (r"how.sides: needed \(24, 32\), that of init, got \(24, 24\)", SMALL._replace(sides=(24, 24)), 6),
    ("init: needed hidden units, to fine-tune, got none", SMALL._replace(hidden=()), 6),
])  # fmt: skip
def test_only_its_like_can_be_tuned(taught, match, how, few):
    refused(match, fit_cascade, IMAGES, TRUTH[:, :few], BOXES, how, init=taught)


# ------------------------------------------------------------------------------------------------------- the rivals

LINEAR = SMALL._replace(sides=(24,), hidden=(), decay=0.3)


def test_separate_cascades_see_their_own_faces_and_are_averaged_where_both_speak():
    found = fit_separate(IMAGES, LABELLED, BOXES, LINEAR)
    total, count = torch.zeros(24, 6, 2).double(), torch.zeros(6, 1)
    for faces in (range(12), range(12, 24)):
        own = ~LABELLED[faces[0]].isnan().any(-1)
        alone = fit_cascade([IMAGES[i] for i in faces], LABELLED[list(faces)][:, own], BOXES[list(faces)], LINEAR)
        total[:, own] += alone.cascade.predict(IMAGES, BOXES)
        count[own] += 1
    torch.testing.assert_close(found.predict(IMAGES, BOXES), total / count)


def test_deep_and_sparse_in_its_steps(tmp_path):
    found = fit_deep_sparse(IMAGES, LABELLED, BOXES, LINEAR, folder=tmp_path)
    u = coupled.to_face(LABELLED, BOXES)
    y = coupled.to_face(fit_separate(IMAGES, LABELLED, BOXES, LINEAR).predict(IMAGES, BOXES), BOXES)
    whole = LABELLED.clone()
    for i, own in enumerate(found.known):
        faces = (~LABELLED.isnan().any(-1) == own).all(1)
        h = fit_h(u[faces][:, own], y[faces][:, ~own]).H
        torch.testing.assert_close(found.H[i][~own][:, own], h)
        refined = torch.full_like(u[faces], 0.0)
        refined[:, ~own] = h @ u[faces][:, own]
        refined = coupled.from_face(refined, BOXES[faces])
        whole[faces] = torch.where(own[:, None], LABELLED[faces], refined)
    torch.testing.assert_close(found.completed, whole)
    once = fit_cascade(IMAGES, whole, BOXES, LINEAR)
    torch.testing.assert_close(weights(found), weights(once))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set-1", "set-2", "union"]


def test_a_union_of_cascades_averages_only_those_that_speak():
    class Says:
        def __init__(self, value, n):
            self.value = torch.full((1, n, 2), value).double()

        def predict(self, images, boxes):
            return self.value

    both = Separate([Says(1.0, 2), Says(3.0, 2)], torch.tensor([[True, True, False], [False, True, True]]))
    assert both.predict(IMAGES[:1], BOXES[:1])[0, :, 0].tolist() == [1.0, 2.0, 3.0]


# -------------------------------------------------------------------------------------------------------- bad input


def changed(x, *at, value=torch.nan):
    x = x.clone()
    x[at] = value
    return x


NOBODY, FACE = changed(TRUTH, slice(None), 2), changed(TRUTH, 4)
LONE, FAR = changed(TRUTH, 7, 2), changed(TRUTH, 3, 2, 0, value=torch.inf)


@pytest.mark.parametrize(("match", "arguments"), [
    ("landmarks: needed two faces or more, got 1", {"landmarks": TRUTH[:1]}),
    (r"landmarks: needed a label for each landmark, got none for landmark \[2\]", {"landmarks": NOBODY}),
    (r"landmarks: needed a label for each face, got none for face \[4\]", {"landmarks": FACE}),
    ("landmarks: needed two faces or more of each set of labels, got face 7 alone", {"landmarks": LONE}),
    ("landmarks: needed finite coordinates", {"landmarks": FAR}),
    ("landmarks: needed two landmarks that link each set of labels",
     {"landmarks": halves(TRUTH, ((0, 1, 2), (3, 4, 5))), "boxes": None}),
    ("landmarks: needed two places or more of each face", {"landmarks": TRUTH[:, :1], "boxes": None}),
    ("images: needed one for each of 24 faces, got 23", {"images": IMAGES[1:]}),
    ("image: needed .* of uint8", {"images": [image.float() for image in IMAGES]}),
    (r"boxes: needed \(x, y, w, h\) of each face", {"boxes": BOXES[1:]}),
    ("boxes: needed finite numbers, got nan", {"boxes": changed(BOXES, 2, 1)}),
    ("boxes: needed w and h above 0, got others for face", {"boxes": changed(BOXES, 2, 2, value=-3.0)}),
    ("how.patch: needed at most 30 px, the smallest crop, got 31", {"how": SMALL._replace(patch=31.0)}),
    ("how.sides: needed one stage or more", {"how": SMALL._replace(sides=())}),
    ("how.hidden: needed an integer >= 1", {"how": SMALL._replace(hidden=(3, 0))}),
    ("how.decay: needed a number > 0", {"how": SMALL._replace(decay=0.0)}),
    ("how.rounds: needed an integer >= 0", {"how": SMALL._replace(rounds=-1)}),
    ("how.tau: needed a budget >= 0", {"how": SMALL._replace(tau=-1.0)}),
    ("seed: needed an integer >= 0", {"seed": -1}),
])  # fmt: skip
def test_what_does_not_fit_is_refused(match, arguments):
    given = {"images": IMAGES, "landmarks": LABELLED, "boxes": BOXES, "how": SMALL} | arguments
    refused(match, fit_cascade, **given)


def test_what_cannot_be_predicted_is_refused(trained):
    refused("boxes: needed finite", Cascade.trace, trained.cascade, IMAGES[:1], changed(BOXES[:1], 0, 2))
    refused("boxes: needed .* of each face", Cascade.trace, trained.cascade, IMAGES[:2], BOXES[:1])
    refused("affine: needed a square near the photograph", Cascade.trace, trained.cascade, IMAGES[:1], BOXES[:1] + 1e6)
    refused("mean: needed finite", Cascade, BASE.log() - BASE.sub(14).log(), SMALL)
