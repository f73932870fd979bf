"""Options of the form NAME=VALUE in, a mapping out."""

from __future__ import annotations

from collections.abc import Sequence

from reeltag.errors import ConfigError


def pairs_of(options: Sequence[str], flag: str, form: str = "NAME=COLUMN") -> dict[str, str]:
    """Read `options` of `flag`. Raises `ConfigError` where one is no pair or stands twice."""
    pairs: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key or not value:
            raise ConfigError(f"Got {flag} {option!r}, expected {form}.")
        if key in pairs:
            raise ConfigError(f"Got {flag} {key}=… twice, expected it once.")
        pairs[key] = value
    return pairs
