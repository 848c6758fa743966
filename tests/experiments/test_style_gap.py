"""The gap of styles: ratios of means over the same faces, on made-up errors."""

import pytest
import torch

from lddmmlib.experiments import style_gap, yardstick
from lddmmlib.faces import painters


def made_up(count=400, seed=0):
    g = torch.Generator().manual_seed(seed)
    return 4 + torch.rand(count, generator=g, dtype=torch.float64)


def test_a_style_of_twice_the_error_is_two_away():
    photo = made_up()
    figures = style_gap.gaps({"photo": photo, "line": 2 * photo})
    assert figures["nme_percent"]["photo"]["value"] == pytest.approx(photo.mean().item())
    assert set(figures["ratio"]) == {"line"}
    assert figures["ratio"]["line"]["value"] == pytest.approx(2)
    assert figures["ratio"]["line"]["interval"] == pytest.approx([2, 2])  # in pairs: of one face both or none


def test_the_interval_holds_the_ratio_and_shrinks_with_faces():
    few, many = (
        style_gap.gaps({"photo": made_up(n), "line": 1.6 * made_up(n, 1)})["ratio"]["line"] for n in (40, 4000)
    )
    for gap in (few, many):
        assert gap["interval"][0] < gap["value"] < gap["interval"][1]
    low, high = many["interval"]
    assert low - 0.02 < 1.6 < high + 0.02
    assert few["interval"][1] - few["interval"][0] > 5 * (high - low)


def test_errors_are_of_the_style_asked_for_and_of_unseen_people(monkeypatch):
    """A landmarker that is wrong by a tenth of the corner distance, to the right."""
    asked = []
    monkeypatch.setattr(style_gap.synthetic, "sample", lambda i, split, style: asked.append((i, split, style)) or face)
    face = style_gap.synthetic.Face(
        torch.zeros(3, 64, 64, dtype=torch.uint8), 10 + 40 * torch.rand(68, 2).double(), torch.ones(68) > 0, {}, {}
    )

    def predict(network, samples):
        truth = torch.stack([torch.from_numpy(s.points) for s in samples])
        across = (truth[:, 45] - truth[:, 36]).norm(dim=-1)
        return truth + 0.1 * across[:, None, None] * truth.new_tensor([1.0, 0.0]), truth

    monkeypatch.setattr(yardstick, "predict", predict)
    torch.testing.assert_close(
        style_gap.errors(torch.nn.Identity(), "line", 3), torch.full((3,), 10.0, dtype=torch.float64), atol=1e-9, rtol=0
    )
    assert asked == [(i, "wild-val", "line") for i in range(3)]


def test_the_recorded_styles_are_domains():
    """Each raises the error at least one and a half times, or it is no domain."""
    from lddmmlib.notebook import result

    recorded = result("style_gap")["ratio"]
    assert recorded.keys() == painters.STYLES.keys() - {"photo"}
    assert all(gap["value"] >= 1.5 for gap in recorded.values())
