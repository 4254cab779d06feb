"""What does not stay at a place: weather, light, season, people and vehicles named in a caption.

English, by word lists: a model that judged captions would be a second pass. Most mistakes of such
lists are things that stay and are called after what passes ("car park", "bus stop", "pedestrian
crossing"), and names ("Rainbow Street"), so both are taken out of the text before it is searched.
A thing counts when it is mentioned at all, "no cars are visible" included: it is words that the
text encoder sees.
"""

import re

KINDS: dict[str, str] = {
    "weather": (
        r"(?:blue|clear|gr[ae]y|bright|dark|cloudy|cloudless|overcast|dramatic) (?:sky|skies)"
        r"|sky (?:is|appears|looks|seems) (?:blue|clear|gr[ae]y|bright|dark|white)"
        r"|cloud(?:s|y)?|overcast|rain(?:y|ing)?|raindrops?|drizzl(?:e|y|ing)|puddles?"
        r"|snow(?:y|ing|fall)?|snow-covered|fog(?:gy)?|mist(?:y)?|haz[ey]|windy|storm(?:y)?"
        r"|thunderstorms?|sunny|weather|wet (?:street|road|pavement|ground|asphalt|surface)s?"
    ),
    "light": (
        r"sunlight|sunlit|sunshine|daylight|daytime|sunsets?|sunrise|twilight|dusk|dawn"
        r"|night(?:time|fall)?|evening|afternoon|shadows?|sun"
    ),
    "season": (
        r"winter(?:y)?|autumn(?:al)?|summer(?:y|time)?|springtime|(?:in|early|late) spring"
        r"|fall (?:foliage|colou?rs|season)|leafless|bare trees?|fallen leaves|seasons?"
        r"|lost (?:their|its) leaves"
    ),
    "people": (
        r"people|persons?|pedestrians?|(?:wo)?m[ae]n|child(?:ren)?|boys?|girls?|crowd(?:s|ed)?"
        r"|(?:bi)?cyclists?|motorcyclists?|passers?-?by|tourists?|shoppers?|drivers?|workers?"
        r"|someone"
    ),
    "vehicles": (
        r"cars?|vehicles?|automobiles?|sedans?|suvs?|(?:mini)?vans?|(?:mini)?bus(?:es)?|coaches"
        r"|(?:pickup )?trucks?|pickups|lorr(?:y|ies)|taxis?|taxicabs?|cabs?|limousines?"
        r"|motor(?:cycle|bike)s?|(?:bi|tri)cycles?|bikes?|scooters?|mopeds?|trams?|trains?"
        r"|streetcars?|ambulances?|boats?|tractors?|trailers?|traffic"
    ),
}
"""Patterns of each kind; the kinds are called as prompts call them."""

