import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from lddmmlib.faces import schemes, statistics

real = pytest.mark.skipif("LDDMMLIB_REAL_DATA" not in os.environ, reason="LDDMMLIB_REAL_DATA is not set")
CORNERS = (1, 4)


def points(*shape, seed=0):
    return torch.randn(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def faces(k, seed=0):
    """k noisy copies of one shape, each in a frame of its own."""
    generator = torch.Generator().manual_seed(seed)
    copies = points(9, seed=seed) + 0.2 * torch.randn(k, 9, 2, dtype=torch.float64, generator=generator)
    b, c = torch.randn(2, k, 1, dtype=torch.complex128, generator=generator)
    return torch.view_as_real(torch.view_as_complex(copies) * b + c)


# similarity


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(0.01, 100), st.floats(-50, 50), st.floats(-50, 50))
def test_similarity_recovers_the_one_that_was_applied(angle, scale, right, down):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear, shift = torch.tensor([[cos, -sin], [sin, cos]]), torch.tensor([right, down], dtype=torch.float64)
    x = points(5)
    found = statistics.similarity(x, x @ linear.T + shift)
    torch.testing.assert_close(found.linear, linear, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.shift, shift, rtol=1e-9, atol=1e-7)


def test_similarity_is_numpys_least_squares():
    x, y = points(7, seed=1), points(7, seed=2)
    found = statistics.similarity(x, y)
    rows = [[[a, -b, 1, 0], [b, a, 0, 1]] for a, b in x.tolist()]
    (re, im, right, down), *_ = np.linalg.lstsq(np.array(rows).reshape(-1, 4), y.flatten().numpy())
    np.testing.assert_allclose(found.linear, [[re, -im], [im, re]], atol=1e-12)
    np.testing.assert_allclose(found.shift, [right, down], atol=1e-12)


def test_similarity_never_reflects():
    x = points(6)
    assert torch.linalg.det(statistics.similarity(x, x * torch.tensor([-1.0, 1.0])).linear) >= 0


def test_similarity_broadcasts_over_batches():
    one, many = points(5), points(3, 4, 5, seed=1)
    for source, target in ((one, many), (many, one), (many, many.flip(0))):
        found = statistics.similarity(source, target)
        moved = found.apply(source)
        assert moved.shape == (3, 4, 5, 2)
        for i, j in ((0, 0), (2, 3)):
            a, b = (x if x.ndim == 2 else x[i, j] for x in (source, target))
            torch.testing.assert_close(moved[i, j], statistics.similarity(a, b).apply(a))


def test_similarity_has_the_right_gradients():
    def moved(x, y):
        return statistics.similarity(x, y).apply(x)

    assert torch.autograd.gradcheck(moved, (points(4).requires_grad_(), points(4, seed=1).requires_grad_()))


def test_similarity_refuses_a_point_and_what_is_missing():
    with pytest.raises(ValueError, match="source: needed points that differ"):
        statistics.similarity(torch.ones(2, 3, 2), points(2, 3).float())
    with pytest.raises(ValueError, match="target: needed finite coordinates, got nan"):
        statistics.similarity(points(2), torch.full((2, 2), torch.nan, dtype=torch.float64))


# procrustes


def test_the_mean_is_kents_eigenvector():
    shapes = faces(12)
    found = statistics.procrustes(shapes, CORNERS)
    z = torch.view_as_complex(shapes).numpy()
    z = z - z.mean(1, keepdims=True)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    vector = np.linalg.eigh(np.einsum("ki,kj->ij", z, z.conj()))[1][:, -1]
    a, b = vector[list(CORNERS)]
    want = (vector - (a + b) / 2) / (b - a)
    np.testing.assert_allclose(torch.view_as_complex(found.mean).numpy(), want, atol=1e-9)
    assert found.converged
    assert found.residual <= 1e-10


