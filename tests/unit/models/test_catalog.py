import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

from gateway.errors import UnknownModel
from gateway.models.catalog import ModelCatalog

ROOT = Path(__file__).resolve().parents[3]
POLICY = {
    "default": "m",
    "models": {
        "m": {
            "versions": {"1": {"weight": 100}},
            "modalities": ["MR"],
            "on_other_modality": "warn",
            "input": {"height": 224, "width": 224, "resize": "squash"},
        }
    },
}
INPUT = POLICY["models"]["m"]["input"]
LABELS = b"Glioma\nNo Tumor\n"
WEIGHTS = b"not a model, but a file with a digest"


def listed(data: bytes) -> dict:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


class House:
    """A policy and a repository of one model, to be broken in one place."""

    def __init__(self, folder: Path) -> None:
        self.policy, self.repository = folder / "models.yaml", folder / "models"
        self.model = self.repository / "m"
        (self.model / "1").mkdir(parents=True)
        (self.model / "labels.txt").write_bytes(LABELS)
        (self.model / "1" / "model.onnx").write_bytes(WEIGHTS)
        self.write_manifest()
        self.write_policy(POLICY)

    def write_manifest(self, **changed) -> None:
        manifest = {
            "name": "m",
            "files": {"labels.txt": listed(LABELS), "1/model.onnx": listed(WEIGHTS)},
            "source": {"name": "m.pth", **listed(b"x")},
            "opset": 17,
            "input": {"name": "image", "dtype": "uint8", "shape": ["batch", 224, 224, 3]},
            "output": {"name": "logits", "dtype": "float32", "shape": ["batch", 2]},
        }
        (self.model / "manifest.json").write_text(json.dumps(manifest | changed))

    def relabel(self, *labels: str) -> None:
        text = "".join(f"{label}\n" for label in labels).encode()
        (self.model / "labels.txt").write_bytes(text)
        self.write_manifest(files={"labels.txt": listed(text), "1/model.onnx": listed(WEIGHTS)})

    def write_policy(self, policy: object) -> None:
        self.policy.write_text(policy if isinstance(policy, str) else yaml.safe_dump(policy))

    def change(self, **changed) -> None:
        self.write_policy({"default": "m", "models": {"m": POLICY["models"]["m"] | changed}})

    def load(self) -> ModelCatalog:
        return ModelCatalog.load(self.policy, self.repository)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_policy_labels_and_digest_become_one_model(house: House) -> None:
    model = house.load().resolve("m")
    assert (model.name, model.version) == ("m", "1")
    assert model.labels == ("Glioma", "No Tumor")
    assert model.digest == hashlib.sha256(WEIGHTS).hexdigest()
    assert model.modalities == {"MR"}
    assert model.on_other_modality == "warn"
    assert (model.input.height, model.input.width, model.input.resize) == (224, 224, "squash")


def test_what_a_policy_leaves_out_changes_no_answer(house: House) -> None:
    model = house.load().resolve("m")
    assert (model.temperature, model.uncertain_below, model.body_parts) == (1.0, 0.0, frozenset())
    house.change(temperature=2, uncertain_below=0.7, body_parts=["HEAD", "BRAIN"], on_other_body_part="refuse")
    model = house.load().resolve("m")
    assert (model.temperature, model.uncertain_below) == (2.0, 0.7)
    assert (model.body_parts, model.on_other_body_part) == ({"HEAD", "BRAIN"}, "refuse")


def test_no_name_is_the_default_and_a_wrong_one_is_unknown(house: House) -> None:
    catalog = house.load()
    assert catalog.resolve(None) is catalog.resolve("m")
    assert [model.name for model in catalog] == ["m"]
    for name in ("", "other", "../m"):
        with pytest.raises(UnknownModel) as raised:
            catalog.resolve(name)
        assert "other" not in raised.value.detail