_AFTER = {
    r"(?:motor ?)?(?:car|vehicle|truck|lorry|van|trailer|boat)": (
        r"parks?|parking|wash(?:es)?|dealers?(?:hips?)?|show ?rooms?|repairs?|rentals?|hire"
        r"|garages?|ports?|lots?|charg(?:ing|ers?)|mechanics?|workshops?|ramps?|lanes?|barriers?"
        r"|gates?|entrances?|access|sales|decks?|yards?|houses?|sheds?|stops?|free zones?"
    ),
    r"(?:mini)?bus|coach|tram|train|streetcar|taxi|cab": (
        r"stops?|shelters?|stations?|lanes?|stands?|bays?|tracks?|lines?|rails?|wires?|cables?"
        r"|depots?|terminals?|terminus|platforms?|bridges?|routes?|ranks?|signs?|poles?|tunnels?"
        r"|yards?|sheds?|garages?|offices?"
    ),
    r"(?:motor|bi)?cycle|(?:motor)?bike|scooter|boat": (
        r"lanes?|racks?|paths?|stands?|parking|shops?|sheds?|tracks?|stor(?:es?|age)|hire|rental"
        r"|docks?|docking|routes?|crossings?|symbols?|markings?|signs?|shelters?"
        r"|dealers?(?:hips?)?|repairs?|houses?"
    ),
    r"traffic": (
        r"lights?|signals?|signs?|islands?|circles?|calming|cones?|mirrors?|barriers?|lanes?"
        r"|junctions?|bollards?|markings?|humps?|control|poles?"
    ),
    r"pedestrians?": (
        r"crossings?|crosswalks?|zones?|(?:foot)?bridges?|streets?|areas?|paths?|(?:walk)?ways?"
        r"|islands?|signals?|lights?|malls?|precincts?|underpass(?:es)?|lanes?|tunnels?|barriers?"
        r"|refuges?|squares?|gates?"
    ),
    r"(?:(?:wo)?m[ae]n|people|child(?:ren)?|boy|girl|tourist|driver|worker)": (
        r"care|cent(?:re|er)s?|information|offices?|shops?|schools?|hole covers?"
    ),
    r"(?:snow|rain|storm|sun|shadow|winter|summer|night)": (
        r"(?:water )?(?:pipes?|gutters?|drains?|barrels?|guards?|blinds?"
        r"|shades?|shutters?|terraces?|dials?|rooms?|gardens?|houses?|clubs?|porch(?:es)?|gaps?)"
    ),
    r"sunny": r"(?:yellow|orange|gold(?:en)?|colou?rs?|cream|ochre)",
    r"(?:day|night)": r"(?:nurser(?:y|ies)|care)",
}
_COLOURS = r"(?:blue|gr[ae]y|green|pink|red|orange|white|yellow)"
_PERMANENT = "|".join(
    [
        *(rf"(?:{first})[ -](?:{second})" for first, second in _AFTER.items()),
        r"for (?:pedestrians|cyclists|bicycles|bikes|cars|vehicles|buses|trucks|people|children"
        r"|taxis|trams|traffic|boys|girls|(?:wo)?men|workers)",
        r"(?:statue|bust|sculpture|mural|painting|relief|portrait|figure|carving|silhouette"
        r"|image|picture)s? of (?:(?:an?|the|two|three|some|several|seated|standing) )*"
        r"(?:(?:wo)?m[ae]n|people|person|child(?:ren)?|boy|girl|cars?|train|boat)",
        r"(?:sky|cloud|mist|fog|sunset|night|rain)[ -]" + _COLOURS,
        r"(?:wo)?men['\u2019]s|people['\u2019]s|child(?:ren)?['\u2019]s|man-made"
        r"|(?:boys|girls)['\u2019]",
        r"weather[ -](?:vanes?|cocks?|boards?|boarding|beaten|worn)|driver['\u2019]s",
    ]
)

_QUOTED = re.compile(
    '"[^"]{0,200}"|\u201c[^\u201d]{0,200}\u201d|\u00ab[^\u00bb]{0,200}\u00bb'
    r"|\u300c[^\u300d]{0,200}\u300d|(?<!\w)['\u2018](?=\S)[^'\u2019\n]{0,80}['\u2019](?!\w)"
)
# A capital after a small letter or a comma begins a name, and so do two words with capitals.
_CAPITAL = r"(?!SUVs?\b)[A-Z]"
_NAME = re.compile(
    rf"(?<=[a-z0-9,;'\u2019] ){_CAPITAL}[\w'\u2019-]*(?: {_CAPITAL}[\w'\u2019-]*)*"
    rf"|\b{_CAPITAL}[\w'\u2019-]+(?: {_CAPITAL}[\w'\u2019-]+)+"
)
_PERMANENT_THING = re.compile(rf"\b(?:{_PERMANENT})\b")
_TRANSIENT = {kind: re.compile(rf"(?<![\w-])(?:{words})(?![\w-])") for kind, words in KINDS.items()}
_ANY = re.compile("|".join(f"(?:{words})" for words in KINDS.values()))

_FORBIDDING = re.compile(
    r"\b(?:leave out|omit|ignore|exclude|excluding|avoid|except|without|no|not|never"
    r"|don['\u2019]t)\b"
)


def unquoted(caption: str) -> str:
    """Return a caption without what stands in quotation marks: the words of signs."""
    return _QUOTED.sub("#", caption)


def transient_things(caption: str, kinds: frozenset[str] = frozenset(KINDS)) -> list[str]:
    """Return the words of a caption that name what passes, in order for each kind."""
    text = _NAME.sub("#", unquoted(caption)).lower()
    if _ANY.search(text) is None:
        return []
    text = _PERMANENT_THING.sub("#", text)
    return [found for kind in KINDS if kind in kinds for found in _TRANSIENT[kind].findall(text)]


def forbidden_kinds(prompt: str) -> frozenset[str]:
    """Return the kinds that a prompt says to leave out, sentence by sentence.

    >>> sorted(forbidden_kinds("Describe the light. Do not mention people or the weather."))
    ['people', 'weather']
    """
    sentences = [each for each in re.split(r"[.;:\n]", prompt.lower()) if _FORBIDDING.search(each)]
    return frozenset(
        kind for kind in KINDS if any(re.search(rf"\b{kind}\b", each) for each in sentences)
    )
