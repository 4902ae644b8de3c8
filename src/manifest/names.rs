//! Which names the manifest takes. Names end up in code, URLs, headers, file names and image references, so each kind
//! has a narrow alphabet that needs no quoting anywhere.

use super::text::is_invisible;

/// What a kind of name looks like.
#[derive(Debug)]
pub(super) struct Rule {
    /// What is named.
    pub(super) noun: &'static str,
    /// The rule in words.
    pub(super) hint: &'static str,
    /// The rule as a regular expression, for editors; it may take more than `accepts`.
    pub(super) pattern: &'static str,
    /// The rule itself.
    pub(super) accepts: fn(&str) -> bool,
}

/// A model's name: a path component of an image reference (OCI distribution specification 1.1, `<name>`).
pub(super) const MODEL: Rule = Rule {
    noun: "model name",
    hint: "use lower-case letters and digits, with single `-`, `_` or `.` between them, at most 100 in all",
    pattern: "^[a-z0-9]+([._-][a-z0-9]+)*$",
    accepts: |name| {
        name.len() <= 100
            && name.split(['-', '_', '.']).all(|part| {
                !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            })
    },
};

/// A model's version: a tag of an image reference (OCI distribution specification 1.1, `<reference>`).
pub(super) const VERSION: Rule = Rule {
    noun: "version",
    hint: "a version is also an image tag: letters, digits, `_`, `.` and `-`, not first `.` or `-`, at most 128 in all; \
           `latest` is the highest by itself",
    pattern: "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$",
    accepts: |version| {
        version.len() <= 128
            && version != "latest"
            && version.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
            && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    },
};

/// A label of a version: a path segment, which no version's number can be taken for.
pub(super) const VERSION_LABEL: Rule = Rule {
    noun: "label",
    hint: "use a letter, then letters, digits, `_`, `.` and `-`, at most 64 in all; `latest` is the highest version by itself",
    pattern: "^[A-Za-z][A-Za-z0-9._-]{0,63}$",
    accepts: |label| {
        label != "latest" && label.starts_with(|first: char| first.is_ascii_alphabetic()) && (ASSET.accepts)(label)
    },
};

/// The version of a language.
pub(super) const LANGUAGE_VERSION: Rule = Rule {
    noun: "language version",
    hint: "write major and minor in quotes, such as \"3.11\"; the patch level comes with the distribution",
    pattern: r"^[0-9]{1,3}\.[0-9]{1,3}$",
    accepts: |version| {
        let digits = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        version.split_once('.').is_some_and(|(major, minor)| digits(major) && digits(minor))
    },
};

/// A day, as ISO 8601 has it.
pub(super) const DATE: Rule = Rule {
    noun: "date",
    hint: "write year, month and day, such as 2026-11-23",
    pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    accepts: |date| {
        date.len() == 10
            && date.split('-').map(str::len).eq([4, 2, 2])
            && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    },
};

/// An endpoint: a method or function in every language, and a path segment.
pub(super) const ENDPOINT: Rule = Rule {
    noun: "endpoint name",
    hint: "an endpoint is a method of the service file: a letter, then letters, digits and `_`, at most 64 in all",
    pattern: "^[A-Za-z][A-Za-z0-9_]{0,63}$",
    accepts: |name| {
        name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_alphabetic()) && is_identifier(name)
    },
};

/// An artifact or a dataset: a folder name in the image.
pub(super) const ASSET: Rule = Rule {
    noun: "name",
    hint: "use a letter or digit, then letters, digits, `_`, `.` and `-`, at most 64 in all",
    pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    accepts: |name| {
        name.len() <= 64
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    },
};

/// A column of a table: whatever data frames and CSV files have.
pub(super) const COLUMN: Rule = Rule {
    noun: "column name",
    hint: "any text that can be seen is taken, without spaces around it, at most 256 characters",
    pattern: r"^\S(.*\S)?$",
    accepts: |name| {
        !name.is_empty()
            && name.len() <= 1024
            && name.chars().count() <= 256
            && name.trim() == name
            && !name.chars().any(is_invisible)
    },
};

/// A class of a Python service file.
pub(super) const CLASS: Rule = Rule {
    noun: "class name",
    hint: "write the service as `file.py:Class`",
    pattern: "^[A-Za-z_][A-Za-z0-9_]*$",
    accepts: |name| is_identifier(name) && !PYTHON_KEYWORDS.contains(&name),
};

