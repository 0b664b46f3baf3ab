# ruff: noqa: NPY002 -- numpy's global generator is what augmentations in the wild draw from
"""`fit`, `evaluate`, `predict` and `lr_range_test`: right numbers, the same numbers again, and errors that say why."""

import contextlib
import copy
import random
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from coursekit import training
from coursekit.data import ImageSet
from coursekit.training import checkpoints
from tests.notebook_functions import functions_of

SAMPLES, BATCH = 22, 6  # four batches, the last one of four samples
SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def images(samples=SAMPLES, seed=0):
    """Bright and dark 6x6 images, with noise: easy, but not at once."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % 2
    pixels = torch.randn(samples, 1, 6, 6, generator=generator) + labels.view(-1, 1, 1, 1) * 0.7
    return TensorDataset(pixels, labels)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(48, 2)
    )


def same_weights(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def by_hand(model, loader, epochs, optimizer, seed=0, scheduler=None):
    """The loop of notebook 03, in its plainest form."""
    torch.manual_seed(seed)
    losses, means = [], []
    for _ in range(epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            total += loss.item() * len(y)
        means.append(total / SAMPLES)
        if scheduler is not None:
            scheduler.step()
    return losses, means


# ---- the same numbers as a loop by hand


def loader(data, seed=0, **options):
    return DataLoader(data, BATCH, shuffle=True, generator=torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("given", ["loader", "data set"])
def test_fit_equals_the_loop_by_hand_to_the_last_digit(given):
    data, ours, theirs = images(), network(), network()
    losses, means = by_hand(theirs, loader(data), 3, SGD(theirs.parameters()))
    history = training.fit(
        ours, loader(data) if given == "loader" else data, epochs=3, optimizer=SGD, batch_size=BATCH, device="cpu"
    )
    assert history.batch_losses == losses
    assert history["loss"] == means
    assert same_weights(ours, theirs)


def test_fit_equals_the_loop_by_hand_without_a_generator_of_its_own():
    data, ours, theirs = images(), network(), network()
    plain = DataLoader(data, BATCH, shuffle=True)
    losses, _ = by_hand(theirs, plain, 2, SGD(theirs.parameters()), seed=7)
    assert training.fit(ours, plain, epochs=2, optimizer=SGD, seed=7, device="cpu").batch_losses == losses


def test_an_optimizer_and_a_scheduler_that_are_made_already():
    data, ours, theirs = images(), network(), network()
    optimizer = SGD(theirs.parameters())
    losses, _ = by_hand(theirs, loader(data), 4, optimizer, scheduler=lr_scheduler.StepLR(optimizer, 2, 0.1))
    optimizer = SGD(ours.parameters())
    scheduler = lr_scheduler.StepLR(optimizer, 2, 0.1)
    history = training.fit(ours, loader(data), epochs=4, optimizer=optimizer, scheduler=scheduler, device="cpu")
    assert history.batch_losses == losses
    assert history["lr"] == pytest.approx([0.05, 0.05, 0.005, 0.005])


def test_validation_does_not_change_the_training():
    data, with_val, without = images(), network(), network()
    history = training.fit(with_val, data, images(9, seed=1), epochs=3, batch_size=BATCH, device="cpu")
    training.fit(without, data, epochs=3, batch_size=BATCH, device="cpu")
    assert same_weights(with_val, without)
    assert history.columns == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr"]


@pytest.mark.parametrize(
    "make",
    [
        lambda opt, steps: lr_scheduler.OneCycleLR(opt, max_lr=0.1, total_steps=steps),
        lambda opt, steps: lr_scheduler.CyclicLR(opt, base_lr=0.01, max_lr=0.1, step_size_up=3),
        lambda opt, steps: lr_scheduler.LambdaLR(opt, lambda step: 1 - step / (steps + 1)),
    ],
)
def test_schedules_that_go_by_batch(make):
    """One-cycle is given without its total_steps, which fit fills in; the last asks for it by its name."""
    data, ours, theirs = images(), network(), network()
    optimizer = SGD(theirs.parameters())
    schedule, losses, rates = make(optimizer, 12), [], []
    torch.manual_seed(0)
    order = loader(data)
    for _ in range(3):
        for x, y in order:
            loss = F.cross_entropy(theirs(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            used = optimizer.param_groups[0]["lr"]
            schedule.step()
            losses.append(loss.item())
        rates.append(used)
    factory = {
        "OneCycleLR": partial(lr_scheduler.OneCycleLR, max_lr=0.1),
        "CyclicLR": partial(make, steps=None),
        "LambdaLR": lambda opt, total_steps: make(opt, total_steps),
    }[type(schedule).__name__]
    history = training.fit(ours, loader(data), epochs=3, optimizer=SGD, scheduler=factory, device="cpu")
    assert history.batch_losses == losses
    assert history["lr"] == rates


def test_plateau_lowers_the_rate_when_the_monitored_value_stays():
    still = partial(torch.optim.SGD, lr=0.4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    plateau = partial(lr_scheduler.ReduceLROnPlateau, patience=1, factor=0.5, mode="max", threshold=10)
    history = training.fit(
        model, images(), images(), epochs=5, optimizer=still, scheduler=plateau, monitor="val_accuracy", device="cpu"
    )
    assert history["lr"] == [0.4, 0.4, 0.4, 0.2, 0.2]


@pytest.mark.parametrize("amp", [False, torch.float16])
def test_clipping_limits_the_gradient(amp):
    seen = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            grads = [p.grad.flatten() for group in self.param_groups for p in group["params"]]
            seen.append(torch.cat(grads).norm().item())
            return super().step(closure)

    training.fit(network(), images(), epochs=2, optimizer=partial(Watched, lr=0.1), clip=0.05, amp=amp, device="cpu")
    assert seen == pytest.approx([0.05] * 2, rel=1e-3)


# ---- the same seed


def test_same_seed_same_history_and_another_seed_another():
    first, second, third = (
        training.fit(network(), images(), images(9, 1), epochs=3, batch_size=BATCH, seed=seed, device="cpu")
        for seed in (3, 3, 4)
    )
    assert first == second
    assert first != third


def test_the_random_states_of_the_notebook_are_left_alone():
    model, wanted = network(), []
    for train in (False, True):
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)
        if train:
            training.fit(model, images(), images(), epochs=1, device="cpu")
            training.lr_range_test(model, images(), steps=5, device="cpu")
            training.evaluate(model, images(), device="cpu")
            training.predict(model, images(), device="cpu")
        wanted.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert wanted[0] == wanted[1]


# ---- resumed = uninterrupted


def jitter(image):
    """An augmentation that draws from all three generators."""
    return image + 0.1 * torch.randn(1) + 0.1 * random.random() + 0.1 * np.random.rand()


def pictures(samples=SAMPLES, seed=0):
    pixels, labels = images(samples, seed).tensors
    return ImageSet((pixels.clamp(-3, 4) + 3).mul(36).byte(), labels, ["dark", "bright"], transform=jitter)


SCHEDULERS = {
    "none": None,
    "step": partial(lr_scheduler.StepLR, step_size=2),
    "one-cycle": partial(lr_scheduler.OneCycleLR, max_lr=0.1),
    "plateau": partial(lr_scheduler.ReduceLROnPlateau, patience=0, factor=0.5),
    "cosine": partial(lr_scheduler.CosineAnnealingLR, T_max=5),
    "cyclic": partial(lr_scheduler.CyclicLR, base_lr=0.01, max_lr=0.1, step_size_up=3),
    "told": lambda opt, total_steps: lr_scheduler.LambdaLR(opt, lambda step: 1 - step / (total_steps + 1)),
    "warm-up": lambda opt: lr_scheduler.SequentialLR(
        opt, [lr_scheduler.LinearLR(opt, 0.1, total_iters=2), lr_scheduler.ExponentialLR(opt, 0.9)], [2]
    ),
}


class Stopped(BaseException):
    """Stands for the stop button, or a machine that goes away."""


def stop_at(call):
    """A loss that works ``call`` times, then stops everything in the middle of a batch."""
    calls = iter(range(10**6))

    def loss(outputs, labels):
        if next(calls) == call:
            raise Stopped
        return F.cross_entropy(outputs, labels)

    return loss


def interrupted(options, path, calls, model=network, **changes):
    """Train, stopped after each of ``calls`` more calls of the loss, each time with a new model; the last run ends."""
    for call in calls:
        torch.manual_seed(random.randrange(2**30))  # what happens between two runs must not matter
        with pytest.raises(Stopped):
            training.fit(
                model(), **options(), loss=stop_at(call), autosave=path, autosave_every=1, resume=True, **changes
            )
    final = model()
    return final, training.fit(final, **options(), autosave=path, resume=True, **changes)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_resumed_equals_uninterrupted_for_every_kind_of_scheduler(tmp_path, name):
    def options():
        return {"train": pictures(), "val": pictures(9, 1), "epochs": 5, "optimizer": SGD, "batch_size": BATCH}

    changes = {"scheduler": SCHEDULERS[name], "keep_best": True, "clip": 0.5, "device": "cpu"}
    whole = network()
    history = training.fit(whole, **options(), **changes)
    resumed, again = interrupted(options, tmp_path / "run.pt", [3, 1, 7, 0], **changes)
    assert again == history
    assert same_weights(resumed, whole)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 14), max_size=3), st.sampled_from([1, 2, 3]), st.booleans())
def test_resumed_equals_uninterrupted_wherever_it_stops(tmp_path_factory, calls, every, best):
    changes = {"early_stopping": 2, "keep_best": best, "monitor": "val_accuracy", "device": "cpu"}
    train, val = loader(pictures(), 1), DataLoader(pictures(9, 1), 4, shuffle=True)
    start = train.generator.get_state()

    def options():
        train.generator.set_state(start)
        return {"train": train, "val": val, "epochs": 4, "optimizer": partial(torch.optim.Adam, lr=0.02)}

    whole = network()
    history = training.fit(whole, **options(), **changes)
    path = tmp_path_factory.mktemp("runs") / "run.pt"
    final = network()
    for call in calls:  # the run may be over before: then nothing is raised, and nothing must change
        watched = {"loss": stop_at(call), "autosave": path, "autosave_every": every, "resume": True}
        with contextlib.suppress(Stopped):
            training.fit(network(), **options(), **watched, **changes)
    assert training.fit(final, **options(), autosave=path, resume=True, **changes) == history
    assert same_weights(final, whole)


def test_resumed_equals_uninterrupted_when_stopped_between_epochs(tmp_path):
    options = {"epochs": 4, "batch_size": BATCH, "device": "cpu", "optimizer": SGD, "scheduler": SCHEDULERS["step"]}
    whole, path = network(), tmp_path / "run.pt"
    history = training.fit(whole, images(), **options)

    def stop(history):
        raise Stopped

    for done in range(1, 4):
        with pytest.raises(Stopped):
            training.fit(network(), images(), autosave=path, resume=True, after_epoch=stop, **options)
        assert checkpoints.load(path)["epoch"] == done
    final = network(2)
    assert training.fit(final, images(), autosave=path, resume=True, **options) == history
    assert same_weights(final, whole)
    assert training.fit(network(3), images(), autosave=path, resume=True, **options) == history  # nothing left to do


def test_resumed_equals_uninterrupted_with_worker_processes(tmp_path):
    def options():
        return {"train": loader(pictures(), 2, num_workers=2), "epochs": 2, "device": "cpu", "optimizer": SGD}

    whole = network()
    history = training.fit(whole, **options())
    final, again = interrupted(options, tmp_path / "run.pt", [5])
    assert again == history
    assert same_weights(final, whole)


def test_resumed_equals_uninterrupted_in_mixed_precision(tmp_path):
    def options():
        return {"train": images(), "epochs": 3, "batch_size": BATCH, "optimizer": SGD, "amp": torch.float16}

    whole = network()
    history = training.fit(whole, **options(), device="cpu")
    final, again = interrupted(options, tmp_path / "run.pt", [2, 6], device="cpu")
    assert again == history
    assert same_weights(final, whole)
    assert checkpoints.load(tmp_path / "run.pt")["scaler"]["scale"] == 1024.0


def test_persistent_workers_cannot_be_resumed(tmp_path):
    lasting = loader(images(), num_workers=1, persistent_workers=True)
    with pytest.raises(ValueError, match="persistent_workers=False"):
        training.fit(network(), lasting, epochs=1, autosave=tmp_path / "run.pt", device="cpu")


def test_more_epochs_go_on_where_the_first_ended(tmp_path):
    options = {"batch_size": BATCH, "device": "cpu", "autosave": tmp_path / "run.pt"}
    training.fit(network(), images(), epochs=2, **options)
    longer, whole = network(), network()
    history = training.fit(longer, images(), epochs=4, resume=True, **options)
    assert history == training.fit(whole, images(), epochs=4, batch_size=BATCH, device="cpu")
    assert same_weights(longer, whole)


def test_without_resume_a_run_begins_anew(tmp_path):
    options = {"epochs": 1, "batch_size": BATCH, "device": "cpu", "autosave": tmp_path / "new" / "run.pt"}
    first = training.fit(network(), images(), **options)
    assert training.fit(network(), images(), **options) == first
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["run.pt"]


# ---- best weights, early stopping, frozen layers, modes


def noisy_validation():
    return TensorDataset(images(8, 3).tensors[0], torch.tensor([0, 1, 1, 0, 0, 1, 0, 1]))


def test_keep_best_ends_with_the_weights_of_the_best_epoch():
    model, val = network(), noisy_validation()
    history = training.fit(
        model, images(), val, epochs=8, optimizer=SGD, batch_size=BATCH, keep_best=True, device="cpu"
    )
    best = history.best("val_loss")
    assert best < 7
    assert training.evaluate(model, val, device="cpu")["loss"] == pytest.approx(history[best]["val_loss"], abs=1e-6)


def test_the_best_weights_survive_an_interruption_after_the_best_epoch(tmp_path):
    options = {"epochs": 8, "optimizer": SGD, "batch_size": BATCH, "keep_best": True, "device": "cpu"}
    whole, resumed, path = network(), network(1), tmp_path / "run.pt"
    history = training.fit(whole, images(), noisy_validation(), **options)
    with pytest.raises(Stopped):  # during the last epoch
        training.fit(network(), images(), noisy_validation(), loss=stop_at(36), autosave=path, **options)
    assert checkpoints.load(path)["epoch"] > history.best("val_loss") + 1
    assert training.fit(resumed, images(), noisy_validation(), autosave=path, resume=True, **options) == history
    assert same_weights(resumed, whole)


def test_early_stopping_waits_as_many_epochs_as_it_was_told():
    for patience in (1, 3):
        history = training.fit(
            network(), images(), noisy_validation(), epochs=40, optimizer=SGD, early_stopping=patience, device="cpu"
        )
        assert len(history) == history.best("val_loss") + 1 + patience < 40


def test_frozen_batch_norm_stays_as_it_is_and_the_rest_trains():
    model = network()
    model[1].running_mean.uniform_()
    model[1].requires_grad_(False)
    before = copy.deepcopy(model)
    training.fit(model, images(), images(), epochs=2, device="cpu")
    assert same_weights(model[1], before[1])
    assert not torch.equal(model[0].weight, before[0].weight)
    model[1].weight.requires_grad_(True)
    training.fit(model, images(), epochs=1, device="cpu")
    assert not torch.equal(model[1].running_mean, before[1].running_mean)


def test_batch_norm_without_parameters_is_not_taken_for_frozen():
    model = nn.Sequential(nn.BatchNorm2d(1, affine=False), nn.Flatten(), nn.Linear(36, 2))
    training.fit(model, images(), epochs=1, device="cpu")
    assert model[0].num_batches_tracked > 0


def test_fit_leaves_eval_mode_and_evaluate_leaves_modes_alone():
    model = network()
    training.fit(model, images(), epochs=1, device="cpu")
    assert not any(module.training for module in model.modules())
    model[4].train()
    training.evaluate(model, images(), device="cpu")
    assert [module.training for module in model] == [False, False, False, False, True, False]


# ---- what is measured


@pytest.mark.parametrize("batch_size", [1, 5, 7, 22, 100])
def test_evaluate_is_right_on_uneven_last_batches(batch_size):
    model, data = network().eval(), images()
    outputs, labels = model(data.tensors[0]), data.tensors[1]
    result = training.evaluate(model, data, batch_size=batch_size, device="cpu")
    assert result["accuracy"] == (outputs.argmax(1) == labels).double().mean().item()
    assert result["loss"] == pytest.approx(F.cross_entropy(outputs, labels).item(), rel=1e-6)
    ours, theirs = training.predict(model, data, batch_size=batch_size, device="cpu")
    assert torch.equal(theirs, labels)
    torch.testing.assert_close(ours, outputs.detach())


def test_training_loss_is_a_mean_over_samples():
    model, still = network(), partial(torch.optim.SGD, lr=0.0)
    model[4].p = 0.0
    model[1].requires_grad_(False)
    row = training.fit(model, images(), optimizer=still, epochs=1, batch_size=BATCH, device="cpu")[0]
    expected = training.evaluate(model, images(), device="cpu")
    assert row["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert row["accuracy"] == expected["accuracy"]


def test_metrics_of_your_own_and_labels_that_are_no_classes():
    x = torch.linspace(-1, 1, 30).view(-1, 1)
    data = TensorDataset(x, 2 * x + 1)
    model = nn.Linear(1, 1)
    history = training.fit(
        model,
        data,
        data,
        epochs=100,
        optimizer=SGD,
        loss=F.mse_loss,
        metrics={"error": lambda outputs, labels: (outputs - labels).abs()[:, 0]},
        device="cpu",
    )
    assert history.columns == ["epoch", "loss", "error", "val_loss", "val_error", "lr"]
    assert history[-1]["val_error"] < 0.01
    assert "accuracy" not in training.evaluate(model, data, loss=F.mse_loss, device="cpu")


def test_labels_per_pixel_are_counted_per_pixel():
    masks = (images().tensors[0][:, 0] > 0).long()
    masks[0, 0] = -100  # the label that cross_entropy leaves out
    model = nn.Conv2d(1, 2, 1)
    result = training.evaluate(model, TensorDataset(images().tensors[0], masks), device="cpu")
    expected = (model(images().tensors[0]).argmax(1) == masks).double().mean().item()
    assert result["accuracy"] == pytest.approx(expected, rel=1e-6)


def test_bytes_and_other_number_types_are_converted():
    data = pictures().with_transform(None)
    model = network().eval()
    expected = training.evaluate(model, data, device="cpu")
    for x, y in [(data.images, data.labels.byte()), (data.images.double() / 255, data.labels.int())]:
        assert training.evaluate(model, TensorDataset(x, y), device="cpu") == pytest.approx(expected)


def test_subsets_and_iterable_data():
    data = images()
    indices = [5, 3, 8, 21]
    subset = TensorDataset(*data[indices])

    class Stream(IterableDataset):
        def __iter__(self):
            return zip(*subset.tensors, strict=True)

    model = network()
    expected = training.evaluate(model, subset, device="cpu")
    assert training.evaluate(model, Subset(data, indices), device="cpu") == expected
    assert training.evaluate(model, Stream(), device="cpu") == expected
    assert len(training.fit(model, Stream(), epochs=2, device="cpu")) == 2
    with pytest.raises(ValueError, match="total_steps"):
        training.fit(model, Stream(), epochs=2, scheduler=SCHEDULERS["one-cycle"], device="cpu")


@pytest.mark.parametrize("amp", [True, torch.bfloat16, torch.float16])
def test_mixed_precision_and_channels_last_learn_as_well(amp):
    model = network()
    history = training.fit(
        model, images(), images(), epochs=15, optimizer=SGD, amp=amp, channels_last=True, device="cpu"
    )
    assert history[-1]["val_accuracy"] > 0.9
    assert model[0].weight.dtype == torch.float32
    short = amp if amp is not True else torch.bfloat16
    seen = []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    training.evaluate(model, images(), device="cpu", amp=short)
    training.predict(model, images(), device="cpu", amp=short)
    training.predict(model, images(), device="cpu")
    assert seen == [short, short, torch.float32]
    exact = training.evaluate(model, images(), device="cpu")["loss"]
    assert training.evaluate(model, images(), device="cpu", amp=amp)["loss"] == pytest.approx(exact, abs=0.02)


# ---- learning-rate range test


def test_lr_range_test_leaves_the_model_and_the_loader_untouched():
    model, data = network(), loader(images())
    before, order = copy.deepcopy(model), data.generator.get_state()
    modes = [module.training for module in model.modules()]
    history = training.lr_range_test(model, data, low=1e-4, high=10, steps=30, optimizer=SGD, device="cpu")
    assert same_weights(model, before)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(data.generator.get_state(), order)
    assert all(p.grad is None for p in model.parameters())
    ratios = np.divide(history["lr"][1:], history["lr"][:-1])
    assert history["lr"][0] == pytest.approx(1e-4)
    np.testing.assert_allclose(ratios, 1e5 ** (1 / 29))
    assert history == training.lr_range_test(model, data, low=1e-4, high=10, steps=30, optimizer=SGD, device="cpu")


def test_lr_range_test_ends_when_the_loss_explodes():
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))
    x, y = images().tensors
    data = TensorDataset(x, y.float().view(-1, 1))
    history = training.lr_range_test(
        model, data, high=1e6, loss=F.mse_loss, optimizer=torch.optim.SGD, steps=60, device="cpu"
    )
    assert 10 < len(history) < 60
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("bad", [{"low": 0}, {"low": 2.0, "high": 1.0}, {"high": float("inf")}, {"steps": 1}])
def test_lr_range_test_refuses_a_range_that_is_none(bad):
    with pytest.raises(ValueError, match="0 < low < high"):
        training.lr_range_test(network(), images(), **bad)
    with pytest.raises(TypeError, match="a copy of the model"):
        training.lr_range_test(network(), images(), optimizer=SGD(network().parameters()))


# ---- errors


SHORT = {"epochs": 2, "device": "cpu"}


def fit_error(error, match, model=None, train=None, val=None, **options):
    with pytest.raises(error, match=match):
        training.fit(model or network(), images() if train is None else train, val, **{**SHORT, **options})


@pytest.mark.parametrize("val", [0.2, True, [1, 2], (torch.zeros(1), torch.zeros(1)), "val", images().tensors[0]])
def test_data_that_are_no_data(val):
    fit_error(TypeError, "val must be a Dataset or a DataLoader, not", val=val)
    with pytest.raises(TypeError, match="data must be a Dataset or a DataLoader"):
        training.evaluate(network(), val, device="cpu")


def test_no_data():
    empty = TensorDataset(torch.zeros(0, 1, 6, 6), torch.zeros(0, dtype=torch.long))

    class Nothing(IterableDataset):
        def __iter__(self):
            return iter(())

    fit_error(ValueError, "train is empty: the data set has no sample", train=empty)
    fit_error(ValueError, "train is empty: the loader gives no batch", train=DataLoader(images(), 50, drop_last=True))
    fit_error(ValueError, "train is empty: the loader gave no batch", train=Nothing())
    fit_error(ValueError, "val is empty", val=empty)


def test_batches_that_are_no_pairs():
    fit_error(
        TypeError, r"batch of train must be a pair of tensors .* not \['Tensor'\]", train=TensorDataset(torch.ones(4))
    )
    fit_error(TypeError, "not Tensor", train=DataLoader(torch.ones(4, 1)))


@pytest.mark.parametrize("label", [2, 9, -1])
def test_labels_out_of_range(label):
    data = images()
    data.tensors[1][10] = label
    fit_error(ValueError, r"labels of train out of range.* 2 outputs.*0\.\.1", train=data)
    fit_error(ValueError, "labels of val out of range", val=data)
    with pytest.raises(ValueError, match="labels of data out of range"):
        training.evaluate(network(), data, device="cpu")


def test_the_ignored_label_hides_no_wrong_one():
    masks = torch.zeros(4, 2, 2, dtype=torch.long)
    masks[0, 0, 0] = -100
    data, model = TensorDataset(torch.zeros(4, 1, 2, 2), masks), nn.Conv2d(1, 2, 1)
    training.evaluate(model, data, device="cpu")
    masks[1, 1, 1] = -3
    fit_error(ValueError, "labels of train out of range: they go from -3 to 0", model, data)


def test_inputs_of_the_wrong_shape():
    x, y = images().tensors
    fit_error(
        ValueError,
        r"cannot take a batch of train of shape \(22, 3, 6, 6\)",
        train=TensorDataset(x.expand(-1, 3, 6, 6), y),
    )
    fit_error(
        ValueError, r"cannot take a batch of val of shape \(22, 1, 7, 6\)", val=TensorDataset(F.pad(x, (0, 0, 0, 1)), y)
    )
    fit_error(ValueError, "first dimension must stay the batch", nn.Sequential(nn.Linear(6, 2), nn.Flatten(0, 2)))
    fit_error(ValueError, r"the loss cannot compare .* labels of train", train=TensorDataset(x, y.float()))
    fit_error(
        TypeError,
        "must return one tensor, not tuple",
        nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (22, 36)), nn.LSTM(36, 2)),
    )


def test_nothing_to_train_and_a_foreign_optimizer():
    frozen = network().requires_grad_(False)
    fit_error(ValueError, "nothing to train", frozen)
    fit_error(ValueError, "nothing to train", nn.ReLU())
    fit_error(
        ValueError, "the optimizer holds no parameter that this model trains", optimizer=SGD(network(1).parameters())
    )
    fit_error(TypeError, "model must be a torch.nn.Module, not function", lambda x: x)


def test_a_scheduler_that_does_not_fit():
    model, other = network(), SGD(network().parameters())
    fit_error(ValueError, "belongs to another optimizer", model, scheduler=lr_scheduler.StepLR(other, 1))
    short = partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=7)
    fit_error(ValueError, "total_steps=7, but 2 epochs of 4 batches are 8", batch_size=BATCH, scheduler=short)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"epochs": 0}, "epochs must be a whole number from 1, not 0"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1"),
        ({"early_stopping": 3}, "early_stopping needs val"),
        ({"early_stopping": -1}, "early_stopping must be"),
        ({"resume": True}, "need autosave"),
        ({"autosave_every": 3}, "need autosave"),
        ({"clip": 0}, "clip must be a positive number"),
        ({"clip": float("nan")}, "clip must be a positive number"),
        ({"keep_best": True, "monitor": "val_f1"}, "no column 'val_f1'"),
    ],
)
def test_settings_that_cannot_be_right(options, match):
    fit_error((ValueError, KeyError), match, **options)


def test_amp_must_be_a_type_that_exists():
    fit_error(TypeError, "amp must be True, False, torch.bfloat16 or torch.float16", amp="bf16")


def test_a_loss_that_is_not_a_number_stops_at_once_and_keeps_the_last_good_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    training.fit(network(), images(), epochs=1, batch_size=BATCH, autosave=path, device="cpu")
    good = path.read_bytes()

    def bad(outputs, labels):
        loss = F.cross_entropy(outputs, labels)
        calls.append(loss)
        return loss * float("nan") if len(calls) == 3 else loss

    calls = []
    options = {"batch_size": BATCH, "autosave": path, "resume": True}
    fit_error(FloatingPointError, "loss became nan in epoch 2, batch 3, at learning rate 0.001", loss=bad, **options)
    assert len(calls) == 3
    assert path.read_bytes() == good


def test_a_learning_rate_that_is_too_high_is_named():
    exploding = partial(torch.optim.SGD, lr=1e30)
    fit_error(FloatingPointError, "learning rate 1e\\+30. Try a lower learning rate, or clip=1.0", optimizer=exploding)


def test_data_with_nan_are_named():
    data = images()
    data.tensors[0][4, 0, 2, 2] = float("nan")
    fit_error(FloatingPointError, "inputs of this batch hold NaN", train=data)
    fit_error(FloatingPointError, "val_loss became nan in epoch 1", val=data)


@pytest.mark.parametrize(("step", "saved"), [(6, (1, 1)), (8, (1, 3))])
def test_weights_that_are_not_numbers_are_never_saved(tmp_path, step, saved):
    """The loss of the batch is fine, but the step after it is not: within an epoch, and at its end."""

    class Breaks(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == step:
                self.param_groups[0]["params"][0].data[:] = float("inf")

    options = {"optimizer": Breaks, "batch_size": BATCH}
    path = tmp_path / "run.pt"
    match = "'0.weight' of the model is no longer finite"
    fit_error(FloatingPointError, match, autosave=path, autosave_every=1, **options)
    state = checkpoints.load(path)
    assert (state["epoch"], len(state["tally"]["losses"])) == saved
    fit_error(FloatingPointError, "no longer finite|became", **options)  # without autosave, too


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"seed": 1}, "made with seed = 0, now it is 1"),
        ({"batch_size": 5}, "batches per epoch = 4, now it is 5"),
        ({"optimizer": torch.optim.Adam}, "optimizer = SGD, now it is Adam"),
        ({"scheduler": SCHEDULERS["step"]}, "scheduler"),
        ({"keep_best": True}, "keep_best = False"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changes, match):
    options = {"epochs": 1, "batch_size": BATCH, "autosave": tmp_path / "run.pt", "optimizer": SGD, "device": "cpu"}
    training.fit(network(), images(), **options)
    model = network(5)
    with pytest.raises(checkpoints.CheckpointError, match=match):
        training.fit(model, images(), **{**options, "resume": True, **changes})
    assert same_weights(model, network(5))


def test_a_checkpoint_of_another_model_or_a_broken_one_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    options = {"epochs": 1, "batch_size": BATCH, "autosave": path, "device": "cpu"}
    training.fit(network(), images(), **options)
    wider = nn.Sequential(nn.Conv2d(1, 4, 3), *network()[1:4], nn.Linear(48, 2))
    with pytest.raises(checkpoints.CheckpointError, match=r"another model: '0.weight' is \[3, 1, 3, 3\] in the file"):
        training.fit(wider, images(), resume=True, **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(checkpoints.CheckpointError, match="not a whole checkpoint"):
        training.fit(network(), images(), resume=True, **options)
    checkpoints.save(path, {"weights": torch.ones(2)})
    with pytest.raises(checkpoints.CheckpointError, match="not written by fit"):
        training.fit(network(), images(), resume=True, **options)


def test_compiled_models_keep_their_names(tmp_path, monkeypatch):
    """What torch.compile returns wraps the model: weights, modes and checkpoints must still be those of the model."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    model, plain = network(), network()
    options = {"epochs": 2, "batch_size": 11, "device": "cpu"}
    training.fit(model, images(), images(), compile=True, autosave=tmp_path / "run.pt", **options)
    training.fit(plain, images(), images(), **options)
    assert same_weights(model, plain)
    checkpoints.check_weights(plain, checkpoints.load(tmp_path / "run.pt")["model"], "run.pt")


