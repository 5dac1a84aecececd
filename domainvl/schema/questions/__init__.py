"""Questions whose answers follow from labels: of objects, of shares of the ground, of whole images."""

from domainvl.schema.questions.change import ask_about_change
from domainvl.schema.questions.classes import ClassQuestions, ask_for_class
from domainvl.schema.questions.cover import CoverQuestions, ask_about_cover, ask_about_cover_change
from domainvl.schema.questions.objects import ask_about_objects
from domainvl.schema.questions.question import Question, samples_from_questions
from domainvl.schema.questions.settings import ObjectQuestions

__all__ = [
    "ClassQuestions",
    "CoverQuestions",
    "ObjectQuestions",
    "Question",
    "ask_about_change",
    "ask_about_cover",
    "ask_about_cover_change",
    "ask_about_objects",
    "ask_for_class",
    "samples_from_questions",
]
