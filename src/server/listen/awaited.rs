//! A request's body that notes while the server waits for more of it: a client that sends a head and no body must not look as if it
//! were being answered.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::connections::{Awaiting, Connection};

/// See the module.
#[derive(Debug)]
pub(super) struct Awaited {
    body: Incoming,
    connection: Arc<Connection>,
    /// Counts for as long as nothing comes.
    awaiting: Option<Awaiting>,
}

impl Awaited {
    /// Watches a body for its connection.
    pub(super) fn new(body: Incoming, connection: Arc<Connection>) -> Self {
        Self { body, connection, awaiting: None }
    }
}

impl Body for Awaited {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(task);
        match polled {
            Poll::Ready(_) => self.awaiting = None,
            Poll::Pending if self.awaiting.is_none() => self.awaiting = Some(self.connection.awaits()),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
