"""Four ways to learn a small task, at several numbers of training images, on photos or on critters.

    python tests/benchmarks/transfer.py --network efficientnet_lite0 --train DIR --test DIR
    python tests/benchmarks/transfer.py --network efficientnet_lite0 --train DIR --ways frozen,scratch --seeds 2 --store
    python tests/benchmarks/transfer.py --network efficientnet_lite0 --train DIR --pairs
    python tests/benchmarks/transfer.py --train DIR --test DIR
    python tests/benchmarks/transfer.py --critters --network resnet18 --seeds 5 --sizes 200 --check

scratch: the same network untrained; frozen: logistic regression on the pretrained network's features; partial: only the
last block and the head are trained; fine_tuned: everything is. The three trained ones get the same number of steps. DIR
has one folder of photos per class. The last line is one JSON object: way, number of images, mean test accuracy; with
several seeds, "spread" holds the standard deviations. Each seed draws other training images and another start.

EfficientNet-Lite0, which knows ImageNet, is compared by `imagenet.py` beside this file. Without --test each seed holds
out a fifth of the photos. --pairs: 20 photos for each pair of classes, all others for the test. --store keeps the
result beside the stored features, from where notebook 4 shows it.
"""

import argparse
import copy
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import imagenet
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from coursekit import data, pretrained, runtime, training, transfer
from tools.pretraining.views import Views

BLOCKS = {"vgg16": "features.34", "resnet18": "layer4"}  # where the last block begins


def normalized(net, images):
    return net.normalize(images.float() / 255)


def frozen(net, train, test):
    body = transfer.backbone(net.model)
    learn = torch.cat([training.predict(body, with_labels(x, train))[0] for x in mirrored(net, train.images)])
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=2000))
    probe.fit(learn, torch.cat([train.labels, train.labels]))
    both = mirrored(net, test.images)
    votes = sum(probe.predict_log_proba(training.predict(body, with_labels(images, test))[0]) for images in both)
    return float((torch.from_numpy(votes).argmax(dim=1) == test.labels).float().mean())


@torch.no_grad()
def insert_batch_norm(model, images):
    """A copy of a network with a batch norm after each convolution, and the same outputs in eval mode.

    It is the way back from `fold_batch_norm`: each batch norm takes mean and variance of what it sees of some 64 images
    and undoes them by its own scale and shift. A plain deep network is hard to fine-tune; this one is not.
    """
    model, handles = copy.deepcopy(model).eval(), []
    for sequence in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        layers = []
        for layer in sequence:
            layers.append(layer)
            if isinstance(layer, nn.Conv2d):
                layers.append(nn.BatchNorm2d(layer.out_channels).eval())
                handles.append(layers[-1].register_forward_pre_hook(measure))
        del sequence[:]
        sequence.extend(layers)
    model(images)  # each batch norm is measured on its way, and from then on changes nothing
    for handle in handles:
        handle.remove()
    return model


def measure(norm, inputs):
    values = inputs[0].double()
    norm.running_mean.copy_(values.mean(dim=(0, 2, 3)))
    norm.running_var.copy_(values.var(dim=(0, 2, 3), unbiased=False))
    norm.bias.copy_(norm.running_mean)
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())


def mirrored(net, images):
    """Pictures and their mirror images: both are shown in training, and both vote in the test."""
    return [normalized(net, images), normalized(net, images.flip(3))]


def with_labels(images, part):
    return torch.utils.data.TensorDataset(images, part.labels)


def trained(way, name, net, train, test, seed, epochs, batch):
    torch.manual_seed(seed)
    model = pretrained.load(name).model
    if name == "vgg16":  # its batch norm was folded away; for training, all ways get one again
        model = insert_batch_norm(model, normalized(net, train.images[:64]))
    if way == "scratch":
        model.apply(lambda layer: getattr(layer, "reset_parameters", lambda: None)())
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):  # as the thin networks begin, which is better than torch's default
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    transfer.replace_head(model, len(train.classes))
    if way == "partial":
        before = True
        for path, parameter in model.named_parameters():
            before = before and not path.startswith(BLOCKS[name])
            parameter.requires_grad_(not before)
    rate = RATES[name]["scratch" if way == "scratch" else "pretrained"]
    views = Views([train], [train.size[0]], net.normalize)
    training.fit(
        model,
        views.loader(batch, seed),
        epochs=epochs,
        optimizer=partial(AdamW, lr=rate, weight_decay=0.05),
        scheduler=partial(OneCycleLR, max_lr=rate, pct_start=0.2),
        loss=nn.CrossEntropyLoss(label_smoothing=0.1),
        seed=seed,
        amp=name == "vgg16",
        channels_last=True,
    )
    both = mirrored(net, test.images)
    logits = sum(training.predict(model, with_labels(images, test))[0] for images in both)
    return (logits.argmax(dim=1) == test.labels).float().mean().item()


