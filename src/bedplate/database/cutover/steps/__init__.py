"""The steps of a cutover that move rows: each may be run again at any time, after it was killed anywhere."""

from bedplate.database.cutover.steps.backfill import backfill
from bedplate.database.cutover.steps.capture import capture, lock, patiently
from bedplate.database.cutover.steps.follow import Follower, Key, apply, differing
from bedplate.database.cutover.steps.index import index
from bedplate.database.cutover.steps.pairs import keylog, legacy_name, pair_of, pairs
from bedplate.database.cutover.steps.prepare import prepare
from bedplate.database.cutover.steps.replay import FEW, Replay, Round, replays
from bedplate.database.cutover.steps.running import sync, tend
from bedplate.database.cutover.steps.verify import repair, verify

__all__ = [
    "FEW",
    "Follower",
    "Key",
    "Replay",
    "Round",
    "apply",
    "backfill",
    "capture",
    "differing",
    "index",
    "keylog",
    "legacy_name",
    "lock",
    "pair_of",
    "pairs",
    "patiently",
    "prepare",
    "repair",
    "replays",
    "sync",
    "tend",
    "verify",
]
