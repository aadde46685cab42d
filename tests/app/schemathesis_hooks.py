"""What Schemathesis sends where the description says that a document belongs: real images, and some that are none."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from tests.app.drawings import drawing, encoded

FILES = st.one_of(
    st.sampled_from([encoded(drawing()), encoded(drawing(), "JPEG"), encoded(drawing(), "TIFF")]),
    st.binary(max_size=64),
)

for kind in ("image/png", "application/pdf", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, FILES)
