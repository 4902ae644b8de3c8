//! Workers: processes that hold the model and answer one call at a time.
//!
//! [`frame`] is what goes over the pipes, [`process`] is one running worker, [`slot`] keeps one running for ever.

pub mod frame;
pub mod process;
pub mod slot;
