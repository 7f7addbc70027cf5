"""Modules that are put off: imported when something of them is used, and not before."""

from __future__ import annotations

import subprocess
import sys

USED_LATER = """
import sys
from etl.quality.put_off import put_off
with put_off("xml.dom.minidom", "colorsys"):
    import colorsys
    from xml.dom import minidom
    assert "xml.dom.minidom" in sys.modules
    assert not hasattr(minidom, "__path__")
assert not {"xml.dom.minidom", "colorsys"} & sys.modules.keys()
assert minidom.Document is __import__("xml.dom.minidom").dom.minidom.Document
assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)
import colorsys as real
assert type(real).__name__ == "module" and real.rgb_to_hsv is colorsys.rgb_to_hsv
with put_off("colorsys"):
    import colorsys as again
    assert again is real
"""
LOADED = """
import sys
from etl.quality import great_expectations
great_expectations.context_in_memory()
print(sorted({"scipy.stats", "altair", "narwhals"} & sys.modules.keys()))
"""

LOADED_AHEAD = """
import gc
import sys
from threading import enumerate as threads
from etl.quality import great_expectations
great_expectations.load_ahead()
great_expectations.context_in_memory()
left = [t.name for t in threads() if t.name.startswith("import")]
print(sorted({"scipy.stats", "altair"} & sys.modules.keys()), gc.isenabled(), left)
"""


def said(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_module_that_is_put_off_is_imported_when_it_is_used() -> None:
    assert said(USED_LATER) == ""


def test_great_expectations_loads_nothing_that_no_check_needs() -> None:
    assert said(LOADED) == "[]"


def test_great_expectations_is_loaded_once_by_whichever_thread_is_first() -> None:
    assert said(LOADED_AHEAD) == "[] True []"
