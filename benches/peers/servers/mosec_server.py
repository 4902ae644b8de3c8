"""The bench's model behind Mosec, with its dynamic batching."""

import joblib
import numpy
from mosec import Server, Worker


class Scorer(Worker):
    def __init__(self):
        self.model = joblib.load("model.joblib")

    def forward(self, requests):
        matrices = [numpy.array(request["rows"]) for request in requests]
        answers = self.model.predict_proba(numpy.concatenate(matrices))
        ends = numpy.cumsum([len(matrix) for matrix in matrices])[:-1]
        return [part.tolist() for part in numpy.split(answers, ends)]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Scorer, num=1, max_batch_size=64, max_wait_time=1)
    server.run()
