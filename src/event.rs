//! What a running command tells the outside, as data: `cli` turns events into progress bars, lines or JSON.
//!
//! Nothing in the library prints.

use serde::Serialize;

/// Something worth telling while a command runs.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A step of the pipeline begins, such as `resolving Debian bookworm`.
    Step {
        /// What begins, as a phrase in the present participle.
        message: String,
    },
    /// Something that only who asks for details wants to know, such as what was left out.
    Detail {
        /// A whole line.
        message: String,
    },
    /// A transfer begins. The same `id` comes back in [`Event::Progress`] and [`Event::Done`].
    Start {
        /// Names this transfer among those under way, such as a file name or a digest.
        id: String,
        /// What is done to it: `download`, `push`, `compress`.
        action: &'static str,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// A transfer went on.
    Progress {
        /// The transfer.
        id: String,
        /// Bytes so far.
        position: u64,
    },
    /// A transfer ended.
    Done {
        /// The transfer.
        id: String,
        /// How it ended: `downloaded`, `already there`, `mounted`.
        outcome: String,
    },
    /// Something that the user should know, although the command goes on.
    Warning {
        /// What is odd, and where.
        message: String,
        /// What to do about it, where there is something to do.
        hint: Option<String>,
    },
}

/// Receives events. Called from many threads at once.
pub trait Report: Send + Sync {
    /// Takes one event; must not block for long.
    fn event(&self, event: Event);
}

impl dyn Report + '_ {
    /// Tells that a step begins.
    pub fn say(&self, message: impl Into<String>) {
        self.event(Event::Step { message: message.into() });
    }

    /// Warns, with something to do about it.
    pub fn warn(&self, message: impl Into<String>, hint: Option<String>) {
        self.event(Event::Warning { message: message.into(), hint });
    }
}

/// Drops every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Report for Silent {
    fn event(&self, _event: Event) {}
}
