//! Servers that fail on purpose: a Debian mirror with a damaged file, and a proxy that breaks connections.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::project::Prepared;

/// Something that listens on a free port of the loopback device until it is dropped.
pub struct Listener {
    /// Its host name and port.
    pub address: String,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Gives each connection with its number, from 1, to `serve` on a thread of its own.
    fn start(serve: impl Fn(usize, TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stopped = Arc::new(AtomicBool::new(false));
        let (told, serve) = (Arc::clone(&stopped), Arc::new(serve));
        let thread = thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                let (serve, stream) = (Arc::clone(&serve), stream.unwrap());
                // A connection that breaks is what some of these are for.
                thread::spawn(move || drop(serve(number + 1, stream)));
            }
        });
        Self { address, stopped, thread: Some(thread) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // The listener looks at the flag once for each connection.
        drop(TcpStream::connect(&self.address));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Starts a Debian mirror that has the packages of a project; of the file whose path ends so, only the first half.
pub fn mirror(project: &Prepared, halved: Option<&str>) -> Listener {
    let blobs = project.home().join("cache/blobs/sha256");
    let packages = project.lock().packages.into_iter();
    let files: BTreeMap<String, PathBuf> =
        packages.map(|package| (package.path, blobs.join(package.sha256.hex()))).collect();
    let halved = halved.map(str::to_owned);
    Listener::start(move |_, mut stream| {
        while let Some(path) = request_path(&stream)? {
            let Some(file) = files.iter().find(|(name, _)| path.ends_with(*name)).map(|(_, file)| file) else {
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            };
            let mut bytes = fs::read(file)?;
            if halved.as_ref().is_some_and(|name| path.ends_with(name)) {
                bytes.truncate(bytes.len() / 2);
            }
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
            stream.write_all(&bytes)?;
        }
        Ok(())
    })
}

/// Reads a request without a body; `None` at the end of the connection.
fn request_path(stream: &TcpStream) -> io::Result<Option<String>> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    Ok(first.split(' ').nth(1).map(|path| path.replace("%2B", "+").replace("%3A", ":").replace("%7E", "~")))
}

/// Starts a proxy to `upstream` that breaks each `nth` connection after so many bytes of the request.
pub fn breaking_proxy(upstream: &str, nth: usize, bytes: u64) -> Listener {
    let upstream = upstream.to_owned();
    Listener::start(move |number, client| {
        let server = TcpStream::connect(&upstream)?;
        let limit = if number % nth == 0 { bytes } else { u64::MAX };
        let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
        let back = thread::spawn(move || {
            let copied = io::copy(&mut &server, &mut &client);
            let _ = client.shutdown(Shutdown::Both);
            copied
        });
        let copied = io::copy(&mut (&mut from).take(limit), &mut to);
        let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
        drop(back.join());
        copied.map(drop)
    })
}
