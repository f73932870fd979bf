"""A trained run + a clip + a user → ranked hashtags, with reasons."""

from reeltag.recommend.recommender import Answer, Recommendation, Recommender

__all__ = ["Answer", "Recommendation", "Recommender"]
