"""What the package offers by name, and that the words about it are true."""

import inspect

import shotstream as ss


def test_all_names_exist_and_nothing_public_is_missing():
    assert sorted(ss.__all__) == ss.__all__ and len(set(ss.__all__)) == len(ss.__all__)
    for name in ss.__all__:
        assert hasattr(ss, name)
    public = {name for name, value in vars(ss).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert public == set(ss.__all__)


def test_every_public_name_says_what_it_is():
    for name in ss.__all__:
        assert inspect.getdoc(getattr(ss, name)), name
    for name, method in inspect.getmembers(ss.Film, inspect.isfunction):
        assert name.startswith("_") or inspect.getdoc(method), f"Film.{name}"


def test_every_error_is_one_of_ours():
    for name in ss.__all__:
        value = getattr(ss, name)
        if inspect.isclass(value) and issubclass(value, Exception):
            assert issubclass(value, ss.ShotstreamError)


def test_the_engine_protocol_is_met():
    from shotstream.testing import FakeEngine

    assert isinstance(FakeEngine(), ss.Engine)
