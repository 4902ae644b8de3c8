//! A container engine on this machine: its `load` command reads the image from a pipe, so nothing is written twice.

use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use oci_spec::image::Descriptor;

use super::docker_archive::write_archive;
use super::{Sink, SinkError, one_image};
use crate::image::{Image, ImageStore, name};

/// Loads images into an engine.
#[derive(Clone, Debug)]
pub struct Engine {
    program: &'static str,
    /// What stands before names without a registry's host, so that the engine does not add one of its own.
    prefix: &'static str,
}

impl Engine {
    /// Returns the sink for Docker.
    pub fn docker() -> Self {
        Self { program: "docker", prefix: "" }
    }

    /// Returns the sink for Podman, where local images are named `localhost/…`.
    pub fn podman() -> Self {
        Self { program: "podman", prefix: "localhost/" }
    }

    #[cfg(test)]
    pub(super) fn of_program(program: &'static str) -> Self {
        Self { program, prefix: "" }
    }

    fn start(&self) -> Result<Child, SinkError> {
        let mut command = Command::new(self.program);
        command.arg("load").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().map_err(|source| SinkError::Program { program: self.program, source })
    }

    /// Feeds the image to the child, and returns what it said.
    fn feed(
        &self,
        child: &mut Child,
        store: &ImageStore,
        image: &Image,
        name: Option<&str>,
    ) -> (Result<(), SinkError>, String) {
        let input = child.stdin.take().expect("standard input is piped");
        let mut errors = child.stderr.take().expect("standard error is piped");
        // Both pipes at once: a child that waits for its messages to be read would never read on.
        std::thread::scope(|scope| {
            let talk = scope.spawn(move || {
                let mut text = Vec::new();
                // What was said up to a failure is all there is to show.
                let _ = errors.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            });
            let mut out = BufWriter::with_capacity(1 << 18, input);
            let written = write_archive(store, image, name, &mut out, Path::new(self.program));
            // A child that went away says itself why; its broken pipe does not.
            let _ = out.flush();
            drop(out);
            (written, talk.join().unwrap_or_default())
        })
    }
}

impl Sink for Engine {
    fn write(&self, store: &ImageStore, descriptor: &Descriptor, reference: Option<&str>) -> Result<(), SinkError> {
        let image = one_image(store, descriptor)?;
        let name = reference.map(|reference| {
            let prefix = if name::has_host(reference) { "" } else { self.prefix };
            format!("{prefix}{reference}")
        });
        let mut child = self.start()?;
        let (written, talk) = self.feed(&mut child, store, &image, name.as_deref());
        let status = child.wait().map_err(|source| SinkError::Program { program: self.program, source })?;
        // A pipe that broke is the child's doing, and the child says why; anything else is what went wrong first.
        let broken_pipe = |error: &SinkError| matches!(error, SinkError::File(file) if file.source.kind() == io::ErrorKind::BrokenPipe);
        if status.success() || written.as_ref().is_err_and(|error| !broken_pipe(error)) {
            return written;
        }
        let message = talk.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
        Err(SinkError::Engine { program: self.program, status: status.to_string(), message: message.to_owned() })
    }
}
