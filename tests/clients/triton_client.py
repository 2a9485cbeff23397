# requires: tritonclient[http]==2.73.0
"""Triton's HTTP client with the raw models: JSON and binary tensors."""

import sys

import numpy
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

server = sys.argv[1].removeprefix("http://")
client = triton.InferenceServerClient(url=server)
assert client.is_server_live() and client.is_server_ready()
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
index = client.get_model_repository_index()
ready = sorted(model["name"] for model in index if model["state"] == "READY")
assert ready, index

# A recognizer: its row is a picture of a line.
name = next(name for name in ready if name.endswith("-rec"))
assert client.is_model_ready(name) and client.is_model_ready(name, "1") and not client.is_model_ready("none")
about = client.get_model_metadata(name)
config = client.get_model_config(name)
assert about["name"] == config["name"] == name and config["max_batch_size"] == 0, (about, config)
(port,) = about["inputs"]
outputs = [output["name"] for output in about["outputs"]]
assert port["datatype"] == "FP32" and len(port["shape"]) == 4, port
shape = [2, 3, port["shape"][2] if port["shape"][2] > 0 else 48, 384]
pixels = numpy.random.default_rng(7).uniform(-1, 1, shape).astype(numpy.float32)


def infer(pixels, binary, wanted, **options):
    given = triton.InferInput(port["name"], list(pixels.shape), "FP32")
    given.set_data_from_numpy(pixels, binary_data=binary)
    asked = [triton.InferRequestedOutput(output, binary_data=binary) for output in wanted]
    return client.infer(name, [given], outputs=asked, **options)


# Small outputs only in JSON: the reductions of the recognizer.
small = [output["name"] for output in about["outputs"] if len(output["shape"]) < 3] or outputs[-1:]
binary, json = (infer(pixels, binary, small, request_id="7") for binary in (True, False))
assert binary.get_response()["id"] == "7" and binary.get_response()["model_version"] == "1"
for output in small:
    first, second = binary.as_numpy(output), json.as_numpy(output)
    assert first.shape == second.shape and first.shape[0] == 2 and first.size > 0, output
    assert numpy.allclose(first.astype(float), second.astype(float), atol=1e-3), output
# All outputs, without naming them; asynchronously.
given = triton.InferInput(port["name"], shape, "FP32")
given.set_data_from_numpy(pixels)
everything = client.async_infer(name, [given]).get_result()
assert [output["name"] for output in everything.get_response()["outputs"]] == outputs

for refused, status, reason in (
    (lambda: infer(pixels.reshape(2, 3, -1), True, small), "400", "takes"),
    (lambda: infer(pixels, True, ["none"]), "400", "no output"),
    (lambda: infer(numpy.zeros([99, *shape[1:]], numpy.float32), True, small), "400", "at most"),
    (lambda: client.infer("none", [given]), "404", "no model"),
    (lambda: client.get_model_metadata(name, "2"), "404", "no version"),
    (lambda: client.load_model(name), "400", "not supported"),
    (lambda: client.get_inference_statistics(name), "400", "not supported"),
    (lambda: infer(pixels, True, small, request_compression_algorithm="gzip"), "400", "not supported"),
    (lambda: infer(pixels, True, small, sequence_id=3), "400", "sequence_id"),
):
    try:
        refused()
    except InferenceServerException as error:
        assert error.status() == status and reason in error.message(), (error.status(), error.message())
    else:
        raise AssertionError(f"not refused: {reason}")
print(f"Open Inference Protocol: {', '.join(ready)}")
