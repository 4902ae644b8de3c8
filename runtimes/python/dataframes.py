"""Data frames made by the shortest way that the installed pandas has.

What pandas does for arrays from anywhere (looking for types, aligning, merging what has one type) takes longer than many a
model. Its parts are not a public interface, so they are used only where they make the same of a sample.
"""

from . import libraries

# Where there are more columns than this, it pays off for models that pandas merges those of one type.
FEW = 16


def frame_maker(names, sample):
    """Returns a function that makes a data frame of arrays, one for each column, and the number of rows. `sample` is such
    arrays of one row; one array of two dimensions may hold all columns."""
    index = libraries.pandas.Index(names)
    slow = by_matrix(index) if sample[0].ndim == 2 else by_arrays(index)
    if len(sample) > FEW:
        return slow
    try:
        quick = by_blocks(index, len(sample))
        made, expected = quick(sample, 1), slow(sample, 1)
        if made.equals(expected) and made.dtypes.equals(expected.dtypes):
            return quick
    except (ImportError, AttributeError, TypeError, ValueError, AssertionError):
        pass
    return slow


def by_blocks(index, count):
    """The way that makes the blocks of a frame itself."""
    from pandas._libs.internals import BlockPlacement
    from pandas.core.internals.blocks import new_block
    from pandas.core.internals.managers import BlockManager

    pandas = libraries.pandas
    flat = (libraries.numpy.ndarray, pandas.arrays.DatetimeArray)
    width = len(index) // count
    places = [BlockPlacement(slice(start, start + width)) for start in range(0, len(index), width)]

    def make(arrays, rows):
        blocks = []
        for array, place in zip(arrays, places):
            if array.ndim == 1 and isinstance(array, flat):
                array = array.reshape(1, rows)
            blocks.append(new_block(array, place, ndim=2))
        manager = BlockManager(tuple(blocks), [index, pandas.RangeIndex(rows)], verify_integrity=False)
        return pandas.DataFrame._from_mgr(manager, axes=manager.axes)

    return make


def by_arrays(index):
    """The way that trusts the arrays, where there is one."""
    pandas = libraries.pandas

    def make(arrays, rows):
        try:
            return pandas.DataFrame._from_arrays(arrays, index, pandas.RangeIndex(rows), verify_integrity=False)
        except (AttributeError, TypeError):
            return pandas.DataFrame(dict(zip(index, arrays)), copy=False)

    return make


def by_matrix(index):
    """The way for columns that are one array."""
    return lambda arrays, rows: libraries.pandas.DataFrame(arrays[0].T, columns=index, copy=False)
