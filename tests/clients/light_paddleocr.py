"""PaddleOCR's package without its inference: importing the package itself imports all of PaddleX, which has 600 MB.

Not a client. Import it before anything that imports `paddleocr`.
"""

import importlib
import importlib.util
import sys
import types

spec = importlib.util.find_spec("paddleocr")
package = types.ModuleType("paddleocr")
package.__path__ = list(spec.submodule_search_locations)
sys.modules["paddleocr"] = package
for module, names in {
    "client": ["PaddleOCRClient"],
    "async_client": ["AsyncPaddleOCRClient"],
    "models": ["Model", "OCROptions", "PaddleOCRVLOptions", "PPStructureV3Options"],
}.items():
    part = importlib.import_module(f"paddleocr._api_client.{module}")
    for name in names:
        setattr(package, name, getattr(part, name))
# The classes that infer on this machine.
for name in ["PaddleOCR", "PaddleOCRVL", "PPStructureV3"]:
    setattr(package, name, type(name, (), {}))
