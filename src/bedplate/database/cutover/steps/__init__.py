"""The steps of a cutover that move rows: each may be run again at any time, after it was killed anywhere."""

from bedplate.database.cutover.steps.follow import Follower, Key, apply, differing
from bedplate.database.cutover.steps.pairs import keylog, legacy_name, pair_of, pairs
from bedplate.database.cutover.steps.replay import Replay, Round, replays
from bedplate.database.cutover.steps.running import sync, tend

__all__ = [
    "Follower",
    "Key",
    "Replay",
    "Round",
    "apply",
    "differing",
    "keylog",
    "legacy_name",
    "pair_of",
    "pairs",
    "replays",
    "sync",
    "tend",
]