def test_the_mean_is_the_average_of_the_aligned_and_lies_on_its_corners():
    found = statistics.procrustes(faces(12), CORNERS)
    torch.testing.assert_close(found.aligned.mean(0), found.mean, rtol=0, atol=1e-12)
    want = torch.tensor([[-0.5, 0.0], [0.5, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(found.mean[list(CORNERS)], want, rtol=0, atol=1e-12)


def test_aligned_shapes_are_the_shapes_moved():
    shapes = faces(5)
    aligned = statistics.procrustes(shapes, CORNERS).aligned
    torch.testing.assert_close(statistics.similarity(shapes, aligned).apply(shapes), aligned)


def test_copies_of_one_shape_agree_entirely():
    x = points(6)
    moved = torch.stack([x, 3 * x + 7, x.flip(-1) * torch.tensor([1.0, -1.0])])
    found = statistics.procrustes(moved, (0, 1))
    torch.testing.assert_close(found.aligned, statistics.to_corners(x, (0, 1)).expand(3, -1, -1))


def test_stopping_early_is_said():
    found = statistics.procrustes(faces(12), CORNERS, max_iter=1)
    assert (found.n_iter, found.converged) == (1, False)
    assert found.residual > 1e-10
    with pytest.raises(ValueError, match="tol: needed a number > 0"):
        statistics.procrustes(faces(3), CORNERS, tol=0.0)


# modes, covariance, samples


def test_covariance_and_modes_are_scikit_learns():
    x = points(40, 3, seed=3)
    covariance = statistics.covariance(x, x.mean(0))
    found, pca = statistics.modes(covariance, 4), PCA(4).fit(x.flatten(1).numpy())
    np.testing.assert_allclose(found.deviations.square(), pca.explained_variance_ * 39 / 40, rtol=1e-9)
    np.testing.assert_allclose(np.abs((found.vectors.flatten(1).numpy() * pca.components_).sum(1)), 1, rtol=1e-9)
    for vector in found.vectors.flatten(1):
        large = vector[vector.abs() >= 0.9 * vector.abs().max()]
        assert large[0] > 0


def test_rounding_does_not_choose_the_sign_of_a_mode():
    cov = statistics.real_300w().covariance  # its modes are their own mirror images: the largest entry stands twice
    noise = torch.randn(20, *cov.shape, generator=torch.Generator().manual_seed(0), dtype=cov.dtype)
    wanted = statistics.modes(cov, 10).vectors
    for each in noise:
        torch.testing.assert_close(
            statistics.modes(cov + 1e-16 * (each + each.T), 10).vectors, wanted, rtol=0, atol=1e-6
        )


def test_samples_have_the_models_mean_and_covariance():
    model = statistics.real_300w()
    x = statistics.sample(model, 20_000, torch.Generator().manual_seed(0))
    deviation = model.covariance.diagonal().sqrt().reshape(68, 2)
    assert ((x.mean(0) - model.mean) / deviation).abs().max() < 5 / 20_000**0.5
    difference = statistics.covariance(x, x.mean(0)) - model.covariance
    assert (difference / torch.outer(deviation.flatten(), deviation.flatten())).abs().max() < 0.05


def test_samples_depend_on_the_generator_alone():
    model = statistics.real_300w()
    a, b, c = (statistics.sample(model, 3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


# the statistics of real faces


def mirror(scheme, x):
    return x[..., list(scheme.flip), :] * torch.tensor([-1.0, 1.0])


def test_real_faces_are_symmetric_and_lie_on_the_eye_corners():
    model, scheme = statistics.real_300w(), schemes.get("300w-68")
    torch.testing.assert_close(mirror(scheme, model.mean), model.mean, rtol=0, atol=1e-12)
    want = torch.tensor([[-0.5, 0.0], [0.5, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(model.mean[list(scheme.corners)], want, rtol=0, atol=1e-12)
    vectors, deviations = statistics.modes(model.covariance, 10)
    mirrored = mirror(scheme, vectors).flatten(1)
    same = (mirrored * vectors.flatten(1)).sum(1)  # a mirrored mode is itself or its opposite
    torch.testing.assert_close(same.abs(), torch.ones(10, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(model.covariance, model.covariance.T, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(model.covariance).min() > -1e-12 * deviations[0] ** 2


def test_the_file_is_small_and_holds_statistics_alone():
    assert statistics.REAL_300W.stat().st_size < 200_000
    with np.load(statistics.REAL_300W) as file:
        shapes = {name: file[name].shape for name in file}
    assert shapes == {"mean": (68, 2), "covariance": (136, 136), "count": (), "source": (), "levels": (7,),
                      "percentiles": (10, 7)}  # fmt: skip


def test_a_symmetric_model_knows_no_side():
    shapes, flip = faces(30), (0, 4, 3, 2, 1, 8, 7, 6, 5)
    model = statistics.symmetric_model(shapes, flip, (1, 4), "made up", leading=3)
    sign = torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(model.mean[list(flip)] * sign, model.mean, rtol=0, atol=1e-9)
    mirrored = model.covariance.reshape(9, 2, 9, 2)[list(flip)][:, :, list(flip)]
    mirrored = mirrored * sign[:, None, None] * sign
    torch.testing.assert_close(mirrored.reshape(18, 18), model.covariance, rtol=0, atol=1e-9)
    assert (model.count, model.source) == (30, "made up")


@pytest.mark.parametrize(("draw", "outermost"), [(torch.randn, 2.326), (torch.rand, 0.98 * 3**0.5)])
def test_percentiles_tell_a_gaussian_from_a_uniform_law(draw, outermost):
    flip = torch.tensor([0, 2, 1, 4, 3])
    base, direction = ((x + x[flip] * torch.tensor([-1.0, 1.0])) / 2 for x in points(2, 5))
    amount = draw(20_000, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shapes = base + 0.02 * amount * direction
    model = statistics.symmetric_model(shapes, flip.tolist(), (1, 2), "", leading=1)
    want = torch.tensor([[-outermost, 0, outermost]], dtype=torch.float64)
    assert model.levels[[0, 3, 6]].tolist() == [1, 50, 99]
    torch.testing.assert_close(model.percentiles[:, [0, 3, 6]], want, rtol=0, atol=0.06)
    assert model.count == 20_000


@real
@pytest.mark.real
def test_the_file_is_what_the_real_shapes_give():
    data = np.load(Path(os.environ["LDDMMLIB_REAL_DATA"]) / "shapes_300w_train.npz")["pts"]
    scheme, model = schemes.get("300w-68"), statistics.real_300w()
    made = statistics.symmetric_model(torch.tensor(data, dtype=torch.float64), scheme.flip, scheme.corners, "")
    torch.testing.assert_close(model.mean, made.mean, rtol=0, atol=1e-9)
    torch.testing.assert_close(model.covariance, made.covariance, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(model.percentiles, made.percentiles, rtol=0, atol=1e-3)
    assert model.count == len(data)
