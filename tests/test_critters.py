"""Critters: the same seed gives the same pictures, colours say nothing of the class, and the truth is true."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from sklearn.linear_model import LogisticRegression

from coursekit import critters
from coursekit.critters import drawing, scene

ROOT = Path(__file__).parent.parent
CLASSIC = ("cat", "dog")


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def in_a_process(code, *arguments, **environment):
    """Run Python code in a fresh process and return what it printed."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), **environment},
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# ---- one picture


def test_there_are_cats_dogs_and_at_least_eight_others():
    assert set(CLASSIC) < set(critters.SPECIES)
    assert len(critters.SPECIES) >= 10


@pytest.mark.parametrize("species", critters.SPECIES)
def test_a_picture_and_its_truth(species):
    for seed in range(20):
        c = critters.draw(species, seed)
        assert c.image.shape == (64, 64, 3)
        assert c.image.dtype == np.uint8
        assert c.mask.shape == (64, 64)
        assert c.mask.dtype == bool
        assert c.species == species
        assert c.patch is None
        assert {"muzzle", "left eye", "right eye"} <= c.parts.keys()
        assert ("left ear" in c.parts) == ("right ear" in c.parts) == (species not in ("frog", "seal"))
        for part in c.parts.values():
            if part.visible:
                assert 0 <= part.x < 64
                assert 0 <= part.y < 64
                assert c.mask[int(part.y), int(part.x)]


@pytest.mark.parametrize("size", [32, 33, 64, 200, (48, 90), (90, 48), np.int64(64)])
@pytest.mark.parametrize("difficulty", [0, 0.5, 1])
def test_boxes_are_tight(size, difficulty):
    for seed in range(8):
        c = critters.draw(critters.SPECIES[seed], seed, size, difficulty)
        assert c.image.shape[:2] == c.mask.shape == (size if isinstance(size, tuple) else (size, size))
        x0, y0, x1, y1 = c.box
        assert c.mask.sum() == c.mask[y0:y1, x0:x1].sum() > 0
        assert c.mask[y0].any()
        assert c.mask[y1 - 1].any()
        assert c.mask[:, x0].any()
        assert c.mask[:, x1 - 1].any()
        assert all(type(v) is int for v in c.box)


@pytest.mark.parametrize("species", critters.SPECIES)
def test_the_mask_is_where_the_animal_was_drawn(species, monkeypatch):
    """Over black and over white, the pictures differ by just the share of each pixel that the animal leaves free."""

    def over(value, seed):
        monkeypatch.setattr(scene, "background", lambda _, h, w, *__: np.full((h, w, 3), value, np.float32))
        return critters.draw(species, seed, 80, effects=False)

    for seed in range(8):
        black, white = over(0, seed), over(255, seed)
        share = 1 - (white.image.astype(int) - black.image).max(axis=2) / 255
        clear = np.abs(share - 0.5) > 0.01  # the images are rounded to whole numbers
        np.testing.assert_array_equal(black.mask[clear], share[clear] > 0.5)
        np.testing.assert_array_equal(black.mask, white.mask)
        assert clear.mean() > 0.95


@pytest.mark.parametrize("effects", [False, True])
def test_with_and_without_the_animal(effects, monkeypatch):
    monkeypatch.setattr(scene, "expose", lambda _rng, image, _difficulty: image)
    cut = 0
    for seed in range(60):
        species = critters.SPECIES[seed % len(critters.SPECIES)]
        there = critters.draw(species, seed, effects=effects, difficulty=0.8)
        gone = critters.draw(species, seed, effects=effects, difficulty=0.8, animal=False)
        assert not gone.mask.any()
        assert gone.box == (0, 0, 0, 0)
        assert not any(part.visible for part in gone.parts.values())
        differs = (there.image != gone.image).any(axis=2)
        assert differs[there.mask].mean() > 0.97  # a few pixels have the background's colour
        outside = differs & ~binary_dilation(there.mask, iterations=1)
        assert outside.sum() < 100  # whiskers, thinner than half a pixel
        whole = critters.draw(species, seed, effects=False, difficulty=0.8).mask
        assert not (there.mask & ~whole).any()
        cut += there.mask.sum() < whole.sum()
        assert there.mask.sum() > 0.5 * whole.sum()
    assert cut == 0 if not effects else cut > 5


