"""Trackers of a training: `ban-tf train --callbacks=tracking:json_lines`, in this folder.

`json_lines` appends a line for each epoch to `tracked/RUN.jsonl`. `mlflow_here` writes to a local
MLflow, if that is installed: `mlflow ui --backend-store-uri=sqlite:///mlflow.db` shows it. Both are
called with the run and the number of each generation, when its training starts or resumes.
"""

import json
import pathlib

import keras


class JsonLines(keras.callbacks.Callback):
    """Appends the logs of each epoch to a file, as a line of JSON."""

    def __init__(self, path, generation):
        super().__init__()
        self.path, self.generation = pathlib.Path(path), generation

    def on_epoch_end(self, epoch, logs=None):
        row = {"generation": self.generation, "epoch": epoch}
        row |= {name: float(value) for name, value in (logs or {}).items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def json_lines(run, generation):
    return [JsonLines(pathlib.Path("tracked") / f"{run.path.name}.jsonl", generation)]


class MLflow(keras.callbacks.Callback):
    """Logs the epochs of a generation to one MLflow run, which a resumed training continues."""

    def __init__(self, run, generation):
        super().__init__()
        import mlflow

        self.client = mlflow.MlflowClient("sqlite:///mlflow.db")
        found = self.client.get_experiment_by_name(run.path.name)
        place = found.experiment_id if found else self.client.create_experiment(run.path.name)
        name = f"generation-{generation}"
        runs = self.client.search_runs([place], f"attributes.run_name = '{name}'")
        self.id = (runs[0] if runs else self.client.create_run(place, run_name=name)).info.run_id
        for setting, value in {} if runs else run.settings.items():
            self.client.log_param(self.id, setting, value)

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            self.client.log_metric(self.id, name, float(value), step=epoch)


def mlflow_here(run, generation):
    return [MLflow(run, generation)]
