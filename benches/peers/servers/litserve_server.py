"""The bench's model behind LitServe, with its dynamic batching."""

import sys

import joblib
import litserve
import numpy


class Scorer(litserve.LitAPI):
    def setup(self, device):
        self.model = joblib.load("model.joblib")

    def decode_request(self, request):
        return numpy.array(request["rows"])

    def batch(self, inputs):
        self.ends = numpy.cumsum([len(matrix) for matrix in inputs])[:-1]
        return numpy.concatenate(inputs)

    def predict(self, rows):
        return self.model.predict_proba(rows)

    def unbatch(self, output):
        return numpy.split(output, self.ends)

    def encode_response(self, output):
        return {"answers": output.tolist()}


if __name__ == "__main__":
    scorer = Scorer(max_batch_size=64, batch_timeout=0.001)
    server = litserve.LitServer(scorer, accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[1]), host="127.0.0.1", log_level="error", generate_client_file=False)
