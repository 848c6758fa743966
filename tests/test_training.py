"""The training loop: right, the same however it is interrupted, and plain about what goes wrong."""

import csv
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lddmmlib import metrics, training
from tests.tiny_training import Dots, Odd, Sample, interrupted, loss, network, odd, train

PROGRAM = Path(__file__).parent / "tiny_training.py"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROGRAM.parents[1])}
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine of few cores
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")


@pytest.fixture(autouse=True)
def one_thread():
    """So that sums are made in one order, here and in the subprocesses."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing disturbed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    weights, run = train(folder)
    return weights, run, folder


def same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def losses(run):
    return [row["loss"] for row in run.rows]


# ------------------------------------------------------------------------------------------------------ it trains


def test_as_written_out_by_hand(tmp_path):
    """The same weights as the plainest loop: AdamW, the schedule, batches in the order of the permutation."""
    model, data = network(dropout=0.0), Dots()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for step in range(24):
        epoch, k = divmod(step, 6)
        order = np.random.default_rng([3, epoch, 0]).permutation(26)[4 * k : 4 * k + 4]
        drawn = [data.draw(i, np.random.default_rng([3, epoch, i, 1])) for i in order]
        images, points = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        optimiser.param_groups[0]["lr"] = 0.01 * training.one_cycle(step / 24)
        value = (model(images) - points[:, 0]).square().mean()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    weights, run = train(tmp_path, network(dropout=0.0), seed=3)
    for name, expected in model.state_dict().items():
        torch.testing.assert_close(weights[name], expected)
    assert run.rows[-1]["rate"] == pytest.approx(0.01 * training.one_cycle(23 / 24))


def test_schedules_are_their_formulas():
    """One cycle: a line from 1/25 to 1, then half a cosine to 0. Drops: from the stated part on, not before."""
    times = np.linspace(0, 1, 401)
    cycle = np.where(times < 0.2, (1 + 24 * times / 0.2) / 25, np.cos(np.pi / 2 * (times - 0.2) / 0.8) ** 2)
    assert [training.one_cycle(t, warm=0.2) for t in times] == pytest.approx(cycle.tolist(), abs=1e-12)
    share = training.drops(0.25, 0.5, factor=0.5)
    before = np.nextafter(0.5, 0)
    assert [share(t) for t in (0.0, 0.25, before, 0.5, 1.0)] == [1.0, 0.5, 0.5, 0.25, 0.25]


def test_it_learns_and_the_history_says_so(tmp_path):
    """The NME by a length of 1 falls to less than half of that of the mean place."""

    def predict(model, x):
        return model(x.image)[:, None]

    def nme(model):
        assert not model.training
        two = [Sample(s.image, torch.cat([s.landmarks, s.landmarks + 1])) for s in map(Dots().__getitem__, range(26))]
        both = training.evaluate(model, lambda m, x: predict(m, x) + torch.tensor([[0.0], [1.0]]), two, batch=8,
                                 normaliser="diagonal")  # fmt: skip
        return {"nme": both.mean()}

    places = torch.stack([Dots()[i].landmarks[0] for i in range(26)])
    by_mean = ((places - places.mean(0)).norm(dim=-1) / 2**0.5).mean()
    model = network(0.0)
    _, run = train(tmp_path, model, epochs=30, validate=nme)
    assert run.rows[-1]["nme"] < by_mean / 2
    assert run.rows[-1]["loss"] < 0.2 * run.rows[0]["loss"]
    assert model.training
    with run.path.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in table] == run.rows
    assert [(row["epoch"], row["step"]) for row in run.rows] == [(i, 6 * i) for i in range(1, 31)]


def test_each_epoch_is_another_order_without_repeats():
    share = partial(training._shard, 26, 4, 0, 1, 0)
    epochs = [[key for step in range(6 * e, 6 * e + 6) for key in share(step)] for e in range(3)]
    for e, keys in enumerate(epochs):
        assert {epoch for epoch, _ in keys} == {e}
        assert len({i for _, i in keys}) == 24
    assert len({tuple(i for _, i in keys) for keys in epochs}) == 3
    halves = [training._shard(26, 4, 0, 2, rank, 7) for rank in (0, 1)]
    assert sorted(halves[0] + halves[1]) == sorted(share(7))


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(tmp_path, whole, workers):
    same(train(tmp_path, workers=workers)[0], whole[0])


def test_another_seed_is_another_run(tmp_path, whole):
    weights, _ = train(tmp_path, seed=1)
    assert not torch.equal(weights["0.weight"], whole[0]["0.weight"])


def test_chance_of_the_caller_goes_on(tmp_path):
    torch.manual_seed(11)
    expected = torch.rand(3)
    model = network()
    torch.manual_seed(11)
    train(tmp_path, model)
    assert torch.equal(torch.rand(3), expected)


def test_clip_bounds_the_gradient(tmp_path):
    """One step of plain descent is lr · clip long."""
    model = network(0.0)
    before = [p.detach().clone() for p in model.parameters()]
    train(tmp_path, model, data=Dots(4), epochs=1, lr=0.5, clip=0.01, optimiser=torch.optim.SGD,
          schedule=lambda t: 1.0)  # fmt: skip
    moved = torch.cat([(p - q).flatten() for p, q in zip(model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.005, rel=1e-3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns(tmp_path, precision):
    seen = []

    def watched(model, x):
        out = model(x.image)
        seen.append(out.dtype)
        return (out.float() - x.landmarks[:, 0]).square().mean()

    weights, run = train(tmp_path, network(0.0), loss=watched, epochs=12, precision=precision)
    assert set(seen) == {training.PRECISIONS[precision]}
    assert {v.dtype for v in weights.values()} == {torch.float32}
    assert losses(run)[-1] < 0.5 * losses(run)[0]


def test_float16_leaves_out_a_step_that_overflows(tmp_path):
    """The scale starts at 65536: too much for a steep loss at first, halved until it fits."""
    steps = []

    def steep(model, x):
        steps.append(model[0].weight.detach().clone())
        return loss(model, x) * 30

    weights, _ = train(tmp_path, network(0.0), loss=steep, precision="float16")
    steps.append(weights["0.weight"])
    stood = [torch.equal(a, b) for a, b in pairwise(steps)]
    assert stood[0]
    assert not all(stood)
    assert training.load_checkpoint(tmp_path)["scaler"]["scale"] == 65536 / 2 ** sum(stood)


def test_images_are_channels_last(tmp_path):
    def watched(model, x):
        assert x.image.is_contiguous(memory_format=torch.channels_last)
        assert model[3].weight.is_contiguous(memory_format=torch.channels_last)
        return loss(model, x)

    train(tmp_path, loss=watched, epochs=1)


def test_batches_of_any_make():
    x = {"a": torch.zeros(2, 3, 4, 5), "b": [torch.ones(2), "name"], "c": Sample(torch.ones(1), torch.zeros(1))}
    out = training._moved(x, torch.device("cpu"))
    assert out["a"].stride() == (60, 1, 15, 3)
    assert out["b"][1] == "name"
    assert isinstance(out["c"], Sample)


def test_waiting_is_told(tmp_path, monkeypatch):
    """By a clock that only samples (4 a step) and steps move on; the last row's time is its own epoch's."""
    now = [0.0]
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def slow(model, x):
        time.sleep(0.5)
        return loss(model, x)

    _, run = train(tmp_path, data=Dots(seconds=0.25), loss=slow, validate=lambda model: time.sleep(100) or {})
    for row in run.rows:
        assert row["seconds"] == pytest.approx(6 * (4 * 0.25 + 0.5))
        assert row["waiting"] == pytest.approx(1 / 1.5)
        assert row["samples_per_second"] == pytest.approx(4 / 1.5)


def test_the_bar_shows_loss_nme_and_waiting(tmp_path, capsys):
    train(tmp_path / "a", validate=lambda model: {"nme": 0.0417}, progress=True)
    shown = capsys.readouterr().err
    assert "24/24" in shown
    assert re.search(r"loss=.*waiting=.*nme=0\.0417", shown)
    train(tmp_path / "b")
    assert not any(capsys.readouterr())


def test_evaluate_is_the_nme_in_order_and_leaves_the_mode():
    """Of every sample by its own; without gradients; in evaluation mode, of a model that was not."""
    truth = torch.rand(11, 5, 2, generator=torch.Generator().manual_seed(0)) * 9
    data = [Sample(torch.full((1, 2, 2), float(i)), t) for i, t in enumerate(truth)]
    model = nn.Linear(1, 1).train()

    def predict(model, x):
        assert not model.training
        assert not torch.is_grad_enabled()
        return x.landmarks + x.image[:, 0, :1, :1]

    found = training.evaluate(model, predict, data, batch=4, normaliser="box")
    offset = torch.arange(11.0)[:, None, None]
    torch.testing.assert_close(found, metrics.nme(truth + offset, truth, "box").double(), rtol=1e-6, atol=0)
    assert model.training


def test_evaluate_needs_no_parameters_and_takes_a_length_per_image():
    """A model of buffers or of nothing at all; lengths go with their images through all batches."""
    truth = torch.rand(7, 5, 2, generator=torch.Generator().manual_seed(0))
    data = [Sample(torch.zeros(1), t) for t in truth]
    lengths = torch.arange(1.0, 8.0)
    for model in (nn.Identity(), nn.BatchNorm1d(1, affine=False)):
        for given in (lengths, lengths.numpy()):
            found = training.evaluate(model, lambda m, x: x.landmarks + 3, data, batch=3, normaliser=given)
            torch.testing.assert_close(found, (3 * 2**0.5 / lengths).double())
    with pytest.raises(ValueError, match=r"normaliser: needed one length per sample, \(7,\), got \(6,\)"):
        training.evaluate(nn.Identity(), lambda m, x: x.landmarks, data, normaliser=lengths[:6])


# --------------------------------------------------------------------------------- statistics of batch normalisation


def normed(momentum=0.01, dropout=0.0):
    """A network whose statistics matter: the dots' brightness is far from the start's 0 and 1."""
    torch.manual_seed(5)
    layers = [nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8, momentum=momentum), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1)]
    layers += [nn.BatchNorm2d(8, momentum=momentum), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(72, 2)]
    return nn.Sequential(*layers)


@torch.no_grad()
def error_of(model):
    """Mean square of the distance on the undrawn dots, in evaluation mode."""
    batch = torch.stack([Dots()[i].image for i in range(26)]), torch.stack([Dots()[i].landmarks for i in range(26)])
    return loss(model.eval(), Sample(*batch)).item()


def with_exact_statistics(weights):
    """The oracle: torch's own `update_bn`, over many batches of the drawn data."""
    model, data = normed(), Dots()
    model.load_state_dict(weights)
    drawn = [data.draw(i, np.random.default_rng([7, k, i])).image for k in range(20) for i in range(26)]
    torch.optim.swa_utils.update_bn(torch.stack(drawn).split(26), model)
    return model


