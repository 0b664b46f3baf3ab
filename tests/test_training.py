# ruff: noqa: NPY002 -- numpy's global generator is what augmentations in the wild draw from
"""`fit`, `evaluate`, `predict` and `lr_range_test`: right numbers, the same numbers again, and errors that say why."""

import copy
import random
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
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


def by_hand(model, loader, epochs, optimizer, scheduler=None, each_batch=False):
    """The loop of notebook 03, in its plainest form: losses of batches, and means and last rates of epochs."""
    torch.manual_seed(0)
    losses, means, rates = [], [], []
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append((loss.item(), len(y)))
            rate = optimizer.param_groups[0]["lr"]
            if each_batch:
                scheduler.step()
        means.append(sum(loss * samples for loss, samples in losses[-len(loader) :]) / SAMPLES)
        rates.append(rate)
        if scheduler is not None and not each_batch:
            scheduler.step()
    return [loss for loss, _ in losses], means, rates


# ---- the same numbers as a loop by hand


def loader(data, seed=0, **options):
    return DataLoader(data, BATCH, shuffle=True, generator=torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("given", ["loader", "data set"])
def test_fit_equals_the_loop_by_hand_to_the_last_digit(given):
    data, ours, theirs = images(), network(), network()
    losses, means, _ = by_hand(theirs, loader(data), 3, SGD(theirs.parameters()))
    history = training.fit(
        ours, loader(data) if given == "loader" else data, epochs=3, optimizer=SGD, batch_size=BATCH, device="cpu"
    )
    assert history.batch_losses == losses
    assert history["loss"] == means
    assert same_weights(ours, theirs)


def test_an_optimizer_and_a_scheduler_that_are_made_already():
    data, ours, theirs = images(), network(), network()
    optimizers = [SGD(model.parameters()) for model in (ours, theirs)]
    schedulers = [lr_scheduler.StepLR(optimizer, 2, 0.1) for optimizer in optimizers]
    losses, _, rates = by_hand(theirs, loader(data), 4, optimizers[1], schedulers[1])
    made = {"optimizer": optimizers[0], "scheduler": schedulers[0]}
    history = training.fit(ours, loader(data), epochs=4, device="cpu", **made)
    assert (history.batch_losses, history["lr"]) == (losses, rates)


def test_the_same_seed_gives_the_same_and_validation_does_not_change_the_training():
    options = {"epochs": 3, "batch_size": BATCH, "device": "cpu"}
    models = [network() for _ in range(4)]
    history = training.fit(models[0], images(), images(9, seed=1), **options)
    assert history == training.fit(models[1], images(), images(9, seed=1), **options)
    training.fit(models[2], images(), **options)
    training.fit(models[3], images(), seed=1, **options)
    assert [same_weights(models[0], model) for model in models] == [True, True, True, False]
    assert history.columns == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr"]


@pytest.mark.parametrize("name", ["one-cycle", "cyclic", "told"])
def test_schedules_that_go_by_batch(name):
    """One-cycle is given without its total_steps, which fit fills in; the last asks for it by its name."""
    data, ours, theirs = images(), network(), network()
    optimizer = SGD(theirs.parameters())
    schedule = SCHEDULERS[name](optimizer, **({} if name == "cyclic" else {"total_steps": 12}))
    losses, _, rates = by_hand(theirs, loader(data), 3, optimizer, schedule, each_batch=True)
    history = training.fit(ours, loader(data), epochs=3, optimizer=SGD, scheduler=SCHEDULERS[name], device="cpu")
    assert (history.batch_losses, history["lr"]) == (losses, rates)


def test_plateau_lowers_the_rate_when_the_monitored_value_stays():
    still = partial(torch.optim.SGD, lr=0.4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    plateau = partial(lr_scheduler.ReduceLROnPlateau, patience=1, factor=0.5, mode="max", threshold=10)
    history = training.fit(
        model, images(), images(), epochs=5, optimizer=still, scheduler=plateau, monitor="val_accuracy", device="cpu"
    )
    assert history["lr"] == [0.4, 0.4, 0.4, 0.2, 0.2]


# ---- the same seed


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


CALLS_LEFT = [10**9]


def stopping(outputs, labels):
    """The usual loss; after so many calls it stops everything, in the middle of an epoch."""
    CALLS_LEFT[0] -= 1
    if CALLS_LEFT[0] < 0:
        raise Stopped
    return F.cross_entropy(outputs, labels)


def interrupted(options, path, calls, **changes):
    """Train, stopped after each of ``calls`` more calls of the loss, each time with a new model; the last run ends."""
    changes |= {"loss": stopping, "autosave": path, "resume": True}
    for call in calls:
        torch.manual_seed(random.randrange(2**30))  # what happens between two runs must not matter
        CALLS_LEFT[0] = call
        with pytest.raises(Stopped):
            training.fit(network(), **options(), **changes)
    CALLS_LEFT[0] = 10**9
    final = network(3)
    return final, training.fit(final, **options(), **changes)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_resumed_equals_uninterrupted_for_every_kind_of_scheduler(tmp_path, name):
    def options():
        return {"train": pictures(), "val": pictures(9, 1), "epochs": 5, "optimizer": SGD, "batch_size": BATCH}

    changes = {"scheduler": SCHEDULERS[name], "keep_best": True, "device": "cpu"}
    whole = network()
    history = training.fit(whole, **options(), **changes)
    resumed, again = interrupted(options, tmp_path / "run.pt", [3, 9, 13], **changes)
    assert again == history
    assert same_weights(resumed, whole)


def test_resumed_equals_uninterrupted_with_loaders_of_your_own(tmp_path):
    """Theirs are generators that are moved on, or none; early stopping counts over the interruption."""
    changes = {"early_stopping": 2, "keep_best": True, "monitor": "val_accuracy", "device": "cpu"}
    train, val = loader(pictures(), 1), DataLoader(pictures(9, 1), 4, shuffle=True)
    start = train.generator.get_state()

    def options():
        train.generator.set_state(start)
        return {"train": train, "val": val, "epochs": 4, "optimizer": partial(torch.optim.Adam, lr=0.02)}

    whole = network()
    history = training.fit(whole, **options(), **changes)
    resumed, again = interrupted(options, tmp_path / "run.pt", [2, 10, 9], **changes)
    assert again == history
    assert again.batch_losses == history.batch_losses
    assert same_weights(resumed, whole)


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


def test_more_epochs_go_on_where_the_first_ended(tmp_path):
    options = {"batch_size": BATCH, "device": "cpu", "autosave": tmp_path / "new" / "run.pt"}
    first = training.fit(network(), images(), epochs=2, **options)
    assert training.fit(network(), images(), epochs=2, **options) == first, "without resume, it begins anew"
    longer, whole = network(), network()
    history = training.fit(longer, images(), epochs=4, resume=True, **options)
    assert history == training.fit(whole, images(), epochs=4, batch_size=BATCH, device="cpu")
    assert same_weights(longer, whole)
    assert training.fit(network(2), images(), epochs=4, resume=True, **options) == history  # nothing is left to do
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["run.pt"]


# ---- best weights, early stopping, frozen layers, modes


def noisy_validation():
    return TensorDataset(images(8, 3).tensors[0], torch.tensor([0, 1, 1, 0, 0, 1, 0, 1]))


@pytest.mark.trained
def test_keep_best_ends_with_the_weights_of_the_best_epoch(seed):
    model, val = network(seed), noisy_validation()
    history = training.fit(
        model, images(), val, epochs=8, optimizer=SGD, batch_size=BATCH, keep_best=True, device="cpu"
    )
    best = history.best("val_loss")
    assert best < 7
    assert training.evaluate(model, val, device="cpu")["loss"] == pytest.approx(history[best]["val_loss"], abs=1e-6)


@pytest.mark.trained
def test_early_stopping_waits_as_many_epochs_as_it_was_told(seed):
    for patience in (1, 3):
        history = training.fit(
            network(seed), images(), noisy_validation(), epochs=40, optimizer=SGD, early_stopping=patience, device="cpu"
        )
        assert len(history) == history.best("val_loss") + 1 + patience < 40


def test_frozen_batch_norm_stays_as_it_is_and_the_rest_trains():
    model = nn.Sequential(nn.BatchNorm2d(1, affine=False), *network())
    model[2].running_mean.uniform_()
    model[2].requires_grad_(False)
    before = copy.deepcopy(model)
    training.fit(model, images(), images(), epochs=2, device="cpu")
    assert same_weights(model[2], before[2])
    assert not torch.equal(model[1].weight, before[1].weight)
    assert model[0].num_batches_tracked > 0, "without parameters it is not taken for frozen"
    model[2].weight.requires_grad_(True)
    training.fit(model, images(), epochs=1, device="cpu")
    assert not torch.equal(model[2].running_mean, before[2].running_mean)


def test_fit_leaves_eval_mode_and_evaluate_leaves_modes_alone():
    model = network()
    training.fit(model, images(), epochs=1, device="cpu")
    assert not any(module.training for module in model.modules())
    model[4].train()
    training.evaluate(model, images(), device="cpu")
    assert [module.training for module in model] == [False, False, False, False, True, False]


# ---- what is measured


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_evaluate_is_right_on_uneven_last_batches(batch_size):
    model, data = network().eval(), images()
    outputs, labels = model(data.tensors[0]), data.tensors[1]
    result = training.evaluate(model, data, batch_size=batch_size, device="cpu")
    assert result["accuracy"] == (outputs.argmax(1) == labels).double().mean().item()
    assert result["loss"] == pytest.approx(F.cross_entropy(outputs, labels).item(), rel=1e-6)
    ours, theirs = training.predict(model, data, batch_size=batch_size, device="cpu")
    assert torch.equal(theirs, labels)
    torch.testing.assert_close(ours, outputs.detach())


@pytest.mark.trained
def test_metrics_of_your_own_and_labels_that_are_no_classes(seed):
    torch.manual_seed(seed)
    x = torch.linspace(-1, 1, 30).view(-1, 1)
    data, model = TensorDataset(x, 2 * x + 1), nn.Linear(1, 1)
    options = {"loss": F.mse_loss, "metrics": {"error": lambda outputs, labels: (outputs - labels).abs()[:, 0]}}
    history = training.fit(model, data, data, epochs=100, optimizer=SGD, device="cpu", **options)
    assert history.columns == ["epoch", "loss", "error", "val_loss", "val_error", "lr"]
    assert history[-1]["val_error"] < 0.01
    assert "accuracy" not in training.evaluate(model, data, loss=F.mse_loss, device="cpu")


@pytest.mark.parametrize(
    ("label", "loss"),
    [
        (-100, F.cross_entropy),
        (255, nn.CrossEntropyLoss(ignore_index=255)),
        (255, partial(F.cross_entropy, ignore_index=255)),
        (1, nn.CrossEntropyLoss(ignore_index=1)),
    ],
)
@pytest.mark.parametrize("pixels", [False, True])
def test_labels_that_the_loss_leaves_out_count_nowhere(label, loss, pixels):
    x, y = images().tensors
    model = (nn.Conv2d(1, 2, 1) if pixels else network()).eval()
    y = (x[:, 0] > 0).long() if pixels else y.clone()
    y[:9] = label
    y[20] = label
    outputs, kept = model(x), y != label
    result = training.evaluate(model, TensorDataset(x, y), loss=loss, batch_size=4, device="cpu")
    assert result["loss"] == pytest.approx(loss(outputs, y).item(), rel=1e-6)
    right = (outputs.argmax(1) == y).float()
    expected = [image[where].mean() for image, where in zip(right, kept, strict=True) if where.any()]
    assert result["accuracy"] == pytest.approx(torch.stack(expected).mean().item(), rel=1e-6)
    y[:] = torch.where(kept, y, 0)
    y[1:3] = label
    training.fit(model, TensorDataset(x, y), loss=loss, epochs=1, device="cpu")


def test_bytes_and_other_number_types_are_converted():
    data = pictures().with_transform(None)
    model = network().eval()
    expected = training.evaluate(model, data, device="cpu")
    for x, y in [(data.images, data.labels.byte()), (data.images.double() / 255, data.labels.int())]:
        assert training.evaluate(model, TensorDataset(x, y), device="cpu") == pytest.approx(expected)


@pytest.mark.parametrize("kind", [list, torch.tensor, np.array])
@pytest.mark.parametrize("make", [images, lambda: pictures().with_transform(None)])
def test_a_subset_by_any_kind_of_index(kind, make):
    data, model = make(), network().eval()
    for indices in ([5, 3, 8], [7, 0, 19, 2, 4, 12, 13, 14, 15]):
        wanted = torch.stack([data[i][0] for i in indices]), torch.tensor([int(data[i][1]) for i in indices])
        subset = Subset(Subset(data, kind(list(range(20)))), kind(indices))
        outputs, labels = training.predict(model, subset, batch_size=4, device="cpu")
        assert torch.equal(labels, wanted[1])
        torch.testing.assert_close(outputs, model(wanted[0]).detach())
        training.fit(copy.deepcopy(model), subset, epochs=1, batch_size=4, device="cpu")


def test_iterable_data():
    subset = TensorDataset(*images()[[5, 3, 8, 21]])

    class Stream(IterableDataset):
        def __iter__(self):
            return zip(*subset.tensors, strict=True)

    model = network()
    expected = training.evaluate(model, subset, device="cpu")
    assert training.evaluate(model, Stream(), device="cpu") == expected
    assert len(training.fit(model, Stream(), epochs=2, device="cpu")) == 2
    fit_error(ValueError, "total_steps", train=Stream(), scheduler=SCHEDULERS["one-cycle"])


@pytest.mark.trained
@pytest.mark.parametrize("amp", [True, torch.bfloat16, torch.float16])
def test_mixed_precision_and_channels_last_learn_as_well(amp, seed):
    model, seen = network(seed), []
    options = {"optimizer": SGD, "amp": amp, "channels_last": True, "device": "cpu"}
    history = training.fit(model, images(), images(), epochs=15, **options)
    assert history[-1]["val_accuracy"] > 0.9
    assert model[0].weight.dtype == torch.float32
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    exact = training.evaluate(model, images(), device="cpu")["loss"]
    assert training.evaluate(model, images(), device="cpu", amp=amp)["loss"] == pytest.approx(exact, abs=0.02)
    training.predict(model, images(), device="cpu", amp=amp)
    short = torch.float32 if amp is True else amp
    assert seen == [torch.float32, short, short]


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


@pytest.mark.trained
def test_lr_range_test_ends_when_the_loss_explodes(seed):
    torch.manual_seed(seed)
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
    with pytest.raises(ValueError, match="what makes it"):
        training.lr_range_test(network(), images(), optimizer=SGD(network().parameters()))


class OnePass(IterableDataset):
    """A stream that can be read only once."""

    def __init__(self, samples):
        self.rest = iter([(torch.rand(1, 6, 6), torch.tensor(i % 2)) for i in range(samples)])

    def __iter__(self):
        return self.rest


def test_a_stream_that_can_be_read_only_once():
    with pytest.raises(ValueError, match="train gave no batch"):
        training.lr_range_test(network(), OnePass(30), batch_size=8, steps=40, device="cpu")
    history = training.lr_range_test(network(), OnePass(30), batch_size=8, steps=4, high=0.1, device="cpu")
    assert len(history) == 4
    fit_error(ValueError, "train gave no batch. A stream that can be read only", train=OnePass(9))
    for function in (training.evaluate, training.predict):
        with pytest.raises(ValueError, match="data gave no batch"):
            function(network(), OnePass(0), device="cpu")


# ---- errors


SHORT = {"epochs": 2, "device": "cpu"}


LASTING = DataLoader(images(), num_workers=1, persistent_workers=True)


def fit_error(error, match, model=None, train=None, val=None, **options):
    with pytest.raises(error, match=match):
        training.fit(model or network(), images() if train is None else train, val, **{**SHORT, **options})


@pytest.mark.parametrize("val", [0.2, (torch.zeros(1), torch.zeros(1)), "val", images().tensors[0]])
def test_data_that_are_no_data(val):
    fit_error(TypeError, "val must be a Dataset or a DataLoader, not", val=val)
    with pytest.raises(TypeError, match="data must be a Dataset or a DataLoader"):
        training.evaluate(network(), val, device="cpu")


def test_no_data():
    empty = TensorDataset(torch.zeros(0, 1, 6, 6), torch.zeros(0, dtype=torch.long))
    fit_error(ValueError, "train is empty: it has no sample", train=empty)
    fit_error(ValueError, "train is empty.* with drop_last=True", train=DataLoader(images(), 50, drop_last=True))
    fit_error(ValueError, "train gave no batch", train=OnePass(0))
    fit_error(ValueError, "val is empty", val=empty)


@pytest.mark.parametrize("label", [2, -1])
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


def test_one_output_is_not_enough_for_cross_entropy():
    x, y = images().tensors
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))
    smooth = partial(F.cross_entropy, label_smoothing=0.1)
    for labels in (y, torch.zeros_like(y), y.float(), y.float()[:, None]):
        for loss in (F.cross_entropy, nn.CrossEntropyLoss(), smooth, F.nll_loss, nn.NLLLoss()):
            message = r"outputs have shape \(22, 1\), one per sample.* a binary loss"
            fit_error(ValueError, message, model, TensorDataset(x, labels), loss=loss)
    fit_error(ValueError, "a binary loss", nn.Sequential(*model, nn.Flatten(0)), TensorDataset(x, y.float()))
    binary = TensorDataset(x, y.float()[:, None])
    training.fit(model, binary, epochs=1, loss=F.binary_cross_entropy_with_logits, device="cpu")


