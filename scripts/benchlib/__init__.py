"""What scripts/bench is made of."""

import pathlib

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
