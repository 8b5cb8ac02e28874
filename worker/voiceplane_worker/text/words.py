"""Words that the text stage needs in each of its languages: signs, scales of numbers, fractions, abbreviations."""

from __future__ import annotations


def word_set(words: str) -> frozenset[str]:
    """A set of the words in a string."""
    return frozenset(words.split())


_KEYS = (
    "point minus plus times divided over equals unequal less greater at_most at_least about plus_minus percent "
    "permille degrees and at dot number to in squared cubed power root infinity sum integral section version"
)


def _symbols(words: str) -> dict[str, str]:
    return dict(zip(_KEYS.split(), (word.strip() for word in words.split("|")), strict=True))


SYMBOLS = {
    "en": _symbols(
        "point|minus|plus|times|divided by|over|equals|is not equal to|is less than|is greater than|"
        "is at most|is at least|about|plus or minus|percent|per mille|degrees|and|at|dot|number|to|"
        "in|squared|cubed|to the power of|square root of|infinity|the sum of|the integral of|section|"
        "version"
    ),
    "de": _symbols(
        "Komma|minus|plus|mal|geteilt durch|durch|gleich|ungleich|kleiner als|größer als|höchstens|"
        "mindestens|ungefähr|plus minus|Prozent|Promille|Grad|und|at|Punkt|Nummer|bis|in|Quadrat|"
        "hoch drei|hoch|Wurzel aus|unendlich|Summe von|Integral von|Paragraf|Version"
    ),
    "fr": _symbols(
        "virgule|moins|plus|fois|divisé par|sur|égale|différent de|inférieur à|supérieur à|au plus|"
        "au moins|environ|plus ou moins|pour cent|pour mille|degrés|et|arobase|point|numéro|à|dans|"
        "au carré|au cube|puissance|racine carrée de|l'infini|la somme de|l'intégrale de|paragraphe|"
        "version"
    ),
    "es": _symbols(
        "coma|menos|más|por|dividido por|sobre|igual a|distinto de|menor que|mayor que|como máximo|"
        "como mínimo|aproximadamente|más menos|por ciento|por mil|grados|y|arroba|punto|número|a|en|"
        "al cuadrado|al cubo|elevado a|raíz cuadrada de|infinito|la suma de|la integral de|sección|"
        "versión"
    ),
    "it": _symbols(
        "virgola|meno|più|per|diviso|su|uguale a|diverso da|minore di|maggiore di|al massimo|almeno|"
        "circa|più o meno|per cento|per mille|gradi|e|chiocciola|punto|numero|a|in|al quadrato|"
        "al cubo|elevato a|radice quadrata di|infinito|la somma di|l'integrale di|paragrafo|versione"
    ),
    "pt": _symbols(
        "vírgula|menos|mais|vezes|dividido por|sobre|igual a|diferente de|menor que|maior que|"
        "no máximo|no mínimo|cerca de|mais ou menos|por cento|por mil|graus|e|arroba|ponto|número|a|"
        "em|ao quadrado|ao cubo|elevado a|raiz quadrada de|infinito|a soma de|a integral de|seção|versão"
    ),
    "nl": _symbols(
        "komma|min|plus|keer|gedeeld door|op|is gelijk aan|is niet gelijk aan|kleiner dan|groter dan|"
        "hoogstens|minstens|ongeveer|plus of min|procent|promille|graden|en|apenstaartje|punt|nummer|"
        "tot|in|kwadraat|tot de derde|tot de macht|wortel uit|oneindig|de som van|de integraal van|"
        "paragraaf|versie"
    ),
    "pl": _symbols(
        "przecinek|minus|plus|razy|podzielić przez|przez|równa się|nie równa się|mniejsze niż|"
        "większe niż|najwyżej|co najmniej|około|plus minus|procent|promil|stopni|i|małpa|kropka|numer|"
        "do|w|do kwadratu|do sześcianu|do potęgi|pierwiastek z|nieskończoność|suma|całka z|paragraf|"
        "wersja"
    ),
}

