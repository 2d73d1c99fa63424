"""Around step 5 of 7: the models on offer, and which version of each answers.

    spec.py            what is known of one version of a model; read by steps 4 to 7
    offer.py           a model with its versions and their shares
    policy.py          the form of policies/models.yaml
    catalog.py         that file and the model repository's manifests, as one catalog
    routes.py          what operators set while all runs, in SQL
    serving.py         which version answers a request, and its answer
    cache.py           what was said before, in Redis, where that is asked for
    administration.py  what operators may do, on record
    keeper.py          has a model server that started anew load again what they had loaded
    parts.py           all of that, joined

Which version answers now is for the operator to say while all runs; the file says it until then.
"""
