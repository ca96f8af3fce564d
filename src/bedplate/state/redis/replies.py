"""What a server's errors mean: away for now, or a refusal of one operation; each in words that say what to do."""

from __future__ import annotations

from bedplate.state.store import StoreReplyError, StoreUnavailableError

__all__ = ["AWAY", "MOVES", "away", "refusal"]

#: Errors of a server that takes no work now; nothing was done, and another moment may be better.
AWAY = {
    "LOADING": "it is still loading its data",
    "READONLY": "it has become a replica, which takes no writes",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "BUSY": "a script keeps it busy",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its cluster is moving the keys just now",
}
#: Errors that say that the keys are elsewhere.
MOVES = frozenset({"MOVED", "ASK"})

_MENDS = {
    "OOM": "Its memory is full: raise maxmemory, or find what keeps so much there; see the runbook of RedisMemoryHigh.",
    "NOPERM": "Grant its user the command and the keys (ACL SETUSER), or give the URL another user.",
    "NOAUTH": "Give the URL a user and a password.",
    "WRONGPASS": "The password was refused: see that the URL has the present one.",
    "MISCONF": "It cannot save to its disk and takes no writes: see its log, and the space on its disk.",
    "NOREPLICAS": "It takes no writes with so few replicas (min-replicas-to-write): bring the replicas back.",
    "CROSSSLOT": "Give the keys of one operation one hash tag: {user:7}:cart, {user:7}:orders.",
    "MOVED": "It is a node of a cluster: write redis+cluster:// in the URL.",
    "ASK": "It is a node of a cluster: write redis+cluster:// in the URL.",
    "WRONGTYPE": "Something else is kept under that key: give each kind of thing its own prefix.",
}


def refusal(name: str, error: str, operation: str) -> StoreReplyError | StoreUnavailableError:
    """Return the exception for an error reply.

    :param name: of the store, for people. :param error: as the server worded it.
    """
    code = error.partition(" ")[0]
    if code in AWAY:
        return away(name, AWAY[code])
    # What it quotes of the command may be anybody's secret.
    words = error.partition(", with args beginning with")[0][:200]
    return StoreReplyError(code, f"{name} refused {operation}: {words}", _MENDS.get(code, ""))


def away(name: str, why: str, *, sent: bool = False) -> StoreUnavailableError:
    """Return the exception for a store that is away."""
    return StoreUnavailableError(f"{name} is away: {why}.", sent=sent)
