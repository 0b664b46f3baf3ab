"""The stored colorizer on photos that it has not seen, against two baselines: all gray, and one colour for everything.

    python tests/benchmarks/colorization.py --photos DIR

All images below DIR count alike, whatever their size and kind. The network is given their lightness, and its answers
are decoded as `colorization.colorize` does by default, which is what notebook 06 recommends. The constant colour is the
median a and b of the photos that the network was trained on, from its card; nothing is fitted to the photos below DIR.
A photo whose shorter side is above 256 pixels is made smaller first.

The last line is one JSON object with means over the photos. "ciede2000", "gray" and "constant" are the mean CIEDE2000
of the network and of the two baselines, "colourfulness" and "true_colourfulness" that of its answers and of the photos.
"""

import argparse
import json
from pathlib import Path

from coursekit import pretrained
from coursekit.colorization import stored
from tools.train_colorizer import judge


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", metavar="DIR", type=Path, required=True, help="a folder of photos, nested or not")
    folder = parser.parse_args().photos
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    constant = pretrained.read_cards()[stored.NAME]["constant"]
    result = judge(*stored.load(), paths, constant)
    for name, value in result.items():
        print(f"{name:20s}{value:8.2f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
