"""Networks that make pictures: the notebook's and the package's, sampling where the answer is known, stored ones."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from coursekit import data, generation, pretrained
from tests.notebook_functions import functions_of
from tools import train_generator


@pytest.fixture(scope="module")
def notebook():
    found = functions_of("09_generation")
    found.Denoiser.forward.__globals__.update(steps=generation.STEPS, alpha_bars=generation.alpha_bars())
    return found


def test_frechet_is_that_of_the_notebook_and_of_scipy(notebook):
    torch.manual_seed(0)
    a, b = torch.randn(300, 6) @ torch.rand(6, 6), torch.randn(200, 6) @ torch.rand(6, 6) + 0.5
    A, B = np.cov(a.double().T), np.cov(b.double().T)
    expected = (a.double().mean(0) - b.double().mean(0)).square().sum().item() + np.trace(A + B - 2 * sqrtm(A @ B).real)
    assert generation.frechet(a, b) == pytest.approx(expected, rel=1e-6)
    assert notebook.frechet(a, b) == pytest.approx(expected, rel=1e-6)
    assert generation.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert generation.frechet(a, a + 2) == pytest.approx(6 * 4, rel=1e-5)


def test_features_that_are_always_zero_do_no_harm():
    a, b = torch.randn(50, 4), torch.randn(60, 4)
    with_zeros = [torch.cat([x, torch.zeros(len(x), 3)], dim=1) for x in (a, b)]
    assert generation.frechet(*with_zeros) == pytest.approx(generation.frechet(a, b), rel=1e-4)


@pytest.mark.parametrize(("a", "b"), [((1, 4), (9, 4)), ((9, 4), (9, 3)), ((9, 1, 2, 2), (9, 1, 2, 2)), ((9,), (9,))])
def test_what_is_no_table_of_features_has_no_distance(a, b):
    with pytest.raises(ValueError, match=r"must be \[N, K\]"):
        generation.frechet(torch.randn(a), torch.randn(b))


def test_fewer_samples_than_features_and_no_variance_are_no_problem():
    torch.manual_seed(0)
    a, b = torch.randn(20, 64), torch.randn(30, 64) + 1
    A, B = np.cov(a.double().T), np.cov(b.double().T)
    expected = (a.double().mean(0) - b.double().mean(0)).square().sum().item() + np.trace(A + B - 2 * sqrtm(A @ B).real)
    assert generation.frechet(a, b) == pytest.approx(expected, rel=1e-6)
    assert generation.frechet(torch.zeros(9, 4), torch.ones(9, 4)) == pytest.approx(4)


def test_the_notebooks_divergence_is_that_of_torch(notebook):
    torch.manual_seed(0)
    mean, log_variance = torch.randn(2, 7, 5)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0, 1)).sum(1)
    torch.testing.assert_close(notebook.kl(mean, log_variance), expected)


@pytest.mark.parametrize("name", ["Generator", "Discriminator", "Denoiser"])
def test_networks_are_those_of_the_notebook(notebook, name):
    torch.manual_seed(0)
    here = train_generator if name == "Discriminator" else generation
    ours, theirs = getattr(here, name)().eval(), getattr(notebook, name)().eval()
    ours.load_state_dict(theirs.state_dict())
    labels, images = torch.tensor([0, 9, 3]), torch.randn(3, 1, 28, 28)
    inputs = {"Generator": (torch.randn(3, 32), labels), "Discriminator": (images, labels)}
    inputs["Denoiser"] = images, torch.tensor([1, 100, 200]), labels
    torch.testing.assert_close(ours(*inputs[name]), theirs(*inputs[name]))


def test_the_forward_process_ends_in_noise():
    for steps in (200, 1000):
        bars = generation.alpha_bars(steps)
        assert len(bars) == steps + 1
        assert bars[0] == 1
        assert (bars.diff() < 0).all()
        assert bars[-1] < 1e-4
    ho_jain_abbeel = (1 - torch.linspace(1e-4, 0.02, 1000)).cumprod(0)
    torch.testing.assert_close(generation.alpha_bars(1000)[1:], ho_jain_abbeel)


class Knowing(nn.Module):
    """What the best denoiser says if all pixels are drawn from N(mean, sigma²)."""

    classes = 10

    def __init__(self, mean, sigma):
        super().__init__()
        self.mean, self.sigma = mean, sigma

    def forward(self, x, t, labels):
        bar = generation.alpha_bars()[t][:, None, None, None]
        off = x - bar.sqrt() * self.mean
        return (1 - bar).sqrt() * off / (bar * self.sigma**2 + 1 - bar)


@pytest.mark.parametrize(("steps", "eta"), [(200, 1), (200, 0), (20, 0), (5, 0)])
def test_who_knows_the_noise_finds_the_picture(steps, eta):
    made = generation.sample(Knowing(0.25, 0), torch.arange(4), steps=steps, eta=eta)
    torch.testing.assert_close(made, torch.full_like(made, 0.25), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("steps", "eta"), [(200, 1), (200, 0), (100, 0)])
def test_samples_have_the_right_mean_and_spread(steps, eta):
    made = generation.sample(Knowing(0.1, 0.2), torch.zeros(20, dtype=torch.long), steps=steps, eta=eta)
    assert made.mean().item() == pytest.approx(0.1, abs=0.01)
    assert made.std().item() == pytest.approx(0.2, rel=0.1)  # 200 steps, not infinitely many


def test_the_same_seed_gives_the_same_samples_and_a_trace():
    labels, trace = torch.arange(3), []
    one, two, other = (generation.sample(Knowing(0, 0.3), labels, steps=4, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.allclose(one, other)
    generation.sample(Knowing(0, 0.3), labels, steps=4, trace=trace)
    assert [t for t, _, _ in trace] == [200, 150, 100, 50]
    assert trace[0][1].std().item() == pytest.approx(1, abs=0.1)


class ByClass(nn.Module):
    """The noise that leads to 0.2 if the class is told, and to 0 if it is not."""

    classes = 10

    def forward(self, x, t, labels):
        bar = generation.alpha_bars()[t][:, None, None, None]
        target = torch.where(labels == self.classes, 0.0, 0.2)[:, None, None, None]
        return (x - bar.sqrt() * target) / (1 - bar).sqrt()


@pytest.mark.parametrize(("guidance", "expected"), [(0, 0.0), (1, 0.2), (2, 0.4), (3, 0.6)])
def test_guidance_enlarges_what_the_class_changes(guidance, expected):
    made = generation.sample(ByClass(), torch.arange(4), steps=10, guidance=guidance)
    torch.testing.assert_close(made, torch.full_like(made, expected), atol=1e-3, rtol=0)


def test_the_loss_weighs_the_noise_so_that_all_steps_count():
    class Idle(nn.Module):
        classes, seen = 10, ()

        def forward(self, x, t, labels):
            self.seen = (*self.seen, *labels.tolist())
            assert t.min() >= 1
            assert t.max() <= generation.STEPS
            return (1 - generation.alpha_bars()[t][:, None, None, None]).sqrt() * x  # as a denoiser before training

    torch.manual_seed(0)
    images, labels, idle = torch.full((400, 1, 28, 28), 0.75), torch.zeros(400, dtype=torch.long), Idle()
    left = generation.alpha_bars()[1:].mean().item()
    assert generation.denoising_loss(idle, images, labels).item() == pytest.approx(left + (1 - left) * 0.25, rel=0.1)
    assert idle.seen.count(10) / 400 == pytest.approx(0.15, abs=0.06)
    assert generation.denoising_loss(Knowing(0.5, 0), images, labels) < 1e-4


def test_the_loss_is_that_of_the_notebook(notebook):
    images, labels = torch.rand(50, 1, 28, 28), torch.arange(50) % 10
    notebook.denoising_loss.__globals__.update(device="cpu", diffuse=notebook.diffuse)
    model, found = generation.Denoiser(), []
    for loss in (generation.denoising_loss, notebook.denoising_loss):
        torch.manual_seed(0)
        found.append(loss(model, images, labels).item())
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize("n", [1, 5, 200])
def test_the_notebooks_ddim_is_the_packages(notebook, n):
    labels, start = torch.arange(3), torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    made = notebook.ddim(Knowing(0, 0.3), start, labels, n)
    torch.testing.assert_close(made, generation.sample(Knowing(0, 0.3), labels, steps=n), atol=1e-3, rtol=0)


def test_the_notebooks_ddpm_is_the_packages(notebook):
    betas = 1 - generation.alpha_bars()[1:] / generation.alpha_bars()[:-1]
    notebook.diffuse.__globals__.update(device="cpu", betas=betas)
    made = notebook.ddpm(Knowing(0, 0.3), torch.arange(3))
    expected = generation.sample(Knowing(0, 0.3), torch.arange(3), steps=200, eta=1)
    torch.testing.assert_close(made, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("steps", [0, 201])
def test_there_are_one_to_two_hundred_steps(steps):
    with pytest.raises(ValueError, match="from 1 to 200"):
        generation.sample(Knowing(0, 0.3), torch.arange(2), steps=steps)


@pytest.mark.trained
def test_stored_samples_are_what_was_asked_for_and_new(seed):
    digits = data.digits()
    classifier, denoiser = generation.load("classifier"), generation.load("denoiser")
    wanted, (real, _) = torch.arange(150) % 10, digits.train[:]
    with torch.no_grad():
        images, labels = digits.test[:]
        assert (classifier(images).argmax(1) == labels).float().mean() > 0.95
        made = generation.sample(denoiser, wanted, steps=10, seed=seed) / 2 + 0.5
        assert (classifier(made).argmax(1) == wanted).float().mean() >= 0.9
        distances = [
            generation.frechet(classifier[:-1](x), classifier[:-1](real)) for x in (made, images[:150], images.flip(2))
        ]
        z = torch.randn(150, generation.LATENT, generator=torch.Generator().manual_seed(seed))
        drawn = generation.load("generator")(z, wanted) / 2 + 0.5
        assert (classifier(drawn).argmax(1) == wanted).float().mean() >= 0.8
    assert distances[0] < 3 * distances[1] < distances[2]
    first, second = torch.cdist(made.flatten(1), real.flatten(1)).topk(2, largest=False)[0].T
    assert (first < second / 3).float().mean() < 0.05


def test_there_are_three_stored_networks():
    with pytest.raises(ValueError, match="classifier, generator, denoiser"):
        generation.load("decoder")


def test_the_tool_trains_scores_and_stores(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_generator, "_COUNT", 20)
    steps = ["--classifier-epochs", "1", "--generator-steps", "20", "--denoiser-steps", "2"]
    train_generator.main([*steps, "--into", str(tmp_path)])
    card = pretrained.read_cards(tmp_path)[generation.NAME]
    assert card["images"] == 1438
    assert card["held out"]["right"] > 0.5
    assert card["guidance 1"].keys() == {"right", "frechet", "images"}
    assert "guidance 2" in capsys.readouterr().out
    monkeypatch.setattr("coursekit.pretrained.FOLDERS", (tmp_path,))
    assert not generation.load("denoiser").training
    assert (tmp_path / "generation.safetensors").stat().st_size < 2_000_000


def test_features_that_are_not_numbers_have_no_distance():
    features = torch.rand(10, 3)
    with pytest.raises(ValueError, match="features hold NaN"):
        generation.frechet(features, features * torch.nan)
    assert generation.frechet(features.numpy(), features) < 1e-6


@pytest.mark.parametrize(
    "images", [torch.rand(2, 1, 28, 28) * 2 - 1, torch.full((2, 1, 28, 28), 255, dtype=torch.uint8)]
)
def test_the_loss_wants_images_in_0_to_1(images):
    with pytest.raises(ValueError, match="images must lie in"):
        generation.denoising_loss(generation.Denoiser(8), images, torch.tensor([1, 2]))
