//! The end-to-end tests: the real example, real registries, real container engines.
//!
//! They need the network and Debian's programs, and root where they mount and start daemons: `sh tests/run.sh` sees to
//! both. All servers listen on the loopback device and end with their test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, reason = "what is public in a test is so for its neighbours")]
#![allow(clippy::print_stderr, reason = "times are told, not asserted")]

#[path = "../support/program.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod program;
#[path = "../server/support.rs"]
#[allow(dead_code, reason = "the other tests of the server use the rest")]
mod server;
mod support;

mod apt;
mod arm64;
mod browser;
mod call;
mod clients;
mod configure;
mod cran;
mod elf_wheels;
mod engines;
mod faults;
mod image;
mod json_schema;
mod ldcache;
mod predictions;
mod push;
mod pypi;
mod r;
mod records;
mod reproducible;
mod sandbox;
mod serve;
mod vendor;
mod versions;
mod wheels;
mod worker_faults;
