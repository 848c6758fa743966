"""Completing what crops lack while a network is trained: against loops, whole labels, and an uninterrupted run."""

import numpy as np
import pytest
import torch
from torch import nn

from lddmmlib import training
from lddmmlib.data.augment import Crops, Recipe
from lddmmlib.data.crops import Crop
from lddmmlib.faces import schemes
from lddmmlib.faces.statistics import real_300w, sample, similarity
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


def test_rows_are_lassos_on_predicted_shapes():
    """By a loop over faces: deviations from the mean of the predictions, in its frame."""
    x = points(24, 6) + 30
    found = x + 0.1 * points(24, 6, seed=1)
    labels = halves(x)
    whole = complete(labels, found)
    for faces, lost in ((range(12), [1, 3]), (range(12, 24), [0, 4])):
        kept = [j for j in range(6) if j not in lost]
        mean = found[0]
        for _ in range(3):
            u = torch.stack([similarity(z[kept], mean[kept]).apply(z) for z in found])
            mean = u.mean(0)
        h = fit_h((u - mean)[:, kept], (u - mean)[:, lost], 1.4).H
        for i in faces:
            base = similarity(mean[kept], x[i, kept]).apply(mean)
            torch.testing.assert_close(whole[i, lost], base[lost] + h @ (x[i, kept] - base[kept]), rtol=0, atol=1e-9)
    labelled = ~labels.isnan()
    assert torch.equal(whole[labelled], labels[labelled])


def test_the_completion_goes_with_the_labels_and_not_with_predictions_that_are_drawn_to_the_mean():
    x = 45 + 40 * sample(real_300w(), 60, torch.Generator().manual_seed(0))
    labels, found = halves(x, (range(0, 68, 2), range(1, 68, 2))), x.mean(0) + 0.2 * (x - x.mean(0))
    whole, lost = complete(labels, found), labels.isnan()
    assert (whole - x)[lost].square().mean() < 0.1 * (found - x)[lost].square().mean()


def test_faces_count_alike_whatever_their_size_and_place():
    x = points(16, 6) + 9
    scale, shift = 1 + 9 * torch.rand(16, 1, 1).double(), 99 * torch.rand(16, 1, 2).double()
    scale[0], shift[0] = 1.0, 0.0  # the frame of the first is the unit
    found = x + 0.3 * points(16, 6, seed=2)
    a, b = complete(halves(x), found), complete(halves(scale * x + shift), scale * found + shift)
    torch.testing.assert_close(scale * a + shift, b, rtol=0, atol=1e-6)


def test_without_a_budget_the_mean_is_moved():
    x = points(20, 6) + 9
    whole = complete(halves(x), x, 0.0)
    kept, mean = [0, 2, 4, 5], x[0]
    for _ in range(3):
        mean = similarity(x[:, kept], mean[kept].expand(20, -1, -1)).apply(x).mean(0)
    torch.testing.assert_close(whole[3, [1, 3]], similarity(mean[kept], x[3, kept]).apply(mean)[[1, 3]])


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
