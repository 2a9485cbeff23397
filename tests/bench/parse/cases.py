#!/usr/bin/env python3
"""Run cases: folders with expect.json and inputs; prints JSON.

usage: cases.py --cases FOLDER --server URL

An expectation is met by the text of the pages in reading order, white space as one space. `must_contain`, `must_not_contain`,
`order` and `at_least` are judged, of all inputs or of the one that `doc` names; `same_line` by a line that holds both texts.
"""
import argparse
import json
import pathlib
import urllib.error
import urllib.request


def plain(text):
    return " ".join(text.split())


class Answer:
    """The answer to one input."""

    def __init__(self, server, folder, given, query):
        request = urllib.request.Request(
            f"{server}/api/v1/ocr?{query}",
            data=(folder / given["file"]).read_bytes(),
            headers={"Content-Type": given["type"], "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                self.status, pages = answer.status, json.load(answer)["pages"]
        except urllib.error.HTTPError as error:
            self.status, pages = error.code, []
        self.pages = [[plain(line["text"]) for line in page.get("lines", [])] for page in pages]
        self.lines = [line for page in self.pages for line in page]

    def text(self, page=None):
        return " ".join(self.lines if page is None else (self.pages[page - 1] if page <= len(self.pages) else []))


def of(rule):
    return rule if isinstance(rule, dict) else {"text": rule}


def violations(expect, answers):
    def text(rule):
        chosen = answers if rule.get("doc") is None else [answers[rule["doc"]]]
        return " ".join(answer.text(rule.get("page")) for answer in chosen)

    for answer in answers:
        if answer.status != expect.get("status", 200):
            yield f"status {answer.status}"
    for rule in map(of, expect.get("must_contain", [])):
        if plain(rule["text"]) not in text(rule):
            yield f"lacks `{rule['text']}`"
    for rule in map(of, expect.get("must_not_contain", [])):
        if plain(rule["text"]) in text(rule):
            yield f"contains `{rule['text']}`"
    for rule in expect.get("order", []):
        places = [text(rule).find(plain(part)) for part in rule["texts"]]
        if -1 in places or places != sorted(places):
            yield f"order of {rule['texts']}"
    for rule in expect.get("at_least", []):
        count = sum(plain(part) in text(rule) for part in rule["of"])
        if count < rule["n"]:
            yield f"{count} of {len(rule['of'])} texts, {rule['n']} wanted"
    for rule in expect.get("same_line", []):
        for one, other in rule["pairs"]:
            lines = answers[rule["doc"]].lines
            if not any(one in line and line.endswith(other) for line in lines):
                yield f"`{one}` and `{other}` are not on one line"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", required=True)
    parser.add_argument("--server", required=True)
    arguments = parser.parse_args()
    failed, cases = {}, 0
    for path in sorted(pathlib.Path(arguments.cases).glob("*/expect.json")):
        expect = json.loads(path.read_text(encoding="utf-8"))
        answers = [Answer(arguments.server, path.parent, given, expect.get("query", "")) for given in expect["inputs"]]
        cases += 1
        found = list(violations(expect, answers))
        if found:
            failed[path.parent.name] = found
    print(json.dumps({"cases": cases, "passed": cases - len(failed), "failed": failed}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
