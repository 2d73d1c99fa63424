"""Beside the steps: makes and checks a model's folder in Triton's repository. Needs no PyTorch.

    manifest.py   what a model's folder promises; read by the catalog at every start (no ONNX needed)
    weights.py    a torchvision checkpoint, read without running anything that is in it
    resnet50.py   those weights as an ONNX graph
    front.py      the uint8 input, put in front of any ONNX classifier
    artefact.py   the folder, written and checked
    version.py    another version, put into it
    templates/    the configurations and the Python backend's model, the same for every model

It stands here and not in ``inference_client`` because it makes files for a server and speaks to none, and not in
``cli`` because the catalog and the tests use it too.
"""
