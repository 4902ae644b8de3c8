//! Why a program could not be run in a sandbox, and what the user can do about it.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Diagnose, Exit};
use crate::fs;

/// A program could not be run in a sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel, or a rule of this machine, refuses namespaces.
    #[error("this machine does not let mlpack run programs in a user namespace")]
    Namespaces {
        /// What was found to refuse them.
        refusal: Refusal,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A step of setting the sandbox up failed.
    #[error("failed to {step} for the sandbox")]
    Setup {
        /// The step, as a verb phrase.
        step: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The program is not there, may not be executed, or lacks its loader.
    #[error("failed to start `{program}` inside the image")]
    Program {
        /// Its path inside the image.
        program: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The program is for another processor.
    #[error("`{program}` is a program for {found}, and this machine is {}", std::env::consts::ARCH)]
    Architecture {
        /// Its path inside the image.
        program: String,
        /// The processor that it is for.
        found: String,
    },
    /// The process that sets the sandbox up could not be started.
    #[error("failed to start `{}`", program.display())]
    Start {
        /// mlpack's own program.
        program: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
}

/// What keeps user namespaces from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `kernel.unprivileged_userns_clone` is 0: older Debian kernels.
    Debian,
    /// `user.max_user_namespaces` is 0, or all of them are in use.
    Limit,
    /// `kernel.apparmor_restrict_unprivileged_userns` is 1: Ubuntu from 23.10 on.
    AppArmor,
    /// None of these: most often the system call filter of a container.
    Filter,
}

impl Refusal {
    /// Finds out what refuses, from the kernel's settings; `setting` gives the value of one by its name.
    pub(super) fn find(setting: impl Fn(&str) -> Option<String>) -> Self {
        let is = |name, value: &str| setting(name).is_some_and(|found| found.trim() == value);
        if is("kernel.unprivileged_userns_clone", "0") {
            Self::Debian
        } else if is("user.max_user_namespaces", "0") {
            Self::Limit
        } else if is("kernel.apparmor_restrict_unprivileged_userns", "1") {
            Self::AppArmor
        } else {
            Self::Filter
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Debian => "allow them: `sudo sysctl -w kernel.unprivileged_userns_clone=1`",
            Self::Limit => "allow more of them: `sudo sysctl -w user.max_user_namespaces=15000`",
            Self::AppArmor => {
                "allow them: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or give mlpack an \
                 AppArmor profile with `userns,`"
            }
            Self::Filter => {
                "inside a container, its system call filter refuses them: start it with `--security-opt \
                 seccomp=unconfined --security-opt apparmor=unconfined`"
            }
        }
    }
}

impl Diagnose for SandboxError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            _ => Exit::CannotRun,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Namespaces { refusal, .. } => vec![
                refusal.hint().to_owned(),
                "or build the image and run it with a container engine: `mlpack build --output podman`".to_owned(),
            ],
            Self::Architecture { .. } => {
                vec!["serve an image that was built for this machine: `mlpack build --platform`".to_owned()]
            }
            Self::File(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

/// Reads a kernel setting, such as `user.max_user_namespaces`.
pub(super) fn kernel_setting(name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()
}

/// What failed inside, on its way out to the process that can tell the user.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) errno: i32,
}

/// Where it failed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Stage {
    Namespaces,
    Setup(String),
    Program,
    Architecture(String),
}

impl Failure {
    /// Returns a function that wraps the error of a step, given as a verb phrase.
    pub(super) fn step<E: Into<io::Error>>(step: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |error| Self::new(Stage::Setup(step.into()), error)
    }

    /// Wraps the error of `stage`.
    pub(super) fn new(stage: Stage, error: impl Into<io::Error>) -> Self {
        Self { stage, errno: error.into().raw_os_error().unwrap_or(0) }
    }

    /// Returns the error to tell the user of, about `program`.
    pub(super) fn into_error(self, program: &str) -> SandboxError {
        let source = io::Error::from_raw_os_error(self.errno);
        let program = program.to_owned();
        match self.stage {
            Stage::Namespaces => SandboxError::Namespaces { refusal: Refusal::find(kernel_setting), source },
            Stage::Setup(step) => SandboxError::Setup { step, source },
            Stage::Program => SandboxError::Program { program, source },
            Stage::Architecture(found) => SandboxError::Architecture { program, found },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_refuses_is_named() {
        let with = |name: &'static str, value: &'static str| {
            let refusal = Refusal::find(move |asked| (asked == name).then(|| format!("{value}\n")));
            let source = io::Error::from_raw_os_error(1);
            SandboxError::Namespaces { refusal, source }.hints().join("\n")
        };
        for (name, value) in [
            ("kernel.unprivileged_userns_clone", "0"),
            ("user.max_user_namespaces", "0"),
            ("kernel.apparmor_restrict_unprivileged_userns", "1"),
        ] {
            assert!(with(name, value).contains(name), "{name}");
        }
        assert!(with("user.max_user_namespaces", "15000").contains("seccomp"));
    }
}
