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
    rows = []
    for name, numbers in sorted(result["contenders"].items(), key=lambda item: item[1]["wall_ratio"]):
        low, high = numbers["wall_ratio_quartiles"]
        ratio = f"{numbers['wall_ratio']:.3f} ({low:.3f} to {high:.3f})"
        rows.append((name, f"{numbers['wall_s']:.3f}", ratio, f"{numbers['cpu_ratio']:.3f}"))
    return rows


_METHODS = ("by hand", "scipy direct", "package", "scipy Fourier", "torch float32")


def _correlation_rows(result: dict) -> list[tuple[str, ...]]:
    rows = []
    for kernel, of_direct in result["times_of_scipy_direct"].items():
        of_limit = result["times_of_limit"][kernel]
        cells = (f"{of_direct[method]:.2f} ({of_limit[method]:.1f})" for method in _METHODS)
        rows.append((f"{kernel} x {kernel}", *cells))
    return rows


def _folder_rows(result: dict) -> list[tuple[str, ...]]:
    rates = result["images_per_second"].items()
    return [(reader, f"{speed['first']:,}", f"{speed['later']:,}") for reader, speed in rates]


def _critter_rows(result: dict) -> list[tuple[str, ...]]:
    size, rate = result["size"], result["pictures_per_second"]
    small, large = (result[f"time_over_reading_{what}"] for what in ("small_files", "photos"))
    return [(f"{size} x {size}", f"{rate:.0f}", f"{small:.2f}", f"{large:.2f}")]


def _grading_rows(result: dict) -> list[tuple[str, ...]]:
    return [
        ("the notebook's own cells", f"{result['notebook_own_seconds']:.2f} s"),
        ("grading it, median", f"{result['notebook_median_seconds']:.2f} s"),
        ("overhead", f"{result['overhead_seconds']:.2f} s"),
        ("60 submissions, two at a time", f"{result['class_of_60_seconds']:.0f} s"),
        ("300 submissions, estimated from these", f"{result['class_of_300_minutes_estimated']:.1f} min"),
    ]


def _course_rows(result: dict) -> list[tuple[str, ...]]:
    taken = {name if " " in name else f"`import {name}`": numbers for name, numbers in result["imports"].items()}
    taken |= {f"notebook {name}": numbers for name, numbers in result["notebooks"].items()}
    taken |= {f"`make {name}`": numbers for name, numbers in result["commands"].items()}
    return [(name, f"{n['seconds']:g}", str(n["megabytes"])) for name, n in taken.items()]


def _growth_rows(result: dict) -> list[tuple[str, ...]]:
    return [
        (
            what,
            ", ".join(map(str, case["sizes"])),
            *(f"{case[key]:.2f}" for key in ("slope", "last_doubling")),
            f"{case['expected']:g}",
        )
        for what, case in result.items()
    ]


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
    rows = [
        (name, f"{result['seconds'][name]:.2f}", f"{times:.1f}", f"{100 * result['accuracy'][name]:.1f} %")
        for name, times in result["times_as_fast"].items()
    ]
    return [
        *rows,
        ("for comparison: one of its convolutions, bfloat16 against float32", "", f"{result['limit']:.1f}", ""),
    ]


_TRANSFER_COLUMNS = ("way", "training pictures", "test accuracy", "standard deviation, points")

_FIT_COLUMNS = ("loop", "seconds", "wall time, ratio", "processor time, ratio")

STRESS = ("kill", "badimages", "downloads", "hostile", "surroundings", "together")


