//! A response's body that counts as being answered until it has left. One of unknown length is still being made, however long that
//! takes: health that is watched over gRPC goes on for ever. Any other is there as a whole, and waits for its client.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::connections::Answering;

/// See the module.
#[derive(Debug)]
pub(super) struct Counted {
    body: Body,
    /// Counts until it is dropped.
    _answering: Answering,
}

impl Counted {
    /// Counts a body.
    pub(super) fn new(body: Body, mut answering: Answering) -> Self {
        match body.size_hint().exact() {
            Some(_) => answering.leaves(),
            None => answering.goes_on(),
        }
        Self { body, _answering: answering }
    }
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(task)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
