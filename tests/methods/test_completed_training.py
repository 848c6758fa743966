"""Completing what crops lack while a network is trained: against loops, whole labels, and an uninterrupted run."""

import numpy as np
import pytest
import torch
from torch import nn

from lddmmlib import training
from lddmmlib.data.augment import Crops, Recipe
from lddmmlib.data.crops import Crop
from lddmmlib.faces import schemes
from lddmmlib.methods.completed_training import Completed, alternate, complete
from lddmmlib.methods.sparse_shape_regression import fit_h
from tests.helpers import points, refused

SCHEME = schemes.get("aflw-19")


def halves(x, lost=((1, 3), (0, 4))):
    x, m = x.clone(), len(x) // 2
    x[:m, list(lost[0])] = torch.nan
    x[m:, list(lost[1])] = torch.nan
    return x


# ---------------------------------------------------------------------------------------------------------- complete


def test_rows_are_lassos_on_the_predictions_of_each_set():
    x = points(24, 6) + 30
    found = x + 0.1 * points(24, 6, seed=1)
    labels = halves(x)
    whole = complete(labels, found)
    for faces, lost in ((slice(0, 12), [1, 3]), (slice(12, 24), [0, 4])):
        kept = [j for j in range(6) if j not in lost]
        low, high = found[faces].amin(1), found[faces].amax(1)
        side = (high - low).amax(1)[:, None, None]
        truth, pred = ((z[faces] - low[:, None]) / side for z in (x, found))
        h = fit_h(truth[:, kept], pred[:, lost], 1.4).H
        torch.testing.assert_close(whole[faces][:, lost], (h @ truth[:, kept]) * side + low[:, None], rtol=0, atol=1e-9)
    labelled = ~labels.isnan()
    assert torch.equal(whole[labelled], labels[labelled])


def test_faces_count_alike_whatever_their_size_and_place():
    x = points(16, 6) + 9
    scale, shift = 1 + 9 * torch.rand(16, 1, 1).double(), 99 * torch.rand(16, 1, 2).double()
    found = x + 0.3 * points(16, 6, seed=2)
    a, b = complete(halves(x), found), complete(halves(scale * x + shift), scale * found + shift)
    torch.testing.assert_close(scale * a + shift, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_the_budget_is_kept(tau):
    """With none, missing landmarks are the corner of the face; with 1, combinations that are no longer than labels."""
    x = points(20, 6) + 9
    whole = complete(halves(x), x, tau)
    low = x.amin(1, keepdim=True)
    if not tau:
        torch.testing.assert_close(whole[:10, [1, 3]], low[:10].expand(-1, 2, -1))
    assert ((whole - low).abs().amax(1) <= tau * (x - low).amax(1) + (x - low).amax(1) + 1e-9).all()


def test_what_does_not_fit_is_refused():
    x = points(6, 4)
    none, never = x.clone(), x.clone()
    none[2], never[:, 1] = torch.nan, torch.nan
    refused("labels: needed one or more for each face, got none for face", complete, none, x)
    refused("labels: needed one or more for each landmark", complete, never, x)
    refused("found: needed finite", complete, x, never)
    refused("found: needed predictions like", complete, x, x[:5])
    refused("labels: needed", complete, x[0], x[0])
    refused("tau", complete, halves(x, ((1,), (2,))), x, -1.0)
    refused("shapes: needed one of each", Completed, [1, 2], x)
    refused("rounds", alternate, None, None, None, folder="x", rounds=-1)


# --------------------------------------------------------------------------------------------------------- the crops


class Faces:
    """Photographs with 19 landmarks, of which some are missing."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        g = torch.Generator().manual_seed(i)
        seen, box = ~self.x[i].isnan().any(-1), (10.0, 12.0, 60.0, 50.0)
        return Face(torch.randint(0, 256, (3, 80, 90), generator=g).byte(), self.x[i], seen, box)


class Face(tuple):
    def __new__(cls, *parts):
        return tuple.__new__(cls, parts)

    box = (10.0, 12.0, 60.0, 50.0)


def test_filled_crops_are_those_of_whole_labels_in_every_augmentation():
    x = 40 + 8 * points(4, 19)
    how = Recipe(flipped=0.5)
    lacking, whole = (Crops(Faces(z), SCHEME.name, 32, how) for z in (halves(x), x))
    filled, flipped = Completed(lacking, x, SCHEME.flip), 0
    for i in range(4):
        for seed in range(6):
            a, b = (data.draw(i, np.random.default_rng(seed)) for data in (filled, whole))
            flipped += a.affine[:, :2].det().item() < 0
            torch.testing.assert_close(a.landmarks, b.landmarks)
            assert torch.equal(a.image, b.image)
            assert torch.equal(a.inside, b.inside)
            assert not (a.visible & ~b.visible).any()
        torch.testing.assert_close(filled[i].landmarks, whole[i].landmarks)
    assert 4 < flipped < 20
    refused("flip: needed the landmarks of flipped", lambda: [Completed(lacking, x).draw(0, np.random.default_rng(s))
                                                              for s in range(9)])  # fmt: skip
    assert not hasattr(Completed([1, 2, 3, 4], x), "draw")


# ------------------------------------------------------------------------------------------------------- alternation


class Reader(nn.Module):
    """Landmarks as a linear function of the image's rows and columns."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3 * 8 * 8, 12)

    def forward(self, images):
        return self.linear(images.flatten(1).float() / 255).view(-1, 6, 2) * 8


def crops_of(x):
    still, g = torch.eye(2, 3).double(), torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (len(x), 3, 8, 8), generator=g).byte()
    return [Crop(image=image, landmarks=p, visible=~p[:, 0].isnan(), inside=~p[:, 0].isnan(), affine=still)
            for image, p in zip(pictures, x.float(), strict=True)]  # fmt: skip


def loss(model, batch):
    labelled = ~batch.landmarks.isnan()
    return (model(batch.image) - batch.landmarks.nan_to_num(nan=0.0)).square()[labelled].mean()


def run(folder, data, seen, stop=99):
    torch.manual_seed(0)
    model = Reader()

    def fit(some, where):
        seen.append(sum(int(~some[i].landmarks.isnan().any()) for i in range(len(some))))
        if len(seen) == stop:
            raise KeyboardInterrupt
        return training.fit(model, loss, some, folder=where, epochs=2, batch=4, lr=0.01, progress=False)

    done = alternate(fit, lambda crop: model(crop.image), data, folder=folder, rounds=2)
    return torch.cat([w.flatten() for w in model.parameters()]).detach(), done


def test_after_the_start_all_landmarks_are_learned_and_an_interrupted_run_resumes(tmp_path):
    data, seen = crops_of(halves(4 + points(16, 6, spread=1.0))), []
    weights, done = run(tmp_path / "a", data, seen)
    assert seen == [0, 16, 16]
    assert len(done.runs) == 3
    assert done.shapes.isfinite().all()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", data, [], stop=3)
    again, same = run(tmp_path / "b", data, [])
    assert torch.equal(weights, again)
    assert torch.equal(done.shapes, same.shapes)


def test_without_rounds_it_is_the_training_on_labels(tmp_path):
    done = alternate(
        lambda data, folder: (data, folder.name), lambda crop: crop.image, "data", folder=tmp_path, rounds=0
    )
    assert done == (None, [("data", "round-0")])
