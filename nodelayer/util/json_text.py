"""Parse JSON that others wrote."""

import json
from typing import Any


def loads(text: str | bytes) -> Any:  # noqa: ANN401 - JSON, judged by the caller
    """Parse JSON. Raises ValueError, also for values that are nested too deeply."""
    try:
        return json.loads(text)  # noqa: TID251 - the one place
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
