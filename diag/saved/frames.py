"""Tables of pandas as plain JSON, column by column, with their types and their rows' names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from diag.saved.arrays import array_of, tree_of_array
from diag.saved.error import FormError
from trainers.safe_text import value as in_brief

if TYPE_CHECKING:
    import pandas as pd


def is_frame(hint: Any) -> bool:
    """Whether a type hint is that of a table; pandas is not imported to see it."""
    return isinstance(hint, type) and hint.__name__ == "DataFrame" and hint.__module__.startswith("pandas")


def tree_of_frame(table: pd.DataFrame, tagged: Callable[[Any], Any]) -> dict[str, Any]:
    """A table as plain JSON; ``tagged`` makes a value of any type plain."""
    import pandas as pd

    if not all(isinstance(name, str) for name in table.columns):
        raise FormError("", "a table with unnamed columns", "one whose columns have names")
    counted = table.index.equals(pd.RangeIndex(len(table)))
    return {
        "rows": len(table),
        "index": None if counted else tree_of_array(table.index.to_numpy(), tagged),
        "columns": [_column(name, table[name], tagged) for name in table.columns],
    }


def frame_of(tree: Any, where: str, untagged: Callable[[Any, str], Any]) -> pd.DataFrame:
    """The table that :func:`tree_of_frame` made plain; raises FormError."""
    import pandas as pd

    if not isinstance(tree, dict) or not isinstance(tree.get("columns"), list):
        raise FormError(where, in_brief(tree), "a table")
    rows, index = tree.get("rows"), tree.get("index")
    if type(rows) is not int or not 0 <= rows < 2**31:
        raise FormError(f"{where}.rows", in_brief(rows), "a number of rows")
    named = pd.RangeIndex(rows) if index is None else pd.Index(array_of(index, f"{where}.index", untagged))
    columns: dict[str, Any] = {}
    for place, column in enumerate(tree["columns"]):
        at = f"{where}.columns[{place}]"
        if not isinstance(column, dict) or not isinstance(column.get("name"), str):
            raise FormError(at, in_brief(column), "a column with a name")
        columns[column["name"]] = _values(column, at, untagged)
        if len(columns[column["name"]]) != rows:
            raise FormError(at, f"{len(columns[column['name']])} values", f"{rows}, one a row")
    if len(named) != rows:
        raise FormError(f"{where}.index", f"{len(named)} values", f"{rows}, one a row")
    # The dtype is said, as pandas would make words of objects.
    held = {name: pd.Series(values, named, values.dtype) for name, values in columns.items()}
    return pd.DataFrame(held, index=named)


def _column(name: str, column: pd.Series[Any], tagged: Callable[[Any], Any]) -> dict[str, Any]:
    """A column: its numpy array, or its words, with null where one is missing."""
    import pandas as pd

    if isinstance(column.dtype, np.dtype):
        return {"name": name, "values": tree_of_array(column.to_numpy(), tagged)}
    if not isinstance(column.dtype, pd.StringDtype):
        raise FormError("", f"a column of {column.dtype}", "one of numbers or of words")
    return {"name": name, "words": [None if pd.isna(word) else str(word) for word in column]}


def _values(column: dict[str, Any], at: str, untagged: Callable[[Any, str], Any]) -> Any:
    """The values of a column, of the types that this version of pandas gives words."""
    import pandas as pd

    if "words" not in column:
        return array_of(column.get("values"), at, untagged)
    words = column["words"]
    if not isinstance(words, list) or not all(word is None or isinstance(word, str) for word in words):
        raise FormError(f"{at}.words", in_brief(words), "words")
    return pd.Series(words, dtype=pd.Series(["a word"]).dtype).array
