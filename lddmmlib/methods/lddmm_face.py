"""LDDMM-Face (paper A): a network predicts momenta, a deformation layer makes the mean face flow, a loss of curves.

The face is N curves. The network Φ reads from the image X one momentum α_i for each landmark; in the flow of curve p

    dx_i/dt = Σ_j k_V(x_j, x_i) α_j,   x(0) = the mean face,   k_V(a, b) = exp(-|a - b|² / σ_V²),        eq. 6, 7

with j in curve p, the mean face becomes this face, x(1). Training minimises over Φ

    L = 1/d Σ_p (β D_c^p + D_l^p),                                                                         eq. 8

D_c the distance of two curves as currents, of width σ_W = σ_V / 2, and D_l the mean distance of their landmarks.

A flow moves any point. So a network trained on some landmarks gives all (momenta of zero elsewhere), and one trained on
one scheme gives every other: its mean face is brought onto this one and rides along, also as densely as one likes.

    layer = Deformation(mean, "300w-68")
    model = LDDMMFace(HRNetV2(head=MomentaHead(68, (18, 36, 72, 144))), layer)
    training.fit(model, train_loss, data, ...)
    model.predict(images)                                              # (b, 68, 2)
    model.predict(images, layer.riders("helen-194", mean_of_194))      # (b, 194, 2), without training

The rival without a layer is ``Deformation(mean, scheme, preset="coordinates")``: the same network's numbers are added
to the mean face.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lddmmlib import _checks, currents, flows, matching, metrics
from lddmmlib._shapes import Float
from lddmmlib.curves import Curves
from lddmmlib.data.crops import Crop
from lddmmlib.faces import curve_sets, schemes
from lddmmlib.faces.schemes import Scheme
from lddmmlib.flows import Flow
from lddmmlib.networks.dan import DAN, similarity


class Preset(NamedTuple):
    """A way in which momenta move points.

    >>> PRESETS["released"].steps, PRESETS["shoot"].steps
    (2, None)
    """

    move: Callable[..., Flow] | None  #: the flow; None: no flow, what the network says is added
    method: str = "rk2"  #: of integration
    steps: int | None = None  #: None: as many as certify the flow


PRESETS = {
    "released": Preset(flows.flow, "euler", 2),  # the code of paper A: momenta constant in time, two explicit steps
    "certified": Preset(flows.flow),  # the same flow in as many steps as keep it one-to-one
    "shoot": Preset(flows.shoot),  # the geodesic, which initial momenta encode completely: the text of paper A
    "coordinates": Preset(None),  # no flow: mean + what the network says
}


class Deformation(nn.Module):
    """The deformation layer: momenta (b, k, 2) -> landmarks (b, n, 2), all curves of all faces at once.

    Args:
        mean: (n, 2), the mean face, in the frame and the unit of the landmarks to predict: px of the crop.
        scheme: its scheme, one that `curve_sets` has curves of.
        subset: the k landmarks that have momenta, the others ride along; None: all that lie in a curve (of 98, not the
            pupils). See `curve_sets.RELEASED_SUBSETS` and `curve_sets.fraction`.
        preset: "released" (constant momenta, two Euler steps), "certified" (constant momenta, midpoint steps by
            certificate), "shoot" (geodesic, likewise), or "coordinates" (no flow; NaN where no landmark is predicted).
            A certificate costs several shootings, so that training asks for a fixed number of steps.
        coupled: one flow of the whole face, in which nothing crosses; False, as in the paper: one a curve.
        sigma: σ_V, px: one number, or one a curve where these are not coupled. None: the rule of the paper,
            `curve_sets.widths`; of a coupled face the mean of these.
        steps: a number of steps in place of the preset's.

    Buffers: mean, sigma, widths (σ_V of each curve by the rule) and controls, the landmarks that have momenta.
    curves: those of the subset, the landmarks of each in order; a curve of one landmark has no curve term.

    Raises:
        ValueError: for a scheme without curves, a mean face of another scheme, a subset with landmarks that lie in no
            curve or with none in some curve (named), unless the face is coupled: nothing would move that curve.

    Paper A, sections 3.1.2 and 3.3, equation 7.

    >>> from lddmmlib.faces import statistics
    >>> layer = Deformation(64 * statistics.real_300w().mean.float(), "300w-68")
    >>> still = layer(torch.zeros(1, 68, 2))
    >>> torch.allclose(still[0], layer.mean, atol=1e-4), layer.sigma[:3].round().tolist()
    (True, [68.0, 61.0, 21.0])
    """

    def __init__(
        self, mean: Float[Tensor, "n 2"], scheme: str | Scheme, subset: Sequence[int] | None = None,
        preset: str = "released", coupled: bool = False, sigma: float | Sequence[float] | None = None,
        steps: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        _checks.one_of(preset, "preset", PRESETS)
        if steps is not None:
            _checks.whole(steps, "steps")
        own = curve_sets.widths(mean, scheme)
        self.curves = _curves(scheme, subset, coupled)
        self.scheme, self.preset, self.coupled, self.steps = scheme, preset, coupled, steps
        if sigma is None:
            sigma = own.mean() if coupled else own
        for name, x in (("mean", mean), ("widths", own), ("sigma", torch.as_tensor(sigma, dtype=mean.dtype))):
            self.register_buffer(name, x.detach().clone())
        self.register_buffer("controls", torch.tensor(sorted(i for curve in self.curves for i in curve)))
        self._face = Curves(self.mean, curve_sets.riders(scheme, scheme), coupled=coupled)  # pupils ride with eyes
        flows.hamiltonian(self._face, torch.zeros_like(self.mean), self.sigma)  # refuses a sigma that does not fit

    def forward(self, momenta: Float[Tensor, "b k 2"]) -> Float[Tensor, "b n 2"]:
        """x(1), px; NaN where "coordinates" predicts nothing."""
        end = self.move(self.mean.expand(len(momenta), -1, -1), momenta)
        if self.preset != "coordinates" or len(self.controls) == len(self.mean):
            return end
        return torch.full_like(end, torch.nan).index_copy(1, self.controls, end.index_select(1, self.controls))

    def move(self, x0: Float[Tensor, "b n 2"], momenta: Float[Tensor, "b k 2"]) -> Float[Tensor, "b n 2"]:
        """Deform faces other than the mean, as the later stages of DAN do.

        Args:
            x0: (b, n, 2), px.
            momenta: (b, k, 2), px.

        Returns:
            x(1), (b, n, 2).
        """
        return x0 + self.everywhere(momenta) if self.preset == "coordinates" else self.flow(momenta, x0=x0).end

    @_checks.full_precision
    def flow(
        self, momenta: Float[Tensor, "b k 2"], points: Curves | None = None, x0: Float[Tensor, "b n 2"] | None = None
    ) -> Flow:
        """Integrate equation 7, and keep the path of every landmark.

        Args:
            momenta: (b, k, 2), px.
            points: further points that ride along, (b, m, 2); where curves flow alone, grouped as `riders` does.
            x0: faces to start from, (b, n, 2); None: the mean face.

        Returns:
            A `Flow`, whose `end` is x(1) and whose `points` are the riders' end.
        """
        move, method, steps = PRESETS[self.preset]
        _checks.need(move, "preset", "one that flows", repr(self.preset), f"such as {next(iter(PRESETS))!r}")
        alpha = self.everywhere(momenta)
        face = self._at(self.mean.expand_as(alpha) if x0 is None else x0)
        steps = self.steps or steps or flows.min_steps(face, alpha, self.sigma, method, move is flows.shoot)
        return move(face, alpha, self.sigma, steps, method, points=points)

    def everywhere(self, momenta: Float[Tensor, "b k 2"]) -> Float[Tensor, "b n 2"]:
        """The momenta α at all n landmarks: those predicted, and zero elsewhere."""
        _checks.points(momenta, "momenta")
        k, n = len(self.controls), len(self.mean)
        wanted, mend = f"(b, {k}, 2), one for each landmark that is predicted", "is the head of this scheme and subset?"
        _checks.need(momenta.ndim == 3 and momenta.shape[1] == k, "momenta", wanted, tuple(momenta.shape), mend)
        _checks.same(**{"self.mean": self.mean, "momenta": momenta})
        return momenta if k == n else momenta.new_zeros(len(momenta), n, 2).index_copy(1, self.controls, momenta)

    def carry(self, momenta: Float[Tensor, "b k 2"], riders: Curves) -> Float[Tensor, "b m 2"]:
        """Carry other points of the mean face along.

        Args:
            momenta: (b, k, 2), px.
            riders: (m, 2), as `riders` makes them.

        Returns:
            Their ends, (b, m, 2). Paper A, section 3.3.
        """
        _riders(riders)
        return self.flow(momenta, riders.with_points(riders.points.expand(len(momenta), -1, -1))).points

    def riders(
        self,
        to: str | Scheme | Sequence[tuple[str, float]],
        mean: Float[Tensor, "m 2"] | None = None,
        register: str = "affine",
    ) -> Curves:
        """Points of the mean face to `carry`, each with the curve that it rides with.

        Args:
            to: the scheme of the landmarks that are asked for; or places, each the name of a curve and a share of its
                length from 0 to 1, as many as one likes: ``[("left jaw", k / 99) for k in range(100)]``.
            mean: of a scheme, its mean face, in any frame: it is registered to this one. None: the places of its
                landmarks on this mean face, if all can be told (`schemes.convert`).
            register: "affine", as in the paper, or "match": a diffeomorphism on top of that, by `matching.match`.

        Returns:
            Curves of the points (m, 2), px, one for each curve of this scheme, some of them empty.

        Raises:
            ValueError: for an unknown curve, places outside [0, 1], a mean face of another scheme, and none where the
                places cannot be told.

        Paper A, section 4.4; its maps of curves are `curve_sets.riders`.

        >>> from lddmmlib.faces import statistics
        >>> layer = Deformation(64 * statistics.real_300w().mean.float(), "300w-68")
        >>> dense = layer.riders([(name, k / 99) for name in curve_sets.get("300w-68") for k in range(100)])
        >>> layer.carry(torch.zeros(1, 68, 2), dense).shape
        torch.Size([1, 1200, 2])
        """
        if not isinstance(to, str | Scheme):
            return Curves(*_along(self.mean, curve_sets.get(self.scheme), to), coupled=self.coupled)
        groups = curve_sets.riders(self.scheme, to)
        if mean is not None:
            curve_sets.mean_shape(mean, to)
            placed = registered(mean.to(self.mean), to, self.mean, self.scheme, register)
            return Curves(placed, groups, coupled=self.coupled)
        placed = schemes.convert(self.mean, self.scheme, to)
        if placed.isnan().any():
            lost = schemes.get(to).names[int(placed.isnan().any(-1).nonzero()[0])]
            raise ValueError(f"mean: needed the mean face of {to}, got None; {self.scheme} does not tell its {lost}")
        return Curves(placed, groups, coupled=self.coupled)

    def _at(self, x0: Tensor) -> Curves:
        if self._face.points.device != x0.device:
            self._face = self._face.with_points(self.mean)
        self._face.mask()  # the tables of its curves are made once on each device
        return self._face.with_points(x0)


def deform_by_loops(
    mean: Float[Tensor, "n 2"], momenta: Float[Tensor, "n 2"], curves: Iterable[Sequence[int]], sigma: Iterable[float],
    steps: int = 2,
) -> Float[Tensor, "n 2"]:  # fmt: skip
    """Deform one face as the released layer of paper A does: the version to read of `Deformation`.

    Args:
        mean: x(0), (n, 2).
        momenta: α, (n, 2), constant in time; zero at landmarks that only ride along.
        curves: the landmarks of each curve.
        sigma: σ_V of each.
        steps: explicit Euler steps.

    Returns:
        x(1), (n, 2).

    Paper A, equation 7.

    >>> mean = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
    >>> deform_by_loops(mean, torch.tensor([[1.0, 2.0], [0.0, 0.0]]), [[0], [1]], [3.0, 3.0])
    tensor([[1., 2.],
            [9., 0.]])
    """
    x = mean.clone()
    for curve, s in zip(curves, sigma, strict=True):
        for _ in range(steps):
            at = x.clone()
            for i in curve:
                for j in curve:
                    x[i] += torch.exp(-((at[j] - at[i]) ** 2).sum() / s**2) * momenta[j] / steps
    return x


@_checks.full_precision
def loss(
    prediction: Float[Tensor, "b n 2"], target: Float[Tensor, "b n 2"], curves: Sequence[Sequence[int]],
    sigma_w: Float[Tensor, " curves"], beta: float = 0.1, normaliser: str | float | Tensor = "corners",
    scheme: str | Scheme | None = None, by_points: bool = False,
) -> Float[Tensor, " b"]:  # fmt: skip
    """L = 1/d Σ_p (β D_c^p + D_l^p), the loss of paper A, of each face.

    Unlabelled landmarks, NaN in the target, are left out: D_l^p is the mean over the others of curve p, and curves are
    joined over the gap, both alike. A curve of one landmark has D_c = 0.

    Args:
        prediction: (b, n, 2), px; read in the curves alone.
        target: (b, n, 2), px; NaN where unlabelled.
        curves: the landmarks of each curve in order, such as `Deformation.curves`; those in none do not count.
        sigma_w: σ_W, px, one a curve: half of σ_V.
        beta: β, in 1/px: D_c is a length squared. The paper has 0.1, for faces of its frame.
        normaliser: d: "corners", the distance of the outer eye corners, as in the released code; "pupils", as in the
            text; any other of `metrics`, or lengths (b,). It is read off the target as a whole.
        scheme: of all n landmarks, for the normaliser; None: the only one of n.
        by_points: divide D_c^p by n_p, the number of labelled landmarks of the curve, as the released code does; the
            equation does not.

    Returns:
        (b,); NaN of a face whose normaliser is unlabelled.

    Raises:
        ValueError: for shapes that differ, a width too few, a prediction that is not finite, a normaliser not above 0.

    Paper A, equation 8; where nothing is missing it is `matching.loss`.

    >>> target = torch.tensor([[[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]]])
    >>> moved = target + torch.tensor([0.0, 2.0])
    >>> loss(moved, target, [[0, 1], [2]], torch.tensor([1e3, 1e3]), normaliser=4.0)  # so wide a kernel sees no shift
    tensor([1.0000])
    """
    _checks.number(beta, "beta", 0)
    _checks.points(target, "target", nan=True)
    for name, x in (("prediction", prediction), ("sigma_w", sigma_w)):
        _checks.floats(x, name)
    _checks.same(target=target, prediction=prediction)
    if prediction.shape != target.shape or target.ndim != 3:
        got = f"{tuple(prediction.shape)} and {tuple(target.shape)}"
        raise ValueError(f"prediction, target: needed one shape (b, n, 2), got {got}")
    _checks.kind(by_points, "by_points", bool)
    if not isinstance(normaliser, str) and getattr(normaliser, "ndim", 0) == 0:
        _checks.positive(normaliser, "normaliser")
    d = metrics.reference_distance(target, normaliser, scheme)
    order, slices = _in_a_row(curves, target)
    z, y = (x.index_select(-2, order) for x in (prediction, target))
    _checks.points(z, "prediction")
    z = Curves(z, slices, coupled=False)
    _checks.same(target=target, sigma_w=sigma_w)
    _checks.need(
        sigma_w.shape == (len(curves),), "sigma_w", f"one width a curve, ({len(curves)},)", tuple(sigma_w.shape)
    )
    for s in (numbers := sigma_w.tolist()):
        _checks.positive(s, "sigma_w")
    gone = y.isnan().any(-1)
    joined = (z.joined_over_gaps(x, gone) for x in (z.points, y)) if gone.any() else (z, z.with_points(y))
    D_c = currents.distance2(*joined, numbers)  # (b, curves), px²
    D_l = currents.landmark_discrepancy(z, y)  # (b, curves), px
    if by_points:
        D_c = D_c / (z.pad(~gone[..., None]) & z.mask()).sum((-2, -1)).clamp(min=1)
    return ((beta * D_c + D_l).sum(-1) / d.nan_to_num(nan=1.0)).masked_fill(d.isnan(), torch.nan)


class LDDMMFace(nn.Module):
    """Images (b, 3, h, w) in [0, 1] -> landmarks (b, n, 2), px: a network of momenta and the deformation layer.

    Args:
        network: images -> momenta (b, k, 2): `HRNetV2` with a `MomentaHead`, `HourglassMomenta`, or any other.
        layer: the `Deformation`.
        frozen: train the network's `head` alone. The trunk keeps its weights and the statistics of its batch norms, in
            training mode too; the paper starts it from HRNet's weights for heatmaps.

    Raises:
        ValueError: frozen, and the network has no `head`.

    Paper A, figure 2.

    >>> from lddmmlib.faces import statistics
    >>> from lddmmlib.networks import HRNetV2
    >>> from lddmmlib.networks.momenta import MomentaHead
    >>> trunk = {"width": 4, "modules": (1, 1, 1), "blocks": 1}
    >>> net = HRNetV2(head=MomentaHead(68, (4, 8, 16, 32), first=16, hidden=32), **trunk)
    >>> model = LDDMMFace(net, Deformation(32 * statistics.real_300w().mean.float() + 32, "300w-68"))
    >>> model(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 68, 2])
    """

    def __init__(self, network: nn.Module, layer: Deformation, frozen: bool = False) -> None:
        super().__init__()
        self.network, self.layer, self.frozen = network, layer, frozen
        if frozen:
            head = getattr(network, "head", None)
            _checks.need(isinstance(head, nn.Module), "network", "one with a `head` to train", type(network).__name__)
            network.requires_grad_(False)
            head.requires_grad_(True)
            self.train(self.training)

    def train(self, mode: bool = True) -> LDDMMFace:
        """Training mode, but for a frozen trunk."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
            self.network.head.train(mode)
        return self

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n 2"]:
        return self.layer(self.network(images))

    def trace(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The landmarks after each stage, of which there is one."""
        return [self(images)]

    def predict(self, images: Float[Tensor, "b 3 h w"], to: str | Curves | None = None) -> Float[Tensor, "b m 2"]:
        """Predict landmarks of any scheme, without training for it.

        Args:
            images: (b, 3, h, w) in [0, 1], as the network takes them.
            to: None for the layer's own scheme; `Deformation.riders` for any other, or for any points; the name of a
                scheme whose places this one tells.

        Returns:
            (b, m, 2), px.
        """
        if to is None:
            return self(images)
        return self.layer.carry(self.network(images), self.layer.riders(to) if isinstance(to, str) else to)


class DANFace(DAN):
    """LDDMM-Face on DAN: what each stage estimates is momenta, and the landmarks flow on from where they are.

    Args:
        layer: the `Deformation`, for images of ``size``.
        size: side of an image, px, a multiple of 16.
        stages: how many.
        width: channels of the first convolutions.

    A stage has the upright face before it, in the frame of the mean face, so its widths are the layer's. Used as
    `LDDMMFace` is. Paper A, section 4.1.

    >>> from lddmmlib.faces import statistics
    >>> layer = Deformation(16 * statistics.real_300w().mean.float() + 16, "300w-68")
    >>> DANFace(layer, size=32, width=4).predict(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 68, 2])
    """

    def __init__(self, layer: Deformation, size: int = 112, stages: int = 2, width: int = 64) -> None:
        super().__init__(layer.mean, size, stages, width)
        self.layer = layer
        self._flows: list[Flow] | None = None

    def move(self, points: Tensor, estimate: Tensor) -> Tensor:
        """Let the landmarks flow on.

        Args:
            points: the upright face before the stage, (b, n, 2) px.
            estimate: of the stage, (b, n, 2): momenta, of which those of the subset count.

        Returns:
            (b, n, 2).
        """
        momenta = estimate.index_select(1, self.layer.controls)
        if self._flows is None:
            return self.layer.move(points, momenta)
        self._flows.append(self.layer.flow(momenta, x0=points))
        return self._flows[-1].end

    def predict(self, images: Float[Tensor, "b 3 h w"], to: str | Curves | None = None) -> Float[Tensor, "b m 2"]:
        """Predict landmarks of any scheme, which ride through all stages and their frames.

        Args:
            images: (b, 3, size, size) in [0, 1].
            to: as in `LDDMMFace.predict`.

        Returns:
            (b, m, 2), px.
        """
        if to is None:
            return self(images)
        riders = self.layer.riders(to) if isinstance(to, str) else to
        _riders(riders)
        self._flows = []
        try:
            found, moved = self.trace(images), self._flows
        finally:
            self._flows = None
        z = riders.points.expand(len(images), -1, -1)
        for k, flow in enumerate(moved):
            if k == 0:
                z = flows.apply(flow, riders.with_points(z))
            else:
                T = similarity(found[k - 1], self.mean_shape)
                z = T.undo(flows.apply(flow, riders.with_points(T.apply(z))))
        return z


def train_loss(
    model: LDDMMFace | DANFace, batch: Crop, beta: float = 0.1, normaliser: str = "corners", by_points: bool = False
) -> Float[Tensor, ""]:
    """Mean of `loss` over a batch, of the landmarks that are predicted, summed over stages: for `training.fit`.

    Args:
        model: the model; its layer says which landmarks are predicted, and the width of each curve.
        batch: crops with landmarks of the layer's scheme. Faces whose normaliser is unlabelled are left out.
        beta: β, in 1/px.
        normaliser: "corners" or "pupils", or any other of `metrics`.
        by_points: as in `loss`.

    Returns:
        A number; 0 if every face is left out.

    Paper A, equation 8.

    >>> from lddmmlib.data.augment import Crops
    >>> from lddmmlib.faces import statistics, synthetic
    >>> from torch.utils.data import default_collate
    >>> batch = default_collate([Crops(synthetic.Faces(1, "studio", size=64), "300w-68", 32)[0]])
    >>> layer = Deformation(16 * statistics.real_300w().mean.float() + 16, "300w-68")
    >>> train_loss(DANFace(layer, size=32, stages=1, width=4).eval(), batch).shape
    torch.Size([])
    """
    layer, value = model.layer, 0.0
    for found in model.trace(batch.image.float() / 255):
        target, sigma_w = batch.landmarks.to(found), layer.widths / 2
        each = loss(found, target, layer.curves, sigma_w, beta, normaliser, layer.scheme, by_points)
        value = value + each.nan_to_num(nan=0.0).sum() / (~each.isnan()).sum().clamp(min=1)
    return value


def predict(model: nn.Module, batch: Crop, to: str | Curves | None = None) -> Float[Tensor, "b m 2"]:
    """Landmarks in the pixels of the crops, as `training.evaluate` asks for them.

    Args:
        model: an `LDDMMFace` or a `DANFace`.
        batch: crops.
        to: as in `LDDMMFace.predict`.

    Returns:
        (b, m, 2), px.

    >>> from lddmmlib.faces import statistics
    >>> model = DANFace(Deformation(16 * statistics.real_300w().mean.float() + 16, "300w-68"), size=32, width=4)
    >>> batch = Crop(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), *[None] * 4)
    >>> predict(model.eval(), batch).shape
    torch.Size([2, 68, 2])
    """
    return model.predict(batch.image.float() / 255, to)


@_checks.full_precision
def registered(
    mean: Float[Tensor, "m 2"], scheme: str, onto: Float[Tensor, "n 2"], onto_scheme: str, register: str = "affine"
) -> Float[Tensor, "m 2"]:
    """Bring the mean face of one scheme onto that of another: the affine map that fits the places of both best.

    They are compared at the landmarks of the scheme that has fewer, where the other tells them (`schemes.convert`).

    Args:
        mean: (m, 2), in any frame.
        scheme: its scheme.
        onto: (n, 2).
        onto_scheme: the scheme of that.
        register: "affine", as in the paper; "match": then by the geodesic flow that carries these places onto those,
            with all landmarks as passengers.

    Returns:
        (m, 2) in the frame of ``onto``.

    Raises:
        ValueError: for fewer than three common places, or all on a line.

    Paper A, section 4.4.

    >>> from lddmmlib.faces import statistics
    >>> mean = statistics.real_300w().mean
    >>> turned = mean @ torch.tensor([[2.0, 1.0], [0.0, 1.0]]).double() + 3
    >>> torch.allclose(registered(turned, "300w-68", mean, "300w-68"), mean)
    True
    """
    _checks.one_of(register, "register", ("affine", "match"))
    curve_sets.mean_shape(mean, scheme)
    curve_sets.mean_shape(onto, onto_scheme, "onto")
    _checks.same(mean=mean, onto=onto)
    fewer = len(mean) <= len(onto)
    p = mean if fewer else schemes.convert(mean, scheme, onto_scheme)
    q = schemes.convert(onto, onto_scheme, scheme) if fewer else onto
    both = ~(p + q).isnan().any(-1)
    p, q, centre = p[both].double(), q[both].double(), mean.double().mean(0)
    ones = torch.ones_like(p[:, :1])
    X = torch.cat([p - centre, ones], -1)  # q = [p - centre, 1] A
    if len(p) < 3 or torch.linalg.matrix_rank(X) < 3:
        got = f"{len(p)} places of {scheme} and {onto_scheme}"
        raise ValueError(f"mean: needed three places that both tell, not on a line, got {got}; choose other schemes")
    A = torch.linalg.lstsq(X, q).solution
    placed = torch.cat([mean.double() - centre, ones.new_ones(len(mean), 1)], -1) @ A
    if register == "match":
        unit = (q.amax(0) - q.amin(0)).max() / FACE  # `matching` weighs lengths for a face of some hundreds of px
        placed = (
            unit * matching.match(X @ A / unit, q / unit, FACE / 5, gamma=1e-3, tol=1e-2, points=placed / unit).points
        )
    return placed.to(mean)


# --- parts ---------------------------------------------------------------------------

FACE = 200.0  # px


def _curves(scheme: str | Scheme, subset: Sequence[int] | None, coupled: bool) -> tuple[tuple[int, ...], ...]:
    """The landmarks of the subset in each curve; refuse a subset that leaves one empty."""
    whole = curve_sets.get(scheme)
    every = {i for curve in whole.values() for i in curve}
    chosen = every if subset is None else set(subset)
    if not chosen <= every or (subset is not None and len(chosen) < len(subset)):
        wrong = sorted(chosen - every) or "some of them twice"
        raise ValueError(f"subset: needed landmarks that lie in a curve of {scheme}, each once, got {wrong}")
    left = {name: tuple(i for i in curve if i in chosen) for name, curve in whole.items()}
    empty = [name for name, curve in left.items() if not curve]
    if empty and (not coupled or len(empty) == len(left)):
        mend = "leave it one, or couple the curves: coupled=True"
        raise ValueError(f"subset: needed a landmark of each curve, got none of {', '.join(empty)}; {mend}")
    return tuple(left.values())


def _in_a_row(curves: Sequence[Sequence[int]], like: Tensor) -> tuple[Tensor, list[slice]]:
    """The landmarks of all curves one after the other, and where each curve is in that row."""
    listed, n = isinstance(curves, Sequence) and all(isinstance(c, Sequence) for c in curves), like.shape[-2]
    row = [i for curve in curves for i in curve] if listed else []
    right = row and all(isinstance(i, int) and 0 <= i < n for i in row)
    _checks.need(right, "curves", f"the landmarks of each curve, from 0 to {n - 1}", _checks.said(curves))
    slices = [slice(*ends) for ends in pairwise([0, *accumulate(map(len, curves))])]
    return torch.tensor(row, device=like.device), slices


def _riders(riders: object) -> None:
    right, mend = isinstance(riders, Curves) and riders.points.ndim == 2, "make them by `Deformation.riders`"
    _checks.need(right, "riders", "Curves of points (m, 2)", _checks.said(riders), mend)


def _along(
    mean: Tensor, curves: dict[str, tuple[int, ...]], places: Sequence[tuple[str, float]]
) -> tuple[Tensor, list[tuple[int, ...]]]:
    """Points at shares of the length of curves of the mean face; and which are on each."""
    points, groups = [], {name: [] for name in curves}
    for k, (name, share) in enumerate(places):
        _checks.one_of(name, "to", curves)
        _checks.number(share, "to", 0, 1)
        groups[name].append(k)
        line = mean[list(curves[name])]
        steps = line.diff(dim=0).norm(dim=-1)
        along = share * steps.sum() - torch.cat([steps.new_zeros(1), steps.cumsum(0)])  # left after each point
        i = int((along >= 0).sum()) - 1
        points.append(line[i] if i == len(steps) else line[i].lerp(line[i + 1], along[i] / steps[i]))
    _checks.need(points, "to", "one place or more", "none")
    return torch.stack(points), list(map(tuple, groups.values()))
