"""Saves the bench's model in MLflow's form."""

import joblib
import mlflow.sklearn

mlflow.sklearn.save_model(
    joblib.load("model.joblib"), "model", pyfunc_predict_fn="predict_proba", serialization_format="pickle")
