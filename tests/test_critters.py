"""Critters: the same seed gives the same pictures, colours say nothing of the class, and the truth is true."""

import hashlib
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coursekit import critters
from coursekit.critters import drawing, heads, scene
from coursekit.critters.species import SPECIES as RECIPES

ROOT = Path(__file__).parent.parent
CLASSIC = ("cat", "dog")


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


@pytest.fixture
def without_effects(monkeypatch):
    """Leave out light, blur, noise and things in front."""
    monkeypatch.setattr(scene, "expose", lambda _rng, image, _difficulty: image)
    monkeypatch.setattr(scene, "occluders", lambda *_: [])


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
    for seed in range(10):
        c = critters.draw(species, seed)
        assert c.image.shape == (64, 64, 3)
        assert c.image.dtype == np.uint8
        assert c.mask.shape == (64, 64)
        assert c.mask.dtype == bool
        assert c.species == species
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
def test_the_mask_is_where_the_animal_was_drawn(species, monkeypatch, without_effects):
    """Over black and over white, the pictures differ by just the share of each pixel that the animal leaves free."""

    def over(value, seed):
        monkeypatch.setattr(scene, "background", lambda _, h, w, *__: np.full((h, w, 3), value, np.float32))
        return critters.draw(species, seed, 80)

    for seed in range(3):
        black, white = over(0, seed), over(255, seed)
        share = 1 - (white.image.astype(int) - black.image).max(axis=2) / 255
        clear = np.abs(share - 0.5) > 0.01  # the images are rounded to whole numbers
        np.testing.assert_array_equal(black.mask[clear], share[clear] > 0.5)
        np.testing.assert_array_equal(black.mask, white.mask)
        assert clear.mean() > 0.95


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


def test_things_in_front_hide_parts_but_never_most_of_the_animal(monkeypatch):
    seen = [critters.draw("dog", seed, 32, difficulty=1) for seed in range(60)]
    monkeypatch.setattr(scene, "occluders", lambda *_: [])
    whole = [critters.draw("dog", seed, 32, difficulty=1) for seed in range(60)]
    hidden = 0
    for some, every in zip(seen, whole, strict=True):
        assert some.mask.sum() > 0.66 * every.mask.sum()
        assert not (some.mask & ~every.mask).any()
        assert all(every.parts[name].visible for name, part in some.parts.items() if part.visible)
        hidden += sum(part.visible > some.parts[name].visible for name, part in every.parts.items())
    assert hidden > 10


def test_light_blur_and_noise_grow_with_difficulty(monkeypatch):
    def draw(difficulty):
        return np.array([critters.draw("cat", seed, 64, difficulty).image.astype(int) for seed in range(9)])

    exposed = [draw(difficulty) for difficulty in (0, 0.3, 1)]
    monkeypatch.setattr(scene, "expose", lambda _rng, image, _difficulty: image)
    easy, middle, hard = (np.abs(a - draw(d)).mean() for a, d in zip(exposed, (0, 0.3, 1), strict=True))
    assert easy == 0
    assert 3 < middle < hard


def test_two_species_with_one_seed_share_the_scene(monkeypatch, without_effects):
    from scipy.ndimage import binary_dilation

    palette, palettes = scene.palette, []
    monkeypatch.setattr(scene, "palette", lambda *a: palettes.append(palette(*a)) or palettes[-1])
    for seed in range(5):
        cat, dog = (critters.draw(species, seed) for species in CLASSIC)
        around = binary_dilation(cat.mask | dog.mask, iterations=2)
        differs = (cat.image != dog.image).any(axis=2) & ~around
        assert differs.sum() < 100  # whiskers, thinner than half a pixel
        assert (cat.image != dog.image).any()
        assert palettes[-1] == palettes[-2]
    assert len({p["fur"] for p in palettes}) == 5


def test_no_photo_behind_has_a_cat():
    assert "chelsea" not in scene.PHOTOS
    assert len(set(scene.PHOTOS)) == len(scene.PHOTOS) >= 8


def test_natural_colours_are_those_of_the_species(without_effects):
    for species, hue in (("frog", 1), ("fox", 0)):
        drawn = [critters.draw(species, seed, natural=True, photos=("china",)) for seed in range(10)]
        colours = np.mean([c.image[c.mask].mean(axis=0) for c in drawn], axis=0)
        assert colours.argmax() == hue


def test_difficulty_is_one_knob():
    def measure(difficulty):
        drawn = [critters.draw("cat", seed, difficulty=difficulty) for seed in range(60)]
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
def hundreds(seed):
    return critters.make(600, seed=2 * seed), critters.make(600, seed=2 * seed + 1)


@pytest.mark.trained
def test_pixels_do_not_tell_the_class(hundreds):
    from sklearn.linear_model import LogisticRegression

    (images, labels, _), (others, truth, _) = hundreds
    model = LogisticRegression(C=1e-3, max_iter=1000).fit(images.reshape(600, -1) / np.float32(255), labels)
    assert model.score(images.reshape(600, -1) / np.float32(255), labels) > 0.65  # it did learn the pictures by heart
    assert model.score(others.reshape(600, -1) / np.float32(255), truth) < 0.6