/// A function of the service file.
pub(super) const FUNCTION: Rule = Rule {
    noun: "function name",
    hint: "name a function of the service file: a letter, then letters, digits and `_`, at most 64 in all",
    pattern: "^[A-Za-z][A-Za-z0-9_]{0,63}$",
    accepts: |name| (ENDPOINT.accepts)(name) && !is_keyword(name),
};

/// An environment variable.
pub(super) const VARIABLE: Rule = Rule {
    noun: "environment variable",
    hint: "use letters, digits and `_`, not a digit first",
    pattern: "^[A-Za-z_][A-Za-z0-9_]*$",
    accepts: |name| name.len() <= 256 && is_identifier(name),
};

/// A label of the image.
pub(super) const LABEL: Rule = Rule {
    noun: "label",
    hint: "use letters, digits, `.`, `_`, `/` and `-`, such as `org.example.team`",
    pattern: "^[A-Za-z0-9][A-Za-z0-9._/-]*$",
    accepts: |name| {
        name.len() <= 256
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte))
    },
};

/// A package of Debian (Policy 5.6.1), maybe with a version or a release.
pub(super) const DEBIAN_PACKAGE: Rule = Rule {
    noun: "Debian package",
    hint: "use the name in lower case, such as `libgomp1`, where needed with its version as `libgomp1=12.2.0-14`, its \
           release as `libgomp1/bookworm` or a limit as `libgomp1 (>= 12)`",
    pattern: r"^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+|/[a-z0-9-]+| ?\((<<|<=|=|>=|>>) *[A-Za-z0-9.+:~-]+\))?$",
    accepts: |text| {
        let end = text.find(['=', '/', ' ', '(']).unwrap_or(text.len());
        is_debian_name(&text[..end]) && (end == text.len() || is_debian_choice(&text[end..]))
    },
};

/// A suite of Debian.
pub(super) const DEBIAN_SUITE: Rule = Rule {
    noun: "Debian suite",
    hint: "name a part of the release that the runtime is from, such as `bookworm-backports`",
    pattern: "^[a-z0-9][a-z0-9-]+$",
    accepts: |name| is_debian_name(name) && name.len() <= 64 && !name.contains(['+', '.']),
};

/// A package of Debian with a version or a release.
pub(super) const DEBIAN_PIN: Rule = Rule {
    noun: "pin",
    hint: "write a Debian package with a version, such as `tzdata=2024b-0+deb12u1`, a release, such as \
           `tzdata/bookworm`, or a limit, such as `tzdata (<< 2025)`",
    pattern: r"^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+|/[a-z0-9-]+| ?\((<<|<=|=|>=|>>) *[A-Za-z0-9.+:~-]+\))$",
    accepts: |text| !is_debian_name(text) && (DEBIAN_PACKAGE.accepts)(text),
};

fn is_debian_name(name: &str) -> bool {
    (2..=128).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+.-".contains(&byte))
}

/// Whether what follows a package's name chooses among its versions: `=VERSION`, `/RELEASE` or ` (>= VERSION)`.
fn is_debian_choice(text: &str) -> bool {
    let is_version = |text: &str| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+:~-".contains(&byte))
    };
    let is_release = |text: &str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if let Some(release) = text.strip_prefix('/') {
        return is_release(release);
    }
    if let Some(version) = text.strip_prefix('=') {
        return is_version(version);
    }
    let limit = text.strip_prefix(' ').unwrap_or(text);
    let limit = limit.strip_prefix('(').and_then(|limit| limit.strip_suffix(')'));
    limit.is_some_and(|limit| {
        let version = limit.trim_start_matches(['<', '>', '=']);
        matches!(&limit[..limit.len() - version.len()], "<<" | "<=" | "=" | ">=" | ">>")
            && is_version(version.trim_start_matches(' '))
    })
}

/// A requirement in the words of the language's own packaging; that world checks it further when resolving.
pub(super) const REQUIREMENT: Rule = Rule {
    noun: "package",
    hint: "write a package name first, then its version where needed, such as `scikit-learn==1.5.2`; options are not taken",
    pattern: "^[A-Za-z0-9].*$",
    accepts: |text| {
        text.len() <= 500
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && !text.chars().any(is_invisible)
            && text.trim() == text
    },
};

/// An SPDX licence expression; its identifiers are not looked up.
pub(super) const LICENSE: Rule = Rule {
    noun: "licence",
    hint: "write an SPDX expression, such as `Apache-2.0` or `MIT OR Apache-2.0`; \
           a licence of your own is `LicenseRef-` and a name",
    pattern: r"^[A-Za-z0-9(][A-Za-z0-9.+:() -]*$",
    accepts: |text| {
        text.len() <= 256
            && text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '(')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+:() -".contains(&byte))
            && text.trim_end() == text
    },
};

