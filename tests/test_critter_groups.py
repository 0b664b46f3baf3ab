"""Pictures of several animals, and the ground truth about each."""

import numpy as np
import pytest

from coursekit import critters


@pytest.fixture(scope="module")
def groups():
    return critters.make_groups(40, seed=3, difficulty=0.6)


def test_the_same_seed_gives_the_same_bytes_however_many_there_are(groups):
    again = critters.make_groups(5, seed=3, difficulty=0.6)
    assert all((one.image == two.image).all() for one, two in zip(again, groups, strict=False))
    assert (critters.make_groups(1, seed=4, difficulty=0.6)[0].image != groups[0].image).any()


def test_all_numbers_and_species_occur(groups):
    assert {len(group.animals) for group in groups} == {1, 2, 3, 4}
    assert {animal.species for group in groups for animal in group.animals} == {"cat", "dog"}


def test_masks_are_apart_and_boxes_tight(groups):
    for group in groups:
        masks = np.stack([animal.mask for animal in group.animals])
        assert group.image.shape == (128, 128, 3)
        assert masks.sum(axis=0).max() <= 1  # a pixel shows one animal
        for animal in group.animals:
            x0, y0, x1, y1 = animal.box
            assert animal.mask[y0:y1, x0:x1].sum() == animal.mask.sum() > 0
            assert animal.mask[y0].any()
            assert animal.mask[:, x1 - 1].any()


def test_animals_overlap_and_enough_is_seen_of_each(groups):
    seen = [animal.seen for group in groups for animal in group.animals]
    assert min(seen) >= 0.39  # a mask that was counted in steps
    assert max(seen) == 1
    assert np.mean(np.array(seen) < 0.95) > 0.1
    assert all(group.animals[-1].seen == 1 for group in groups)  # nothing is in front of the last


def test_what_is_drawn_is_where_the_truth_says():
    empty, one = (critters.draw_group(species, seed=5, difficulty=0) for species in ([], ["cat"]))
    changed = (empty.image != one.image).any(axis=-1)
    assert (changed & one.animals[0].mask).sum() > 0.95 * one.animals[0].mask.sum()
    assert (changed & ~one.animals[0].mask).sum() < 0.1 * one.animals[0].mask.sum()
    assert all(one.animals[0].parts[name].visible for name in ("muzzle", "left eye", "right eye"))


def test_a_hidden_part_is_not_visible(groups):
    parts = [(animal, part) for group in groups for animal in group.animals for part in animal.parts.values()]
    assert all(animal.mask[int(part.y), int(part.x)] for animal, part in parts if part.visible)
    assert any(not part.visible for _, part in parts)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((2, ["unicorn"]), ValueError, "no species 'unicorn'"),
        ((2, "cat"), TypeError, "several names"),
        ((-1,), ValueError, "count"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        critters.make_groups(*arguments)


def test_numbers_of_animals_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="fewest, most"):
        critters.make_groups(2, animals=(3, 1))
    with pytest.raises(ValueError, match="no room for"):
        critters.draw_group(["cat"] * 40, size=64)
