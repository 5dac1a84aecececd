"""The phrases in which tasks are asked, each with its source, and which of them a sample takes.

A *prompt* stands around the question and is written by the wording layer. A *stem* is the question itself, where it
is made from labels. In each table the first phrase is the one that is used unless variety is asked for. A table only
ever grows at its end: a sample stores the place of its prompt in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domainvl.schema.sample import Domain, Task
from domainvl.schema.splitting import uniform_from_key


@dataclass(frozen=True)
class Phrase:
    """One way to say it.

    Attributes:
        text: The phrase, with braces where something is put in.
        source: Where it comes from; ``"ours"`` if nobody published it.
    """

    text: str
    source: str


@dataclass(frozen=True)
class Phrasing:
    """Which phrases are used.

    Attributes:
        varied: Whether all phrases of a task are used, each sample drawing its own; else the first one only.
        seed: Changes the draw.
    """

    varied: bool = False
    seed: int = 0

    def choose(self, key: str, count: int) -> int:
        """Return the place of a phrase in a table of so many; equal keys choose alike."""
        return int(uniform_from_key(f"{self.seed}/phrasing/{key}") * count) if self.varied else 0


_OURS = "ours"
_PAPER = "Mini-InternVL (arXiv 2410.16261), figures"
_MARKED = "Mini-InternVL (arXiv 2410.16261), figures, up to the word organ"
_DOCUMENTATION = "OpenGVLab/InternVL documentation, chat_data_format"

_LETTER = Phrase(
    "{}\nAnswer with the option's letter from the given choices directly.", "VLMEvalKit, prompt of InternVL"
)
_SHORT = (
    Phrase(
        "{}\nAnswer the question using a single word or phrase.", "InternVL, internvl_chat/eval/domain_specific/rs_vqa"
    ),
)
_AS_IT_IS = (Phrase("{}", _OURS),)
_DETECT = Phrase("Detect {}", _PAPER)
_REFER = Phrase(
    "Please provide the bounding box coordinate of the region this sentence describes: {}",
    "InternVL, internvl_chat/eval/refcoco",
)
_MORE_GROUNDING = (Phrase("Where is {}?", _OURS), Phrase("Give the bounding box of {}", _OURS))

_PROMPTS: Mapping[Task, tuple[Phrase, ...]] = {
    Task.VQA: _SHORT,
    Task.PRESENCE: _SHORT,
    Task.COUNTING: _SHORT,
    Task.COMPARISON: _SHORT,
    Task.AREA: _SHORT,
    Task.LENGTH: _SHORT,
    Task.CLASSIFICATION: (
        Phrase("{}\nAnswer with one word or short phrase.", _PAPER),
        Phrase("{}\nAnswer in one word or a short phrase.", "GeoChat-Instruct"),
    ),
    Task.MULTIPLE_CHOICE: (_LETTER,),
    Task.GROUNDING: (_REFER, _DETECT, *_MORE_GROUNDING),
    Task.DETECTION: (
        Phrase("Please detect and label all objects in the following image and mark their positions.", _DOCUMENTATION),
        Phrase("{} Mark their positions.", _OURS),
        Phrase("{} Give the bounding box of each.", _OURS),
    ),
    Task.REGION: (
        Phrase("What object is in this location{}", _PAPER),
        Phrase("Name the object in this location{}", _OURS),
        Phrase("To which class does the object in this location belong{}", _OURS),
    ),
    Task.CAPTION: _AS_IT_IS,
    Task.CONVERSATION: _AS_IT_IS,
}
_OF_DOMAINS: Mapping[tuple[Domain, Task], tuple[Phrase, ...]] = {
    ("remote-sensing", Task.GROUNDING): (_DETECT, _REFER, *_MORE_GROUNDING),
    ("driving", Task.MULTIPLE_CHOICE): (
        Phrase(
            "{} Please select the correct answer from the following options: {}",
            "Mini-InternVL (arXiv 2410.16261), figures; OpenDriveLab/DriveLM, challenge/convert_data.py",
        ),
        _LETTER,
    ),
}


def prompts(domain: Domain, task: Task) -> tuple[Phrase, ...]:
    """Return the prompts of a task; some fields have their own order or phrases.

    A prompt of multiple choice with two pairs of braces takes the options apart from the question, in one line.
    """
    return _OF_DOMAINS.get((domain, task)) or _PROMPTS[task]


def _ours(*texts: str) -> tuple[Phrase, ...]:
    return tuple(Phrase(text, _OURS) for text in texts)


# A label may be singular or plural ("water", "trees"), so that no verb or article may depend on it.
_STEMS: Mapping[str, tuple[Phrase, ...]] = {
    "presence": _ours(
        "Is there any {label} {place}?",
        "Can any {label} be seen {place}?",
        "Does {whole} show any {label}?",
    ),
    "counting": _ours(
        "How many instances of {label} are {place}?",
        "What is the number of instances of {label} {place}?",
        "Count the instances of {label} {place}.",
    ),
    "comparison": _ours(
        "Are there more instances of {label} than of {other} {place}?",
        "Does {whole} show more instances of {label} than of {other}?",
        "Do the instances of {label} outnumber those of {other} {place}?",
    ),
    "share": _ours(
        "What share of {whole} is covered by {label}, in percent?",
        "What percentage of {whole} is covered by {label}?",
    ),
    "area-m2": _ours(
        "How many square metres of {whole} are covered by {label}?",
        "What area {place} is covered by {label}, in square metres?",
    ),
    "area-ha": _ours(
        "How many hectares of {whole} are covered by {label}?",
        "What area {place} is covered by {label}, in hectares?",
    ),
    "dominant-count": _ours("Which of the given classes has the most instances {place}: {classes}?"),
    "dominant-area": _ours("Which of the given classes covers the largest area {place}: {classes}?"),
    "detection": _ours("Detect all objects of the following classes: {classes}."),
    "region": _ours("What object is in this location?"),
    "region-caption": _ours("Describe the object in this location", "Say what the object in this location is"),
    "caption": _ours("Describe what is {place}.", "Describe {whole}.", "What does {whole} show?"),
    "more-area": _ours(
        "Is more of {whole} covered by {label} than by {other}?",
        "Is a larger part of {whole} covered by {label} than by {other}?",
    ),
    "change": _ours(
        "Are there more instances of {label} in {second} than in {first}?",
        "Does {second} show more instances of {label} than {first}?",
    ),
    "change-count": _ours("How many more instances of {label} are in {second} than in {first}?"),
    "change-area": _ours(
        "Is more of {second} covered by {label} than of {first}?",
        "Is a larger part of {second} covered by {label} than of {first}?",
    ),
    "change-share": _ours(
        "How much more of {second} than of {first} is covered by {label}, in percent of the whole image?",
    ),
    "class": (
        Phrase("Classify the image within one of the given classes: {classes}.", _PAPER),
        Phrase("Classify the image from the following classes: {classes}.", "GeoChat-Instruct, with the classes"),
        Phrase("Which of these classes fits the image: {classes}?", _OURS),
    ),
    "class-choice": _ours("Which class fits the image?", "To which class does the image belong?"),
    "stated": _ours("Is there evidence of {label} {place}?", "Can evidence of {label} be seen {place}?"),
    "property": _ours("What is the {label}?"),
    "visible-choice": _ours("Which of the following is visible {place}?", "Which of these can be seen {place}?"),
    "length-mm": _ours(
        "What is the longest diameter of {label} {place}, in millimetres?",
        "How many millimetres long is the longest diameter of {label} {place}?",
    ),
    "area-mm2": _ours(
        "How many square millimetres of {whole} are covered by {label}?",
        "What area {place} is covered by {label}, in square millimetres?",
    ),
    # The published question goes on with words that no source at hand quotes.
    "marked": (
        Phrase("Which of the following options best matches the marked {label}? It is marked by {other}.", _MARKED),
        Phrase("Which of the following options names the {label} that {other} marks?", _OURS),
    ),
    "report-findings": _ours("Describe the findings of this {label}.", "What are the findings of this {label}?"),
    "report-impression": _ours("Give the impression of this {label}.", "What is the impression of this {label}?"),
    "report-section": _ours("Write the section {other} of the report on this {label}."),
    "report-text": _ours("Write the report on this {label}."),
    # Driving, key frames: of a class exactly one thing is asked about, so that its verb is singular.
    "view": _ours("Which view shows the {label}?", "In which view can the {label} be seen?"),
    "distance-m": _ours(
        "How far is the centre of the {label} {place} from the ego vehicle, in metres?",
        "How many metres is the centre of the {label} {place} away from the ego vehicle?",
    ),
    "motion": _ours("Is the {label} {place} moving?", "Is the {label} {place} in motion?"),
    "surroundings": _ours(
        "Name at most {count} of the nearest things around the ego vehicle that can be seen well: what and where each "
        "is, how far away, whether it is moving, and which view shows it.",
        "What is around the ego vehicle? Of at most {count} of the nearest things that can be seen well, say what and "
        "where each is, how far away, whether it is moving, and which view shows it.",
    ),
    "driving-scene": _ours("Describe the driving scene.", "What happens in this driving scene?"),
    # Ego behaviour and motion.
    "behaviour": (
        Phrase(
            "Predict the behavior of the ego vehicle.",
            "Mini-InternVL (arXiv 2410.16261), figures; OpenDriveLab/DriveLM, questions of DriveLM-nuScenes v1.1",
        ),
    ),
    "clip-behaviour": (Phrase("What is the action of the ego car?", _PAPER),),
    "clip-motion": _ours(
        "Is the {label} moving or not moving from {first} to {last}? In {last} it is in this location",
        "From {first} to {last}, is the {label} moving or not moving? In {last} it is in this location",
    ),
    "clip-distance": _ours(
        "Compared with {first}, is the {label} in {last} nearer to the ego car, farther away or about as far? "
        "In {last} it is in this location",
    ),
    # Change of the ego vehicle's speed.
    "clip-speed-change": _ours("How does the speed of the ego car change?", "What becomes of the ego car's speed?"),
}  # fmt: skip


def stems(name: str, **slots: str) -> tuple[str, ...]:
    """Return all ways to ask one question, the default first.

    Args:
        name: Name of the table.
        slots: What is put in.
    """
    return tuple(phrase.text.format(**slots) for phrase in _STEMS[name])