@pytest.mark.trained
def test_colours_do_not_tell_the_class(hundreds):
    from sklearn.linear_model import LogisticRegression

    def colours(images, truths):
        """The mean colour of the animal and of what is behind it."""
        pairs = [(image[c.mask], image[~c.mask]) for image, c in zip(images, truths, strict=True)]
        return np.array([np.concatenate([a.mean(axis=0), b.mean(axis=0)]) for a, b in pairs]) / 128 - 1

    (images, labels, truths), (others, truth, other_truths) = hundreds
    model = LogisticRegression().fit(colours(images, truths), labels)
    assert model.score(colours(others, other_truths), truth) < 0.56


@pytest.mark.trained
def test_places_do_not_tell_the_class(hundreds):
    from sklearn.linear_model import LogisticRegression

    def centres(truths):
        return np.array([(c.box[0] + c.box[2] - 64, c.box[1] + c.box[3] - 64) for c in truths]) / 32

    (_, labels, truths), (_, truth, other_truths) = hundreds
    assert centres(truths).std(axis=0).min() > 0.05
    assert LogisticRegression().fit(centres(truths), labels).score(centres(other_truths), truth) < 0.56


def test_pictures_of_one_class_differ():
    images, labels, _ = critters.make(100, seed=1)
    for label in (0, 1):
        assert images[labels == label].std(axis=0).min() > 30


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_whiskers_and_tongues_come_as_often_as_the_species_says(chance):
    palette = scene.palette(np.random.default_rng(0), ()) | {"whisker": (1, 2, 3)}
    cat = replace(RECIPES["cat"], whiskers=chance, tongue=chance)
    head = heads.Head(np.random.default_rng(0), palette, cat)
    assert any(stroke.colour == (1, 2, 3) for stroke in head.strokes) == bool(chance)
    assert ("tongue" in head.parts) == bool(chance)


# ---- planted shortcuts


def test_a_background_of_ones_own(without_effects):
    def gray(k):
        drawn = [critters.draw("cat", seed, background=k, difficulty=1) for seed in range(9)]
        # Grass and brick are gray photos under a tint: all three colours are multiples of each other.
        return all(np.corrcoef(c.image[:6, :6].reshape(-1, 3).T).min() > 0.9 for c in drawn if not c.mask[:8, :8].any())

    assert [gray(k) for k in range(3)] == [True, True, False]


@pytest.mark.parametrize(("rate", "classes"), [(1.0, 2), (0.0, 2), (0.9, 2), (0.5, 3)])
def test_a_shortcut_tells_the_class_as_often_as_asked(rate, classes, monkeypatch):
    names, cues, whole = critters.SPECIES[:classes], [], critters.draw

    def draw(species, seed, size, difficulty, *, background, **options):
        cues.append(background)
        return blank

    blank = whole("cat", 0, 32)
    monkeypatch.setattr(drawing, "draw", draw)
    labels = critters.make(600, names, size=32, shortcut="background", shortcut_rate=rate)[1]
    assert set(cues) == set(range(classes))
    assert np.mean(np.array(cues) == labels) == pytest.approx(rate, abs=0.08 if 0 < rate < 1 else 0)
    cues.clear()
    critters.make(6, names, size=32, shortcut_rate=0.5)
    assert cues == [None] * 6  # no shortcut unless asked


# ---- errors

WRONG = [
    ({"species": ("cat", "unicorn")}, ValueError, "no species 'unicorn'.*There are: cat, dog"),
    ({"species": "cat"}, TypeError, "several names"),
    ({"difficulty": -0.1}, ValueError, "difficulty must be between 0 and 1, not -0.1"),
    ({"difficulty": float("nan")}, ValueError, "difficulty must be between 0 and 1, not nan"),
    ({"shortcut": "colour"}, ValueError, "no shortcut 'colour'; take \"background\""),
    ({"shortcut_rate": 2}, ValueError, "shortcut_rate must be between 0 and 1"),
    ({"seed": -1}, ValueError, "seed must be at least 0"),
    ({"seed": 1.5}, TypeError, "seed must be a whole number"),
    ({"count": -1}, ValueError, "count must be at least 0"),
    ({"size": 31}, ValueError, "size must be at least 32"),
    ({"size": (64, 8)}, ValueError, "size must be at least 32"),
    ({"size": (64, 64, 3)}, ValueError, "one or two numbers"),
    ({"size": 64.0}, TypeError, "size must be a whole number"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_arguments_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        critters.make(**{"count": 4, **wrong})


def test_draw_refuses_a_species_that_there_is_not():
    with pytest.raises(ValueError, match="no species 'unicorn'"):
        critters.draw("unicorn")


def kinds(name, count=400):
    palette = defaultdict(lambda: (0, 0, 0))
    return [heads.Head(np.random.default_rng(seed), palette, RECIPES[name]).kinds for seed in range(count)]


def test_cats_and_dogs_share_no_defining_mark():
    """A dog with pointed ears and a tabby's stripes is a cat to people, too."""
    cats, dogs = kinds("cat"), kinds("dog")
    assert not {kind["ears"] for kind in cats} & {kind["ears"] for kind in dogs}
    assert all(kind["whiskers"] and not kind["tongue"] for kind in cats)
    assert not any(kind["whiskers"] or kind["coat"] == "stripes" for kind in dogs)
    assert any(kind["coat"] == "stripes" for kind in cats)
    assert {kind["eyes"] for kind in cats} & {kind["eyes"] for kind in dogs}  # which are no mark of either


def test_the_other_species_look_as_they_did():
    """The stored networks were trained on them."""
    assert {kind["coat"] for kind in kinds("bear")} == {"plain", "blaze", "patch", "stripes", "half"}
    assert {kind["coat"] for kind in kinds("fox", 40)} == {"plain"}
