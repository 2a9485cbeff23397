"""The languages of a request; without a server."""

import types

import pytest
from ocrmypdf_lector import _client, _languages


def test_languages_are_named_where_the_models_lack_one():
    assert _languages.query([]) == ""
    assert _languages.query(["eng", "deu", "chi_sim", "jpn", "fra"]) == ""
    assert _languages.query(["rus"]) == "rus"
    assert _languages.query(["eng", "ukr"]) == "eng,ukr"
    with pytest.raises(ValueError, match="at most 4"):
        _languages.query(["rus", "eng", "deu", "fra", "ita"])


def test_a_request_names_them():
    options = types.SimpleNamespace(languages=["rus", "eng"], lector_url="http://127.0.0.1:9")
    assert _client(options)._languages == "rus,eng"
    options.languages = ["eng"]
    assert _client(options)._languages == ""