/// A media type without parameters (RFC 6838, section 4.2).
pub(super) const MEDIA_TYPE: Rule = Rule {
    noun: "media type",
    hint: "write it as `type/subtype`, such as `image/png`",
    pattern: "^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$",
    accepts: |text| {
        let name = |part: &str| {
            (1..=127).contains(&part.len())
                && part.starts_with(|first: char| first.is_ascii_alphanumeric())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
        };
        text.split_once('/').is_some_and(|(kind, subtype)| name(kind) && name(subtype))
    },
};

const PYTHON_KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Words of R's grammar, and `load`, which a service file defines for itself.
const R_KEYWORDS: &[&str] = &[
    "FALSE",
    "Inf",
    "NA",
    "NA_character_",
    "NA_complex_",
    "NA_integer_",
    "NA_real_",
    "NULL",
    "NaN",
    "TRUE",
    "break",
    "else",
    "for",
    "function",
    "if",
    "in",
    "load",
    "next",
    "repeat",
    "while",
];

/// Whether a name means something in one of the languages, and so cannot be a method or function of the user's.
pub(super) fn is_keyword(name: &str) -> bool {
    PYTHON_KEYWORDS.contains(&name) || R_KEYWORDS.contains(&name)
}

/// Whether a text is a word that YAML takes as it is, if it is none of YAML's own.
pub(super) fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte))
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would break a shell, a header, a URL, a path or generated code.
    const HOSTILE: &[&str] = &[
        "",
        " ",
        ".",
        "..",
        "../x",
        "/x",
        "a/../b",
        "a b",
        "a\nb",
        "a\r\nX-Header: 1",
        "a;reboot",
        "$(reboot)",
        "`reboot`",
        "a'b",
        "a\"b",
        "a\\b",
        "a\0b",
        "a\u{202e}b",
        "--option",
        "{{ 7 * 7 }}",
        "a?b#c",
        "é",
    ];

    #[test]
    fn narrow_names_take_nothing_hostile() {
        for rule in [
            MODEL,
            VERSION,
            VERSION_LABEL,
            LANGUAGE_VERSION,
            DATE,
            ENDPOINT,
            ASSET,
            CLASS,
            FUNCTION,
            VARIABLE,
            DEBIAN_PACKAGE,
            MEDIA_TYPE,
        ] {
            for name in HOSTILE {
                assert!(!(rule.accepts)(name), "{} {name:?}", rule.noun);
            }
        }
    }

    #[test]
    fn wide_names_take_no_invisible_characters() {
        for rule in [COLUMN, REQUIREMENT, LICENSE, LABEL] {
            for name in ["", "a\nb", "a\0b", "a\u{202e}b", "-a\r\n"] {
                assert!(!(rule.accepts)(name), "{} {name:?}", rule.noun);
            }
        }
    }

    #[test]
    fn takes_what_people_use() {
        let good: &[(&Rule, &[&str])] = &[
            (&MODEL, &["b2x-classifier", "iris", "a.b_c-1"]),
            (&VERSION, &["1.0.0", "2026-11-23", "v1", "_x"]),
            (&VERSION_LABEL, &["stable", "canary-2", "A.b_c"]),
            (&LANGUAGE_VERSION, &["3.11", "4.5"]),
            (&DATE, &["2026-11-23"]),
            (&ENDPOINT, &["classify", "predict_proba", "X1"]),
            (&ASSET, &["model", "model.v2", "a-b_c"]),
            (&COLUMN, &["name", "Sepal.Length", "price (€)", "a b", "данные"]),
            (&LABEL, &["org.opencontainers.image.source", "team"]),
            (&DEBIAN_PACKAGE, &["libgomp1", "g++", "libstdc++6"]),
            (&REQUIREMENT, &["numpy", "scikit-learn==1.5.2", "uvicorn[standard]>=0.30 ; python_version < \"3.13\""]),
            (&LICENSE, &["MIT", "(MIT OR Apache-2.0) AND CC0-1.0", "LicenseRef-Acme"]),
            (&MEDIA_TYPE, &["image/png", "application/vnd.api+json"]),
        ];
        for (rule, names) in good {
            for name in *names {
                assert!((rule.accepts)(name), "{} {name:?}", rule.noun);
            }
        }
    }
}
