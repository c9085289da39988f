//! What is written to a worker, and how its answer is read.

use crate::{
    error::HookError,
    event::HookEvent,
    json,
    output::{self, HookOutput, Ran},
    process::Captured,
    request::HookRequest,
};

/// The field that numbers the requests of a worker. One that gives it back cannot get out of step unseen.
const ID: &str = "hookRequestId";

/// The event as one line, numbered.
pub(super) fn request(req: &HookRequest, id: u64) -> Vec<u8> {
    let bytes = req.bytes();
    // Behind everything else: should the event have such a field already, the last one counts.
    let end = bytes
        .iter()
        .rposition(|byte| *byte == b'}')
        .unwrap_or(bytes.len());
    let before = bytes[..end].trim_ascii_end();
    let comma = if before.ends_with(b"{") { "" } else { "," };
    let number = format!("{comma}\"{ID}\":{id}}}\n");
    let mut line = Vec::with_capacity(before.len() + number.len());
    // JSON has no line break inside a string: any that is there stands between two words.
    line.extend(before.iter().map(|byte| match byte {
        b'\n' | b'\r' => b' ',
        byte => *byte,
    }));
    line.extend_from_slice(number.as_bytes());
    line
}

/// Whether a line is meant as an answer.
pub(super) fn is_object(line: &[u8]) -> bool {
    json::trim_start(&String::from_utf8_lossy(line)).starts_with('{')
}

/// Reads an answer by the host's rules for a hook that ended with status 0, except that it has to be JSON.
pub(super) fn answer(event: &HookEvent, line: Vec<u8>, id: u64) -> Result<HookOutput, HookError> {
    if !is_object(&line) {
        let head: String = String::from_utf8_lossy(&line).chars().take(80).collect();
        let what = format!("the worker's line: expected one JSON object, found {head:?}");
        return Err(HookError::BadOutput(what.into()));
    }
    let ran = Ran {
        code: 0,
        stdout: Captured::from(line),
        stderr: Captured::default(),
    };
    let mut output = output::read(event, ran)?;
    output.exit_code = None;
    match output.other.remove(ID) {
        Some(given) if given.as_u64() != Some(id) => {
            let what =
                format!("the worker is out of step: expected the answer to `{ID}` {id}, found {given}");
            Err(HookError::BadOutput(what.into()))
        }
        _ => Ok(output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_and_says_the_same() {
        for (text, line) in [
            ("{}", r#"{"hookRequestId":7}"#),
            (" {\r\n } ", " {\"hookRequestId\":7}"),
            (
                "{\n  \"a\": \"x\\ny{}\"\n}\n",
                "{   \"a\": \"x\\ny{}\",\"hookRequestId\":7}",
            ),
            (
                "{\"a\": {}, \"hookRequestId\": 1}",
                "{\"a\": {}, \"hookRequestId\": 1,\"hookRequestId\":7}",
            ),
        ] {
            let req = HookRequest::parse(HookEvent::Stop, text).unwrap();
            let sent = request(&req, 7);
            assert_eq!(String::from_utf8_lossy(&sent), format!("{line}\n"), "{text:?}");
        }
    }
}
