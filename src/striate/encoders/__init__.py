"""Encoders and their steps, by short name; a class is imported when a recipe first names it."""

NAMES = {
    "best": "striate.encoders.blend:Best",
    "mean": "striate.encoders.blend:Mean",
    "rdm": "striate.encoders.rdm:RDM",
    "rdm_best": "striate.encoders.rdm:BestRDM",
    "rdm_weighted": "striate.encoders.rdm:WeightedRDM",
    "ridge": "striate.encoders.ridge:Ridge",
    "sklearn": "striate.encoders.sklearn:Regressor",
    "stack": "striate.encoders.blend:Stack",
    "stitch": "striate.encoders.blend:Stitch",
}

STEPS = {
    "context": "striate.encoders.timing:Context",
    "delays": "striate.encoders.timing:Delays",
    "hrf": "striate.encoders.timing:HRF",
    "pca": "striate.encoders.steps:PCA",
    "power": "striate.encoders.steps:Power",
    "projection": "striate.encoders.steps:Projection",
    "window": "striate.encoders.steps:Window",
    "zscore": "striate.encoders.steps:ZScore",
}