# A half, a third, two thirds, a quarter, three quarters; then "and a half" after a whole number, "and a quarter", "and
# three quarters".
FRACTIONS = {
    "en": {"1/2": "one half", "1/3": "one third", "2/3": "two thirds", "1/4": "one quarter", "3/4": "three quarters"},
    "de": {"1/2": "ein halb", "1/3": "ein Drittel", "2/3": "zwei Drittel", "1/4": "ein Viertel", "3/4": "drei Viertel"},
    "fr": {"1/2": "un demi", "1/3": "un tiers", "2/3": "deux tiers", "1/4": "un quart", "3/4": "trois quarts"},
    "es": {"1/2": "medio", "1/3": "un tercio", "2/3": "dos tercios", "1/4": "un cuarto", "3/4": "tres cuartos"},
    "it": {"1/2": "un mezzo", "1/3": "un terzo", "2/3": "due terzi", "1/4": "un quarto", "3/4": "tre quarti"},
    "pt": {"1/2": "meio", "1/3": "um terço", "2/3": "dois terços", "1/4": "um quarto", "3/4": "três quartos"},
    "nl": {"1/2": "een half", "1/3": "een derde", "2/3": "twee derde", "1/4": "een kwart", "3/4": "drie kwart"},
    "pl": {"1/2": "pół", "1/3": "jedna trzecia", "2/3": "dwie trzecie", "1/4": "jedna czwarta", "3/4": "trzy czwarte"},
}
MIXED_FRACTIONS = {
    "en": {"1/2": "and a half", "1/4": "and a quarter", "1/3": "and a third"},
    "de": {"1/2": "einhalb"},
    "fr": {"1/2": "et demi", "1/4": "et quart"},
    "es": {"1/2": "y medio", "1/4": "y cuarto"},
    "it": {"1/2": "e mezzo", "1/4": "e un quarto"},
    "pt": {"1/2": "e meio", "1/4": "e um quarto"},
    "nl": {"1/2": "en een half", "1/4": "en een kwart"},
    "pl": {"1/2": "i pół", "1/4": "i jedna czwarta"},
}

# Words after an amount of money that are said before the currency: "$5 million", "3,5 Mio. €". Short forms, and whole.
SCALES = {
    "en": {
        "k": "thousand", "K": "thousand", "M": "million", "m": "million", "mn": "million", "B": "billion",
        "bn": "billion", "T": "trillion", "thousand": "thousand", "million": "million", "billion": "billion",
        "trillion": "trillion",
    },
    "de": {
        "Tsd.": "tausend", "Mio.": "Millionen", "Mrd.": "Milliarden", "tausend": "tausend", "Millionen": "Millionen",
        "Milliarden": "Milliarden",
    },
    "fr": {"k": "mille", "M": "millions", "Md": "milliards", "millions": "millions de", "milliards": "milliards de"},
    "es": {"millones": "millones de", "mil": "mil"},
    "it": {"mila": "mila", "milioni": "milioni di", "miliardi": "miliardi di"},
    "pt": {"mil": "mil", "milhões": "milhões de", "bilhões": "bilhões de"},
    "nl": {"mln.": "miljoen", "mld.": "miljard", "miljoen": "miljoen", "miljard": "miljard"},
    "pl": {"tys.": "tysięcy", "mln": "milionów", "mld": "miliardów"},
}  # fmt: skip