@pytest.mark.parametrize("loss", [F.mse_loss, nn.MSELoss(), F.binary_cross_entropy_with_logits, nn.L1Loss()])
def test_a_column_of_outputs_against_a_row_of_labels(loss):
    x, y = images().tensors
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))
    message = r"outputs have shape \(22, 1\), but labels of train \(22,\).*labels\[:, None\]"
    fit_error(ValueError, message, model, TensorDataset(x, y.float()), loss=loss)


@pytest.mark.parametrize(
    ("metric", "shape"),
    [
        (lambda o, y: (o.argmax(1) == y).float().mean(), r"\(\)"),
        (lambda o, y: (o.argmax(1) == y).sum(), r"\(\)"),
        (lambda o, y: o.softmax(1), r"\(22, 2\)"),
        (lambda o, y: 0.5, r"\(\)"),
    ],
)
def test_metrics_must_give_one_number_per_sample(metric, shape):
    message = rf"metric 'score' must give one number per sample, shape \(22,\), not {shape}: leave out \.mean\(\)"
    fit_error(ValueError, message, metrics={"score": metric})
    with pytest.raises(ValueError, match=message):
        training.evaluate(network(), images(), metrics={"score": metric}, device="cpu")


def test_metrics_may_come_from_numpy_and_leave_samples_out():
    model, (x, y) = network().eval(), images().tensors
    right = (model(x).argmax(1) == y).numpy()
    kept = np.arange(22) % 3 > 0
    metrics = {
        "accuracy": lambda o, y: (o.argmax(1) == y).numpy(),
        "some": lambda o, y: np.where(kept, (o.argmax(1) == y).numpy(), np.nan),
    }
    found = training.evaluate(model, TensorDataset(x, y), metrics=metrics, device="cpu")
    assert found["accuracy"] == right.mean()
    assert found["some"] == pytest.approx(right[kept].mean())


