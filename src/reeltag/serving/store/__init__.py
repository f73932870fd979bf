"""What the service must not forget: keys, recommendations, published posts, erasures.

SQLite beside the run, or PostgreSQL by URL; `Store` is all that the rest of the service sees.
"""

from reeltag.serving.store.keys import SCOPES, Key, Scope
from reeltag.serving.store.place import store_url
from reeltag.serving.store.records import Published, Shown, UserHistory, Values, check_text
from reeltag.serving.store.statistics import Failure, Stats, Trend
from reeltag.serving.store.store import Kind, Store

__all__ = [
    "SCOPES",
    "Failure",
    "Key",
    "Kind",
    "Published",
    "Scope",
    "Shown",
    "Stats",
    "Store",
    "Trend",
    "UserHistory",
    "Values",
    "check_text",
    "store_url",
]
