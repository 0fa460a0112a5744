"""The cyclic garbage collector, kept from holding up everybody.

A full collection visits all that there is: with 100,000 heartbeats it takes a third of a second, in which nobody else
gets a turn, and it finds next to nothing. There are no cycles among heartbeats, records and what holds them, so they
are freed as soon as something takes their place. What does end in cycles is made around connections, about a kilobyte
each, and most of it is found young.
"""

import gc

MANY = 10_000
"""Heartbeats from which on collections are long enough to be noticed."""

SECONDS_BETWEEN = 24 * 3600.0
"""How often all is looked at nevertheless, so that what was not found young does not pile up for ever."""

_YOUNG, _MIDDLE, _OLD = gc.get_threshold()
_NEVER = 1 << 30


def spare(heartbeats: int) -> None:
    """Spare what a start or a reload has made, with so many heartbeats, from being looked at."""
    many = heartbeats >= MANY
    if many:
        gc.freeze()
    # Records that pings have replaced are looked at once more, and full collections would come thick and fast.
    gc.set_threshold(_YOUNG, _MIDDLE, _NEVER if many else _OLD)
