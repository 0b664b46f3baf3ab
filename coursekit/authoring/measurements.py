"""Which benchmarks there are, and how the results of each become a table of the page of measured results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_ANY = {"CIFAR": "DIR", "PHOTOS": "DIR"}  # CIFAR-10's class folders; a folder with train and test folders of photos


@dataclass(frozen=True)
class Measurement:
    """A script below ``tests`` with its arguments, and how its results become rows of a table."""

    key: str
    script: str
    arguments: tuple[str, ...]
    rows: Callable[[dict], list[tuple[str, ...]]]

    def command(self, folders: Mapping[str, str] = _ANY) -> list[str]:
        """Return the command line that anybody can repeat; ``folders`` says where "CIFAR" and "PHOTOS" are."""
        arguments = list(self.arguments)
        for name, folder in folders.items():
            arguments = [argument.replace(name, folder) for argument in arguments]
        return ["python", f"tests/{self.script}", *arguments]

    def needs(self) -> set[str]:
        """Return the names of the folders that it cannot do without."""
        return {name for name in _ANY if any(name in argument for argument in self.arguments)}


@dataclass(frozen=True)
class Section:
    """A table of the page, with a heading, a text, and column names."""

    title: str
    text: str
    columns: tuple[str, ...]
    measurements: tuple[Measurement, ...]


def _cifar(key: str, label: str, lecture: str, *arguments: str) -> Measurement:
    def rows(result: dict) -> list[tuple[str, ...]]:
        accuracy, seconds = f"{100 * result['accuracy']:.1f} %", f"{result['seconds']:.0f}"
        return [(label, lecture, accuracy, str(result["epochs"]), seconds)]

    return Measurement(key, "benchmarks/cifar10.py", ("--train", "CIFAR", *arguments), rows)


def _fit_rows(result: dict) -> list[tuple[str, ...]]:
    slowest_last = sorted(result["contenders"].items(), key=lambda item: item[1]["cpu_ratio"])
    return [
        (name, *(f"{numbers[key]:.3f}" for key in ("wall_s", "wall_ratio", "cpu_ratio")))
        for name, numbers in slowest_last
    ]


_METHODS = ("scipy direct", "package", "scipy Fourier", "torch float32")


def _correlation_rows(result: dict) -> list[tuple[str, ...]]:
    by_size = sorted(result["times_of_scipy_direct"].items(), key=lambda item: int(item[0]))
    return [(f"{k} x {k}", *(f"{ratios[method]:.2f}" for method in _METHODS)) for k, ratios in by_size]


def _transfer_rows(result: dict) -> list[tuple[str, ...]]:
    spread = result.get("spread", {})
    return [
        (
            way.replace("_", "-"),
            count,
            f"{100 * share:.1f} %",
            f"{100 * spread[way][count]:.1f}" if way in spread else "one run",
        )
        for way, scores in result.items()
        if way != "spread"
        for count, share in scores.items()
    ]


def _feature_rows(result: dict) -> list[tuple[str, ...]]:
    return [(name, f"{result['seconds'][name]:.2f}", f"{times:.1f}") for name, times in result["times_as_fast"].items()]


_TRANSFER_COLUMNS = ("way", "training pictures", "test accuracy", "standard deviation, points")

SECTIONS = (
    Section(
        "Transfer to drawn animals",
        "The thin ResNet18 (96 pixels), which has seen other species but no cat and no dog, learns cats against dogs: "
        "critters at the default difficulty, mean over five draws of pictures and starts, 1,000 test pictures. The "
        "ways that train get the same number of steps.",
        _TRANSFER_COLUMNS,
        (
            Measurement(
                "transfer",
                "benchmarks/transfer.py",
                ("--critters", "--network", "resnet18", "--seeds", "5", "--sizes", "200", "--check"),
                _transfer_rows,
            ),
        ),
    ),
    Section(
        "Transfer to photos",
        "The thin VGG16 on real photos of cats and dogs at 96 pixels: a fifth of 1,000 photos is for testing, so that "
        "one point is two photos. For training, its folded batch norms are put back.",
        _TRANSFER_COLUMNS,
        (
            Measurement(
                "photos",
                "benchmarks/transfer.py",
                ("--train", "PHOTOS/train", "--test", "PHOTOS/test", "--sizes", "100,200,400,800"),
                _transfer_rows,
            ),
        ),
    ),
    Section(
        "Features computed once",
        "VGG16 at full width, 96 pixels, frozen but for the lecture's head, five epochs with accuracy: the lecture's "
        "own loop, and features computed once, in turns within one run (medians).",
        ("variant", "seconds", "times as fast"),
        (Measurement("features", "benchmarks/features.py", (), _feature_rows),),
    ),
    Section(
        "CIFAR-10",
        "Test accuracy on 5,000 images held out of the 50,000 for training. The lecture (OSU) trained its networks for "
        "100 epochs; here they get 5, as many as the course's recipe, so that rows can be compared with each other, "
        "and not with the lecture's column; after so few epochs dropout has not paid yet. The recipe's settings were "
        "chosen by looking at this same held-out part, which flatters it a little.",
        ("network", "lecture says, 100 epochs", "test accuracy", "epochs", "seconds of training"),
        (
            _cifar("cifar_osu", "two convolutions", "67 %", "--network", "osu"),
            _cifar("cifar_osu_bn", "+ batch norm", "72.5 %", "--network", "osu", "--batch-norm"),
            _cifar("cifar_osu_bn_do", "+ dropout", "79.5 %", "--network", "osu", "--batch-norm", "--dropout"),
            _cifar("cifar_recipe", "the course's recipe", "", "--epochs", "5"),
        ),
    ),
    Section(
        "`training.fit` against others",
        "The same model, data (digits, 28 x 28), batches and seed, in turns within one run; ratios are to a bare loop "
        "of five lines, medians over the turns.",
        ("loop", "seconds", "wall time, ratio", "processor time, ratio"),
        (Measurement("fit", "benchmarks/fit.py", (), _fit_rows),),
    ),
    Section(
        "Correlation",
        "Time as a multiple of scipy's direct method, for an image of 512 x 512 pixels.",
        ("kernel", *_METHODS),
        (Measurement("correlation", "benchmarks/correlation.py", (), _correlation_rows),),
    ),
)