def test_no_bar_where_nobody_looks(capsys):
    training.fit(network(), images(), epochs=1, device="cpu")
    assert capsys.readouterr() == ("", "")


# What notebook 03 writes by hand is what the package and torch compute.


@pytest.fixture(scope="module")
def notebook():
    found = functions_of("03_cnn_from_scratch")
    found.train_one_epoch.__globals__["device"] = torch.device("cpu")
    return found


@pytest.mark.parametrize(("count", "batch_size"), [(20, 4), (23, 8), (5, 64)])
def test_the_loop_of_the_notebook_is_fit(notebook, count, batch_size):
    def loader():
        generator = torch.Generator().manual_seed(5)
        return DataLoader(images(count), batch_size, shuffle=True, generator=generator)

    ours, theirs = (network() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    batches, optimizer = loader(), torch.optim.Adam(ours.parameters(), lr=1e-3)
    torch.manual_seed(0)  # for dropout; `fit` sets it from its argument `seed`
    losses = [loss for _ in range(3) for loss in notebook.train_one_epoch(ours, batches, optimizer)]
    history = training.fit(theirs, loader(), epochs=3, optimizer=partial(torch.optim.Adam, lr=1e-3), device="cpu")
    assert history.batch_losses == losses
    assert same_weights(ours, theirs)


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (2, 1, 7, 3), (16, 8, 1, 1)])
def test_batch_norm_of_the_notebook_is_torchs(notebook, shape):
    ours, theirs = notebook.BatchNorm(shape[1]), torch.nn.BatchNorm2d(shape[1])
    for seed in range(3):
        x = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 2
        torch.testing.assert_close(ours(x), theirs(x))
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.var, theirs.running_var)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_of_the_notebook_is_torchs(notebook, p):
    x = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    ours = notebook.dropout(x, p, training=True)
    torch.manual_seed(1)
    torch.testing.assert_close(ours, torch.nn.functional.dropout(x, p, training=True))
    assert notebook.dropout(x, p, training=False) is x


