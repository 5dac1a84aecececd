"""Questions whose answers follow from labels: of objects, of shares of the ground, of whole images."""

from domainvl.schema.questions.change import ask_about_change
from domainvl.schema.questions.classes import ClassQuestions, ask_for_class
from domainvl.schema.questions.cover import CoverQuestions, ask_about_cover, ask_about_cover_change
from domainvl.schema.questions.marked import MARK_FORMS, Marked, MarkForm, ask_about_marked, ask_about_one_marked
from domainvl.schema.questions.objects import ask_about_objects
from domainvl.schema.questions.options import choose_options
from domainvl.schema.questions.question import Question, samples_from_questions
from domainvl.schema.questions.settings import ObjectQuestions

__all__ = [
    "MARK_FORMS",
    "ClassQuestions",
    "CoverQuestions",
    "MarkForm",
    "Marked",
    "ObjectQuestions",
    "Question",
    "ask_about_change",
    "ask_about_cover",
    "ask_about_cover_change",
    "ask_about_marked",
    "ask_about_objects",
    "ask_about_one_marked",
    "ask_for_class",
    "choose_options",
    "samples_from_questions",
]
