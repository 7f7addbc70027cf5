"""The tests. An assertion in their shared support explains itself as one in a test does."""

import pytest

pytest.register_assert_rewrite("tests.support")