@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (352, 359), (1, 3)])
def test_interval_of_the_notebook_is_scipys(notebook, right, n):
    expected = binomtest(right, n).proportion_ci(method="wilson")
    assert notebook.wilson_interval(right, n) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_parameters_of_the_notebook_are_torchs(notebook):
    for kernel, inputs, outputs in [(3, 1, 32), (1, 5, 7), (7, 3, 64)]:
        layer = torch.nn.Conv2d(inputs, outputs, kernel)
        assert notebook.conv_parameters(kernel, inputs, outputs) == sum(p.numel() for p in layer.parameters())


@pytest.mark.parametrize("metrics", [[], "accuracy", 1.5, {"error": 3}, {3: len}])
def test_metrics_that_are_none(metrics):
    fit_error(TypeError, "metrics must be", metrics=metrics)
    with pytest.raises(TypeError, match="metrics must be"):
        training.evaluate(network(), images(), metrics=metrics, device="cpu")


@pytest.mark.parametrize("loss", [lambda outputs, labels: None, lambda outputs, labels: outputs, lambda *_: 1.0])
def test_losses_that_give_no_number(loss):
    fit_error(TypeError, "loss must return one number as a tensor", loss=loss)


@pytest.mark.parametrize("monitor", ["VAL_LOSS", "val_loss", "f1", 3])
def test_a_column_that_nobody_fills(monitor):
    """It is told after one batch, not after the first epoch."""
    calls = []
    message = r"there is no column .* to monitor; there are epoch, loss, accuracy, lr"
    fit_error(ValueError, message, monitor=monitor, after_epoch=calls.append)
    assert calls == []


def test_numpys_numbers_will_do():
    history = training.fit(network(), images(), epochs=np.int64(1), batch_size=np.int32(7), device="cpu")
    assert history == training.fit(network(), images(), epochs=1, batch_size=7, device="cpu")


@pytest.mark.parametrize("name", ["settings", "model", "best", "epoch", "lr", "tally", "rows", "random", "optimizer"])
def test_checkpoints_of_another_make(name, tmp_path):
    """They hold tensors and plain values, and so can be read, but not what fit has written."""
    path = tmp_path / "run.pt"
    training.fit(network(), images(), epochs=1, autosave=path, device="cpu")
    saved = checkpoints.load(path)
    checkpoints.save(path, saved | {name: "something else"})
    fit_error(training.CheckpointError, f"was not written by fit.*{name}", autosave=path, resume=True)


def test_what_makes_something_else():
    fit_error(TypeError, "should make an optimizer of parameters made a int", optimizer=len)
    fit_error(TypeError, "should make a scheduler of an optimizer made a NoneType", scheduler=lambda opt: None)
