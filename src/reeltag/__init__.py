"""ReelTag: personalised hashtag recommendation for micro-videos, clip in, ranked hashtags out."""

__version__ = "0.1.0"
