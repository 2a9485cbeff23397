#!/usr/bin/env python3
"""Other OCR programs over PDF pages, for `cargo xtask bench peer`: one JSON line per page, then a summary line.

usage: peer_runner.py --engine ENGINE --dpi DPI --threads N [--tier small|tiny] [--det ONNX --rec ONNX --keys TXT]
                      FILE.pdf:PAGE[,PAGE...][:LANGUAGE] ...

Page:    {"file", "page", "ms", "lines": [{"text", "confidence", "quad"}], "truth": the page's embedded text}
Summary: {"pages", "wall_s", "cpu_s"}: rendering and reading, without loading the models and extracting the truth.
Pages count from 1. Engines:
  onnxruntime, openvino  RapidOCR with the package's own defaults and models (PP-OCRv6 small), or the tiny ones in the
                         given files, with their own detector normalization and the package's defaults for the rest
  faster-paddle          the package of this name with its own defaults and models
  tesseract              the program `tesseract` with the language of the document, started for each page, as
                         OCRmyPDF does
  none                   only extracts the truth
faster-paddle and tesseract take encoded pictures: they get an uncompressed BMP.
"""
import argparse
import csv
import io
import json
import os
import pathlib
import resource
import subprocess
import time

import numpy
import pypdfium2

MODEL_STAGES = ("Det", "Cls", "Rec")
# From the inference.yml beside the tiny weights. The package normalizes for all its detectors with 0.5, which gives a
# CER of .135 and a miss of .043 on 11 pages; these values give .128 and .023.
TINY_DET = {"Det.mean": [0.485, 0.456, 0.406], "Det.std": [0.229, 0.224, 0.225]}
# The languages of the page lists in Tesseract's names.
TESSERACT_LANGUAGES = {"en": "eng", "de": "deu", "fr": "fra", "es": "spa", "it": "ita", "pt": "por", "ja": "jpn"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engines = ["onnxruntime", "openvino", "faster-paddle", "tesseract", "none"]
    parser.add_argument("--engine", required=True, choices=engines)
    parser.add_argument("--dpi", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--tier", choices=["small", "tiny"], default="small")
    parser.add_argument("--det", help="weights of the tiny detector")
    parser.add_argument("--rec", help="weights of the tiny recognizer")
    parser.add_argument("--keys", help="its characters, one per line")
    parser.add_argument("pages", nargs="+", metavar="FILE:PAGES[:LANGUAGE]")
    return parser.parse_args()


def rapidocr(wanted):
    """Returns RapidOCR as a function from pixels to lines; its first run sets up what later runs reuse."""
    from rapidocr import EngineType, ModelType, RapidOCR

    settings = {f"{stage}.engine_type": EngineType(wanted.engine) for stage in MODEL_STAGES}
    weights = {"Det.model_path": wanted.det, "Rec.model_path": wanted.rec, "Rec.rec_keys_path": wanted.keys}
    given = {name: value for name, value in weights.items() if value}
    if given:
        settings.update(given, **TINY_DET, **{"Det.model_type": ModelType.TINY, "Rec.model_type": ModelType.TINY})
    settings["Global.log_level"] = "error"
    settings["EngineConfig.onnxruntime.intra_op_num_threads"] = wanted.threads
    settings["EngineConfig.openvino.inference_num_threads"] = wanted.threads
    reader = RapidOCR(params=settings)

    def read(pixels, _language):
        result = reader(pixels)
        if result.txts is None:
            return []
        found = zip(result.txts, result.scores, result.boxes)
        return [line(text, score, numpy.asarray(box).tolist()) for text, score, box in found]

    return read


def faster_paddle(wanted):
    """Returns faster-paddle as a function from pixels to lines."""
    from faster_paddle import OcrEngine

    engine = OcrEngine(model_size=wanted.tier, threads=wanted.threads)

    def read(pixels, _language):
        bounds = engine.ocr(bitmap(pixels))["bounds"]
        return [
            line(found["text"], found["confidence"], rectangle(*found["topLeftCoord"], *found["bottomRightCoord"]))
            for found in bounds.values()
        ]

    return read


def tesseract(wanted):
    """Returns the program `tesseract` as a function from pixels to lines: words of its TSV, joined by line."""
    environment = dict(os.environ, OMP_THREAD_LIMIT=str(wanted.threads))
    listed = subprocess.run(["tesseract", "--list-langs"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()

    def read(pixels, language):
        name = TESSERACT_LANGUAGES.get(language)
        if name and name not in listed:
            raise SystemExit(f"Tesseract lacks a language of the pages: run `apt-get install tesseract-ocr-{name}`")
        if name is None:
            raise SystemExit(f"peer_runner.py has no Tesseract name for the language {language!r}")
        command = ["tesseract", "-", "-", "-l", name, "--dpi", str(round(wanted.dpi)), "tsv"]
        done = subprocess.run(command, input=bitmap(pixels), env=environment, stdout=subprocess.PIPE, check=True)
        lines = {}
        for row in csv.DictReader(io.StringIO(done.stdout.decode()), delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["level"] == "5" and row["text"].strip():
                key = tuple(int(row[part]) for part in ("block_num", "par_num", "line_num"))
                lines.setdefault(key, []).append(row)
        return [joined(words) for words in lines.values()]

    return read


def joined(words):
    boxes = numpy.array([[int(word[side]) for side in ("left", "top", "width", "height")] for word in words])
    left, top = boxes[:, 0].min(), boxes[:, 1].min()
    right, bottom = (boxes[:, 0] + boxes[:, 2]).max(), (boxes[:, 1] + boxes[:, 3]).max()
    confidence = sum(float(word["conf"]) for word in words) / len(words) / 100
    return line(" ".join(word["text"] for word in words), confidence, rectangle(left, top, right, bottom))


def rectangle(left, top, right, bottom):
    return [[float(x), float(y)] for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]


def line(text, confidence, quad):
    rounded = [[round(float(value), 1) for value in point] for point in quad]
    return {"text": text, "confidence": round(float(confidence), 4), "quad": rounded}


def bitmap(pixels):
    """Returns BGR pixels as a BMP file of 24 bits a pixel, rows from top to bottom."""
    height, width, _ = pixels.shape
    rows = numpy.zeros((height, (3 * width + 3) // 4 * 4), numpy.uint8)
    rows[:, : 3 * width] = pixels.reshape(height, 3 * width)
    size = rows.nbytes

    def fields(*values):
        return b"".join(value.to_bytes(length, "little", signed=True) for value, length in values)

    head = b"BM" + fields((54 + size, 4), (0, 4), (54, 4))
    info = fields((40, 4), (width, 4), (-height, 4), (1, 2), (24, 2), (0, 4), (size, 4), (0, 4), (0, 4), (0, 4), (0, 4))
    return head + info + rows.tobytes()


LOADERS = {"onnxruntime": rapidocr, "openvino": rapidocr, "faster-paddle": faster_paddle, "tesseract": tesseract}


def cpu_s():
    """Returns the CPU seconds of this process and of the children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def documents(specs):
    for spec in specs:
        path, numbers, language = (spec.rsplit(":", 2) if spec.count(":") > 1 else [*spec.rsplit(":", 1), ""])
        yield path, [int(number) for number in numbers.split(",")], language


def main():
    wanted = arguments()
    read = None
    if wanted.engine != "none":
        read = LOADERS[wanted.engine](wanted)
        read(numpy.full((64, 320, 3), 255, numpy.uint8), "en")
    count, wall_s, used_s = 0, 0.0, 0.0
    for path, numbers, language in documents(wanted.pages):
        document = pypdfium2.PdfDocument(path)
        for number in numbers:
            page = document[number - 1]
            wall, cpu = time.perf_counter(), cpu_s()
            lines = []
            if read is not None:
                pixels = page.render(scale=wanted.dpi / 72).to_numpy()[:, :, :3]
                lines = read(numpy.ascontiguousarray(pixels), language)
            wall, cpu = time.perf_counter() - wall, cpu_s() - cpu
            wall_s, used_s, count = wall_s + wall, used_s + cpu, count + 1
            result = {
                "file": pathlib.Path(path).name,
                "page": number,
                "ms": round(1000 * wall, 1),
                "lines": lines,
                "truth": page.get_textpage().get_text_bounded(),
            }
            print(json.dumps(result, ensure_ascii=False), flush=True)
    print(json.dumps({"pages": count, "wall_s": round(wall_s, 3), "cpu_s": round(used_s, 3)}))


if __name__ == "__main__":
    main()
