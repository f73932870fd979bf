"""What every extractor promises; a test class inherits one of these and names its extractor."""

from __future__ import annotations

import numpy as np
import pytest

from reeltag.features.base import CaptionExtractor, ClipExtractor
from reeltag.features.registry import of_manifest


class ExtractorContract:
    """Promises of all extractors; a subclass gives the fixture `extractor`."""

    def assert_entry(self, extractor, entry):
        manifest = extractor.manifest()
        assert entry.dtype == np.dtype(manifest.dtype)
        rows = entry[None] if manifest.kind == "vector" else entry
        assert len(rows) >= 1
        assert rows.shape[1:] == manifest.shape
        assert np.isfinite(rows.astype(np.float64)).all()

    def test_the_manifest_names_the_feature(self, extractor):
        manifest = extractor.manifest()
        assert manifest.name.startswith(manifest.modality + "-")
        assert "/" not in manifest.name
        assert manifest.fingerprint == extractor.manifest("other").fingerprint

    def test_the_manifest_makes_the_extractor_again(self, extractor):
        again = of_manifest(extractor.manifest())
        assert again.manifest() == extractor.manifest()


class ClipContract(ExtractorContract):
    """Promises of extractors that read clips."""

    lacking = ""
    """A clip without this extractor's modality."""

    def test_is_a_clip_extractor(self, extractor):
        assert isinstance(extractor, ClipExtractor)
        assert extractor.manifest().source == "clip"

    @pytest.mark.parametrize("name", ["usual", "silent", "one-frame"])
    def test_entry_is_as_the_manifest_says(self, extractor, decoded, name):
        self.assert_entry(extractor, extractor.extract(decoded(name, extractor.request)))

    def test_same_clip_same_bytes(self, extractor, decoded):
        first = extractor.extract(decoded("usual", extractor.request))
        again = of_manifest(extractor.manifest())
        assert again.extract(decoded("usual", again.request)).tobytes() == first.tobytes()

    def test_other_clip_other_values(self, extractor, decoded):
        first = extractor.extract(decoded("usual", extractor.request))
        second = extractor.extract(decoded("silent", extractor.request))
        assert not np.array_equal(first, second)

    def test_missing_modality_gives_none(self, extractor, decoded):
        assert extractor.extract(decoded(self.lacking, extractor.request)) is None


class CaptionContract(ExtractorContract):
    """Promises of extractors that read captions."""

    captions = ("Morning run by the river 🏃", "a quick dinner", "don't stop the music tonight")

    def test_is_a_caption_extractor(self, extractor):
        assert isinstance(extractor, CaptionExtractor)
        assert extractor.manifest().source == "caption"

    def test_entries_are_as_the_manifest_says(self, extractor):
        for entry in extractor.extract(self.captions):
            self.assert_entry(extractor, entry)

    def test_empty_captions_give_none_at_their_places(self, extractor):
        entries = extractor.extract(["", self.captions[0], "  \n"])
        assert [entry is None for entry in entries] == [True, False, True]

    def test_no_caption_at_all(self, extractor):
        assert extractor.extract([]) == []

    def test_neighbours_do_not_change_an_entry(self, extractor):
        together = extractor.extract(self.captions)
        for caption, entry in zip(self.captions, together, strict=True):
            np.testing.assert_allclose(extractor.extract([caption])[0], entry, atol=1e-5)
