"""The command that trains and stores the thin networks: ``python -m tools.pretraining``."""

from __future__ import annotations

import argparse
from pathlib import Path

from coursekit import runtime
from tools.pretraining import recipe
from tools.pretraining.storing import write_weights


def main(arguments: list[str] | None = None) -> None:
    """Train the networks named, or all of them, and store them with their cards."""
    parser = argparse.ArgumentParser(prog="python -m tools.pretraining", description=recipe.__doc__)
    parser.add_argument("names", nargs="*", metavar="NETWORK", help=f"of {', '.join(recipe.LAYOUTS)}; default: all")
    parser.add_argument("--cifar", metavar="DIR", help="CIFAR-10's class folders; without it, CIFAR-10 is downloaded")
    parser.add_argument("--critters-only", action="store_true", help="without CIFAR-10")
    parser.add_argument("--pictures", type=int, default=20_000, help="how many critters (default: 20000)")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=Path, default=Path("data") / "weights", help="folder (default: data/weights)")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(recipe.LAYOUTS):
        parser.error(f"there is no network {', '.join(sorted(unknown))}")
    runtime.setup("full" if not (options.cifar or options.critters_only) else "mini", seed=options.seed)
    tasks = recipe.source(options.cifar, options.pictures, options.seed, photos=not options.critters_only)
    for name in options.names or recipe.LAYOUTS:
        saved = runtime.cache_dir() / "pretraining" / f"{name}-{options.seed}-{options.epochs}-{options.pictures}.pt"
        model, card = recipe.train(name, tasks, epochs=options.epochs, seed=options.seed, autosave=saved)
        written = write_weights(name, model, card, options.into)
        print(f"{name}: {written['accuracy']}, {written['bytes']:,} bytes, {written['minutes']} minutes")
        saved.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