def test_inputs_of_the_wrong_shape():
    x, y = images().tensors
    wide, tall = TensorDataset(x.expand(-1, 3, 6, 6), y), TensorDataset(F.pad(x, (0, 0, 0, 1)), y)
    fit_error(ValueError, r"cannot take a batch of train of shape \(22, 3, 6, 6\)", train=wide)
    fit_error(ValueError, r"cannot take a batch of val of shape \(22, 1, 7, 6\)", val=tall)
    mixed = nn.Sequential(nn.Linear(6, 2), nn.Flatten(0, 2))
    fit_error(ValueError, r"outputs of shape \(132, 2\) for 22 samples; .* view and squeeze", mixed)
    fit_error(ValueError, r"the loss cannot compare .* labels of train", train=TensorDataset(x, y.float()))
    several = nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (22, 36)), nn.LSTM(36, 2))
    fit_error(TypeError, "must return one tensor, not tuple", several)


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
    fit_error(ValueError, "total_steps=7, but the run has 8", batch_size=BATCH, scheduler=short)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"epochs": 1.5}, "epochs must be a whole number, not 1.5"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"resume": True}, "resume needs autosave"),
        ({"monitor": "val_loss"}, "no column 'val_loss' to monitor; there are accuracy, loss"),
        ({"keep_best": True, "monitor": "f1"}, "no column 'f1'"),
        ({"amp": "bf16"}, "amp must be True, False, torch.bfloat16 or torch.float16"),
        ({"metrics": ["accuracy"]}, "metrics must be"),
        ({"train": TensorDataset(torch.ones(4))}, r"batch of train must be a pair of tensors .* not \['Tensor'\]"),
        ({"train": DataLoader(torch.ones(4, 1))}, "must be a pair of tensors .* not Tensor"),
        ({"train": LASTING, "autosave": "run.pt"}, "persistent_workers=False"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, "loss must return one number as a tensor"),
        ({"loss": lambda outputs, labels: 1.0}, "loss must return one number as a tensor"),
    ],
)
def test_settings_that_cannot_be_right(options, match):
    fit_error((ValueError, TypeError), match, **options)


