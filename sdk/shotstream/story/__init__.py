"""The story: shots and cuts as plain values, the files they come from, and the director who decides what is next."""

from .files import load_story
from .shot import Cut, PromptEdit, Shot, Story, When

__all__ = ["Cut", "PromptEdit", "Shot", "Story", "When", "load_story"]