@pytest.mark.parametrize("species", critters.SPECIES)
def test_parts_are_where_their_names_say(species):
    for seed in range(10):
        parts = critters.draw(species, seed, difficulty=0).parts
        assert all(part.visible for name, part in parts.items() if "ear" not in name)
        assert parts["left eye"].x < parts["muzzle"].x < parts["right eye"].x
        assert max(parts["left eye"].y, parts["right eye"].y) < parts["muzzle"].y
        if "left ear" in parts:
            assert parts["left ear"].x < parts["muzzle"].x < parts["right ear"].x
        if "tongue" in parts:
            assert parts["tongue"].y > parts["muzzle"].y


def test_enough_of_the_animal_stays_visible():
    for seed in range(0, 400, 2):
        seen, whole = (
            critters.draw("cat", seed, difficulty=1, effects=effects).mask.sum() for effects in (True, False)
        )
        assert seen > 0.66 * whole


def test_effects_change_the_picture_and_grow_with_difficulty():
    def change(difficulty):
        pairs = [
            [critters.draw("cat", s, 64, difficulty, effects=e).image.astype(int) for e in (True, False)]
            for s in range(9)
        ]
        return np.mean([np.abs(a - b).mean() for a, b in pairs])

    assert change(0) == 0
    assert 3 < change(0.3) < change(1)


def test_things_in_front_hide_parts():
    pairs = [
        (critters.draw("dog", seed, difficulty=1), critters.draw("dog", seed, difficulty=1, effects=False))
        for seed in range(60)
    ]
    hidden = [
        name
        for seen, whole in pairs
        for name, part in seen.parts.items()
        if not part.visible & whole.parts[name].visible
    ]
    assert len(hidden) > 10
    for seen, whole in pairs:
        assert all(whole.parts[name].visible for name, part in seen.parts.items() if part.visible)


def test_two_species_with_one_seed_share_the_scene(monkeypatch):
    palette, palettes = scene.palette, []
    monkeypatch.setattr(scene, "palette", lambda rng: palettes.append(palette(rng)) or palettes[-1])
    for seed in range(5):
        cat, dog = (critters.draw(species, seed, animal=False, effects=False).image for species in CLASSIC)
        np.testing.assert_array_equal(cat, dog)
        cat, dog = (critters.draw(species, seed) for species in CLASSIC)
        assert (cat.image != dog.image).any()
        assert palettes[-1] == palettes[-2]
    assert len({p["fur"] for p in palettes}) == 5


def test_no_photo_behind_has_a_cat():
    assert "chelsea" not in scene.PHOTOS
    assert len(set(scene.PHOTOS)) == len(scene.PHOTOS) >= 8


def test_difficulty_is_one_knob():
    def measure(difficulty):
        drawn = [critters.draw("cat", seed, difficulty=difficulty) for seed in range(80)]
        areas = [c.mask.mean() for c in drawn]
        off = [np.hypot((c.box[0] + c.box[2]) / 2 - 32, (c.box[1] + c.box[3]) / 2 - 32) for c in drawn]
        tilt = [abs(c.parts["right eye"].y - c.parts["left eye"].y) for c in drawn]
        hidden = [sum(not part.visible for part in c.parts.values()) for c in drawn]
        return np.mean(areas), -np.mean(off), -np.mean(tilt), -np.mean(hidden)

    easy, middle, hard = (measure(d) for d in (0, 0.5, 1))
    for values in zip(easy, middle, hard, strict=True):
        assert values[0] > values[1] > values[2]
    assert easy[2:] == (0, 0)  # upright, and nothing hidden


# ---- many pictures


def test_the_same_seed_gives_the_same_bytes():
    first, second = critters.make(12, seed=3), critters.make(12, seed=3)
    np.testing.assert_array_equal(first[0], second[0])
    assert digest(critters.make(12, seed=4)[0]) != digest(first[0])
    code = """if True:
        import hashlib, sys
        from coursekit import critters
        print(hashlib.sha256(critters.make(12, seed=3)[0].tobytes()).hexdigest())
        wrong = {"torch", "matplotlib", "sklearn"} & sys.modules.keys()
        assert not wrong, wrong"""
    for hash_seed in ("1", "2"):
        assert in_a_process(code, PYTHONHASHSEED=hash_seed) == digest(first[0])


