//! Workers: processes that hold the model and answer one call at a time.
//!
//! [`frame`] is what goes over the pipes, [`link`] the pipes, [`process`] one running worker, [`template`] a process that
//! workers are forked from, and [`slot`] keeps one worker running for ever.

pub mod frame;
pub mod link;
pub mod output;
pub mod process;
pub mod slot;
pub mod template;

use std::sync::Arc;

use serde_json::{Value, json};

use super::log::{self, Level};

/// Which worker one is, as the log says it.
#[derive(Clone, Debug)]
pub struct Name {
    /// The version of the model that it has loaded.
    pub version: Arc<str>,
    /// Its number among the workers of that version, from 1.
    pub number: usize,
}

impl Name {
    /// Writes a line of the log about the worker.
    pub fn log(&self, level: Level, message: &str, mut fields: Value) {
        fields["version"] = json!(&*self.version);
        fields["worker"] = json!(self.number);
        log::line(level, message, fields);
    }
}
