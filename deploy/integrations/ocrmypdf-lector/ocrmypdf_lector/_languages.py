"""The languages of `--language` that a request to Lector names.

A deployment reads Latin letters, Chinese and Japanese without being told. For the other languages the server has
Tesseract's data, and a request that names one is read with it.
"""

from __future__ import annotations

# Languages of one request, a limit of the server.
_MOST = 4

# The languages that Lector's own models do not read or read badly, by the names of their data: `OTHER` of
# guest/steps/src/languages.rs.
_NAMED = frozenset(
    """
    amh ara asm aze_cyrl bel ben bod bul chr div dzo ell fas grc guj heb hin hye iku kan kat kaz khm kir kor lao mal mar mkd
    mon mya nep ori pan pus rus san sin snd srp syr tam tat tel tgk tha tir uig ukr urd uzb_cyrl vie yid
    """.split()
)


def query(languages: list[str]) -> str:
    """Returns the languages for a request, joined by commas; nothing if the deployment reads all of them without being
    told. Raises `ValueError` for more than the server takes."""
    if not _NAMED.intersection(languages):
        return ""
    if len(languages) > _MOST:
        raise ValueError(f"{'+'.join(languages)} are {len(languages)} languages: use at most {_MOST}")
    return ",".join(languages)
