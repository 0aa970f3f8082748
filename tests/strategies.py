"""Hypothesis strategies that several test modules draw from."""

import re
from typing import Any, Final

from hypothesis import strategies as st

_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")

any_text: st.SearchStrategy[str] = st.text(st.characters(exclude_categories=()), max_size=12).filter(
    lambda text: not _PAIR.search(text)
)
"""Any Python string, including lone surrogates and control characters. Two surrogates that JSON reads as one character
are no text that is read back as it was.
"""

json_scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 130),
    st.integers(),
    st.integers(10**17, 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["0", "1", "2", "99", "120", "007", "-1", "1.0", " 1", "1 ", "", "٣", "²", "1" * 19, "1" * 20]),
    any_text,
)
"""JSON scalars, many of them almost valid for a field of the API."""

json_values: st.SearchStrategy[Any] = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)
"""Any JSON value."""
