"""Embedded words of a PDF page in the form of the example `structure` of lector-vision, in points, y down.

Follows the document worker of the host: loose boxes of characters, words end at spaces, lines at breaks and clear gaps.
"""
import ctypes
import math

import pypdfium2.raw as pdfium

# The resolution at which the standard guest looks for rules.
RULES_DPI = 150
HYPHENS = (0x02, 0xFFFE)


def character(text, at):
    """(left, top, right, bottom) with y up, or None; and the size of the font."""
    matrix, loose = pdfium.FS_MATRIX(), pdfium.FS_RECTF()
    pdfium.FPDFText_GetMatrix(text, at, matrix)
    size = abs(pdfium.FPDFText_GetFontSize(text, at) * math.hypot(matrix.c, matrix.d)) or 1.0
    pdfium.FPDFText_GetLooseCharBox(text, at, loose)
    box = (loose.left, loose.top, loose.right, loose.bottom)
    if box[2] <= box[0] or box[1] <= box[3]:
        left, right, bottom, top = (ctypes.c_double() for _ in range(4))
        pdfium.FPDFText_GetCharBox(text, at, left, right, bottom, top)
        box = (left.value, top.value, right.value, bottom.value)
    return (box if box[2] > box[0] else None), size


def words(page, origin, height):
    # The handle is closed with its owner.
    owner = page.get_textpage()
    text = owner.raw
    found, word, last = [], None, None

    def end(line):
        nonlocal word
        if word:
            found.append([*word, line])
            word = None
        elif line and found:
            found[-1][-1] = True

    for at in range(pdfium.FPDFText_CountChars(text)):
        code = pdfium.FPDFText_GetUnicode(text, at)
        if 0xD800 <= code <= 0xDFFF:
            continue
        letter = "-" if code in HYPHENS else chr(code)
        if letter in "\r\n":
            end(True)
            last = None
            continue
        if letter.isspace() or code == 0:
            end(False)
            continue
        box, size = character(text, at)
        if box is None:
            if word:
                word[0] += letter
            continue
        x0, y0, x1, y1 = box[0] - origin[0], height - (box[1] - origin[1]), box[2] - origin[0], height - (box[3] - origin[1])
        if last and (x0 - last[2] > size or x0 < last[0] - 2 * size or abs(y0 + y1 - last[1] - last[3]) > 1.4 * size):
            end(True)
        last = (x0, y0, x1, y1)
        if word is None:
            word = [letter, x0, y0, x1 - x0, y1 - y0, size]
        else:
            left, top = min(word[1], x0), min(word[2], y0)
            right, bottom = max(word[1] + word[3], x1), max(word[2] + word[4], y1)
            word[0] += letter
            word[1:5] = [left, top, right - left, bottom - top]
    end(True)
    return found


def page_of(document, index, rules, folder):
    """The page as the example reads it. `rules`: `drawn` adds the lines that the PDF draws, `pixels` a rendering in `folder`."""
    with_rules = rules == "drawn"
    page = document[index]
    width, height = page.get_size()
    box = page.get_cropbox() or page.get_mediabox()
    out = {"size": [width, height], "first": index == 0, "words": words(page, box, height), "pictures": [], "rules": []}
    if rules == "pixels":
        pixels = page.render(scale=RULES_DPI / 72, rev_byteorder=True).to_numpy()[:, :, :3]
        path = f"{folder}/{index}.rgb"
        pixels.tofile(path)
        out["image"] = [path, pixels.shape[1], pixels.shape[0]]
    for thing in page.get_objects(max_depth=3):
        if thing.type not in (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_PATH):
            continue
        left, low, right, high = thing.get_bounds()
        left, right, top, bottom = left - box[0], right - box[0], height - (high - box[1]), height - (low - box[1])
        across, down = right - left, bottom - top
        if thing.type == pdfium.FPDF_PAGEOBJ_IMAGE:
            out["pictures"].append([left, top, across, down])
        elif with_rules and down <= 3 and across >= 10:
            out["rules"].append([left, (top + bottom) / 2, right, (top + bottom) / 2])
        elif with_rules and across <= 3 and down >= 5:
            out["rules"].append([(left + right) / 2, top, (left + right) / 2, bottom])
    return out