@pytest.mark.parametrize("momentum", [0.01, 0.1, None])
def test_a_short_training_ends_with_statistics_of_its_weights(tmp_path, momentum):
    """Whatever the momentum: as good as with exact statistics; validation sees that too."""
    model = normed(momentum)
    weights, run = train(tmp_path, model, validate=lambda model: {"error": error_of(model)})
    exact, found = error_of(with_exact_statistics(weights)), error_of(model)
    assert found == pytest.approx(exact, rel=0.1)
    assert run.rows[-1]["error"] == pytest.approx(found, rel=1e-6)
    stale = normed()  # what the published momentum leaves: a part of the way from the start
    stale.load_state_dict(weights)
    left = 0.99**24
    for m, e in zip(stale, with_exact_statistics(weights), strict=True):
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.copy_((1 - left) * e.running_mean)
            m.running_var.copy_((1 - left) * e.running_var + left)
    assert error_of(stale) > 1.5 * found


def test_estimating_changes_no_step_and_no_momentum(tmp_path):
    """Weights with validation in every epoch and without are the same; the network's modes and momenta stay."""
    plain, watched = normed(dropout=0.3), normed(dropout=0.3)
    weights, run = train(tmp_path / "a", plain)
    _, seen = train(tmp_path / "b", watched, validate=lambda model: {"mode": float(model[7].training)})
    same(weights, watched.state_dict())
    assert losses(run) == losses(seen)
    assert {row["mode"] for row in seen.rows} == {0.0}
    assert all(m.training for m in watched.modules())
    assert watched[1].momentum == 0.01


