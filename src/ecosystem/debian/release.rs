//! Reads `Release` files (as `InRelease` carries them) and checks that one is the file that was asked for, and current.
//!
//! Signatures are checked before, in `openpgp`: only signed text may come here.

use std::collections::BTreeMap;

use super::control::Stanza;
use crate::digest::Digest;
use crate::error::{Diagnose, Exit};

/// Seconds in a day.
pub(super) const DAY: i64 = 86_400;

/// A release file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The name is none that a release may have.
    #[error("`{}` is not the name of a Debian release", suite.escape_default())]
    Name {
        /// The name that was asked for.
        suite: String,
    },
    /// The suite belongs to another release.
    #[error("`{suite}` is no part of {base}, which the runtime is from")]
    Foreign {
        /// The suite that was asked for.
        suite: String,
        /// The release that it should belong to.
        base: String,
    },
    /// The mirror has no release of that name.
    #[error("there is no release `{suite}` at {url}")]
    Missing {
        /// The release that was asked for.
        suite: String,
        /// The address of its release file, without credentials.
        url: String,
    },
    /// A field is missing or has no usable value.
    #[error("the release file of {suite} has no usable field `{field}`")]
    Field {
        /// The release that was asked for.
        suite: String,
        /// The field.
        field: &'static str,
    },
    /// The file belongs to another release.
    #[error("the release file of {suite} is one of {found}")]
    OtherSuite {
        /// The release that was asked for.
        suite: String,
        /// The code name in the file.
        found: String,
    },
    /// The file says that it was made later than now.
    #[error("the release file of {suite} is from the future: {date}")]
    Future {
        /// The release.
        suite: String,
        /// Its `Date`.
        date: String,
    },
    /// The file is too old to be used.
    #[error("the release file of {suite} was valid until {until}")]
    Expired {
        /// The release.
        suite: String,
        /// Its `Valid-Until`.
        until: String,
    },
    /// The file is older than the one that was used before.
    #[error("the release file of {suite} is of {date}, older than the one that the lock is from")]
    RolledBack {
        /// The release.
        suite: String,
        /// Its `Date`.
        date: String,
    },
    /// The release has no packages for the architecture.
    #[error("{suite} has no file `{path}`")]
    NoFile {
        /// The release.
        suite: String,
        /// The file's path within the release.
        path: String,
    },
}

impl Diagnose for ReleaseError {
    fn exit(&self) -> Exit {
        match self {
            Self::Name { .. } | Self::Foreign { .. } => Exit::Manifest,
            Self::Missing { .. } => Exit::Network,
            Self::NoFile { .. } => Exit::Resolution,
            _ => Exit::Integrity,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Name { .. } => "name a release by its code name, such as bookworm",
            Self::Foreign { base, .. } => {
                return vec![format!(
                    "name a suite such as `{base}-backports`, or choose the `runtime.version` that the other release has"
                )];
            }
            Self::Missing { .. } => {
                "check the release's name, and which mirrors are configured: security updates have one of their own"
            }
            Self::Field { .. } | Self::OtherSuite { .. } => "the mirror may be set up wrongly: try another one",
            Self::Future { .. } => "check this machine's clock",
            Self::Expired { .. } => {
                "the mirror lags behind, or hides security updates: try another one; check this machine's clock too"
            }
            Self::RolledBack { .. } => {
                "the mirror lags behind, or hides updates: try again later or another mirror; to go back on purpose, \
                 delete the lock file"
            }
            Self::NoFile { .. } => "choose a release that has this platform",
        };
        vec![hint.to_owned()]
    }
}

/// What a release file says of one index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
}

/// The priority of a release whose packages are taken by themselves, see apt_preferences(5).
pub const AUTOMATIC: u32 = 500;
/// That of a release whose packages are taken only where asked for, or needed by what was; a later version of such a
/// package is taken by itself, but images have no later.
const ASKED_FOR: u32 = 100;
/// That of a release for trying things out.
const EXPERIMENTAL: u32 = 1;

/// A release of an archive: the root of what it publishes.
#[derive(Debug)]
pub struct Release {
    /// Its code name, such as `bookworm-security`.
    pub suite: String,
    /// When it was made, in seconds since 1970.
    pub date: i64,
    /// Whether index files can be had by their hash, so that an update of the archive does not break fetching.
    pub by_hash: bool,
    /// How much its packages are preferred, as apt has it where nothing else is configured.
    pub priority: u32,
    until: Option<i64>,
    texts: [String; 2],
    files: BTreeMap<String, File>,
}

