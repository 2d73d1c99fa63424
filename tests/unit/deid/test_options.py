"""Each option of PS3.15 E.3, through the engine: what it keeps or cleans, and what goes all the same."""

from __future__ import annotations

from datetime import date

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from tests.support import deid

ALL = ("113103", "113104", "113105", "113107", "113108", "113109", "113110", "113111", "113112")


@pytest.fixture
def made(tmp_path):
    """A header de-identified with options: ``made("113106", source)``."""

    def clean(*options, source, tenant="a", key=deid.KEY, **fields):
        engine = deid.engine_with(tmp_path, *options, key=key, **fields)
        return engine.deidentify(deid.image(source), tenant=tenant)

    return clean


def dated() -> Dataset:
    ds = deid.header()
    ds.StudyDate, ds.SeriesDate, ds.StudyTime = "20240102", "20240105", "101112.5"
    ds.AcquisitionDateTime = "20240105101112.000000+0100"
    ds.TimezoneOffsetFromUTC = "+0100"
    request = Dataset()
    request.ScheduledProcedureStepStartDate = "20231224"
    ds.RequestAttributesSequence = Sequence([request])
    return ds


def _day(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


class TestDates:
    def test_full_dates_stay(self, made):
        target = made("113106", source=dated()).dataset
        assert (target.StudyDate, target.SeriesDate, target.StudyTime) == ("20240102", "20240105", "101112.5")
        assert target.AcquisitionDateTime == "20240105101112.000000+0100"
        assert target.LongitudinalTemporalInformationModified == "UNMODIFIED"

    def test_modified_dates_move_together_by_whole_days(self, made):
        target = made("113107", source=dated()).dataset
        shift = date(2024, 1, 2) - _day(target.StudyDate)
        assert 100 <= shift.days <= 1000
        assert date(2024, 1, 5) - _day(target.SeriesDate) == shift
        assert date(2024, 1, 5) - _day(target.AcquisitionDateTime) == shift
        assert target.AcquisitionDateTime[8:] == "101112.000000+0100"
        assert target.StudyTime == "101112.5"
        assert target.TimezoneOffsetFromUTC == "+0100"
        assert target.LongitudinalTemporalInformationModified == "MODIFIED"

    def test_without_an_option_no_date_is_left(self, made):
        target = made(source=dated()).dataset
        assert target["StudyDate"].is_empty
        assert "SeriesDate" not in target
        assert target.LongitudinalTemporalInformationModified == "REMOVED"

    @pytest.mark.parametrize("option", ["113106", "113107"])
    def test_the_birth_date_goes_all_the_same(self, made, option):
        assert made(option, source=dated()).dataset["PatientBirthDate"].is_empty

    @pytest.mark.parametrize(
        ("option", "value"), [("113106", "20240230"), ("113107", "20240230"), ("113107", "00000101")]
    )
    def test_a_day_that_does_not_exist_is_not_kept(self, made, option, value):
        ds = dated()
        ds.StudyDate = value
        assert made(option, source=ds).dataset["StudyDate"].is_empty

    def test_two_patients_move_differently_and_one_always_alike(self, made):
        other = dated()
        other.PatientID = "MRN-9"
        first, again, second = (made("113107", source=ds).dataset.StudyDate for ds in (dated(), dated(), other))
        assert first == again
        assert first != second

    def test_without_a_patient_a_study_keeps_its_intervals(self, made):
        first, second = dated(), dated()
        for ds in (first, second):
            ds.PatientID = ""
        second.StudyDate = "20240104"
        days = [_day(made("113107", source=ds).dataset.StudyDate) for ds in (first, second)]
        assert (days[1] - days[0]).days == 2

    def test_a_calibration_date_moves_even_where_devices_are_kept(self, made):
        ds = dated()
        ds.DateOfLastCalibration = "20240101"
        target = made("113107", "113109", source=ds).dataset
        assert (_day(target.StudyDate) - _day(target.DateOfLastCalibration)).days == 1

    def test_an_unlisted_date_goes_the_way_of_the_others(self, made):
        ds = dated()
        ds.SubstanceAdministrationDateTime = "20240103"
        assert "SubstanceAdministrationDateTime" not in made(source=ds).dataset
        moved = made("113107", source=ds).dataset
        assert (_day(moved.SubstanceAdministrationDateTime) - _day(moved.StudyDate)).days == 1


class TestDescriptors:
    def test_names_go_and_words_stay(self, made):
        ds = deid.header()
        ds.StudyDescription = "CT chest of Erika Testmann, MRN-778812"
        ds.SeriesDescription = "Axial lung window"
        out = made("113105", source=ds)
        assert out.dataset.SeriesDescription == "Axial lung window"
        assert out.dataset.StudyDescription.startswith("CT chest of")
        for value in ("Erika", "Testmann", "778812"):
            assert value not in out.dataset.StudyDescription
        assert out.report.text_found["name"] >= 1
        assert out.report.actions["cleaned"] == 1

    def test_text_in_the_character_set_of_its_item_is_cleaned(self, made):
        ds = deid.header()
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.PatientName, ds.StudyDescription = "Grüßner^Jörg", "Thorax Grüßner nach Röntgen"
        target = made("113105", source=ds).dataset
        assert "Grüßner" not in target.StudyDescription
        assert "Röntgen" in target.StudyDescription

    def test_a_text_that_was_nothing_but_a_name_goes(self, made):
        ds = deid.header()
        ds.StudyDescription = "Testmann Erika"
        target = made("113105", source=ds).dataset
        assert "Testmann" not in str(target.get("StudyDescription", ""))

    def test_without_the_option_descriptions_go(self, made):
        ds = deid.header()
        ds.StudyDescription = "CT chest"
        assert "StudyDescription" not in made(source=ds).dataset


class TestCharacteristics:
    @pytest.mark.parametrize(
        ("age", "stated"),
        [("055Y", "055Y"), ("089Y", "089Y"), ("090Y", "090Y"), ("091Y", "090Y"), ("103Y", "090Y"), ("999M", "999M"),
         ("012W", "012W"), ("003D", "003D")],
    )  # fmt: skip
    def test_ages_above_the_cap_are_not_told_apart(self, made, age, stated):
        ds = deid.header()
        ds.PatientAge = age
        assert made("113108", source=ds).dataset.PatientAge == stated

    def test_a_lower_cap_counts_months_too(self, made):
        ds = deid.header()
        ds.PatientAge = "999M"
        assert made("113108", source=ds, age_cap=80).dataset.PatientAge == "081Y"

    def test_what_is_no_age_goes(self, made):
        ds = deid.header()
        ds[Tag(0x00101010)] = RawDataElement(Tag(0x00101010), "AS", 4, b"ERIK", 0, False, True)
        assert "PatientAge" not in made("113108", source=ds).dataset

    def test_sex_size_and_weight_stay_and_names_go_from_the_rest(self, made):
        ds = deid.header()
        ds.PatientSex, ds.PatientSize, ds.PatientWeight, ds.Allergies = "F", "1.70", "60", "latex, says Erika Testmann"
        target = made("113108", source=ds).dataset
        assert (target.PatientSex, target.PatientSize, target.PatientWeight) == ("F", 1.7, 60)
        assert "latex" in target.Allergies
        assert "Testmann" not in target.Allergies

    def test_without_the_option_they_go(self, made):
        ds = deid.header()
        ds.PatientSex, ds.PatientAge = "F", "055Y"
        target = made(source=ds).dataset
        assert target["PatientSex"].is_empty
        assert "PatientAge" not in target


class TestIdentities:
    def test_devices_stay_and_their_ae_titles_get_a_stand_in(self, made):
        ds = deid.header()
        ds.DeviceSerialNumber, ds.StationName, ds.PerformedStationAETitle = "SN-4711", "CT2", "ERIKAHOSP_CT2"
        target = made("113109", source=ds).dataset
        assert (target.DeviceSerialNumber, target.StationName) == ("SN-4711", "CT2")
        assert len(target.PerformedStationAETitle) == 16
        assert "ERIKA" not in target.PerformedStationAETitle
        assert "DeviceSerialNumber" not in made(source=ds).dataset

    def test_institutions_stay_but_not_the_patient_in_their_name(self, made):
        ds = deid.header()
        ds.InstitutionName, ds.InstitutionalDepartmentName = "Mercy Hospital", "Ward of Testmann"
        target = made("113112", source=ds).dataset
        assert target.InstitutionName == "Mercy Hospital"
        assert "Testmann" not in target.InstitutionalDepartmentName
        assert "InstitutionName" not in made(source=ds).dataset

    def test_uids_stay_everywhere(self, made):
        ds = deid.header()
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = ds.SOPClassUID, "1.2.3.99"
        ds.ReferencedImageSequence = Sequence([reference])
        target = made("113110", source=ds).dataset
        assert target.SOPInstanceUID == target.file_meta.MediaStorageSOPInstanceUID == "1.2.3.4.5"
        assert target.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.99"

    def test_the_issuer_splits_a_patient_or_not(self, made):
        with_issuer, without = deid.header(), deid.header()
        del without.IssuerOfPatientID
        apart = [made(source=ds, issuer="part-of-id").pseudonyms.patient for ds in (with_issuer, without)]
        alike = [made(source=ds, issuer="ignored").pseudonyms.patient for ds in (with_issuer, without)]
        assert apart[0] != apart[1]
        assert alike[0] == alike[1]

    def test_accession_numbers_keep_orders_together_or_go(self, made):
        numbers = [
            made(source=deid.header(), accession=how).dataset.AccessionNumber
            for how in ("pseudonym", "pseudonym", "empty")
        ]
        assert numbers[0] == numbers[1]
        assert len(numbers[0]) == 16
        assert not numbers[2]

    def test_an_empty_patient_leaves_no_pseudonym(self, made):
        out = made(source=deid.header(), patient="empty")
        assert out.dataset["PatientID"].is_empty
        assert out.pseudonyms.patient is None


class TestOwnRules:
    def test_they_go_before_all_others(self, made):
        ds = deid.header()
        ds.ProtocolName, ds.SliceThickness = "Routine chest", "5"
        rules = [
            {"tag": "(0018,1030)", "action": "keep", "why": "protocol names are set centrally here"},
            {"tag": "(0018,0050)", "action": "remove", "why": "our protocols can be told by it"},
        ]
        target = made(source=ds, rules=rules).dataset
        assert target.ProtocolName == "Routine chest"
        assert "SliceThickness" not in target

    def test_even_they_keep_no_known_identifier(self, made):
        ds = deid.header()
        ds.ProtocolName = "Routine chest for Testmann"
        rules = [{"tag": "(0018,1030)", "action": "keep", "why": "protocol names are set centrally here"}]
        assert "Testmann" not in made(source=ds, rules=rules).dataset.ProtocolName


class TestTheWhole:
    def test_the_object_names_every_option(self, made):
        target = made(*ALL, source=deid.header()).dataset
        codes = [item.CodeValue for item in target.DeidentificationMethodCodeSequence]
        assert codes == ["113100", *ALL]

    def test_unlisted_text_stays_only_where_the_policy_cleans_it(self, made):
        ds = deid.header()
        ds.WindowCenterWidthExplanation = "seen with Testmann"
        assert "WindowCenterWidthExplanation" not in made(source=ds, text="remove").dataset
        cleaned = made(source=ds, text="clean").dataset.WindowCenterWidthExplanation
        assert "seen with" in cleaned
        assert "Testmann" not in cleaned

    def test_type_2_of_a_nested_attribute_stays_empty(self, made):
        ds = deid.header()
        request = Dataset()
        request.RequestedProcedureDescription = "CT for Testmann"
        ds.ReferencedRequestSequence = Sequence([request])
        target = made(source=ds).dataset
        assert target.ReferencedRequestSequence[0]["RequestedProcedureDescription"].is_empty
