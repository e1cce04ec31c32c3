"""A small world of paper-cut animals: stories, their pictures, their captions and the truth about both.

Everything is a pure function of values and seeds. Read ``world.py`` first (what exists), then ``render.py``
(how it looks), ``captions.py`` (how people speak of it) and ``labels.py`` (what a shot truly shows).
"""