def test_an_item_depends_on_seed_species_and_number_only():
    images, labels, truths = critters.make(10, ("cat", "dog", "owl"), seed=7, size=(40, 50), difficulty=0.3)
    assert images.shape == (10, 40, 50, 3)
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    few = critters.make(4, ("cat", "dog", "owl"), seed=7, size=(40, 50), difficulty=0.3)
    np.testing.assert_array_equal(few[0], images[:4])
    for i, c in enumerate(truths):
        alone = critters.draw(("cat", "dog", "owl")[i % 3], (7, i), (40, 50), 0.3)
        assert digest(alone.image, alone.mask) == digest(images[i], c.mask)
        assert (alone.box, alone.parts, alone.species) == (c.box, c.parts, c.species)
        assert np.shares_memory(c.image, images)


def test_seeds_do_not_run_into_each_other():
    seeds = [0, 1, 2, (0,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (1, 0, 0), 2**32, 2**40]
    seen = {digest(critters.draw("cat", seed).image) for seed in seeds}
    assert len(seen) == len(seeds) - 1  # 0 and (0,) are the same
    images = critters.make(200, seed=0)[0]
    assert len({digest(image) for image in images}) == 200


@pytest.mark.parametrize(("count", "species"), [(0, CLASSIC), (1, CLASSIC), (101, CLASSIC), (50, critters.SPECIES)])
def test_classes_are_balanced(count, species):
    images, labels, truths = critters.make(count, species, size=32)
    assert len(images) == len(labels) == len(truths) == count
    counts = np.bincount(labels, minlength=len(species))
    assert counts.max() - counts.min() <= 1
    assert [c.species for c in truths] == [species[label] for label in labels]


@pytest.fixture(scope="module")
def thousand():
    return critters.make(1000, seed=1), critters.make(1000, seed=2)


def test_pixels_do_not_tell_the_class(thousand):
    (images, labels, _), (others, truth, _) = thousand
    model = LogisticRegression(C=1e-3, max_iter=1000).fit(images.reshape(1000, -1) / np.float32(255), labels)
    assert model.score(images.reshape(1000, -1) / np.float32(255), labels) > 0.65  # it did learn the 1,000 by heart
    assert model.score(others.reshape(1000, -1) / np.float32(255), truth) < 0.6


def test_colours_do_not_tell_the_class(thousand):
    def colours(images, truths):
        """The mean colour of the animal and of what is behind it."""
        pairs = [(image[c.mask], image[~c.mask]) for image, c in zip(images, truths, strict=True)]
        return np.array([np.concatenate([a.mean(axis=0), b.mean(axis=0)]) for a, b in pairs]) / 128 - 1

    (images, labels, truths), (others, truth, other_truths) = thousand
    model = LogisticRegression().fit(colours(images, truths), labels)
    assert model.score(colours(others, other_truths), truth) < 0.56


def test_places_do_not_tell_the_class(thousand):
    def centres(truths):
        return np.array([(c.box[0] + c.box[2] - 64, c.box[1] + c.box[3] - 64) for c in truths]) / 32

    (_, labels, truths), (_, truth, other_truths) = thousand
    assert centres(truths).std(axis=0).min() > 0.05
    assert LogisticRegression().fit(centres(truths), labels).score(centres(other_truths), truth) < 0.56


def test_pictures_of_one_class_differ(thousand):
    (images, labels, _), _ = thousand
    for label in (0, 1):
        assert images[labels == label].std(axis=0).min() > 30


# ---- planted shortcuts


def test_a_planted_patch():
    for seed in range(10):
        plain, planted = (critters.draw("cat", seed, effects=False, shortcut=s) for s in (None, ("patch", 1)))
        x0, y0, x1, y1 = planted.patch
        assert (planted.image[y0:y1, x0:x1] == (40, 90, 230)).all()
        assert not planted.mask[y0:y1, x0:x1].any()
        outside = np.ones((64, 64), bool)
        outside[y0:y1, x0:x1] = False
        np.testing.assert_array_equal(plain.image[outside], planted.image[outside])
        np.testing.assert_array_equal(plain.mask[outside], planted.mask[outside])
    corners = {critters.draw("cat", seed, shortcut=("patch", 0)).patch for seed in range(20)}
    assert len(corners) == 4


def test_a_planted_background():
    def gray(k):
        images = [
            critters.draw("cat", s, animal=False, effects=False, shortcut=("background", k)).image for s in range(9)
        ]
        # Grass and brick are gray photos under a tint: all three colours are multiples of each other.
        return all(np.corrcoef(image.reshape(-1, 3).T).min() > 0.95 for image in images)

    assert [gray(k) for k in range(3)] == [True, True, False]


@pytest.mark.parametrize("kind", ["patch", "background"])
def test_a_shortcut_tells_the_class_as_often_as_asked(kind):
    def agreement(rate, classes=2):
        cues = [drawing.choose_cue(kind, i % classes, classes, rate, (0, i)) for i in range(1000)]
        assert {name for name, _ in cues} == {kind}
        assert {cue for _, cue in cues} == set(range(classes))
        return np.mean([cue == i % classes for i, (_, cue) in enumerate(cues)])

    assert agreement(1.0) == 1
    assert agreement(0.0) == 0
    assert agreement(0.9) == pytest.approx(0.9, abs=0.05)
    assert agreement(0.5, 3) == pytest.approx(0.5, abs=0.08)


def test_shortcuts_of_a_data_set():
    _, labels, truths = critters.make(20, shortcut="patch")
    for label, c in zip(labels, truths, strict=True):
        x0, y0, x1, y1 = c.patch
        red, _, blue = c.image[y0:y1, x0:x1].reshape(-1, 3).mean(axis=0)
        assert (red > blue) == (label == 0)
    a, b = (critters.make(40, shortcut="patch", shortcut_rate=rate)[0] for rate in (0.0, 1.0))
    assert (a != b).any(axis=(1, 2, 3)).all()


def test_no_shortcut_unless_asked():
    plain = critters.make(6)[0]
    np.testing.assert_array_equal(plain, critters.make(6, shortcut=None, shortcut_rate=0.5)[0])
    assert all(c.patch is None for c in critters.make(6)[2])


# ---- errors

WRONG = [
    ({"species": ("cat", "dgo")}, ValueError, r"'dgo'.*mean 'dog'.*cat, dog, bat"),
    ({"species": ("cat", "unicorn")}, ValueError, "no species 'unicorn'.*There are: cat, dog"),
    ({"species": ("cat", 3)}, ValueError, "no species 3"),
    ({"species": "cat"}, TypeError, "sequence of names"),
    ({"species": None}, TypeError, "sequence of names"),
    ({"species": ()}, ValueError, "at least one"),
    ({"species": ("cat", "cat")}, ValueError, "only once"),
    ({"difficulty": -0.1}, ValueError, "difficulty must be between 0 and 1, got -0.1"),
    ({"difficulty": 1.5}, ValueError, "difficulty must be between 0 and 1"),
    ({"difficulty": float("nan")}, ValueError, "difficulty must be between 0 and 1, got nan"),
    ({"difficulty": "hard"}, TypeError, "difficulty must be a number"),
    ({"shortcut": "colour"}, ValueError, "no shortcut 'colour'; there are: patch, background"),
    ({"shortcut_rate": 2}, ValueError, "shortcut_rate must be between 0 and 1"),
    ({"seed": -1}, ValueError, "seed must be 0 or more"),
    ({"seed": 1.5}, TypeError, "seed must be a whole number"),
    ({"seed": "1"}, TypeError, "seed must be a whole number"),
    ({"seed": ()}, ValueError, "seed must be 0 or more"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_arguments_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        critters.make(**{"count": 4, **wrong})


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"count": -1}, ValueError, "count must be 0 or more, got -1"),
        ({"count": 2.0}, TypeError, "count must be a whole number"),
        ({"count": 2, "size": 31}, ValueError, "size must be at least 32 pixels, got 31"),
        ({"count": 2, "size": (64, 8)}, ValueError, "size must be at least 32 pixels"),
        ({"count": 2, "size": (64, 64, 3)}, ValueError, "one or two numbers"),
        ({"count": 2, "size": 64.0}, TypeError, "size must be a whole number"),
        ({"count": 2, "size": None}, TypeError, "size must be a whole number"),
    ],
)
def test_wrong_counts_and_sizes_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        critters.make(**wrong)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"species": "unicorn"}, ValueError, "no species 'unicorn'"),
        ({"species": None}, ValueError, "no species None"),
        ({"size": 16}, ValueError, "at least 32"),
        ({"difficulty": 7}, ValueError, "between 0 and 1"),
        ({"shortcut": "patch"}, TypeError, "pair such as"),
        ({"shortcut": ("colour", 0)}, ValueError, "no shortcut 'colour'"),
        ({"shortcut": ("patch", 0.5)}, TypeError, "whole number"),
    ],
)
def test_wrong_arguments_of_draw_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        critters.draw(**{"species": "cat", **wrong})


def test_animal_is_yes_or_no():
    """It was multiplied with, so that 2 made a bright animal, and 0.5 a ghost."""
    one, other = (critters.draw("cat", 3, animal=animal) for animal in (True, 0.5))
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.mask, other.mask)
