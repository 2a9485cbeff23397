"""TEDS of tables in its two-level form: rows are aligned, and in aligned rows cells. It forbids mapping a cell to another row,
so that it is never above TEDS by tree edit distance.

Zhong, ShafieiBavani, Jimeno Yepes: "Image-based table recognition: data, model, and evaluation", ECCV 2020.
A table is a list of rows, and a row a list of (column span, row span, text). `structure` ignores texts.
"""
from rapidfuzz.distance import Levenshtein


def rows_of(cells, rows):
    """Rows of cells given as (row, column, last row, last column, text)."""
    out = [[] for _ in range(rows)]
    for row, column, last_row, last_column, text in sorted(cells):
        out[row].append((last_column - column + 1, last_row - row + 1, "".join((text or "").split())))
    return out


def align(ours, theirs, drop, insert, change):
    above = [0.0]
    for item in theirs:
        above.append(above[-1] + insert(item))
    for own in ours:
        row = [above[0] + drop(own)]
        for at, item in enumerate(theirs, 1):
            row.append(min(above[at] + drop(own), row[-1] + insert(item), above[at - 1] + change(own, item)))
        above = row
    return above[-1]


def teds(ours, theirs, structure=False):
    def cell(a, b):
        if a[:2] != b[:2]:
            return 1.0
        if structure or not (a[2] or b[2]):
            return 0.0
        return Levenshtein.normalized_distance(a[2], b[2])

    def whole(row):
        return 1.0 + len(row)

    def one(_):
        return 1.0

    distance = align(ours, theirs, whole, whole, lambda a, b: align(a, b, one, one, cell))
    size = max(1 + sum(map(whole, ours)), 1 + sum(map(whole, theirs)))
    return max(0.0, 1.0 - distance / size)
