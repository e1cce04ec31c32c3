"""What other languages know of the protocol is what the schema says."""

import pytest

from engine_bridge import generate


@pytest.mark.parametrize(("path", "text"), list(generate.files()), ids=lambda value: getattr(value, "name", ""))
def test_generated_files_are_fresh(path, text):
    assert path.read_text(encoding="utf-8") == text, "run: python -m engine_bridge.generate"


def test_every_message_and_error_is_in_every_language():
    for _, text in generate.files():
        for tag in ("beat", "checkpoint", "subscribed", "frame"):
            assert f'"{tag}"' in text or f"`{tag}`" in text
        assert str(generate.Code.UNKNOWN_TYPE.value) in text
