//! Reading a spec from JSON or TOML so that *all* its mistakes are found, not the first.

use std::borrow::Cow;

use guestnet_core::{Error, Path, Problem, Problems, records, without_keys};
use guestnet_xfrm::Secrets;
use serde::de::DeserializeSeed;
use serde_json::Value;
use zeroize::Zeroize;

use super::json::Strict;
use super::repair::Reader;

/// Something that is read so.
pub(crate) trait Document: serde::de::DeserializeOwned {
    /// Reads the secrets that it names as files, and finds those that it names in `secrets`; what could not be read.
    fn load_secrets_with(&mut self, secrets: &Secrets) -> Problems;

    /// What is wrong with its parts, before they are put together.
    fn checked(&self) -> Problems;

    /// What is wrong with it.
    fn problems(&mut self) -> Problems {
        self.checked()
    }
}

/// The text of a document in a file, as JSON and TOML want it: UTF-8 without a byte order mark (RFC 8259 section 8.1,
/// TOML 1.0).
///
/// # Errors
/// [`Error::Spec`] that names the encoding, as far as the first bytes tell it. Repeats nothing of the document.
pub fn decode(bytes: &[u8]) -> Result<&str, Error> {
    let words = match (bytes, std::str::from_utf8(bytes)) {
        ([0xff, 0xfe, 0, 0, ..], _) => {
            "is in UTF-32 (little-endian, with a byte order mark): save it as UTF-8".into()
        }
        ([0, 0, 0xfe, 0xff, ..], _) => {
            "is in UTF-32 (big-endian, with a byte order mark): save it as UTF-8".into()
        }
        ([0xff, 0xfe, ..], _) => {
            "is in UTF-16 (little-endian, with a byte order mark): save it as UTF-8".into()
        }
        ([0xfe, 0xff, ..], _) => "is in UTF-16 (big-endian, with a byte order mark): save it as UTF-8".into(),
        ([0xef, 0xbb, 0xbf, ..], _) => MARKED.into(),
        ([0x1f, 0x8b, ..], _) => "is compressed (gzip): unpack it first".into(),
        // What begins a document of ours is ASCII: a NUL beside it is the other half of a wider character.
        ([first, 0, ..], _) if *first != 0 => "looks like UTF-16 (little-endian): save it as UTF-8".into(),
        ([0, second, ..], _) if *second != 0 => "looks like UTF-16 (big-endian): save it as UTF-8".into(),
        (_, Ok(text)) if !text.contains('\0') => return Ok(text),
        (_, Ok(_)) => "is no text: there are NUL bytes in it".into(),
        (_, Err(error)) => {
            let at = error.valid_up_to();
            let line = bytes.get(..at).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count() + 1;
            format!(
                "is not UTF-8: byte {at}, in line {line}, begins no character; is it binary, or in Latin-1?"
            )
        }
    };
    let mut problems = Problems::new();
    problems.at(&Path::root(), words);
    Err(problems.into())
}

/// What is said of a document that begins with a byte order mark.
const MARKED: &str = "begins with a byte order mark: save it as UTF-8 without one";

/// Reads a document from JSON.
pub(crate) fn from_json<T: Document>(text: &str, secrets: &Secrets) -> Result<T, Error> {
    // Most are read at once. Of one that is not, all mistakes are looked for.
    if let Ok(document) = records::from_str(text) {
        return finish(Reader::new(Value::Null), Some(document), secrets);
    }
    let mut problems = Problems::new();
    let mut json = serde_json::Deserializer::from_str(readable(text)?);
    let value = Strict::new(&mut problems).deserialize(&mut json);
    let value = value.and_then(|value| json.end().map(|()| value));
    read(value.map_err(|e| syntax("JSON", e.to_string()))?, problems, secrets)
}

/// Reads a document from TOML.
pub(crate) fn from_toml<T: Document>(text: &str, secrets: &Secrets) -> Result<T, Error> {
    let mut problems = Problems::new();
    let toml = toml::Deserializer::parse(readable(text)?);
    let value = toml.and_then(|toml| Strict::new(&mut problems).deserialize(toml));
    read(value.map_err(|e| syntax("TOML", toml_error(&e, text)))?, problems, secrets)
}

