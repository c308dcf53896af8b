"""Encoders and their steps, by short name; a class is imported when a recipe first names it."""

NAMES = {
    "banded": "striate.encoders.banded:Banded",
    "best": "striate.encoders.blend:Best",
    "elastic_net": "striate.encoders.sparse:ElasticNet",
    "ensemble": "striate.encoders.ensemble:Ensemble",
    "fractional_ridge": "striate.encoders.fractional:FractionalRidge",
    "kernel_ridge": "striate.encoders.kernel:KernelRidge",
    "lasso": "striate.encoders.sparse:Lasso",
    "least_squares": "striate.encoders.ridge:LeastSquares",
    "mean": "striate.encoders.blend:Mean",
    "median": "striate.encoders.blend:Median",
    "multitask": "striate.encoders.sparse:MultiTask",
    "pls": "striate.encoders.pls:PLS",
    "rdm": "striate.encoders.rdm:RDM",
    "rdm_best": "striate.encoders.rdm:BestRDM",
    "rdm_weighted": "striate.encoders.rdm:WeightedRDM",
    "res": "striate.encoders.res:RES",
    "ridge": "striate.encoders.ridge:Ridge",
    "sklearn": "striate.encoders.sklearn:Regressor",
    "softmax": "striate.encoders.ensemble:Softmax",
    "stack": "striate.encoders.blend:Stack",
    "stitch": "striate.encoders.blend:Stitch",
    "top": "striate.encoders.ensemble:Top",
    "weighted": "striate.encoders.weighted:Weighted",
}

STEPS = {
    "context": "striate.encoders.timing:Context",
    "delays": "striate.encoders.timing:Delays",
    "hrf": "striate.encoders.timing:HRF",
    "pca": "striate.encoders.reduce:PCA",
    "polynomial": "striate.encoders.steps:Polynomial",
    "power": "striate.encoders.steps:Power",
    "projection": "striate.encoders.reduce:Projection",
    "window": "striate.encoders.steps:Window",
    "zscore": "striate.encoders.scale:ZScore",
}
