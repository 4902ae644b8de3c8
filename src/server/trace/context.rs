//! Where a request stands in a trace: W3C Trace Context's `traceparent`.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::HeaderMap;

/// A trace's number; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub u128);

/// A span's number within its trace; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub u64);

/// The part of a trace that a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: TraceId,
    /// The caller's span, where it has one.
    pub parent: Option<SpanId>,
    /// The request's own span.
    pub span: SpanId,
    /// Whether the caller records it; where there is no caller, whether it is to be recorded.
    pub sampled: bool,
}

impl Context {
    /// Continues the caller's trace (W3C Trace Context, section 3.2); `None` where the headers name none, or not properly.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get("traceparent")?.to_str().ok()?.split('-');
        let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let version = number(version, 2)?;
        // Later versions may have more fields; this one has none.
        if version == 0xff || (version == 0 && fields.next().is_some()) {
            return None;
        }
        let trace = Some(TraceId(number(trace, 32)?)).filter(|trace| trace.0 != 0)?;
        let parent = Some(SpanId(number(parent, 16)? as u64)).filter(|parent| parent.0 != 0)?;
        let sampled = number(flags, 2)? & 1 == 1;
        Some(Self { trace, parent: Some(parent), span: SpanId(random()), sampled })
    }

    /// Begins a trace.
    pub fn root(sampled: bool) -> Self {
        let trace = TraceId(u128::from(random()) << 64 | u128::from(random()));
        Self { trace, parent: None, span: SpanId(random()), sampled }
    }

    /// Begins a part of this part.
    pub fn child(self) -> Self {
        Self { parent: Some(self.span), span: SpanId(random()), ..self }
    }
}

/// Reads a number of exactly so many lower-case hexadecimal digits.
fn number(digits: &str, length: usize) -> Option<u128> {
    let valid = digits.len() == length && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(digits, 16).ok().filter(|_| valid)
}

/// Returns a number that is not zero and that nobody else is likely to have chosen.
fn random() -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    KEY.hash_one(COUNT.fetch_add(1, Ordering::Relaxed)).max(1)
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn context(text: &str) -> Option<Context> {
        let header = (HeaderName::from_static("traceparent"), text.parse().unwrap());
        Context::of(&HeaderMap::from_iter([header]))
    }

    #[test]
    fn a_trace_is_taken_only_from_a_valid_header() {
        let context_of_valid = context("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(context_of_valid.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context_of_valid.parent.unwrap().to_string(), "00f067aa0ba902b7");
        assert!(context_of_valid.sampled);
        assert!(!context("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").unwrap().sampled);
        for wrong in [
            "",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(context(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_part_has_the_whole_as_its_parent() {
        let whole = Context::root(true);
        let part = whole.child();
        assert_eq!((part.trace, part.parent), (whole.trace, Some(whole.span)));
        assert_ne!(part.span, whole.span);
    }
}
