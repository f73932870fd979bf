"""A trained run + a clip + a user → ranked hashtags, with reasons."""

from reeltag.recommend.answers import Answer, Question, Recommendation
from reeltag.recommend.recommender import Recommender

__all__ = ["Answer", "Question", "Recommendation", "Recommender"]
