"""Reads the sample output of every format with independent readers, and fails on the first difference.

    cargo run -p lector-export --example formats -- FOLDER
    pip install -r tests/formats/requirements.txt
    python tests/formats/check.py FOLDER --schemas SCHEMAS

SCHEMAS holds `pagecontent.xsd` (github.com/PRImA-Research-Lab/PAGE-XML, 2019-07-15) and `alto-4-4.xsd`
(github.com/altoxml/schema, v4). A schema that is not there, and a reader of requirements-heavy.txt that is not installed,
is skipped, and the script says so. `cargo xtask test --only formats` does all of this, without the heavy readers and
without the schema of ALTO, which no package has.
"""

import argparse
import csv
import importlib
import io
import json
import pathlib
import sys
import unicodedata

import html5lib
import jsonschema
import openpyxl
from hocr_spec import HocrValidator
from lxml import etree

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A stand-in for the schema that ALTO imports for links.
XLINK = """<schema xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/1999/xlink">
<attribute name="type"/><attribute name="href"/><attribute name="role"/><attribute name="arcrole"/>
<attribute name="title"/><attribute name="show"/><attribute name="actuate"/>
<attributeGroup name="simpleLink"/></schema>"""


def check(what, found, expected):
    if found != expected:
        sys.exit(f"FAILED {what}: {found!r} is not {expected!r}")
    print(f"ok     {what}: {found if len(str(found)) < 60 else 'equal'}")