@pytest.mark.parametrize(
    ("break_it", "file", "reason"),
    [
        (lambda h: h.policy.unlink(), "models.yaml", "No such file"),
        (lambda h: h.write_policy("a: [b"), "models.yaml", "line"),
        (lambda h: h.write_policy("[]"), "models.yaml", "line 1: Input should be"),
        (lambda h: h.write_policy(POLICY | {"models": {}}), "models.yaml", "models"),
        (lambda h: h.write_policy(POLICY | {"default": "n"}), "models.yaml", "default: n is not among"),
        (lambda h: h.write_policy(POLICY | {"extra": 1}), "models.yaml", "extra"),
        (lambda h: h.change(version="1"), "models.yaml", "line 11: models.m.version: Extra"),
        (lambda h: h.change(versions={}), "models.yaml", "models.m.versions"),
        (
            lambda h: h.change(versions={"1": {"weight": 90}}),
            "models.yaml",
            "line 3: models.m: .* 100 together, and are 90",
        ),
        (lambda h: h.change(versions={"1": {"weight": -1}}), "models.yaml", "models.m.versions.1.weight"),
        (lambda h: h.change(versions={"v1": {"weight": 100}}), "models.yaml", "models.m.versions.v1"),
        (
            lambda h: h.change(versions={"1": {"weight": 100}, "7": {"weight": 0}}),
            "models.yaml",
            "models.m.versions.7: not listed in .*manifest.json",
        ),
        (lambda h: h.change(shadow={"version": "2", "share": 5}), "models.yaml", "version 2 is not among the versions"),
        (lambda h: h.change(shadow={"version": "1", "share": 0}), "models.yaml", "models.m.shadow.share"),
        (lambda h: h.change(task="weather"), "models.yaml", "models.m.task"),
        (lambda h: h.change(modalities="MR"), "models.yaml", "models.m.modalities"),
        (lambda h: h.change(modalities=["mr"]), "models.yaml", "models.m.modalities"),
        (lambda h: h.change(on_other_modality="allow"), "models.yaml", "models.m.on_other_modality"),
        (lambda h: h.change(body_parts=["head"]), "models.yaml", "models.m.body_parts"),
        (lambda h: h.change(on_other_body_part="allow"), "models.yaml", "models.m.on_other_body_part"),
        (lambda h: h.change(temperature=0), "models.yaml", "models.m.temperature"),
        (lambda h: h.change(uncertain_below=1.5), "models.yaml", "models.m.uncertain_below"),
        (lambda h: h.change(typo=1), "models.yaml", "models.m.typo"),
        (lambda h: h.change(input=INPUT | {"height": 99}), "models.yaml", "models.m.input: the manifest of m says"),
        (lambda h: h.change(input=INPUT | {"layout": "nchw"}), "models.yaml", "models.m.input: the manifest of m says"),
        (lambda h: h.change(input=INPUT | {"colour": "grey"}), "models.yaml", "models.m.input: the manifest of m says"),
        (
            lambda h: h.change(input=INPUT | {"dtype": "float32"}),
            "models.yaml",
            "models.m.input: the manifest of m says",
        ),
        (lambda h: h.change(input=INPUT | {"mean": [0.5]}), "models.yaml", "mean: only float32 is scaled here"),
        (
            lambda h: h.change(input=INPUT | {"dtype": "float32", "std": [1, 2]}),
            "models.yaml",
            "std needs one number, or one for each of the 3 channels",
        ),
        (lambda h: h.change(input=INPUT | {"dtype": "float32", "std": [0]}), "models.yaml", "models.m.input.std.0"),
        (lambda h: (h.model / "manifest.json").unlink(), "manifest.json", "No such file"),
        (lambda h: (h.model / "manifest.json").write_text("{"), "manifest.json", "JSON"),
        (lambda h: h.write_manifest(name="n"), "manifest.json", "name is n"),
        (lambda h: h.write_manifest(files={}), "manifest.json", "labels.txt is not listed"),
        (
            lambda h: h.write_manifest(files={"labels.txt": listed(LABELS), "../x": listed(b"x")}),
            "manifest.json",
            "out of the folder",
        ),
        (
            lambda h: h.write_manifest(output={"name": "logits", "dtype": "float32", "shape": ["batch", 3]}),
            "labels.txt",
            "2 labels for 3 logits",
        ),
        (lambda h: (h.model / "labels.txt").unlink(), "labels.txt", "No such file"),
        (lambda h: (h.model / "labels.txt").write_bytes(b"No Tumor\nGlioma\n"), "labels.txt", "SHA-256"),
        (lambda h: (h.model / "labels.txt").write_bytes(b"Glioma\n\nNo Tumor\n"), "labels.txt", "line 2"),
        (lambda h: (h.model / "labels.txt").write_bytes(b"Glioma\r\nNo Tumor\r\n"), "labels.txt", "SHA-256"),
        (lambda h: (h.model / "labels.txt").write_bytes(b"Glioma\nGlioma\n"), "labels.txt", "twice"),
        (lambda h: h.relabel("Glioma", "Uncertain"), "labels.txt", "no label is probable enough"),
        (lambda h: (h.model / "labels.txt").write_bytes(b"Glioma\n"), "labels.txt", "two labels"),
        (lambda h: (h.model / "labels.txt").write_bytes(b"\xff\n\xfe\n"), "labels.txt", "UTF-8"),
    ],
)
def test_a_mistake_stops_the_start_and_names_its_file(house: House, break_it, file: str, reason: str) -> None:
    house.load()
    break_it(house)
    with pytest.raises(ValueError, match=reason) as raised:
        house.load()
    assert file in str(raised.value)


def test_weights_that_are_not_the_listed_ones_are_refused(house: House) -> None:
    weights = house.model / "1" / "model.onnx"
    assert weights in house.load().verify_weights()
    weights.write_bytes(WEIGHTS[:-1] + b"!")  # the same length
    with pytest.raises(ValueError, match=r"model\.onnx.*SHA-256"):
        house.load().verify_weights()


def test_a_gateway_without_the_weights_at_hand_starts(house: House) -> None:
    (house.model / "1" / "model.onnx").unlink()
    assert house.load().verify_weights() == [house.model / "labels.txt"]


def test_the_shipped_policy_and_model_load() -> None:
    catalog = ModelCatalog.load(ROOT / "policies" / "models.yaml", ROOT / "model_repository")
    assert catalog.resolve(None).labels == ("Glioma", "Meningioma", "Pituitary", "No Tumor")
    assert catalog.resolve(None).modalities == {"MR"}


def test_the_shipped_labels_in_another_order_do_not_load(tmp_path: Path) -> None:
    name = "brain_mri_resnet50"
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(ROOT / "model_repository" / name / "manifest.json", folder)
    labels = (ROOT / "model_repository" / name / "labels.txt").read_text().split("\n")[:-1]
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in [*labels[1:], labels[0]]))
    with pytest.raises(ValueError, match=r"labels\.txt"):
        ModelCatalog.load(ROOT / "policies" / "models.yaml", tmp_path)
