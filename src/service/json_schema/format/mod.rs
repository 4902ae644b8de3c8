//! The formats of JSON Schema (validation, section 7.3). All of them are asserted; a name that is not theirs says nothing.

mod host;
mod punycode;
mod time;
mod uri;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::service::pattern::Pattern;

/// A format.
pub(super) struct Format {
    pub(super) name: &'static str,
    /// Whether a text has it.
    pub(super) is: fn(&str) -> bool,
}

const FORMATS: &[Format] = &[
    Format { name: "date", is: time::is_date },
    Format { name: "date-time", is: time::is_date_time },
    Format { name: "duration", is: time::is_duration },
    Format { name: "email", is: host::is_email },
    Format { name: "hostname", is: host::is_host },
    Format { name: "idn-email", is: host::is_international_email },
    Format { name: "idn-hostname", is: host::is_international_host },
    Format { name: "ipv4", is: |text| text.parse::<Ipv4Addr>().is_ok() },
    Format { name: "ipv6", is: |text| text.parse::<Ipv6Addr>().is_ok() },
    Format { name: "iri", is: |text| uri::is_absolute(text, true) },
    Format { name: "iri-reference", is: |text| uri::is_reference(text, true) },
    Format { name: "json-pointer", is: is_pointer },
    Format { name: "regex", is: Pattern::is_pattern },
    Format { name: "relative-json-pointer", is: is_relative_pointer },
    Format { name: "time", is: time::is_time },
    Format { name: "uri", is: is_uri },
    Format { name: "uri-reference", is: is_reference },
    Format { name: "uri-template", is: uri::is_template },
    Format { name: "uuid", is: is_uuid },
];

/// Returns a format by its name.
pub(super) fn named(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// Returns whether a text is a URI (RFC 3986).
pub(super) fn is_uri(text: &str) -> bool {
    uri::is_absolute(text, false)
}

/// Returns whether a text is a URI reference (RFC 3986).
pub(super) fn is_reference(text: &str) -> bool {
    uri::is_reference(text, false)
}

/// RFC 6901, section 3.
fn is_pointer(text: &str) -> bool {
    let is_escaped = |part: &str| part.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']));
    text.is_empty() || text.starts_with('/') && is_escaped(text)
}

/// A number of levels, then a pointer or `#`.
fn is_relative_pointer(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (levels, behind) = text.split_at(digits);
    let is_number = !levels.is_empty() && (levels == "0" || !levels.starts_with('0'));
    is_number && (behind == "#" || is_pointer(behind))
}

/// RFC 4122, section 3.
fn is_uuid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts = || text.split('-');
    parts().map(str::len).eq(lengths) && parts().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_know_their_texts() {
        for (name, right, wrong) in [
            (
                "date",
                &["2024-02-29", "0000-01-01"][..],
                &["2023-02-29", "2024-13-01", "2024-1-01", "2024-01-01Z", "২০২৪-01-01"][..],
            ),
            (
                "date-time",
                &["2026-11-27T12:00:00Z", "1998-12-31t23:59:60z", "1998-12-31T15:59:60.123-08:00"],
                &[
                    "2026-11-27",
                    "2026-11-27 12:00:00Z",
                    "1998-12-31T22:59:60Z",
                    "2026-11-27T24:00:00Z",
                    "2026-11-27T12:00:00",
                ],
            ),
            (
                "time",
                &["08:30:06+01:00", "23:59:60Z", "00:29:60+00:30"],
                &["08:30:06", "8:30:06Z", "08:30:06.Z", "12:00:00+24:00"],
            ),
            (
                "duration",
                &["P4DT12H30M5S", "PT36H", "P2W", "P0D"],
                &["", "P", "PT", "P1", "P1S", "PT1D", "P1Y2W", "P2D1Y", "P1DT"],
            ),
            (
                "email",
                &["a.b+c@d.example", "\"a b\"@d.example", "a@[127.0.0.1]", "a@[IPv6:::1]"],
                &["a", ".a@b", "a..b@c", "a@", "a@b c", "ä@b.c"],
            ),
            ("idn-email", &["실례@실례.테스트", "a@b.c"], &["a", "2962", "a@-b"]),
            (
                "hostname",
                &["a", "a-b.example", "xn--4gbwdl.xn--wgbh1c"],
                &["", "-a", "a-", "a_b", ".a", "a..b", "xn--X", "ä.example"],
            ),
            ("idn-hostname", &["실례.테스트", "l·l", "ß", "a.example"], &["〮실례", "a·l", "-> $1.00 --", "xn--X"]),
            ("ipv4", &["192.168.0.1"], &["256.1.1.1", "1.2.3", "0x7f.1.1.1", "087.10.0.1"]),
            ("ipv6", &["::1", "1:2::192.168.0.1"], &["12345::", "::1%eth0", "1::2::3"]),
            (
                "uri",
                &["http://a.b/c?d#e", "urn:oasis:names", "mailto:a@b.c", "http://[::1]:80/%20", "x:"],
                &[
                    "//a/b",
                    "/a",
                    "http://a b",
                    "http://[::1",
                    "http://a/\\b",
                    ":x",
                    "http://a/%2",
                    "http://a:x/",
                    "http://ä/",
                ],
            ),
            ("iri", &["http://ƒøø.ßår/?∂éœ=πîx#πîüx"], &["/abc", "http://2001:0db8:85a3::7334", "\\\\win"]),
            ("uri-reference", &["", "/a", "#f", "a/b:c", "//h"], &["\\\\win", "a b", "#a\\b"]),
            ("iri-reference", &["//ƒøø.ßår/?∂", "#ƒrägmênt"], &["#ƒräg\\mênt"]),
            (
                "uri-template",
                &["http://a/{b,c:3}{/d*}{?q}", "plain"],
                &["a/{b", "a}b", "{{a}}", "{}", "{a:0}", "{a!}", "a b"],
            ),
            (
                "uuid",
                &["2EB8AA08-aa98-11ea-B4Aa-73B441D16380"],
                &["2eb8aa08-aa98-11ea-b4aa-73b441d1638", "2eb8aa08aa9811eab4aa73b441d16380"],
            ),
            ("json-pointer", &["", "/a~0b/~1", "/"], &["a", "/~", "/~2"]),
            ("relative-json-pointer", &["0", "1/a", "12#"], &["", "01/a", "-1/a", "/a", "0##", "+1"]),
            ("regex", &["^a(?=b)", "[^]"], &["(", "\\a"]),
        ] {
            let format = named(name).unwrap();
            assert!(
                right.iter().all(|text| (format.is)(text)),
                "{name}: {:?}",
                right.iter().find(|text| !(format.is)(text))
            );
            assert!(
                !wrong.iter().any(|text| (format.is)(text)),
                "{name}: {:?}",
                wrong.iter().find(|text| (format.is)(text))
            );
        }
        assert!(named("colour").is_none());
    }

    #[test]
    fn long_texts_are_refused_before_the_slow_checks() {
        let is = |name: &str, text: &str| (named(name).unwrap().is)(text);
        let label = "a".repeat(63);
        assert!(is("hostname", &label) && is("idn-hostname", &label) && !is("hostname", &format!("{label}a")));
        let number = 250_000;
        for text in [format!("xn--{}", "a9".repeat(number)), "実例".repeat(number), "\u{30fb}".repeat(number)] {
            assert!(!is("hostname", &text) && !is("idn-hostname", &text), "{}", &text[..6]);
        }
        assert!(is("regex", &"{".repeat(number)) && is("regex", &"{1,".repeat(number)));
    }
}
