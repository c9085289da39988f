use super::connection::Reply;
use crate::{
    error::HookError,
    event::HookEvent,
    json,
    output::{self, HookOutput, Ran},
    process::Captured,
};

/// Reads a response. A status alone decides nothing: anything but a success is a failure.
pub(super) fn read(event: &HookEvent, reply: Reply) -> Result<HookOutput, HookError> {
    if !reply.status.is_success() {
        let more = match reply.status.is_redirection() {
            true => "; redirects are not followed",
            false => "",
        };
        return Err(HookError::Failed(
            format!("HTTP status {}{more}", reply.status).into(),
        ));
    }
    if reply.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(HookOutput::none());
    }
    if !json::trim_start(&String::from_utf8_lossy(&reply.body)).starts_with('{') {
        let what = "the response: expected nothing or a JSON object, found other text";
        return Err(HookError::BadOutput(what.into()));
    }
    let ran = Ran {
        code: 0,
        stdout: Captured::from(reply.body),
        stderr: Captured::default(),
    };
    let mut output = output::read(event, ran).map_err(|err| match err {
        HookError::BadOutput(why) => {
            HookError::BadOutput(why.replace("standard output", "the response").into())
        }
        err => err,
    })?;
    output.exit_code = None;
    Ok(output)
}