impl Release {
    /// Reads the signed text of the release file of `suite`.
    pub fn parse(suite: &str, text: &str) -> Result<Self, ReleaseError> {
        let stanza = Stanza::new(text);
        let wrong = |field| ReleaseError::Field { suite: suite.to_owned(), field };
        let found = stanza.field("Codename").ok_or_else(|| wrong("Codename"))?;
        if found != suite {
            return Err(ReleaseError::OtherSuite { suite: suite.to_owned(), found: found.to_owned() });
        }
        let date = stanza.field("Date").ok_or_else(|| wrong("Date"))?;
        let until = stanza.field("Valid-Until");
        let is = |field| stanza.field(field) == Some("yes");
        let files = stanza.field("SHA256").and_then(parse_files).ok_or_else(|| wrong("SHA256"))?;
        Ok(Self {
            suite: suite.to_owned(),
            date: parse_date(date).ok_or_else(|| wrong("Date"))?,
            by_hash: is("Acquire-By-Hash"),
            priority: match (is("NotAutomatic"), is("ButAutomaticUpgrades")) {
                (false, _) => AUTOMATIC,
                (true, true) => ASKED_FOR,
                (true, false) => EXPERIMENTAL,
            },
            until: until.map(|until| parse_date(until).ok_or_else(|| wrong("Valid-Until"))).transpose()?,
            texts: [date.to_owned(), until.unwrap_or_default().to_owned()],
            files,
        })
    }

    /// Checks the dates against `now` and against the newest date that was ever trusted, both in seconds since 1970.
    pub fn check(&self, now: i64, known: Option<i64>) -> Result<(), ReleaseError> {
        let suite = self.suite.clone();
        let [date, until] = self.texts.clone();
        if self.date > now + DAY {
            return Err(ReleaseError::Future { suite, date });
        }
        if self.until.is_some_and(|until| until <= now) {
            return Err(ReleaseError::Expired { suite, until });
        }
        if known.is_some_and(|known| self.date < known) {
            return Err(ReleaseError::RolledBack { suite, date });
        }
        Ok(())
    }

    /// Returns what the release says of the file at `path`, relative to the release file.
    pub fn file(&self, path: &str) -> Option<File> {
        self.files.get(path).copied()
    }
}

/// Reads lines of digest, size and path.
fn parse_files(field: &str) -> Option<BTreeMap<String, File>> {
    field
        .lines()
        .map(|line| {
            let mut words = line.split_ascii_whitespace();
            let digest = Digest::from_hex(words.next()?).ok()?;
            let file = File { digest, size: words.next()?.parse().ok()? };
            Some((words.next()?.to_owned(), file))
        })
        .collect()
}

/// Reads a date such as `Sat, 11 Jul 2026 10:16:37 UTC`; archives know no other time zone.
fn parse_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_weekday, rest) = text.split_once(", ")?;
    let words: Vec<_> = rest.split_ascii_whitespace().collect();
    let [day, month, year, time, "UTC" | "GMT" | "+0000"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let (day, year) = (bounded(day, 1..=31)?, bounded(year, 1970..=9999)?);
    let clock: Vec<_> = time.split(':').map(|part| bounded(part, 0..=60)).collect::<Option<_>>()?;
    let [hour, minute, second] = clock[..] else { return None };
    Some(days(year, month, day) * DAY + hour * 3600 + minute * 60 + second)
}

fn bounded(text: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// Returns the days since 1970-01-01 of a date in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that a leap day is the last of its year.
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: x\nCodename: demo\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n\
        Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC\nAcquire-By-Hash: yes\nSHA256:\n \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-amd64/Packages\n";
    const DATE: i64 = 1_783_764_997;

    #[test]
    fn dates_are_seconds_since_1970() {
        let known = [
            ("Thu, 01 Jan 1970 00:00:00 UTC", Some(0)),
            ("Sat, 11 Jul 2026 10:16:37 UTC", Some(DATE)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Fri, 01 Mar 2024 0:00:00 +0000", Some(1_709_251_200)),
            ("Sat, 11 Jul 2026 10:16:37 CEST", None),
            ("Sat, 11 Jul 2026 10:16 UTC", None),
            ("Sat, 99 Jul 2026 10:16:37 UTC", None),
            ("", None),
        ];
        for (text, seconds) in known {
            assert_eq!(parse_date(text), seconds, "{text}");
        }
    }

    #[test]
    fn a_release_file_lists_files() {
        let release = Release::parse("demo", TEXT).unwrap();
        assert_eq!(release.file("main/binary-amd64/Packages"), Some(File { size: 0, digest: Digest::of(b"") }));
        assert!(release.by_hash && release.file("x").is_none());
    }

    #[test]
    fn another_suite_and_missing_fields_are_refused() {
        assert!(matches!(Release::parse("other", TEXT), Err(ReleaseError::OtherSuite { .. })));
        for field in ["Codename:", "Date:", "SHA256:"] {
            assert!(matches!(Release::parse("demo", &TEXT.replace(field, "X:")), Err(ReleaseError::Field { .. })));
        }
    }

    #[test]
    fn dates_bound_when_a_release_may_be_used() {
        let release = Release::parse("demo", TEXT).unwrap();
        assert!(release.check(DATE - DAY, Some(DATE)).is_ok());
        assert!(release.check(DATE + 7 * DAY - 1, None).is_ok());
        assert!(matches!(release.check(DATE - DAY - 1, None), Err(ReleaseError::Future { .. })));
        assert!(matches!(release.check(DATE + 7 * DAY, None), Err(ReleaseError::Expired { .. })));
        assert!(matches!(release.check(DATE, Some(DATE + 1)), Err(ReleaseError::RolledBack { .. })));
    }
}