def test_statistics_are_the_plain_average_over_the_epoch_s_first_batches(tmp_path, monkeypatch):
    """Against torch's `update_bn` on those batches; dropout is off, and what is not called keeps its statistics."""
    monkeypatch.setattr(training, "ESTIMATED_FROM", 9)  # three batches of four
    model, data = nn.ModuleDict({"used": normed(dropout=0.5), "idle": nn.BatchNorm1d(3)}), Dots()
    model["idle"].running_mean.fill_(7.0)
    model["used"].insert(0, nn.Dropout(0.5))
    train(tmp_path, model, loss=lambda model, batch: loss(model["used"], batch), epochs=2)
    keys = [key for step in (6, 7, 8) for key in training._shard(26, 4, 0, 1, 0, step)]
    drawn = torch.stack([data.draw(i, np.random.default_rng([0, e, i, 1])).image for e, i in keys])
    expected = normed()
    expected.load_state_dict(dict(zip(expected.state_dict(), model["used"].state_dict().values(), strict=True)))
    torch.optim.swa_utils.update_bn(drawn.split(4), expected)
    for name, value in zip(expected.state_dict(), model["used"].state_dict().values(), strict=True):
        torch.testing.assert_close(value, expected.state_dict()[name], atol=1e-5, rtol=1e-5)
    assert model["idle"].running_mean.tolist() == [7.0] * 3


