"""Around step 5 of 7: the models on offer.

spec.py      what is known of one version of a model; read by steps 4 to 7
policy.py    the form of policies/models.yaml
catalog.py   that file and the model repository's manifests, as one catalog
"""
