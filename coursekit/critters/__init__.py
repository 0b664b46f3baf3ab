"""Critters: small pictures of animals' heads over real photos, drawn from a seed, with the ground truth about each.

Cats and dogs are the task of the course, the other species what networks are pretrained on. `drawing` draws one picture
or many, `files` writes them as the folders of JPEG files that photo collections are. Nothing here imports torch.
"""

from coursekit.critters.drawing import SPECIES, Critter, Part, draw, make
from coursekit.critters.files import write_folder

__all__ = ["SPECIES", "Critter", "Part", "draw", "make", "write_folder"]
