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
