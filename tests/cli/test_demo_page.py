"""What the verb tells the page."""

import os
from pathlib import Path

from entropy_sde_plugin.cli.demo_page import _about


def test_a_model_whose_name_is_not_utf8_can_be_named_on_the_page():
    """A page is JSON, which has no such characters: the server answered every call with an error."""
    about = _about(Path('models', os.fsdecode(b'caf\xe9.pth')))
    assert '`caf%E9.pth`' in about
    about.encode()