/// Text that is worth being parsed.
fn readable(text: &str) -> Result<&str, Error> {
    let words = match text {
        text if text.starts_with('\u{feff}') => MARKED,
        text if text.trim().is_empty() => "is empty",
        text => return Ok(text),
    };
    let mut problems = Problems::new();
    problems.at(&Path::root(), words);
    Err(problems.into())
}

/// The words of the error and the line it is in, but not the line itself: there may be a secret on it.
fn toml_error(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| format!(" at line {}", before.matches('\n').count() + 1));
    format!("{}{}", error.message(), line.unwrap_or_default())
}

fn syntax(language: &str, message: String) -> Error {
    let mut problems = Problems::new();
    problems.at(&Path::root(), format!("is no {language}: {}", discreet(&message)));
    problems.into()
}

/// Reads a document from a value that has `problems`.
fn read<T: Document>(value: Value, problems: Problems, secrets: &Secrets) -> Result<T, Error> {
    let mut reader = Reader::new(value);
    reader.begin_with(problems);
    let spec = reader.read();
    wipe(&mut reader.value);
    finish(reader, spec, secrets)
}

/// Checks what was read.
fn finish<T: Document>(mut reader: Reader, mut spec: Option<T>, secrets: &Secrets) -> Result<T, Error> {
    if let Some(spec) = &mut spec {
        let unread = reader.mine(spec.load_secrets_with(secrets));
        // What has been repaired is not to be lowered: it would be about the repairs.
        let found =
            if reader.problems.is_empty() && unread.is_empty() { spec.problems() } else { spec.checked() };
        reader.add(unread);
        let found = reader.mine(found);
        reader.problems.extend(found);
    }
    match spec {
        Some(spec) if reader.problems.is_empty() => Ok(spec),
        _ => Err(reader.problems.into_iter().map(hidden).collect::<Problems>().into()),
    }
}

/// A secret may stand where a field's name should: then it is a part of the path.
fn hidden(problem: Problem) -> Problem {
    match without_keys(problem.path.as_str()) {
        Cow::Borrowed(_) => problem,
        Cow::Owned(path) => Problem { path: path.into(), ..problem },
    }
}

/// Strings of a spec may be keys.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        _ => {}
    }
}

/// `message` without what it may repeat of the document: a secret may have been put in the wrong place.
pub(super) fn discreet(message: &str) -> String {
    let mut words = message.to_owned();
    for start in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) =
            message.strip_prefix(start).and_then(|m| m.rsplit_once(", expected "))
        {
            let kind = found.split(['"', '`']).next().unwrap_or_default().trim_end();
            words = format!("{start}{kind}, expected {expected}");
        }
    }
    without_keys(&words).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> String {
        decode(bytes).map_or_else(|error| error.to_string(), str::to_owned)
    }

    #[test]
    fn an_encoding_is_named() {
        let wide = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
        let little: Vec<u8> = wide("\u{feff}{}").iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = wide("\u{feff}{}").iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for (bytes, words) in [
            (&little[..], "is in UTF-16 (little-endian"),
            (&big, "is in UTF-16 (big-endian"),
            (&little[2..], "looks like UTF-16 (little-endian)"),
            (&big[2..], "looks like UTF-16 (big-endian)"),
            (b"\xff\xfe\0\0{\0\0\0", "UTF-32 (little-endian"),
            (b"\0\0\xfe\xff\0\0\0{", "UTF-32 (big-endian"),
            (b"\xef\xbb\xbf{}", "byte order mark: save it as UTF-8 without one"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"{\n\"name\": \"caf\xe9\"}", "byte 14, in line 2, begins no character"),
            (b"{\"a\":\"\0\"}", "NUL"),
        ] {
            assert!(said(bytes).contains(words), "{words}: {}", said(bytes));
        }
        for good in ["", "{}", "version = 1\n", "{\"note\": \"grün 雪\"}"] {
            assert_eq!(decode(good.as_bytes()).unwrap(), good);
        }
    }
}
