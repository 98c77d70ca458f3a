//! What a driver's error says, with its causes.

use std::error::Error as StdError;

/// The error and what its drivers and libraries give as the sources of it.
pub fn sources<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error and its causes on one line.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for said in sources(error).map(ToString::to_string) {
        if !text.contains(&said) {
            text += if text.is_empty() { "" } else { ": " };
            text += &said;
        }
    }
    text
}