def optional(name):
    """The module, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        print(f"SKIPPED {name.split('.')[0]} is not installed (requirements-heavy.txt)")
        return None


def words_of(page):
    """The words with their boxes that a format with words must contain: words of lines, or whole cells without lines."""
    words = [word["text"] for line in page["lines"] for word in line.get("words", [])]
    cells = [cell for block in page["blocks"] for cell in block.get("table", {}).get("cells", [])]
    return words + [cell["text"] for cell in cells if not cell["lines"]]


def validate(name, schema, document):
    if not schema.exists():
        print(f"SKIPPED {name}: there is no {schema.name}")
        return

    class Xlink(etree.Resolver):
        def resolve(self, url, _id, context):
            # The one import of ALTO; the sample has no links.
            return self.resolve_string(XLINK, context) if url.endswith("xlink.xsd") else None

    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(Xlink())
    schema = etree.XMLSchema(etree.parse(str(schema), parser))
    if not schema.validate(etree.parse(str(document))):
        sys.exit(f"FAILED {name}: {schema.error_log}")
    print(f"ok     {name}: valid")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--schemas", type=pathlib.Path)
    arguments = arguments.parse_args()
    folder = arguments.folder
    read = lambda name: (folder / name).read_text(encoding="utf-8")

    schema = json.loads((ROOT / "host/crates/export/schema/document.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for name in ["document.json", "page.json"]:
        jsonschema.validate(json.loads(read(name)), schema, jsonschema.Draft202012Validator)
        print(f"ok     JSON Schema: {name}")
    broken = json.loads(read("page.json"))
    del broken["pages"][0]["lines"][0]["text"]
    check("JSON Schema refuses a line without text", jsonschema.Draft202012Validator(schema).is_valid(broken), False)

    page = json.loads(read("page.json"))["pages"][0]
    words = words_of(page)
    events = [json.loads(line)["event"] for line in read("document.ndjson").splitlines()]
    check("NDJSON events", events, ["meta", "document"] + ["page"] * 3 + ["page_error", "document_end", "end"])

    hocr = etree.parse(str(folder / "page.hocr.html"), etree.HTMLParser(encoding="utf-8"))
    found = [node for node in hocr.iterfind(".//span") if "ocrx_word" in node.get("class", "")]
    check("hOCR: words", sorted("".join(node.itertext()) for node in found), sorted(words))
    for name in ["page.hocr.html", "document.hocr.html"]:
        report = HocrValidator("standard").validate(str(folder / name))
        check(f"hOCR by hocr-spec, {name}", report.format("text") if not report.is_valid() else "valid", "valid")
    if ocrmypdf := optional("ocrmypdf.hocrtransform"):
        tree = ocrmypdf.HocrParser(folder / "page.hocr.html").parse()
        kinds = lambda node: [node] + [inner for child in node.children for inner in kinds(child)]
        found = [node for node in kinds(tree) if node.ocr_class == "ocrx_word"]
        # OCRmyPDF normalizes text.
        normal = sorted(unicodedata.normalize("NFKC", word) for word in words)
        check("hOCR by OCRmyPDF 17: words", sorted(node.text for node in found), normal)
        check("hOCR by OCRmyPDF 17: words without a box", [node.text for node in found if node.bbox is None], [])
        check("hOCR by OCRmyPDF 17: dpi", tree.dpi, 150.0)

    for name, element, attribute in [("page.alto.xml", "String", "CONTENT"), ("page.page.xml", "Word", None)]:
        nodes = etree.parse(str(folder / name)).iterfind(f".//{{*}}{element}")
        found = [node.get(attribute) if attribute else node.findtext(".//{*}Unicode") for node in nodes]
        check(f"{name}: words", sorted(found), sorted(words))
    schemas = arguments.schemas or pathlib.Path("schemas")
    validate("PAGE 2019-07-15", schemas / "pagecontent.xsd", folder / "page.page.xml")
    for name in ["document.alto.xml", "page.alto.xml"]:
        validate(f"ALTO 4.4, {name}", schemas / "alto-4-4.xsd", folder / name)

    rows = list(csv.DictReader(io.StringIO(read("page.tsv"), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    check("TSV: words", sorted(row["text"] for row in rows if row["level"] == "5"), sorted(words))
    check("TSV: levels", sorted({row["level"] for row in rows}), ["1", "2", "3", "4", "5"])

    first = read("page.csv").split("\n\n")[0]
    rows = list(csv.reader(io.StringIO(first, newline="")))
    check("CSV", rows, [["Name", "Sum | total"], ["Ada", "'=1+2"], ["", "-3.5"]])

    book = openpyxl.load_workbook(folder / "page.xlsx")
    check("XLSX by openpyxl: sheets", book.sheetnames, ["Page 1 Table 1", "Page 1 Table 2"])
    cells = [[cell.value for cell in row] for row in book["Page 1 Table 1"].iter_rows()]
    check("XLSX by openpyxl: cells", cells, [["Name", "Sum | total"], ["Ada", "=1+2"], [None, "-3.5"]])
    check("XLSX by openpyxl: no formula", book["Page 1 Table 1"]["B2"].data_type, "s")
    merged = sorted(str(area) for area in book["Page 1 Table 2"].merged_cells.ranges)
    check("XLSX by openpyxl: merged", merged, ["A1:C1", "A2:A3", "B3:C3"])

    if docling_core := optional("docling_core.types.doc"):
        docling = docling_core.DoclingDocument.model_validate_json(read("document.docling.json"))
        check("DoclingDocument: pages", sorted(docling.pages), [1, 2, 3])
        check("DoclingDocument: tables", [len(table.data.table_cells) for table in docling.tables], [5, 5])
        labels = [str(item.label.value) for item, _ in docling.iterate_items()]
        for label in "title section_header list_item picture caption table formula code footnote".split():
            check(f"DoclingDocument: {label}", label in labels, True)
        check("DoclingDocument: furniture is not in the body", "page_header" in labels, False)
        doctags = importlib.import_module("docling_core.types.doc.doctags")
        tags = doctags.DocTagsDocument.from_multipage_doctags_and_images(read("document.doctags.txt"), None)
        loaded = docling_core.DoclingDocument.load_from_doctags(tags)
        check("DocTags: pages", len(loaded.pages), len(json.loads(read("document.json"))["pages"]))
        cells = lambda table: sorted((cell.start_row_offset_idx, cell.start_col_offset_idx, cell.text) for cell in table.data.table_cells)
        filled = lambda table: [cell for cell in cells(table) if cell[2]]
        check("DocTags: cells of tables", [filled(t) for t in loaded.tables], [filled(t) for t in docling.tables])
        labels = lambda of: sorted(str(item.label.value) for item, _ in of.iterate_items())
        check("DocTags: items in the body", labels(loaded), labels(docling))
        texts = lambda of: sorted(text.text for text in of.texts)
        check("DocTags: texts", [t.replace("< ", "<") for t in texts(loaded)], texts(docling))
        check("DoclingDocument: Markdown", "| Name" in docling.export_to_markdown(), True)

    chunks = [json.loads(line) for line in read("document.chunks.ndjson").splitlines()]
    check("chunks: pages", sorted({number for chunk in chunks for number in chunk["pages"]}), [1, 2])
    check("chunks: headings", chunks[-1]["headings"], ["The whole of it", "1. Parts & <pieces>"])

    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    html = parser.parse(read("document.html"))
    count = lambda name: len(list(html.iter(name)))
    names = ["section", "h1", "h2", "ul", "ol", "li", "table", "th", "figure", "pre", "header", "footer", "aside"]
    expected = [4, 1, 1, 1, 1, 3, 2, 4, 1, 1, 1, 2, 1]
    check("HTML by html5lib, strict", [count(name) for name in names], expected)
    print("every format that was read is right")


if __name__ == "__main__":
    main()