def cost(outputs, labels):
    return outputs[:, 1] - outputs[:, 0]


@pytest.mark.parametrize("options", [{"keep_best": True}, {"early_stopping": 3}])
def test_nobody_knows_which_numbers_are_better(options):
    wanted = r"which numbers of 'val_cost' are better\? Say better=\"lower\" or better=\"higher\""
    fit_error(ValueError, wanted, val=images(), metrics={"cost": cost}, monitor="val_cost", **options)
    fit_error(ValueError, "Say better=", val=images(), better="smaller", **options)


@pytest.mark.parametrize(
    ("name", "better", "last"), [("mse", None, False), ("cost", "higher", True), ("f1", None, True)]
)
def test_keep_best_knows_the_direction(name, better, last):
    """The measured number is the epoch's: it only grows."""
    model, weights = network(), []
    growing = {name: lambda outputs, labels: torch.full((len(labels),), float(len(weights)))}
    options = {"metrics": growing, "monitor": f"val_{name}", "better": better, "keep_best": True, "device": "cpu"}
    history = training.fit(
        model, images(), images(), epochs=3, after_epoch=lambda _: weights.append(copy.deepcopy(model)), **options
    )
    assert history[f"val_{name}"] == [0.0, 1.0, 2.0]
    assert same_weights(model, weights[2 if last else 0])