@pytest.mark.parametrize("how", ["evaluation mode", "no gradients"])
def test_a_frozen_trunk_stays_frozen(tmp_path, how):
    """Statistics, and the mode that the caller chose; through `validate` and `evaluate` too."""
    model = normed()
    model[1].running_mean.fill_(0.5)
    if how == "evaluation mode":
        model[1].eval()
    else:
        model[1].requires_grad_(False)
    model[7].eval()
    before, modes = {k: v.clone() for k, v in model[1].state_dict().items()}, [m.training for m in model.modules()]

    def faces(model):
        assert not any(m.training for m in model.modules())
        two = [Sample(torch.zeros(1, 12, 12), torch.tensor([[0.0, 0.0], [1.0, 1.0]]))]
        training.evaluate(model, lambda m, x: x.landmarks, two, normaliser="diagonal")
        return {}

    train(tmp_path, model, validate=faces)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(model[1].state_dict()[name], before[name])
    assert not torch.equal(model[4].running_mean, torch.zeros(8))
    assert [m.training for m in model.modules()] == modes


def test_a_model_in_evaluation_mode_as_a_whole_is_trained(tmp_path):
    """So that one that was just evaluated learns as before."""
    expected, _ = train(tmp_path / "a", normed())
    same(train(tmp_path / "b", normed().eval())[0], expected)