# Written form, with its stops: what is said. Longer ones are tried first. Those with a capital are looked for as they
# are, others also with a capital at the beginning of a sentence.
ABBREVIATIONS = {
    "en": {
        "Dr.": "Doctor", "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "Prof.": "Professor", "St.": "Saint",
        "Jr.": "Junior", "Sr.": "Senior", "Gen.": "General", "Sen.": "Senator", "Gov.": "Governor",
        "Rep.": "Representative", "Capt.": "Captain", "Lt.": "Lieutenant", "Sgt.": "Sergeant", "Col.": "Colonel",
        "Rev.": "Reverend", "Mt.": "Mount", "Ave.": "Avenue", "Blvd.": "Boulevard", "Apt.": "Apartment",
        "Rd.": "Road", "Inc.": "Incorporated", "Ltd.": "Limited", "Corp.": "Corporation", "Co.": "Company",
        "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "vs.": "versus", "approx.": "approximately",
        "a.m.": "AM", "p.m.": "PM", "A.M.": "AM", "P.M.": "PM", "Ph.D.": "P H D", "w/o": "without", "w/": "with",
        "Jan.": "January", "Feb.": "February", "Aug.": "August", "Sept.": "September", "Oct.": "October",
        "Nov.": "November", "Dec.": "December", "dept.": "department", "est.": "established", "min.": "minutes",
        "max.": "maximum", "et al.": "et al", "cf.": "compare", "Vol.": "Volume", "Fig.": "Figure", "pp.": "pages",
        "No.": "Number",
    },
    "de": {
        "z. B.": "zum Beispiel", "z.B.": "zum Beispiel", "d. h.": "das heißt", "d.h.": "das heißt",
        "u. a.": "unter anderem", "u.a.": "unter anderem", "o. Ä.": "oder Ähnliches", "o.Ä.": "oder Ähnliches",
        "s. o.": "siehe oben", "i. d. R.": "in der Regel", "i.d.R.": "in der Regel", "usw.": "und so weiter",
        "bzw.": "beziehungsweise", "Dr.": "Doktor", "Prof.": "Professor", "Nr.": "Nummer", "ca.": "circa",
        "Mio.": "Millionen", "Mrd.": "Milliarden", "inkl.": "inklusive", "evtl.": "eventuell",
        "ggf.": "gegebenenfalls", "Hr.": "Herr", "Fr.": "Frau", "vgl.": "vergleiche", "etc.": "et cetera",
        "sog.": "sogenannt", "Str.": "Straße", "St.": "Sankt", "zzgl.": "zuzüglich", "max.": "maximal",
        "min.": "minimal", "Std.": "Stunden", "Min.": "Minuten", "Tel.": "Telefon", "Abb.": "Abbildung",
        "Abs.": "Absatz", "Art.": "Artikel", "Stk.": "Stück", "Jh.": "Jahrhundert", "S.": "Seite", "Bd.": "Band",
        "u. U.": "unter Umständen", "v. Chr.": "vor Christus", "n. Chr.": "nach Christus",
    },
    "fr": {
        "M.": "Monsieur", "MM.": "Messieurs", "Mme": "Madame", "Mmes": "Mesdames", "Mlle": "Mademoiselle",
        "Dr": "Docteur", "Dr.": "Docteur", "Pr": "Professeur", "etc.": "et cetera", "p. ex.": "par exemple",
        "p.ex.": "par exemple", "c.-à-d.": "c'est-à-dire", "n°": "numéro", "N°": "Numéro", "av.": "avenue",
        "bd.": "boulevard", "env.": "environ", "tél.": "téléphone", "St": "Saint", "Ste": "Sainte",
        "max.": "maximum", "min.": "minutes", "vol.": "volume", "apr. J.-C.": "après Jésus-Christ",
        "av. J.-C.": "avant Jésus-Christ",
    },
    "es": {
        "Sr.": "señor", "Sra.": "señora", "Srta.": "señorita", "Sres.": "señores", "Dr.": "doctor",
        "Dra.": "doctora", "Ud.": "usted", "Uds.": "ustedes", "D.": "don", "Dña.": "doña", "Prof.": "profesor",
        "etc.": "etcétera", "p. ej.": "por ejemplo", "p.ej.": "por ejemplo", "núm.": "número", "n.º": "número",
        "pág.": "página", "págs.": "páginas", "tel.": "teléfono", "Avda.": "avenida", "aprox.": "aproximadamente",
        "EE. UU.": "Estados Unidos", "EE.UU.": "Estados Unidos", "a. C.": "antes de Cristo",
        "d. C.": "después de Cristo", "máx.": "máximo", "mín.": "mínimo",
    },
    "it": {
        "Sig.": "signor", "Sig.ra": "signora", "Sig.na": "signorina", "Dott.": "dottor", "Dott.ssa": "dottoressa",
        "Dr.": "dottor", "Prof.": "professor", "Prof.ssa": "professoressa", "Ing.": "ingegner", "Avv.": "avvocato",
        "ecc.": "eccetera", "sec.": "secolo", "p. es.": "per esempio", "p.es.": "per esempio", "es.": "esempio",
        "n.": "numero", "pag.": "pagina", "tel.": "telefono", "ca.": "circa", "max.": "massimo", "min.": "minimo",
        "S.": "San", "a.C.": "avanti Cristo", "d.C.": "dopo Cristo", "P.za": "piazza", "V.le": "viale",
    },
    "pt": {
        "Sr.": "senhor", "Sra.": "senhora", "Srta.": "senhorita", "Dr.": "doutor", "Dra.": "doutora",
        "Prof.": "professor", "Profa.": "professora", "etc.": "et cetera", "p. ex.": "por exemplo",
        "p.ex.": "por exemplo", "n.º": "número", "nº": "número", "pág.": "página", "tel.": "telefone",
        "Av.": "avenida", "aprox.": "aproximadamente", "máx.": "máximo", "mín.": "mínimo", "a.C.": "antes de Cristo",
        "d.C.": "depois de Cristo", "V. Ex.ª": "Vossa Excelência", "D.": "Dom", "séc.": "século",
        "Exmo.": "excelentíssimo",
    },
    "nl": {
        "dhr.": "de heer", "mevr.": "mevrouw", "mw.": "mevrouw", "dr.": "doctor", "Dr.": "Doctor",
        "prof.": "professor", "ir.": "ingenieur", "mr.": "meester", "drs.": "doctorandus", "bijv.": "bijvoorbeeld",
        "bv.": "bijvoorbeeld", "enz.": "enzovoort", "d.w.z.": "dat wil zeggen", "o.a.": "onder andere",
        "i.p.v.": "in plaats van", "m.b.t.": "met betrekking tot", "t.o.v.": "ten opzichte van",
        "a.u.b.": "alstublieft", "nr.": "nummer", "ca.": "circa", "incl.": "inclusief", "excl.": "exclusief",
        "max.": "maximaal", "min.": "minimaal", "tel.": "telefoon", "blz.": "bladzijde", "St.": "Sint",
        "evt.": "eventueel", "etc.": "et cetera", "v.Chr.": "voor Christus",
    },
    "pl": {
        "np.": "na przykład", "itd.": "i tak dalej", "itp.": "i tym podobne", "tzn.": "to znaczy", "tj.": "to jest",
        "m.in.": "między innymi", "m. in.": "między innymi", "dr": "doktor", "prof.": "profesor", "mgr": "magister",
        "inż.": "inżynier", "ul.": "ulica", "al.": "aleja", "nr": "numer", "godz.": "godzina", "ok.": "około",
        "tel.": "telefon", "str.": "strona", "św.": "święty", "tzw.": "tak zwany", "ww.": "wyżej wymieniony",
        "min.": "minut", "maks.": "maksymalnie", "p.n.e.": "przed naszą erą", "n.e.": "naszej ery", "r.": "roku",
        "w.": "wieku",
    },
}  # fmt: skip

