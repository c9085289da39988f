use tokio::{io::AsyncWriteExt, net::unix::pipe::Sender};

/// Writes the whole input, and closes the pipe: the program sees its end.
///
/// An error means that nobody reads any more, which is the program's good right.
pub(super) async fn feed(mut stdin: Sender, input: &[u8]) {
    let _ = stdin.write_all(input).await;
}