RATES = {
    "vgg16": {"pretrained": 2e-3, "scratch": 2e-3},
    "resnet18": {"pretrained": 2e-3, "scratch": 2e-3},
}
WAYS = ("scratch", "frozen", "partial", "fine_tuned")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", metavar="DIR")
    parser.add_argument("--test", metavar="DIR")
    parser.add_argument("--critters", action="store_true", help="drawn cats and dogs instead of photos")
    parser.add_argument("--network", choices=[*RATES, "efficientnet_lite0"], default="vgg16")
    parser.add_argument("--sizes", help="numbers of training images (default: 100,200,500,1000; 20 to all)")
    parser.add_argument("--pixels", type=int, default=96, help="height and width of the images (default: 96)")
    parser.add_argument("--seeds", type=int, help="draws (default: 1; 10 for EfficientNet-Lite0)")
    parser.add_argument("--epochs", type=int, help="default: from 60 for 100 images to 25 for 1,000")
    parser.add_argument("--ways", help=f"default: {','.join(WAYS)}; frozen for EfficientNet-Lite0")
    parser.add_argument("--pairs", action="store_true", help="each pair of classes, from 20 photos")
    parser.add_argument("--store", action="store_true", help="keep the result in data/features")
    parser.add_argument("--check", action="store_true", help="fail if the course's claims for critters do not hold")
    options = parser.parse_args()
    if options.network == "efficientnet_lite0":
        if not options.train:
            parser.error("give --train DIR")
        runtime.setup("mini")
        print(json.dumps(imagenet.compare(options)))
        return
    if options.critters == bool(options.train and options.test):
        parser.error("give --train DIR and --test DIR, or --critters")
    runtime.setup("mini")
    net = pretrained.load(options.network)
    pixels = options.pixels
    if not options.critters:
        whole = data.folder(options.train, options.test, size=pixels)
    results, spread = {}, {}
    for way in (options.ways or ",".join(WAYS)).split(","):
        for count in map(int, (options.sizes or "100,200,500,1000").split(",")):
            scores, start = [], time.perf_counter()
            for seed in range(options.seeds or 1):
                if options.critters:
                    train = data.critters(count, 2, pixels, seed).train
                    test = data.critters(2, 1000, pixels, 1000).test
                else:
                    train, test = some(whole.train, count, seed), whole.test
                if way == "frozen":
                    scores.append(frozen(net, train, test))
                else:
                    epochs = options.epochs or round(min(60, max(25, 60 * (100 / count) ** 0.38)))
                    scores.append(trained(way, options.network, net, train, test, seed, epochs, 32))
            results.setdefault(way, {})[str(count)] = round(statistics.mean(scores), 4)
            if len(scores) > 1:
                spread.setdefault(way, {})[str(count)] = round(statistics.stdev(scores), 4)
            seconds = time.perf_counter() - start
            print(f"{way:10s} {count:5d}: {statistics.mean(scores):.1%}   {scores} {seconds:.0f} s", flush=True)
    print(json.dumps(results | ({"spread": spread} if spread else {})))
    if options.check:
        at_200 = {way: results[way]["200"] for way in results}
        claims = {
            "frozen >= 90 %": at_200["frozen"] >= 0.90 - SLACK,
            "fine-tuned >= 95 %": at_200["fine_tuned"] >= 0.95 - SLACK,
            "scratch <= 85 %": at_200["scratch"] <= 0.85 + SLACK,
        }
        sys.exit("; ".join(f"not so: {claim}" for claim, holds in claims.items() if not holds) or 0)


SLACK = 0.01  # for the noise of a mean over five seeds


def some(part, count, seed):
    """As many images of each class as of the others, other ones for each seed."""
    if count >= len(part):
        return part
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in range(len(part.classes)):
        members = (part.labels == label).nonzero()[:, 0]
        chosen.append(members[torch.randperm(len(members), generator=generator)][: count // len(part.classes)])
    return part.subset(torch.cat(chosen))


if __name__ == "__main__":
    main()
