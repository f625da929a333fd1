"""The two files of a training run that make a model. `sr.training.run_files` names the others.

They are named here because `sr.models.checkpoint` reads them and does not depend on training.
"""

JOB = "job.json"
"""The TrainingJob: it names the preset and the color space."""
BEST_WEIGHTS = "best.safetensors"
"""The weights of the best epoch: float32, without reparameterization, under their published names."""