def _hard_rows(result: dict) -> list[tuple[str, ...]]:
    return [(what, f"{number:,}", outcome) for what, number, outcome in result["rows"]]


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
        "VGG16 at full width, 96 pixels, frozen but for the lecture's head, five epochs: the lecture's own loop, which "
        "sends the training images through the network twice in each epoch and the test images once, and features "
        "computed once. In turns within one run (medians); the goals are 10 times in float32 and 30 in bfloat16. "
        "Accuracy: the same with the thin pretrained VGG16 on critters, mean over three starts.",
        ("variant", "seconds", "times as fast", "test accuracy"),
        (Measurement("features", "benchmarks/features.py", (), _feature_rows),),
    ),
    Section(
        "CIFAR-10",
        "Test accuracy on 5,000 images held out of the 50,000 for training; DIR has a folder of images per class. The "
        "lecture (OSU) trained its networks for 100 epochs; here they get 5, as many as the course's recipe, so that "
        "rows can be compared with each other, and not with the lecture's column; after so few epochs dropout has not "
        "paid off yet. The recipe is another network, with another schedule, in bfloat16; its settings were chosen by "
        "looking at this same held-out part, which flatters it a little, here and in the next table.",
        ("network", "lecture says, 100 epochs", "test accuracy", "epochs", "seconds of training"),
        (
            _cifar("cifar_osu", "two convolutions", "67 %", "--network", "osu"),
            _cifar("cifar_osu_bn", "+ batch norm", "72.5 %", "--network", "osu", "--batch-norm"),
            _cifar("cifar_osu_bn_do", "+ dropout", "79.5 %", "--network", "osu", "--batch-norm", "--dropout"),
            _cifar("cifar_recipe", "the course's recipe", "", "--epochs", "5"),
        ),
    ),
    Section(
        "CIFAR-10 to 79.5 %",
        "How long until the accuracy that the lecture's best network reached? The lecture's network and schedule (Adam "
        "with a constant rate) train until they are there, or 40 epochs are over; the recipe, whose rate follows a "
        "plan over all epochs, is trained with one epoch, two, three, ... until one of these plans gets there, and "
        "that one is shown.",
        ("network", "lecture says, 100 epochs", "test accuracy", "epochs", "seconds of training"),
        (
            _cifar(
                "cifar_until_osu",
                "two convolutions + batch norm + dropout",
                "79.5 %",
                *("--network", "osu", "--batch-norm", "--dropout", "--until", "0.795", "--epochs", "40"),
            ),
            _cifar("cifar_until_recipe", "the course's recipe", "", "--until", "0.795"),
        ),
    ),
    Section(
        "`training.fit` against others",
        "The same model, data (digits, 28 x 28), batches and seed, in turns within one run; all end at the same loss. "
        "Ratios are to a bare loop of five lines in the same turn: median and, in brackets, the middle half. The "
        "goal: at most 1.03, and not slower than the others.",
        _FIT_COLUMNS,
        (Measurement("fit", "benchmarks/fit.py", (), _fit_rows),),
    ),
    Section(
        "The same, a larger network",
        "Three times as many channels: the arithmetic is nine times as much, the loop around it the same.",
        _FIT_COLUMNS,
        (Measurement("fit_large", "benchmarks/fit.py", ("--width", "3", "--epochs", "1"), _fit_rows),),
    ),
    Section(
        "Correlation",
        "An image of 512 x 512 pixels: time as a multiple of scipy's direct method and, in brackets, of what as many "
        "multiply-adds take within a large matrix product of the same precision, which is the most that this machine "
        "can do. Fourier transforms need fewer multiplications for large kernels, and so may be below that limit.",
        ("kernel", *_METHODS),
        (Measurement("correlation", "benchmarks/correlation.py", (), _correlation_rows),),
    ),
    Section(
        "From files to tensors",
        "Images per second, JPEG files of at most 500 x 375 pixels (the size of the Cats vs Dogs photos), 64 x 64 "
        "pixels wanted: `folders.read` decodes in as many threads as there are cores and keeps the small images in "
        "memory, torchvision's `ImageFolder` reads the files again in each epoch.",
        ("reader", "first epoch", "later epochs"),
        (Measurement("folders", "benchmarks/folders.py", (), _folder_rows),),
    ),
    Section(
        "Drawing critters",
        "Pictures per second, and the time as a multiple of reading as many JPEG files of that size, or of photos.",
        ("pixels", "pictures per second", "against small files", "against photos"),
        (Measurement("critters", "benchmarks/critters.py", (), _critter_rows),),
    ),
    Section(
        "Grading",
        "Lab 1: what grading one submission takes beyond running its cells, imports included; and a class in which "
        "some are blank, hang, crash, or eat memory.",
        ("what", "time"),
        (Measurement("grading", "benchmarks/grading.py", (), _grading_rows),),
    ),
    Section(
        "The course itself",
        "A fresh interpreter that imports a module, each notebook alone with one thread, and the commands once "
        "installed. Memory is the peak: of the interpreter, of a notebook's kernel with its children, of a command's "
        "largest process.",
        ("what", "seconds", "MB"),
        (
            Measurement(
                "course",
                "benchmarks/course.py",
                ("--notebooks", "--commands", "run", "test", "site"),
                _course_rows,
            ),
        ),
    ),
    Section(
        "Growth",
        "The slope of log(time) against log(size): 1 is twice the time for twice the size, 2 four times; beside it "
        "that of the last doubling alone. Fixed costs make it smaller, caches that overflow a little larger. Under "
        "Linux, blocks of more than 32 MB are taken from the system anew for each operation, by every library: that is "
        "why the largest images cost so much, in a bare loop, too ([what helps](troubleshooting.md#speed)).",
        ("what, against which size", "sizes", "slope", "last doubling", "expected"),
        (Measurement("growth", "benchmarks/growth.py", ("--grading",), _growth_rows),),
    ),
    Section(
        "Stress tests",
        "What was done to the course, how often, and what became of it. Each script prints every single case.",
        ("what was done", "how often", "what happened"),
        tuple(Measurement(f"stress_{name}", f"stress/{name}.py", (), _hard_rows) for name in STRESS),
    ),
)
