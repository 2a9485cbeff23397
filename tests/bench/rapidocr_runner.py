#!/usr/bin/env python3
"""RapidOCR over PDF pages, for `cargo xtask bench peer`: one JSON line per page, then a summary line.

usage: rapidocr_runner.py --engine onnxruntime|openvino|none --dpi DPI --threads N [--det ONNX --rec ONNX --keys TXT]
                          FILE.pdf:PAGE[,PAGE...] ...

Page:    {"file", "page", "ms", "lines": [{"text", "confidence", "quad"}], "truth": the page's embedded text}
Summary: {"pages", "wall_s", "cpu_s"}: rendering and reading, without loading the models and extracting the truth.
Pages count from 1. Uses the package's own defaults and models (PP-OCRv6 small), or the tiny ones in the given files, with
their own detector normalization and the package's defaults for the rest. `none` only extracts the truth. Needs rapidocr,
pypdfium2 and the engine.
"""
import argparse
import json
import pathlib
import time

import numpy
import pypdfium2
from rapidocr import EngineType, ModelType, RapidOCR

MODEL_STAGES = ("Det", "Cls", "Rec")
# From the inference.yml beside the tiny weights. The package normalizes for all its detectors with 0.5, which gives a
# CER of .135 and a miss of .043 on 11 pages; these values give .128 and .023.
TINY_DET = {"Det.mean": [0.485, 0.456, 0.406], "Det.std": [0.229, 0.224, 0.225]}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", required=True, choices=["onnxruntime", "openvino", "none"])
    parser.add_argument("--dpi", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--det", help="weights of the tiny detector")
    parser.add_argument("--rec", help="weights of the tiny recognizer")
    parser.add_argument("--keys", help="its characters, one per line")
    parser.add_argument("pages", nargs="+", metavar="FILE:PAGES")
    return parser.parse_args()


def load(engine, threads, weights):
    settings = {f"{stage}.engine_type": EngineType(engine) for stage in MODEL_STAGES}
    given = {name: value for name, value in weights.items() if value}
    if given:
        settings.update(given, **TINY_DET, **{"Det.model_type": ModelType.TINY, "Rec.model_type": ModelType.TINY})
    settings["Global.log_level"] = "error"
    settings["EngineConfig.onnxruntime.intra_op_num_threads"] = threads
    settings["EngineConfig.openvino.inference_num_threads"] = threads
    reader = RapidOCR(params=settings)
    blank = numpy.full((64, 320, 3), 255, numpy.uint8)
    reader(blank)  # the first run sets up what later runs reuse
    return reader


def read(reader, page, dpi):
    if reader is None:
        return []
    pixels = page.render(scale=dpi / 72).to_numpy()[:, :, :3]
    result = reader(numpy.ascontiguousarray(pixels))
    if result.txts is None:
        return []
    return [
        {"text": text, "confidence": round(float(score), 4), "quad": numpy.asarray(box).round(1).tolist()}
        for text, score, box in zip(result.txts, result.scores, result.boxes)
    ]


def main():
    wanted = arguments()
    weights = {"Det.model_path": wanted.det, "Rec.model_path": wanted.rec, "Rec.rec_keys_path": wanted.keys}
    reader = None if wanted.engine == "none" else load(wanted.engine, wanted.threads, weights)
    count, wall_s, cpu_s = 0, 0.0, 0.0
    for spec in wanted.pages:
        path, _, numbers = spec.rpartition(":")
        document = pypdfium2.PdfDocument(path)
        for number in map(int, numbers.split(",")):
            page = document[number - 1]
            wall, cpu = time.perf_counter(), time.process_time()
            lines = read(reader, page, wanted.dpi)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            wall_s, cpu_s, count = wall_s + wall, cpu_s + cpu, count + 1
            print(
                json.dumps(
                    {
                        "file": pathlib.Path(path).name,
                        "page": number,
                        "ms": round(1000 * wall, 1),
                        "lines": lines,
                        "truth": page.get_textpage().get_text_bounded(),
                    },
                    ensure_ascii=False,
                ),
                flush=True,
            )
    print(json.dumps({"pages": count, "wall_s": round(wall_s, 3), "cpu_s": round(cpu_s, 3)}))


if __name__ == "__main__":
    main()
