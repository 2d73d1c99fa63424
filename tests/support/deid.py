"""A de-identification engine with the shipped policy, and identifiable images to give it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from gateway.deid.engine import DeidEngine
from gateway.ingest.image import IdentifiableImage
from gateway.ingest.upload import MediaType

POLICY = Path(__file__).parents[2] / "policies" / "deid" / "basic.yaml"
KEY = b"a key of the tests, 32 bytes long."
SHARED = Path(__file__).resolve().parents[3] / "shared"


def engine(key: bytes = KEY, *, look: bool = False, folder: Path | None = None) -> DeidEngine:
    """The shipped policy. With a ``folder`` for the changed copy and without ``look``: the pixels are left alone."""
    if look or folder is None:
        return DeidEngine.load(POLICY, key)
    policy = folder / "header-only.yaml"
    signed = POLICY.read_text(encoding="utf-8")
    changed = signed.replace("look: true", "look: false").replace('options: ["113101"]', "options: []")
    policy.write_text(changed, encoding="utf-8")
    return DeidEngine.load(policy, key)


def header_engine(name: str, folder: Path) -> DeidEngine:
    """A ready policy by its name, with its changed copy in a folder; the pixels are passed on without a look."""
    document = yaml.safe_load((POLICY.parent / f"{name}.yaml").read_text(encoding="utf-8"))
    document["pixels"]["look"] = False
    document["visible_features"] = "accept"
    document["options"] = [code for code in document["options"] if code not in ("113101", "113102")]
    policy = folder / f"{name}.yaml"
    policy.write_text(yaml.safe_dump(document), encoding="utf-8")
    return DeidEngine.load(policy, KEY)


def engine_with(folder: Path, *options: str, key: bytes = KEY, **fields: object) -> DeidEngine:
    """The shipped policy with these options and fields in the place of its own; the pixels are left alone."""
    document = yaml.safe_load(POLICY.read_text(encoding="utf-8"))
    document["pixels"]["look"] = False
    document |= {"options": sorted(options), **fields}
    if "113107" in options:
        document.setdefault("dates", {"least_days": 100, "most_days": 1000})
    path = folder / f"{'-'.join(['with', *options])}.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return DeidEngine.load(path, key)


def header() -> Dataset:
    """A plain CT header of a patient who does not exist."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.4.5", "1.2.3.4", "1.2.3.4.1"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Modality = "CT"
    ds.PatientName, ds.PatientID, ds.IssuerOfPatientID = "Testmann^Erika", "MRN-778812", "HOSP"
    ds.PatientBirthDate, ds.StudyDate, ds.AccessionNumber = "19611105", "20240102", "ACC55012"
    ds.Rows = ds.Columns = 64
    ds.PixelSpacing, ds.ImageOrientationPatient = [0.5, 0.5], [1, 0, 0, 0, 1, 0]
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def image(
    dataset: Dataset | None = None,
    frames: list[np.ndarray] | None = None,
    *,
    total: int | None = None,
    **members: object,
) -> IdentifiableImage:
    """An image as ingest makes it; dark 64 x 64 frames unless given."""
    pictures = frames or [np.zeros((64, 64), np.uint8)]
    return IdentifiableImage(
        media_type=MediaType.PNG if dataset is None else MediaType.DICOM,
        dataset=dataset,
        frame_numbers=tuple(range(1, len(pictures) + 1)),
        total_frames=total or len(pictures),
        modality=None,
        body_part=None,
        render=lambda number: pictures[number - 1],
        **members,  # type: ignore[arg-type]
    )