@pytest.mark.parametrize("step", [5, 6, 23, 24])
def test_with_statistics_it_resumes_to_the_last_bit(tmp_path, step):
    """In an epoch and at its end; a finished run returns the same statistics."""
    how = {"validate": lambda model: {"error": error_of(model)}}
    expected, run = train(tmp_path / "whole", normed(dropout=0.2), **how)
    calls = step + 6 * ((step - 1) // 6)  # as many more of the network by the estimates; validation is one
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "part", interrupted(calls + (step - 1) // 6, normed(dropout=0.2)), **how)
    assert training.load_checkpoint(tmp_path / "part")["step"] == step
    for _ in range(2):
        weights, again = train(tmp_path / "part", normed(dropout=0.2), workers=1, **how)
        same(weights, expected)
        assert [row["error"] for row in again.rows] == [row["error"] for row in run.rows]


# ----------------------------------------------------------------------------------------- it stops and goes on


@pytest.mark.parametrize("step", [1, 9, 12, 24])
def test_after_ctrl_c_it_goes_on_to_the_last_bit(tmp_path, whole, step):
    """In the middle of an epoch and at its end: weights, optimiser, history as if nothing had been."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=rf"after step {step} of 24, saved in .*: call again"):
        train(tmp_path, interrupted(step))
    assert signal.getsignal(signal.SIGINT) is before
    assert training.load_checkpoint(tmp_path)["step"] == step
    torch.manual_seed(99)
    weights, run = train(tmp_path, nn.Sequential(*network()), workers=2)
    same(weights, whole[0])
    assert losses(run) == losses(whole[1])
    ours, theirs = (training.load_checkpoint(folder)["optimiser"] for folder in (tmp_path, whole[2]))
    for i, state in theirs["state"].items():
        same(ours["state"][i], state)


def test_sigterm_is_heard_as_well(tmp_path):
    with pytest.raises(KeyboardInterrupt, match="after step 1 of 24"):
        train(tmp_path, loss=lambda model, x: signal.raise_signal(signal.SIGTERM) or loss(model, x))


def test_a_second_ctrl_c_breaks_off(tmp_path):
    reached = []

    def stuck(model, x):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # the same stroke, passed on
        reached.append("here")
        time.sleep(1.05)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on")

    with pytest.raises(KeyboardInterrupt, match="at once; not saved"):
        train(tmp_path, loss=stuck)
    assert reached == ["here"]
    assert training.load_checkpoint(tmp_path) is None


def test_in_a_thread_there_are_no_signals(tmp_path, whole):
    done = []
    thread = threading.Thread(target=lambda: done.append(train(tmp_path)))
    thread.start()
    thread.join()
    same(done[0][0], whole[0])


def test_a_finished_run_returns_at_once(whole):
    def never(*_):
        raise AssertionError("trained again")

    model = nn.Sequential(*network())
    model.register_forward_pre_hook(never)
    weights, run = train(whole[2], model)
    same(weights, whole[0])
    assert run.rows == whole[1].rows


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_is_heard_by_the_trainer_alone(tmp_path, number):
    """As torchrun and Ctrl-C send it: loaders go on until the step is saved, and end with their parent."""
    command = [sys.executable, PROGRAM, tmp_path / "run", "2"]
    how = {"env": ENVIRONMENT, "stderr": subprocess.PIPE, "start_new_session": True, "text": True}
    with subprocess.Popen(list(map(str, command)), **how) as child:
        end = time.monotonic() + 120
        while not (tmp_path / "run" / "checkpoint-previous.pt").exists() and time.monotonic() < end:
            time.sleep(0.01)
        os.killpg(child.pid, number)
        told = child.communicate(timeout=120)[1]
    step = training.load_checkpoint(tmp_path / "run")["step"]
    assert f"KeyboardInterrupt: stopped after step {step} of 24" in told
    assert "killed by signal" not in told
    while time.monotonic() < end:  # loaders watch their parent every few seconds
        try:
            os.killpg(child.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("loaders outlive the training")


@posix
def test_killed_in_the_middle_of_an_epoch(tmp_path, whole):
    """kill -9, as soon as a checkpoint is inside an epoch; taken up again here."""
    command = [sys.executable, PROGRAM, tmp_path / "run"]
    with subprocess.Popen(list(map(str, command)), env=ENVIRONMENT, stderr=subprocess.PIPE) as child:
        reached, end = 0, time.monotonic() + 60
        while reached < 8 and time.monotonic() < end and child.poll() is None:
            time.sleep(0.01)
            if (tmp_path / "run" / "checkpoint-previous.pt").exists():
                reached = torch.load(tmp_path / "run" / "checkpoint-previous.pt", weights_only=True)["step"]
        child.kill()
    assert child.returncode == -signal.SIGKILL, child.stderr.read()
    left = training.load_checkpoint(tmp_path / "run")["step"]
    assert 8 <= left < 24
    weights, run = train(tmp_path / "run")
    same(weights, whole[0])
    assert losses(run) == losses(whole[1])


def test_killed_between_two_renames(tmp_path, whole, monkeypatch):
    """The tenth checkpoint is written aside, the ninth moved on, and then: only the previous one is there."""
    replace, moves = Path.replace, []

    def killed(self, target):
        if target.name == "checkpoint.pt":
            moves.append(self)
            if len(moves) == 10:
                raise SystemExit("killed")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(SystemExit):
        train(tmp_path, save_seconds=0.0)
    assert not (tmp_path / "checkpoint.pt").exists()
    assert training.load_checkpoint(tmp_path)["step"] == 9
    same(train(tmp_path)[0], whole[0])


def test_a_full_disk_costs_no_checkpoint(tmp_path, whole, monkeypatch):
    """Writing fails half-way: what was there is still whole, and the run goes on from it."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, interrupted(10))

    def half(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    save = torch.save
    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match=r"No space left on device: checkpoint of step 10 not written; make room"):
        train(tmp_path)
    monkeypatch.setattr(torch, "save", save)
    assert not (tmp_path / "checkpoint.tmp").exists()
    assert training.load_checkpoint(tmp_path)["step"] == 10
    same(train(tmp_path)[0], whole[0])


def test_history_never_runs_ahead_of_the_checkpoint(tmp_path):
    """A row written after the checkpoint that is gone on from is written anew, not twice."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, interrupted(12), save_seconds=0.0)
    (tmp_path / "checkpoint.pt").unlink()  # the previous one is of step 11, in the second epoch
    assert len((tmp_path / "history.csv").read_text(encoding="utf-8").splitlines()) == 3
    _, run = train(tmp_path)
    assert [row["epoch"] for row in run.rows] == [1, 2, 3, 4]
    assert len((tmp_path / "history.csv").read_text(encoding="utf-8").splitlines()) == 5


# ------------------------------------------------------------------------------------------- what goes wrong


def wound(path, kind):
    raw = path.read_bytes()
    path.write_bytes({"cut": raw[: len(raw) // 2], "empty": b"", "text": b"no checkpoint"}[kind])


@pytest.mark.parametrize("kind", ["cut", "empty", "text"])
def test_damaged_the_previous_one_is_used_and_it_says_so(tmp_path, whole, kind):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, interrupted(10), save_seconds=0.0)
    wound(tmp_path / "checkpoint.pt", kind)
    with pytest.warns(UserWarning, match=r"checkpoint\.pt is damaged .*going on from .*checkpoint-previous\.pt"):
        weights, run = train(tmp_path)
    same(weights, whole[0])
    assert losses(run) == losses(whole[1])
    assert (tmp_path / "checkpoint.damaged").exists()
    for name in ("checkpoint.pt", "checkpoint-previous.pt"):
        wound(tmp_path / name, kind)
    with pytest.raises(training.CheckpointError, match=r"checkpoint\.pt .*checkpoint-previous\.pt .*delete the folder"):
        train(tmp_path)


def test_no_bit_flips_unseen(whole, tmp_path):
    """Anywhere in the file: it is refused, or the bit says nothing (padding, names that none reads)."""
    raw, sound = (whole[2] / "checkpoint.pt").read_bytes(), training.load_checkpoint(whole[2])
    start = raw.index(whole[0]["7.weight"].numpy().tobytes())
    caught = {}
    for at in [start, start + 50, *np.random.default_rng(0).integers(len(raw), size=150).tolist()]:
        (tmp_path / "checkpoint.pt").write_bytes(raw[:at] + bytes([raw[at] ^ 64]) + raw[at + 1 :])
        try:
            state = training.load_checkpoint(tmp_path)
        except training.CheckpointError as error:
            caught[at] = str(error)
        else:
            same(state["model"], sound["model"])
            for i, kept in sound["optimiser"]["state"].items():
                same(state["optimiser"]["state"][i], kept)
            assert {k: state[k] for k in ("step", "rows", "sums")} == {k: sound[k] for k in ("step", "rows", "sums")}
    assert "wrong check sum" in caught[start]
    assert len(caught) > 75


def test_another_run_in_the_folder_is_refused(whole):
    with pytest.raises(training.CheckpointError, match=r"a run with epochs 4 \(now 5\), lr 0\.01 \(now 0\.02\); name"):
        train(whole[2], epochs=5, lr=0.02)
    with pytest.raises(training.CheckpointError, match="parameters"):
        train(whole[2], nn.Sequential(nn.Flatten(), nn.Linear(144, 2)))


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_nan_stops_and_names_the_samples(tmp_path, what):
    """At the step that meets it; the weights and the last checkpoint are of the step before."""
    poisoned = 13
    at = next(s for s in range(6, 24) if (s // 6, poisoned) in training._shard(26, 4, 0, 1, 0, s))
    after = [v.clone() for v in _weights_after(tmp_path / "clean", at)]

    def rooted(model, x):  # finite, but the slope of a root at 0 is not
        far = (model(x.image) * 0).square().sum().sqrt() if len(steps) == at else 0.0
        steps.append(1)
        return loss(model, x) + far

    steps, model = [], network()
    how = {"data": _Late(poisoned), "loss": loss} if what == "loss" else {"data": _Late(None), "loss": rooted}
    said = r"gradient of length nan, " + ("loss nan" if what == "loss" else r"loss \d[^ ]*")
    at_step = rf"step {at}, epoch {at // 6 + 1}, {said}, samples \[.*\b13\b.*\]"
    with pytest.raises(FloatingPointError, match=at_step):
        train(tmp_path / "run", model, save_seconds=0.0, **how)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), after, strict=True))
    assert training.load_checkpoint(tmp_path / "run")["step"] == at


class _Late(Dots):
    """The broken sample is whole in the first epoch."""

    def __init__(self, broken):
        super().__init__(broken=None)
        self.late, self.drawn = broken, 0

    def draw(self, index, rng):
        self.drawn += 1
        sample = super().draw(index, rng)
        second_epoch = self.drawn > 24 + 2 * training.PROBED  # each probe is drawn twice
        return Sample(sample.image * torch.nan, sample.landmarks) if self.late == index and second_epoch else sample


def _weights_after(folder, step):
    with pytest.raises(KeyboardInterrupt):
        train(folder, interrupted(step))
    return training.load_checkpoint(folder)["model"].values()


def test_float16_that_overflows_for_ever_stops(tmp_path):
    def rooted(model, x):
        return loss(model, x) + (model(x.image) * 0).square().sum().sqrt()

    with pytest.raises(FloatingPointError, match=r"step 16, .*gradient of length nan"):
        train(tmp_path, loss=rooted, precision="float16")


def test_float16_does_not_scale_a_nan_loss_away(tmp_path):
    with pytest.raises(FloatingPointError, match=r"step 2, .*loss nan"):
        train(tmp_path, loss=_nan_at(2), precision="float16")


def _nan_at(step):
    calls = []

    def once(model, x):
        calls.append(1)
        return loss(model, x) * (torch.nan if len(calls) == step + 1 else 1)

    return once


REFUSED = {
    "batch: needed .*at most the 26 samples, got 27": {"batch": 27},
    "batch: needed an integer >= 1, got 0": {"batch": 0},
    "epochs: needed an integer >= 1, got -1": {"epochs": -1},
    "workers: needed an integer >= 0, got -1": {"workers": -1},
    "precision: needed one of 'float32', 'bfloat16', 'float16'": {"precision": "half"},
    "clip: needed a number > 0, got nan": {"clip": math.nan},
    "clip: needed a number > 0, got 0": {"clip": 0},
    "clip: needed a number > 0, got -1": {"clip": -1.0},
    "lr: needed a number > 0, got nan": {"lr": math.nan},
    "lr: needed a number > 0, got inf": {"lr": math.inf},
    "lr: needed a number > 0, got 0": {"lr": 0},
    "loss: needed a scalar tensor .*, got None; return the mean": {"loss": lambda model, x: None},
    r"loss: needed a scalar tensor .*, got \d": {"loss": lambda model, x: loss(model, x).item()},
    r"loss: needed a scalar tensor .* of shape \(4,\)": {"loss": lambda model, x: model(x.image)[:, 0]},
    "with a gradient, .*without detach": {"loss": lambda model, x: loss(model, x).detach()},
    "loss: .* depends on the model's parameters": {"loss": lambda model, x: torch.ones(1, requires_grad=True).sum()},
}


@pytest.mark.parametrize("message", REFUSED)
def test_refusals(tmp_path, message):
    """At the door or at the first step; no weight has changed and nothing is written."""
    model = network()
    with pytest.raises((ValueError, TypeError), match=message):
        train(tmp_path, model, **REFUSED[message])
    same(model.state_dict(), network().state_dict())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["a file", "a file/run"])
def test_a_folder_that_cannot_be_written_is_noticed_before_the_first_step(tmp_path, place):
    (tmp_path / "a file").touch()
    with pytest.raises(OSError, match=r"checkpoint of step 0 not written; make room or name another folder"):
        train(tmp_path / place, loss=lambda model, x: pytest.fail("a step was made"))


class Optimiser(torch.optim.SGD):
    """Keeps something in its state that no checkpoint may hold."""

    def __init__(self, parameters, lr, kept):
        super().__init__(parameters, lr)
        self.param_groups[0]["kept"] = kept


def test_what_cannot_be_read_back_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(
        training.CheckpointError, match=r"could not be read back \(Unsupported global.*\); keep only tensors"
    ):
        train(tmp_path, optimiser=partial(Optimiser, kept=Path("x")))


NUMBERS = {
    "epochs": np.int64(4),
    "batch": np.int32(4),
    "lr": np.float64(0.01),
    "seed": np.uint8(0),
    "clip": np.float32(1e30),
    "workers": np.int16(0),
    "save_seconds": np.float64(0.0),
    "schedule": lambda t: np.float64(training.one_cycle(t)),
    "tensor": lambda t: torch.tensor(training.one_cycle(t), dtype=torch.float64),
    "optimiser": partial(torch.optim.AdamW, weight_decay=np.float64(0.01), betas=(np.float64(0.9), np.float64(0.999))),
    "kept": partial(Optimiser, kept=[np.float32(1), np.arange(3), {"a": np.bool_(True)}]),
    "validate": lambda model: {"a": np.float32(1), "b": torch.tensor(2.0), "c": np.array(3), "d": True},
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_any_kind_can_be_read_back(tmp_path, name):
    """The checkpoint of the middle of a run, and the end's; with Python's own numbers it is the same run."""
    how = {{"tensor": "schedule", "kept": "optimiser"}.get(name, name): NUMBERS[name]}
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, interrupted(8), **how)
    assert training.load_checkpoint(tmp_path)["step"] == 8
    _, run = train(tmp_path, **how)
    assert training.load_checkpoint(tmp_path)["rows"] == run.rows
    assert all(type(v) in (int, float) for row in run.rows for v in row.values())
    if name in ("epochs", "batch", "lr", "seed", "workers", "save_seconds"):
        plain = {"seed": 0, "workers": 0} | {name: how[name].item()}
        assert losses(train(tmp_path, **plain)[1]) == losses(run)


# ------------------------------------------------------------------------------------------- several processes


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes that torchrun started said, (of each), and their folder."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", PROGRAM, folder]
    done = subprocess.run(list(map(str, command)), env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)], folder


@posix
def test_two_processes_are_one(two, tmp_path):
    """Weights after 24 steps within 1e-5 of a single process's: sums in another order, nothing else."""
    (first, second), folder = two
    expected, one = train(tmp_path, network(0.0))
    same(first["weights"], second["weights"])
    for name, value in expected.items():
        torch.testing.assert_close(first["weights"][name], value, atol=1e-5, rtol=0)
    assert first["losses"] == pytest.approx(losses(one), abs=1e-5)
    assert losses(train(folder / "whole", network(0.0))[1]) == first["losses"]  # one takes up what two have done


@posix
def test_several_processes_take_any_model_that_one_takes(two, tmp_path):
    """Parts that no loss uses, a part that one process alone uses, methods of the model, batch norms: as in one."""
    (first, second), _ = two
    same(first["odd"], second["odd"])
    expected, _ = train(tmp_path, Odd(), loss=odd)
    for name, value in expected.items():
        torch.testing.assert_close(first["odd"][name], value, atol=2e-3, rtol=0)
    assert torch.equal(first["odd"]["idle.weight"], Odd().idle.weight)
    same(first["normed"], second["normed"])  # statistics too
    assert not torch.equal(first["normed"]["0.running_mean"], torch.zeros(1))


@posix
def test_nan_in_one_process_stops_both(two):
    """Both name the process that met it, and its samples alone."""
    first, second = (told["nan"] for told in two[0])
    assert first == second
    assert re.search(r"FloatingPointError: step \d+, .*loss nan, samples \[[^]]*\b13\b[^]]*\] of process [01]:", first)
    assert first.count("of process") == 1


@posix
def test_ctrl_c_in_one_process_stops_both_at_the_same_step(two, tmp_path):
    """The second heard it; the first saved; one process goes on as if nothing had been."""
    told, folder = two
    assert all("KeyboardInterrupt: stopped after step 8 of 24" in each["stop"] for each in told)
    assert training.load_checkpoint(folder / "stop")["step"] == 8
    expected, _ = train(tmp_path, network(0.0))
    for name, value in train(folder / "stop", network(0.0))[0].items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=0)
