//! Canonical CBOR: the one way in which a signed or sent structure is written.
//!
//! Structures are fixed-arity arrays of integers, byte strings, short text and such arrays; no maps,
//! no floats. Decoding encodes again and compares, because the decoder alone would also take longer
//! integers than needed, indefinite lengths, tags and trailing bytes: two byte strings for one
//! meaning, which a signature must not allow (research p2p §1.5). The exact bytes are what is
//! signed, stored and forwarded; nothing is ever re-encoded for that.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use crate::limits;

/// Why bytes are not one of our structures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// Not CBOR, or not of this shape.
    #[error("the bytes are not of the expected shape")]
    Shape,
    /// The right shape, written in another way than the canonical one.
    #[error("the bytes are not canonical")]
    NotCanonical,
    /// More bytes than the limit of this kind of structure.
    #[error("the bytes exceed the limit of their kind")]
    TooLarge,
}

/// Encodes a structure.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("our structures always encode, and memory takes them");
    bytes
}

/// Decodes a structure of at most `bytes_max` bytes and refuses any but its canonical form.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], bytes_max: usize) -> Result<T, CborError> {
    if bytes.len() > bytes_max {
        return Err(CborError::TooLarge);
    }
    let value: T = ciborium::de::from_reader_with_recursion_limit(bytes, limits::CBOR_DEPTH_MAX)
        .map_err(|_| CborError::Shape)?;
    if encode(&value) == bytes { Ok(value) } else { Err(CborError::NotCanonical) }
}

/// A byte string. `Vec<u8>` alone would be written as an array of integers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = Bytes::deserialize(deserializer)?;
                let length = bytes.0.len();
                bytes.0.try_into().map($name).map_err(|_| serde::de::Error::invalid_length(length, &stringify!($length)))
            }
        }
    };
}

fixed_bytes!(
    /// A byte string of 16 bytes.
    Bytes16, 16
);
fixed_bytes!(
    /// A byte string of 32 bytes.
    Bytes32, 32
);
fixed_bytes!(
    /// A byte string of 64 bytes.
    Bytes64, 64
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_written_longer_than_needed_is_refused() {
        assert_eq!(decode::<(u64,)>(&[0x81, 0x01], 16), Ok((1,)));
        assert_eq!(decode::<(u64,)>(&[0x81, 0x18, 0x01], 16), Err(CborError::NotCanonical));
    }

    #[test]
    fn trailing_bytes_indefinite_lengths_and_tags_are_refused() {
        assert_eq!(decode::<(u64,)>(&[0x81, 0x01, 0x00], 16), Err(CborError::NotCanonical));
        assert!(decode::<(u64,)>(&[0x9f, 0x01, 0xff], 16).is_err());
        assert!(decode::<(u64,)>(&[0x81, 0xc1, 0x01], 16).is_err());
    }

    #[test]
    fn a_longer_array_than_expected_is_refused() {
        assert!(decode::<(u64,)>(&[0x82, 0x01, 0x02], 16).is_err());
    }

    #[test]
    fn more_bytes_than_allowed_are_refused_before_they_are_read() {
        assert_eq!(decode::<(u64,)>(&[0x81, 0x01], 1), Err(CborError::TooLarge));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let bomb = vec![0x81; 4096];
        assert_eq!(decode::<Bytes>(&bomb, 4096), Err(CborError::Shape));
    }
}
