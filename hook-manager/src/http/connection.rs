use std::{io, time::Duration};

use bytes::{Buf, Bytes};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::AbortHandle, time::timeout};

use crate::error::HookError;

/// How long a connection may take to be ready for a request. It is so at once, unless its last one was
/// answered before all of it was read, and still is not.
const MOMENT: Duration = Duration::from_millis(100);

/// One HTTP/1.1 connection. Dropped, it is closed, whatever it was in the middle of.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// The same socket once more, to look whether the server has closed it.
    socket: std::net::TcpStream,
    /// The task that moves its bytes.
    driver: AbortHandle,
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

/// Why nothing came back.
pub(super) enum SendError {
    /// Nothing of the request was written; here it is again.
    NotSent(Box<Request<Full<Bytes>>>, HookError),
    Failed(HookError),
}

impl Connection {
    pub(super) async fn open(host: &str, port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((host, port)).await?;
        // One small request, and its answer is waited for.
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let socket = stream.try_clone()?;
        let stream = TokioIo::new(TcpStream::from_std(stream)?);
        let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
        // An error of its own shows in the request that it fails.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Self {
            sender,
            socket,
            driver,
        })
    }

    /// Whether the server still listens and has said nothing unasked. Asks the system, for the task that moves
    /// the bytes may not have had its turn since.
    pub(super) fn is_fit(&self) -> bool {
        let is_quiet =
            matches!(self.socket.peek(&mut [0]), Err(err) if err.kind() == io::ErrorKind::WouldBlock);
        is_quiet && !self.sender.is_closed()
    }

    /// Sends a request and reads the whole response, of `limit` bytes at most.
    pub(super) async fn send(
        &mut self,
        message: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<Reply, SendError> {
        let not_ready = match timeout(MOMENT, self.sender.ready()).await {
            Ok(ready) => ready.err().map(|err| failed(&err)),
            Err(_) => Some(HookError::Failed(
                "the connection is still writing an event".into(),
            )),
        };
        if let Some(err) = not_ready {
            return Err(SendError::NotSent(Box::new(message), err));
        }
        let response = match self.sender.try_send_request(message).await {
            Ok(response) => response,
            Err(mut err) => {
                return Err(match err.take_message() {
                    Some(message) => SendError::NotSent(Box::new(message), failed(err.error())),
                    None => SendError::Failed(failed(err.error())),
                });
            }
        };
        let (head, mut body) = response.into_parts();
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|err| SendError::Failed(failed(&err)))?;
            let Ok(mut data) = frame.into_data() else { continue };
            if read.len() + data.remaining() > limit {
                let what = format!("the response's body is over {limit} bytes");
                return Err(SendError::Failed(HookError::BadOutput(what.into())));
            }
            while data.has_remaining() {
                let chunk = data.chunk();
                read.extend_from_slice(chunk);
                let n = chunk.len();
                data.advance(n);
            }
        }
        Ok(Reply {
            status: head.status,
            body: read,
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// An error with its causes: hyper's own sentence says little.
fn failed(err: &hyper::Error) -> HookError {
    let mut text = err.to_string();
    let mut cause = std::error::Error::source(err);
    while let Some(err) = cause {
        text.push_str(&format!(": {err}"));
        cause = err.source();
    }
    HookError::Failed(text.into())
}
