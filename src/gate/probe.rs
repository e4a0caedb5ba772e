//! Doors for `fuzz/properties` to what reads forms and conditions. Nothing else calls them.

use std::sync::{Arc, Mutex, PoisonError};

use super::inspect::{Multipart, Reading, Urlencoded};
use super::named;
use crate::forward::Inspect;

/// The name of a field, and its value where that was read.
pub type Field = (Vec<u8>, Option<Vec<u8>>);

/// Every field that is judged of a body of this type, which comes in these pieces; `None` where it is read as no form.
///
/// # Errors
/// Why it is refused whatever its fields are.
pub fn fields<'p>(
    kind: &[u8],
    pieces: impl Iterator<Item = &'p [u8]>,
) -> Result<Option<Vec<Field>>, &'static str> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let judge = Box::new(move |name: &[u8], value: Option<&[u8]>| {
        let field = (name.to_vec(), value.map(<[u8]>::to_vec));
        noted.lock().unwrap_or_else(PoisonError::into_inner).push(field);
        Ok(())
    });
    let mut inspect: Box<dyn Inspect> = match Reading::of(kind)? {
        Reading::Other => return Ok(None),
        Reading::Form => Box::new(Urlencoded::new(judge)),
        Reading::Multipart(boundary) => Box::new(Multipart::new(judge, &boundary)),
    };
    for piece in pieces {
        inspect.inspect(piece)?;
    }
    inspect.finish()?;
    Ok(Some(std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner))))
}

/// The resources that the lists of an `If` value are tagged with.
pub fn tags(condition: &[u8]) -> Vec<&[u8]> {
    named::tags(condition)
}
