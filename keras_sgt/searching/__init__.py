"""Which guidance works on one's own data: tried, chosen, confirmed.

The package is not called `search`, which is the function's name.
"""

from keras_sgt.searching.result import Search
from keras_sgt.searching.search import search

__all__ = ["Search", "search"]
