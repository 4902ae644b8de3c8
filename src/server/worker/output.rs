//! What a model prints: its lines become lines of the server's log.

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::Name;
use crate::server::log::Level;

/// Where a line is cut.
const MAX_LINE: usize = 64 << 10;

/// Turns a worker's output into log lines. It reads without end, so that a worker that prints never waits.
pub async fn forward(mut output: pipe::Receiver, worker: Name, stream: &'static str) {
    let mut lines = Lines::default();
    let mut block = vec![0; 16 << 10];
    let mut print = |line: &str| worker.log(Level::Info, line, json!({ "stream": stream }));
    while let Ok(length @ 1..) = output.read(&mut block).await {
        lines.feed(&block[..length], &mut print);
    }
    lines.end(&mut print);
}

/// Cuts a stream into lines of limited length; what goes beyond is left out.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], print: &mut impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let room = MAX_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ended {
                print(&String::from_utf8_lossy(&self.line));
                self.line.clear();
            }
        }
    }

    fn end(&mut self, print: &mut impl FnMut(&str)) {
        if !self.line.is_empty() {
            print(&String::from_utf8_lossy(&self.line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_into_lines_of_limited_length() {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        let mut print = |line: &str| seen.push(line.to_owned());
        lines.feed(b"one\ntw", &mut print);
        lines.feed(b"o\n", &mut print);
        for _ in 0..3 {
            lines.feed(&vec![b'x'; MAX_LINE], &mut print);
        }
        lines.feed(b"\n\nend", &mut print);
        lines.end(&mut print);
        assert_eq!(seen, ["one", "two", &"x".repeat(MAX_LINE), "", "end"]);
    }
}