# Before a Roman numeral: a king or pope, whose number is an ordinal in some languages, and a thing that is counted.
REGNAL_NAMES = word_set(
    "Louis Henry Charles Elizabeth George Edward William James Richard Philip Pius Benedict Paul Peter Catherine "
    "Nicholas Alexander Frederick Napoleon Leo Gregory Innocent Clement Urban Ivan Mary Victoria Ludwig Karl "
    "Heinrich Friedrich Wilhelm Otto Elisabeth Katharina Nikolaus Philipp Johannes Papst Luigi Carlo Enrico "
    "Vittorio Emanuele Umberto Francesco Giovanni Benedetto Pio Luis Carlos Felipe Juan Alfonso Fernando Isabel "
    "Benedicto Luís João Pedro Afonso Manuel Filipe Lodewijk Willem Karel Filips Beatrix Jan Zygmunt Kazimierz "
    "Bolesław Władysław Stanisław Paweł Henri François Philippe Jean Albert Ramses Cleopatra Ptolemy Harald "
    "Gustav Christian"
)
COUNTED = word_set(
    "chapter part war act volume section book scene phase stage type level class title article appendix rocky "
    "bowl kapitel teil band akt weltkrieg artikel abschnitt chapitre partie tome acte livre guerre titre article "
    "capítulo parte tomo acto volumen capitolo volume atto libro guerra título ato hoofdstuk deel wereldoorlog "
    "boek rozdział część tom akt wojna"
)
CENTURY = {
    "en": "century centuries",
    "de": "jahrhundert",
    "fr": "siècle siècles",
    "es": "siglo siglos",
    "it": "secolo",
    "pt": "século séculos",
    "nl": "eeuw",
    "pl": "wiek wieku",
}

# Abbreviations that are read as such only before a number, before a name, or after a number.
BEFORE_NUMBER = word_set(
    "No. Nr. n. S. Fig. pp. est. Vol. n° N° nr nr. Bd. Abb. n.º nº pág. pag. núm. blz. str. godz. cf."
)
BEFORE_NAME = word_set(
    "Gen. Sen. Gov. Rep. Capt. Lt. Sgt. Col. Rev. Mt. Hr. Fr. M. D. S. mr. ir. Pr Dr St Ste dr al. ul. św. mgr inż."
)
AFTER_NUMBER = word_set("min. Min. Std. r. gr zł w.")
