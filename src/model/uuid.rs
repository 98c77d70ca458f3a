//! UUIDs as text and back: the one place of both, for every connector and cast.

/// Bytes of a value in batches: Arrow's `FixedSizeBinary(16)`.
pub const UUID_BYTES: usize = 16;

/// The value of a text in one of the forms that PostgreSQL takes: digits in any case, a hyphen or none behind each group
/// of four, braces around all of it or none.
pub fn parse_uuid(text: &[u8]) -> Option<[u8; UUID_BYTES]> {
    let (mut rest, braces) = match text {
        [b'{', rest @ ..] => (rest, true),
        rest => (rest, false),
    };
    let mut value = [0; UUID_BYTES];
    for (index, byte) in value.iter_mut().enumerate() {
        let [high, low, after @ ..] = rest else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
        rest = match after {
            [b'-', after @ ..] if index % 2 == 1 && index + 1 < UUID_BYTES => after,
            after => after,
        };
    }
    let end: &[u8] = if braces { b"}" } else { b"" };
    (rest == end).then_some(value)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The canonical text: 32 digits in lower case, in groups of 8, 4, 4, 4 and 12. Texts sort as the values do.
pub fn uuid_text(value: [u8; UUID_BYTES]) -> String {
    uuid::Uuid::from_bytes(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

    #[test]
    fn the_forms_of_postgres_are_one_value() {
        let value = parse_uuid(TEXT.as_bytes()).unwrap();
        assert_eq!(uuid_text(value), TEXT);
        for form in [
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
            "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
        ] {
            assert_eq!(parse_uuid(form.as_bytes()), Some(value), "{form}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-",
            "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11",
            "a-0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "+0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ] {
            assert_eq!(parse_uuid(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_value_comes_back_and_texts_sort_as_values(a: [u8; 16], b: [u8; 16]) {
            prop_assert_eq!(parse_uuid(uuid_text(a).as_bytes()), Some(a));
            prop_assert_eq!(uuid_text(a).cmp(&uuid_text(b)), a.cmp(&b));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_uuid(&bytes);
        }
    }
}