def test_a_loss_that_is_not_a_number_stops_at_once_and_keeps_the_last_good_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    training.fit(network(), images(), epochs=1, batch_size=BATCH, autosave=path, device="cpu")
    good, calls = path.read_bytes(), []

    class Sick(nn.Sequential):
        def forward(self, x):
            calls.append(x)
            return super().forward(x) * (float("nan") if len(calls) == 3 else 1)

    wanted = "the loss became nan in epoch 2, batch 3, at learning rate 0.001. Try a lower"
    fit_error(FloatingPointError, wanted, Sick(*network()), batch_size=BATCH, autosave=path, resume=True)
    assert len(calls) == 3
    assert path.read_bytes() == good


def test_data_with_nan_and_a_learning_rate_that_is_too_high_are_named():
    data = images()
    data.tensors[0][4, 0, 2, 2] = float("nan")
    fit_error(FloatingPointError, "inputs of this batch hold NaN", train=data)
    fit_error(FloatingPointError, "'val_loss' became nan in epoch 1", val=data)
    exploding = partial(torch.optim.SGD, lr=1e30)
    fit_error(FloatingPointError, "learning rate 1e\\+30. Try a lower learning rate", optimizer=exploding)


def test_weights_that_are_not_numbers_are_never_saved(tmp_path):
    """The loss of the last batch is fine, but the step after it is not."""

    class Breaks(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == 8:
                self.param_groups[0]["params"][0].data[:] = float("inf")

    path = tmp_path / "run.pt"
    match = r"'0\.weight' became not finite in epoch 2, at learning rate 0.001\. Try"
    fit_error(FloatingPointError, match, optimizer=Breaks, batch_size=BATCH, autosave=path)
    assert len(checkpoints.load(path)["rows"]) == 1


def settings_of_a_run(path):
    return {"epochs": 2, "batch_size": BATCH, "autosave": path, "optimizer": SGD, "scheduler": SCHEDULERS["step"]}


ONE_CYCLE = {"optimizer": torch.optim.Adam, "scheduler": SCHEDULERS["one-cycle"]}
PLATEAU = {"scheduler": partial(lr_scheduler.ReduceLROnPlateau, patience=0, factor=0.5, threshold=9.0)}


@pytest.mark.parametrize(
    ("before", "changes", "match"),
    [
        ({}, {"seed": 1}, "seed = 0, now it is 1"),
        ({}, {"batch_size": 5}, "batch_size = 6, now it is 5"),
        ({}, {"train": images(21)}, "samples of train = 22, now it is 21"),
        ({}, {"val": images(9)}, "samples of val = None, now it is 9"),
        ({}, {"metrics": {"cost": cost}}, r"metrics = None, now it is \['cost'\]"),
        ({}, {"keep_best": True}, "keep_best = False, now it is True"),
        ({}, {"amp": torch.float16}, "amp = None, now it is torch.float16"),
        ({}, {"loss": partial(F.cross_entropy, label_smoothing=0.1)}, "now it is cross_entropy.*label_smoothing.*0.1"),
        ({}, {"optimizer": torch.optim.Adam}, "optimizer = SGD, now it is Adam"),
        ({}, {"optimizer": partial(SGD, lr=0.01)}, "lr of parameter group 0 = 0.05, now it is 0.01"),
        ({}, {"optimizer": partial(SGD, weight_decay=0.1)}, "weight_decay of parameter group 0 = 0, now it is 0.1"),
        ({}, {"optimizer": lambda p: SGD(p[:2])}, "params of parameter group 0 = 6, now it is 2"),
        ({}, {"scheduler": None}, "scheduler = StepLR, now it is None"),
        ({}, {"scheduler": partial(lr_scheduler.StepLR, step_size=1)}, "scheduler.step_size = 2, now it is 1"),
        (ONE_CYCLE, {"scheduler": partial(lr_scheduler.OneCycleLR, max_lr=0.2)}, "max_lr .* = 0.1, now it is 0.2"),
        (ONE_CYCLE, {"epochs": 3}, "scheduler.total_steps = 8, now it is 12"),
        (PLATEAU, {"optimizer": partial(SGD, lr=0.1)}, "lr of .* = 0.05, now it is 0.1"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_nothing_is_changed(tmp_path, before, changes, match):
    options = {"train": images(), **settings_of_a_run(tmp_path / "run.pt"), **before, "device": "cpu"}
    training.fit(network(), **options)
    model = network(5)
    with pytest.raises(checkpoints.CheckpointError, match=match):
        training.fit(model, **{**options, "resume": True, **changes})
    assert same_weights(model, network(5))


def test_an_optimizer_that_has_taken_steps_goes_on_or_is_refused(tmp_path):
    """In a notebook, the cell that made it is not run again after the stop button."""
    options = {"epochs": 4, "batch_size": BATCH, "loss": stopping, "device": "cpu"}
    whole, model = network(), network()
    history = training.fit(whole, images(), optimizer=SGD, **options)
    options |= {"optimizer": SGD(model.parameters()), "autosave": tmp_path / "run.pt", "resume": True}
    CALLS_LEFT[0] = 10
    with pytest.raises(Stopped):
        training.fit(model, images(), **options)
    CALLS_LEFT[0] = 10**9
    assert training.fit(model, images(), **options) == history
    assert same_weights(model, whole)
    options |= {"autosave": tmp_path / "other.pt", "scheduler": SCHEDULERS["step"]}
    training.fit(model, images(), **options)
    with pytest.raises(training.CheckpointError, match="not with one that has taken steps"):
        training.fit(model, images(), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": partial(torch.optim.SGD, lr=np.logspace(-1, 0, 3)[0], momentum=np.float32(0.5))},
        {"optimizer": partial(torch.optim.Adam, betas=(np.float64(0.8), np.float64(0.9)))},
        {"scheduler": lambda opt: lr_scheduler.MultiStepLR(opt, np.arange(1, 3), gamma=np.float64(0.5))},
        {"scheduler": lambda opt: lr_scheduler.LambdaLR(opt, lambda step: np.float64(0.9) ** step)},
        {"scheduler": partial(lr_scheduler.ReduceLROnPlateau, factor=np.float64(0.5), patience=np.int64(0))},
        {"optimizer": partial(torch.optim.Adam, lr=torch.tensor(0.01))},
        {"metrics": {"right": lambda o, y: (o.argmax(1) == y).numpy()}, "seed": np.int64(3)},
    ],
)
def test_what_is_saved_can_be_read(tmp_path, options):
    options = options | {"batch_size": BATCH, "device": "cpu"}
    whole, resumed = network(), network(1)
    history = training.fit(whole, images(), epochs=4, **options)
    options["autosave"] = tmp_path / "run.pt"
    training.fit(network(), images(), epochs=2, **options)
    assert training.fit(resumed, images(), epochs=4, resume=True, **options) == history
    assert same_weights(resumed, whole)


def test_a_checkpoint_of_another_model_or_a_broken_one_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    options = {"epochs": 1, "batch_size": BATCH, "autosave": path, "device": "cpu"}
    training.fit(network(), images(), **options)
    wider = nn.Sequential(nn.Conv2d(1, 4, 3), *network()[1:4], nn.Linear(48, 2))
    with pytest.raises(checkpoints.CheckpointError, match=r"another model(?s:.*)size mismatch for 0.weight"):
        training.fit(wider, images(), resume=True, **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(checkpoints.CheckpointError, match="not a whole checkpoint"):
        training.fit(network(), images(), resume=True, **options)
    checkpoints.save(path, {"weights": torch.ones(2)})
    with pytest.raises(checkpoints.CheckpointError, match="was not written by fit"):
        training.fit(network(), images(), resume=True, **options)


# What notebook 03 writes by hand is what the package and torch compute.


@pytest.fixture(scope="module")
def notebook():
    found = functions_of("03_cnn_from_scratch")
    found.train_one_epoch.__globals__["device"] = torch.device("cpu")
    return found


@pytest.mark.parametrize(("count", "batch_size"), [(23, 8), (5, 64)])
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


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (2, 1, 7, 3)])
def test_batch_norm_of_the_notebook_is_torchs(notebook, shape):
    ours, theirs = notebook.BatchNorm(shape[1]), torch.nn.BatchNorm2d(shape[1])
    for seed in range(3):
        x = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 2
        torch.testing.assert_close(ours(x), theirs(x))
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.var, theirs.running_var)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_of_the_notebook_is_torchs(notebook, p):
    x = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    ours = notebook.dropout(x, p, training=True)
    torch.manual_seed(1)
    torch.testing.assert_close(ours, torch.nn.functional.dropout(x, p, training=True))
    assert notebook.dropout(x, p, training=False) is x


def test_interval_of_the_notebook_is_scipys(notebook):
    from scipy.stats import binomtest

    for right, n in [(0, 10), (10, 10), (352, 359), (1, 3)]:
        expected = binomtest(right, n).proportion_ci(method="wilson")
        assert notebook.wilson_interval(right, n) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_parameters_of_the_notebook_are_torchs(notebook):
    layer = nn.Conv2d(5, 7, 3)
    assert notebook.conv_parameters(3, 5, 7) == sum(p.numel() for p in layer.parameters())


# ---- siblings of reported faults


class OddSizes(torch.utils.data.Dataset):
    """Images of many sizes, which only batches of one can hold."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.full((1, 6 + index, 6), index / 6), index % 2


def test_images_of_many_sizes_are_validated_one_by_one():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    assert len(training.fit(model, OddSizes(), OddSizes(), epochs=1, batch_size=1, device="cpu")) == 1


@pytest.mark.parametrize(
    "loss", [F.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss(), partial(F.huber_loss, delta=1.0), F.mse_loss]
)
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_labels_that_are_whole_numbers_for_a_loss_of_floats(loss, dtype):
    x, y = images().tensors
    model, floats = nn.Sequential(nn.Flatten(), nn.Linear(36, 1)), TensorDataset(x, y[:, None].float())
    whole = TensorDataset(x, y[:, None].to(dtype))
    expected = training.evaluate(model, floats, loss=loss, device="cpu")
    assert training.evaluate(model, whole, loss=loss, device="cpu") == expected
    training.fit(model, whole, loss=loss, epochs=1, device="cpu")


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(reduction="sum"), partial(F.cross_entropy, reduction="sum")])
def test_a_loss_that_is_a_sum_is_refused(loss):
    fit_error(ValueError, 'leave out reduction="sum"', loss=loss)


def test_names_and_classes_in_place_of_functions():
    fit_error(TypeError, "loss must be a function or module", loss="mse")
    fit_error(TypeError, "loss must be a function or module", loss=nn.CrossEntropyLoss)
    fit_error(TypeError, "optimizer must be one, or what makes it", optimizer="adam")


def test_a_device_that_is_not_here():
    for name in ("gpu", "cuda:99"):
        fit_error(ValueError, "is not available here. Leave it out", device=name)


def test_a_last_batch_of_one_and_batch_norm():
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    fit_error(ValueError, "one sample is too few: take another batch_size", model, batch_size=21)


def test_outputs_are_one_for_each_sample():
    x, y = images().tensors
    halves = nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (-1, 18)), nn.Linear(18, 2))
    with pytest.raises(ValueError, match=r"outputs of shape \(44, 2\) for 22 samples"):
        training.predict(halves, images(), device="cpu")

    class Squeezed(nn.Sequential):
        def forward(self, input):
            return super().forward(input).squeeze()

    one = TensorDataset(x[:1], y[:1])
    with pytest.raises(ValueError, match="for 1 samples; the first axis"):
        training.predict(Squeezed(nn.Flatten(), nn.Linear(36, 5)), one, device="cpu")


def test_an_optimizer_of_a_head_that_was_replaced():
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    part = torch.optim.SGD(model[2].parameters(), lr=0.1)
    training.fit(model, images(), optimizer=part, **SHORT)  # some of the parameters may be left out
    model[2] = nn.Linear(8, 2)
    fit_error(ValueError, "or also others, as of a head that was replaced", model, optimizer=optimizer)


def test_a_plateau_must_wait_for_the_right_direction():
    plateau = lr_scheduler.ReduceLROnPlateau
    fit_error(ValueError, "give it mode='max'", val=images(), monitor="val_accuracy", scheduler=plateau)
    fit_error(ValueError, "give it mode='min'", scheduler=partial(plateau, mode="max"))


class Weighted:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, outputs, labels):
        return self.factor * F.cross_entropy(outputs, labels)


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        ({"loss": nn.CrossEntropyLoss(torch.tensor([1.0, 2.0]))}, {"loss": nn.CrossEntropyLoss()}, "loss"),
        (
            {"loss": nn.CrossEntropyLoss(torch.tensor([1.0, 2.0]))},
            {"loss": nn.CrossEntropyLoss(torch.tensor([1.0, 5.0]))},
            "2.* now it is .*5",
        ),
        ({"loss": Weighted(1.0)}, {"loss": Weighted(3.0)}, "1.0.* now it is .*3.0"),
        ({}, {"model": network().bfloat16()}, "precision = torch.float32, now it is torch.bfloat16"),
    ],
)
def test_other_weights_of_the_loss_and_another_precision_are_another_run(tmp_path, before, after, match):
    path = tmp_path / "run.pt"
    training.fit(network(), images(), epochs=1, autosave=path, device="cpu", **before)
    fit_error(training.CheckpointError, match, autosave=path, resume=True, **after)


class Keeping(nn.Module):
    """A model that keeps its maps to draw them, as notebooks do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(36, 2)

    def forward(self, x):
        self.maps = self.layer(x.flatten(1))
        return self.maps


def test_a_model_that_keeps_what_it_computed_is_copied_and_resumed(tmp_path):
    model = Keeping()
    training.fit(model, images(), epochs=1, autosave=tmp_path / "run.pt", device="cpu")
    model(images().tensors[0])
    assert len(training.lr_range_test(model, images(), steps=3, device="cpu")) == 3
    assert model.maps.requires_grad
    assert len(training.fit(model, images(), epochs=2, autosave=tmp_path / "run.pt", resume=True, device="cpu")) == 2


def test_autosave_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    training.fit(network(), images(), epochs=1, autosave="~/run.pt", device="cpu")
    assert (tmp_path / "run.pt").is_file()
